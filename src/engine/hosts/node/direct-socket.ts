// Reading and writing plain TCP sockets below the streams of net.Socket: the first step of "a frame in", the last of "an emit out".
//
// Each read and write of a net.Socket passes the state machines of two streams; a read also allocates 64 KiB and shrinks them to the chunk.
// This file decides when the streams can be bypassed: only while the program can't observe it. `support/node-internals.ts` does it, on the
// versions of Node.js that are listed there.
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { Writable } from "node:stream";
import { readInto, writeToHandle, type LentReader, type SocketHandle } from "../../../support/node-internals";
import { isReplaced } from "../../../support/replaced-methods";

const LENT_BYTES = 64 * 1024;
const originalWrite: unknown = Writable.prototype.write;
const originalEmit: unknown = EventEmitter.prototype.emit;

let lent: Buffer | null = null;

/**
 * Writes to the handle, in order with what was written to the stream. Bytes that the system doesn't take are counted by `queuedBytes`.
 * Hot: 200 rooms of 5. The plain way is `net.write`.
 * @param bytes  a text is Latin-1
 * @returns false when the caller must use the stream, which reports errors
 */
export function writeDirectly(net: Socket, handle: SocketHandle, bytes: string | Buffer): boolean {
  if (net.writableLength > 0 || net.writableEnded || net.destroyed) return false;
  if (isReplaced("net.write", net.write, originalWrite)) return false;
  if (net.timeout) return false; // a program has set an idle time-out: only writes to the stream restart it
  return writeToHandle(net, handle, bytes);
}

/**
 * Reads chunks into a buffer that all connections share, and passes them to `reader`.
 * Hot: echo with ack, 1 in flight. The plain way is the event `data`, with a buffer for each chunk.
 * @returns false when the stream must be used
 */
export function readDirectly(net: Socket, handle: SocketHandle | null, reader: LentReader): boolean {
  return handle !== null && readInto((lent ??= Buffer.allocUnsafeSlow(LENT_BYTES)), net, handle, reader);
}

/** Whether the stream would only pass a chunk to its one `data` listener, so that it can be bypassed. */
export function isStreamIdle(net: Socket): boolean {
  if (net.readableFlowing !== true || net.readableLength > 0 || net.listenerCount("data") !== 1) return false;
  return !isReplaced("net.emit", net.emit, originalEmit);
}
