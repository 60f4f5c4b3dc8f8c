// Whether a program observes events of a session. The events of each message and each flush are emitted only then.
import { EventEmitter } from "node:events";
import { hasListeners } from "../support/lean-emitter";
import { isReplaced } from "../support/replaced-methods";
import type { Session } from "./session";

const originalEmit: unknown = EventEmitter.prototype.emit;

/** Whether an event is observed: it has listeners, or the program has replaced `emit`. */
export function isObserved(session: Session, event: string): boolean {
  return hasListeners(session, event) || isReplaced("conn.emit", session.emit, originalEmit);
}

/** Whether the events `flush` and `drain` are observed, at the session or at its engine. */
export function isFlushObserved(session: Session): boolean {
  if (hasListeners(session, "flush") || hasListeners(session, "drain")) return true;
  if (isReplaced("conn.emit", session.emit, originalEmit)) return true;
  return session.server.listenerCount("flush") > 0 || session.server.listenerCount("drain") > 0;
}
