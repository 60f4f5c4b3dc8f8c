// The base class of transports (polling, WebSocket, WebTransport), and the interface to their owner.
import createDebug from "debug";
import type { MulticastWire } from "./multicast-group";
import { coarseClock } from "./coarse-clock";
import { hasListeners, LeanEmitter } from "../support/lean-emitter";
import { quoted } from "../support/log-text";
import { nextTick } from "../support/tick";
import type { EnginePacket } from "../protocol/engine-packet";
import type { Prepared } from "./prepared";
import type { Readiness } from "./readiness";

const debug = createDebug("engine:transport");

/** `polling`, `websocket` or `webtransport`. */
export type TransportName = "polling" | "websocket" | "webtransport";

type TransportState = "open" | "closing" | "closed";

/**
 * What a transport reports to: its session, or the upgrade that tries it as a candidate.
 * A discarded transport reports nothing (ENG-152).
 */
export interface TransportOwner {
  /** The packets that wait for the transport; null for a candidate. @internal */
  readonly outbox: { readonly bytes: number; writeLead(): void; flush(): void } | null;
  /** A packet arrived. @internal */
  onTransportPacket(packet: EnginePacket): void;
  /** A message arrived. @internal */
  onTransportMessage(data: string | Buffer | undefined): void;
  /** The transport can be written to again: all that was written is taken, or a poll arrived. @internal */
  onTransportReady(): void;
  /** The system has not taken what was written, which is known only now. @internal */
  onTransportHeldUp(): void;
  /** The peer has closed the connection. @internal */
  onTransportClose(): void;
  /** @param description  an Error of the layer below, or a status @internal */
  onTransportError(message: string, description?: unknown): void;
}

/** Code and reason of a WebSocket's Close frame (RFC 6455, section 7.4). Other transports can't send them. */
export interface CloseStatus {
  readonly code: number;
  /** At most 123 bytes. */
  readonly reason: string;
}

/** At most so many bytes are written to a socket at a time. The rest stays in the outbox, where it is counted and can be dropped. */
export const HANDED_LIMIT_BYTES = 256 * 1024;
/** The same in packets: a WebSocket library may keep an object for each. */
export const HANDED_LIMIT_PACKETS = 8192;

/**
 * The state of the packets that were written to a transport:
 * - `free`: the system has taken them;
 * - `in flight`: the result is reported later; a few more may be written meanwhile;
 * - `held up`: the system has not taken them; no more may be written;
 * - `no poll`: they are taken; more need another poll.
 * In each state but `free`, `owner.onTransportReady` follows.
 */
export type Flow = "free" | "in flight" | "held up" | "no poll";

/**
 * A connection that carries the packets of a session. A session has one transport, and during an upgrade a candidate beside it.
 *
 * Packets wait in the session's outbox, which calls `write` and then reads `flow`.
 *
 * Events: `ready` (writable again), `close`.
 */
export abstract class Transport extends LeanEmitter {
  abstract readonly name: TransportName;
  /** The session's id; empty until the handshake is done. */
  sid: string;
  readonly protocol: 3 | 4;
  readonly supportsBinary: boolean;
  private _readyState: TransportState;
  /** Whether a packet sent now would be written at once; volatile packets are dropped when it is false. */
  writable: boolean;
  /** Whether it compresses packets, so that `preparationOf` is called for large ones. @internal */ compresses: boolean;
  /** Times of `coarseClock`: when bytes of the peer last arrived, and when bytes for it were last written. @internal */
  lastIn: number;
  /** @internal */ lastOut: number;
  /** The Close frame of the peer. @internal */ peerClose: CloseStatus | null;
  /** @internal */ owner: TransportOwner | null;
  /** Packets that one polling response may hold; `Infinity` for other transports. @internal */ maxPackets: number;

  constructor(protocol: 3 | 4, supportsBinary: boolean) {
    super();
    this.sid = "";
    this.protocol = protocol;
    this.supportsBinary = supportsBinary;
    this._readyState = "open";
    this.writable = false;
    this.compresses = false;
    this.lastIn = this.lastOut = coarseClock.now;
    this.peerClose = null;
    this.owner = null;
    this.maxPackets = Infinity;
  }

  get readyState(): TransportState {
    return this._readyState;
  }

  set readyState(state: TransportState) {
    this._readyState = state;
  }

  /** Handles an HTTP request of the session; does nothing except in polling (ROB-524). */
  onRequest(_request: unknown): void {}

  /** Writes packets, in order, in one write. @internal */
  abstract write(first: Prepared, more: readonly Prepared[] | null): void;
  /** The state of what was written. @internal */
  abstract readonly flow: Flow;
  /** Whether the first packet of a tick is written at once, instead of at the end of the tick (`flush: "immediate"`). @internal */
  abstract readonly writesAtOnce: boolean;

  /** Whether several packets have to wait for the end of the turn, because each would be a system call of its own now. @internal */
  get waitsForTurnEnd(): boolean {
    return false;
  }

  /** Whether a poll waits for packets. @internal */
  get isPolled(): boolean {
    return false;
  }

  /** Whether a POST is being read or delivered. @internal */
  get isPosted(): boolean {
    return false;
  }

  /** Memory of the part of a message or body that was received, 0 for none or where a WebSocket library reads. @internal */
  get heldInputBytes(): number {
    return 0;
  }

  /** Prepares a large packet for `write`, in the background; null if that isn't needed. @internal */
  preparationOf(_packet: Prepared): Readiness | null {
    return null;
  }

  /** The system has taken all that was written, and the outbox is empty. @internal */
  onTaken(): void {
    this.writable = this.readyState === "open";
    if (hasListeners(this, "ready")) this.emit("ready");
  }

  /**
   * Closes the transport; what was written leaves first.
   * @param onClosed  called once, when the session may end; without it the session ends with the reason `transport close`
   * @param status    for a WebSocket; null: a Close frame without code (ENG-118)
   */
  abstract close(onClosed?: () => void, status?: CloseStatus | null): void;
  /**
   * Closes the transport without flushing the outbox (ENG-163).
   * @param last  a packet that is written before the end
   * @param hard  destroys the connection, since the peer doesn't read
   * @internal
   */
  abstract abort(last: Prepared | null, hard?: boolean): void;
  /** Bytes that were written and that the system has not taken. @internal */
  abstract readonly bufferedBytes: number;
  /** The part of them that isn't shared with other connections. @internal */
  get heldBytes(): number {
    return this.bufferedBytes;
  }

  /** Stops reading from the peer until `resumeInput`; data that was read before still arrives. @internal */
  pauseInput(): void {}

  /** Counterpart of `pauseInput`. @internal */
  resumeInput(): void {}

  /** A number that grows whenever the peer takes bytes. @internal */
  abstract readonly progress: number;

  /** Like `writable`, but also false while a write to a multicast group is pending. @internal */
  get takesVolatile(): boolean {
    return this.writable;
  }

  /** Its connection, if it can be a member of a multicast group. @internal */
  get multicastWire(): MulticastWire | null {
    return null;
  }

  /** Answers a waiting poll with a noop packet (EIO-81); does nothing on other transports. @internal */
  releasePoll(): void {}

  /** Detaches it from its owner: nothing is reported from now on. The connection stays as it is. @internal */
  discard(): void {
    this.owner = null;
  }

  /** Sets the state `closed`. The event `close` comes in the next tick, after the session has ended: a listener may throw. @internal */
  protected retire(): void {
    if (this.readyState === "closed") return;
    if (debug.enabled) debug("%s: %s is closed", quoted(this.sid), this.name);
    this.readyState = "closed";
    this.writable = false;
    if (hasListeners(this, "close")) nextTick(emitClose, this);
  }
}

function emitClose(transport: Transport): void {
  transport.emit("close");
}
