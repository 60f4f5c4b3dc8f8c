// Time-outs that share one timer per delay.
import { runInRoot } from "./tick";

/**
 * An exact time-out without a timer of its own.
 *
 * Deadlines with the same delay (in whole milliseconds) expire in the order in which they start, so they form a first-in-first-out list.
 * One timer per list is set to the first of them. Starting, restarting and cancelling are O(1) and allocate nothing.
 * Callbacks run in the root async context, not in the context in which the shared timer was set (EVT-34).
 * Timers and clock are read from the global object when they are used, so that fake clocks work.
 */
export class Deadline<T> {
  /** @internal */ at = 0;
  /** @internal */ list: DeadlineList | null = null;
  /** @internal */ previous: Deadline<any> | null = null;
  /** @internal */ next: Deadline<any> | null = null;
  private readonly onExpire: (owner: T, lateByMs: number) => void;
  protected readonly owner: T;

  /**
   * @param onExpire  called with `owner` and the number of milliseconds it is late, once per `start`
   *                  unless cancelled or restarted before; one function serves all owners
   */
  constructor(onExpire: (owner: T, lateByMs: number) => void, owner: T) {
    this.onExpire = onExpire;
    this.owner = owner;
  }

  /** True between `start` and expiry or `cancel`. */
  get active(): boolean {
    return this.list !== null;
  }

  /** (Re)starts the deadline, `delayMs` milliseconds from now; fractions are rounded up. */
  start(delayMs: number): void {
    const before = this.list;
    const after = listFor(delayMs);
    if (before !== null) {
      before.remove(this);
      if (before !== after) before.releaseIfEmpty();
    }
    after.append(this);
  }

  /** Cancels the deadline; no-op when it isn't running. */
  cancel(): void {
    const list = this.list;
    if (list === null) return;
    list.remove(this);
    list.releaseIfEmpty();
  }

  /** @internal */
  expire(lateByMs: number): void {
    this.onExpire(this.owner, lateByMs);
  }
}

const MAX_TIMER_MS = 0x7fffffff;
/** Number of lists up to which empty ones are kept (ROB-170). Most programs use few delays, and use them again and again. */
const KEPT_LISTS = 64;
const nativeSetTimeout = globalThis.setTimeout;
const listsByDelay = new Map<number, DeadlineList>();

/** The list for a delay. With a fake clock every deadline has a list, and so a timer, of its own: fake clocks are installed and removed. */
function listFor(delayMs: number): DeadlineList {
  const delay = delayMs > 0 ? Math.min(Math.ceil(delayMs), MAX_TIMER_MS) : 0; // NaN counts as 0, as for Node's timers
  if (globalThis.setTimeout !== nativeSetTimeout) return new DeadlineList(delay);
  let list = listsByDelay.get(delay);
  if (list === undefined) listsByDelay.set(delay, (list = new DeadlineList(delay)));
  return list;
}

/** How many deadlines of the process are running. Walks all of them. */
export function countDeadlines(): number {
  let count = 0;
  for (const list of listsByDelay.values()) count += list.length;
  return count;
}

class DeadlineList {
  private readonly setTimeout = globalThis.setTimeout;
  private readonly clearTimeout = globalThis.clearTimeout;
  private readonly now: () => number;
  private readonly delay: number;
  private head: Deadline<any> | null = null;
  private tail: Deadline<any> | null = null;
  private timer: NodeJS.Timeout | null = null;
  private timerAt = 0;

  constructor(delay: number) {
    this.delay = delay;
    const clock = globalThis.performance;
    this.now = () => clock.now();
  }

  get length(): number {
    let count = 0;
    for (let each = this.head; each !== null; each = each.next) count++;
    return count;
  }

  append(deadline: Deadline<any>): void {
    const now = this.now();
    deadline.at = now + this.delay;
    deadline.list = this;
    deadline.previous = this.tail;
    deadline.next = null;
    if (this.tail === null) this.head = deadline;
    else this.tail.next = deadline;
    this.tail = deadline;
    if (this.timer === null) this.arm(deadline.at, this.delay);
    else if (this.head === deadline) this.timer.ref();
  }

  remove(deadline: Deadline<any>): void {
    if (deadline.previous === null) this.head = deadline.next;
    else deadline.previous.next = deadline.next;
    if (deadline.next === null) this.tail = deadline.previous;
    else deadline.next.previous = deadline.previous;
    deadline.list = deadline.previous = deadline.next = null;
  }

  /**
   * Called when a deadline was removed: an empty list must not keep the process alive. Up to `KEPT_LISTS` lists keep their timer,
   * without a reference, since most lists fill again soon.
   */
  releaseIfEmpty(): void {
    if (this.head !== null || this.timer === null) return;
    if (this.setTimeout !== nativeSetTimeout) return this.clearTimeout.call(globalThis, this.timer);
    if (listsByDelay.size <= KEPT_LISTS) return void this.timer.unref();
    this.clearTimeout.call(globalThis, this.timer);
    this.timer = null;
    if (listsByDelay.get(this.delay) === this) listsByDelay.delete(this.delay);
  }

  private arm(at: number, inMs: number): void {
    this.timerAt = at;
    runInRoot(() => {
      this.timer = this.setTimeout.call(globalThis, onTimer, Math.ceil(inMs), this);
    });
  }

  /**
   * The current time, for a timer that has just fired. Node's timers count from the start of the iteration of the event loop and so may
   * fire early: the clock decides. A fake timer may be used without a fake clock: then all deadlines are due that were started within
   * the millisecond for which the timer was set.
   */
  private timeOfExpiry(): number {
    const now = this.now();
    return this.setTimeout === nativeSetTimeout || now >= this.timerAt ? now : this.timerAt + 1;
  }

  /** @internal */
  run(): void {
    this.timer = null;
    const now = this.timeOfExpiry();
    try {
      while (this.head !== null && this.head.at <= now) {
        const due = this.head;
        this.remove(due);
        due.expire(now - due.at); // may throw (a listener of the application); `finally` sets the timer for the others
      }
    } finally {
      // `arm` may have been called by a callback that started a new deadline.
      if (this.head !== null) {
        if (this.timer !== null) this.clearTimeout.call(globalThis, this.timer);
        this.arm(this.head.at, Math.max(0, this.head.at - now));
      } else if (this.timer === null) {
        if (listsByDelay.get(this.delay) === this) listsByDelay.delete(this.delay);
      }
    }
  }
}

function onTimer(list: DeadlineList): void {
  list.run();
}
