// Texts for logs and warnings: nothing that a peer chose may forge a line or steer a terminal (ROB-206).
/** Characters that end a line or steer a terminal. */
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;
const LINE_END = /\r\n|[\n\r\u0085\u2028\u2029]/;
const MAX_LENGTH = 200;
const MAX_NAMES = 10;

/** Converts any value to a text; of a value whose conversion throws, its type. */
export function textOf(value: unknown): string {
  try {
    return String(value);
  } catch {
    return typeof value;
  }
}

/** A text on one line: characters that end a line or steer a terminal are escaped. */
export function oneLine(text: unknown): string {
  return textOf(text).replace(UNPRINTABLE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** A text chosen by a peer, for a log: in quotes, on one line, cut after 200 characters. */
export function quoted(text: unknown): string {
  const whole = textOf(text);
  return oneLine(JSON.stringify(whole.length > MAX_LENGTH ? `${whole.slice(0, MAX_LENGTH)}…` : whole));
}

/** Names, such as those of rooms, as a log shows them: the first ten, each quoted. */
export function quotedList(names: Iterable<unknown>): string {
  const all = [...names];
  const rest = all.length - MAX_NAMES;
  return `[${all.slice(0, MAX_NAMES).map(quoted).join(", ")}${rest > 0 ? `, and ${rest} more` : ""}]`;
}

/** A text of several lines, each indented, so that none looks like a line of the log itself. */
export function indented(text: string): string {
  return text
    .split(LINE_END)
    .map((line) => `    ${oneLine(line.trim())}`)
    .join("\n");
}
