// The wire of WebSockets without compression that `ws` reads: a step of the walk "a frame in".
import type { Socket as NetSocket } from "node:net";
import type { WebSocket } from "ws";
import type { CloseStatus } from "../../transport";
import { bindWebSocket, type BoundWebSocket } from "../bind-websocket";
import { NodeWire, type NodeWireSettings } from "./wire";

const OPEN = 1;

/** A WebSocket whose handshake and reading is done by `ws`. `ws` writes only its Close frame; all other frames are written here. */
export class WsWire extends NodeWire implements BoundWebSocket {
  private readonly ws: WebSocket;

  constructor(ws: WebSocket, net: NetSocket, settings: NodeWireSettings) {
    super(net, settings, null);
    this.ws = ws;
    net.once("end", () => this.limitEnd()); // `ws` has no time-out for a peer that doesn't read (ROB-160)
    bindWebSocket(ws, this);
  }

  get socket(): WebSocket {
    return this.ws;
  }

  protected get isOpen(): boolean {
    return this.ws.readyState === OPEN;
  }

  pauseInput(): void {
    this.ws.pause();
  }

  resumeInput(): void {
    this.ws.resume();
  }

  onMessage(data: Buffer, isBinary: boolean): void {
    this.listener?.onWireBytes();
    if (isBinary) this.listener?.onWireBinary(data);
    else this.listener?.onWireText(data.toString());
  }

  onCloseFrame(code: number, reason: Buffer): void {
    this.listener?.onWireCloseFrame(code, reason.toString());
  }

  onError(error: Error): void {
    this.listener?.onWireError(error);
  }

  protected sendClose(status: CloseStatus | null): void {
    this.limitEnd();
    this.ws.close(status?.code, status?.reason);
  }

  protected cut(): void {
    this.ws.terminate();
  }
}
