// Process warnings for the operator, with a rate limit (ROB-203).
import { channel } from "./channel";
import { indented, oneLine, textOf } from "./log-text";

/** Number of warnings of one code within `WINDOW_MS`; further ones are dropped. */
const MAX_PER_WINDOW = 10;
const WINDOW_MS = 60_000;

/** Key under which a server passes its warnings to its engines, among their options. */
export const kWarnings = Symbol("warnings");

/** The code of a process warning; docs/errors.md lists them. */
export type WarningCode = `ROOMCAST_${string}`;

/** The message of `roomcast:warning`. Also published for warnings that the rate limit leaves out. */
export interface WarningMessage {
  code: WarningCode;
  /** Without the message of the error. */
  text: string;
  error: unknown;
}

const warningRaised = channel<WarningMessage>("roomcast:warning");

interface Kind {
  startedAt: number;
  count: number;
}

/**
 * The process warnings of one server. At most ten of each code in a minute, since clients can cause them; the tenth says that more are
 * left out. Every text stays on one line.
 */
export class Warnings {
  private readonly kindsByCode: Map<WarningCode, Kind>;
  private readonly advice: Set<string>;

  constructor() {
    this.kindsByCode = new Map();
    this.advice = new Set();
  }

  /**
   * Emits a warning, at most ten per minute of this code.
   * @param error  the failure: its message is appended to the text, its stack becomes the detail
   */
  warn(code: WarningCode, text: string, error?: unknown): void {
    if (warningRaised.hasSubscribers) warningRaised.publish({ code, text, error });
    const count = this.countOf(code);
    if (count > MAX_PER_WINDOW) return;
    const isError = error instanceof Error;
    const reason = error === undefined ? "" : `: ${isError ? error.message : textOf(error)}`;
    const end = count === MAX_PER_WINDOW ? " (more of these are left out for a minute)" : "";
    const detail = isError && typeof error.stack === "string" ? { detail: indented(error.stack) } : {};
    process.emitWarning(oneLine(text + reason + end), { code, ...detail });
  }

  /** Emits a warning about a mistake in the set-up, once for each text. */
  advise(code: WarningCode, text: string): void {
    if (this.advice.has(text)) return;
    this.advice.add(text);
    if (warningRaised.hasSubscribers) warningRaised.publish({ code, text, error: undefined });
    process.emitWarning(oneLine(text), { code });
  }

  private countOf(code: WarningCode): number {
    const now = performance.now();
    const kind = this.kindsByCode.get(code);
    if (kind !== undefined && now - kind.startedAt < WINDOW_MS) return ++kind.count;
    this.kindsByCode.set(code, { startedAt: now, count: 1 });
    return 1;
  }
}
