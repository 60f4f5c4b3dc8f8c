// The end of the walks "an emit out" and "a broadcast out" on uWebSockets.js, and the first step of "a frame in".
import { nextTick } from "../../../support/tick";
import type { Crowd, CrowdWire } from "../../crowd";
import { afterFlush, schedule, unschedule, type Flushable } from "../../flush";
import type { WireListener } from "../../host";
import { limitError } from "../../limits";
import type { Prepared } from "../../prepared";
import { beginRead, endRead } from "../../read-turn";
import type { Wire } from "../../transports/websocket";
import type { TemplatedApp, UwsWebSocket } from "./api";
import { holdCork, holdsCork, mayCork, putOff, type Corkable } from "./cork";
import { UwsCrowd } from "./crowd";

/** The library has checked the text; a byte order mark is part of it. Quicker than `Buffer.toString`. */
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** What `send` gives when the peer has not taken everything. */
const WAITS = 0;

/** Number of this tick. */
let tick = 1;
afterFlush(() => void tick++);

/** What all wires of an app have in common. */
export interface UwsWireSettings {
  /** Pings that may wait for their pong. */
  readonly maxQueuedPongs: number;
  /** Write at each push instead of at the end of the tick. */
  readonly writesAtOnce: boolean;
  /** Bytes that are handed to the library at a time. */
  readonly handedBytes: number;
  /** Bytes from which a packet is compressed; null where the route has no compression. */
  readonly compressFrom: number | null;
  /** Where broadcasts are published. */
  readonly app: TemplatedApp;
}

/**
 * A WebSocket of uWebSockets.js. What the peer doesn't take waits in the session's queue: the library, which would drop what is
 * too much for it, is handed more only once it has got rid of everything.
 *
 *     idle --push--> pending --end of tick: sent--> idle          (the system took all)
 *                                              \--> blocked --drained--> pending or idle
 *     any --end, close, peer gone--> closed
 */
export class UwsWire implements Wire, Flushable, Corkable, CrowdWire {
  listener: WireListener | null;
  isScheduled: boolean;
  readonly settings: UwsWireSettings;
  private readonly ws: UwsWebSocket;
  private state: "idle" | "pending" | "collecting" | "blocked" | "closed";
  private isEnding: boolean;
  private first: Prepared | null;
  private more: Prepared[] | null;
  private pendingBytes: number;
  private handedBytes: number;
  private queuedPongs: number;
  /** The tick in which something was published last. */
  private publishedIn: number;
  /** Bytes that were published, and of which it isn't known whether the system took them. */
  private publishedBytes: number;

  constructor(ws: UwsWebSocket, settings: UwsWireSettings) {
    this.state = "idle"; // the first ones are what broadcasts look at
    this.publishedIn = 0;
    this.publishedBytes = 0;
    this.settings = settings;
    this.ws = ws;
    this.listener = null;
    this.isScheduled = false;
    this.isEnding = false;
    this.first = null;
    this.more = null;
    this.pendingBytes = 0;
    this.handedBytes = 0;
    this.queuedPongs = 0;
  }

  get socket(): UwsWebSocket {
    return this.ws;
  }

  get hasRoom(): boolean {
    return this.state === "idle" || (this.state === "collecting" && this.pendingBytes < this.settings.handedBytes);
  }

  get bufferedBytes(): number {
    return this.pendingBytes + this.waitingBytes;
  }

  get progress(): number {
    return this.handedBytes - this.waitingBytes;
  }

  push(packet: Prepared): void {
    if (this.state === "closed") return;
    this.pendingBytes += packet.size;
    if (this.first === null) this.first = packet;
    else if (this.more === null) this.more = [packet];
    else this.more.push(packet);
    if (this.state !== "idle") return;
    this.state = "pending";
    schedule(this);
    if (this.settings.writesAtOnce) this.write();
  }

  /** The end of the tick: takes what has queued up above meanwhile, and sends all of it. */
  flushScheduled(): void {
    if (this.state !== "pending") return;
    if (mayCork(this)) return this.advance();
    this.state = "collecting";
    this.listener?.onWireReady();
    if ((this.state as string) !== "collecting") return; // closed meanwhile
    this.state = "pending";
    if (this.more === null)
      this.advance(); // one message is one system call, corked or not
    else putOff(this);
  }

  /** The end of the turn. */
  writeLate(): void {
    if (this.state === "pending") this.advance();
    else if (this.state === "blocked" && this.waitingBytes === 0) this.advance();
  }

  // -- broadcasts in one go, see crowd.ts -------------------------------------------------------------

  get crowdWire(): CrowdWire | null {
    return this.settings.writesAtOnce ? null : this;
  }

  createCrowd(onForgotten: () => void): Crowd {
    return new UwsCrowd(this.settings, onForgotten);
  }

  /**
   * Counts something as published to it: until the end of the tick it is pending, then the library is asked for it when it matters.
   * @returns false when that may not be: something is pending, or what was published before fills what may be handed over
   * @internal
   */
  notePublished(bytes: number): boolean {
    const sum = this.publishedBytes + bytes;
    if (this.state !== "idle" || sum > this.settings.handedBytes) return false;
    this.publishedBytes = sum;
    this.publishedIn = tick;
    return true;
  }

  get takesVolatile(): boolean {
    if (this.state !== "idle" || this.publishedIn === tick) return false;
    if (this.publishedBytes === 0 || this.waitingBytes === 0) return true;
    this.state = "blocked";
    this.listener?.onWireHeldUp();
    return false;
  }

  /** Has the library write what was published: a ping takes it along. @internal */
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

  /** Sends what is pending now, as part of the handshake's response. */
  flush(): void {
    unschedule(this);
    if (this.state === "pending") this.advance();
  }

  close(onClosed: () => void): void {
    this.write();
    if (this.state !== "closed") {
      this.isEnding = true;
      this.ws.end(); // the rest of what was sent goes first
    }
    onClosed();
  }

  terminate(): void {
    if (this.state === "closed") return;
    this.isEnding = true;
    this.ws.close();
  }

  // -- events of the WebSocket -----------------------------------------------------------------------

  /** Hot: once per message. @internal */
  onMessage(data: ArrayBuffer, isBinary: boolean): void {
    holdCork(this);
    let isTaken = false;
    beginRead();
    try {
      if (isBinary)
        this.listener?.onWireBinary(Buffer.from(data.slice(0))); // theirs is taken back when this returns
      else this.listener?.onWireText(utf8.decode(data));
      isTaken = true;
    } finally {
      endRead(isTaken);
    }
  }

  /** The library has answered it; pongs to a peer that doesn't read are counted. @internal */
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

  /** More is sent later: the library forgets to wait for what is sent, and not taken, inside this event. @internal */
  onDrain(): void {
    if (this.state === "blocked" && this.waitingBytes === 0) putOff(this);
  }

  /** Comes at once when we end it; then it is told later, as with a connection that takes its time to close. @internal */
  onClose(): void {
    this.state = "closed";
    this.first = this.more = null;
    this.pendingBytes = 0;
    unschedule(this);
    if (this.isEnding) nextTick(tellClosed, this);
    else this.listener?.onWireClose();
  }

  // -- sending ---------------------------------------------------------------------------------------

  private get waitingBytes(): number {
    return this.state === "closed" ? 0 : this.ws.getBufferedAmount();
  }

  private advance(): void {
    for (let isAll = false; !isAll;) {
      this.state = "collecting";
      this.listener?.onWireReady();
      if (this.state !== "collecting") return; // closed meanwhile
      if (this.first === null) {
        if (this.waitingBytes === 0) break;
        this.state = "blocked"; // sent before the end of the tick, and not taken
        return;
      }
      isAll = this.hasRoom; // else more waits above
      // What is corked counts as sent, whatever becomes of it: then what waits has to be asked for.
      if (holdsCork(this) && this.waitingBytes > 0) {
        this.state = "blocked"; // what is pending stays here
        return;
      }
      const isTaken = this.write();
      if ((this.state as string) === "closed") return;
      if (!isTaken) {
        this.state = "blocked";
        return;
      }
    }
    this.state = "idle";
    this.listener?.onWireWritten();
  }

  /** Gives false when the system didn't take everything. */
  private write(): boolean {
    const { first, more } = this;
    if (first === null || this.state === "closed") return true;
    this.first = this.more = null;
    this.pendingBytes = 0;
    this.publishedBytes = 0; // goes first: what becomes of the rest tells of it, too
    if (more === null) return this.send(first);
    sendTogether(this, this.ws, first, more);
    return holdsCork(this) || this.waitingBytes === 0;
  }

  /** @internal */
  send(packet: Prepared): boolean {
    const payload = packet.toPayload();
    const { compressFrom } = this.settings;
    this.handedBytes += payload.length;
    const isBinary = typeof packet.data === "object";
    return this.ws.send(payload, isBinary, compressFrom !== null && packet.compress && packet.size >= compressFrom) !== WAITS;
  }
}

// What a cork collects: one function for all of them instead of a closure for each.
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
