// Step of the walk "a frame in": messages become packets. Everything a peer may send wrong ends here as a ProtocolError.
import { ProtocolError } from "../errors";
import { LeanEmitter } from "../support/lean-emitter";
import { putBack } from "./attachments";
import { isBinary } from "./engine-packet";
import { isDataValid, PacketType, type Packet } from "./packet";

type Reviver = (this: any, key: string, value: any) => any;

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
const MAX_ID_DIGITS = 15;

function payloadError(cause?: unknown): ProtocolError {
  return new ProtocolError("RC_ERR_PAYLOAD", "invalid payload", cause);
}

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
   * @throws ProtocolError on anything that isn't a well-formed packet
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
    throw new ProtocolError("RC_ERR_PACKET_TYPE", `Unknown type: ${String(chunk)}`);
  }

  /** Drops a packet that is waiting for attachments. */
  reset(): void {
    this.pending = null;
    this.attachments = NONE;
  }

  private complete(packet: Packet): Packet {
    const buffers = this.attachments;
    this.reset();
    const type = packet.type === PacketType.BINARY_EVENT ? PacketType.EVENT : PacketType.ACK;
    return { type, nsp: packet.nsp, id: packet.id, data: putBack(packet.data, buffers) };
  }

  private decodeText(text: string): Packet {
    const type = text.charCodeAt(0) - DIGIT_0;
    if (!(type >= 0 && type <= 6)) throw new ProtocolError("RC_ERR_PACKET_TYPE", `unknown packet type ${unknownType(text)}`);
    let at = 1;
    if (type >= PacketType.BINARY_EVENT) at = this.readAttachments(text);

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

    const data: unknown = at < text.length ? this.parse(at === 0 ? text : text.slice(at)) : undefined;
    if (!isDataValid(type, data)) throw payloadError();
    return { type, nsp, id, data };
  }

  /** Reads `<count>-` behind the type; gives the position behind it. */
  private readAttachments(text: string): number {
    let at = 1;
    let count = 0;
    for (let code = text.charCodeAt(at); code >= DIGIT_0 && code <= DIGIT_9; code = text.charCodeAt(++at)) {
      if (count <= 1e6) count = count * 10 + (code - DIGIT_0); // enough to be over any limit
    }
    if (at === 1 || text[at] !== "-" || count === 0) throw new ProtocolError("RC_ERR_ATTACHMENTS", "Illegal attachments");
    if (count > this.maxAttachments) throw new ProtocolError("RC_ERR_ATTACHMENTS", "too many attachments");
    this.awaited = count;
    return at + 1;
  }

  private parse(json: string): unknown {
    // A text shorter than the limit can't nest deeper than it.
    if (json.length > this.maxDepth && isTooDeep(json, this.maxDepth)) throw payloadError();
    try {
      return JSON.parse(json, this.reviver);
    } catch (error) {
      throw payloadError(error);
    }
  }
}

const NONE: unknown[] = [];

function unknownType(text: string): string {
  const type = Number(text.charAt(0) === "" ? NaN : text.charAt(0));
  return text.charAt(0) === " " ? "NaN" : String(type);
}

/** Whether brackets nest deeper than `limit`; a text within strings doesn't count. Runs over long payloads only. */
function isTooDeep(json: string, limit: number): boolean {
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    const code = json.charCodeAt(at);
    if (code === 34) {
      at = endOfString(json, at);
      if (at === -1) return false; // not JSON; the parser says so
    } else if (code === 91 || code === 123) {
      if (++depth > limit) return true;
    } else if (code === 93 || code === 125) depth--;
  }
  return false;
}

/** Position of the quote that ends the string which begins at `start`. */
function endOfString(json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); end !== -1; end = json.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (json.charCodeAt(end - 1 - backslashes) === 92) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return -1;
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
    if (packet !== null) this.emit("decoded", packet);
  }

  /** Drops what is incomplete; called when the connection closes. */
  destroy(): void {
    this.decoder.reset();
  }
}
