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
  if (isBinary) header[0]! |= BINARY_BIT;
  return header;
}

/** A packet as header and body. */
export function encodeFrame(packet: EnginePacket): [header: Buffer, body: Buffer] {
  const encoded = encodePacket(packet.type, packet.data, true);
  const isBinary = typeof encoded !== "string";
  const body = isBinary ? encoded : Buffer.from(encoded);
  return [encodeFrameHeader(body.length, isBinary), body];
}

/** Cuts a byte stream, in whatever chunks it comes, into packets. */
export class FrameDecoder {
  private readonly maxPayloadBytes: number;
  private chunks: Buffer[] = [];
  private bytes = 0;
  private header: { length: number; isBinary: boolean } | null = null;
  private isBroken = false;

  /** @param maxPayloadBytes  longest body; judged by its header alone */
  constructor(maxPayloadBytes: number) {
    this.maxPayloadBytes = maxPayloadBytes;
  }

  /** Takes a chunk, gives the packets it completes; after `ERROR_PACKET` for a bad header no more come. */
  decode(chunk: Uint8Array): EnginePacket[] {
    const packets: EnginePacket[] = [];
    if (this.isBroken) return packets;
    this.chunks.push(Buffer.from(chunk.buffer as ArrayBuffer, chunk.byteOffset, chunk.byteLength));
    this.bytes += chunk.byteLength;
    for (;;) {
      this.header ??= this.readHeader();
      if (this.isBroken) return [...packets, ERROR_PACKET];
      if (this.header === null || this.bytes < this.header.length) return packets;
      const { length, isBinary } = this.header;
      const body = this.take(length);
      this.header = null;
      packets.push(decodePacket(isBinary ? body : body.toString("utf8")));
    }
  }

  private readHeader(): { length: number; isBinary: boolean } | null {
    if (this.bytes === 0) return null;
    const first = this.peek(1)[0]!;
    const code = first & ~BINARY_BIT;
    const size = code === LENGTH_16 ? 3 : code === LENGTH_64 ? 9 : 1;
    if (this.bytes < size) return null;
    const bytes = this.take(size);
    const length = size === 1 ? code : size === 3 ? bytes.readUInt16BE(1) : Number(bytes.readBigUInt64BE(1));
    if (length === 0 || length > this.maxPayloadBytes || !Number.isSafeInteger(length)) {
      this.isBroken = true;
      this.chunks = [];
      return null;
    }
    return { length, isBinary: (first & BINARY_BIT) !== 0 };
  }

  private peek(count: number): Buffer {
    if (this.chunks[0]!.length < count) this.chunks = [Buffer.concat(this.chunks)];
    return this.chunks[0]!.subarray(0, count);
  }

  private take(count: number): Buffer {
    const taken = this.peek(count);
    const rest = this.chunks[0]!.subarray(count);
    if (rest.length === 0) this.chunks.shift();
    else this.chunks[0] = rest;
    this.bytes -= count;
    return taken;
  }
}
