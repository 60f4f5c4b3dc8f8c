// Waiting for events in tests, with errors that say what came instead.
import { clearTimeout, setTimeout } from "node:timers";
import { performance } from "node:perf_hooks";
import { inspect } from "node:util";
import { UsageError } from "../errors";

const DEFAULT_TIMEOUT_MS = 2_000;
/** What a timer of Node.js takes: a longer one would end at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
/** How many events are remembered, of each client. */
const REMEMBERED = 20;
/** Taken when this module is loaded: waits must end under a fake clock, too. */
const setTimeoutOfNode = setTimeout;
const clearTimeoutOfNode = clearTimeout;
/** @internal */
export const now = performance.now.bind(performance);
/** Waits so many milliseconds of real time. @internal */
export const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeoutOfNode(resolve, ms));
/** Events that tell of a connection, which `onAny` does not report. */
const OF_CONNECTIONS = ["connect", "connect_error", "disconnect"];

type Listener = (...args: any[]) => void;

/** What can be listened to: an `EventEmitter`, a socket of either side, a namespace, a server. */
export interface Emitter {
  on(event: any, listener: Listener): unknown;
  off(event: any, listener: Listener): unknown;
}

/** Options of `expectEvent`. */
export interface ExpectOptions {
  /** How long to wait, in milliseconds of real time, also under a fake clock; default 2,000. */
  timeoutMs?: number;
  /** Whether an event of that name is the right one; others are left alone. */
  where?: (...args: any[]) => boolean;
}

interface Received {
  readonly at: number;
  readonly event: string;
  readonly args: readonly unknown[];
}

interface AnyListener {
  onAny?(listener: (event: string, ...args: unknown[]) => void): unknown;
  offAny?(listener: (event: string, ...args: unknown[]) => void): unknown;
}

const records = new WeakMap<object, Received[]>();

/** Remembers the latest events of a client, so that errors can tell of those that came too early. @internal */
export function record(client: Emitter & AnyListener): void {
  const received: Received[] = [];
  records.set(client, received);
  listenToAll(client, (event, args) => {
    received.push({ at: now(), event, args });
    if (received.length > REMEMBERED) received.shift();
  });
}

/**
 * Waits for the next event.
 * @param emitter  a socket of either side, a namespace, a server, or any `EventEmitter`
 * @param event    the name of the event
 * @returns its arguments. Rejects after `timeoutMs` with an error that says what arrived instead, and whether the event arrived before it was expected;
 *   with the error of `where` if that throws. A rejection that nobody awaits yet is not an unhandled one
 * @throws UsageError RC_ERR_ARGUMENT, at once
 * @example
 * const heard = expectEvent(client, "news");
 * io.emit("news", 1);
 * assert.deepEqual(await heard, [1]);
 */
export function expectEvent(emitter: Emitter, event: string, options: ExpectOptions = {}): Promise<any[]> {
  expectEmitter(emitter, event, "expectEvent");
  const { timeoutMs, where } = checked(options);
  const late = new Error();
  Error.captureStackTrace(late, expectEvent);
  const startedAt = now();
  const promise = new Promise<any[]>((resolve, reject) => {
    const instead: Received[] = [];
    const stop = listenToAll(emitter, (name, args) => {
      if (instead.length < REMEMBERED) instead.push({ at: now(), event: name, args });
    });
    const onEvent = (...args: unknown[]): void => {
      try {
        if (where !== undefined && !where(...args)) return;
      } catch (error) {
        end();
        return reject(error instanceof Error ? error : new Error(String(error)));
      }
      end();
      resolve(args);
    };
    const timer = setTimeoutOfNode(() => {
      end();
      late.message = `expected the event ${JSON.stringify(event)} within ${timeoutMs} ms; ${told(emitter, event, instead, startedAt)}`;
      reject(late);
    }, timeoutMs);
    const end = (): void => {
      clearTimeoutOfNode(timer);
      emitter.off(event, onEvent);
      stop();
    };
    emitter.on(event, onEvent);
  });
  promise.catch(() => {}); // a test awaits it later, behind what causes the event
  return promise;
}

/**
 * Expects that an event does not come while something else happens. Sees what comes from the call on: call it in the tick of what may cause the event.
 * @param during  a promise; `network.settled()` of a test server is one that needs no time
 * @returns resolves with `during`. Rejects at once when the event comes, and with UsageError RC_ERR_ARGUMENT when `during` is no promise
 * @example
 * io.to("others").emit("secret");
 * await expectNoEvent(client, "secret", network.settled());
 */
export async function expectNoEvent(emitter: Emitter, event: string, during: PromiseLike<unknown>): Promise<void> {
  expectEmitter(emitter, event, "expectNoEvent");
  if (typeof (during as PromiseLike<unknown> | undefined)?.then !== "function")
    throw new UsageError("RC_ERR_ARGUMENT", `expectNoEvent: expected a promise, like network.settled(), met ${met(during)}`);
  const early = new Error();
  Error.captureStackTrace(early, expectNoEvent);
  let onEvent!: Listener;
  const came = new Promise<never>((_, reject) => {
    onEvent = (...args: unknown[]) => {
      early.message = `expected no event ${JSON.stringify(event)}, received ${shown(event, args)}`;
      reject(early);
    };
  });
  emitter.on(event, onEvent);
  try {
    await Promise.race([came, during]);
  } finally {
    emitter.off(event, onEvent);
  }
}

/** Settles like `promise`, or rejects after so many milliseconds of real time. @internal */
export function withinMs<T>(ms: number, promise: Promise<T>, message: () => string): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeoutOfNode(() => reject(new Error(message())), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeoutOfNode(timer));
}

/** A value that was not expected, in a few words. @internal */
export function met(value: unknown): string {
  return inspect(value, { depth: -1, maxStringLength: 50 });
}

function expectEmitter(emitter: unknown, event: unknown, name: string): void {
  const { on, off } = (emitter ?? {}) as Partial<Emitter>;
  if (typeof on !== "function" || typeof off !== "function")
    throw new UsageError("RC_ERR_ARGUMENT", `${name}: expected an emitter of events, met ${met(emitter)}`);
  if (typeof event !== "string") throw new UsageError("RC_ERR_ARGUMENT", `${name}: expected the name of an event, met ${met(event)}`);
}

function checked(options: ExpectOptions): { timeoutMs: number; where: ExpectOptions["where"] } {
  const refuse = (text: string, value: unknown): never => {
    throw new UsageError("RC_ERR_ARGUMENT", `expectEvent: expected ${text}, met ${met(value)}`);
  };
  if (typeof options !== "object" || options === null) return refuse("options like { timeoutMs: 500 }", options);
  const { timeoutMs = DEFAULT_TIMEOUT_MS, where } = options;
  if (typeof timeoutMs !== "number" || !(timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS))
    return refuse(`timeoutMs above 0 and up to ${MAX_TIMEOUT_MS}`, timeoutMs);
  if (where !== undefined && typeof where !== "function") return refuse("a function as where", where);
  return { timeoutMs, where };
}

/** @returns stops listening */
function listenToAll(emitter: Emitter & AnyListener, listener: (event: string, args: unknown[]) => void): () => void {
  if (typeof emitter.onAny !== "function") return () => {};
  const onAny = (event: string, ...args: unknown[]): void => listener(event, args);
  const own = OF_CONNECTIONS.map((event) => [event, (...args: unknown[]) => listener(event, args)] as const);
  emitter.onAny(onAny);
  for (const [event, each] of own) emitter.on(event, each);
  return () => {
    emitter.offAny!(onAny);
    for (const [event, each] of own) emitter.off(event, each);
  };
}

function told(emitter: Emitter & AnyListener, event: string, instead: Received[], startedAt: number): string {
  if (typeof emitter.onAny !== "function") return "what else this emitter emits is not known";
  const early = records
    .get(emitter)
    ?.filter((each) => each.event === event && each.at < startedAt)
    .at(-1);
  const list = instead.map((each) => shown(each.event, each.args)).join(", ");
  const text = list === "" ? "received nothing" : `received instead: ${list}`;
  const beforeMs = early === undefined ? 0 : startedAt - early.at;
  return early === undefined ? text : `${text}. It came ${beforeMs.toFixed(1)} ms before it was expected: ${shown(event, early.args)}`;
}

function shown(event: string, args: readonly unknown[]): string {
  const values = args.map((value) => (value instanceof Error ? String(value) : inspect(value, { depth: 2, breakLength: Infinity })));
  const text = `${event}(${values.join(", ")})`;
  return text.length > 200 ? `${text.slice(0, 199)}…` : text;
}
