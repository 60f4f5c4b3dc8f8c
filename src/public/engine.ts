/*
 * The door `roomcast/engine`: the engine alone, with the names that programs for Engine.IO use.
 */
import { PollingTransport } from "../engine/transports/polling";
import { WebSocketTransport } from "../engine/transports/websocket";

export { Server, attach, listen } from "../engine/hosts/node-http";
export { BaseServer, type ErrorCallback } from "../engine/engine";
export { Session as Socket } from "../engine/session";
export { Transport } from "../engine/transport";
export type { AttachOptions, CookieOptions, ServerOptions } from "../engine/options";
export type { LimitOptions } from "../engine/limits";

/** The transports by name. */
export const transports = { polling: PollingTransport, websocket: WebSocketTransport };
/** Revision of the Engine.IO protocol. */
export const protocol = 4;
