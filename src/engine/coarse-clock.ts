// A clock to within a second, for the ages of what connections sent and got; and how late the event loop was.
//
// Reading the time for each chunk and write would cost more than 1 % of an echo. This clock is a field that a timer sets.
import { performance } from "node:perf_hooks";
import { runInRoot } from "../support/tick";

const STEP_MS = 1000;
const RECENT_MS = 5000;
/** Times are small integers, which need no memory of their own; they start anew after 12 days. */
const MASK = 0x3fffffff;
const setIntervalOfNode = setInterval; // fake clocks replace it later
const clearIntervalOfNode = clearInterval;

class CoarseClock {
  /** Milliseconds, to within a second. */
  now = 0;
  private tickedAt = 0;
  /** How late the timer was: the greatest value, halved with each step. */
  private lateMs = 0;
  private holders = 0;
  private timer: NodeJS.Timeout | null = null;

  /** The clock runs while anybody holds it: the engines with open sessions. */
  hold(): void {
    if (this.holders++ > 0) return;
    this.lateMs = 0;
    this.tickedAt = performance.now();
    this.now = this.tickedAt & MASK;
    runInRoot(() => {
      this.timer = setIntervalOfNode(tick, STEP_MS).unref();
    });
  }

  /** Counterpart of `hold`. */
  release(): void {
    if (--this.holders > 0) return;
    clearIntervalOfNode(this.timer!);
    this.timer = null;
  }

  tick(): void {
    const now = performance.now();
    this.lateMs = Math.max(0, now - this.tickedAt - STEP_MS, this.lateMs / 2);
    this.tickedAt = now;
    this.now = now & MASK;
  }

  /** Milliseconds since the clock showed `then`; up to a second more than since the event itself. */
  since(then: number): number {
    return (performance.now() - then) & MASK;
  }

  /** How late the event loop was within the last seconds, or is now, in whole milliseconds. */
  get lagMs(): number {
    const sinceTick = performance.now() - this.tickedAt;
    if (this.timer === null) return sinceTick < RECENT_MS ? Math.round(this.lateMs) : 0; // the last session has ended
    return Math.max(0, Math.round(Math.max(this.lateMs, sinceTick - STEP_MS)));
  }
}

/** The clock of all engines of the process. */
export const coarseClock = new CoarseClock();

function tick(): void {
  coarseClock.tick();
}
