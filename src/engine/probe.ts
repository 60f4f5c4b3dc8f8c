// Finds out with a ping whether the peer of a session is still connected.
import { Deadline } from "../support/deadline";
import { nextTick } from "../support/tick";
import { BLOCKED_LOOP_MS } from "./heartbeat";
import type { Session } from "./session";

/** Milliseconds that a peer has to answer; `pingTimeout` if that is shorter. */
const ANSWER_WAIT_MS = 1000;

/**
 * Sends a ping, without waiting for the next one of the heartbeat. Without an answer the session ends with `ping timeout`.
 * Calls while a probe is under way share its ping and its answer (ROB-209).
 *
 * @param onAnswer  called once, later; if the session ends, after its owner was notified
 */
export function probe(session: Session, onAnswer: (isAlive: boolean) => void): void {
  const { heartbeat } = session;
  if (heartbeat.probe !== null) return heartbeat.probe.share(onAnswer);
  heartbeat.probe = new Probe(session, onAnswer);
  heartbeat.probe.ask();
}

/**
 *     asking --a pong for each ping--> over: alive
 *     asking --time-out--> session ends, over: gone        asking --session ends for another reason--> over: gone
 *     asking --time-out fires late--> asking late --time-out--> session ends, over: gone
 */
export class Probe extends Deadline<Session> {
  private readonly answerCallbacks: ((isAlive: boolean) => void)[];
  /** 2 while a ping of the heartbeat is unanswered: its pong may have been sent before the probe. */
  private awaitedPongs: number;
  private state: "asking" | "asking late" | "over";
  private readonly onPong: () => void;
  private readonly onClose: () => void;

  constructor(session: Session, onAnswer: (isAlive: boolean) => void) {
    super(onExpire, session);
    this.answerCallbacks = [onAnswer];
    this.awaitedPongs = session.heartbeat.isAwaiting ? 2 : 1;
    this.state = "asking";
    this.onPong = () => {
      if (--this.awaitedPongs === 0) this.finish(true);
    };
    this.onClose = () => this.finish(false);
  }

  /** Sends the ping. */
  ask(): void {
    const session = this.owner;
    session.on("heartbeat", this.onPong);
    session.on("close", this.onClose);
    this.start(this.patienceMs);
    session.sendPing();
  }

  /** Adds a callback for the answer. */
  share(onAnswer: (isAlive: boolean) => void): void {
    this.answerCallbacks.push(onAnswer);
  }

  private get patienceMs(): number {
    return Math.min(ANSWER_WAIT_MS, this.owner.pingTimeoutMs);
  }

  /** @internal */
  override expire(lateByMs: number): void {
    if (lateByMs > BLOCKED_LOOP_MS && this.state === "asking") {
      this.state = "asking late"; // the pong may be waiting to be read (ROB-131)
      return this.start(this.patienceMs);
    }
    try {
      this.owner.onPingTimeout(); // its listeners may throw
    } finally {
      this.finish(false);
    }
  }

  private finish(isAlive: boolean): void {
    if (this.state === "over") return;
    this.state = "over";
    this.cancel();
    this.owner.heartbeat.probe = null;
    this.owner.removeListener("heartbeat", this.onPong);
    this.owner.removeListener("close", this.onClose);
    this.answer(isAlive);
  }

  private answer(isAlive: boolean): void {
    const callbacks = this.answerCallbacks;
    try {
      for (let onAnswer = callbacks.shift(); onAnswer !== undefined; onAnswer = callbacks.shift()) onAnswer(isAlive);
    } finally {
      if (callbacks.length > 0) nextTick(() => this.answer(isAlive)); // user code threw: the other callbacks are called later
    }
  }
}

function onExpire(): void {} // `expire` is overridden
