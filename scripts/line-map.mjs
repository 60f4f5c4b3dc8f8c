/**
 * Makes the source map of a file that is joined from several modules: reduces the compiler's mappings of each module to source lines, and joins
 * them. Columns would make the map four times as large, and a stack trace only needs the line.
 */
const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/**
 * @param file   the name of the joined file
 * @param parts  its contents in order: `text`, whole lines; `source`, null for text without one; `mappings` of that source
 */
export function joinedMap(file, parts) {
  const sources = [];
  const mappings = [];
  let last = [0, 0, 0];
  for (const { text, source, mappings: ofPart } of parts) {
    const index = source === null ? -1 : sources.push(source) - 1;
    const decoded = decodeLines(ofPart);
    for (let i = 0; i < text.split("\n").length - 1; i++) {
      let column = 0;
      const segments = (decoded[i] ?? []).map(([generated, sourceLine, sourceColumn]) => {
        const deltas = [generated - column, index - last[0], sourceLine - last[1], sourceColumn - last[2]];
        column = generated;
        last = [index, sourceLine, sourceColumn];
        return deltas.map(encodeNumber).join("");
      });
      mappings.push(segments.join(","));
    }
  }
  return JSON.stringify({ version: 3, file, sources, names: [], mappings: mappings.join(";") });
}

/**
 * @returns for each generated line its segments `[column, source line, source column]`, all counted from 0: the first one of the line, and
 *          each one at which the source line changes
 */
function decodeLines(mappings) {
  let sourceLine = 0;
  let sourceColumn = 0;
  return mappings.split(";").map((line) => {
    const kept = [];
    let column = 0;
    for (const segment of line === "" ? [] : line.split(",")) {
      const [columns, , lines = 0, sourceColumns = 0] = decodeNumbers(segment);
      column += columns;
      sourceLine += lines;
      sourceColumn += sourceColumns;
      if (kept.at(-1)?.[1] !== sourceLine) kept.push([column, sourceLine, sourceColumn]);
    }
    return kept;
  });
}

/** A base 64 variable-length quantity: five bits per digit, lowest first; bit 32 means that more digits follow. The lowest bit of the number is its sign. */
function encodeNumber(number) {
  let rest = number < 0 ? (-number << 1) | 1 : number << 1;
  let text = "";
  do {
    const five = rest & 31;
    rest >>>= 5;
    text += digits[rest > 0 ? five | 32 : five];
  } while (rest > 0);
  return text;
}

function decodeNumbers(segment) {
  const numbers = [];
  let number = 0;
  let shift = 0;
  for (const digit of segment) {
    const value = digits.indexOf(digit);
    number |= (value & 31) << shift;
    shift += 5;
    if (value & 32) continue;
    numbers.push(number & 1 ? -(number >>> 1) : number >>> 1);
    number = shift = 0;
  }
  return numbers;
}
