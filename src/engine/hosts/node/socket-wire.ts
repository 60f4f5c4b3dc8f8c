// The wire of WebSockets whose frames roomcast reads: the first step of the walk "a frame in".
import type { Socket as NetSocket } from "node:net";
import { WebSocket } from "ws";
import { giveConnection, makeWebSocket } from "../../../support/node-internals";
import { nextTick } from "../../../support/tick";
import { CLOSE_WAIT_MS } from "../../endings";
import type { CloseStatus } from "../../transport";
import { bindWebSocket, receiverBounds, type BoundWebSocket } from "../bind-websocket";
import { isStreamIdle, readDirectly } from "./direct-socket";
import { readFrames, type FrameError, type FrameSink, type HeldFrames, type Inflater } from "./frame-reader";
import { NodeWire, type NodeWireSettings } from "./wire";

const kWire = Symbol("wire");
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;
const NO_STATUS = 1005;
const TOO_BIG = 1009;
const CLOSE_FRAME = 0x88;
const EMPTY = Buffer.alloc(0);

/** A connection with a reference to its wire. */
type WiredSocket = NetSocket & { [kWire]: SocketWire };

/**
 * A WebSocket that roomcast reads and closes. When a program accesses the WebSocket object, an object of `ws` is created,
 * which reads and closes from then on.
 *
 *     open --own Close frame--> closing --peer's Close frame, time-out--> ended
 *     open --peer's Close frame, frameError, end of the stream--> ended          any --connection closed--> closed
 *     open --access to `socket`--> read by ws
 */
export class SocketWire extends NodeWire implements FrameSink, BoundWebSocket {
  private phase: "open" | "closing" | "ended" | "closed" | "read by ws";
  private held: HeldFrames | null;
  private ws: WebSocket | null;

  /**
   * @param head  the head of the handshake's response, which leaves with the first frame
   * @param rest  bytes that arrived behind the handshake's request
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

  /** A WebSocket object of `ws`, created at the first access. */
  get socket(): WebSocket {
    this.writeHead();
    return (this.ws ??= this.passToWs());
  }

  get isReading(): boolean {
    return this.phase === "open" || this.phase === "closing";
  }

  get heldInputBytes(): number {
    return this.held === null ? 0 : this.held.heldBytes;
  }

  get inflater(): Inflater | null {
    return null;
  }

  protected get isOpen(): boolean {
    return this.ws === null ? this.phase === "open" : this.ws.readyState === OPEN;
  }

  pauseInput(): void {
    if (this.ws !== null) this.ws.pause();
    else this.net.pause();
  }

  resumeInput(): void {
    if (this.ws !== null) this.ws.resume();
    else if (this.isReading) this.net.resume();
  }

  // -- frames, see FrameSink --------------------------------------------------------------------------

  /** @internal */
  onData(chunk: Buffer): void {
    this.listener?.onWireBytes();
    if (this.isReading) this.read(chunk, chunk.length, false);
  }

  /** A chunk in a buffer that is reused after the call. @internal */
  onLent(length: number, lent: Buffer): boolean {
    const { net } = this;
    if (!this.isReading || !isStreamIdle(net)) return net.push(Buffer.from(lent.subarray(0, length))); // the program reads the stream, too
    this.listener?.onWireBytes();
    this.read(lent, length, true);
    return true;
  }

  private read(chunk: Buffer, length: number, isLent: boolean): void {
    const { maxMessageBytes, inputTotal } = this.settings;
    const held = (this.held = readFrames(chunk, length, isLent, this.held, maxMessageBytes, this));
    if (held !== null) inputTotal.add(Math.min(length, held.heldBytes));
  }

  onText(text: string): void {
    this.listener?.onWireText(text);
  }

  onBinary(data: Buffer): void {
    this.listener?.onWireBinary(data);
  }

  /** Answers a Close frame with the same code, and ends the connection (RFC 6455, section 5.5.1). */
  onCloseFrame(code: number, reason: Buffer): void {
    this.held = null;
    this.listener?.onWireCloseFrame(code, reason.toString());
    if (this.phase === "open") this.writeClose(code === NO_STATUS ? null : code, reason);
    this.phase = "ended";
    this.net.end();
    this.limitEnd();
  }

  onFrameError(frameError: FrameError): void {
    this.held = null;
    if (this.phase === "open")
      this.writeClose(frameError.closeCode, frameError.closeCode === TOO_BIG ? Buffer.from(frameError.message) : EMPTY);
    this.phase = "ended";
    this.net.end();
    this.limitEnd();
    this.listener?.onWireError(frameError);
  }

  onUnread(bytes: Buffer): void {
    this.held = null;
    if (bytes.length === 0) return;
    if (this.phase === "read by ws") this.net.unshift(bytes);
    else if (this.isReading) nextTick(readOn, this, bytes); // a listener threw
  }

  // -- events of the WebSocket object ----------------------------------------------------------------

  onMessage(data: Buffer, isBinary: boolean): void {
    this.listener?.onWireBytes();
    if (isBinary) this.listener?.onWireBinary(data);
    else this.listener?.onWireText(data.toString());
  }

  onError(error: Error): void {
    this.listener?.onWireError(error);
  }

  // -- the end -----------------------------------------------------------------------------------------

  /**
   * The peer has ended its side: the connection is closed when all is written.
   * Hot: disconnect with 10 rooms. If all is written, a plain socket is destroyed, which saves the state machine of the stream and a system
   * call; the peer sees the same. The plain way is `net.end()`. @internal
   */
  onEnd(): void {
    this.phase = "ended";
    this.held = null;
    if (this.handle !== null && !this.isHeldUp) return void this.net.destroy();
    this.net.end();
    this.limitEnd(); // a peer that sends no more may also not read
  }

  override onClose(): void {
    if (this.ws === null) this.phase = "closed";
    this.held = null;
    super.onClose();
  }

  protected sendClose(status: CloseStatus | null): void {
    this.limitEnd();
    if (this.ws !== null) return this.ws.close(status?.code, status?.reason);
    if (this.phase !== "open") return;
    if (status === null) this.writeClose(null, EMPTY);
    else this.writeClose(status.code, Buffer.from(status.reason));
    this.phase = "closing";
  }

  protected cut(): void {
    if (this.ws !== null) return this.ws.terminate();
    this.phase = "ended";
    this.net.destroy();
  }

  /** The extensions of the connection, by their names, as objects of `ws`. */
  protected extensionsForWs(): Record<string, object> {
    return {};
  }

  private writeClose(code: number | null, reason: Buffer): void {
    if (!this.canWriteControl || !this.net.writable) return;
    this.writeHead();
    const frame = Buffer.allocUnsafe(code === null ? 2 : 4 + reason.length);
    frame[0] = CLOSE_FRAME;
    frame[1] = frame.length - 2;
    if (code !== null) {
      frame.writeUInt16BE(code, 2);
      reason.copy(frame, 4);
    }
    this.net.write(frame);
  }

  /** Creates the WebSocket object of `ws`, which reads the connection from now on. */
  protected passToWs(): WebSocket {
    const { net } = this;
    const ws = makeWebSocket(WebSocket, { autoPong: false, closeTimeout: CLOSE_WAIT_MS });
    if (this.phase !== "open") return asEnding(ws, this.phase === "closed" ? CLOSED : CLOSING, net);
    this.phase = "read by ws";
    net.removeListener("close", onClose);
    net.removeListener("data", onData);
    net.removeListener("end", onEnd);
    net.once("end", () => this.limitEnd()); // `ws` has no time-out for a peer that doesn't read (ROB-160)
    const { maxMessageBytes } = this.settings;
    giveConnection(ws, net, { maxPayload: maxMessageBytes, ...receiverBounds(maxMessageBytes) }, this.extensionsForWs());
    bindWebSocket(ws, this);
    if (this.held !== null) net.unshift(this.held.toBytes());
    this.held = null;
    return ws;
  }
}

/** The WebSocket object of a connection that is closing or closed: it shows this state, and `terminate` destroys the connection. */
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
