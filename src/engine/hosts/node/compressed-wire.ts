// The wire of WebSockets with compression, without context takeover: a step of the walks in place of socket-wire.ts.
import type { Socket as NetSocket } from "node:net";
import type { WebSocket } from "ws";
import { HELD_OVERHEAD_BYTES } from "../../../support/detach";
import type { Prepared } from "../../prepared";
import type { Readiness } from "../../readiness";
import { afterTurn } from "../../turn";
import type { Agreement } from "./deflate";
import type { FrameError, Inflater } from "./frame-reader";
import { SocketWire } from "./socket-wire";
import { framesOf, type NodeWireSettings } from "./wire";

/** Bytes that may be inflated before reading goes on in the next turn: messages of a peer must not hold up the other connections. */
const INFLATED_MAX_BYTES = 256 * 1024;
const EMPTY = Buffer.alloc(0);

/**
 * A WebSocket whose messages are compressed one by one.
 *
 *     reading --INFLATED_MAX_BYTES were inflated--> resting --after the turn--> reading
 */
export class CompressedWire extends SocketWire implements Inflater {
  private readonly agreement: Agreement;
  private inflatedBytes: number;
  /** The rest of the chunk while it is resting; null while it is reading. */
  private rest: Buffer | null;
  private isPaused: boolean;

  constructor(net: NetSocket, settings: NodeWireSettings, head: string, rest: Buffer, agreement: Agreement) {
    super(net, settings, head, rest);
    this.agreement = agreement;
    this.inflatedBytes = 0;
    this.rest = null;
    this.isPaused = false;
  }

  // -- out ---------------------------------------------------------------------------------------------

  protected override framesOf(first: Prepared, more: readonly Prepared[] | null): string | Buffer {
    return framesOf(first, more, this.agreement);
  }

  preparationOf(packet: Prepared): Readiness | null {
    return this.agreement.preparationOf(packet);
  }

  // -- in ----------------------------------------------------------------------------------------------

  override get inflater(): Inflater {
    return this;
  }

  override get isReading(): boolean {
    return this.rest === null && super.isReading;
  }

  override get heldInputBytes(): number {
    return super.heldInputBytes + (this.rest === null ? 0 : this.rest.length + HELD_OVERHEAD_BYTES);
  }

  inflate(payload: Buffer): Buffer | FrameError {
    const message = this.agreement.inflate(payload);
    if (Buffer.isBuffer(message)) this.inflatedBytes += message.length;
    if (this.inflatedBytes > INFLATED_MAX_BYTES) this.rest = EMPTY;
    return message;
  }

  override onUnread(bytes: Buffer): void {
    if (this.rest === null || !super.isReading) return super.onUnread(bytes);
    super.onUnread(EMPTY); // lets go of held frames, which are part of `bytes`
    this.rest = bytes;
    this.net.pause();
    afterTurn(() => this.readOn());
  }

  private readOn(): void {
    const { rest } = this;
    if (rest === null) return; // closed, or read by `ws`
    this.rest = null;
    this.inflatedBytes = 0;
    try {
      if (rest.length > 0) this.onData(rest);
    } finally {
      if (this.rest === null && !this.isPaused) this.net.resume();
    }
  }

  override pauseInput(): void {
    this.isPaused = true;
    super.pauseInput();
  }

  override resumeInput(): void {
    this.isPaused = false;
    super.resumeInput();
  }

  override onClose(): void {
    this.rest = null;
    super.onClose();
  }

  protected override passToWs(): WebSocket {
    const ws = super.passToWs();
    const { rest, net } = this;
    if (rest === null || super.isReading || net.destroyed) return ws;
    this.rest = null;
    if (rest.length > 0) net.unshift(rest);
    if (!this.isPaused) net.resume();
    return ws;
  }

  protected override extensionsForWs(): Record<string, object> {
    return this.agreement.toExtensions();
  }
}
