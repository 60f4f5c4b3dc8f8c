// Counters of an engine: how its sessions and their sockets ended, what it refused, and what it dropped.
import { ERROR_CODES, type ErrorCode } from "../errors";
import { eventsDropped, limitMet } from "./channels";
import { CLOSE_REASONS, DISCONNECT_REASONS, type CloseReason, type DisconnectReason } from "./close-reason";
import type { SessionHost } from "./session-host";
import { ERRORS, type ErrorNumber, type Refusal } from "./verification";

export const DROP_CAUSES = ["overRate", "slowReader", "volatile"] as const;

/**
 * Why an event was dropped: `overRate` (from a client, `limits.overRate: "drop"`), `slowReader` (to a client, `slowReaders: "drop-oldest"`), `volatile`
 * (to a client that could not take it at once).
 */
export type DropCause = (typeof DROP_CAUSES)[number];

/**
 * Counters since the start of the engine (`io.engine.counts`). All keys exist from the start, with 0, and no key is ever added: what a peer
 * sends is never a key. To count anew, read the difference; the numbers only grow.
 * @example const { sessions, codes } = io.engine.counts; console.log(sessions["ping timeout"], codes.RC_ERR_STALLED);
 */
export class Counts {
  /** Sessions (connections) that have ended, by reason. */
  readonly sessions: Readonly<Record<CloseReason, number>> = zeros(CLOSE_REASONS);
  /** Sockets that were disconnected from their namespace, by reason. One connection may have several. */
  readonly sockets: Readonly<Record<DisconnectReason, number>> = zeros(DISCONNECT_REASONS);
  /** Refused handshakes and requests, by the code that the client gets: 0 to 5. */
  readonly refusals: Readonly<Record<ErrorNumber, number>> = zeros(Object.values(ERRORS));
  /** The coded causes: errors for which a session ended or a request was refused, by `code`. */
  readonly codes: Readonly<Record<ErrorCode, number>> = zeros(Object.keys(ERROR_CODES) as ErrorCode[]);

  /** Events that were dropped, by cause. A volatile broadcast counts once for each client that does not get it. */
  readonly dropped: Readonly<Record<DropCause, number>> = zeros(DROP_CAUSES);

  /** Not enumerable: counters are copied and printed. */
  readonly #engine: SessionHost | null;

  /** @param engine  what its channels name; null where nothing is counted @internal */
  constructor(engine: SessionHost | null = null) {
    this.#engine = engine;
  }

  /** Counts one occurrence of a code that neither ends a session nor refuses a request; those are counted by themselves. @internal */
  add(code: ErrorCode): void {
    this.addCode(code, undefined);
  }

  private addCode(code: ErrorCode, error: unknown): void {
    increment(this.codes, code);
    if (limitMet.hasSubscribers) limitMet.publish({ engine: this.#engine!, code, error });
  }

  /** A session has ended. @param cause  counted if it has a code @internal */
  onSessionEnd(reason: CloseReason, cause: unknown): void {
    increment(this.sessions, reason);
    this.addCause(cause);
  }

  /** A socket was disconnected. @internal */
  onDisconnect(reason: DisconnectReason): void {
    increment(this.sockets, reason);
  }

  /** Events were dropped. @internal */
  onDropped(cause: DropCause, events = 1): void {
    increment(this.dropped, cause, events);
    if (eventsDropped.hasSubscribers) eventsDropped.publish({ engine: this.#engine!, cause, events });
  }

  /** A request was refused. If `context.error` has a code, it is counted, too. @internal */
  onRefusal({ code, context }: Refusal): void {
    increment(this.refusals, code);
    this.addCause(context["error"]);
  }

  /** Counts the code of an error, if it is one of `ERROR_CODES`. @internal */
  addCause(cause: unknown): void {
    if (typeof cause !== "object" || cause === null) return;
    const { code } = cause as { code?: ErrorCode };
    if (Object.hasOwn(this.codes, code as string)) this.addCode(code!, cause);
  }
}

function zeros<Key extends string | number>(keys: readonly Key[]): Record<Key, number> {
  return Object.fromEntries(keys.map((key) => [key, 0])) as Record<Key, number>;
}

/** Only known keys are counted. */
function increment(counters: object, key: unknown, by = 1): void {
  if (Object.hasOwn(counters, key as string)) (counters as Record<string, number>)[key as string] += by;
}
