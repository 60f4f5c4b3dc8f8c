// First step of the walk "a frame in", where we read the frames ourselves.
import type { Socket as NetSocket } from "node:net";
import { WebSocket } from "ws";
import { Deadline } from "../../support/deadline";
import { nextTick } from "../../support/tick";
import { beginRead, endRead } from "../read-turn";
import { bindWebSocket, type BoundWebSocket } from "./bind-websocket";
import { isStreamIdle, readDirectly } from "./direct-socket";
import { readFrames, type FrameFlaw, type FrameSink, type HeldFrames } from "./frame-reader";
import { CLOSE_WAIT_MS, NodeWire, type NodeWireSettings } from "./node-wire";

const kWire = Symbol("wire");
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;
const NO_STATUS = 1005;
const CLOSE_FRAME = 0x88;
const EMPTY = Buffer.alloc(0);

/** A connection that knows its wire. */
type WiredSocket = NetSocket & { [kWire]: SocketWire };

/** What `ws` itself calls to put a WebSocket on a connection. */
interface SocketTaker {
  setSocket(socket: NetSocket, head: Buffer, options: object): void;
}

/**
 * A WebSocket without extensions, read and closed by us. Whoever asks for the WebSocket object gets one of `ws`, which from
 * then on reads and closes.
 *
 *     open --our Close--> closing --peer's Close, time-out--> ended
 *     open --peer's Close, flaw, end of the stream--> ended          any --connection closed--> closed
 *     open --somebody wants the WebSocket--> handed over
 */
export class SocketWire extends NodeWire implements FrameSink, BoundWebSocket {
  private phase: "open" | "closing" | "ended" | "closed" | "handed over";
  private held: HeldFrames | null;
  private ws: WebSocket | null;

  /**
   * @param head  the head of the handshake's response, which leaves with the first frame
   * @param rest  bytes that came behind the handshake's request
   */
  constructor(net: NetSocket, settings: NodeWireSettings, head: string, rest: Buffer) {
    const isAscii = Buffer.byteLength(head) === head.length;
    super(net, settings, isAscii ? head : null);
    if (!isAscii) net.write(head);
    this.phase = "open";
    this.held = null;
    this.ws = null;
    (net as WiredSocket)[kWire] = this;
    net.setTimeout(0);
    net.setNoDelay(true);
    if (rest.length > 0) net.unshift(rest);
    net.on("close", onClose);
    net.on("data", onData);
    net.on("end", onEnd);
    readDirectly(net, this.handle, onLent);
  }

  /** A WebSocket of `ws`, made at the first access. */
  get socket(): WebSocket {
    this.flushPending();
    this.writeHead();
    return (this.ws ??= this.handOver());
  }

  get isReading(): boolean {
    return this.phase === "open" || this.phase === "closing";
  }

  protected get isOpen(): boolean {
    return this.ws === null ? this.phase === "open" : this.ws.readyState === OPEN;
  }

  // -- frames, see FrameSink --------------------------------------------------------------------------

  /** @internal */
  onData(chunk: Buffer): void {
    if (this.isReading) this.held = readFrames(chunk, chunk.length, false, this.held, this.settings.maxMessageBytes, this);
  }

  /** A chunk in a buffer that is filled anew after the call. Hot: once per chunk from the network. @internal */
  onLent(length: number, lent: Buffer): boolean {
    const { net } = this;
    if (!this.isReading || !isStreamIdle(net)) return net.push(Buffer.from(lent.subarray(0, length))); // somebody else reads, too
    let isTaken = false;
    beginRead();
    try {
      this.held = readFrames(lent, length, true, this.held, this.settings.maxMessageBytes, this);
      isTaken = true;
    } finally {
      endRead(isTaken);
    }
    return true;
  }

  onText(text: string): void {
    this.listener?.onWireText(text);
  }

  onBinary(data: Buffer): void {
    this.listener?.onWireBinary(data);
  }

  /** Answers a Close frame with its own code, and ends the connection (RFC 6455, section 5.5.1). */
  onCloseFrame(code: number, reason: Buffer): void {
    this.held = null;
    if (this.phase === "open") this.writeClose(code === NO_STATUS ? null : code, reason);
    this.phase = "ended";
    this.net.end();
    this.cutLater();
  }

  onFlaw(flaw: FrameFlaw): void {
    this.held = null;
    if (this.phase === "open") this.writeClose(flaw.closeCode, EMPTY);
    this.phase = "ended";
    this.net.end();
    this.cutLater();
    this.listener?.onWireError(flaw);
  }

  onUnread(bytes: Buffer): void {
    this.held = null;
    if (bytes.length === 0) return;
    if (this.phase === "handed over") this.net.unshift(bytes);
    else if (this.isReading) nextTick(readOn, this, bytes); // a listener threw
  }

  // -- events of the WebSocket that was handed out ---------------------------------------------------

  onMessage(data: Buffer, isBinary: boolean): void {
    if (isBinary) this.listener?.onWireBinary(data);
    else this.listener?.onWireText(data.toString());
  }

  onError(error: Error): void {
    this.listener?.onWireError(error);
  }

  // -- the end -----------------------------------------------------------------------------------------

  /**
   * The peer sends no more: neither do we, once all is written. Where all is, a plain socket is closed at once: the peer sees the same, and
   * the state machine of a stream that ends, and a system call, are saved. Hot: bench scenario "disconnect". @internal
   */
  onEnd(): void {
    this.phase = "ended";
    this.held = null;
    if (this.handle === null || this.isHeldUp) this.net.end();
    else this.net.destroy();
  }

  override onClose(): void {
    if (this.ws === null) this.phase = "closed";
    this.held = null;
    super.onClose();
  }

  protected sendClose(): void {
    if (this.ws !== null) return this.ws.close();
    if (this.phase !== "open") return;
    this.writeClose(null, EMPTY);
    this.phase = "closing";
    this.cutLater();
  }

  protected cut(): void {
    if (this.ws !== null) return this.ws.terminate();
    this.phase = "ended";
    this.net.destroy();
  }

  private writeClose(code: number | null, reason: Buffer): void {
    if (!this.canWriteControl || !this.net.writable) return;
    this.flushHead();
    const frame = Buffer.allocUnsafe(code === null ? 2 : 4 + reason.length);
    frame[0] = CLOSE_FRAME;
    frame[1] = frame.length - 2;
    if (code !== null) {
      frame.writeUInt16BE(code, 2);
      reason.copy(frame, 4);
    }
    this.net.write(frame);
  }

  /** The peer has a time to close the connection. */
  private cutLater(): void {
    const deadline = new Deadline<NetSocket>(destroy, this.net);
    deadline.start(CLOSE_WAIT_MS);
    this.net.once("close", () => deadline.cancel());
  }

  private handOver(): WebSocket {
    const { net } = this;
    const ws = new WebSocket(null as never, undefined, { autoPong: false, closeTimeout: CLOSE_WAIT_MS } as never);
    if (this.phase !== "open") return asEnding(ws, this.phase === "closed" ? CLOSED : CLOSING, net);
    this.phase = "handed over";
    net.removeListener("close", onClose);
    net.removeListener("data", onData);
    net.removeListener("end", onEnd);
    (ws as unknown as SocketTaker).setSocket(net, EMPTY, { maxPayload: this.settings.maxMessageBytes });
    bindWebSocket(ws, this);
    if (this.held !== null) net.unshift(this.held.toBytes());
    this.held = null;
    return ws;
  }
}

/** The WebSocket of a connection on its way out: it shows its state, and can cut the connection. */
function asEnding(ws: WebSocket, readyState: number, net: NetSocket): WebSocket {
  return Object.defineProperties(ws, {
    readyState: { value: readyState, configurable: true },
    terminate: { value: () => void net.destroy(), configurable: true },
  });
}

function onData(this: WiredSocket, chunk: Buffer): void {
  this[kWire].onData(chunk);
}

function onLent(this: NetSocket, length: number, lent: Buffer): boolean {
  return (this as WiredSocket)[kWire].onLent(length, lent);
}

function onEnd(this: WiredSocket): void {
  this[kWire].onEnd();
}

function onClose(this: WiredSocket): void {
  this[kWire].onClose();
}

function readOn(wire: SocketWire, bytes: Buffer): void {
  if (wire.isReading) wire.onData(bytes);
  else wire.onUnread(bytes);
}

function destroy(net: NetSocket): void {
  net.destroy();
}
