/*
 * Encodes MessagePack values (msgpack.org, "spec.md") with the conventions of the clients' library: `undefined` is fixext 1 of
 * type 0, a Date is fixext 8 of type 0 (milliseconds), ArrayBuffers and views other than Buffers are ext 8/16/32 of type 0.
 * Integers beyond 64 bits are written as floats; the clients' library corrupts them.
 * No general library is used, because those treat fixext and ext alike: they would decode a binary value of one byte as `undefined`.
 */
import { Blob } from "node:buffer";
import type { CollectionWatch } from "./encoding-hints";
import { isBinary, toBuffer } from "./engine-packet";

const MAX_DEPTH = 5000;
const INITIAL_BYTES = 512;
const FIX_TEXT_LIMIT = 32;
const TWO_POW_32 = 2 ** 32;
const TWO_POW_63 = 2 ** 63;
const TWO_POW_64 = 2 ** 64;

/**
 * Encodes a value; calls `toJSON`, omits members that are functions.
 * @throws TypeError on values without an encoding (BigInt, Symbol, Blob); RangeError on cyclic data
 */
export function encodeMsgpack(value: unknown, watch: CollectionWatch | null = null): Buffer {
  return new MsgpackWriter(watch).encode(value);
}

/** The writing of one value. Other conventions extend it: `plain-msgpack.ts`. */
export class MsgpackWriter {
  private bytes: Buffer = Buffer.allocUnsafe(INITIAL_BYTES);
  private end = 0;
  private readonly watch: CollectionWatch | null;

  constructor(watch: CollectionWatch | null) {
    this.watch = watch;
  }

  encode(value: unknown): Buffer {
    this.write(value, 0);
    return this.bytes.subarray(0, this.end);
  }

  private write(value: unknown, depth: number): void {
    switch (typeof value) {
      case "string":
        return this.writeString(value);
      case "number":
        return this.writeNumber(value);
      case "boolean":
        return this.writeByte(value ? 0xc3 : 0xc2);
      case "undefined":
        return this.writeUndefined();
      case "object":
        return value === null ? this.writeByte(0xc0) : this.writeObject(value, depth);
      default:
        throw new TypeError(`cannot encode a ${typeof value}`);
    }
  }

  private writeObject(value: object, depth: number): void {
    if (depth > MAX_DEPTH) throw new RangeError(`cannot send cyclic data, or data nested deeper than ${MAX_DEPTH}`);
    if (Array.isArray(value)) {
      this.writeLength(value.length, 0x90, 16, 0xdc);
      for (let index = 0; index < value.length; index++) this.write(value[index], depth + 1);
      return;
    }
    // Most objects are plain ones: they can be neither binary nor Blob nor Date.
    if (Object.getPrototypeOf(value) !== Object.prototype) {
      if (value instanceof Date) return this.writeDate(value);
      if (isBinary(value)) return this.writeBinary(toBuffer(value), { isBuffer: Buffer.isBuffer(value) });
      if (value instanceof Blob) throw new TypeError("a Blob cannot be sent with this parser, send its bytes (await blob.arrayBuffer())");
      this.watch?.check(value);
    }
    const { toJSON } = value as { toJSON?: unknown };
    if (typeof toJSON === "function") return this.write(toJSON.call(value), depth + 1);
    this.writeMap(value as Record<string, unknown>, depth);
  }

  private writeMap(map: Record<string, unknown>, depth: number): void {
    let keys = Object.keys(map);
    for (const key of keys) {
      if (!this.isLeftOut(map[key])) continue;
      keys = keys.filter((each) => !this.isLeftOut(map[each]));
      break;
    }
    this.writeLength(keys.length, 0x80, 16, 0xde);
    for (const key of keys) {
      this.writeString(key);
      this.write(map[key], depth + 1);
    }
  }

  /** Whether a member of a map is not written. */
  protected isLeftOut(member: unknown): boolean {
    return typeof member === "function";
  }

  protected writeUndefined(): void {
    this.reserve(3);
    this.bytes[this.end++] = 0xd4;
    this.bytes[this.end++] = 0;
    this.bytes[this.end++] = 0;
  }

  protected writeDate(date: Date): void {
    const timeMs = date.getTime();
    this.reserve(10);
    this.bytes[this.end++] = 0xd7;
    this.bytes[this.end++] = 0;
    this.writeInt64(Number.isNaN(timeMs) ? 0 : timeMs);
  }

  protected writeBinary(binary: Buffer, { isBuffer }: { isBuffer: boolean }): void {
    const { length } = binary;
    this.reserve(length + 6);
    const size = length < 0x100 ? 1 : length < 0x10000 ? 2 : 4;
    this.bytes[this.end++] = (isBuffer ? 0xc4 : 0xc7) + (size >> 1);
    this.end = this.bytes.writeUIntBE(length, this.end, size);
    if (!isBuffer) this.bytes[this.end++] = 0;
    binary.copy(this.bytes, this.end);
    this.end += length;
  }

  private writeString(text: string): void {
    if (text.length < FIX_TEXT_LIMIT && this.writeShortAscii(text)) return;
    const length = Buffer.byteLength(text);
    if (length < FIX_TEXT_LIMIT || length > 0xff) this.writeLength(length, 0xa0, FIX_TEXT_LIMIT, 0xda);
    else {
      this.reserve(2);
      this.bytes[this.end++] = 0xd9;
      this.bytes[this.end++] = length;
    }
    this.reserve(length);
    this.end += this.bytes.write(text, this.end, length);
  }

  /** Writes a text of at most 31 ASCII characters, faster than the native encoder; returns false if it has other characters. */
  private writeShortAscii(text: string): boolean {
    this.reserve(FIX_TEXT_LIMIT);
    const { bytes, end } = this;
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      if (code >= 0x80) return false;
      bytes[end + 1 + index] = code;
    }
    bytes[end] = 0xa0 | text.length;
    this.end = end + 1 + text.length;
    return true;
  }

  /** Writes a length: in the type byte itself below `fixLimit`, else in two bytes after `longType`, else in four after `longType + 1`. */
  private writeLength(length: number, fixType: number, fixLimit: number, longType: number): void {
    this.reserve(5);
    if (length < fixLimit) {
      this.bytes[this.end++] = fixType | length;
    } else if (length < 0x10000) {
      this.bytes[this.end++] = longType;
      this.end = this.bytes.writeUInt16BE(length, this.end);
    } else {
      this.bytes[this.end++] = longType + 1;
      this.end = this.bytes.writeUInt32BE(length, this.end);
    }
  }

  private writeNumber(value: number): void {
    this.reserve(9);
    if (!Number.isInteger(value) || value >= TWO_POW_64 || value < -TWO_POW_63) {
      this.bytes[this.end++] = 0xcb;
      this.end = this.bytes.writeDoubleBE(value, this.end);
    } else if (value >= 0) this.writeNatural(value);
    else this.writeNegative(value);
  }

  private writeNatural(value: number): void {
    if (value < 0x80) {
      this.bytes[this.end++] = value;
    } else if (value < TWO_POW_32) {
      const size = value < 0x100 ? 1 : value < 0x10000 ? 2 : 4;
      this.bytes[this.end++] = 0xcc + (size >> 1);
      this.end = this.bytes.writeUIntBE(value, this.end, size);
    } else {
      this.bytes[this.end++] = 0xcf;
      this.writeInt64(value);
    }
  }

  private writeNegative(value: number): void {
    if (value >= -0x20) {
      this.bytes[this.end++] = value & 0xff;
    } else if (value >= -0x80000000) {
      const size = value >= -0x80 ? 1 : value >= -0x8000 ? 2 : 4;
      this.bytes[this.end++] = 0xd0 + (size >> 1);
      this.end = this.bytes.writeIntBE(value, this.end, size);
    } else {
      this.bytes[this.end++] = 0xd3;
      this.writeInt64(value);
    }
  }

  /** Eight bytes, two's complement. */
  protected writeInt64(value: number): void {
    const high = Math.floor(value / TWO_POW_32);
    this.writeUint(high >>> 0, 4);
    this.writeUint((value - high * TWO_POW_32) >>> 0, 4);
  }

  /** `count` bytes of a number, big-endian. */
  protected writeUint(value: number, count: number): void {
    this.reserve(count);
    this.end = this.bytes.writeUIntBE(value, this.end, count);
  }

  protected writeByte(byte: number): void {
    this.reserve(1);
    this.bytes[this.end++] = byte;
  }

  private reserve(count: number): void {
    const needed = this.end + count;
    if (needed <= this.bytes.length) return;
    const bytes = Buffer.allocUnsafe(needed * 2);
    this.bytes.copy(bytes, 0, 0, this.end);
    this.bytes = bytes;
  }
}
