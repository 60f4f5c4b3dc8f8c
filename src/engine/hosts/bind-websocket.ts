// Connects the events of a WebSocket object of a library to a wire.
import type { WebSocket } from "ws";
import { MAX_CHUNKS, MAX_FRAGMENTS } from "./node/frame-reader";

/** The wire, which handles the events. */
export interface BoundWebSocket {
  onMessage(data: Buffer, isBinary: boolean): void;
  onPing(data: Buffer): void;
  /** A Close frame of the peer. */
  onCloseFrame(code: number, reason: Buffer): void;
  onClose(): void;
  onError(error: Error): void;
}

const EMPTY = Buffer.alloc(0);
const kWire = Symbol("wire");

const MIN_FRAGMENT_LIMIT = 1024;

/**
 * Limits for a `ws` that reads frames: chunks of one frame, and fragments of one message. A fragment keeps the whole chunk that contains it
 * in memory, so the limit is lower for small messages than the default of `ws` (ROB-141).
 */
export function receiverBounds(maxMessageBytes: number): { maxBufferedChunks: number; maxFragments: number } {
  const limit = maxMessageBytes > 0 ? Math.ceil(maxMessageBytes / 1024) : MAX_FRAGMENTS;
  return { maxBufferedChunks: MAX_CHUNKS, maxFragments: Math.min(MAX_FRAGMENTS, Math.max(MIN_FRAGMENT_LIMIT, limit)) };
}

/** The members of a WebSocket that are used here; each `wsEngine` must provide them. */
interface Emitter {
  on(event: string, listener: (...args: never[]) => void): unknown;
  [kWire]: BoundWebSocket;
}

/**
 * Adds listeners to `ws` that call `wire`. All connections share four functions, which find their wire through a property.
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

function onMessage(this: Emitter, data: Buffer, isBinary: boolean): void {
  this[kWire].onMessage(data, isBinary);
}

function onPing(this: Emitter, data: Buffer): void {
  this[kWire].onPing(data);
}

/** 1006: there was no Close frame. A minimal WebSocket gives no code. */
function onClose(this: Emitter, code?: number, reason?: Buffer): void {
  if (typeof code === "number" && code !== 1006) this[kWire].onCloseFrame(code, reason ?? EMPTY);
  this[kWire].onClose();
}

function onError(this: Emitter, error: Error): void {
  this[kWire].onError(error);
}
