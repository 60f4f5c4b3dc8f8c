/*
 * The entry `roomcast/engine`: the engine alone, under the names that programs for Engine.IO use.
 */
import { PollingTransport } from "../engine/transports/polling";
import { WebSocketTransport } from "../engine/transports/websocket";
import { WebTransportTransport } from "../engine/transports/webtransport";
import * as engineParser from "./engine-parser";

export { Server, attach, listen } from "../engine/hosts/node/http";
export { UwsServer as uServer, type UwsOptions } from "../engine/hosts/uws/server";
export type { TemplatedApp } from "../engine/hosts/uws/api";
export { BaseServer, type ErrorCallback } from "../engine/engine";
export { Session as Socket } from "../engine/session";
export { Transport } from "../engine/transport";
export type { AttachOptions, CookieOptions, EngineOptions as ServerOptions } from "../engine/options";
export type { Counts } from "../engine/counts";
export type { LimitOptions } from "../engine/limits";
export type { WebTransportSession, WebTransportStream } from "../engine/transports/webtransport";

/** The transports by name. */
export const transports = { polling: PollingTransport, websocket: WebSocketTransport, webtransport: WebTransportTransport };
/** Codecs of packets and payloads. */
export const parser = engineParser;
/** Revision of the Engine.IO protocol. */
export const protocol = 4;
