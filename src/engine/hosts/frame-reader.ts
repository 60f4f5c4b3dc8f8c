// Step of the walk "a frame in": bytes of a WebSocket connection become messages (RFC 6455, sections 5 and 8.1), without extensions.
import { constants, isUtf8 } from "node:buffer";

/** What hears of the frames. It may let go of the connection in any of these calls, see `isReading`. */
export interface FrameSink {
  /** False once the frames belong to somebody else: what follows the frame at hand is given to `onUnread`. */
  readonly isReading: boolean;
  onText(text: string): void;
  onBinary(data: Buffer): void;
  onPing(data: Buffer): void;
  /** The peer closes: nothing it sends after that counts. `code` is 1005 where it gave none (RFC 6455, section 7.1.5). */
  onCloseFrame(code: number, reason: Buffer): void;
  /** The peer broke the protocol, or a limit: nothing it sends after that counts. */
  onFlaw(flaw: FrameFlaw): void;
  /** What hasn't been read: `isReading` became false, or one of these methods threw. */
  onUnread(bytes: Buffer): void;
}

/** Why frames were refused; `code` and `message` are those of the package `ws`. */
export class FrameFlaw extends RangeError {
  readonly code: string;
  /** Status code for the Close frame (RFC 6455, section 7.4.1). */
  readonly closeCode: number;

  constructor(closeCode: number, code: string, message: string) {
    super(message);
    this.closeCode = closeCode;
    this.code = code;
  }
}

const FINAL_TEXT = 0x81;
const FINAL_BINARY = 0x82;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const CONTROL_MAX = 125;
const NO_STATUS = 1005;
/** Pieces that one frame may come in, and fragments that one message may have: the bounds of `ws`. */
const MAX_CHUNKS = 256 * 1024;
const MAX_FRAGMENTS = 16 * 1024;
const EMPTY = Buffer.alloc(0);

/** What is left of the chunks so far: part of a frame, fragments of a message. A connection that rests has none. */
export class HeldFrames {
  private chunks: Buffer[] = [];
  private bytes = 0;
  private needed = 0;
  /** Opcode of the message whose fragments come in; 0 for none. */
  opcode = 0;
  fragments: Buffer[] = [];
  fragmentCount = 0;
  fragmentBytes = 0;

  get isEmpty(): boolean {
    return this.bytes === 0 && this.opcode === 0;
  }

  /** Puts a chunk behind what is held. @returns the bytes to read on with, or null while the frame cannot be complete */
  join(chunk: Buffer): Buffer | null {
    if (this.bytes === 0) return chunk;
    this.chunks.push(chunk);
    this.bytes += chunk.length;
    if (this.bytes < this.needed) return null;
    const all = Buffer.concat(this.chunks, this.bytes);
    this.chunks = [];
    this.bytes = 0;
    return all;
  }

  get hasTooManyChunks(): boolean {
    return this.chunks.length > MAX_CHUNKS;
  }

  /** Keeps the beginning of a frame that can be read on when `needed` bytes of it are there. */
  hold(beginning: Buffer, needed: number): void {
    this.needed = needed;
    if (beginning.length === 0) return;
    this.chunks.push(beginning);
    this.bytes = beginning.length;
  }

  addFragment(payload: Buffer): void {
    this.fragmentCount++;
    this.fragmentBytes += payload.length;
    if (payload.length > 0) this.fragments.push(payload);
  }

  takeMessage(last: Buffer): Buffer {
    this.addFragment(last);
    const message = this.fragments.length === 1 ? this.fragments[0] : Buffer.concat(this.fragments, this.fragmentBytes);
    this.opcode = this.fragmentCount = this.fragmentBytes = 0;
    this.fragments = [];
    return message;
  }

  /** Everything held, as a peer might have sent it: for somebody else to read on from here. */
  toBytes(): Buffer {
    const pieces: Buffer[] = [];
    if (this.opcode !== 0) {
      const payload = Buffer.concat(this.fragments, this.fragmentBytes);
      const header = Buffer.alloc(14);
      header[0] = this.opcode;
      header[1] = 0xff; // masked, with zeros; 64-bit length
      header.writeUIntBE(payload.length, 4, 6);
      pieces.push(header, payload);
    }
    return Buffer.concat([...pieces, ...this.chunks]);
  }
}

/**
 * Reads the frames of a chunk, which it unmasks in place.
 * Hot: once per chunk from the network. Benchmarks "ingest", "echo".
 * @param chunk     its first `length` bytes count
 * @param isLent    whether the chunk is the caller's again after the call: what is kept or handed on is copied
 * @param held      what the chunks before left; null for nothing
 * @param maxBytes  of one message; 0 for no limit
 * @returns what this chunk leaves, null for nothing; without meaning once the sink was told of a close or a flaw
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
  if (held !== null) {
    const joined = held.join(own(chunk, 0, length, isLent));
    if (joined === null) {
      if (held.hasTooManyChunks) sink.onFlaw(new FrameFlaw(1008, "WS_ERR_TOO_MANY_BUFFERED_PARTS", "Too many buffered chunks"));
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
    // The usual frame is seen at a glance; any other is looked at in detail.
    if ((first !== FINAL_TEXT && first !== FINAL_BINARY) || second < 0x80 || held !== null) {
      const flaw = flawOf(first, second, held === null ? 0 : held.opcode);
      if (flaw !== null) return (sink.onFlaw(flaw), held);
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
      if (high > 0x1fffff) return (sink.onFlaw(unsupportedLength()), held);
      size = high * 0x100000000 + data.readUInt32BE(at + 6);
    }
    if (opcode < CLOSE && size > 0) {
      const total = held === null ? size : held.fragmentBytes + size;
      if (total > maxBytes && maxBytes > 0) return (sink.onFlaw(tooLarge()), held);
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
        if (or < 0x80) sink.onText(data.latin1Slice(start, stop));
        else goesOn = deliverText(data.subarray(start, stop), sink);
      } else if (first === FINAL_BINARY) {
        sink.onBinary(own(data, start, stop, isLent));
      } else if (opcode >= CLOSE) {
        goesOn = deliverControl(opcode, own(data, start, stop, isLent), sink);
      } else {
        held ??= new HeldFrames();
        goesOn = takeFragment(first, own(data, start, stop, isLent), held, sink);
      }
      isThrown = false;
    } finally {
      if (isThrown) sink.onUnread(unread(held, own(data, stop, end, isLent)));
    }
    if (!goesOn) return held;
    if (!sink.isReading) {
      sink.onUnread(unread(held, own(data, stop, end, isLent)));
      return null;
    }
  }
  if (at < end) {
    held ??= new HeldFrames();
    held.hold(own(data, at, end, isLent), needed);
  }
  return held === null || held.isEmpty ? null : held;
}

/** Bytes that stay what they are. */
function own(data: Buffer, start: number, end: number, isLent: boolean): Buffer {
  if (isLent) return Buffer.from(data.subarray(start, end));
  return start === 0 && end === data.length ? data : data.subarray(start, end);
}

function unread(held: HeldFrames | null, rest: Buffer): Buffer {
  return held === null ? rest : Buffer.concat([held.toBytes(), rest]);
}

/** Looks at the first two bytes of a frame, in the order in which `ws` does. */
function flawOf(first: number, second: number, fragmented: number): FrameFlaw | null {
  const opcode = first & 0x0f;
  if ((first & 0x30) !== 0) return invalidFrame(1002, "WS_ERR_UNEXPECTED_RSV_2_3", "RSV2 and RSV3 must be clear");
  if ((first & 0x40) !== 0) return invalidFrame(1002, "WS_ERR_UNEXPECTED_RSV_1", "RSV1 must be clear");
  if (opcode === 0 ? fragmented === 0 : opcode <= BINARY ? fragmented !== 0 : opcode < CLOSE || opcode > PONG) {
    return invalidFrame(1002, "WS_ERR_INVALID_OPCODE", `invalid opcode ${opcode}`);
  }
  if (opcode >= CLOSE) {
    const length = second & 0x7f;
    if ((first & 0x80) === 0) return invalidFrame(1002, "WS_ERR_EXPECTED_FIN", "FIN must be set");
    if (length > CONTROL_MAX || (opcode === CLOSE && length === 1)) {
      return invalidFrame(1002, "WS_ERR_INVALID_CONTROL_PAYLOAD_LENGTH", `invalid payload length ${length}`);
    }
  }
  if ((second & 0x80) === 0) return invalidFrame(1002, "WS_ERR_EXPECTED_MASK", "MASK must be set");
  return null;
}

function invalidFrame(closeCode: number, code: string, detail: string): FrameFlaw {
  return new FrameFlaw(closeCode, code, `Invalid WebSocket frame: ${detail}`);
}

function unsupportedLength(): FrameFlaw {
  return new FrameFlaw(1009, "WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH", "Unsupported WebSocket frame: payload length > 2^53 - 1");
}

function tooLarge(): FrameFlaw {
  return new FrameFlaw(1009, "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH", "Max payload size exceeded");
}

function invalidText(): FrameFlaw {
  return invalidFrame(1007, "WS_ERR_INVALID_UTF8", "invalid UTF-8 sequence");
}

/** Each of these gives false when nothing after the frame counts. */
function deliverText(payload: Buffer, sink: FrameSink): boolean {
  if (!isUtf8(payload)) {
    sink.onFlaw(invalidText());
    return false;
  }
  if (payload.length > constants.MAX_STRING_LENGTH) {
    sink.onFlaw(tooLarge());
    return false;
  }
  sink.onText(payload.toString("utf8"));
  return true;
}

function takeFragment(first: number, payload: Buffer, held: HeldFrames, sink: FrameSink): boolean {
  if (held.fragmentCount >= MAX_FRAGMENTS) {
    sink.onFlaw(new FrameFlaw(1008, "WS_ERR_TOO_MANY_BUFFERED_PARTS", "Too many message fragments"));
    return false;
  }
  if (held.opcode === 0) held.opcode = first & 0x0f;
  if ((first & 0x80) === 0) {
    held.addFragment(payload);
    return true;
  }
  const { opcode } = held;
  const message = held.takeMessage(payload);
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
  if (!isCloseCode(code)) sink.onFlaw(invalidFrame(1002, "WS_ERR_INVALID_CLOSE_CODE", `invalid status code ${code}`));
  else if (!isUtf8(reason)) sink.onFlaw(invalidText());
  else sink.onCloseFrame(code, reason);
  return false;
}

/** Codes that may stand in a Close frame (RFC 6455, section 7.4, and the IANA registry). */
function isCloseCode(code: number): boolean {
  if (code >= 3000 && code <= 4999) return true;
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006;
}

const BY_WORDS = 192;
const scratch = new Uint8Array(4);
const scratchWord = new Int32Array(scratch.buffer);

/**
 * Removes the mask, which stands in the four bytes before `start`.
 * @returns all bytes of the payload, or-ed: below 128 when it is ASCII
 */
function unmask(data: Buffer, start: number, end: number): number {
  const mask0 = data[start - 4];
  const mask1 = data[start - 3];
  const mask2 = data[start - 2];
  const mask3 = data[start - 1];
  if (end - start >= BY_WORDS) return unmaskByWords(data, start, end);
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

declare global {
  interface Buffer {
    /** Makes a text of Latin-1 bytes; an own method of Node's Buffer, without argument juggling. */
    latin1Slice(start: number, end: number): string;
  }
}
