/*
 * MessagePack with the extensions of its specification, as the official adapters write it between nodes (ENC-2): a Date is a timestamp (type -1),
 * all binary values are `bin`. As in JSON, `undefined` is nil, and members that are `undefined` or functions are left out.
 */
import { MsgpackReader } from "./msgpack-reader";
import { MsgpackWriter } from "./msgpack-writer";

/** For messages between servers: deeper than what the parsers of clients accept, so that whatever they sent can be passed on. */
export const NESTING_MAX = 5_010;

const TIMESTAMP = -1;
const TWO_POW_32 = 2 ** 32;
const TWO_POW_34 = 2 ** 34;

/**
 * Encodes a value; calls `toJSON`.
 * @throws TypeError on values without an encoding (BigInt, Symbol, Blob, a function in an array); RangeError on cyclic data
 */
export function encodePlainMsgpack(value: unknown): Buffer {
  return new PlainWriter(null).encode(value);
}

/**
 * Decodes one value; binary values become Buffers: views of `bytes`, or copies if they are small.
 * @param maxDepth  greatest nesting of arrays and maps
 * @throws ProtocolError RC_ERR_PAYLOAD on bytes that are not exactly one value, or are nested deeper
 */
export function decodePlainMsgpack(bytes: Buffer, maxDepth = 1_000): unknown {
  return new PlainReader(bytes, maxDepth).decode();
}

class PlainWriter extends MsgpackWriter {
  protected override isLeftOut(member: unknown): boolean {
    return member === undefined || typeof member === "function";
  }

  protected override writeUndefined(): void {
    this.writeByte(0xc0);
  }

  /** In four bytes (seconds), eight (30 bits of nanoseconds, 34 of seconds) or twelve. */
  protected override writeDate(date: Date): void {
    const timeMs = date.getTime();
    if (Number.isNaN(timeMs)) return this.writeByte(0xc0);
    const seconds = Math.floor(timeMs / 1_000);
    const nanoseconds = (timeMs - seconds * 1_000) * 1_000_000;
    if (seconds >= 0 && seconds < TWO_POW_34) {
      if (nanoseconds === 0 && seconds < TWO_POW_32) {
        this.writeUint(0xd6ff, 2);
        return this.writeUint(seconds, 4);
      }
      this.writeUint(0xd7ff, 2);
      this.writeUint(nanoseconds * 4 + Math.floor(seconds / TWO_POW_32), 4);
      return this.writeUint(seconds % TWO_POW_32, 4);
    }
    this.writeUint(0xc70cff, 3);
    this.writeUint(nanoseconds, 4);
    this.writeInt64(seconds);
  }

  protected override writeBinary(binary: Buffer): void {
    super.writeBinary(binary, { isBuffer: true });
  }
}

class PlainReader extends MsgpackReader {
  protected override toValue(type: number, content: Buffer): unknown {
    if (type !== TIMESTAMP) return [type, content];
    switch (content.length) {
      case 4:
        return new Date(content.readUInt32BE(0) * 1_000);
      case 8: {
        const head = content.readUInt32BE(0); // 30 bits of nanoseconds, the upper 2 bits of the seconds
        return dateOf((head % 4) * TWO_POW_32 + content.readUInt32BE(4), Math.floor(head / 4));
      }
      case 12:
        return dateOf(content.readInt32BE(4) * TWO_POW_32 + content.readUInt32BE(8), content.readUInt32BE(0));
      default:
        return [type, content];
    }
  }
}

function dateOf(seconds: number, nanoseconds: number): Date {
  return new Date(seconds * 1_000 + Math.floor(nanoseconds / 1_000_000));
}
