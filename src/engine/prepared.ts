// Outgoing packets, and their encoding as WebSocket frames.
import { codeOf, type EnginePacketType } from "../protocol/engine-packet";
import { detachBytes } from "../support/detach";
import type { Readiness } from "./readiness";

/** Called once, when the system has taken the packet; gets the transport (ENG-137). */
export type SendCallback = (transport: unknown) => void;

/** Per-packet options of `Session.send`. */
export interface SendOptions {
  /** Whether a transport that negotiated compression may use it. Default `true`. */
  compress?: boolean | undefined;
  /** The complete WebSocket frame of the packet (header, payload); third-party adapters compute it once per broadcast (ENG-117). */
  wsPreEncodedFrame?: readonly Buffer[] | undefined;
  /** Deprecated form of `wsPreEncodedFrame`: the engine text of the packet. Ignored. */
  wsPreEncoded?: string | undefined;
}

/** How a packet is sent. */
export interface PacketSettings {
  /** Whether a transport that negotiated compression may use it. Default true. */
  readonly compress?: boolean;
  /** Whether several connections get this packet: its frame is kept. Default false. */
  readonly shared?: boolean;
  /** The caller's options, as `packet.options` shows them. Default none. */
  readonly options?: SendOptions | null;
  readonly callback?: SendCallback | null;
}

/** The settings of most packets; an emit allocates none. */
export const COMPRESSIBLE: PacketSettings = {};
export const UNCOMPRESSED: PacketSettings = { compress: false };

const SHORT_LENGTH_MAX = 125;
/** Packets above this size are compressed outside of the main thread, which takes them longer than 0.5 ms. */
const LARGE_BYTES = 64 * 1024;

/** The frame of a packet, compressed for one window size (ROB-612). */
export interface CompressedFrame {
  readonly windowBits: number;
  readonly readiness: Readiness | null;
  /** Null until it is ready, and when the plain frame is sent, which isn't larger. */
  frame: Buffer | null;
  /** The one for another window size. */
  readonly next: CompressedFrame | null;
}

/**
 * One outgoing packet for one or many connections; an entry in the outbox of each session.
 *
 * The frame of a shared packet is made once for all connections; see `prepare`.
 */
export class Prepared {
  readonly type: EnginePacketType | "raw";
  readonly compress: boolean;
  /** True when several connections get this packet: its frame is kept. */
  readonly shared: boolean;
  /** The caller's options, shown as `packet.options`. */
  readonly options: SendOptions | null;
  readonly callback: SendCallback | null;
  /** The reading of the packet's Blobs; null without any. */
  reading: Readiness | null;
  /** Its compressed frames, which are kept if the packet is shared or large. */
  compressed: CompressedFrame | null;
  private content: string | Buffer | undefined;
  /** UTF-16 code units of a text that only the frame or the payload holds, while the packet waits; else -1. */
  private textLength: number;
  private frame: Buffer | null;
  private payload: Buffer | null;
  /** In how many outboxes the shared packet waits, and the total that its bytes count in meanwhile. */
  private queues: number;
  private total: { bytes: number } | null;

  /** @param type  "raw": the data travel as they are, without the character of a type */
  constructor(type: EnginePacketType | "raw", data?: string | Buffer, settings: PacketSettings = COMPRESSIBLE) {
    this.type = type;
    this.compress = settings.compress !== false;
    this.shared = settings.shared === true;
    this.options = settings.options ?? null;
    this.callback = settings.callback ?? null;
    this.reading = null;
    this.compressed = null;
    this.content = data;
    this.textLength = -1;
    this.frame = null;
    this.payload = null;
    this.queues = 0;
    this.total = null;
  }

  /** The payload; undefined if there is none, and until it has been read from a Blob. */
  get data(): string | Buffer | undefined {
    return this.textLength < 0 ? this.content : this.keptText();
  }

  set data(data: string | Buffer | undefined) {
    this.content = data;
  }

  get isBinary(): boolean {
    return typeof this.content === "object";
  }

  /** Size for the limits: bytes of a Buffer, UTF-16 code units of a text, and one for the type (ROB-120). */
  get size(): number {
    if (this.textLength >= 0) return this.textLength + 1;
    return this.content === undefined ? 1 : this.content.length + 1;
  }

  /** Whether compressing it takes so long that it is done outside of the main thread (ROB-615). */
  get isLarge(): boolean {
    return this.size > LARGE_BYTES;
  }

  /** Its compressed frame for a window size; undefined while there is no entry. */
  compressedFor(windowBits: number): CompressedFrame | undefined {
    let entry = this.compressed;
    while (entry !== null && entry.windowBits !== windowBits) entry = entry.next;
    return entry ?? undefined;
  }

  /** The shared packet waits in one more outbox; with the first one its bytes are added to `total` (ROB-122). */
  addWaiter(total: { bytes: number }): void {
    if (this.queues++ > 0) return;
    this.total = total; // of the first: another server of the program may have one of its own
    total.bytes += this.size;
    this.holdOnce();
  }

  /** Counterpart of `addWaiter`. */
  removeWaiter(): void {
    if (--this.queues === 0) this.total!.bytes -= this.size;
  }

  /** The packet as one unmasked, final WebSocket frame (RFC 6455, section 5.2). */
  toFrame(): Buffer {
    if (this.frame !== null) return this.frame;
    const frame = this.givenFrame() ?? frameOf(this.data, this.typeCode);
    if (!this.shared) return frame;
    this.frame = frame;
    if (this.queues > 0) this.holdOnce();
    return this.frame;
  }

  /** The packet as a WebSocket message: text or binary. */
  toMessage(): string | Buffer {
    const { data } = this;
    return typeof data === "object" ? data : this.typeCode + (data ?? "");
  }

  /** The WebSocket message for libraries that make frames themselves: of a shared packet the bytes, made once; else text or binary. */
  toPayload(): string | Buffer {
    if (!this.shared) return this.toMessage();
    if (this.payload !== null) return this.payload;
    const message = this.toMessage();
    const payload = typeof message === "string" ? Buffer.from(message) : message;
    this.payload = payload;
    if (this.queues > 0) this.holdOnce();
    return payload;
  }

  /** What waits holds its payload once, in the bytes that other connections got, and no more memory than these take (ROB-985). */
  private holdOnce(): void {
    const { content, options } = this;
    if (options?.wsPreEncodedFrame !== undefined) return; // it isn't ours
    if (this.frame !== null) {
      this.frame = detachBytes(this.frame);
      this.payload = null; // can be made again
    }
    if (typeof content === "string") {
      if ((this.frame ?? this.payload) === null) return;
      this.textLength = content.length;
      this.content = undefined;
    } else if (content !== undefined && this.frame !== null) {
      this.content = this.frame.subarray(this.frame.length - content.length);
    }
  }

  /** The text from the bytes of the frame or the payload; few ask, so it is not kept. */
  private keptText(): string {
    const { frame } = this;
    if (frame === null) return this.payload!.toString("utf8", this.typeCode.length);
    return frame.toString("utf8", headerBytes(frame) + this.typeCode.length);
  }

  /** The character of the packet's type (EIO-10); empty for `raw`. */
  get typeCode(): string {
    return codeOf(this.type);
  }

  /** The packet as programs see it in `packetCreate`, `flush` and `writeBuffer`. */
  toPublic(): PublicPacket {
    const { type, data } = this;
    const options = { ...this.options, compress: this.compress };
    return data === undefined || data === "" ? { type, options } : { type, options, data };
  }

  private givenFrame(): Buffer | null {
    const parts = this.options?.wsPreEncodedFrame;
    if (parts === undefined || parts.length === 0) return null;
    return parts.length === 1 ? parts[0] : Buffer.concat(parts);
  }
}

/** A packet as programs see it (ENG-135). */
export interface PublicPacket {
  readonly type: EnginePacketType | "raw";
  readonly options: SendOptions;
  readonly data?: string | Buffer;
}

/**
 * Prepares one message for any number of connections: each encoding is made at most once.
 * @param data     text, or bytes that are not changed afterwards
 * @param options  `compress` (default true); `wsPreEncodedFrame`, used in place of an own frame
 */
export function prepare(data: string | Buffer, options?: SendOptions | null): Prepared {
  return new Prepared("message", data, { compress: options?.compress !== false, shared: true, options: options ?? null });
}

/** Allocates a frame with the header for `length` bytes of payload; the payload goes to `offset`. */
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

/** Length of the header of a frame without a mask. */
function headerBytes(frame: Buffer): number {
  const length = frame[1];
  return length <= SHORT_LENGTH_MAX ? 2 : length === 126 ? 4 : 10;
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
  if (length === data.length) frame.write(data, start, length, "latin1");
  else frame.write(data, start, length, "utf8");
  return frame;
}
