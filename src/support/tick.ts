import { AsyncResource } from "node:async_hooks";

/** `process.nextTick` as it was when this module was loaded: fake clocks replace it later, and delivery must not stop. */
export const nextTick: typeof process.nextTick = process.nextTick.bind(process);

const root = new AsyncResource("Roomcast");

/**
 * Runs `work` in the async context this module was loaded in, which belongs to no connection.
 * Whatever `work` schedules stays there: shared timers and flushes must not carry one client's context to another.
 */
export function runInRoot(work: () => void): void {
  root.runInAsyncScope(work);
}
