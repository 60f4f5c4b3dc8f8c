// WebSockets whose connection is at another process, for sessions of this one. The other half is in `cluster/carry/`.
import type { WireListener } from "../../host";
import type { Prepared } from "../../prepared";
import { HANDED_LIMIT_BYTES, type CloseStatus, type Flow } from "../../transport";
import type { Wire } from "../../transports/websocket";

/** The way to the process that has the connection. */
export interface WirePort {
  send(message: string | Buffer, compress: boolean): void;
  close(status: CloseStatus | null): void;
  terminate(): void;
  pauseInput(): void;
  resumeInput(): void;
}

/** Overhead of a message on the link, counted with its bytes. */
const MESSAGE_OVERHEAD = 64;

/**
 *     open --peer or other process gone--> closed
 *     open --close, terminate--> closed
 */
export class CarriedWire implements Wire {
  listener: WireListener | null = null;
  readonly writesAtOnce = false;
  private readonly port: WirePort;
  private isOpen = true;
  private sentBytes = 0;
  private takenBytes = 0;

  constructor(port: WirePort) {
    this.port = port;
  }

  /** Programs find no WebSocket here, but what they may call on one. */
  get socket(): unknown {
    return { bufferedAmount: this.bufferedBytes, terminate: () => this.terminate(), close: () => this.close(() => {}, null) };
  }

  get flow(): Flow {
    const { bufferedBytes } = this;
    if (bufferedBytes === 0) return "free";
    return bufferedBytes < HANDED_LIMIT_BYTES ? "in flight" : "held up";
  }

  get bufferedBytes(): number {
    return this.sentBytes - this.takenBytes;
  }

  get progress(): number {
    return this.takenBytes;
  }

  write(first: Prepared, more: readonly Prepared[] | null): void {
    if (!this.isOpen) return;
    this.send(first);
    if (more !== null) for (const packet of more) this.send(packet);
  }

  private send(packet: Prepared): void {
    const message = packet.toMessage();
    this.sentBytes += costOf(message);
    this.port.send(message, packet.compress);
  }

  close(onClosed: () => void, status: CloseStatus | null): void {
    if (this.isOpen) this.port.close(status);
    this.isOpen = false;
    onClosed();
  }

  terminate(): void {
    if (this.isOpen) this.port.terminate();
    this.isOpen = false;
  }

  pauseInput(): void {
    this.port.pauseInput();
  }

  resumeInput(): void {
    this.port.resumeInput();
  }

  /** The peer has taken so many bytes in all, counted as `costOf` does. */
  onTaken(bytes: number): void {
    if (bytes <= this.takenBytes || bytes > this.sentBytes) return;
    this.takenBytes = bytes;
    if (this.bufferedBytes === 0) this.listener?.onWireReady();
  }

  /** The connection is closed, or the process that has it is gone. */
  onGone(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.listener?.onWireClose();
  }
}

/** What a message counts until the peer has taken it. */
export function costOf(message: string | Buffer): number {
  return message.length + MESSAGE_OVERHEAD;
}
