// The wire of WebSockets whose frames are written by a library: with context takeover, or with the options `wsEngine` or `receive`.
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import type { Endings } from "../endings";
import type { WireListener } from "../host";
import type { Prepared } from "../prepared";
import { HANDED_LIMIT_BYTES, type CloseStatus, type Flow } from "../transport";
import type { Wire } from "../transports/websocket";
import { bindWebSocket, type BoundWebSocket } from "./bind-websocket";

const OPEN = 1;

/** Settings of all wires of an engine. */
export interface LibraryWireSettings {
  /** Write the first packet of a tick at once instead of at its end. */
  readonly writesAtOnce: boolean;
  /** The engine's connections that are being closed. */
  readonly endings: Endings;
}

/**
 * A WebSocket whose frames are written by its library: `ws` with context takeover, or a custom `wsEngine`, which needs only `send`, `close` and
 * events.
 */
export class LibraryWire implements Wire, BoundWebSocket {
  listener: WireListener | null;
  private readonly ws: WebSocket;
  private readonly net: Duplex;
  private readonly endings: Endings;
  readonly writesAtOnce: boolean;
  /** Packets of this size and more are compressed; null when compression wasn't negotiated. */
  private readonly compressionThreshold: number | null;
  private inFlight: number;
  private bytesInFlight: number;
  private bytesDone: number;

  /**
   * @param net       the connection of the handshake
   * @param settings  settings of all wires of the engine
   */
  constructor(ws: WebSocket, net: Duplex, settings: LibraryWireSettings, compressionThreshold: number | null) {
    this.listener = null;
    this.ws = ws;
    this.net = net;
    this.endings = settings.endings;
    this.writesAtOnce = settings.writesAtOnce;
    this.compressionThreshold = compressionThreshold;
    this.inFlight = 0;
    this.bytesInFlight = 0;
    this.bytesDone = 0;
    bindWebSocket(ws, this, { withPings: false });
    net.once("end", () => this.endings.limitStream(net)); // libraries have no time-out for a peer that doesn't read (ROB-160)
  }

  get socket(): WebSocket {
    return this.ws;
  }

  get flow(): Flow {
    if (this.inFlight === 0) return "free";
    return this.bytesInFlight < HANDED_LIMIT_BYTES ? "in flight" : "held up";
  }

  get bufferedBytes(): number {
    return this.bytesInFlight;
  }

  get progress(): number {
    return this.bytesDone;
  }

  write(first: Prepared, more: readonly Prepared[] | null): void {
    this.send(first);
    if (more !== null) for (const packet of more) this.send(packet);
  }

  private send(packet: Prepared): void {
    const { size } = packet;
    this.inFlight++;
    this.bytesInFlight += size;
    const onSent = (error?: Error | null): void => this.onSent(size, error);
    if (!this.isOpen) return;
    if (this.compressionThreshold === null) return this.ws.send(packet.toMessage(), onSent);
    const compress = packet.compress && size >= this.compressionThreshold;
    this.ws.send(packet.toPayload(), { compress, binary: packet.isBinary }, onSent);
  }

  close(onClosed: () => void, status: CloseStatus | null): void {
    this.endings.limitStream(this.net);
    if (status === null) this.ws.close();
    else this.ws.close(status.code, status.reason);
    onClosed();
  }

  terminate(): void {
    if (typeof this.ws.terminate === "function") this.ws.terminate();
    else this.ws.close();
  }

  /** A minimal `wsEngine` cannot be paused. */
  pauseInput(): void {
    if (typeof this.ws.pause === "function") this.ws.pause();
  }

  resumeInput(): void {
    if (typeof this.ws.resume === "function") this.ws.resume();
  }

  onMessage(data: Buffer | ArrayBuffer | string, isBinary: boolean | undefined): void {
    this.listener?.onWireBytes();
    if (typeof data === "string") return this.listener?.onWireText(data);
    const bytes = Buffer.isBuffer(data) ? data : Buffer.from(data);
    if (isBinary === false) this.listener?.onWireText(bytes.toString());
    else this.listener?.onWireBinary(bytes);
  }

  onPing(): void {}

  onCloseFrame(code: number, reason: Buffer): void {
    this.listener?.onWireCloseFrame(code, reason.toString());
  }

  onClose(): void {
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
      if (this.isOpen) this.listener?.onWireError(error, "write error"); // ENG-116
      return;
    }
    if (this.inFlight === 0) this.listener?.onWireReady();
  }

  /** A minimal `wsEngine` has no `readyState`: each write is tried then. */
  private get isOpen(): boolean {
    const state = this.ws.readyState as number | undefined;
    return state === undefined || state === OPEN;
  }
}
