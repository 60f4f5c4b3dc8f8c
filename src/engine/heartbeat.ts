import { Deadline } from "../support/deadline";

/** What a heartbeat needs of the session it keeps alive. */
export interface HeartbeatOwner {
  readonly protocol: 3 | 4;
  /** Milliseconds from a pong to the next ping; read at each use, since users change it while running. */
  readonly pingIntervalMs: number;
  /** Milliseconds to wait for a pong; read at each use. */
  readonly pingTimeoutMs: number;
  sendPing(): void;
  onPingTimeout(): void;
}

/** A deadline that fires later than this was held up by our own event loop, and an answer may be waiting to be read. */
export const BLOCKED_LOOP_MS = 100;

/**
 * The ping and pong deadlines of one session.
 *
 *     revision 4:  resting --pingInterval--> sends ping, awaiting --pingTimeout--> ping timeout
 *                  any --pong--> resting
 *     revision 3:  awaiting (the peer's ping) --pingInterval + pingTimeout--> ping timeout
 */
export class Heartbeat extends Deadline<HeartbeatOwner> {
  private state: "resting" | "awaiting" | "awaiting-extended";

  constructor(owner: HeartbeatOwner) {
    super(onExpire, owner);
    this.state = "resting";
  }

  /** True from a ping until its pong. */
  get isAwaiting(): boolean {
    return this.state !== "resting";
  }

  /** Starts it; also called when the peer has answered. */
  beat(): void {
    if (this.owner.protocol === 3) return this.await();
    this.state = "resting";
    this.start(this.owner.pingIntervalMs);
  }

  /** Anything but a pong arrived: the first such packet while a pong is awaited restarts the time-out, once per ping. */
  onOther(): void {
    if (this.state !== "awaiting" || this.owner.protocol === 3) return;
    this.state = "awaiting-extended";
    this.start(this.owner.pingTimeoutMs);
  }

  /** The session moved to another transport: what is awaited gets its full time again. */
  onTransportSwitch(): void {
    if (this.state !== "resting") this.await();
  }

  private await(): void {
    this.state = "awaiting";
    const { pingTimeoutMs, pingIntervalMs, protocol } = this.owner;
    this.start(protocol === 3 ? pingIntervalMs + pingTimeoutMs : pingTimeoutMs);
  }

  /** @internal */
  override expire(lateByMs: number): void {
    if (this.state === "resting") {
      this.await();
      this.owner.sendPing();
    } else if (lateByMs > BLOCKED_LOOP_MS) {
      // The loop was blocked, so what the peer sent meanwhile hasn't been read yet: give it one more turn.
      this.start(Math.min(lateByMs, this.owner.pingTimeoutMs));
    } else {
      this.owner.onPingTimeout();
    }
  }
}

function onExpire(): void {} // `expire` is overridden
