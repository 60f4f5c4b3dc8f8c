// Framing of packets on a WebTransport stream (Engine.IO protocol, "WebTransport").
import { decodePacket, encodePacket, ERROR_PACKET, type EnginePacket } from "./engine-packet";

const BINARY_BIT = 0x80;
const LENGTH_16 = 126;
const LENGTH_64 = 127;

/** The header of a body of `length` bytes: one, three or nine bytes. */
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

/** A packet as header and body. */
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
 * Cuts a byte stream, in whatever chunks it comes, into packets.
 *
 * What is incomplete lies in one store that doubles as it fills, so that many small chunks cost no more than few large ones.
 */
export class FrameDecoder {
  private readonly maxPayloadBytes: number;
  // Bytes `start` to `end` of the store have come and are not decoded yet.
  private store: Buffer;
  private start: number;
  private end: number;
  private header: FrameHeader | null;
  private isBroken: boolean;

  /** @param maxPayloadBytes  longest body; judged by its header alone */
  constructor(maxPayloadBytes: number) {
    this.maxPayloadBytes = maxPayloadBytes;
    this.store = EMPTY;
    this.start = 0;
    this.end = 0;
    this.header = null;
    this.isBroken = false;
  }

  /** Takes a chunk, gives the packets it completes; after `ERROR_PACKET` for a bad header no more come. */
  decode(chunk: Uint8Array): EnginePacket[] {
    const packets: EnginePacket[] = [];
    if (this.isBroken) return packets;
    this.append(chunk);
    while ((this.header ??= this.readHeader()) !== null) {
      const { length, isBinary } = this.header;
      if (!isAcceptable(length, this.maxPayloadBytes)) {
        this.isBroken = true;
        this.release();
        return [...packets, ERROR_PACKET];
      }
      if (this.end - this.start < length) break;
      const body = this.take(length);
      this.header = null;
      packets.push(decodePacket(isBinary ? body : body.toString("utf8")));
    }
    if (this.start === this.end) this.release();
    return packets;
  }

  private append(chunk: Uint8Array): void {
    const waiting = this.end - this.start;
    const needed = waiting + chunk.byteLength;
    // Decoded bodies are views of the store: its used part is never written again.
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
