import { Deadline } from "../support/deadline";
import { BLOCKED_LOOP_MS } from "./heartbeat";
import type { Session } from "./session";

/** How long a peer may take to show that it is there, in milliseconds; less where `pingTimeout` is less. */
const PATIENCE_MS = 1000;

/**
 * Finds out whether a session's peer is still there, without waiting for the heartbeat: sends a ping.
 * Silence ends the session with `ping timeout`.
 *
 *     asking --as many pongs as pings are out--> over: alive
 *     asking --patience runs out: session ends--> over: gone
 *     asking --session ends otherwise-----------> over: gone
 *
 * @param onAnswer  called once, later; after the session's owner was told of its end, if it has ended
 */
export function probe(session: Session, onAnswer: (isAlive: boolean) => void): void {
  new Probe(session, onAnswer).ask();
}

class Probe extends Deadline<Session> {
  private readonly onAnswer: (isAlive: boolean) => void;
  /** A pong on its way answers an earlier ping, and says nothing about now. */
  private awaitedPongs: number;
  private isOver: boolean;
  private readonly onPong: () => void;
  private readonly onClose: () => void;

  constructor(session: Session, onAnswer: (isAlive: boolean) => void) {
    super(onExpire, session);
    this.onAnswer = onAnswer;
    this.awaitedPongs = session.heartbeat.isAwaiting ? 2 : 1;
    this.isOver = false;
    this.onPong = () => {
      if (--this.awaitedPongs === 0) this.finish(true);
    };
    this.onClose = () => this.finish(false);
  }

  ask(): void {
    const session = this.owner;
    session.on("heartbeat", this.onPong);
    session.on("close", this.onClose);
    this.start(this.patienceMs);
    session.sendPing();
  }

  private get patienceMs(): number {
    return Math.min(PATIENCE_MS, this.owner.pingTimeoutMs);
  }

  /** @internal */
  override expire(lateByMs: number): void {
    if (lateByMs > BLOCKED_LOOP_MS) return this.start(this.patienceMs);
    try {
      this.owner.onPingTimeout(); // listeners of its end may throw
    } finally {
      this.finish(false);
    }
  }

  private finish(isAlive: boolean): void {
    if (this.isOver) return;
    this.isOver = true;
    this.cancel();
    this.owner.removeListener("heartbeat", this.onPong);
    this.owner.removeListener("close", this.onClose);
    this.onAnswer(isAlive);
  }
}

function onExpire(): void {} // `expire` is overridden
