// Step of the walk "a frame in", where `ws` reads the frames.
import type { Socket as NetSocket } from "node:net";
import type { WebSocket } from "ws";
import { bindWebSocket, type BoundWebSocket } from "./bind-websocket";
import { NodeWire, type NodeWireSettings } from "./node-wire";

const OPEN = 1;

/** A WebSocket that `ws` has shaken hands for and reads; it writes nothing but its Close frame beside us. */
export class WsWire extends NodeWire implements BoundWebSocket {
  private readonly ws: WebSocket;

  constructor(ws: WebSocket, net: NetSocket, settings: NodeWireSettings) {
    super(net, settings, null);
    this.ws = ws;
    bindWebSocket(ws, this);
  }

  get socket(): WebSocket {
    this.flushPending();
    return this.ws;
  }

  protected get isOpen(): boolean {
    return this.ws.readyState === OPEN;
  }

  onMessage(data: Buffer, isBinary: boolean): void {
    if (isBinary) this.listener?.onWireBinary(data);
    else this.listener?.onWireText(data.toString());
  }

  onError(error: Error): void {
    this.listener?.onWireError(error);
  }

  protected sendClose(): void {
    this.ws.close();
  }

  protected cut(): void {
    this.ws.terminate();
  }
}
