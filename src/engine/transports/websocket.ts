// Step of the walks "a frame in" (from a wire, to the session) and "an emit out" (from the session, to a wire).
import { decodePacket } from "../../protocol/engine-packet";
import { decodePacketV3, encodeBinaryV3 } from "../../protocol/legacy/packet";
import { hasListeners } from "../../support/lean-emitter";
import type { CrowdWire } from "../crowd";
import type { WireListener } from "../host";
import { Prepared } from "../prepared";
import { Transport } from "../transport";

/** What carries the frames: one per kind of WebSocket implementation, see hosts/. */
export interface Wire {
  listener: WireListener | null;
  /** The WebSocket object as users know it. */
  readonly socket: unknown;
  /** Whether more may be pushed for the write that is being put together. */
  readonly hasRoom: boolean;
  /** Appends a packet to what leaves at the end of the tick. Hot. */
  push(packet: Prepared): void;
  /** Writes what was pushed, then starts the closing handshake (no code) and calls `onClosed`; at once unless a frame is half written. */
  close(onClosed: () => void): void;
  /** Cuts the connection. */
  terminate(): void;
  readonly bufferedBytes: number;
  readonly progress: number;
  /** This, where the host can write to many at once. */
  readonly crowdWire?: CrowdWire | null;
  /** False while what was written to many at once is on its way. */
  readonly takesVolatile?: boolean;
}

const MESSAGE = 52; // "4"

/** Carries packets over a WebSocket, one packet per WebSocket message (Engine.IO protocol, "WebSocket"). */
export class WebSocketTransport extends Transport implements WireListener {
  readonly name = "websocket";
  private readonly wire: Wire;

  constructor(protocol: 3 | 4, supportsBinary: boolean, wire: Wire) {
    super(protocol, supportsBinary);
    this.wire = wire;
    this.writable = true;
    wire.listener = this;
  }

  /** The WebSocket object (an instance of `ws`, or of what `wsEngine` made). */
  get socket(): unknown {
    return this.wire.socket;
  }

  get hasRoom(): boolean {
    return this.wire.hasRoom;
  }

  override get takesVolatile(): boolean {
    return this.writable && this.wire.takesVolatile !== false;
  }

  /** Not where packets get a form of their own. */
  override get crowdWire(): CrowdWire | null {
    return this.protocol === 4 && this.supportsBinary ? (this.wire.crowdWire ?? null) : null;
  }

  get bufferedBytes(): number {
    return this.wire.bufferedBytes;
  }

  get progress(): number {
    return this.wire.progress;
  }

  send(packets: readonly Prepared[]): void {
    for (const packet of packets) this.sendOne(packet);
  }

  sendOne(packet: Prepared): void {
    this.writable = false;
    const needsForm = typeof packet.data === "object" && (this.protocol === 3 || !this.supportsBinary);
    this.wire.push(needsForm ? this.inPeersForm(packet) : packet);
  }

  close(onClosed = ignore): void {
    if (this.readyState !== "open") return onClosed();
    this.readyState = "closing";
    this.wire.close(onClosed);
  }

  abort(hard = false): void {
    if (hard) this.wire.terminate();
    else if (this.readyState === "open") this.wire.close(ignore);
    if (this.readyState === "open") this.readyState = "closing";
  }

  onWireText(text: string): void {
    if (this.owner === null) return;
    if (text.charCodeAt(0) === MESSAGE) this.owner.onTransportMessage(text.length === 1 ? undefined : text.slice(1));
    else this.owner.onTransportPacket(this.protocol === 4 ? decodePacket(text) : decodePacketV3(text));
  }

  onWireBinary(data: Buffer): void {
    if (this.owner === null) return;
    if (this.protocol === 4) this.owner.onTransportMessage(data);
    else this.owner.onTransportPacket(decodePacketV3(data));
  }

  onWireReady(): void {
    this.owner?.onTransportReady();
  }

  onWireWritten(): void {
    this.writable = this.readyState === "open";
    if (hasListeners(this, "ready")) this.emit("ready");
    this.owner?.onTransportWritten();
  }

  onWireHeldUp(): void {
    this.writable = false;
  }

  onWireClose(): void {
    this.retire();
    this.owner?.onTransportClose();
  }

  onWireError(error: Error, message = String(error)): void {
    this.writable = false;
    this.owner?.onTransportError(message, error);
  }

  /** Binary for a peer of revision 3, or for one that announced `b64`. */
  private inPeersForm(packet: Prepared): Prepared {
    const data = packet.data as Buffer;
    const form = this.protocol === 3 ? encodeBinaryV3(data, this.supportsBinary) : "b" + data.toString("base64");
    return Prepared.raw(form, packet.compress);
  }
}

function ignore(): void {}
