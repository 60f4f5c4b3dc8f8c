// Step of the walk "a frame in": messages become packets. Everything a peer may send wrong ends here as a ProtocolError.
import { ProtocolError } from "../errors";
import { LeanEmitter } from "../support/lean-emitter";
import { putBack } from "./attachments";
import { isBinary } from "./engine-packet";
import { isDataValid, PacketType, type Packet, type Payload } from "./packet";

type Reviver = (this: Payload, key: string, value: Payload) => Payload;

/** Bounds and hooks of a decoder. */
export interface DecoderOptions {
  /** Passed to `JSON.parse`. */
  reviver?: Reviver | undefined;
  /** Attachments one packet may announce. Default 10; over it: `too many attachments`. */
  maxAttachments?: number | undefined;
  /** Nesting depth of a payload. Default 1000; over it: `invalid payload`. */
  maxDepth?: number | undefined;
}

const DIGIT_0 = 48;
const DIGIT_9 = 57;
const SLASH = 47;
const DASH = 45;
const MAX_ID_DIGITS = 15;
const DEFAULT_ATTACHMENTS = 10;
const DEFAULT_DEPTH = 1000;

/** A packet that waits for its attachments. */
interface Reconstruction {
  readonly packet: Packet;
  readonly attachments: unknown[];
  readonly awaited: number;
}

/** The direct path from messages to packets, without an event between them. One per connection, and small. */
export class PacketDecoder {
  private readonly options: DecoderOptions;
  private pending: Reconstruction | null;

  /** @param options  may be shared between decoders */
  constructor(options: DecoderOptions = {}) {
    this.options = options;
    this.pending = null;
  }

  /**
   * Takes one message. Hot: once per incoming message.
   * @returns the packet it completes; null while attachments are missing
   * @throws ProtocolError on anything that is not a well-formed packet
   */
  decode(chunk: unknown): Packet | null {
    if (typeof chunk === "string") {
      if (this.pending !== null) throw this.fail("got plaintext data when reconstructing a packet");
      return this.decodeText(chunk);
    }
    if (!isBinary(chunk)) throw new ProtocolError("RC_ERR_PACKET_TYPE", `Unknown type: ${describe(chunk)}`);
    const { pending } = this;
    if (pending === null) throw this.fail("got binary data when not reconstructing a packet");
    pending.attachments.push(chunk);
    if (pending.attachments.length < pending.awaited) return null;
    this.pending = null;
    const { type, nsp, id, data } = pending.packet;
    return {
      type: type === PacketType.BINARY_EVENT ? PacketType.EVENT : PacketType.ACK,
      nsp,
      id,
      data: putBack(data, pending.attachments),
    };
  }

  /** Drops a packet that is waiting for attachments. */
  reset(): void {
    this.pending = null;
  }

  private fail(message: string): ProtocolError {
    this.pending = null;
    return new ProtocolError("RC_ERR_ATTACHMENTS", message);
  }

  private decodeText(text: string): Packet | null {
    const type = text.charCodeAt(0) - DIGIT_0;
    if (!(type >= PacketType.CONNECT && type <= PacketType.BINARY_ACK)) throw typeError(type);
    let at = 1;
    let awaited = 0;
    if (type >= PacketType.BINARY_EVENT) {
      at = endOfDigits(text, 1);
      if (text.charCodeAt(at) !== DASH) throw new ProtocolError("RC_ERR_ATTACHMENTS", "Illegal attachments");
      awaited = countAttachments(text.slice(1, at++), this.options.maxAttachments ?? DEFAULT_ATTACHMENTS);
    }

    let nsp = "/";
    if (text.charCodeAt(at) === SLASH) {
      const comma = text.indexOf(",", at);
      const end = comma === -1 ? text.length : comma;
      nsp = text.slice(at, end);
      at = end + 1;
    }

    let id: number | undefined;
    const idStart = at;
    for (let code = text.charCodeAt(at); code >= DIGIT_0 && code <= DIGIT_9; code = text.charCodeAt(++at)) {
      if (at - idStart === MAX_ID_DIGITS) throw payloadError();
      id = (id ?? 0) * 10 + (code - DIGIT_0);
    }

    const hasPayload = at < text.length;
    const data: unknown = hasPayload ? this.parse(text.slice(at)) : undefined;
    const mayLackPayload = type === PacketType.CONNECT_ERROR; // beside those types that `isDataValid` lets go without
    if (!isDataValid(type, data) && (hasPayload || !mayLackPayload)) throw payloadError();
    const packet = { type, nsp, id, data };
    if (awaited === 0) return packet;
    this.pending = { packet, attachments: [], awaited };
    return null;
  }

  private parse(json: string): unknown {
    const { reviver, maxDepth = DEFAULT_DEPTH } = this.options;
    try {
      if (!hasBrackets(json, maxDepth)) return JSON.parse(json, reviver);
      const plain: unknown = JSON.parse(json);
      if (isDeeper(plain, maxDepth)) throw new RangeError(`payload nested deeper than ${maxDepth}`);
      return reviver === undefined ? plain : JSON.parse(json, reviver);
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

function countAttachments(digits: string, limit: number): number {
  const count = Number(digits); // of "" it is 0, of too many digits Infinity
  if (count === 0) throw new ProtocolError("RC_ERR_ATTACHMENTS", "Illegal attachments");
  if (count > limit || count === Infinity) throw new ProtocolError("RC_ERR_ATTACHMENTS", "too many attachments");
  return count;
}

/** Names what came in place of a message; never throws. */
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
 * Whether a text has more than `limit` opening brackets, without which it cannot nest deeper. Those in strings count too.
 * Costs nothing for short texts, and a few native searches for others.
 */
function hasBrackets(json: string, limit: number): boolean {
  if (json.length < 2 * limit) return false;
  let count = 0;
  for (let at = json.indexOf("{"); at !== -1; at = json.indexOf("{", at + 1)) if (++count > limit) return true;
  for (let at = json.indexOf("["); at !== -1; at = json.indexOf("[", at + 1)) if (++count > limit) return true;
  return false;
}

/** Whether arrays and objects nest deeper than `limit`; recurses no further than that. */
function isDeeper(value: unknown, limit: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (limit === 0) return true;
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) if (isDeeper(value[index], limit - 1)) return true;
    return false;
  }
  for (const key in value) if (isDeeper((value as Record<string, unknown>)[key], limit - 1)) return true;
  return false;
}

/** The decoder of the option `parser`: takes messages, emits `decoded` with each packet that they complete. */
export class Decoder extends LeanEmitter {
  private readonly decoder: PacketDecoder;

  /** @param options  a reviver for `JSON.parse`, or `{ reviver, maxAttachments, maxDepth }` */
  constructor(options?: Reviver | DecoderOptions) {
    super();
    this.decoder = new PacketDecoder(typeof options === "function" ? { reviver: options } : options);
  }

  /**
   * Takes one message; `decoded` is emitted synchronously when it completes a packet.
   * @throws ProtocolError on bad input
   */
  add(chunk: unknown): void {
    const packet = this.decoder.decode(chunk);
    if (packet !== null) this.emit("decoded", withoutAbsent(packet));
  }

  /** Drops what is incomplete; called when the connection closes. */
  destroy(): void {
    this.decoder.reset();
  }
}

/** The packet with the members that it has, and no others: some compare them with `deepEqual`. */
function withoutAbsent({ type, nsp, id, data }: Packet): Packet {
  const packet: Packet = { type, nsp };
  if (id !== undefined) packet.id = id;
  if (data !== undefined) packet.data = data;
  return packet;
}
