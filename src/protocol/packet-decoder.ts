// Decodes messages into Socket.IO packets: a step of the walk "a frame in". Any malformed input throws a ProtocolError.
import { ProtocolError } from "../errors";
import { detachBytes, detachText, HELD_OVERHEAD_BYTES } from "../support/detach";
import { LeanEmitter } from "../support/lean-emitter";
import { putBack } from "./attachments";
import { isBinary } from "./engine-packet";
import { isDataValid, PacketType, type Packet, type Payload } from "./packet";

type Reviver = (this: Payload, key: string, value: Payload) => Payload;

/** Bounds and hooks of a decoder. */
export interface DecoderOptions {
  /** Passed to `JSON.parse`. */
  reviver?: Reviver | undefined;
  /** Greatest number of attachments of a packet. Default 10; with more, `add` throws `too many attachments`. */
  maxAttachments?: number | undefined;
  /** Greatest nesting depth of a payload. Default 1000; with more, `add` throws `invalid payload`. */
  maxDepth?: number | undefined;
}

const DIGIT_0 = 48;
const DIGIT_9 = 57;
const SLASH = 47;
const DASH = 45;
const QUOTE = 34;
const BACKSLASH = 92;
const OPENING_BRACKET = 91;
const CLOSING_BRACKET = 93;
const OPENING_BRACE = 123;
const CLOSING_BRACE = 125;
const MAX_ID_DIGITS = 15;
const DEFAULT_ATTACHMENTS = 10;
const DEFAULT_DEPTH = 1000;
/** Length in characters from which a payload that waits for attachments is kept as text (ROB-144). */
const LONG_PAYLOAD = 16 * 1024;

/** Memory of a payload for each character of its text: as text, and parsed into many small values (ROB-144). */
const TEXT_BYTES = 2;
const PARSED_BYTES = 10;

/** A packet that waits for its attachments. */
interface Reconstruction {
  readonly packet: Packet;
  /** The text of a long payload: parsed into many small values, it would take ten times the memory. */
  readonly json: string | null;
  readonly attachments: unknown[];
  readonly awaited: number;
  /** Memory that it takes. */
  bytes: number;
}

/** Decodes messages into packets without emitting events. One per connection. */
export class PacketDecoder {
  private readonly options: DecoderOptions;
  private pending: Reconstruction | null;

  /** @param options  may be shared between decoders */
  constructor(options: DecoderOptions = {}) {
    this.options = options;
    this.pending = null;
  }

  /**
   * Decodes one message. Hot: once per incoming message.
   * @returns the packet that the message completes; null while attachments are missing
   * @throws ProtocolError on malformed input
   */
  decode(chunk: unknown): Packet | null {
    if (typeof chunk === "string") {
      // SIO-29, and below
      if (this.pending !== null) throw this.fail("got plaintext data when reconstructing a packet");
      return this.decodeText(chunk);
    }
    if (!isBinary(chunk)) throw new ProtocolError("RC_ERR_PACKET_TYPE", `Unknown type: ${describe(chunk)}`);
    const { pending } = this;
    if (pending === null) throw this.fail("got binary data when not reconstructing a packet");
    if (pending.attachments.length + 1 < pending.awaited) {
      pending.attachments.push(Buffer.isBuffer(chunk) ? detachBytes(chunk) : chunk);
      pending.bytes += chunk.byteLength + HELD_OVERHEAD_BYTES;
      return null;
    }
    pending.attachments.push(chunk);
    this.pending = null;
    const { type, nsp, id } = pending.packet;
    const data = pending.json === null ? pending.packet.data : (JSON.parse(pending.json) as unknown);
    return {
      // SIO-30
      type: type === PacketType.BINARY_EVENT ? PacketType.EVENT : PacketType.ACK,
      nsp,
      id,
      data: putBack(data, pending.attachments, this.options.maxAttachments ?? DEFAULT_ATTACHMENTS),
    };
  }

  /** Memory of a packet that waits for attachments; 0 for none. */
  get heldBytes(): number {
    return this.pending === null ? 0 : this.pending.bytes;
  }

  /** Drops a packet that waits for attachments (SIO-39). */
  reset(): void {
    this.pending = null;
  }

  private fail(message: string): ProtocolError {
    this.pending = null;
    return new ProtocolError("RC_ERR_ATTACHMENTS", message);
  }

  private decodeText(text: string): Packet | null {
    const type = text.charCodeAt(0) - DIGIT_0;
    if (!(type >= PacketType.CONNECT && type <= PacketType.BINARY_ACK)) throw typeError(type); // SIO-22
    let at = 1;
    let awaited = 0;
    if (type >= PacketType.BINARY_EVENT) {
      at = endOfDigits(text, 1);
      if (text.charCodeAt(at) !== DASH) throw new ProtocolError("RC_ERR_ATTACHMENTS", "Illegal attachments");
      awaited = countAttachments(text.slice(1, at++), this.options.maxAttachments ?? DEFAULT_ATTACHMENTS);
    }

    // SIO-23
    let nsp = "/";
    if (text.charCodeAt(at) === SLASH) {
      const comma = text.indexOf(",", at);
      const end = comma === -1 ? text.length : comma;
      nsp = text.slice(at, end);
      at = end + 1;
    }

    // SIO-24
    let id: number | undefined;
    const idStart = at;
    for (let code = text.charCodeAt(at); code >= DIGIT_0 && code <= DIGIT_9; code = text.charCodeAt(++at)) {
      if (at - idStart === MAX_ID_DIGITS) throw payloadError();
      id = (id ?? 0) * 10 + (code - DIGIT_0);
    }

    // SIO-25, SIO-26
    const hasPayload = at < text.length;
    const data: unknown = hasPayload ? this.parse(text.slice(at)) : undefined;
    const mayLackPayload = type === PacketType.CONNECT_ERROR; // in addition to the types for which `isDataValid` accepts `undefined`
    if (!isDataValid(type, data) && (hasPayload || !mayLackPayload)) throw payloadError();
    const packet = { type, nsp, id, data };
    if (awaited === 0) return packet;
    const isLong = text.length > LONG_PAYLOAD && this.options.reviver === undefined;
    const waiting = { type, nsp: detachText(nsp), id, data: isLong ? undefined : data };
    const bytes = HELD_OVERHEAD_BYTES + text.length * (isLong ? TEXT_BYTES : PARSED_BYTES);
    this.pending = { packet: waiting, json: isLong ? detachText(text.slice(at)) : null, attachments: [], awaited, bytes };
    return null;
  }

  private parse(json: string): unknown {
    const { reviver, maxDepth = DEFAULT_DEPTH } = this.options;
    if (mayBeDeeper(json, maxDepth) && isDeeper(json, maxDepth)) {
      throw new ProtocolError("RC_ERR_PAYLOAD", `invalid payload: nested deeper than ${maxDepth} levels (limits.depth)`);
    }
    try {
      return JSON.parse(json, reviver);
    } catch (error) {
      throw payloadError(error);
    }
  }
}

function endOfDigits(text: string, start: number): number {
  let at = start;
  for (let code = text.charCodeAt(at); code >= DIGIT_0 && code <= DIGIT_9;) code = text.charCodeAt(++at);
  return at;
}

/** The number of attachments in the header (SIO-27). */
function countAttachments(digits: string, limit: number): number {
  const count = Number(digits); // 0 for "", Infinity for too many digits
  if (count === 0) throw new ProtocolError("RC_ERR_ATTACHMENTS", "Illegal attachments");
  if (count > limit || count === Infinity) throw new ProtocolError("RC_ERR_ATTACHMENTS", "too many attachments");
  return count;
}

/** Describes a value that is not a message; never throws. */
function describe(chunk: unknown): string {
  return typeof chunk === "object" && chunk !== null ? Object.prototype.toString.call(chunk) : String(chunk);
}

function typeError(type: number): ProtocolError {
  return new ProtocolError("RC_ERR_PACKET_TYPE", `unknown packet type ${type >= 0 && type <= 9 ? type : NaN}`);
}

function payloadError(cause?: unknown): ProtocolError {
  return new ProtocolError("RC_ERR_PAYLOAD", "invalid payload", cause);
}

/**
 * Whether a text has more than `limit` opening brackets, those in strings included; with fewer it cannot be nested deeper.
 * Cheap: short texts are not searched, others by the native `indexOf`.
 */
function mayBeDeeper(json: string, limit: number): boolean {
  if (json.length < 2 * limit) return false;
  let count = 0;
  for (let at = json.indexOf("{"); at !== -1; at = json.indexOf("{", at + 1)) if (++count > limit) return true;
  for (let at = json.indexOf("["); at !== -1; at = json.indexOf("[", at + 1)) if (++count > limit) return true;
  return false;
}

/**
 * Whether arrays and objects in a JSON text are nested deeper than `limit` (ROB-114). Scans the text before it is parsed, because
 * `JSON.parse` is slow for deep nesting. For a text that is not JSON the result has no meaning.
 */
function isDeeper(json: string, limit: number): boolean {
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    switch (json.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(json, at + 1);
        break;
      case OPENING_BRACKET:
      case OPENING_BRACE:
        if (++depth > limit) return true;
        break;
      case CLOSING_BRACKET:
      case CLOSING_BRACE:
        depth--;
    }
  }
  return false;
}

/** The position of the closing quote of a JSON string whose first character is at `start`. */
function endOfString(json: string, start: number): number {
  let at = start;
  for (let code = json.charCodeAt(at); code !== QUOTE && at < json.length; code = json.charCodeAt(++at)) {
    if (code === BACKSLASH) at++;
  }
  return at;
}

/** The public decoder, for the option `parser`: emits `decoded` with every complete packet (SIO-37). */
export class Decoder extends LeanEmitter {
  private readonly decoder: PacketDecoder;

  /** @param options  a reviver for `JSON.parse`, or `{ reviver, maxAttachments, maxDepth }` */
  constructor(options?: Reviver | DecoderOptions) {
    super();
    this.decoder = new PacketDecoder(typeof options === "function" ? { reviver: options } : options);
  }

  /**
   * Decodes one message; emits `decoded` synchronously if it completes a packet.
   * @throws ProtocolError on malformed input
   */
  add(chunk: unknown): void {
    const packet = this.decoder.decode(chunk);
    if (packet !== null) this.emit("decoded", withoutAbsent(packet));
  }

  /** Drops an incomplete packet; called when the connection closes. */
  destroy(): void {
    this.decoder.reset();
  }
}

/** The packet without members that are undefined: programs compare packets with `deepEqual`. */
function withoutAbsent({ type, nsp, id, data }: Packet): Packet {
  const packet: Packet = { type, nsp };
  if (id !== undefined) packet.id = id;
  if (data !== undefined) packet.data = data;
  return packet;
}
