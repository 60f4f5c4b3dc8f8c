// Decodes MessagePack values with the conventions described in `msgpack-writer.ts`; validates every byte.
import { ProtocolError } from "../errors";
import { detachBytes } from "../support/detach";
import { setOwn } from "./attachments";

const TWO_POW_32 = 2 ** 32;
const SHORT_TEXT_BYTES = 12;

/**
 * Decodes one value. Binary values are views of `bytes`, or copies if they are small; extensions of other types become `[type, Buffer]`.
 * @param maxDepth  greatest nesting of arrays and maps
 * @throws ProtocolError RC_ERR_PAYLOAD on bytes that are not exactly one value, or are nested deeper
 */
export function decodeMsgpack(bytes: Buffer, maxDepth: number): unknown {
  return new MsgpackReader(bytes, maxDepth).decode();
}

/** An array or map whose members are being read. */
interface OpenContainer {
  readonly target: unknown[] | Record<string, unknown>;
  /** Number of values still to be read; of a map, not counting keys. */
  left: number;
  key: string;
}

/** The reading of one message. Other conventions extend it: `plain-msgpack.ts`. Keeps a list of open containers instead of recursing, because the peer chooses the depth. */
export class MsgpackReader {
  private readonly bytes: Buffer;
  private readonly maxDepth: number;
  private readonly open: OpenContainer[] = [];
  private at = 0;

  constructor(bytes: Buffer, maxDepth: number) {
    this.bytes = bytes;
    this.maxDepth = maxDepth;
  }

  decode(): unknown {
    for (;;) {
      const depth = this.open.length;
      let value = this.readValue();
      if (this.open.length > depth) continue; // the value is a container: its members come first
      // Add the value to the innermost container, and every container that is now complete to the one around it.
      for (let top = this.open.at(-1); top !== undefined; top = this.open.at(-1)) {
        if (Array.isArray(top.target)) top.target.push(value);
        else setOwn(top.target, top.key, value);
        if (--top.left > 0) break;
        value = top.target;
        this.open.pop();
      }
      const top = this.open.at(-1);
      if (top === undefined) {
        if (this.at !== this.bytes.length) throw malformed("trailing bytes");
        return value;
      }
      if (!Array.isArray(top.target)) top.key = this.readKey();
    }
  }

  private readValue(): unknown {
    const type = this.readUint(1);
    if (type < 0x80) return type;
    if (type >= 0xe0) return type - 0x100;
    if (type < 0x90) return this.openMap(type & 0x0f);
    if (type < 0xa0) return this.openArray(type & 0x0f);
    if (type < 0xc0) return this.readText(type & 0x1f);
    switch (type) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.readBytes(this.readUint(1 << (type - 0xc4)));
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.readExtension(this.readUint(1 << (type - 0xc7)));
      case 0xca:
        return this.bytes.readFloatBE(this.advance(4));
      case 0xcb:
        return this.bytes.readDoubleBE(this.advance(8));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.readUint(1 << (type - 0xcc));
      case 0xcf:
        return this.readUint(4) * TWO_POW_32 + this.readUint(4);
      case 0xd0:
      case 0xd1:
      case 0xd2: {
        const size = 1 << (type - 0xd0);
        return this.bytes.readIntBE(this.advance(size), size);
      }
      case 0xd3:
        return this.readInt64();
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.readFixedExtension(1 << (type - 0xd4));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.readText(this.readUint(1 << (type - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.openArray(this.readUint(type === 0xdc ? 2 : 4));
      case 0xde:
      case 0xdf:
        return this.openMap(this.readUint(type === 0xde ? 2 : 4));
      default:
        throw malformed(`type byte ${type.toString(16)}`);
    }
  }

  private openArray(length: number): unknown[] {
    const array: unknown[] = [];
    if (length > 0) this.openContainer(array, length, length);
    return array;
  }

  private openMap(size: number): Record<string, unknown> {
    const map: Record<string, unknown> = {};
    if (size > 0) this.openContainer(map, size, size * 2).key = this.readKey();
    return map;
  }

  private openContainer(target: OpenContainer["target"], left: number, minBytes: number): OpenContainer {
    if (this.open.length >= this.maxDepth) throw malformed(`nesting deeper than ${this.maxDepth}`);
    if (minBytes > this.bytes.length - this.at) throw malformed("end of message");
    const container: OpenContainer = { target, left, key: "" };
    this.open.push(container);
    return container;
  }

  private readKey(): string {
    const depth = this.open.length;
    const key = this.readValue();
    if (this.open.length > depth || (typeof key !== "string" && typeof key !== "number"))
      throw malformed("key that is neither text nor number");
    return String(key);
  }

  private readText(length: number): string {
    const start = this.advance(length);
    if (length > SHORT_TEXT_BYTES) return this.bytes.toString("utf8", start, this.at);
    // For short texts this loop is faster than the native decoder.
    let text = "";
    for (let at = start; at < this.at; at++) {
      const byte = this.bytes[at];
      if (byte >= 0x80) return this.bytes.toString("utf8", start, this.at);
      text += String.fromCharCode(byte);
    }
    return text;
  }

  private readBytes(length: number): Buffer {
    const start = this.advance(length);
    return detachBytes(this.bytes.subarray(start, this.at));
  }

  private readUint(size: number): number {
    const start = this.advance(size);
    return size === 1 ? this.bytes[start] : size === 2 ? this.bytes.readUInt16BE(start) : this.bytes.readUInt32BE(start);
  }

  private readInt64(): number {
    const high = this.bytes.readInt32BE(this.advance(4));
    return high * TWO_POW_32 + this.readUint(4);
  }

  private readExtension(length: number): unknown {
    const type = this.bytes.readInt8(this.advance(1));
    return this.toValue(type, this.readBytes(length), { isFixed: false });
  }

  private readFixedExtension(length: number): unknown {
    const type = this.bytes.readInt8(this.advance(1));
    return this.toValue(type, this.readBytes(length), { isFixed: true });
  }

  /** The value of an extension. @param isFixed  whether it has one of the five fixed lengths */
  protected toValue(type: number, content: Buffer, { isFixed }: { isFixed: boolean }): unknown {
    if (type !== 0) return [type, content];
    if (!isFixed) return Uint8Array.from(content).buffer;
    if (content.length === 8) return new Date(content.readInt32BE(0) * TWO_POW_32 + content.readUInt32BE(4));
    return content.length === 1 ? undefined : [type, content];
  }

  /** Consumes `count` bytes; returns the position of the first. */
  private advance(count: number): number {
    const start = this.at;
    if (count > this.bytes.length - start) throw malformed("end of message");
    this.at = start + count;
    return start;
  }
}

function malformed(met: string): ProtocolError {
  return new ProtocolError("RC_ERR_PAYLOAD", `invalid payload: met ${met}`);
}
