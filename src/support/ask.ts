// Calls of application functions that answer through a callback, and chains of middlewares.

/** The outcome of such a call: at most one of `onAnswer` and `onFailure` runs, once. */
export interface Outcome<A extends unknown[]> {
  /** The first answer. */
  onAnswer(...args: A): void;
  /** The function threw, or its promise was rejected, before an answer. */
  onFailure(error: unknown): void;
  /** The function threw, or its promise was rejected, after the answer. */
  onLateFailure?(error: unknown): void;
}

/**
 * Calls a function of the application that answers through a callback, now or later. The first answer, throw or rejection counts.
 * An error thrown by `onAnswer` (for example by a listener of the application) is not a failure of the function: it is thrown again
 * in a microtask, where it becomes an `uncaughtException`, as an error in any listener does.
 * @param call  calls the function and passes it the callback
 */
export function ask<A extends unknown[]>(call: (answer: (...args: A) => void) => unknown, outcome: Outcome<A>): void {
  let isSettled = false;
  const onFailure = (error: unknown): void => {
    if (isSettled) return outcome.onLateFailure?.(error);
    isSettled = true;
    outcome.onFailure(error ?? new Error("it failed without an error"));
  };
  let result: unknown;
  try {
    result = call((...args) => {
      if (isSettled) return;
      isSettled = true;
      try {
        outcome.onAnswer(...args);
      } catch (error) {
        throwLater(error);
      }
    });
  } catch (error) {
    return onFailure(error);
  }
  if (typeof (result as PromiseLike<unknown> | undefined | null)?.then === "function") {
    (result as PromiseLike<unknown>).then(undefined, onFailure);
  }
}

/**
 * Runs steps in sequence. Each step gets a continuation, of which only the first call counts.
 * @param steps  iterated lazily: steps that are added during the run are run as well
 * @param run    runs one step; `next()` continues with the following step, `next(error)` ends the run
 * @param done   called once: with the first truthy error, or with null after the last step
 */
export function runInTurn<T>(
  steps: Iterable<T>,
  run: (step: T, next: (error?: unknown) => void) => void,
  done: (error: unknown) => void,
): void {
  const iterator = steps[Symbol.iterator]();
  const runNext = (): void => {
    const following = iterator.next();
    if (following.done === true) return done(null);
    let isAnswered = false;
    run(following.value, (error) => {
      if (isAnswered) return;
      isAnswered = true;
      if (error) done(error);
      else runNext();
    });
  };
  runNext();
}

/** Throws the error in a microtask of its own: it becomes an `uncaughtException`, and ends nothing of what runs now. */
export function throwLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
