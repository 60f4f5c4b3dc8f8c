// Reserved event names: programs cannot emit them, and peers cannot send them.
import { UsageError } from "../errors";
import { RESERVED_EVENTS as RESERVED_NAMES } from "../protocol/packet";
import type { DisconnectDescription, DisconnectReason } from "./socket/disconnect-reason";

/** Events of a socket that the server itself emits. */
export interface SocketReservedEventsMap {
  /** `description`: always there, but for sessions of an engine of another package. */
  disconnect: (reason: DisconnectReason, description: DisconnectDescription) => void;
  disconnecting: (reason: DisconnectReason, description: DisconnectDescription) => void;
  error: (err: Error) => void;
}

/** Events that Node's event emitters emit about their own listeners. */
export interface EventEmitterReservedEventsMap {
  newListener: (eventName: string | symbol, listener: (...args: any[]) => void) => void;
  removeListener: (eventName: string | symbol, listener: (...args: any[]) => void) => void;
}

/** Names that `emit` throws on, and that close the connection of a client that sends them (EVT-1, EVT-24). */
export const RESERVED_EVENTS: ReadonlySet<unknown> = RESERVED_NAMES;

/** Names that `serverSideEmit` throws on, and that are ignored when another server sends them (SSE-2). */
export const SERVER_RESERVED_EVENTS: ReadonlySet<unknown> = new Set<unknown>(["connect", "connection", "new_namespace", "listener_error"]);

/**
 * Checks the name of an event that a program emits. Hot: once per emit and once per broadcast.
 * @throws UsageError RC_ERR_RESERVED_EVENT; RC_ERR_EVENT_NAME on a name that clients cannot decode: they would close the connection (ROB-390)
 */
export function expectEventName(name: unknown, reserved: ReadonlySet<unknown> = RESERVED_EVENTS): void {
  if (typeof name === "string" ? reserved.has(name) : !Number.isFinite(name)) throw eventNameError(name);
}

function eventNameError(name: unknown): UsageError {
  if (typeof name === "string") return new UsageError("RC_ERR_RESERVED_EVENT", `"${name}" is a reserved event name`);
  const met = typeof name === "number" ? String(name) : name === null ? "null" : typeof name;
  return new UsageError("RC_ERR_EVENT_NAME", `event name: expected a string or a finite number, met ${met}`);
}
