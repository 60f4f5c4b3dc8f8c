// The heartbeat of a session: when pings are sent, and how long a pong may take.
import { Deadline } from "../support/deadline";
import type { Probe } from "./probe";

/** What a heartbeat needs of its session. */
export interface HeartbeatOwner {
  readonly protocol: 3 | 4;
  /** Milliseconds from a pong to the next ping; read at each use, since programs change it at run time. */
  readonly pingIntervalMs: number;
  /** Milliseconds to wait for a pong; read at each use. */
  readonly pingTimeoutMs: number;
  sendPing(): void;
  onPingTimeout(): void;
}

/** A timer that fires more than this late was delayed by a blocked event loop; data of the peer may be waiting to be read (ROB-130). */
export const BLOCKED_LOOP_MS = 100;

/**
 * The ping and pong deadlines of one session.
 *
 *     revision 4:  resting --pingInterval--> sends ping, awaiting --pingTimeout--> ping timeout
 *                  awaiting --other packet--> awaiting-extended         any --pong--> resting
 *     revision 3:  awaiting (the peer's ping) --pingInterval + pingTimeout--> ping timeout
 *     both, when the timer fires late, once per ping (ROB-130):
 *                  awaiting --> overdue --other packet--> overdue-extended --> ping timeout
 *                  awaiting-extended --> overdue-extended --> ping timeout
 */
export class Heartbeat extends Deadline<HeartbeatOwner> {
  private state: "resting" | "awaiting" | "awaiting-extended" | "overdue" | "overdue-extended";
  /** The probe that is under way, see probe.ts. */
  probe: Probe | null;

  constructor(owner: HeartbeatOwner) {
    super(onExpire, owner);
    this.state = "resting";
    this.probe = null;
  }

  /** True from a ping until its pong. */
  get isAwaiting(): boolean {
    return this.state !== "resting";
  }

  /** Starts or restarts the period; called at the start and for each answer of the peer. */
  beat(): void {
    if (this.owner.protocol === 3) return this.await(); // EIO-76: the peer sends the pings
    this.state = "resting";
    this.start(this.owner.pingIntervalMs);
  }

  /** A packet other than a pong has arrived: while a pong is awaited the first one restarts the time-out, once per ping (EIO-73). */
  onOther(): void {
    if (this.state === "resting" || this.owner.protocol === 3) return;
    if (this.state === "awaiting") this.state = "awaiting-extended";
    else if (this.state === "overdue") this.state = "overdue-extended";
    else return;
    this.start(this.owner.pingTimeoutMs);
  }

  /** The session has moved to another transport: a pong that is awaited gets its full time again (ENG-155). */
  onTransportSwitch(): void {
    if (this.state !== "resting") this.await();
  }

  /** The input is paused: a time-out that was extended would be too long for the client, which waits for pings, too (ROB-768). */
  onInputPaused(): void {
    if (this.state === "awaiting-extended" || this.state === "overdue-extended") this.askAgain();
  }

  /** The silence of the peer is excused: it gets another ping, and its full time again (ROB-768). */
  askAgain(): void {
    this.await();
    if (this.owner.protocol === 4) this.owner.sendPing();
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
    } else if (lateByMs > BLOCKED_LOOP_MS && this.extend()) {
      this.start(Math.min(lateByMs, this.owner.pingTimeoutMs)); // ROB-130
    } else {
      this.owner.onPingTimeout(); // EIO-72, EIO-77
    }
  }

  /** Uses the one extension for a late timer. @returns false when it was used before */
  private extend(): boolean {
    if (this.state === "awaiting") this.state = "overdue";
    else if (this.state === "awaiting-extended") this.state = "overdue-extended";
    else return false;
    return true;
  }
}

function onExpire(): void {} // `expire` is overridden
