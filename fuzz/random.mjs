// Random numbers that a seed repeats, and mutations of bytes.

/** A generator (xorshift32): `below(n)` gives an integer from 0 to n - 1. */
export function randomFrom(seed) {
  let state = seed | 1;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}

/** Inputs are kept below this size; a few grow up to the second one, to show work that grows faster than its input. */
const USUAL_BYTES = 512;
const LARGE_BYTES = 64 * 1024;
const INTERESTING_BYTES = [
  0, 1, 0x1e, 0x20, 0x22, 0x2c, 0x2d, 0x30, 0x39, 0x5b, 0x5d, 0x7b, 0x7d, 0x7e, 0x7f, 0x80, 0x81, 0x88, 0xc0, 0xff,
];
const INTERESTING_NUMBERS = [
  "0",
  "-1",
  "1",
  "00",
  "10",
  "11",
  "255",
  "256",
  "65536",
  "4294967296",
  "9007199254740993",
  "1e9",
  "9".repeat(40),
];

/**
 * Changes an input at one to six places.
 * @param below       the generator
 * @param input       bytes
 * @param other       another input, parts of which may be put in
 * @param dictionary  words of the format
 */
export function mutate(below, input, other, dictionary) {
  let bytes = Buffer.from(input);
  for (let edits = 1 + below(6); edits > 0; edits--) bytes = edit(below, bytes, other, dictionary);
  const limit = below(200) === 0 ? LARGE_BYTES : USUAL_BYTES;
  if (limit === LARGE_BYTES) bytes = repeatPart(below, bytes, limit);
  return bytes.length > limit ? bytes.subarray(0, limit) : bytes;
}

function edit(below, bytes, other, dictionary) {
  const at = below(bytes.length + 1);
  const cut = Math.min(bytes.length - at, 1 + below(below(4) === 0 ? 32 : 4));
  switch (below(12)) {
    case 0:
      if (bytes.length > 0) bytes[at % bytes.length] ^= 1 << below(8);
      return bytes;
    case 1:
      if (bytes.length > 0) bytes[at % bytes.length] = INTERESTING_BYTES[below(INTERESTING_BYTES.length)];
      return bytes;
    case 2:
      if (bytes.length > 0) bytes[at % bytes.length] = below(256);
      return bytes;
    case 3:
      return splice(bytes, at, cut, Buffer.alloc(0));
    case 4:
      return splice(bytes, at, 0, bytes.subarray(at, at + cut)); // twice
    case 5: {
      const from = below(other.length + 1);
      return splice(bytes, at, below(2) * cut, other.subarray(from, from + 1 + below(32)));
    }
    case 6:
      return changeNumber(below, bytes);
    case 7:
      return below(8) === 0 ? bytes.subarray(0, at) : splice(bytes, at, 0, Buffer.from([below(256)]));
    case 8:
      return Buffer.concat([bytes, other]);
    default:
      return splice(bytes, at, below(2) * cut, Buffer.from(dictionary[below(dictionary.length)], "latin1"));
  }
}

function splice(bytes, at, cut, put) {
  return Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + cut)]);
}

function changeNumber(below, bytes) {
  const text = bytes.toString("latin1");
  const numbers = [...text.matchAll(/\d+/g)];
  if (numbers.length === 0) return bytes;
  const { index, 0: digits } = numbers[below(numbers.length)];
  const number = below(2) === 0 ? String(Number(digits) + below(3) - 1) : INTERESTING_NUMBERS[below(INTERESTING_NUMBERS.length)];
  return splice(bytes, index, digits.length, Buffer.from(number, "latin1"));
}

function repeatPart(below, bytes, limit) {
  if (bytes.length === 0) return bytes;
  const at = below(bytes.length);
  const part = bytes.subarray(at, at + 1 + below(12));
  const times = 1 + below(Math.floor(limit / part.length));
  return Buffer.concat([bytes.subarray(0, at), ...Array.from({ length: times }, () => part), bytes.subarray(at)]);
}
