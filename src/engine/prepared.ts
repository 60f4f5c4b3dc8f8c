import { codeOf, type EnginePacketType } from "../protocol/engine-packet";

/** Called once, when the transport reports that the packet was written; gets the transport. */
export type SendCallback = (transport: unknown) => void;

/** Per-packet options of `Session.send`. */
export interface SendOptions {
  /** Whether a transport that negotiated compression may use it. Default `true`. */
  compress?: boolean | undefined;
  /** The complete server frame of the packet, as third-party adapters compute it once per broadcast (header, payload). */
  wsPreEncodedFrame?: readonly Buffer[] | undefined;
  /** Deprecated ancestor of `wsPreEncodedFrame`: the engine text of the packet. Ignored. */
  wsPreEncoded?: string | undefined;
}

const SHORT_LENGTH_MAX = 125;

/**
 * One outgoing packet on its way to one or many connections: the queue entry of a session.
 *
 * A shared packet is framed once, however many connections it goes to; see `prepare`.
 */
export class Prepared {
  readonly type: EnginePacketType | "raw";
  readonly data: string | Buffer | undefined;
  readonly compress: boolean;
  /** True when several connections get this object: its frame is kept, since it will be asked for again. */
  readonly shared: boolean;
  /** The caller's options, for those who look at `packet.options`. */
  readonly options: SendOptions | null;
  readonly callback: SendCallback | null;
  private frame: Buffer | null;
  private payload: Buffer | null;

  /** What travels as it stands, without type character: a form made for one peer. */
  static raw(form: string | Buffer, compress: boolean): Prepared {
    return new Prepared("raw", form, compress, false, null, null);
  }

  constructor(
    type: EnginePacketType | "raw",
    data: string | Buffer | undefined,
    compress: boolean,
    shared: boolean,
    options: SendOptions | null,
    callback: SendCallback | null,
  ) {
    this.type = type;
    this.data = data;
    this.compress = compress;
    this.shared = shared;
    this.options = options;
    this.callback = callback;
    this.frame = null;
    this.payload = null;
  }

  /** Size as far as limits are concerned: bytes of a Buffer, UTF-16 code units of a text. */
  get size(): number {
    return this.data === undefined ? 1 : this.data.length + 1;
  }

  /** The packet as one unmasked, final WebSocket frame (RFC 6455, section 5.2). Hot: bench scenario "broadcast". */
  toFrame(): Buffer {
    if (this.frame !== null) return this.frame;
    const frame = this.givenFrame() ?? frameOf(this.data, this.typeCode);
    if (this.shared) this.frame = frame;
    return frame;
  }

  /** The packet as a WebSocket message: text or binary. */
  toMessage(): string | Buffer {
    const { data } = this;
    return typeof data === "object" ? data : this.typeCode + (data ?? "");
  }

  /** The bytes of that message, made once for a shared packet; text where nobody shares it. For libraries that make frames by themselves. */
  toPayload(): string | Buffer {
    if (!this.shared) return this.toMessage();
    if (this.payload === null) {
      const message = this.toMessage();
      this.payload = typeof message === "string" ? Buffer.from(message) : message;
    }
    return this.payload;
  }

  /** The character that tells the packet's type on the wire; nothing for a raw form. */
  get typeCode(): string {
    return codeOf(this.type);
  }

  /** The packet as users see it in `packetCreate`, `flush` and `writeBuffer`. */
  toPublic(): PublicPacket {
    const options = { ...this.options, compress: this.compress };
    return this.data === undefined || this.data === "" ? { type: this.type, options } : { type: this.type, options, data: this.data };
  }

  private givenFrame(): Buffer | null {
    const parts = this.options?.wsPreEncodedFrame;
    if (parts === undefined || parts.length === 0) return null;
    return parts.length === 1 ? parts[0] : Buffer.concat(parts);
  }
}

/** What `packetCreate`, `flush` and `writeBuffer` show of a queued packet. */
export interface PublicPacket {
  readonly type: EnginePacketType | "raw";
  readonly options: SendOptions;
  readonly data?: string | Buffer;
}

/**
 * Encodes one engine message for any number of connections: each form a transport may ask for is made at most once.
 * @param data     text, or bytes that nobody changes afterwards
 * @param options  `compress` (default true); `wsPreEncodedFrame`, used in place of an own frame
 */
export function prepare(data: string | Buffer, options?: SendOptions | null): Prepared {
  const compress = options == null ? true : options.compress !== false;
  return new Prepared("message", data, compress, true, options ?? null, null);
}

/** The bytes of a frame header for `length` bytes of payload, followed by room for the payload. */
export function allocateFrame(opcodeByte: number, length: number): { frame: Buffer; offset: number } {
  let frame: Buffer;
  let offset: number;
  if (length <= SHORT_LENGTH_MAX) {
    offset = 2;
    frame = Buffer.allocUnsafe(offset + length);
    frame[1] = length;
  } else if (length < 65536) {
    offset = 4;
    frame = Buffer.allocUnsafe(offset + length);
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    offset = 10;
    frame = Buffer.allocUnsafe(offset + length);
    frame[1] = 127;
    frame.writeUInt32BE(Math.floor(length / 0x100000000), 2);
    frame.writeUInt32BE(length >>> 0, 6);
  }
  frame[0] = opcodeByte;
  return { frame, offset };
}

const TEXT_FINAL = 0x81;
const BINARY_FINAL = 0x82;

function frameOf(data: string | Buffer | undefined, typeCode: string): Buffer {
  if (data === undefined) return Buffer.from([TEXT_FINAL, 1, typeCode.charCodeAt(0)]);
  if (typeof data !== "string") {
    const { frame, offset } = allocateFrame(BINARY_FINAL, data.length);
    data.copy(frame, offset);
    return frame;
  }
  const length = Buffer.byteLength(data);
  const { frame, offset } = allocateFrame(TEXT_FINAL, length + typeCode.length);
  const start = offset + typeCode.length;
  if (typeCode !== "") frame[offset] = typeCode.charCodeAt(0);
  if (length === data.length) frame.latin1Write(data, start, length);
  else frame.utf8Write(data, start, length);
  return frame;
}

declare global {
  interface Buffer {
    /** Writes Latin-1 text; an own method of Node's Buffer, without argument juggling. */
    latin1Write(text: string, offset: number, length: number): number;
    /** Writes UTF-8 text. */
    utf8Write(text: string, offset: number, length: number): number;
  }
}
