import type { WebSocket } from "ws";
import { schedule, unschedule, type Flushable } from "../flush";
import type { WireListener } from "../host";
import type { Prepared } from "../prepared";
import { HANDED_LIMIT_BYTES } from "../transport";
import type { Wire } from "../transports/websocket";
import { bindWebSocket, type BoundWebSocket } from "./bind-websocket";

const OPEN = 1;

/**
 * A WebSocket whose frames are made by its library: one that negotiated compression, or one of a custom `wsEngine`,
 * of which nothing is used but `send`, `close` and its events.
 */
export class LibraryWire implements Wire, Flushable, BoundWebSocket {
  listener: WireListener | null;
  isScheduled: boolean;
  private readonly ws: WebSocket;
  /** Bytes from which a packet is compressed; null when compression wasn't negotiated. */
  private readonly compressionThreshold: number | null;
  private state: "idle" | "pending" | "collecting" | "blocked";
  private inFlight: number;
  private bytesInFlight: number;
  private bytesDone: number;

  constructor(ws: WebSocket, compressionThreshold: number | null) {
    this.listener = null;
    this.isScheduled = false;
    this.ws = ws;
    this.compressionThreshold = compressionThreshold;
    this.state = "idle";
    this.inFlight = 0;
    this.bytesInFlight = 0;
    this.bytesDone = 0;
    bindWebSocket(ws, this, { withPings: false });
  }

  get socket(): WebSocket {
    return this.ws;
  }

  get hasRoom(): boolean {
    return this.state === "idle" || (this.state === "collecting" && this.bytesInFlight < HANDED_LIMIT_BYTES);
  }

  get bufferedBytes(): number {
    return this.bytesInFlight;
  }

  get progress(): number {
    return this.bytesDone;
  }

  push(packet: Prepared): void {
    const { size } = packet;
    if (this.state === "idle") {
      this.state = "pending";
      schedule(this);
    }
    this.inFlight++;
    this.bytesInFlight += size;
    const onSent = (error?: Error | null): void => this.onSent(size, error);
    if (!this.isOpen) return;
    if (this.compressionThreshold === null) return this.ws.send(packet.toMessage(), onSent);
    const compress = packet.compress && size >= this.compressionThreshold;
    this.ws.send(packet.toPayload(), { compress, binary: typeof packet.data === "object" }, onSent);
  }

  flushScheduled(): void {
    this.state = "collecting";
    this.listener?.onWireReady();
    this.settle();
  }

  close(onClosed: () => void): void {
    unschedule(this);
    this.ws.close();
    onClosed();
  }

  terminate(): void {
    unschedule(this);
    if (typeof this.ws.terminate === "function") this.ws.terminate();
    else this.ws.close();
  }

  onMessage(data: Buffer | ArrayBuffer | string, isBinary: boolean | undefined): void {
    if (typeof data === "string") return this.listener?.onWireText(data);
    const bytes = Buffer.isBuffer(data) ? data : Buffer.from(data);
    if (isBinary === false) this.listener?.onWireText(bytes.toString());
    else this.listener?.onWireBinary(bytes);
  }

  onPing(): void {}

  onClose(): void {
    unschedule(this);
    this.listener?.onWireClose();
  }

  onError(error: Error): void {
    this.listener?.onWireError(error);
  }

  private onSent(size: number, error: Error | null | undefined): void {
    this.inFlight--;
    this.bytesInFlight -= size;
    this.bytesDone += size;
    if (error != null) {
      if (this.isOpen) this.listener?.onWireError(error, "write error");
      return;
    }
    if (this.state === "blocked" && this.inFlight === 0) this.flushScheduled();
  }

  /** A minimal `wsEngine` tells no state: then every write is tried. */
  private get isOpen(): boolean {
    const state = this.ws.readyState as number | undefined;
    return state === undefined || state === OPEN;
  }

  private settle(): void {
    if (this.inFlight > 0) {
      this.state = "blocked";
      return;
    }
    this.state = "idle";
    this.listener?.onWireWritten();
  }
}
