// Framing of packets on a WebTransport stream (Engine.IO protocol, "WebTransport"; EIO-35).
import { detachBytes, HELD_OVERHEAD_BYTES } from "../support/detach";
import { decodePacket, encodePacket, ERROR_PACKET, type EnginePacket } from "./engine-packet";

const BINARY_BIT = 0x80;
const LENGTH_16 = 126;
const LENGTH_64 = 127;

/** Encodes the header of a body of `length` bytes: one, three or nine bytes. */
export function encodeFrameHeader(length: number, isBinary: boolean): Buffer {
  let header: Buffer;
  if (length < LENGTH_16) header = Buffer.from([length]);
  else if (length < 65536) {
    header = Buffer.from([LENGTH_16, 0, 0]);
    header.writeUInt16BE(length, 1);
  } else {
    header = Buffer.alloc(9);
    header[0] = LENGTH_64;
    header.writeBigUInt64BE(BigInt(length), 1);
  }
  if (isBinary) header[0] |= BINARY_BIT;
  return header;
}

/** Encodes a packet as header and body. */
export function encodeFrame(packet: EnginePacket): [header: Buffer, body: Buffer] {
  const encoded = encodePacket(packet.type, packet.data, true);
  const isBinary = typeof encoded !== "string";
  const body = isBinary ? encoded : Buffer.from(encoded);
  return [encodeFrameHeader(body.length, isBinary), body];
}

const EMPTY = Buffer.alloc(0);

interface FrameHeader {
  readonly length: number;
  readonly isBinary: boolean;
}

/**
 * Splits a byte stream into packets, independently of its chunks (EIO-37).
 *
 * Incomplete input is kept in one buffer that doubles when it is full, so that many small chunks cost no more than a few large ones.
 */
export class FrameDecoder {
  private readonly maxPayloadBytes: number;
  // Bytes `start` to `end` of the store are received and not decoded yet.
  private store: Buffer;
  private start: number;
  private end: number;
  private header: FrameHeader | null;
  private isBroken: boolean;

  /** @param maxPayloadBytes  greatest length of a body; checked when its header is read (EIO-38) */
  constructor(maxPayloadBytes: number) {
    this.maxPayloadBytes = maxPayloadBytes;
    this.store = EMPTY;
    this.start = 0;
    this.end = 0;
    this.header = null;
    this.isBroken = false;
  }

  /**
   * Decodes a chunk into the packets that it completes. For a bad header, or a chunk that isn't bytes, the result ends with
   * `ERROR_PACKET`, and later chunks are ignored (ROB-143).
   */
  decode(chunk: Uint8Array): EnginePacket[] {
    const packets: EnginePacket[] = [];
    if (this.isBroken) return packets;
    if (!ArrayBuffer.isView(chunk)) {
      this.break();
      return [ERROR_PACKET];
    }
    this.append(chunk);
    while ((this.header ??= this.readHeader()) !== null) {
      const { length, isBinary } = this.header;
      if (!isAcceptable(length, this.maxPayloadBytes)) {
        this.break();
        packets.push(ERROR_PACKET);
        return packets;
      }
      if (this.end - this.start < length) break;
      const body = this.take(length);
      this.header = null;
      packets.push(decodePacket(isBinary ? detachBytes(body) : body.toString("utf8")));
    }
    this.shrink();
    return packets;
  }

  /** Memory of the part of a packet that was received; 0 for none. */
  get heldBytes(): number {
    return this.end > this.start || this.header !== null ? this.store.length + HELD_OVERHEAD_BYTES : 0;
  }

  private break(): void {
    this.isBroken = true;
    this.release();
  }

  /** Releases the store, or makes it smaller, when little of it is in use (ROB-140). */
  private shrink(): void {
    const waiting = this.end - this.start;
    if (waiting === 0) return this.release();
    if (waiting * 4 >= this.store.length) return;
    this.store = Buffer.from(this.store.subarray(this.start, this.end));
    this.start = 0;
    this.end = waiting;
  }

  private append(chunk: Uint8Array): void {
    const waiting = this.end - this.start;
    const needed = waiting + chunk.byteLength;
    // Decoded bodies are views of the store: bytes already decoded must not be overwritten.
    if (this.end + chunk.byteLength > this.store.length) {
      const store = Buffer.allocUnsafe(waiting === 0 ? needed : needed * 2);
      this.store.copy(store, 0, this.start, this.end);
      this.store = store;
      this.start = 0;
      this.end = waiting;
    }
    this.store.set(chunk, this.end);
    this.end += chunk.byteLength;
  }

  private readHeader(): FrameHeader | null {
    const waiting = this.end - this.start;
    if (waiting === 0) return null;
    const first = this.store[this.start];
    const code = first & ~BINARY_BIT;
    const size = code === LENGTH_16 ? 3 : code === LENGTH_64 ? 9 : 1;
    if (waiting < size) return null;
    const bytes = this.take(size);
    const length = size === 1 ? code : size === 3 ? bytes.readUInt16BE(1) : Number(bytes.readBigUInt64BE(1));
    return { length, isBinary: (first & BINARY_BIT) !== 0 };
  }

  private release(): void {
    this.store = EMPTY;
    this.start = 0;
    this.end = 0;
  }

  private take(count: number): Buffer {
    const taken = this.store.subarray(this.start, this.start + count);
    this.start += count;
    return taken;
  }
}

function isAcceptable(length: number, maxPayloadBytes: number): boolean {
  return length > 0 && length <= maxPayloadBytes && Number.isSafeInteger(length);
}
