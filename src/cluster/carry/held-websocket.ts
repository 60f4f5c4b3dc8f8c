// The WebSocket of a client, while this process doesn't know yet which one has the session (ROB-929).
import type { WireListener } from "../../engine/host";
import { costOf } from "../../engine/hosts/carried/wire";
import type { Wire } from "../../engine/transports/websocket";
import { ignore } from "../../support/ignore";

/** What may arrive though reading has stopped, such as bytes behind the request. */
const HELD_BYTES_MAX = 64 * 1024;

/** Stops reading, and keeps what has arrived. */
export class HeldWebSocket implements WireListener {
  /** The client has left. */
  isOver = false;
  readonly onWireBytes = ignore;
  readonly onWireReady = ignore;
  readonly onWireHeldUp = ignore;
  readonly onWireCloseFrame = ignore;
  private readonly wire: Wire;
  private readonly messages: (string | Buffer)[] = [];
  private heldBytes = 0;

  constructor(wire: Wire) {
    this.wire = wire;
    wire.listener = this;
    wire.pauseInput?.();
  }

  /** Another listener has taken its place, which gets what has arrived. */
  passOn(listener: WireListener): void {
    for (const message of this.messages) {
      if (typeof message === "string") listener.onWireText(message);
      else listener.onWireBinary(message);
    }
    this.wire.resumeInput?.();
  }

  onWireText(text: string): void {
    this.hold(text);
  }

  onWireBinary(data: Buffer): void {
    this.hold(data);
  }

  private hold(message: string | Buffer): void {
    this.heldBytes += costOf(message);
    if (this.heldBytes > HELD_BYTES_MAX) return this.end();
    this.messages.push(message);
  }

  onWireClose(): void {
    this.isOver = true;
  }

  onWireError(): void {
    this.end();
  }

  private end(): void {
    this.isOver = true;
    this.wire.terminate();
  }
}
