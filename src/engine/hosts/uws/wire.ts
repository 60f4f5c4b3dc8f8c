// WebSockets of uWebSockets.js. The end of the walks "an emit out" and "a broadcast out", and the first step of "a frame in".
import { nextTick } from "../../../support/tick";
import type { MulticastGroup, MulticastWire } from "../../multicast-group";
import type { WireListener } from "../../host";
import { limitError } from "../../limits";
import type { Prepared } from "../../prepared";
import { afterTick, atTurnEnd, beginHandler, isHandling, mustWaitForTurnEnd, type Deferred } from "../../turn";
import type { CloseStatus, Flow } from "../../transport";
import type { Wire } from "../../transports/websocket";
import { tooLarge } from "../node/frame-reader";
import type { TemplatedApp, UwsWebSocket } from "./api";
import { UwsMulticastGroup } from "./multicast-group";

/** Decodes texts, which the library has validated; a byte order mark is part of them. Faster than `Buffer.toString`, the plain way. */
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** The code of a connection that ended without a Close frame. */
const NO_CLOSE_FRAME = 1006;
/** What the library says then, for a message above its `maxPayloadLength`. */
const TOO_BIG = "Received too big message";
/** Result of `send` when the system has not taken everything. */
const BACKPRESSURE = 0;

/** A number that changes with each tick. */
let tick = 1;
afterTick(() => void tick++);

/** Settings of all wires of an app. */
export interface UwsWireSettings {
  /** Limit for a message of the peer; `Infinity` for none. */
  readonly maxMessageBytes: number;
  /** Limit of unanswered pings, `limits.queuedPongs`. */
  readonly maxQueuedPongs: number;
  /** Write the first packet of a tick at once instead of at its end. */
  readonly writesAtOnce: boolean;
  /** Bytes that may be given to the library at a time. */
  readonly handedBytes: number;
  /** Packets of this size and more are compressed; null if the route has no compression. */
  readonly compressFrom: number | null;
  /** The app, for `publish`. */
  readonly app: TemplatedApp;
}

/**
 * A WebSocket of uWebSockets.js. Packets that the peer doesn't take wait in the session's outbox. The library, which drops messages above
 * its limit, gets more only when its own buffer is empty.
 *
 *     free --write: the system took a part--> blocked --drained--> free
 *     any --end, close, peer gone--> closed
 */
export class UwsWire implements Wire, Deferred, MulticastWire {
  listener: WireListener | null;
  isDeferred: boolean;
  readonly settings: UwsWireSettings;
  private readonly ws: UwsWebSocket;
  private state: "free" | "blocked" | "closed";
  private isEnding: boolean;
  private handedBytes: number;
  private queuedPongs: number;
  /** The tick of the last `publish` to this wire. */
  private publishedIn: number;
  /** Published bytes of which it isn't known whether the system has taken them. */
  private publishedBytes: number;

  constructor(ws: UwsWebSocket, settings: UwsWireSettings) {
    this.state = "free"; // the fields that broadcasts read come first, so that they share cache lines
    this.publishedIn = 0;
    this.publishedBytes = 0;
    this.settings = settings;
    this.ws = ws;
    this.listener = null;
    this.isDeferred = false;
    this.isEnding = false;
    this.handedBytes = 0;
    this.queuedPongs = 0;
  }

  get socket(): UwsWebSocket {
    return this.ws;
  }

  get flow(): Flow {
    // Inside a handler the library corks, and `send` always reports success: the waiting bytes show whether the system took all.
    if (this.state === "free" && isHandling(this) && this.waitingBytes > 0) this.state = "blocked";
    return this.state === "blocked" ? "held up" : "free";
  }

  get writesAtOnce(): boolean {
    return this.settings.writesAtOnce;
  }

  get waitsForTurnEnd(): boolean {
    return mustWaitForTurnEnd(this);
  }

  get bufferedBytes(): number {
    return this.waitingBytes;
  }

  get progress(): number {
    return this.handedBytes - this.waitingBytes;
  }

  write(first: Prepared, more: readonly Prepared[] | null): void {
    if (this.state === "closed") return;
    this.publishedBytes = 0; // published messages leave first: the result of this write includes them
    let isTaken: boolean;
    if (more === null) isTaken = this.send(first);
    else {
      sendTogether(this, this.ws, first, more);
      isTaken = isHandling(this) || this.waitingBytes === 0;
    }
    if (!isTaken && (this.state as string) !== "closed") this.state = "blocked";
  }

  /** The end of a turn, see `onDrain`. @internal */
  runDeferred(): void {
    if (this.state !== "blocked" || this.waitingBytes > 0) return;
    this.state = "free";
    this.listener?.onWireReady();
  }

  // -- broadcasts, see multicast-group.ts ---------------------------------------------------------------

  get multicastWire(): MulticastWire | null {
    return this.settings.writesAtOnce ? null : this;
  }

  createMulticastGroup(onForgotten: () => void): MulticastGroup {
    return new UwsMulticastGroup(this.settings, onForgotten);
  }

  /**
   * Counts bytes as published to this wire. They count as pending until the end of the tick; afterwards the library is asked when the result
   * is needed.
   * @returns false when nothing may be published: other packets are pending, or the published bytes exceed the limit
   * @internal
   */
  notePublished(bytes: number): boolean {
    const sum = this.publishedBytes + bytes;
    if (this.state !== "free" || sum > this.settings.handedBytes) return false;
    this.publishedBytes = sum;
    this.publishedIn = tick;
    return true;
  }

  get takesVolatile(): boolean {
    if (this.state !== "free" || this.publishedIn === tick) return false;
    if (this.publishedBytes === 0 || this.waitingBytes === 0) return true;
    this.state = "blocked";
    this.listener?.onWireHeldUp();
    return false;
  }

  /** Makes the library write published messages, in front of a ping. @internal */
  writeOut(): void {
    if (this.state !== "closed") this.ws.ping();
  }

  /** @internal */
  subscribe(topic: string): boolean {
    return this.state !== "closed" && this.ws.subscribe(topic);
  }

  /** @internal */
  unsubscribe(topic: string): void {
    if (this.state !== "closed") this.ws.unsubscribe(topic);
  }

  // ---------------------------------------------------------------------------------------------------

  close(onClosed: () => void, status: CloseStatus | null): void {
    if (this.state !== "closed") {
      this.isEnding = true;
      if (status === null) this.ws.end();
      else this.ws.end(status.code, status.reason); // the library writes its buffer first
    }
    onClosed();
  }

  terminate(): void {
    if (this.state === "closed") return;
    this.isEnding = true;
    this.ws.close();
  }

  // -- events of the WebSocket -----------------------------------------------------------------------

  /** @internal */
  onMessage(data: ArrayBuffer, isBinary: boolean): void {
    beginHandler(this);
    this.listener?.onWireBytes();
    if (data.byteLength > this.settings.maxMessageBytes) return this.refuseMessage(data.byteLength);
    if (isBinary)
      this.listener?.onWireBinary(Buffer.from(data.slice(0))); // uWebSockets.js detaches the buffer when the callback returns (ENG-187)
    else this.listener?.onWireText(utf8.decode(data));
  }

  /** Closes the connection with a Close frame: the library itself, far above the limit, cuts it without (ENG-188). */
  private refuseMessage(bytes: number): void {
    const error = tooLarge(bytes);
    this.isEnding = true;
    this.ws.end(error.closeCode, error.message);
    this.listener?.onWireError(error);
  }

  /** The library has sent the pong (ENG-119). Pongs to a peer that doesn't read are counted. @internal */
  onPing(): void {
    if (this.waitingBytes === 0) {
      this.queuedPongs = 0;
      return;
    }
    const { maxQueuedPongs } = this.settings;
    if (++this.queuedPongs <= maxQueuedPongs) return;
    const what = "pings unanswered, since the client doesn't read (queuedPongs)";
    this.listener?.onWireError(limitError("RC_ERR_QUEUED_PONGS", what, maxQueuedPongs, this.queuedPongs));
  }

  /** Writing goes on at the end of the turn: the library emits no `drain` for bytes that were sent inside this event. @internal */
  onDrain(): void {
    if (this.state === "blocked" && this.waitingBytes === 0) atTurnEnd(this);
  }

  /** The library calls it inside `end` and `close`; it is reported in the next tick then, as on other hosts. @internal */
  onClose(code: number, reason: ArrayBuffer): void {
    this.state = "closed";
    if (this.isEnding) return nextTick(tellClosed, this); // the code is that of `end`
    const text = utf8.decode(reason);
    if (code !== NO_CLOSE_FRAME) this.listener?.onWireCloseFrame(code, text);
    else if (text === TOO_BIG) this.listener?.onWireError(tooLarge());
    this.listener?.onWireClose();
  }

  // -- sending ---------------------------------------------------------------------------------------

  private get waitingBytes(): number {
    return this.state === "closed" ? 0 : this.ws.getBufferedAmount();
  }

  /** @internal */
  send(packet: Prepared): boolean {
    const payload = packet.toPayload();
    const { compressFrom } = this.settings;
    this.handedBytes += payload.length;
    return this.ws.send(payload, packet.isBinary, compressFrom !== null && packet.compress && packet.size >= compressFrom) !== BACKPRESSURE;
  }
}

// Arguments of `sendCorked`, which is one function for all corks instead of a closure for each.
let corked: UwsWire | null = null;
let corkedFirst: Prepared | null = null;
let corkedMore: readonly Prepared[] | null = null;

function sendTogether(wire: UwsWire, ws: UwsWebSocket, first: Prepared, more: readonly Prepared[]): void {
  corked = wire;
  corkedFirst = first;
  corkedMore = more;
  ws.cork(sendCorked);
}

function sendCorked(): void {
  const wire = corked!;
  const first = corkedFirst!;
  const more = corkedMore!;
  corked = corkedFirst = corkedMore = null;
  wire.send(first);
  for (const packet of more) wire.send(packet);
}

function tellClosed(wire: UwsWire): void {
  wire.listener?.onWireClose();
}
