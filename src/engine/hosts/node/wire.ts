// WebSockets on Node whose frames roomcast writes. The end of the walks "an emit out" and "a broadcast out": packets become one socket write.
import { Socket, type Socket as NetSocket } from "node:net";
import type { Endings } from "../../endings";
import { afterTick } from "../../turn";
import type { WireListener } from "../../host";
import { limitError } from "../../limits";
import { runInRoot } from "../../../support/tick";
import type { Prepared } from "../../prepared";
import type { InputTotal } from "../../totals";
import { allocateFrame } from "../../prepared";
import { HANDED_LIMIT_BYTES, type CloseStatus, type Flow } from "../../transport";
import { handleOf, queuedBytes, type SocketHandle } from "../../../support/node-internals";
import { writeDirectly } from "./direct-socket";
import type { Wire } from "../../transports/websocket";

const PONG_FINAL = 0x8a;

/** Settings of all wires of an engine. */
export interface NodeWireSettings {
  /** Limit of unanswered pings, `limits.queuedPongs`. */
  readonly maxQueuedPongs: number;
  /** Write the first packet of a tick at once instead of at its end. */
  readonly writesAtOnce: boolean;
  /** Limit for a message of the peer; 0 for no limit. */
  readonly maxMessageBytes: number;
  /** Read and write plain sockets below their streams. */
  readonly direct: boolean;
  /** The incomplete input of all connections. */
  readonly inputTotal: InputTotal;
  /** The engine's connections that are being closed. */
  readonly endings: Endings;
}

/**
 * A WebSocket on Node without compression. It writes frames to the socket. Its two subclasses read frames and close: SocketWire with the
 * frame reader of roomcast, WsWire with the package `ws`.
 *
 *     free --write, ping: the system took a part--> blocked --drained--> free
 *     blocked --close, while a frame is half written--> closing --drained: Close frame
 *
 * A frame is written completely before the next one; nothing is written after a Close frame.
 */
export abstract class NodeWire implements Wire {
  listener: WireListener | null;
  protected readonly net: NetSocket;
  /** The socket's handle; null if the stream must be used. */
  protected handle: SocketHandle | null;
  protected readonly settings: NodeWireSettings;
  /** The head of the handshake's response, which leaves with the first frame. ASCII. */
  protected head: string | null;
  private state: "free" | "blocked" | "closing";
  /** The rest of a large write that wasn't written to the socket yet. */
  private backlog: Buffer | null;
  private isBacklogShared: boolean;
  /** Ends the closing that waits for a frame. */
  private finish: (() => void) | null;
  private pong: Buffer | null;
  private queuedPongs: number;
  /** Callback of each write, where writes always complete later (TLS, HTTP/2); null on a plain socket. */
  private readonly onTaken: ((error?: Error | null) => void) | null;

  /** @param net  the socket of the handshake */
  constructor(net: NetSocket, settings: NodeWireSettings, head: string | null) {
    this.listener = null;
    this.net = net;
    this.handle = settings.direct && isPlain(net) ? handleOf(net) : null;
    this.settings = settings;
    this.head = head;
    this.state = "free";
    this.backlog = null;
    this.isBacklogShared = false;
    this.finish = null;
    this.pong = null;
    this.queuedPongs = 0;
    this.onTaken = isPlain(net) ? null : (error) => this.onDrained(error);
  }

  /** The WebSocket object for programs. */
  abstract get socket(): unknown;
  /** Whether frames may be written: false once a Close frame was. */
  protected abstract get isOpen(): boolean;
  /** Starts the closing handshake. */
  protected abstract sendClose(status: CloseStatus | null): void;
  /** Destroys the connection. */
  protected abstract cut(): void;

  get flow(): Flow {
    return this.state === "free" ? "free" : "held up";
  }

  get writesAtOnce(): boolean {
    return this.settings.writesAtOnce;
  }

  get bufferedBytes(): number {
    return (this.backlog === null ? 0 : this.backlog.length) + this.handedBytes;
  }

  /** Without the backlog if it belongs to a shared frame. */
  get heldBytes(): number {
    return this.bufferedBytes - (this.backlog !== null && this.isBacklogShared ? this.backlog.length : 0);
  }

  get progress(): number {
    return this.net.bytesWritten - this.handedBytes;
  }

  /** Bytes in the socket's stream or below that the system hasn't taken. */
  private get handedBytes(): number {
    const { writableLength } = this.net;
    return this.handle === null ? writableLength : Math.max(writableLength, queuedBytes(this.handle));
  }

  write(first: Prepared, more: readonly Prepared[] | null): void {
    if (!this.isOpen) return; // no data frame after a Close frame
    let bytes = this.framesOf(first, more);
    if (this.head !== null) {
      if (typeof bytes === "string") {
        bytes = this.head + bytes;
        this.head = null;
      } else {
        this.writeHead();
      }
    }
    if (typeof bytes === "string" || bytes.length <= HANDED_LIMIT_BYTES) this.writeBytes(bytes);
    else {
      this.backlog = bytes;
      this.isBacklogShared = first.shared;
      this.writeSlice();
    }
    if (this.net.writableCorked > 0) this.net.uncork(); // corked since the handshake, so that its response leaves with the first frame
    if (this.isHeldUp) this.waitForDrain();
  }

  /** The packets as frames; a text is Latin-1. */
  protected framesOf(first: Prepared, more: readonly Prepared[] | null): string | Buffer {
    return framesOf(first, more, null);
  }

  close(onClosed: () => void, status: CloseStatus | null): void {
    this.writeHead();
    if (this.backlog !== null) {
      this.state = "closing"; // a frame is half written: its rest is written first
      this.finish = () => {
        if (this.isOpen) this.sendClose(status);
        onClosed();
      };
      return this.limitEnd();
    }
    this.sendClose(status);
    onClosed();
  }

  terminate(): void {
    this.dropPending();
    this.cut();
  }

  /** The connection is being closed: starts its deadline (ROB-160). */
  protected limitEnd(): void {
    this.settings.endings.limitStream(this.net);
  }

  /** Writes the handshake's response without a frame. */
  writeHead(): void {
    if (this.head === null) return;
    this.writeBytes(this.head);
    this.head = null;
  }

  // -- calls of the reader ---------------------------------------------------------------------------

  /** Answers a ping (ENG-119). For a peer that doesn't read only the last pong is kept (RFC 6455, section 5.5.3), and the pings are counted. */
  onPing(data: Buffer): void {
    if (!this.isOpen) return;
    if (this.state === "free" && !this.isHeldUp) return this.writePong(data);
    if (this.pong !== null || this.state === "blocked") this.queuedPongs++;
    this.pong = data;
    if (this.state === "free") this.onHeldUp(); // by bytes that the program wrote to the socket
    if (this.queuedPongs > this.settings.maxQueuedPongs) {
      const error = limitError(
        "RC_ERR_QUEUED_PONGS",
        "pings unanswered, since the client doesn't read (queuedPongs)",
        this.settings.maxQueuedPongs,
        this.queuedPongs,
      );
      this.listener?.onWireError(error);
    }
  }

  /** The connection has ended. */
  onClose(): void {
    this.dropPending();
    this.handle = null;
    this.listener?.onWireClose();
  }

  // -- writing ---------------------------------------------------------------------------------------

  private writePong(data: Buffer): void {
    this.writeHead();
    this.writeBytes(pongFrame(data));
    if (this.isHeldUp) this.onHeldUp();
  }

  /** The socket is held up outside of `write`: reports it to the transport. */
  private onHeldUp(): void {
    this.waitForDrain();
    this.listener?.onWireHeldUp();
  }

  /** Whether a Close frame may be written now: not inside another frame. */
  protected get canWriteControl(): boolean {
    return this.backlog === null;
  }

  /** Whether the system hasn't taken everything yet. */
  protected get isHeldUp(): boolean {
    return this.backlog !== null || this.handedBytes > 0;
  }

  private waitForDrain(): void {
    this.state = "blocked";
    if (this.onTaken === null) this.requestDrain(); // else the callback of the last write comes
  }

  /** Calls `onDrained` when all was written: an empty write completes then. The event `drain` comes only above the high-water mark. */
  private requestDrain(): void {
    runInRoot(() => this.net.write("", (error) => this.onDrained(error)));
  }

  private onDrained(error: Error | null | undefined): void {
    if (error != null) return; // `close` follows
    if (this.backlog !== null) {
      this.writeSlice();
      if (this.onTaken !== null) return;
    }
    if (this.isHeldUp) return this.requestDrain(); // by bytes that the program wrote to the socket
    if (this.state === "closing") return this.finishClose();
    if (this.state !== "blocked") return;
    this.queuedPongs = 0;
    this.state = "free";
    const { pong } = this;
    this.pong = null;
    if (pong !== null && this.isOpen) this.writePong(pong);
    if ((this.state as string) === "free") this.listener?.onWireReady();
  }

  private finishClose(): void {
    const { finish } = this;
    this.finish = null;
    finish?.();
  }

  private writeBytes(bytes: string | Buffer): void {
    const { net, handle, onTaken } = this;
    if (handle !== null && writeDirectly(net, handle, bytes)) return;
    if (onTaken !== null) runInRoot(() => net.write(bytes, "latin1", onTaken));
    else if (typeof bytes === "string") net.write(bytes, "latin1");
    else net.write(bytes);
  }

  private writeSlice(): void {
    const bytes = this.backlog!;
    this.writeBytes(bytes.subarray(0, HANDED_LIMIT_BYTES));
    this.backlog = bytes.length <= HANDED_LIMIT_BYTES ? null : bytes.subarray(HANDED_LIMIT_BYTES);
  }

  /** Drops bytes that can't be written any more. */
  protected dropPending(): void {
    this.backlog = this.pong = null;
  }
}

/** Whether the socket is plain TCP: a write completes at once unless the system's buffer is full. */
function isPlain(net: NetSocket): boolean {
  return net instanceof Socket && (net as { encrypted?: boolean }).encrypted !== true;
}

function pongFrame(data: Buffer): Buffer {
  const { frame, offset } = allocateFrame(PONG_FINAL, data.length);
  data.copy(frame, offset);
  return frame;
}

const ASCII_FRAME_MAX_LENGTH = 16 * 1024;
const SHORT_HEADERS = Array.from({ length: 126 }, (_, length) => String.fromCharCode(0x81, length));

/**
 * The frame of a short ASCII text, as a string of Latin-1 characters; null for other packets.
 * Hot: echo with ack, 8 in flight. The plain way is `packet.toFrame()`, a Buffer, which costs more.
 */
function asciiFrame(packet: Prepared): string | null {
  if (packet.shared) return null;
  const { data } = packet;
  if (typeof data !== "string") return null;
  const code = packet.typeCode;
  const length = data.length + code.length;
  if (length > ASCII_FRAME_MAX_LENGTH || Buffer.byteLength(data) !== data.length || packet.options?.wsPreEncodedFrame !== undefined)
    return null;
  const header = length < 126 ? SHORT_HEADERS[length] : String.fromCharCode(0x81, 126, length >> 8, length & 255);
  return header + code + data;
}

/** Makes compressed frames. */
export interface FrameCompressor {
  /** Null when the plain frame is to be sent. */
  frameOf(packet: Prepared): Buffer | null;
}

function frameOf(packet: Prepared, compressor: FrameCompressor | null): string | Buffer {
  return (compressor === null ? null : compressor.frameOf(packet)) ?? asciiFrame(packet) ?? packet.toFrame();
}

/** The frames of packets, one behind the other; a text is Latin-1. @param compressor  null on a wire without compression */
export function framesOf(first: Prepared, more: readonly Prepared[] | null, compressor: FrameCompressor | null): string | Buffer {
  return more === null ? frameOf(first, compressor) : frameOfMany(first, more, compressor);
}

// The bytes of the last several packets, for connections that get the same packets in the same tick, as in broadcasts.
let lastMany: readonly Prepared[] | null = null;
let lastFirst: Prepared | null = null;
let lastCompressor: FrameCompressor | null = null;
let lastBytes: string | Buffer = "";
afterTick(() => {
  lastMany = lastFirst = lastCompressor = null;
  lastBytes = "";
});

/** Hot: broadcast 64 B to 1000, 5 per tick: joined frames are memoised for the tick. The plain way joins them for each connection. */
function frameOfMany(first: Prepared, more: readonly Prepared[], compressor: FrameCompressor | null): string | Buffer {
  if (lastMany !== null && first === lastFirst && compressor === lastCompressor && isSame(more, lastMany)) return lastBytes;
  let text = "";
  const chunks: Buffer[] = [];
  for (let index = -1; index < more.length; index++) {
    const frame = frameOf(index === -1 ? first : more[index], compressor);
    if (typeof frame === "string") {
      text += frame;
      continue;
    }
    if (text !== "") {
      chunks.push(Buffer.from(text, "latin1"));
      text = "";
    }
    chunks.push(frame);
  }
  if (chunks.length === 0) return text;
  if (text !== "") chunks.push(Buffer.from(text, "latin1"));
  const bytes = Buffer.concat(chunks);
  if (first.shared) {
    lastFirst = first;
    lastCompressor = compressor;
    lastMany = more;
    lastBytes = bytes;
  }
  return bytes;
}

function isSame(a: readonly Prepared[], b: readonly Prepared[]): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false;
  return true;
}
