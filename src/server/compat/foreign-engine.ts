// Connections of engines of other packages (`io.bind()`, `io.onconnection()`).
import type { IncomingMessage } from "node:http";
import type { DisconnectReason } from "../socket/disconnect-reason";

/** Receives the messages, the errors and the close of a connection; `Client` implements it. */
export interface ConnectionListener {
  ondata(data: unknown): void;
  onerror(error: Error): void;
  onclose(reason: DisconnectReason, description: unknown): void;
}

/** The members that a connection of another engine must have. Sessions of this package have more. */
export interface Connection {
  readonly id: string;
  readonly protocol: number;
  readonly readyState: string;
  readonly request?: IncomingMessage | null;
  readonly remoteAddress?: string | undefined;
  readonly transport: { readonly name: string; readonly writable: boolean };
  write(data: unknown, options?: object): unknown;
  close(): unknown;
  on(event: string, listener: (...args: any[]) => void): unknown;
  removeListener?(event: string, listener: (...args: any[]) => void): unknown;
}

// The connection refers to its listener, so that all connections share the same functions.

const LISTENER = Symbol("listener");
type Bound = Connection & { [LISTENER]: ConnectionListener };

/** Passes the messages, errors and close of such a connection to `listener`. */
export function listenTo(conn: unknown, listener: ConnectionListener): void {
  const bound = conn as Bound;
  bound[LISTENER] = listener;
  bound.on("data", onData);
  bound.on("error", onError);
  bound.on("close", onClose);
}

function onData(this: Bound, data: unknown): void {
  this[LISTENER].ondata(data);
}

function onError(this: Bound, error: Error): void {
  this[LISTENER].onerror(error);
}

function onClose(this: Bound, reason: DisconnectReason, description: unknown): void {
  this[LISTENER].onclose(reason, description);
}
