import { UsageError } from "../errors";
import { RESERVED_EVENTS as RESERVED_NAMES } from "../protocol/packet";
import type { DisconnectReason } from "./disconnect-reason";

/*
 * Names that mean something on this side only: a peer must not be able to send them, nor a program to emit them.
 */

/** Events of a socket that the server itself raises. */
export interface SocketReservedEventsMap {
  disconnect: (reason: DisconnectReason, description?: any) => void;
  disconnecting: (reason: DisconnectReason, description?: any) => void;
  error: (err: Error) => void;
}

/** Events that Node's emitters raise about their own listeners. */
export interface EventEmitterReservedEventsMap {
  newListener: (eventName: string | symbol, listener: (...args: any[]) => void) => void;
  removeListener: (eventName: string | symbol, listener: (...args: any[]) => void) => void;
}

/** Names that `emit` refuses, and that are refused from the network. */
export const RESERVED_EVENTS: ReadonlySet<unknown> = RESERVED_NAMES;

/** Names that `serverSideEmit` refuses, and that are refused from other servers. */
export const SERVER_RESERVED_EVENTS: ReadonlySet<unknown> = new Set<unknown>(["connect", "connection", "new_namespace", "listener_error"]);

/** The error for an attempt to emit a reserved name. */
export function reservedEventError(event: unknown): UsageError {
  return new UsageError("RC_ERR_RESERVED_EVENT", `"${String(event)}" is a reserved event name`);
}
