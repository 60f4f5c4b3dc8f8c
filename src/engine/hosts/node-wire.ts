// The end of the walks "an emit out" and "a broadcast out" on Node: packets become bytes of one socket write per tick.
import { Socket, type Socket as NetSocket } from "node:net";
import { afterFlush, schedule, unschedule, type Flushable } from "../flush";
import type { WireListener } from "../host";
import { limitError } from "../limits";
import { Deadline } from "../../support/deadline";
import { runInRoot } from "../../support/tick";
import type { Prepared } from "../prepared";
import { allocateFrame } from "../prepared";
import { HANDED_LIMIT_BYTES } from "../transport";
import { handleOf, writeDirectly, type SocketHandle } from "./direct-socket";
import type { Wire } from "../transports/websocket";

/** How long the other side may take to close after we have. */
export const CLOSE_WAIT_MS = 30_000;
const PONG_FINAL = 0x8a;

/** What all wires of an engine have in common. */
export interface NodeWireSettings {
  /** Pings that may wait for their pong. */
  readonly maxQueuedPongs: number;
  /** Write at each push instead of at the end of the tick. */
  readonly writesAtOnce: boolean;
  /** Size of a message from the peer; 0 for no limit. */
  readonly maxMessageBytes: number;
  /** Read and write plain sockets below their streams. */
  readonly direct: boolean;
}

/**
 * A WebSocket on Node without compression: our own frames go straight to its socket. Who reads the peer's frames and closes is
 * told by the two classes that extend it: SocketWire (we do) and WsWire (`ws` does).
 *
 *     idle --push--> pending --end of tick: write--> idle        (the system took all)
 *                                                \--> blocked --drained--> pending or idle
 *
 * A frame is always written whole before anything else is; nothing follows a Close frame.
 */
export abstract class NodeWire implements Wire, Flushable {
  listener: WireListener | null;
  isScheduled: boolean;
  protected readonly net: NetSocket;
  /** The socket's handle, where it may be used directly. */
  protected handle: SocketHandle | null;
  protected readonly settings: NodeWireSettings;
  /** The head of the handshake's response, which leaves with the first frame. ASCII. */
  protected head: string | null;
  private state: "idle" | "pending" | "collecting" | "blocked" | "closing";
  private first: Prepared | null;
  private more: Prepared[] | null;
  private pendingBytes: number;
  /** What of a large write the socket hasn't been given yet. */
  private backlog: Buffer | null;
  private onClosed: (() => void) | null;
  private pong: Buffer | null;
  private queuedPongs: number;
  /** Given to each write where writes are never done at once (TLS, HTTP/2); null on a plain socket. */
  private readonly onTaken: ((error?: Error | null) => void) | null;

  /** @param net  the socket the handshake was made on */
  constructor(net: NetSocket, settings: NodeWireSettings, head: string | null) {
    this.listener = null;
    this.isScheduled = false;
    this.net = net;
    this.handle = settings.direct && isPlain(net) ? handleOf(net) : null;
    this.settings = settings;
    this.head = head;
    this.state = "idle";
    this.first = null;
    this.more = null;
    this.pendingBytes = 0;
    this.backlog = null;
    this.onClosed = null;
    this.pong = null;
    this.queuedPongs = 0;
    this.onTaken = isPlain(net) ? null : (error) => this.onDrained(error);
  }

  /** The WebSocket as users know it. */
  abstract get socket(): unknown;
  /** Whether frames may be written: false once a Close frame was. */
  protected abstract get isOpen(): boolean;
  /** Starts the closing handshake. */
  protected abstract sendClose(): void;
  /** Cuts the connection. */
  protected abstract cut(): void;

  get hasRoom(): boolean {
    return this.state === "idle" || (this.state === "collecting" && this.pendingBytes < HANDED_LIMIT_BYTES);
  }

  get bufferedBytes(): number {
    return this.pendingBytes + (this.backlog === null ? 0 : this.backlog.length) + this.handedBytes;
  }

  get progress(): number {
    return this.net.bytesWritten - this.handedBytes;
  }

  /** Bytes that the socket was given and the system hasn't taken: in its stream, or below. */
  private get handedBytes(): number {
    const { writableLength } = this.net;
    return this.handle === null ? writableLength : Math.max(writableLength, this.handle.writeQueueSize);
  }

  push(packet: Prepared): void {
    this.pendingBytes += packet.size;
    if (this.first === null) this.first = packet;
    else if (this.more === null) this.more = [packet];
    else this.more.push(packet);
    if (this.state !== "idle") return;
    this.state = "pending";
    schedule(this);
    if (this.settings.writesAtOnce) this.writePending();
  }

  /** The end of the tick: takes what has queued up above meanwhile, and writes all of it at once. */
  flushScheduled(): void {
    if (this.state === "pending") this.advance();
  }

  close(onClosed: () => void): void {
    if (this.first !== null && this.backlog === null) this.writePending();
    else this.flushHead();
    if (this.backlog !== null) {
      this.state = "closing"; // a frame is half written: its rest goes first
      this.onClosed = onClosed;
      const giveUp = new Deadline<NodeWire>(terminate, this);
      giveUp.start(CLOSE_WAIT_MS);
      this.net.once("close", () => giveUp.cancel());
      return;
    }
    this.sendClose();
    onClosed();
  }

  terminate(): void {
    this.dropPending();
    this.cut();
  }

  /** Writes what is pending, so that whoever writes to the socket himself writes behind it. */
  protected flushPending(): void {
    if (this.state === "pending") this.writePending();
  }

  /** Writes the handshake's response where no frame came to take it along. */
  writeHead(): void {
    if (this.state === "idle") this.flushHead();
  }

  protected flushHead(): void {
    if (this.head === null) return;
    this.hand(this.head);
    this.head = null;
  }

  // -- from whoever reads ----------------------------------------------------------------------------

  /** Pongs to a peer that doesn't read are folded into the last (RFC 6455, section 5.5.3), and counted. */
  onPing(data: Buffer): void {
    if (!this.isOpen) return;
    if (this.state === "idle" && !this.isHeldUp) {
      this.hand(pongFrame(data));
      if (this.isHeldUp) this.waitForDrain();
      return;
    }
    if (this.pong !== null || this.state === "blocked") this.queuedPongs++;
    this.pong = data;
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

  private advance(): void {
    for (let isAll = false; !isAll;) {
      this.state = "collecting";
      this.listener?.onWireReady();
      if (this.state !== "collecting") return; // closed meanwhile
      if (this.first === null && this.pong === null) break;
      isAll = this.hasRoom; // else more waits above
      this.write();
      if (this.isHeldUp) return this.waitForDrain();
    }
    this.state = "idle";
    this.listener?.onWireWritten();
  }

  /** Writes what is pending now; the end of the tick does the rest. */
  private writePending(): void {
    this.write();
    if (this.isHeldUp) return this.waitForDrain();
    this.state = "pending";
    schedule(this);
  }

  /** Whether a Close frame may be written now: not into the middle of another. */
  protected get canWriteControl(): boolean {
    return this.backlog === null;
  }

  /** Whether the system hasn't taken everything yet. */
  protected get isHeldUp(): boolean {
    return this.backlog !== null || this.handedBytes > 0;
  }

  private waitForDrain(): void {
    this.state = "blocked";
    if (this.onTaken === null) this.askWhenTaken(); // else the last write tells
  }

  /** A write of nothing is done when all before it is; `drain` comes only for those over the high-water mark. */
  private askWhenTaken(): void {
    runInRoot(() => this.net.write("", (error) => this.onDrained(error)));
  }

  private onDrained(error: Error | null | undefined): void {
    if (error != null) return; // `close` follows
    if (this.backlog !== null) {
      this.writeSlice();
      if (this.onTaken !== null) return;
    }
    if (this.isHeldUp) return this.askWhenTaken(); // by what somebody else wrote
    if (this.state === "closing") return this.finishClose();
    if (this.state !== "blocked") return;
    this.queuedPongs = 0;
    this.advance();
  }

  private finishClose(): void {
    if (this.isOpen) this.sendClose();
    const onClosed = this.onClosed;
    this.onClosed = null;
    onClosed?.();
  }

  private write(): void {
    const { first, more } = this;
    this.first = this.more = null;
    this.pendingBytes = 0;
    unschedule(this);
    if (!this.isOpen) return; // no data frame after a Close frame
    if (this.pong !== null) {
      this.flushHead();
      this.hand(pongFrame(this.pong));
      this.pong = null;
    }
    if (first === null) return;
    let bytes = more === null ? frameOfOne(first) : frameOfMany(first, more);
    if (this.head !== null) {
      if (typeof bytes === "string") {
        bytes = this.head + bytes;
        this.head = null;
      } else {
        this.flushHead();
      }
    }
    if (typeof bytes === "string" || bytes.length <= HANDED_LIMIT_BYTES) this.hand(bytes);
    else {
      this.backlog = bytes;
      this.writeSlice();
    }
    if (this.net.writableCorked > 0) this.net.uncork(); // the handshake's response waited for this
  }

  private hand(bytes: string | Buffer): void {
    const { net, handle, onTaken } = this;
    if (handle !== null && writeDirectly(net, handle, bytes)) return;
    if (onTaken !== null) runInRoot(() => net.write(bytes, "latin1", onTaken));
    else if (typeof bytes === "string") net.write(bytes, "latin1");
    else net.write(bytes);
  }

  private writeSlice(): void {
    const bytes = this.backlog!;
    this.hand(bytes.subarray(0, HANDED_LIMIT_BYTES));
    this.backlog = bytes.length <= HANDED_LIMIT_BYTES ? null : bytes.subarray(HANDED_LIMIT_BYTES);
  }

  /** Lets go of what can't be written any more. */
  protected dropPending(): void {
    this.first = this.more = this.backlog = this.pong = null;
    this.pendingBytes = 0;
    unschedule(this);
  }
}

/** Whether a write is done when it returns, unless the system is full. */
function isPlain(net: NetSocket): boolean {
  return net instanceof Socket && (net as { encrypted?: boolean }).encrypted !== true;
}

function terminate(wire: NodeWire): void {
  wire.terminate();
}

function pongFrame(data: Buffer): Buffer {
  const { frame, offset } = allocateFrame(PONG_FINAL, data.length);
  data.copy(frame, offset);
  return frame;
}

const LONG_TEXT = 16 * 1024;
const SHORT_HEADERS = Array.from({ length: 126 }, (_, length) => String.fromCharCode(0x81, length));

/** The frame of a short ASCII text as Latin-1 characters; null for anything else. One string costs less than a Buffer. */
function asciiFrame(packet: Prepared): string | null {
  const data = packet.data;
  if (packet.shared || typeof data !== "string") return null;
  const code = packet.typeCode;
  const length = data.length + code.length;
  if (length > LONG_TEXT || Buffer.byteLength(data) !== data.length || packet.options?.wsPreEncodedFrame !== undefined) return null;
  const header = length < 126 ? SHORT_HEADERS[length] : String.fromCharCode(0x81, 126, length >> 8, length & 255);
  return header + code + data;
}

function frameOfOne(packet: Prepared): string | Buffer {
  return asciiFrame(packet) ?? packet.toFrame();
}

// Connections that get the same packets in the same tick, as broadcasts make them, share the bytes as well.
let lastMany: readonly Prepared[] | null = null;
let lastFirst: Prepared | null = null;
let lastBytes: string | Buffer = "";
afterFlush(() => {
  lastMany = lastFirst = null;
  lastBytes = "";
});

/** Hot: once per connection that got several packets in a tick. Benchmarks "burst" and "broadcast, 5 per tick". */
function frameOfMany(first: Prepared, more: readonly Prepared[]): string | Buffer {
  if (lastMany !== null && first === lastFirst && isSame(more, lastMany)) return lastBytes;
  let text = asciiFrame(first) ?? "";
  const chunks: Buffer[] = text === "" ? [first.toFrame()] : [];
  for (const packet of more) {
    const ascii = asciiFrame(packet);
    if (ascii !== null) {
      text += ascii;
      continue;
    }
    if (text !== "") {
      chunks.push(Buffer.from(text, "latin1"));
      text = "";
    }
    chunks.push(packet.toFrame());
  }
  if (chunks.length === 0) return text;
  if (text !== "") chunks.push(Buffer.from(text, "latin1"));
  const bytes = Buffer.concat(chunks);
  if (first.shared) {
    lastFirst = first;
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
