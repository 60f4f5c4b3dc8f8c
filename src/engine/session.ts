// Steps of the walks: "a frame in" and "a poll in" arrive here from a transport and leave to the owner (server/connection.ts);
// "an emit out" and "a broadcast out" arrive from the owner as Prepared packets and leave to the current transport.
import type { EventEmitter } from "node:events";
import { toPayload } from "../protocol/engine-packet";
import type { EnginePacket, EnginePacketType } from "../protocol/engine-packet";
import { LeanEmitter, hasAnyListener, hasListeners } from "../support/lean-emitter";
import { nextTick } from "../support/tick";
import { transportError, type CloseReason } from "./close-reason";
import { Heartbeat } from "./heartbeat";
import type { EngineRequest } from "./host";
import { LimitError } from "../errors";
import { Prepared } from "./prepared";
import type { PublicPacket, SendCallback, SendOptions } from "./prepared";
import { interruptRead } from "./read-turn";
import { exposeWebSocket, requestOf, type KeptRequest } from "./request";
import { SendQueue } from "./send-queue";
import type { SessionHost } from "./session-host";
import { StallWatch } from "./stall-watch";
import { HANDED_LIMIT_BYTES, type Transport, type TransportOwner } from "./transport";
import { WebSocketTransport } from "./transports/websocket";
import { Upgrade } from "./upgrade";

/** The floor above: told of messages and of the end before any listener of the session's events is. */
export interface SessionOwner {
  /** A message arrived; `undefined` for a message packet without payload. Hot: once per incoming message. @internal */
  onMessage(data: string | Buffer | undefined): void;
  /** The session has ended; called once. @internal */
  onSessionClose(reason: CloseReason, description?: unknown): void;
}

export type ReadyState = "opening" | "open" | "closing" | "closed";

/** Whoever listens to one of these could tell when a packet is created or handed over. */
const OBSERVING = ["packetCreate", "flush", "drain"];
const originalEmit = (LeanEmitter as unknown as { prototype: EventEmitter }).prototype.emit;

/**
 * One client connection, kept alive over changing transports (`socket.conn`).
 *
 *     opening → open → closing → closed        any → closed
 *
 * Events: `packet(packet)`, `data(payload)`, `message(payload)`, `heartbeat`, `packetCreate(packet)`, `flush(buffer)`,
 * `drain`, `upgrading(transport)`, `upgrade(transport)`, `close(reason, description)`.
 */
export class Session extends LeanEmitter implements TransportOwner {
  /** 20 characters of `[A-Za-z0-9_-]`, or what `generateId` gave. */
  readonly id: string;
  /** Engine.IO revision of the peer. */
  readonly protocol: 3 | 4;
  readyState: ReadyState;
  /** True between the `3probe` of an upgrade and its end. */
  upgrading: boolean;
  /** True once the session moved to another transport. */
  upgraded: boolean;
  /** The peer's address as captured at the handshake, e.g. `::ffff:127.0.0.1`; undefined for WebTransport. */
  readonly remoteAddress: string | undefined;
  /** The transport that carries the session now. */
  transport: Transport;
  /** The engine the session belongs to. */
  readonly server: SessionHost;
  /** @internal */ owner: SessionOwner | null;

  /** @internal */ readonly heartbeat: Heartbeat;
  /** @internal The attempt to move to another transport, while one runs. */
  upgrade: Upgrade | null;
  private keptRequest: KeptRequest | EngineRequest | null;

  private queue: SendQueue | null;
  private isFlushing: boolean;
  private isOpening: boolean;
  private callbacks: SendCallback[] | null;
  private stall: StallWatch | null;

  /** @internal */
  constructor(
    id: string,
    server: SessionHost,
    transport: Transport,
    request: KeptRequest | EngineRequest | null,
    remoteAddress: string | undefined,
  ) {
    super();
    // What each message looks at stands together, in few lines of the processor's caches.
    this.readyState = "opening";
    this.transport = transport;
    this.queue = null;
    this.server = server;
    this.owner = null;
    this.heartbeat = new Heartbeat(this);
    this.id = id;
    this.protocol = transport.protocol;
    this.upgrading = false;
    this.upgraded = false;
    this.remoteAddress = remoteAddress;
    this.upgrade = null;
    this.keptRequest = request;
    this.isFlushing = false;
    this.isOpening = false;
    this.callbacks = null;
    this.stall = null;
    transport.sid = id;
    transport.owner = this;
  }

  /** Sends the open packet and starts the heartbeat. @internal */
  open(openPayload: string, initialPacket: string | Buffer | undefined): void {
    this.readyState = "open";
    this.queue = new SendQueue(new Prepared("open", openPayload, true, false, null, null));
    if (initialPacket !== undefined) this.queue.push(new Prepared("message", initialPacket, true, false, null, null));
    this.isOpening = true; // the handshake response carries what is queued now, and nothing that follows
    this.flush();
    this.isOpening = false;
    this.heartbeat.beat();
  }

  // -- what users call ---------------------------------------------------------------------------

  /**
   * The HTTP request that opened the session; null for WebTransport. The same object at each access, with `headers`, `url`,
   * `method`, `_query` and `socket`. It is rebuilt at the first access when nobody could have seen the original.
   */
  get request(): EngineRequest | null {
    const kept = this.keptRequest;
    if (kept === null) return null;
    const request = requestOf(kept);
    this.keptRequest = request;
    if (kept !== request && this.transport instanceof WebSocketTransport && !this.upgraded) exposeWebSocket(request, this.transport);
    return request;
  }

  set request(value: EngineRequest | null) {
    this.keptRequest = value;
  }

  /** The packets that wait for the transport, oldest first; a copy. */
  get writeBuffer(): PublicPacket[] {
    return this.queue === null ? [] : this.queue.toArray().map((packet) => packet.toPublic());
  }

  /** Callbacks of packets that wait in the queue; tests and monitors of Engine.IO programs read it. @internal */
  get packetsFn(): SendCallback[] {
    return (this.queue?.toArray() ?? []).flatMap((packet) => packet.callback ?? []);
  }

  /** Callbacks of packets that were handed to the transport and not reported as written yet. @internal */
  get sentCallbackFn(): SendCallback[] {
    return this.callbacks ?? [];
  }

  /** Bytes that wait: queued here, and handed to the transport but not yet taken by the system. */
  get bufferedBytes(): number {
    return (this.queue === null ? 0 : this.queue.bytes) + this.transport.bufferedBytes;
  }

  /**
   * Sends one message.
   * @param data      text, or binary (Buffer, ArrayBuffer or a view); other values are converted to text, falsy ones to an empty message
   * @param options   `compress` (default true); may be left out
   * @param callback  called once the message was handed to the system; never when it could not be sent
   * @returns the session; when it isn't open, nothing is sent
   */
  send(data: unknown, options?: SendOptions | SendCallback | null, callback?: SendCallback): this {
    if (typeof options === "function") {
      callback = options;
      options = null;
    }
    this.sendPacket("message", toPayload(data), options ?? null, callback ?? null);
    return this;
  }

  /** Same as `send`. */
  write(data: unknown, options?: SendOptions | SendCallback | null, callback?: SendCallback): this {
    return this.send(data, options, callback);
  }

  /**
   * Ends the session; reason `forced close`.
   * @param discard  true: now, dropping what is queued; otherwise what is queued goes out first
   */
  close(discard?: boolean): this {
    if (this.readyState === "open") this.readyState = "closing";
    else if (this.readyState !== "closing" || discard !== true) return this;
    if (discard === true || this.queue === null) this.closeTransport(discard === true);
    return this;
  }

  // -- out ---------------------------------------------------------------------------------------

  /** Sends a packet of any type. @internal */
  sendPacket(
    type: EnginePacketType,
    data?: string | Buffer,
    options: SendOptions | null = null,
    callback: SendCallback | null = null,
  ): void {
    const compress = options === null || options.compress !== false;
    this.writePrepared(new Prepared(type, data === "" ? undefined : data, compress, false, options, callback));
  }

  /**
   * Sends a packet that may go to other sessions as well.
   * Hot: once per recipient of a broadcast, once per emit. Benchmarks "broadcast", "burst", "echo".
   * @internal
   */
  writePrepared(packet: Prepared): void {
    if (this.readyState !== "open") return;
    const observed = this.isObserved;
    if (!observed && this.transport.writable && this.queue === null && packet.callback === null) {
      this.transport.sendOne(packet);
      return;
    }
    if (observed && this.hears("packetCreate")) this.emit("packetCreate", packet.toPublic());
    if (this.queue === null) this.queue = new SendQueue(packet);
    else this.queue.push(packet);
    if (this.transport.writable) this.flush();
    else if (this.queue.bytes > this.server.limits.stalledBytes || this.queue.bytes > this.server.limits.bufferedBytes) this.watchQueue();
  }

  /** Whether an event would be noticed: somebody listens, or a program put its own `emit` in place. */
  private hears(event: string): boolean {
    return hasListeners(this, event) || this.emit !== originalEmit;
  }

  /** Whether anybody could tell when packets are created, flushed and drained. */
  private get isObserved(): boolean {
    if (hasAnyListener(this) && OBSERVING.some((event) => hasListeners(this, event))) return true;
    return this.emit !== originalEmit || this.server.isFlushObserved;
  }

  /** Whether what is sent now goes straight to the transport, and nobody could tell: it may be sent there without the session. @internal */
  get isTransparent(): boolean {
    return this.readyState === "open" && this.queue === null && !this.isObserved && this.write === Session.prototype.write;
  }

  /** Hands the queue to the transport, as far as it has room. */
  private flush(): void {
    if (this.isFlushing) return; // a listener of `flush` or `drain` sends: the loop below takes it along
    this.isFlushing = true;
    try {
      while (this.queue !== null && this.transport.hasRoom && this.readyState !== "closed") {
        const batch = this.queue.take(this.transport.name === "polling" ? Infinity : HANDED_LIMIT_BYTES);
        if (this.queue.isEmpty) this.queue = null;
        const withCallbacks = this.collectCallbacks(batch);
        const observed = this.isObserved;
        const seen = observed ? batch.map((packet) => packet.toPublic()) : null;
        if (seen !== null) this.emitBoth("flush", seen);
        this.transport.send(batch, observed || withCallbacks || this.isOpening);
        if (observed) this.emitBoth("drain");
      }
    } finally {
      this.isFlushing = false;
    }
    if (this.queue === null && this.readyState === "closing") this.closeTransport(false);
  }

  private emitBoth(event: "flush" | "drain", ...buffer: PublicPacket[][]): void {
    this.emit(event, ...buffer);
    this.server.emit(event, this, ...buffer);
  }

  private collectCallbacks(batch: readonly Prepared[]): boolean {
    let found = false;
    for (const { callback } of batch) {
      if (callback === null) continue;
      found = true;
      if (this.callbacks === null) this.callbacks = [callback];
      else this.callbacks.push(callback);
    }
    return found;
  }

  /** The queue is long: closes the session when it is over its limit, and watches that it moves. */
  private watchQueue(): void {
    this.stall ??= new StallWatch(this);
    this.stall.check();
  }

  /** A limit was met. @internal */
  endForLimit(error: LimitError): void {
    this.end("transport error", error);
  }

  // -- in: what the current transport reports ------------------------------------------------------

  /** Hot: once per incoming message. Benchmarks "ingest", "echo". @internal */
  onTransportMessage(data: string | Buffer | undefined): void {
    if (this.readyState !== "open") return;
    this.heartbeat.onOther();
    if (this.hears("packet")) {
      interruptRead();
      this.emit("packet", data === undefined ? { type: "message" } : { type: "message", data });
      if ((this.readyState as ReadyState) !== "open") return;
    }
    if (this.owner !== null) this.owner.onMessage(data);
    if (this.hears("data")) this.emit("data", data);
    if (this.hears("message")) this.emit("message", data);
  }

  /** @internal */
  onTransportPacket(packet: EnginePacket): void {
    if (packet.type === "message") return this.onTransportMessage(packet.data);
    if (this.readyState !== "open") return; // bytes may still arrive after close()
    this.emit("packet", packet);
    if (packet.type !== "pong") this.heartbeat.onOther();
    switch (packet.type) {
      case "ping":
        if (this.protocol === 4) return this.end("transport error", new Error("invalid heartbeat direction"));
        this.sendPacket("pong");
        this.heartbeat.beat();
        this.emit("heartbeat");
        return;
      case "pong":
        if (this.protocol === 3) return this.end("transport error", new Error("invalid heartbeat direction"));
        this.heartbeat.beat();
        this.emit("heartbeat");
        return;
      case "close":
        return this.end("transport close");
      case "error":
        return this.end("parse error");
      default:
        return; // open, upgrade, noop: without meaning here
    }
  }

  /** @internal */
  onTransportReady(): void {
    if (this.queue !== null || this.readyState !== "open") this.flush();
  }

  /** @internal */
  onTransportWritten(): void {
    const callbacks = this.callbacks;
    if (callbacks === null || this.readyState === "closed") return;
    this.callbacks = null;
    for (const callback of callbacks) callback(this.transport);
  }

  /** @internal */
  onTransportClose(): void {
    this.end("transport close");
  }

  /** @internal */
  onTransportError(message: string, description?: unknown): void {
    const isLimit = description instanceof LimitError;
    this.end("transport error", isLimit ? description : transportError(message, description));
  }

  // -- heartbeat -----------------------------------------------------------------------------------

  /** @internal */
  get pingIntervalMs(): number {
    return this.server.opts.pingInterval;
  }

  /** @internal */
  get pingTimeoutMs(): number {
    return this.server.opts.pingTimeout;
  }

  /** @internal */
  sendPing(): void {
    this.sendPacket("ping");
  }

  /** @internal */
  onPingTimeout(): void {
    this.end("ping timeout");
  }

  // -- upgrade -------------------------------------------------------------------------------------

  /** A candidate to carry the session has come; refused while another is tried or once one has won. @internal */
  maybeUpgrade(candidate: Transport): void {
    candidate.sid = this.id;
    if (this.upgrade !== null || this.upgraded || this.readyState === "closed") {
      candidate.close();
      return;
    }
    this.upgrading = true;
    this.upgrade = new Upgrade(this, candidate, this.server.opts.upgradeTimeout);
  }

  /** The upgrade ended without a switch. @internal */
  onUpgradeEnd(): void {
    this.upgrade = null;
    this.upgrading = false;
  }

  /** The candidate has won: from now on it carries the session. @internal */
  switchTransport(candidate: Transport): void {
    const before = this.transport;
    this.transport = candidate;
    before.discard();
    candidate.owner = this;
    this.upgrade = null;
    this.upgrading = false;
    this.upgraded = true;
    this.heartbeat.onTransportSwitch();
    this.emit("upgrade", candidate);
    if (this.readyState !== "closed") this.flush();
  }

  // -- the one door out ----------------------------------------------------------------------------

  private closeTransport(discard: boolean): void {
    if (discard) this.transport.abort();
    else this.transport.close(() => this.end("forced close"));
    if (discard) this.end("forced close");
  }

  /** Ends the session: everything that ends one comes through here, and only the first counts. */
  private end(reason: CloseReason, description?: unknown): void {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.heartbeat.cancel();
    this.stall?.cancel();
    this.callbacks = null;
    this.upgrade?.cancel();
    const transport = this.transport;
    transport.owner = null;
    if (reason !== "forced close") transport.abort(description instanceof LimitError);
    if (this.queue !== null) nextTick(dropQueue, this); // still readable in `close` listeners
    this.server.onSessionEnd(this);
    // Emit last: a listener may throw, and the session must be consistent then.
    try {
      this.owner?.onSessionClose(reason, description);
    } finally {
      this.emit("close", reason, description);
    }
  }

  /** @internal */
  dropQueued(): void {
    this.queue = null;
  }
}

function dropQueue(session: Session): void {
  session.dropQueued();
}
