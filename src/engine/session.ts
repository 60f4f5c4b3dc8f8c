// A session: one client connection over its transports. "A frame in" and "a poll in" come from a transport and go to the owner
// (server/client/client.ts); "an emit out" and "a broadcast out" come from the owner as Prepared packets and go into the outbox.
import { toPayload, type EnginePacket, type EnginePacketType } from "../protocol/engine-packet";
import { LeanEmitter } from "../support/lean-emitter";
import { isReplaced } from "../support/replaced-methods";
import { causeOfTransport, type CloseReason } from "./close-reason";
import { coarseClock } from "./coarse-clock";
import { Heartbeat } from "./heartbeat";
import { InboundRate, type InboundRateOwner } from "./inbound-rate";
import type { EngineRequest } from "./host";
import { LimitError } from "../errors";
import { Prepared, type PublicPacket, type SendCallback, type SendOptions } from "./prepared";
import { defineRequest, type KeptRequest } from "./request";
import { Outbox, type OutboxOwner } from "./outbox";
import { isObserved, isFlushObserved } from "./session-observers";
import type { SessionHost } from "./session-host";
import type { CloseStatus, Transport, TransportOwner } from "./transport";
import { Upgrade } from "./upgrade";

/** The user of a session, `Client`. It is called before the listeners of the session's events. */
export interface SessionOwner {
  /** A message arrived; `undefined` for a message packet without payload. @internal */
  onMessage(data: string | Buffer | undefined): void;
  /** More than `limits.slowReaderBytes` wait for the client. @internal */
  onLongQueue(): void;
  /** Memory of packets that wait for attachments. @internal */ readonly heldInputBytes: number;
  /** The session has ended; called once. @internal */
  onSessionClose(reason: CloseReason, description?: unknown): void;
}

export type ReadyState = "opening" | "open" | "closing" | "closed";

/**
 * One client connection (`socket.conn`). It keeps its id when it moves to another transport.
 *
 *     opening → open → closing → closed        any → closed
 *
 * Events: `packet(packet)`, `data(payload)`, `message(payload)`, `heartbeat`, `packetCreate(packet)`, `flush(buffer)`,
 * `drain`, `dropped(count)`, `upgrading(transport)`, `upgrade(transport)`, `close(reason, description)`.
 */
export class Session extends LeanEmitter implements TransportOwner, OutboxOwner, InboundRateOwner {
  /** 20 characters of `[A-Za-z0-9_-]`, or the result of `generateId`. */
  readonly id: string;
  /** Engine.IO revision of the peer. */
  readonly protocol: 3 | 4;
  private _readyState: ReadyState;
  /** True from the arrival of a candidate transport to the end of the upgrade. */
  upgrading: boolean;
  /** True once the session moved to another transport. */
  upgraded: boolean;
  /** The peer's address at the time of the handshake, e.g. `::ffff:127.0.0.1`; undefined for WebTransport. */
  readonly remoteAddress: string | undefined;
  /** The transport that carries the session now. */
  transport: Transport;
  /** The engine the session belongs to. */
  readonly server: SessionHost;
  /** @internal */ owner: SessionOwner | null;

  /** @internal */ readonly heartbeat: Heartbeat;
  /** @internal The upgrade that is under way. */ upgrade: Upgrade | null;
  /** @internal */ keptRequest: KeptRequest | EngineRequest | null;
  /**
   * The HTTP request that opened the session; null for WebTransport. The same object at each access, with `headers`, `url`,
   * `method`, `_query` and `socket`. It may be rebuilt at the first access, see the option `keepRequest`. A program may delete it.
   */
  declare request: EngineRequest | null;

  /** How the WebSocket is closed once the outbox is empty. */ private closeStatus: CloseStatus | null;
  /** @internal The invalid packet for which the owner closes it. */ violation: Error | null;
  /** @internal The packets that wait for the transport. */ readonly outbox: Outbox;
  /** @internal Null unless `limits` have a rate. */ readonly rate: InboundRate | null;

  /** @internal */
  constructor(
    id: string,
    server: SessionHost,
    transport: Transport,
    request: KeptRequest | EngineRequest | null,
    remoteAddress: string | undefined,
  ) {
    super();
    // The fields that each message reads come first, so that they share cache lines.
    this._readyState = "opening";
    this.transport = transport;
    this.outbox = new Outbox(this);
    this.server = server;
    this.owner = null;
    this.rate = server.limits.hasRates ? new InboundRate(this) : null;
    this.heartbeat = new Heartbeat(this);
    this.id = id;
    this.protocol = transport.protocol;
    this.upgrading = false;
    this.upgraded = false;
    this.remoteAddress = remoteAddress;
    this.upgrade = null;
    this.keptRequest = request;
    this.closeStatus = null;
    this.violation = null;
    defineRequest(this);
    transport.sid = id;
    transport.owner = this;
  }

  /** Sends the open packet and starts the heartbeat. @internal */
  open(openPayload: string, initialPacket: string | Buffer | undefined): void {
    this.readyState = "open";
    this.transport.lastIn = coarseClock.now;
    const packets = [new Prepared("open", openPayload)];
    if (initialPacket !== undefined) packets.push(new Prepared("message", initialPacket));
    this.outbox.open(packets);
    this.heartbeat.beat();
  }

  // -- public API --------------------------------------------------------------------------------

  get readyState(): ReadyState {
    return this._readyState;
  }

  set readyState(state: ReadyState) {
    this._readyState = state;
  }

  /** The packets that wait for the transport, oldest first; a copy. */
  get writeBuffer(): PublicPacket[] {
    return this.outbox.toArray().map((packet) => packet.toPublic());
  }

  /** Callbacks of waiting packets; empty once the session has ended (ROB-523). Programs for Engine.IO read it. @internal */
  get packetsFn(): SendCallback[] {
    return this.readyState === "closed" ? [] : this.outbox.toArray().flatMap((packet) => packet.callback ?? []);
  }

  /** Callbacks of packets that were written, and not reported as taken by the system (ROB-523). @internal */
  get sentCallbackFn(): SendCallback[] {
    return [...this.outbox.sentCallbacks];
  }

  /** Bytes that wait: queued, or written to the transport and not taken by the system. */
  get bufferedBytes(): number {
    return this.outbox.bytes + this.transport.bufferedBytes;
  }

  /** Events that were dropped because the client reads too slowly, see the option `slowReaders`. The event `dropped` tells how many in a tick. */
  get droppedEvents(): number {
    return this.outbox.stall === null ? 0 : this.outbox.stall.droppedEvents;
  }

  /**
   * Sends one message.
   * @param data      text, or binary (Buffer, ArrayBuffer or a view); other values are converted to text, falsy ones to an empty message
   * @param options   `compress` (default true); may be left out
   * @param callback  called once the system has taken the message; never when it could not be sent
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
   * @param discard  true: at once, queued packets are dropped; otherwise queued packets are sent first
   * @param status   code and reason of the Close frame, if queued packets are sent first; without it the frame has none
   */
  close(discard?: boolean, status: CloseStatus | null = null): this {
    if (this.readyState === "open") this.readyState = "closing";
    else if (this.readyState !== "closing" || discard !== true) return this;
    this.closeStatus = status;
    if (discard === true || this.outbox.isEmpty) this.closeTransport(discard === true);
    else this.outbox.watchClosing();
    return this;
  }

  /** Ends the session because of an error; reason `transport error` (ROB-521). Programs for Engine.IO call it. @internal */
  onError(error: unknown): void {
    this.end("transport error", error);
  }

  // -- out ---------------------------------------------------------------------------------------

  /** @internal */
  sendMessage(text: string): void {
    this.sendPacket("message", text);
  }

  /** Sends a packet of any type. @internal */
  sendPacket(
    type: EnginePacketType,
    data?: string | Buffer,
    options: SendOptions | null = null,
    callback: SendCallback | null = null,
  ): void {
    const settings = { compress: options === null || options.compress !== false, options, callback };
    this.writePrepared(new Prepared(type, data === "" ? undefined : data, settings));
  }

  /**
   * Sends a packet, which may be shared with other sessions.
   * @internal
   */
  writePrepared(packet: Prepared): void {
    if (this.readyState !== "open") return; // ENG-134
    if (isObserved(this, "packetCreate")) this.emit("packetCreate", packet.toPublic());
    this.outbox.push(packet);
  }

  /** Whether the host may write a packet past the session: the outbox is idle, and the program observes no events of packets. @internal */
  get isTransparent(): boolean {
    if (this._readyState !== "open" || !this.outbox.isIdle || isReplaced("conn.write", this.write, Session.prototype.write)) return false;
    return !isObserved(this, "packetCreate") && !isFlushObserved(this);
  }

  /** @internal */
  get isFlushObserved(): boolean {
    return isFlushObserved(this);
  }

  /** @internal */
  onFlush(packets: PublicPacket[]): void {
    this.emit("flush", packets);
    this.server.emit("flush", this, packets);
  }

  /** @internal */
  onDrain(): void {
    this.emit("drain");
    this.server.emit("drain", this);
  }

  /** @internal */
  onOutboxEmpty(): void {
    if (this._readyState === "closing") this.closeTransport(false);
  }

  /** @internal */
  onTransportHeldUp(): void {
    this.outbox.onTransportHeldUp();
  }

  /** @internal */
  get heldBytes(): number {
    return this.outbox.heldBytes;
  }

  /** Reading goes on: a pong that is awaited may be read now, and gets its full time (ROB-124). @internal */
  onInputResumed(): void {
    if (this.rate !== null && this.rate.keepsInputPaused) this.transport.pauseInput();
    this.heartbeat.onTransportSwitch();
  }

  /** @internal */
  setInputPaused(isPaused: boolean): void {
    if (isPaused) {
      this.transport.pauseInput();
      this.heartbeat.onInputPaused();
    } else if (this.outbox.stall === null || !this.outbox.stall.isPaused) {
      this.transport.resumeInput();
    }
  }

  /** @internal */
  onLongQueue(): void {
    this.owner?.onLongQueue();
  }

  /** @internal */
  onDropped(count: number): void {
    if (this._readyState !== "closed") this.emit("dropped", count);
  }

  /** A limit was exceeded. @internal */
  endForLimit(error: LimitError): void {
    this.end("transport error", error);
  }

  // -- in: reports of the transport ----------------------------------------------------------------

  /** A message arrived. @internal */
  onTransportMessage(data: string | Buffer | undefined): void {
    if (this.readyState !== "open") return;
    if (this.outbox.stall !== null) this.outbox.stall.onInput(data === undefined ? 0 : data.length);
    if (this.rate === null) {
      this.heartbeat.onOther();
      return this.deliver(data);
    }
    if (!this.rate.mayExcuse) this.heartbeat.onOther();
    this.rate.take(data);
  }

  /** Hands a message on. @internal */
  deliver(data: string | Buffer | undefined): void {
    if (this.readyState !== "open") return;
    if (isObserved(this, "packet")) {
      this.emit("packet", data === undefined ? { type: "message" } : { type: "message", data });
      if ((this.readyState as ReadyState) !== "open") return;
    }
    if (this.owner !== null) this.owner.onMessage(data);
    if (isObserved(this, "data")) this.emit("data", data);
    if (isObserved(this, "message")) this.emit("message", data);
  }

  /** @internal */
  onTransportPacket(packet: EnginePacket): void {
    if (packet.type === "message") return this.onTransportMessage(packet.data);
    if (this.readyState !== "open") return; // EIO-68
    if (this.outbox.stall !== null) this.outbox.stall.onInput(0);
    if (this.rate !== null && !this.rate.takePacket()) return;
    this.emit("packet", packet);
    if (packet.type !== "pong") this.heartbeat.onOther();
    switch (packet.type) {
      case "ping":
        if (this.protocol === 4) return this.end("transport error", new Error("invalid heartbeat direction")); // EIO-62
        this.sendPacket("pong");
        this.heartbeat.beat();
        this.emit("heartbeat");
        return;
      case "pong":
        if (this.protocol === 3) return this.end("transport error", new Error("invalid heartbeat direction")); // EIO-78
        this.heartbeat.beat();
        this.emit("heartbeat");
        return;
      case "close":
        return this.end("transport close"); // EIO-64, EIO-66
      case "error":
        return this.end("parse error"); // EIO-63
      default:
        return; // open, upgrade, noop: EIO-67
    }
  }

  /** @internal */
  onTransportReady(): void {
    this.outbox.onTransportReady();
  }

  /** @internal */
  onTransportClose(): void {
    this.end("transport close");
  }

  /** @internal */
  onTransportError(message: string, description?: unknown): void {
    this.end("transport error", causeOfTransport(message, description, this.server.opts.maxHttpBufferSize));
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
    if (this.outbox.stall !== null && this.outbox.stall.excusesSilence()) return this.heartbeat.onTransportSwitch(); // ROB-124
    if (this.rate !== null && this.rate.excusesSilence()) return this.heartbeat.askAgain(); // ROB-768
    this.end("ping timeout");
  }

  // -- upgrade -------------------------------------------------------------------------------------

  /** A candidate transport has connected. It is closed while another upgrade runs, or after one (EIO-89). @internal */
  maybeUpgrade(candidate: Transport): void {
    candidate.sid = this.id;
    if (this.upgrade !== null || this.upgraded || this.readyState === "closed") {
      candidate.close();
      return;
    }
    this.outbox.stall?.leaveTransport();
    this.upgrading = true;
    this.rate?.onTransportChange(false);
    this.upgrade = new Upgrade(this, candidate, this.server.opts.upgradeTimeout);
  }

  /** The upgrade ended without a switch. @internal */
  onUpgradeEnd(): void {
    this.upgrade = null;
    this.upgrading = false;
    this.rate?.onTransportChange(false);
  }

  /** The upgrade is complete: the candidate becomes the transport (EIO-83). @internal */
  switchTransport(candidate: Transport): void {
    this.outbox.stall?.leaveTransport();
    const before = this.transport;
    this.outbox.writeLead();
    this.transport = candidate;
    before.discard();
    candidate.owner = this;
    this.upgrade = null;
    this.upgrading = false;
    this.upgraded = true;
    this.rate?.onTransportChange(true);
    this.heartbeat.onTransportSwitch();
    this.emit("upgrade", candidate);
    this.outbox.onTransportReady();
  }

  // -- the end ---------------------------------------------------------------------------------------

  private closeTransport(discard: boolean): void {
    if (!discard) {
      this.outbox.writeLead();
      return this.transport.close(() => this.end("forced close"), this.closeStatus);
    }
    this.transport.abort(this.outbox.takeLead());
    this.end("forced close");
  }

  /** Ends the session, for each reason; only the first call has an effect. */
  private end(reason: CloseReason, description?: unknown): void {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.heartbeat.cancel();
    const last = this.outbox.takeLead();
    this.outbox.close();
    this.rate?.close();
    this.upgrade?.cancel();
    const transport = this.transport;
    transport.owner = null;
    if (reason !== "forced close") transport.abort(last, description instanceof LimitError);
    this.server.onSessionEnd(this, reason, description);
    // Events come last: a listener may throw, and the session must be consistent then (ENG-166).
    try {
      this.owner?.onSessionClose(reason, description);
    } finally {
      this.emit("close", reason, description);
    }
  }
}
