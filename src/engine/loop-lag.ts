// How late the event loop is, for `limits.loopLagMs`.
import { runInRoot } from "../support/tick";

const INTERVAL_MS = 50;
/** Nobody has asked for so long: the timer stops. */
const IDLE_MS = 10_000;

/** Measures only while it is asked: the timer starts with the first question, stops when none follows, and keeps no process alive. */
export class LoopLag {
  private timer: NodeJS.Timeout | null;
  private dueAt: number;
  private askedAt: number;
  /** How late the last two ticks of the timer were. */
  private lastMs: number;
  private beforeMs: number;
  private readonly idleMs: number;

  /** @param idleMs  after this time without a question it stops */
  constructor(idleMs = IDLE_MS) {
    this.idleMs = idleMs;
    this.timer = null;
    this.dueAt = 0;
    this.askedAt = 0;
    this.lastMs = 0;
    this.beforeMs = 0;
  }

  /** Milliseconds that the event loop is late. One pause alone doesn't count: the tick before it was late, too. */
  get ms(): number {
    const now = performance.now();
    this.askedAt = now;
    if (this.timer === null) {
      this.lastMs = this.beforeMs = 0;
      runInRoot(() => (this.timer = setInterval(onTick, INTERVAL_MS, this).unref()));
      this.dueAt = now + INTERVAL_MS;
      return 0;
    }
    return Math.min(this.beforeMs, Math.max(this.lastMs, now - this.dueAt));
  }

  /** @internal */
  tick(): void {
    const now = performance.now();
    this.beforeMs = this.lastMs;
    this.lastMs = Math.max(0, now - this.dueAt);
    this.dueAt = now + INTERVAL_MS;
    if (now - this.askedAt < this.idleMs || this.timer === null) return;
    clearInterval(this.timer);
    this.timer = null;
  }
}

function onTick(lag: LoopLag): void {
  lag.tick();
}
