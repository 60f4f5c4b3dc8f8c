// What the commands of `roomcast` share: arguments, output, exit codes.
import { validateHeaderName, validateHeaderValue } from "node:http";
import { parseArgs, type ParseArgsConfig } from "node:util";

/** The outcome of a command. `undefined`: it goes on running. */
export type ExitCode = number | undefined;

/** One command, loaded when it is called. */
export interface Command {
  /** What `roomcast COMMAND --help` prints. */
  readonly help: string;
  /** @throws ArgumentError for wrong arguments */
  run(args: string[], io: CommandIo): Promise<ExitCode>;
}

/** What a command reads and writes. */
export interface CommandIo {
  /** `import`, which these files cannot have: they are compiled to CommonJS. */
  readonly load: (url: string) => Promise<Record<string, unknown>>;
}

/** Wrong arguments: one line for the user, exit code 2. */
export class ArgumentError extends Error {}

type Options = NonNullable<ParseArgsConfig["options"]>;

/** Options that every command has. */
const COMMON = { help: { type: "boolean", short: "h" }, version: { type: "boolean", short: "v" } } satisfies Options;

/** Reads arguments. @throws ArgumentError in the words of Node.js, without its advice */
export function readArgs<T extends Options>(args: string[], options: T) {
  try {
    return parseArgs({ args, allowPositionals: true, options: { ...options, ...COMMON } });
  } catch (error) {
    throw new ArgumentError((error as Error).message.split(". ")[0]);
  }
}

/** The one positional argument. @param noun  what it is: `file` */
export function onlyOne(command: string, noun: string, positionals: string[]): string {
  const [value] = positionals;
  if (value === undefined) throw new ArgumentError(`${command}: expected a ${noun}`);
  if (positionals.length > 1) throw new ArgumentError(`${command}: expected one ${noun}, met ${positionals.length}`);
  return value;
}

export function numberOf(name: string, text: string, min: number, max: number): number {
  const number = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && number >= min && number <= max) return number;
  throw new ArgumentError(`${name}: expected a number from ${min} to ${max}, met ${JSON.stringify(text)}`);
}

export function integerOf(name: string, text: string, min: number, max: number): number {
  const number = numberOf(name, text, min, max);
  if (Number.isInteger(number)) return number;
  throw new ArgumentError(`${name}: expected a whole number, met ${JSON.stringify(text)}`);
}

export function jsonOf(name: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new ArgumentError(`${name}: expected JSON, met ${JSON.stringify(text)}`);
  }
}

/** Several JSON values, one after another: each ends where the text up to there is JSON. */
export function valuesOf(text: string, name: string): unknown[] {
  const values: unknown[] = [];
  let from = 0;
  for (let to = 1; to <= text.length; to++) {
    if (to < text.length && !/\s/.test(text[to])) continue;
    const part = text.slice(from, to).trim();
    if (part === "") continue;
    try {
      values.push(JSON.parse(part));
      from = to;
    } catch {
      // goes on behind the next blank
    }
  }
  if (text.slice(from).trim() !== "")
    throw new ArgumentError(`${name}: expected JSON values, met ${JSON.stringify(text.slice(from).trim())}`);
  return values;
}

/** @param lines  `Name: value` */
export function headersOf(lines: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const [, name, value] = /^([^\s:]+):\s*(.*)$/.exec(line) ?? [];
    if (name === undefined) throw new ArgumentError(`--header: expected "Name: value", met ${JSON.stringify(line)}`);
    try {
      validateHeaderName(name);
      validateHeaderValue(name, value);
    } catch (error) {
      throw new ArgumentError(`--header: ${(error as Error).message}`);
    }
    headers[name.toLowerCase()] = value;
  }
  return headers;
}

/** An address of a server, with `http` or `https`; path and query are left to the caller. */
export function urlOf(command: string, text: string): URL {
  const withScheme = /^[a-z]+:\/\//i.test(text) ? text : `http://${text}`;
  let url: URL;
  try {
    url = new URL(withScheme.replace(/^ws/i, "http"));
  } catch {
    throw new ArgumentError(`${command}: expected a URL, met ${JSON.stringify(text)}`);
  }
  if (!/^https?:$/.test(url.protocol))
    throw new ArgumentError(`${command}: expected a URL with http or https, met ${JSON.stringify(text)}`);
  if (url.username !== "" || url.password !== "")
    throw new ArgumentError(
      `${command}: expected a URL without a user or password; they can be sent with --header "Authorization: Basic …"`,
    );
  return url;
}

/** The URL as reports show it: a query may have secrets. */
export function shownUrl({ origin, pathname }: URL): string {
  return origin + pathname;
}

/** The namespace that the path of a URL names. */
export function namespaceOf(command: string, url: URL): string {
  try {
    return decodeURI(url.pathname);
  } catch {
    throw new ArgumentError(`${command}: expected a namespace as the path of the URL, met ${JSON.stringify(url.pathname)}`);
  }
}

/** The path of a server, with a slash at both ends. */
export function pathOf(text: string): string {
  if (/[?#\\\s\u0000-\u001f]/.test(text)) throw new ArgumentError(`--path: expected a path like /socket.io/, met ${JSON.stringify(text)}`);
  const name = text.replace(/^\/+|\/+$/g, "");
  return name === "" ? "/" : `/${name}/`;
}

/** A line that stands for something to send. */
export type Line =
  | { readonly kind: "event" | "question"; readonly data: unknown[] }
  | { readonly kind: "answer"; readonly id: number; readonly data: unknown[] };

/** Reads `event value value`, `?event value` or `!id value`. */
export function lineOf(text: string, name: string): Line {
  const [, sign, word, rest] = /^([?!]?)(\S+)\s*(.*)$/s.exec(text.trim()) ?? [];
  if (word === undefined) throw new ArgumentError(`${name}: expected an event, met ${JSON.stringify(text)}`);
  const data = valuesOf(rest, name);
  if (sign !== "!") return { kind: sign === "?" ? "question" : "event", data: [word, ...data] };
  return { kind: "answer", id: integerOf(name, word, 0, Number.MAX_SAFE_INTEGER), data };
}

export function transportOf(name: string): "websocket" | "polling" {
  if (name === "websocket" || name === "polling") return name;
  throw new ArgumentError(`--transport: expected websocket or polling, met ${JSON.stringify(name)}`);
}

/** C0 and C1 controls, ends of lines, and what turns the direction of writing: terminals act on them. */
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const NOT_OF_JSON = new RegExp(CONTROLS.source.replace("\\u0000-\\u001f", ""), "g");

/** Text from a peer, without what a terminal would act on. */
export function printable(text: string): string {
  return text.replace(CONTROLS, (character) => {
    const code = character.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : escaped(character);
  });
}

/** JSON without what a terminal would act on: `JSON.stringify` leaves the controls from U+007F as they are. */
export function toJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(NOT_OF_JSON, escaped);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

const isColoured = (): boolean => process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined;

export function coloured(text: string, colour: "red" | "green" | "yellow" | "dim" | "bold"): string {
  const code = { red: 31, green: 32, yellow: 33, dim: 2, bold: 1 }[colour];
  return isColoured() ? `\u001b[${code}m${text}\u001b[0m` : text;
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown, indent?: number): void {
  print(toJson(value, indent));
}

/** A line that the next one replaces; only where somebody looks at it. */
export function progress(text: string): void {
  if (process.stderr.isTTY === true) process.stderr.write(`\r\u001b[K${text}`);
}

/** Resolves at the first SIGINT or SIGTERM. */
export function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
}
