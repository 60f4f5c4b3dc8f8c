import { nextTick, runInRoot } from "../support/tick";

/** Something that puts its writing off to the end of the tick. */
export interface Flushable {
  /** Set while it stands in the list of this tick. */
  isScheduled: boolean;
  /** Writes what has come together. */
  flushScheduled(): void;
}

let scheduled: Flushable[] = [];
let spare: Flushable[] = [];
let isHeld = false;

/** Puts `target` on the list of those that write at the end of this tick: one `process.nextTick` for all, or none while held. Hot. */
export function schedule(target: Flushable): void {
  if (target.isScheduled) return;
  target.isScheduled = true;
  if (scheduled.push(target) === 1 && !isHeld) runInRoot(requestFlush);
}

/** A tick of ours begins, which ends with `releaseFlush`: what comes together until then asks for no tick of its own. */
export function holdFlush(): void {
  isHeld = true;
}

/** Counterpart of `holdFlush`. @param isNow write here; otherwise, where user code threw, in a tick that follows */
export function releaseFlush(isNow: boolean): void {
  isHeld = false;
  if (scheduled.length > 0) runInRoot(isNow ? flushAll : requestFlush);
}

/** It has nothing left to write; a stale entry of the list is skipped. */
export function unschedule(target: Flushable): void {
  target.isScheduled = false;
}

/**
 * Writes everything that waits for the end of the tick, now.
 * A user's listener that throws on the way loses nobody else's turn.
 */
export function flushAll(): void {
  while (scheduled.length > 0) {
    const targets = scheduled;
    scheduled = spare;
    spare = [];
    let index = 0;
    try {
      for (; index < targets.length; index++) {
        const target = targets[index];
        if (!target.isScheduled) continue;
        target.isScheduled = false;
        target.flushScheduled();
      }
    } finally {
      if (index < targets.length) {
        const rest = targets.slice(index + 1);
        if (scheduled.length === 0 && rest.length > 0) runInRoot(requestFlush);
        scheduled = rest.concat(scheduled);
      }
      for (const done of onFlushed) done();
    }
    targets.length = 0;
    spare = targets;
  }
}

const onFlushed: (() => void)[] = [];

/** Calls `work` after each flush: what was memoised for the connections of one tick is let go. */
export function afterFlush(work: () => void): void {
  onFlushed.push(work);
}

function requestFlush(): void {
  nextTick(flushAll);
}

let users = 0;
let isLast = false;

/** While connections exist, a `process.exit()` right after an emit still delivers it. */
export function holdExitFlush(): void {
  if (users++ === 0) process.on("exit", flushAtExit);
}

/** Counterpart of `holdExitFlush`. */
export function releaseExitFlush(): void {
  if (--users === 0) process.removeListener("exit", flushAtExit);
}

/** Whether the process is about to exit: nothing may be put off any more. */
export function isExiting(): boolean {
  return isLast;
}

function flushAtExit(): void {
  isLast = true;
  flushAll();
  for (const done of onFlushed) done(); // what was put off before, too
}
