import { LimitError, UsageError } from "../errors";

/** Bounds on what one connection may hold or cause; `false` switches one off. */
export interface LimitOptions {
  /** Bytes that may wait for one connection (queued and handed over, not yet taken by the system). Default 134217728 (128 MiB); over it: closed, `transport error`. */
  bufferedBytes?: number | false;
  /** Milliseconds without one byte of progress while more than `stalledBytes` wait. Default 20000; then: closed, `transport error`. */
  stalledAfterMs?: number | false;
  /** Waiting bytes from which on `stalledAfterMs` counts. Default 4194304 (4 MiB). */
  stalledBytes?: number | false;
  /** Nesting depth of an incoming packet's payload. Default 1000; over it: parse error. */
  depth?: number | false;
  /** Binary attachments of one incoming packet. Default 10; over it: parse error. */
  attachments?: number | false;
  /** WebSocket pings that arrive while an earlier pong can't be written. Default 60; over it: closed, `transport error`. */
  queuedPongs?: number | false;
  /** Namespaces one connection may have open or pending at a time. Default 1000; over it: CONNECT_ERROR. */
  namespaces?: number | false;
}

/** Every limit as a number; `Infinity` where it was switched off. */
export type Limits = { readonly [K in keyof LimitOptions]-?: number };

const DEFAULTS: Limits = {
  bufferedBytes: 128 * 1024 * 1024,
  stalledAfterMs: 20_000,
  stalledBytes: 4 * 1024 * 1024,
  depth: 1000,
  attachments: 10,
  queuedPongs: 60,
  namespaces: 1000,
};

/**
 * Gives every limit its value once, at start-up.
 * @throws UsageError RC_ERR_OPTION on an unknown name or a value that is neither a non-negative number nor `false`
 */
export function resolveLimits(given: LimitOptions | undefined | null): Limits {
  if (given === undefined || given === null) return DEFAULTS;
  if (typeof given !== "object") throw new UsageError("RC_ERR_OPTION", `option limits: expected an object, met ${typeof given}`);
  const resolved: Record<string, number> = { ...DEFAULTS };
  for (const [name, value] of Object.entries(given)) {
    if (!(name in DEFAULTS)) {
      throw new UsageError(
        "RC_ERR_OPTION",
        `option limits: expected one of ${Object.keys(DEFAULTS).join(", ")}, met ${JSON.stringify(name)}`,
      );
    }
    if (value === undefined) continue;
    if (value !== false && (typeof value !== "number" || Number.isNaN(value) || value < 0)) {
      throw new UsageError("RC_ERR_OPTION", `option limits.${name}: expected a non-negative number or false, met ${String(value)}`);
    }
    resolved[name] = value === false ? Infinity : value;
  }
  return resolved as unknown as Limits;
}

/** The error that describes a connection closed for a limit: `code`, `limit`, `met`. */
export function limitError(
  code: "RC_ERR_BUFFERED_BYTES" | "RC_ERR_STALLED" | "RC_ERR_QUEUED_PONGS",
  what: string,
  limit: number,
  met: number,
): LimitError {
  return new LimitError(code, `${what}: limit ${limit}, met ${met}`, limit, met);
}
