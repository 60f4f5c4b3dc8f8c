// Reads WebSocket frames (RFC 6455, sections 5 and 8.1; with compression RFC 7692). A step of the walk "a frame in": bytes become messages.
import { constants, isUtf8 } from "node:buffer";
import { ByteStore, detachBytes, HELD_OVERHEAD_BYTES } from "../../../support/detach";

/** Decompresses messages. */
export interface Inflater {
  /** @returns the message, valid until the next call; an error when it is invalid or too large */
  inflate(payload: Buffer): Buffer | FrameError;
}

/** Receives the frames. Any of its methods may stop the reading, see `isReading`. */
export interface FrameSink {
  /** False when the reading must stop: the bytes behind the current frame are passed to `onUnread`. */
  readonly isReading: boolean;
  /** Null when compression wasn't negotiated. */
  readonly inflater: Inflater | null;
  onText(text: string): void;
  onBinary(data: Buffer): void;
  onPing(data: Buffer): void;
  /** A Close frame; later bytes are ignored. `code` is 1005 if the frame has none (RFC 6455, section 7.1.5). */
  onCloseFrame(code: number, reason: Buffer): void;
  /** A violation of the protocol or of a limit (EIO-124); later bytes are ignored. */
  onFrameError(frameError: FrameError): void;
  /** The bytes that were not read, because `isReading` became false or one of these methods threw. */
  onUnread(bytes: Buffer): void;
}

/** An invalid frame; `code` and `message` are those of the package `ws`. */
export class FrameError extends RangeError {
  readonly code: string;
  /** Status code for the Close frame (RFC 6455, section 7.4.1). */
  readonly closeCode: number;
  /** Bytes of a message that is too large, if known. */
  readonly met?: number;

  constructor(closeCode: number, code: string, message: string, met?: number) {
    super(message);
    if (met !== undefined) this.met = met;
    this.closeCode = closeCode;
    this.code = code;
  }
}

const FINAL_TEXT = 0x81;
const FINAL_BINARY = 0x82;
const COMPRESSED = 0x40;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const CONTROL_MAX = 125;
const NO_STATUS = 1005;
/** Limits on the chunks of one frame and the fragments of one message, as in `ws`. */
export const MAX_CHUNKS = 256 * 1024;
export const MAX_FRAGMENTS = 16 * 1024;
const EMPTY = Buffer.alloc(0);

/** The incomplete input of a connection: part of a frame, and fragments of a message, both as copies (ROB-140). Idle connections have none. */
export class HeldFrames {
  private readonly beginning = new ByteStore();
  private chunkCount = 0;
  private needed = 0;
  /** Opcode of the fragmented message that is incomplete; 0 for none. */
  opcode = 0;
  isCompressed = false;
  private readonly message = new ByteStore();
  fragmentCount = 0;

  get isEmpty(): boolean {
    return this.beginning.length === 0 && this.opcode === 0;
  }

  /** Whether part of a frame is held, so that `join` has to be called. */
  get isAmidFrame(): boolean {
    return this.beginning.length > 0;
  }

  /** Memory that it takes. */
  get heldBytes(): number {
    return this.beginning.capacity + this.message.capacity + HELD_OVERHEAD_BYTES;
  }

  /** Bytes of the fragments so far. */
  get fragmentBytes(): number {
    return this.message.length;
  }

  /** Appends a chunk to the held part of a frame. @returns the joined bytes; null while the frame is incomplete */
  join(chunk: Buffer, length: number): Buffer | null {
    this.chunkCount++;
    this.beginning.append(chunk, 0, length, this.needed);
    if (this.beginning.length < this.needed) return null;
    this.chunkCount = 0;
    return this.beginning.take();
  }

  get hasTooManyChunks(): boolean {
    return this.chunkCount >= MAX_CHUNKS;
  }

  /** Keeps the beginning of a frame. @param needed  bytes of the frame that are needed to go on */
  hold(data: Buffer, start: number, end: number, needed: number): void {
    this.needed = needed;
    this.beginning.append(data, start, end, needed);
  }

  addFragment(data: Buffer, start: number, end: number): void {
    this.fragmentCount++;
    this.message.append(data, start, end, Infinity);
  }

  takeMessage(): Buffer {
    this.opcode = this.fragmentCount = 0;
    return this.message.take();
  }

  /** All that is held, as bytes that another reader (`ws`) can read. */
  toBytes(): Buffer {
    const pieces: Buffer[] = [];
    if (this.opcode !== 0) {
      const payload = this.message.view();
      const header = Buffer.alloc(14);
      header[0] = this.isCompressed ? this.opcode | COMPRESSED : this.opcode;
      header[1] = 0xff; // masked, with zeros; 64-bit length
      header.writeUIntBE(payload.length, 4, 6);
      pieces.push(header, payload);
    }
    return Buffer.concat([...pieces, this.beginning.view()]);
  }
}

/**
 * Reads the frames of a chunk, which it unmasks in place.
 * Hot: ingest, 20 per chunk. Complete text and binary frames skip the general checks. The plain way is a state machine per frame, as in `ws`.
 * @param chunk     only its first `length` bytes are used
 * @param isLent    whether the caller reuses the chunk after the call: bytes that are kept or passed on are copied then
 * @param held      the incomplete input before this chunk; null for none
 * @param maxBytes  limit for one message; 0 for no limit
 * @returns the incomplete input behind this chunk, null for none; undefined meaning after `onCloseFrame` or `onFrameError`
 */
export function readFrames(
  chunk: Buffer,
  length: number,
  isLent: boolean,
  held: HeldFrames | null,
  maxBytes: number,
  sink: FrameSink,
): HeldFrames | null {
  let data = chunk;
  let end = length;
  if (held !== null && held.isAmidFrame) {
    const joined = held.join(chunk, length);
    if (joined === null) {
      if (held.hasTooManyChunks) sink.onFrameError(new FrameError(1008, "WS_ERR_TOO_MANY_BUFFERED_PARTS", "Too many buffered chunks"));
      return held;
    }
    data = joined;
    end = joined.length;
    isLent = false;
  }
  let at = 0;
  let needed = 2;
  while (at + 2 <= end) {
    const first = data[at];
    const second = data[at + 1];
    const opcode = first & 0x0f;
    // A final, masked text or binary frame needs no further checks.
    if ((first !== FINAL_TEXT && first !== FINAL_BINARY) || second < 0x80 || held !== null) {
      const frameError = frameErrorOf(first, second, held === null ? 0 : held.opcode, sink.inflater !== null);
      if (frameError !== null) return (sink.onFrameError(frameError), held);
    }
    let size = second & 0x7f;
    let start = at + 6;
    if (size === 126) {
      start = at + 8;
      if (end < at + 4) {
        needed = 4;
        break;
      }
      size = (data[at + 2] << 8) | data[at + 3];
    } else if (size === 127) {
      start = at + 14;
      if (end < at + 10) {
        needed = 10;
        break;
      }
      const high = data.readUInt32BE(at + 2);
      if (high > 0x1fffff) return (sink.onFrameError(unsupportedLength()), held);
      size = high * 0x100000000 + data.readUInt32BE(at + 6);
    }
    if (opcode < CLOSE && size > 0) {
      const total = held === null ? size : held.fragmentBytes + size;
      if (total > maxBytes && maxBytes > 0) return (sink.onFrameError(tooLarge(total)), held);
    }
    const stop = start + size;
    if (stop > end) {
      needed = stop - at;
      break;
    }
    at = stop;
    const or = unmask(data, start, stop);
    let goesOn = true;
    let isThrown = true;
    try {
      if (first === FINAL_TEXT) {
        if (or < 0x80) sink.onText(data.toString("latin1", start, stop));
        else goesOn = deliverText(data.subarray(start, stop), sink);
      } else if (first === FINAL_BINARY) {
        sink.onBinary(own(data, start, stop, isLent));
      } else if (opcode >= CLOSE) {
        goesOn = deliverControl(opcode, own(data, start, stop, isLent), sink);
      } else if (opcode !== 0 && first >= 0x80) {
        goesOn = deliverCompressed(opcode, data.subarray(start, stop), sink);
      } else {
        held ??= new HeldFrames();
        goesOn = takeFragment(first, data, start, stop, held, sink);
      }
      isThrown = false;
    } finally {
      if (isThrown) sink.onUnread(unread(held, data, stop, end, isLent));
    }
    if (!goesOn) return held;
    if (!sink.isReading) {
      sink.onUnread(unread(held, data, stop, end, isLent));
      return null;
    }
  }
  if (at < end) {
    held ??= new HeldFrames();
    held.hold(data, at, end, needed);
  }
  return held === null || held.isEmpty ? null : held;
}

/** Bytes that aren't overwritten, and that don't keep a much larger buffer in memory. */
function own(data: Buffer, start: number, end: number, isLent: boolean): Buffer {
  const bytes = data.subarray(start, end);
  return isLent ? Buffer.from(bytes) : detachBytes(bytes);
}

/** The bytes for another reader: held input and the rest of a chunk. */
function unread(held: HeldFrames | null, data: Buffer, start: number, end: number, isLent: boolean): Buffer {
  const rest = isLent ? Buffer.from(data.subarray(start, end)) : data.subarray(start, end);
  return held === null || held.isEmpty ? rest : Buffer.concat([held.toBytes(), rest]);
}

/** Validates the first two bytes of a frame, in the same order as `ws`. */
function frameErrorOf(first: number, second: number, fragmented: number, mayBeCompressed: boolean): FrameError | null {
  const opcode = first & 0x0f;
  const isCompressed = (first & COMPRESSED) !== 0;
  if ((first & 0x30) !== 0) return invalidFrame(1002, "WS_ERR_UNEXPECTED_RSV_2_3", "RSV2 and RSV3 must be clear");
  if (isCompressed && (!mayBeCompressed || opcode === 0)) return unexpectedRsv1();
  if (opcode === 0 ? fragmented === 0 : opcode <= BINARY ? fragmented !== 0 : opcode < CLOSE || opcode > PONG) {
    return invalidFrame(1002, "WS_ERR_INVALID_OPCODE", `invalid opcode ${opcode}`);
  }
  if (opcode >= CLOSE) {
    const length = second & 0x7f;
    if ((first & 0x80) === 0) return invalidFrame(1002, "WS_ERR_EXPECTED_FIN", "FIN must be set");
    if (isCompressed) return unexpectedRsv1();
    if (length > CONTROL_MAX || (opcode === CLOSE && length === 1)) {
      return invalidFrame(1002, "WS_ERR_INVALID_CONTROL_PAYLOAD_LENGTH", `invalid payload length ${length}`);
    }
  }
  if ((second & 0x80) === 0) return invalidFrame(1002, "WS_ERR_EXPECTED_MASK", "MASK must be set");
  return null;
}

function invalidFrame(closeCode: number, code: string, detail: string): FrameError {
  return new FrameError(closeCode, code, `Invalid WebSocket frame: ${detail}`);
}

function unexpectedRsv1(): FrameError {
  return invalidFrame(1002, "WS_ERR_UNEXPECTED_RSV_1", "RSV1 must be clear");
}

function unsupportedLength(): FrameError {
  return new FrameError(1009, "WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH", "Unsupported WebSocket frame: payload length > 2^53 - 1");
}

/** Of a message. */
export function tooLarge(met?: number): FrameError {
  return new FrameError(1009, "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH", "Max payload size exceeded", met);
}

function invalidText(): FrameError {
  return invalidFrame(1007, "WS_ERR_INVALID_UTF8", "invalid UTF-8 sequence");
}

// Each of the following functions returns false when the bytes behind the frame are ignored.

function deliverText(payload: Buffer, sink: FrameSink): boolean {
  if (!isUtf8(payload)) {
    sink.onFrameError(invalidText());
    return false;
  }
  if (payload.length > constants.MAX_STRING_LENGTH) {
    sink.onFrameError(tooLarge());
    return false;
  }
  sink.onText(payload.toString("utf8"));
  return true;
}

function deliverCompressed(opcode: number, payload: Buffer, sink: FrameSink): boolean {
  const message = sink.inflater!.inflate(payload);
  if (message instanceof FrameError) {
    sink.onFrameError(message);
    return false;
  }
  if (opcode === TEXT) return deliverText(message, sink);
  sink.onBinary(Buffer.from(message));
  return true;
}

function takeFragment(first: number, data: Buffer, start: number, end: number, held: HeldFrames, sink: FrameSink): boolean {
  if (held.fragmentCount >= MAX_FRAGMENTS) {
    sink.onFrameError(new FrameError(1008, "WS_ERR_TOO_MANY_BUFFERED_PARTS", "Too many message fragments"));
    return false;
  }
  if (held.opcode === 0) {
    held.opcode = first & 0x0f;
    held.isCompressed = (first & COMPRESSED) !== 0;
  }
  held.addFragment(data, start, end);
  if ((first & 0x80) === 0) return true;
  const { opcode, isCompressed } = held;
  const message = held.takeMessage();
  if (isCompressed) return deliverCompressed(opcode, message, sink);
  if (opcode === TEXT) return deliverText(message, sink);
  sink.onBinary(message);
  return true;
}

function deliverControl(opcode: number, payload: Buffer, sink: FrameSink): boolean {
  if (opcode === PING) sink.onPing(payload);
  if (opcode !== CLOSE) return true;
  if (payload.length === 0) {
    sink.onCloseFrame(NO_STATUS, EMPTY);
    return false;
  }
  const code = payload.readUInt16BE(0);
  const reason = payload.subarray(2);
  if (!isCloseCode(code)) sink.onFrameError(invalidFrame(1002, "WS_ERR_INVALID_CLOSE_CODE", `invalid status code ${code}`));
  else if (!isUtf8(reason)) sink.onFrameError(invalidText());
  else sink.onCloseFrame(code, reason);
  return false;
}

/** Whether a code is valid in a Close frame (RFC 6455, section 7.4, and the IANA registry). */
function isCloseCode(code: number): boolean {
  if (code >= 3000 && code <= 4999) return true;
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006;
}

/** Payloads of this size and more are unmasked by 32-bit words. */
const WORDWISE_MIN_BYTES = 192;
const scratch = new Uint8Array(4);
const scratchWord = new Int32Array(scratch.buffer);

/**
 * Removes the mask, which is in the four bytes before `start`.
 * @returns the bitwise OR of all bytes of the payload: below 128 for ASCII
 */
function unmask(data: Buffer, start: number, end: number): number {
  const mask0 = data[start - 4];
  const mask1 = data[start - 3];
  const mask2 = data[start - 2];
  const mask3 = data[start - 1];
  if (end - start >= WORDWISE_MIN_BYTES) return unmaskByWords(data, start, end);
  let or = 0;
  let at = start;
  for (const last = end - 3; at < last; at += 4) {
    or |= (data[at] ^= mask0) | (data[at + 1] ^= mask1) | (data[at + 2] ^= mask2) | (data[at + 3] ^= mask3);
  }
  if (at < end) or |= data[at] ^= mask0;
  if (at + 1 < end) or |= data[at + 1] ^= mask1;
  if (at + 2 < end) or |= data[at + 2] ^= mask2;
  return or;
}

function unmaskByWords(data: Buffer, start: number, end: number): number {
  const maskAt = start - 4;
  let or = 0;
  let at = start;
  for (; ((data.byteOffset + at) & 3) !== 0; at++) or |= data[at] ^= data[maskAt + ((at - start) & 3)];
  for (let i = 0; i < 4; i++) scratch[i] = data[maskAt + ((at - start + i) & 3)];
  const mask = scratchWord[0];
  const words = new Int32Array(data.buffer, data.byteOffset + at, (end - at) >> 2);
  const count = words.length;
  let orWord = 0;
  for (let i = 0; i < count; i++) orWord |= words[i] ^= mask;
  for (at += count * 4; at < end; at++) or |= data[at] ^= data[maskAt + ((at - start) & 3)];
  return (or | orWord | (orWord >>> 8) | (orWord >>> 16) | (orWord >>> 24)) & 0xff;
}
