// The last step of "an emit out" and the first of "a frame in" on plain TCP sockets: below the streams of a net.Socket.
//
// Each read and write of a net.Socket passes two state machines of streams; a read also allocates 64 KiB and shrinks them to what came.
// Beneath lies a handle whose methods are the same in every Node.js from 20 on, but in no documentation. They are looked for when the
// first connection comes; where one is missing, and while a program has changed how a socket is read or written, the stream does it.
import { EventEmitter } from "node:events";
import { Socket } from "node:net";
import { Readable, Writable } from "node:stream";
import { getSystemErrorName } from "node:util";

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

/** Gets a chunk: the first `length` bytes of `lent`, valid during the call only. False stops reading until the stream resumes. */
export type LentReader = (this: Socket, length: number, lent: Buffer) => boolean;

/** Members under which a socket finds its reader (`onread` of net's documentation). */
interface ReaderKeys {
  buffer: symbol;
  callback: symbol;
}

type Internals = Socket & { _handle: Partial<SocketHandle> | null; [key: symbol]: unknown };

const UNUSED = -1;
const LENT_BYTES = 64 * 1024;
const originalWrite: unknown = Writable.prototype.write;
const originalInnerWrite: unknown = Socket.prototype._write;
const originalPush: unknown = Readable.prototype.push;
const originalEmit: unknown = EventEmitter.prototype.emit;

let isProbed = false;
/** What makes requests; null where the handle does, undefined where nothing may be written directly. */
let Request: (new () => WriteRequest) | null | undefined;
let readerKeys: ReaderKeys | null = null;
let spare: WriteRequest | null = null;
let lent: Buffer | null = null;

/** The handle of a socket that may be used directly; null where the stream has to do it. */
export function handleOf(net: Socket): SocketHandle | null {
  if (!isProbed) probe();
  const handle = (net as Internals)._handle;
  if (Request === undefined || handle == null || net._write !== originalInnerWrite) return null;
  if (typeof handle.writeQueueSize !== "number") return null;
  return typeof handle.writeBuffer === "function" && typeof handle.writeLatin1String === "function" ? (handle as SocketHandle) : null;
}

/**
 * Writes to the handle, in order with what was written to the stream. What the system doesn't take shows in `handle.writeQueueSize`.
 * Hot: once per connection and tick. Benchmarks "echo", "broadcast".
 * @param bytes  a text is Latin-1
 * @returns false when the stream has to do it
 */
export function writeDirectly(net: Socket, handle: SocketHandle, bytes: string | Buffer): boolean {
  if (net.writableLength > 0 || net.writableEnded || net.destroyed || net.write !== originalWrite) return false;
  if (net.timeout) return false; // somebody counts idle time: only the stream tells the timer
  const request = Request === null ? null : (spare ?? new Request!());
  spare = null;
  const result = typeof bytes === "string" ? handle.writeLatin1String(request, bytes) : handle.writeBuffer(request, bytes);
  if (typeof result === "object") carry(result, net, bytes);
  else if (result !== 0)
    return false; // nothing was written; the stream meets the same error, and reports it
  else if (request !== null && request.getAsyncId() === UNUSED) spare = request;
  else if (request !== null) carry(request, net, bytes);
  return true;
}

/**
 * Has chunks given to `reader` in a buffer that all connections share. @returns false where only the stream gives them
 */
export function readDirectly(net: Socket, handle: SocketHandle | null, reader: LentReader): boolean {
  if (handle === null || readerKeys === null || typeof handle.useUserBuffer !== "function") return false;
  lent ??= Buffer.allocUnsafeSlow(LENT_BYTES);
  (net as Internals)[readerKeys.buffer] = lent;
  (net as Internals)[readerKeys.callback] = reader;
  handle.useUserBuffer(lent);
  return true;
}

/** Whether the stream would hand a chunk to its one `data` listener and do nothing else: then it may be left out. Hot. */
export function isStreamIdle(net: Socket): boolean {
  if (net.readableFlowing !== true || net.readableLength > 0 || net.listenerCount("data") !== 1) return false;
  return net.push === originalPush && net.emit === originalEmit;
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

/** Looks at what a socket does with a handle and with `onread`. */
function probe(): void {
  isProbed = true;
  try {
    const writer = new Socket() as Internals;
    let found: unknown;
    writer._handle = { writeBuffer: (request) => ((found = request), 0) };
    writer._write(Buffer.alloc(0), "buffer" as BufferEncoding, () => {});
    writer._handle = null;
    if (found === null) Request = null;
    else if (isRequest(found)) Request = found.constructor as new () => WriteRequest;

    const buffer = Buffer.alloc(1);
    const callback = (): boolean => true;
    const reader = new Socket({ onread: { buffer, callback } }) as Internals;
    const plain = new Socket() as Internals;
    const keyOf = (value: unknown): symbol | undefined =>
      Object.getOwnPropertySymbols(reader).find((key) => reader[key] === value && plain[key] === null);
    const keys = { buffer: keyOf(buffer), callback: keyOf(callback) };
    if (keys.buffer !== undefined && keys.callback !== undefined) readerKeys = keys as ReaderKeys;
  } catch {
    Request = undefined; // not the Node.js that this was written for
    readerKeys = null;
  }
}

function isRequest(value: unknown): value is WriteRequest {
  if (typeof value !== "object" || value === null || value.constructor === Object) return false;
  return "getAsyncId" in value && (value as WriteRequest).getAsyncId() === UNUSED;
}
