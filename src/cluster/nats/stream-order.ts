// The order in which messages of a namespace were stored, for what NATS sends on in another one.
import { throwLater } from "../../support/ask";
import { runInRoot } from "../../support/tick";

/** A message that has not come so long after one behind it is lost. */
const LOST_MS = 1_000;

/** What is read of the headers that NATS adds to a stored message. */
interface Headers {
  get(name: string): string;
}

interface Waiting {
  readonly sequence: number;
  /** A time of `performance.now()`: the system's clock may be set. */
  readonly since: number;
  readonly run: () => void;
}

/**
 * NATS sends on what several connections have published a little out of order, now and then. Each message names its position in the stream, and that
 * of the message before it on the same subject: one that comes too early waits for that, so that a client never has an offset behind what it
 * has yet to get.
 */
export class StreamOrder {
  /** Position of the last message that was run; 0: none. */
  private last = 0;
  /** Messages that came too early, by the position of the one before. */
  private readonly waiting = new Map<number, Waiting>();
  private timer: NodeJS.Timeout | null = null;

  /** @param run  called now, or when the messages before have come or are lost */
  add(headers: Headers | undefined, run: () => void): void {
    const sequence = Number(headers?.get("Nats-Sequence"));
    const before = Number(headers?.get("Nats-Last-Sequence"));
    if (!(sequence > 0)) return run(); // it was not stored
    if (this.last > 0 && before > this.last) {
      this.waiting.set(before, { sequence, since: performance.now(), run });
      return this.watch();
    }
    this.last = Math.max(this.last, sequence); // one of a stream that was made anew is behind it for a while: all of these run at once
    try {
      run();
    } finally {
      this.runNext();
    }
  }

  /** Runs those that come directly behind what was run. */
  private runNext(): void {
    for (let next = this.take(this.last); next !== undefined; next = this.take(this.last)) {
      this.last = next.sequence;
      try {
        next.run();
      } catch (thrown) {
        throwLater(thrown); // of a listener of the program
      }
    }
  }

  private take(before: number): Waiting | undefined {
    const found = this.waiting.get(before);
    if (found !== undefined) this.waiting.delete(before);
    return found;
  }

  private watch(): void {
    if (this.timer !== null) return;
    runInRoot(() => {
      this.timer = setTimeout(onTimer, LOST_MS, this);
      this.timer.unref?.();
    });
  }

  /** @internal */
  _check(): void {
    this.timer = null;
    this.giveUp(performance.now() - LOST_MS);
    if (this.waiting.size > 0) this.watch();
  }

  /** The connection is lost, and with it what has not come. */
  reset(): void {
    this.giveUp(Infinity);
    this.last = 0;
  }

  /** Runs what has waited since that time, and what comes directly behind it. */
  private giveUp(since: number): void {
    for (const [before, waiting] of [...this.waiting].sort(([a], [b]) => a - b)) {
      if (!this.waiting.has(before)) continue; // it came directly behind an earlier one
      if (waiting.since > since) return;
      this.last = before;
      this.runNext();
    }
  }
}

function onTimer(order: StreamOrder): void {
  setImmediate(check, order); // behind what has arrived while the event loop was busy
}

function check(order: StreamOrder): void {
  order._check();
}
