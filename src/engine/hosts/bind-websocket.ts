import type { WebSocket } from "ws";

/** What hears of a WebSocket's events. */
export interface BoundWebSocket {
  onMessage(data: Buffer, isBinary: boolean): void;
  onPing(data: Buffer): void;
  onClose(): void;
  onError(error: Error): void;
}

const kWire = Symbol("wire");

/** What of the `ws` interface a WebSocket must have, whichever `wsEngine` made it. */
interface Emitter {
  on(event: string, listener: (...args: never[]) => void): unknown;
  [kWire]: BoundWebSocket;
}

/**
 * Lets `wire` hear of the events of `ws`: four functions shared by all connections find it through a property of the WebSocket.
 * @param withPings  false when the WebSocket answers pings by itself
 */
export function bindWebSocket(ws: WebSocket, wire: BoundWebSocket, { withPings = true } = {}): void {
  const emitter = ws as unknown as Emitter;
  emitter[kWire] = wire;
  emitter.on("message", onMessage);
  emitter.on("close", onClose);
  emitter.on("error", onError);
  if (withPings) emitter.on("ping", onPing);
}

/** Hot: once per incoming frame. */
function onMessage(this: Emitter, data: Buffer, isBinary: boolean): void {
  this[kWire].onMessage(data, isBinary);
}

function onPing(this: Emitter, data: Buffer): void {
  this[kWire].onPing(data);
}

function onClose(this: Emitter): void {
  this[kWire].onClose();
}

function onError(this: Emitter, error: Error): void {
  this[kWire].onError(error);
}
