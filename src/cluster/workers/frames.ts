// The bytes between workers of one machine: frames of a stream, and what stands in them.
import { ProtocolError } from "../../errors";
import { decodeMsgpack } from "../../protocol/msgpack-reader";
import { encodeMsgpack } from "../../protocol/msgpack-writer";

/*
 *     stream:    "RCW" version:u8 frame*
 *     frame:     length:u32 kind:u8 body           length counts kind and body; all numbers are big-endian
 *     hello:     uid (16 bytes), once, first
 *     pulse:     text
 *     interest:  the whole set of bits (interest.ts)
 *     changes:   (bit:u16 isSet:u8)*
 *     message:   text(namespace) count:u8 text(room)* value     the rooms of a broadcast, so that it can be skipped; none: never skip it
 *     response:  text(namespace) value
 *     direct:    bytes of a carried session (carry/carry-frame.ts)
 *     text:      length:u16 bytes;  value: MessagePack of [type, data], up to the end of the frame
 *
 * A frame of an unknown kind is skipped, so that later versions may add some. A stream of another version is closed.
 */

export const VERSION = 1;
export const PREAMBLE = Buffer.from([0x52, 0x43, 0x57, VERSION]);
export const FrameKind = { Hello: 1, Pulse: 2, Interest: 3, Changes: 4, Message: 5, Response: 6, Direct: 7 } as const;

/** Greatest length of a frame, in bytes. */
export const FRAME_BYTES_MAX = 128 * 1024 * 1024;
const HEADER_BYTES = 5;
const ROOMS_MAX = 255;
const MAX_DEPTH = 1_000;

/** A message or response, without its sender, which is known by the connection. */
export interface Content {
  readonly type: unknown;
  readonly data?: unknown;
}

/** Gives a frame. */
export function encodeFrame(kind: number, ...parts: readonly (Buffer | string)[]): Buffer {
  let length = 1;
  for (const part of parts) length += typeof part === "string" ? Buffer.byteLength(part) : part.length;
  if (length > FRAME_BYTES_MAX) throw new RangeError(`a message of ${length} bytes is larger than ${FRAME_BYTES_MAX}`);
  const frame = Buffer.allocUnsafe(4 + length);
  frame.writeUInt32BE(length, 0);
  frame[4] = kind;
  let at = HEADER_BYTES;
  for (const part of parts) at += typeof part === "string" ? frame.write(part, at) : part.copy(frame, at);
  return frame;
}

/**
 * Gives the frame of a message.
 * @param rooms  of a broadcast to rooms; empty: it concerns every worker
 * @throws TypeError, RangeError on values that cannot be encoded, and on messages above 128 MiB
 */
export function encodeMessage(namespace: string, rooms: readonly string[], { type, data }: Content): Buffer {
  const named = rooms.length > ROOMS_MAX ? [] : rooms;
  const texts = [namespace, ...named].map(encodeText);
  texts.splice(1, 0, Buffer.from([named.length]));
  return encodeFrame(FrameKind.Message, ...texts, encodeMsgpack([type, data]));
}

/** Gives the frame of a response. Throws as `encodeMessage`. */
export function encodeResponse(namespace: string, { type, data }: Content): Buffer {
  return encodeFrame(FrameKind.Response, encodeText(namespace), encodeMsgpack([type, data]));
}

function encodeText(text: string): Buffer {
  const length = Buffer.byteLength(text);
  if (length > 0xffff) throw new RangeError(`a name of ${length} bytes is larger than 65535`);
  const bytes = Buffer.allocUnsafe(2 + length);
  bytes.writeUInt16BE(length, 0);
  bytes.write(text, 2);
  return bytes;
}

/** Reads the members of a body, one after another. Throws `ProtocolError` where the body ends too early. */
export class BodyReader {
  private readonly body: Buffer;
  private at = 0;

  constructor(body: Buffer) {
    this.body = body;
  }

  byte(): number {
    return this.body[this.skip(1)];
  }

  text(): string {
    const length = this.body.readUInt16BE(this.skip(2));
    const from = this.skip(length);
    return this.body.toString("utf8", from, from + length);
  }

  /** Decodes what is left. */
  value(): Content {
    const value = decodeMsgpack(this.body.subarray(this.at), MAX_DEPTH);
    if (!Array.isArray(value)) throw malformed("expected an array");
    return { type: value[0] as unknown, data: value[1] as unknown };
  }

  private skip(count: number): number {
    const from = this.at;
    this.at += count;
    if (this.at > this.body.length) throw malformed("a frame ends too early");
    return from;
  }
}

/** Finds the frames in a stream. */
export class StreamReader {
  private chunks: Buffer[] = [];
  private held = 0;
  private needed = PREAMBLE.length;
  private isBegun = false;

  /**
   * @param onFrame  called for each frame in `chunk`; `body` is a view, valid during the call
   * @throws ProtocolError on another protocol or version, and on a frame above 128 MiB: the stream cannot be read on
   */
  read(chunk: Buffer, onFrame: (kind: number, body: Buffer) => void): void {
    this.chunks.push(chunk);
    this.held += chunk.length;
    if (this.held < this.needed) return;
    const bytes = this.chunks.length === 1 ? chunk : Buffer.concat(this.chunks, this.held);
    let at = this.isBegun ? 0 : begin(bytes);
    this.isBegun = true;
    for (;;) {
      this.needed = 4;
      if (bytes.length - at < 4) break;
      const length = bytes.readUInt32BE(at);
      if (length === 0 || length > FRAME_BYTES_MAX) throw malformed(`a frame of ${length} bytes`);
      this.needed = 4 + length;
      if (bytes.length - at < this.needed) break;
      onFrame(bytes[at + 4], bytes.subarray(at + HEADER_BYTES, at + this.needed));
      at += this.needed;
    }
    this.held = bytes.length - at;
    this.chunks = this.held === 0 ? [] : [bytes.subarray(at)];
  }
}

function begin(bytes: Buffer): number {
  const met = bytes.subarray(0, PREAMBLE.length);
  if (!met.equals(PREAMBLE)) throw malformed(`expected version ${VERSION} of the protocol between workers, met ${met.toString("hex")}`);
  return PREAMBLE.length;
}

function malformed(text: string): ProtocolError {
  return new ProtocolError("RC_ERR_PAYLOAD", text);
}
