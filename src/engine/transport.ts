import type { CrowdWire } from "./crowd";
import { hasListeners, LeanEmitter } from "../support/lean-emitter";
import { nextTick } from "../support/tick";
import type { EnginePacket } from "../protocol/engine-packet";
import type { Prepared } from "./prepared";

/** `polling`, `websocket` or `webtransport`. */
export type TransportName = "polling" | "websocket" | "webtransport";

/**
 * Whoever a transport reports to: the session, or the upgrade that tries a candidate.
 * A transport that was discarded reports nothing any more.
 */
export interface TransportOwner {
  /** A packet arrived. @internal */
  onTransportPacket(packet: EnginePacket): void;
  /** A message arrived. Hot: once per incoming message. @internal */
  onTransportMessage(data: string | Buffer | undefined): void;
  /** The transport has room for what waits in the session's queue: the end of a tick, a drained socket, a new poll. @internal */
  onTransportReady(): void;
  /** Everything handed over so far was taken by the system. @internal */
  onTransportWritten(): void;
  /** The peer is gone. @internal */
  onTransportClose(): void;
  /** @param description  what was met, an Error of the layer below or a status @internal */
  onTransportError(message: string, description?: unknown): void;
}

/** At most so many bytes are handed to a socket at a time; what waits above stays visible, countable and droppable. */
export const HANDED_LIMIT_BYTES = 256 * 1024;

/**
 * One way of carrying packets. A session has one at a time, and for the time of an upgrade a candidate beside it.
 *
 * Contract: `send` is called only while `writable`, and makes it false until the system has taken the bytes;
 * packets of one tick that come later wait in the session's queue and are taken by `owner.onTransportReady`.
 *
 * Events: `ready` (it is writable again), `close`.
 */
export abstract class Transport extends LeanEmitter {
  abstract readonly name: TransportName;
  /** The session's id; empty until the handshake is done. */
  sid: string;
  readonly protocol: 3 | 4;
  readonly supportsBinary: boolean;
  readyState: "open" | "closing" | "closed";
  /** Whether a packet sent now would leave at once; volatile packets are dropped when it is false. */
  writable: boolean;
  /** @internal */ owner: TransportOwner | null;

  constructor(protocol: 3 | 4, supportsBinary: boolean) {
    super();
    this.sid = "";
    this.protocol = protocol;
    this.supportsBinary = supportsBinary;
    this.readyState = "open";
    this.writable = false;
    this.owner = null;
  }

  /** Takes packets, in order. With `observed`, somebody listens or waits for a callback: nothing is put off that he would see. @internal */
  abstract send(packets: readonly Prepared[], observed: boolean): void;
  /** Takes one packet that nobody observes. Hot. @internal */
  abstract sendOne(packet: Prepared): void;
  /** Whether `send` may be called now: while writable, and for more packets of the same write inside `onTransportReady`. @internal */
  abstract readonly hasRoom: boolean;
  /**
   * Ends it in the transport's orderly way: what was handed over leaves first.
   * @param onClosed  called once, as soon as the session may be told; without it, the session is told itself and ends with the
   *   reason `transport close`
   */
  abstract close(onClosed?: () => void): void;
  /** Ends it without flushing what the session still has; `hard` cuts the connection, since the peer doesn't read. @internal */
  abstract abort(hard?: boolean): void;
  /** Bytes handed over and not yet taken by the system. @internal */
  abstract readonly bufferedBytes: number;
  /** A number that grows with every byte the peer's system took. @internal */
  abstract readonly progress: number;

  /** Whether a packet sent now would leave at once; unlike `writable` also when it was written to in one go with others. @internal */
  get takesVolatile(): boolean {
    return this.writable;
  }

  /** Its connection, where the host can write to it and others in one go. @internal */
  get crowdWire(): CrowdWire | null {
    return null;
  }

  /** Releases a poll that waits, with a noop, so that the client may move on; no-op on other transports. @internal */
  releasePoll(): void {}

  /** Retires it: from now on nothing is reported. Its connection is left as it is. @internal */
  discard(): void {
    this.owner = null;
  }

  /** Its last state. The event `close` comes behind what the session makes of it: a listener may throw. @internal */
  protected retire(): void {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.writable = false;
    if (hasListeners(this, "close")) nextTick(emitClose, this);
  }
}

function emitClose(transport: Transport): void {
  transport.emit("close");
}
