import { runInRoot } from "./tick";

/**
 * Exact deadlines without a timer each.
 *
 * All deadlines of one delay stand in one first-in-first-out list, since they expire in the order in which they start;
 * one timer per list is set to the head. Starting, moving and cancelling are O(1) and allocate nothing.
 * Callbacks run in the root async context, never in the context of whoever happened to arm the shared timer.
 * Timers and clock are looked up at each use, so that fake clocks drive them.
 */
export class Deadline<T> {
  /** @internal */ at = 0;
  /** @internal */ list: DeadlineList | null = null;
  /** @internal */ previous: Deadline<any> | null = null;
  /** @internal */ next: Deadline<any> | null = null;
  private readonly onExpire: (owner: T, lateByMs: number) => void;
  protected readonly owner: T;

  /**
   * @param onExpire  called with `owner` and with how many milliseconds late, once per `start`
   *                  unless cancelled or restarted before; one function for all owners
   */
  constructor(onExpire: (owner: T, lateByMs: number) => void, owner: T) {
    this.onExpire = onExpire;
    this.owner = owner;
  }

  /** True between `start` and expiry or `cancel`. */
  get active(): boolean {
    return this.list !== null;
  }

  /** (Re)starts the deadline, `delayMs` milliseconds from now. */
  start(delayMs: number): void {
    const before = this.list;
    const after = listFor(delayMs);
    if (before !== null) {
      before.remove(this);
      if (before !== after) before.rest();
    }
    after.append(this);
  }

  /** Takes the deadline back; no-op when it isn't running. */
  cancel(): void {
    const list = this.list;
    if (list === null) return;
    list.remove(this);
    list.rest();
  }

  /** @internal */
  expire(lateByMs: number): void {
    this.onExpire(this.owner, lateByMs);
  }
}

const MAX_TIMER_MS = 0x7fffffff;
const nativeSetTimeout = globalThis.setTimeout;
const listsByDelay = new Map<number, DeadlineList>();

/** The list for a delay. Under a replaced clock every deadline has a list, and so a timer, of its own: such clocks come and go. */
function listFor(delayMs: number): DeadlineList {
  const delay = delayMs > 0 ? Math.min(delayMs, MAX_TIMER_MS) : 0; // NaN counts as 0, as for Node's timers
  if (globalThis.setTimeout !== nativeSetTimeout) return new DeadlineList(delay);
  let list = listsByDelay.get(delay);
  if (list === undefined) listsByDelay.set(delay, (list = new DeadlineList(delay)));
  return list;
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

  /** An empty list must not keep the process alive; its timer is left to run out, since most lists fill again at once. */
  rest(): void {
    if (this.head !== null || this.timer === null) return;
    if (this.setTimeout === nativeSetTimeout) this.timer.unref();
    else this.clearTimeout.call(globalThis, this.timer);
  }

  private arm(at: number, inMs: number): void {
    this.timerAt = at;
    runInRoot(() => {
      this.timer = this.setTimeout.call(globalThis, onTimer, Math.ceil(inMs), this);
    });
  }

  /**
   * What time it is for a timer that has just fired. Node's own timers count from the start of the loop's turn and so may
   * fire early: the clock decides. A replaced timer may come without a replaced clock: that it fired is the proof that its
   * instant has come, for whatever was started within the same millisecond.
   */
  private instant(): number {
    const now = this.now();
    return this.setTimeout === nativeSetTimeout || now >= this.timerAt ? now : this.timerAt + 1;
  }

  /** @internal */
  run(): void {
    this.timer = null;
    const now = this.instant();
    try {
      while (this.head !== null && this.head.at <= now) {
        const due = this.head;
        this.remove(due);
        due.expire(now - due.at); // may throw (a user's listener): the others keep their turn, see finally
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
