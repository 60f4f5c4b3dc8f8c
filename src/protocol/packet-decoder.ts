// Step of the walk "a frame in": messages become packets. Everything a peer may send wrong ends here as a ProtocolError.
import { ProtocolError } from "../errors";
import { LeanEmitter } from "../support/lean-emitter";
import { putBack } from "./attachments";
import { isBinary } from "./engine-packet";
import { isDataValid, PacketType, type Packet } from "./packet";

type Reviver = (this: unknown, key: string, value: unknown) => unknown;

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

/** The direct path from messages to packets, without an event between them. One per connection. */
export class PacketDecoder {
  private readonly reviver: Reviver | undefined;
  private readonly maxAttachments: number;
  private readonly maxDepth: number;
  private pending: Packet | null;
  private attachments: unknown[];
  private awaited: number;

  constructor(options: DecoderOptions = {}) {
    this.reviver = options.reviver;
    this.maxAttachments = options.maxAttachments ?? 10;
    this.maxDepth = options.maxDepth ?? 1000;
    this.pending = null;
    this.attachments = NONE;
    this.awaited = 0;
  }

  /**
   * Takes one message. Hot: once per incoming message.
   * @returns the packet it completes; null while attachments are missing
   * @throws ProtocolError on anything that is not a well-formed packet
   */
  decode(chunk: unknown): Packet | null {
    if (typeof chunk === "string") {
      if (this.pending !== null) throw new ProtocolError("RC_ERR_ATTACHMENTS", "got plaintext data when reconstructing a packet");
      const packet = this.decodeText(chunk);
      if (packet.type < PacketType.BINARY_EVENT) return packet;
      this.pending = packet;
      this.attachments = [];
      return null;
    }
    if (isBinary(chunk)) {
      if (this.pending === null) throw new ProtocolError("RC_ERR_ATTACHMENTS", "got binary data when not reconstructing a packet");
      this.attachments.push(chunk);
      return this.attachments.length === this.awaited ? this.complete(this.pending) : null;
    }
    const met = typeof chunk === "object" && chunk !== null ? Object.prototype.toString.call(chunk) : String(chunk);
    throw new ProtocolError("RC_ERR_PACKET_TYPE", `Unknown type: ${met}`);
  }

  /** Drops a packet that is waiting for attachments. */
  reset(): void {
    this.pending = null;
    this.attachments = NONE;
  }

  private complete(packet: Packet): Packet {
    const { attachments } = this;
    this.reset();
    const type = packet.type === PacketType.BINARY_EVENT ? PacketType.EVENT : PacketType.ACK;
    return { type, nsp: packet.nsp, id: packet.id, data: putBack(packet.data, attachments) };
  }

  private decodeText(text: string): Packet {
    const type = text.charCodeAt(0) - DIGIT_0;
    if (!(type >= PacketType.CONNECT && type <= PacketType.BINARY_ACK)) throw typeError(type);
    let at = type >= PacketType.BINARY_EVENT ? this.readAttachments(text) : 1;

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

    const data: unknown = at < text.length ? this.parse(text.slice(at)) : undefined;
    if (!isDataValid(type, data)) throw payloadError();
    return { type, nsp, id, data };
  }

  /** Reads `<count>-` behind the type; gives the position behind it. */
  private readAttachments(text: string): number {
    let at = 1;
    let count = 0;
    for (let code = text.charCodeAt(at); code >= DIGIT_0 && code <= DIGIT_9; code = text.charCodeAt(++at)) {
      count = count * 10 + (code - DIGIT_0); // many digits make it Infinity, which is over any limit
    }
    if (text.charCodeAt(at) !== DASH || count === 0) throw new ProtocolError("RC_ERR_ATTACHMENTS", "Illegal attachments");
    if (count > this.maxAttachments || count === Infinity) throw new ProtocolError("RC_ERR_ATTACHMENTS", "too many attachments");
    this.awaited = count;
    return at + 1;
  }

  private parse(json: string): unknown {
    try {
      if (!hasBrackets(json, this.maxDepth)) return JSON.parse(json, this.reviver);
      const plain: unknown = JSON.parse(json);
      if (isDeeper(plain, this.maxDepth)) throw new RangeError(`payload nested deeper than ${this.maxDepth}`);
      return this.reviver === undefined ? plain : JSON.parse(json, this.reviver);
    } catch (error) {
      throw payloadError(error);
    }
  }
}

const NONE: unknown[] = [];

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
