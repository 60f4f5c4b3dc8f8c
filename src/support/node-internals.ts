// The ledger of internals: all that roomcast uses of Node.js and of `ws` without a promise in their documentation.
//
// Each entry names the members, what they are used for, how they are probed, what is done without them, and the Node.js majors on which
// `.ci/run` tests it. On any other major, on Bun and on Deno no entry is used: the documented way does the same. No other source may
// name an undocumented member (test/project/architecture/internals.test.js).
import { EventEmitter } from "node:events";
import { Socket } from "node:net";
import { getSystemErrorName } from "node:util";
import { constants as zlib } from "node:zlib";
import type { WebSocket } from "ws";

/** Those of `.ci/node-versions`. */
const TESTED_MAJORS: readonly number[] = [20, 22, 24, 26];

const { node, bun, deno } = process.versions;
const isTested = bun === undefined && deno === undefined && TESTED_MAJORS.includes(Number.parseInt(node));

/*
 * Entry: emitters without a table of listeners
 * Members: _events, _eventsCount, _maxListeners
 * Used for: objects of a connection that nobody listens to; each saves its empty table. Scenario "idle memory, 10,000 clients": 11 % of the
 *   heap.
 * Probe: an emitter has these three members and no other; one without a table takes listeners and calls them.
 * Fallback: EventEmitter itself (`lean-emitter.ts`).
 * Node majors: 20, 22, 24, 26
 */

function EmitterWithoutTable(this: Record<string, unknown>): void {
  this["_events"] = undefined;
  this["_eventsCount"] = 0;
  this["_maxListeners"] = undefined;
}
EmitterWithoutTable.prototype = Object.create(EventEmitter.prototype, {
  constructor: { value: EmitterWithoutTable, writable: true, configurable: true },
});
Object.setPrototypeOf(EmitterWithoutTable, EventEmitter);

/** An `EventEmitter` that makes its table of listeners at the first `on` instead of in the constructor; null where that can't be. */
export const LeanEventEmitter: (new () => EventEmitter) | null = isTested && areTablesAsKnown() ? constructorOf(EmitterWithoutTable) : null;

function constructorOf(constructor: unknown): new () => EventEmitter {
  return constructor as new () => EventEmitter;
}

function areTablesAsKnown(): boolean {
  try {
    if (Object.keys(new EventEmitter()).join() !== "_events,_eventsCount,_maxListeners") return false;
    const emitter = new (constructorOf(EmitterWithoutTable))();
    let calls = 0;
    emitter.on("probe", () => calls++);
    return emitter.emit("probe") && calls === 1 && emitter.listenerCount("probe") === 1 && !emitter.emit("other");
  } catch {
    return false;
  }
}

/*
 * Entry: connections that are handed to another process
 * Members: _handle, readStop
 * Used for: upgrades at another worker than that of the session. After `process.send(message, socket)` Node.js goes on reading until the other
 *   process has the connection, and drops what it reads (ROB-986).
 * Probe: the handle has the method, which gives 0.
 * Fallback: the connection stays, and its messages are carried (`handover.ts`).
 * Node majors: 20, 22, 24, 26
 */

/** Stops reading from a connection, so that another process reads what arrives. @returns false if that isn't known to work */
export function stopReading(net: Socket): boolean {
  const handle = (net as Internals)._handle as { readStop?(): number } | null;
  return isTested && typeof handle?.readStop === "function" && handle.readStop() === 0;
}

/*
 * Entry: writes below the stream of a socket
 * Members: _handle, writeBuffer, writeLatin1String, writeQueueSize, oncomplete, getAsyncId
 * Used for: the writes of WebSockets over plain TCP, without the state machine of a stream. Scenario "200 rooms of 5": 1.13 times.
 * Probe: an empty write of a socket with a stand-in for its handle shows how writes are called; each handle has all methods.
 * Fallback: `net.Socket.write` (`direct-socket.ts`, `wire.ts`).
 * Node majors: 20, 22, 24, 26
 */

/** What is used of a socket's handle (libuv's TCP or pipe). */
export interface SocketHandle {
  /**
   * Writes what the system takes at once and queues the rest in libuv, behind what is queued there.
   * @param request  carries what is queued; from Node.js 26 on null
   * @returns 0, or an error number; from Node.js 26 on also the request that carries what is queued
   */
  writeBuffer(request: WriteRequest | null, bytes: Buffer): number | WriteRequest;
  /** The same for a text whose characters are bytes. */
  writeLatin1String(request: WriteRequest | null, text: string): number | WriteRequest;
  /** Bytes in libuv's queue. */
  readonly writeQueueSize: number;
  /** From now on chunks are read into `buffer`, which is filled anew with each. */
  useUserBuffer(buffer: Buffer): void;
}

/** Carries a write that couldn't be done at once to its end. */
interface WriteRequest {
  oncomplete: ((this: WriteRequest, status: number) => void) | null;
  net?: Socket | null;
  /** To be kept until it is written. */
  bytes?: unknown;
  /** -1 while it carries nothing. One that does must not be given to another write: Node.js would end the process. */
  getAsyncId(): number;
}

type Internals = Socket & { _handle: Partial<SocketHandle> | null; [key: symbol]: unknown };

/** What the probe has found. */
interface SocketInternals {
  /** Makes requests; null where the handle makes them itself. */
  readonly Request: (new () => WriteRequest) | null;
  readonly readerKeys: ReaderKeys | null;
}

const UNUSED = -1;
/** Undefined until the first connection comes; null where sockets are not as known. */
let internals: SocketInternals | null | undefined;
let spare: WriteRequest | null = null;

/** The handle of a socket that may be used below the stream; null where the stream has to do it. */
export function handleOf(net: Socket): SocketHandle | null {
  if (internals === undefined) internals = isTested ? probeSockets() : null;
  const handle = (net as Internals)._handle;
  if (internals === null || handle == null || typeof handle.writeQueueSize !== "number") return null;
  return typeof handle.writeBuffer === "function" && typeof handle.writeLatin1String === "function" ? (handle as SocketHandle) : null;
}

/** Bytes that a handle was given and the system hasn't taken. */
export function queuedBytes(handle: SocketHandle): number {
  return handle.writeQueueSize;
}

/**
 * Writes to a handle. What the system doesn't take shows in `queuedBytes`.
 * Hot: bench scenario "200 rooms of 5".
 * @param bytes  a text is Latin-1
 * @returns false when nothing was written
 */
export function writeToHandle(net: Socket, handle: SocketHandle, bytes: string | Buffer): boolean {
  const { Request } = internals!;
  const request = Request === null ? null : (spare ?? new Request());
  spare = null;
  const result = typeof bytes === "string" ? handle.writeLatin1String(request, bytes) : handle.writeBuffer(request, bytes);
  if (typeof result === "object") carry(result, net, bytes);
  else if (result !== 0) return false;
  else if (request !== null && request.getAsyncId() === UNUSED) spare = request;
  else if (request !== null) carry(request, net, bytes);
  return true;
}

function carry(request: WriteRequest, net: Socket, bytes: unknown): void {
  request.net = net;
  request.bytes = bytes;
  request.oncomplete = onWritten;
}

function onWritten(this: WriteRequest, status: number): void {
  const net = this.net!;
  this.net = this.bytes = null;
  if (status >= 0 || net.destroyed) return;
  const code = getSystemErrorName(status);
  net.destroy(Object.assign(new Error(`write ${code}`), { errno: status, code, syscall: "write" }));
}

function probeSockets(): SocketInternals | null {
  try {
    const socket = new Socket() as Internals;
    let found: unknown;
    socket._handle = { writeBuffer: (request) => ((found = request), 0) };
    socket._write(Buffer.alloc(0), "buffer" as BufferEncoding, () => {});
    socket._handle = null;
    if (found !== null && !isRequest(found)) return null;
    return { Request: found === null ? null : (found.constructor as new () => WriteRequest), readerKeys: findReaderKeys() };
  } catch {
    return null; // sockets of another kind
  }
}

function isRequest(value: unknown): value is WriteRequest {
  if (typeof value !== "object" || value === null || value.constructor === Object) return false;
  return "getAsyncId" in value && (value as WriteRequest).getAsyncId() === UNUSED;
}

/*
 * Entry: reads below the stream of a socket
 * Members: useUserBuffer, the two symbols of `onread`
 * Used for: one buffer that the chunks of all connections are read into, instead of 64 KiB for each chunk. The documented option `onread`
 *   does it, but only for sockets that a program opens, not for those that a server accepts. Scenario "echo with ack, 1 in flight": 1.11 times.
 * Probe: a socket made with `onread` shows the symbols under which it keeps buffer and callback; the handle has the method.
 * Fallback: the `data` events of the stream (`socket-wire.ts` listens to them anyway).
 * Node majors: 20, 22, 24, 26
 */

/** Gets a chunk: the first `length` bytes of `lent`, valid during the call only. False stops reading until the stream resumes. */
export type LentReader = (this: Socket, length: number, lent: Buffer) => boolean;

/** Members under which a socket finds its reader. */
interface ReaderKeys {
  readonly buffer: symbol;
  readonly callback: symbol;
}

/** Has the chunks of a socket read into `buffer` and given to `reader`. @returns false where only the stream gives them */
export function readInto(buffer: Buffer, net: Socket, handle: SocketHandle, reader: LentReader): boolean {
  const keys = internals!.readerKeys;
  if (keys === null || typeof handle.useUserBuffer !== "function") return false;
  (net as Internals)[keys.buffer] = buffer;
  (net as Internals)[keys.callback] = reader;
  handle.useUserBuffer(buffer);
  return true;
}

function findReaderKeys(): ReaderKeys | null {
  const buffer = Buffer.alloc(1);
  const callback = (): boolean => true;
  const reader = new Socket({ onread: { buffer, callback } }) as Internals;
  const plain = new Socket() as Internals;
  const keyOf = (value: unknown): symbol | undefined =>
    Object.getOwnPropertySymbols(reader).find((key) => reader[key] === value && plain[key] === null);
  const keys = { buffer: keyOf(buffer), callback: keyOf(callback) };
  return keys.buffer === undefined || keys.callback === undefined ? null : (keys as ReaderKeys);
}

/*
 * Entry: a WebSocket of `ws` on a connection that was shaken hands for
 * Members: setSocket, _extensions; a constructor that takes null for the address
 * Used for: reading frames ourselves, and a WebSocket object of `ws` for programs that ask for it afterwards. Scenario "ingest, 20 per chunk".
 * Probe: such a WebSocket can be made, has the method with its three parameters, and shows the names of its extensions.
 * Fallback: `ws` shakes hands and reads from the start (`http.ts`, as with the option `receive: "ws"`).
 * Node majors: 20, 22, 24, 26, with `ws` 8
 */

type SocketTaker = WebSocket & { _extensions: Record<string, object>; setSocket(net: Socket, head: Buffer, options: object): void };

type WebSocketClass = new (address: never, protocols: undefined, options: never) => WebSocket;

/** Whether `makeWebSocket` and `giveConnection` may be called. @param Class  the one of `ws` */
export function canMakeWebSockets(Class: WebSocketClass): boolean {
  if (!isTested) return false;
  try {
    const ws = makeWebSocket(Class, {}) as SocketTaker;
    ws._extensions = { probe: {} };
    return typeof ws.setSocket === "function" && ws.setSocket.length === 3 && ws.extensions === "probe";
  } catch {
    return false;
  }
}

/** A WebSocket on the server's side, without a connection. */
export function makeWebSocket(Class: WebSocketClass, options: object): WebSocket {
  return new Class(null as never, undefined, options as never);
}

/**
 * Gives a WebSocket that was made so its connection, whose handshake is done.
 * @param extensions  those that were negotiated, by their names
 */
export function giveConnection(ws: WebSocket, net: Socket, options: object, extensions: Record<string, object>): void {
  (ws as SocketTaker)._extensions = extensions;
  (ws as SocketTaker).setSocket(net, Buffer.alloc(0), options);
}

/*
 * Entry: synchronous calls of a zlib stream
 * Members: _handle, _writeState, writeSync, reset of the handle, onerror
 * Used for: compressing and inflating each message with a stream that is reset, instead of one that is made for it.
 *   Scenario "echo of 2 KB of JSON with ack, perMessageDeflate": 1.36 times.
 * Probe: each stream gives the bytes that the documented function gives, twice.
 * Fallback: `deflateRawSync`, `inflateRawSync` (`deflate.ts`).
 * Node majors: 20, 22, 24, 26
 */

interface ZlibHandle {
  onerror: (message: string, errno: number, code: string) => void;
  reset(): void;
  writeSync(flush: number, input: Buffer, from: number, length: number, output: Buffer, to: number, space: number): void;
}

type ZlibStream = object & { readonly _handle?: ZlibHandle | null; readonly _writeState?: Uint32Array };

/** A stream of zlib that handles one message per call. */
export class MessageZlib {
  private readonly handle: ZlibHandle;
  /** Space left in the output, and bytes left of the input, after a call. */
  private readonly state: Uint32Array;
  private readonly output: Buffer;
  private failure: Error | null;

  /** @param output  memory for results */
  constructor(stream: object, output: Buffer) {
    const { _handle, _writeState } = stream as ZlibStream;
    this.handle = _handle!;
    this.state = _writeState!;
    this.output = output;
    this.failure = null;
    this.handle.onerror = (message, errno, code) => {
      this.failure = Object.assign(new Error(message), { errno, code });
    };
  }

  /**
   * @param parts     the message
   * @param maxBytes  limit for the result
   * @returns the result, valid until the next call; null when it is larger
   * @throws the error of zlib
   */
  run(parts: readonly Buffer[], maxBytes: number): Buffer | null {
    const { handle, state, output } = this;
    const full: Buffer[] = [];
    let end = 0;
    this.failure = null;
    handle.reset();
    for (const part of parts) {
      let left = part.length;
      for (;;) {
        handle.writeSync(zlib.Z_SYNC_FLUSH, part, part.length - left, left, output, end, output.length - end);
        if (this.failure !== null) throw this.failure as Error;
        end = output.length - state[0];
        left = state[1];
        if (full.length * output.length + end > maxBytes) return null;
        if (end < output.length) break; // all is read, or the stream has ended
        full.push(Buffer.from(output));
        end = 0;
      }
    }
    const rest = output.subarray(0, end);
    return full.length === 0 ? rest : Buffer.concat([...full, rest]);
  }
}

/**
 * Prepares a stream of zlib for synchronous use.
 * @param input     for the probe
 * @param expected  what the documented function makes of it
 * @returns null where that can't be
 */
export function messageZlibOf(stream: object, output: Buffer, input: Buffer, expected: Buffer): MessageZlib | null {
  if (!isTested) return null;
  try {
    const found = new MessageZlib(stream, output);
    for (let run = 0; run < 2; run++) if (found.run([input], Infinity)?.equals(expected) !== true) return null;
    return found;
  } catch {
    return null;
  }
}
