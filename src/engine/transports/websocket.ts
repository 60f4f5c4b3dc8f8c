// The WebSocket transport. A step of the walks "a frame in" (from a wire to the session) and "an emit out" (from the session to a wire).
import { decodePacket } from "../../protocol/engine-packet";
import { decodePacketV3, encodeBinaryV3 } from "../../protocol/legacy/packet";
import { coarseClock } from "../coarse-clock";
import type { MulticastWire } from "../multicast-group";
import type { WireListener } from "../host";
import { Prepared } from "../prepared";
import type { Readiness } from "../readiness";
import { Transport, type CloseStatus, type Flow } from "../transport";
import { ignore } from "../../support/ignore";

/** A WebSocket connection; one class per WebSocket implementation, see hosts/. */
export interface Wire {
  listener: WireListener | null;
  /** The WebSocket object for programs. */
  readonly socket: unknown;
  /** Writes packets, in order, in one write. */
  write(first: Prepared, more: readonly Prepared[] | null): void;
  /** Prepares a large packet in the background; undefined on a wire that doesn't compress. Other packets are compressed by `write`. */
  preparationOf?(packet: Prepared): Readiness | null;
  /** The state of what was written. */
  readonly flow: Flow;
  readonly writesAtOnce: boolean;
  /** True while several packets have to wait for the end of the turn. */
  readonly waitsForTurnEnd?: boolean;
  /**
   * Starts the closing handshake and calls `onClosed`; waits only for a frame that is half written.
   * @param status  null: without a code (ENG-118)
   */
  close(onClosed: () => void, status: CloseStatus | null): void;
  /** Destroys the connection. */
  terminate(): void;
  readonly bufferedBytes: number;
  /** The part of `bufferedBytes` that isn't shared with other connections; undefined if that is all. */
  readonly heldBytes?: number;
  readonly progress: number;
  /** Stops reading from the peer until `resumeInput`; undefined if the host cannot do that. */
  pauseInput?(): void;
  resumeInput?(): void;
  /** This wire, if it can be a member of a multicast group. */
  readonly multicastWire?: MulticastWire | null;
  /** False while a write to a multicast group is pending. */
  readonly takesVolatile?: boolean;
  /** Memory of the part of a message that was received, 0 for none; undefined where a library reads. */
  readonly heldInputBytes?: number;
}

const MESSAGE = 52; // "4"

/** The WebSocket transport: one packet per WebSocket message (EIO-20). */
export class WebSocketTransport extends Transport implements WireListener {
  readonly name = "websocket";
  /** @internal */ readonly wire: Wire;
  /** Whether binary packets are encoded for this peer alone: revision 3 (EIO-92), or `b64` (EIO-22). */
  private readonly hasOwnEncoding: boolean;

  constructor(protocol: 3 | 4, supportsBinary: boolean, wire: Wire) {
    super(protocol, supportsBinary);
    this.wire = wire;
    this.hasOwnEncoding = protocol === 3 || !supportsBinary;
    this.writable = true;
    this.compresses = wire.preparationOf !== undefined;
    wire.listener = this;
  }

  /** The WebSocket object (an instance of `ws`, or of what `wsEngine` made). */
  get socket(): unknown {
    this.owner?.outbox?.writeLead(); // before anything that the program writes to the WebSocket
    const { socket } = this.wire;
    patchBufferedAmount(socket, this);
    return socket;
  }

  /** Bytes that wait for the peer, in the session's outbox and in the wire. */
  get waitingBytes(): number {
    const outbox = this.owner === null ? null : this.owner.outbox;
    return this.wire.bufferedBytes + (outbox === null ? 0 : outbox.bytes);
  }

  get flow(): Flow {
    return this.wire.flow;
  }

  get writesAtOnce(): boolean {
    return this.wire.writesAtOnce;
  }

  override get waitsForTurnEnd(): boolean {
    return this.wire.waitsForTurnEnd === true;
  }

  override get takesVolatile(): boolean {
    return this.writable && this.wire.takesVolatile !== false;
  }

  /** What has an encoding of its own is another packet when it is written, and is sent plain if it is large. */
  override preparationOf(packet: Prepared): Readiness | null {
    if (!this.compresses || (this.hasOwnEncoding && packet.isBinary)) return null;
    return this.wire.preparationOf!(packet);
  }

  override get multicastWire(): MulticastWire | null {
    return this.hasOwnEncoding ? null : (this.wire.multicastWire ?? null);
  }

  get bufferedBytes(): number {
    return this.wire.bufferedBytes;
  }

  override get heldBytes(): number {
    return this.wire.heldBytes ?? this.wire.bufferedBytes;
  }

  override get heldInputBytes(): number {
    return this.wire.heldInputBytes ?? 0;
  }

  get progress(): number {
    return this.wire.progress;
  }

  override pauseInput(): void {
    this.wire.pauseInput?.();
  }

  override resumeInput(): void {
    this.wire.resumeInput?.();
  }

  write(first: Prepared, more: readonly Prepared[] | null): void {
    this.lastOut = coarseClock.now;
    if (!this.hasOwnEncoding) this.wire.write(first, more);
    else this.wire.write(this.encodeForPeer(first), more === null ? null : more.map((packet) => this.encodeForPeer(packet)));
  }

  /** Writes now what would be written at the end of the tick. @internal */
  flush(): void {
    this.owner?.outbox?.flush();
  }

  close(onClosed = ignore, status: CloseStatus | null = null): void {
    if (this.readyState !== "open") return onClosed();
    this.readyState = "closing";
    this.wire.close(onClosed, status);
  }

  abort(last: Prepared | null, hard = false): void {
    if (last !== null && !hard && this.readyState === "open") this.write(last, null);
    if (hard) this.wire.terminate();
    else if (this.readyState === "open") this.wire.close(ignore, null);
    if (this.readyState === "open") this.readyState = "closing";
  }

  onWireBytes(): void {
    this.lastIn = coarseClock.now;
  }

  onWireCloseFrame(code: number, reason: string): void {
    this.peerClose = { code, reason };
  }

  onWireText(text: string): void {
    if (this.owner === null) return;
    if (text.charCodeAt(0) === MESSAGE) this.owner.onTransportMessage(text.length === 1 ? undefined : text.slice(1));
    else this.owner.onTransportPacket(this.protocol === 4 ? decodePacket(text) : decodePacketV3(text)); // EIO-12, EIO-93
  }

  onWireBinary(data: Buffer): void {
    if (this.owner === null) return;
    if (this.protocol === 4)
      this.owner.onTransportMessage(data); // EIO-21
    else this.owner.onTransportPacket(decodePacketV3(data)); // EIO-94
  }

  onWireReady(): void {
    this.owner?.onTransportReady();
  }

  onWireHeldUp(): void {
    this.writable = false;
    this.owner?.onTransportHeldUp();
  }

  onWireClose(): void {
    this.retire();
    this.owner?.onTransportClose();
  }

  onWireError(error: Error, message = String(error)): void {
    this.writable = false;
    this.owner?.onTransportError(message, error);
  }

  private encodeForPeer(packet: Prepared): Prepared {
    const { data } = packet;
    if (typeof data !== "object") return packet;
    const form = this.protocol === 3 ? encodeBinaryV3(data, this.supportsBinary) : "b" + data.toString("base64");
    return new Prepared("raw", form, { compress: packet.compress });
  }
}

/**
 * Makes `bufferedAmount` of a WebSocket include the packets in the outbox, as if all had been written to the WebSocket at once (ROB-360).
 * Does nothing for a `wsEngine` without this member.
 */
function patchBufferedAmount(socket: unknown, transport: WebSocketTransport): void {
  const ws = socket as { readonly bufferedAmount?: number };
  if (typeof ws.bufferedAmount !== "number" || Object.hasOwn(ws, "bufferedAmount")) return;
  const prototype = Object.getPrototypeOf(ws) as object;
  Object.defineProperty(ws, "bufferedAmount", {
    configurable: true,
    get: () => Math.max(Reflect.get(prototype, "bufferedAmount", ws) as number, transport.waitingBytes),
  });
}
