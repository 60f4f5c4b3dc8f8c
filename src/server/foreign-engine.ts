import type { IncomingMessage } from "node:http";
import type { Client } from "./connection";
import type { DisconnectReason } from "./disconnect-reason";

type AnyClient = Client<any, any, any, any>;

/** The contract that an engine's socket has to keep; sessions of our own engine offer more. */
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

// One function for all connections, a back-reference

const CLIENT = Symbol("client");
type Bound = Connection & { [CLIENT]: AnyClient };

/** Has a client hear of the messages and the end of a connection that is not one of our own engine's sessions. */
export function listenTo(conn: unknown, client: AnyClient): void {
  const bound = conn as Bound;
  bound[CLIENT] = client;
  bound.on("data", onData);
  bound.on("error", onError);
  bound.on("close", onClose);
}

function onData(this: Bound, data: unknown): void {
  this[CLIENT].ondata(data);
}

function onError(this: Bound, error: Error): void {
  this[CLIENT].onerror(error);
}

function onClose(this: Bound, reason: DisconnectReason, description: unknown): void {
  this[CLIENT].onclose(reason, description);
}
