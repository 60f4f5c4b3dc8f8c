// `nextTick`, and the async context that belongs to no connection.
import { AsyncResource } from "node:async_hooks";

/** `process.nextTick` as it was when this module was loaded: a fake clock that replaces it must not stop delivery. */
export const nextTick: typeof process.nextTick = process.nextTick.bind(process);

/** Reported as destroyed at once: it holds nothing, and tools that look for open handles would list it as one (ROB-330). */
const root = new AsyncResource("Roomcast", { requireManualDestroy: true }).emitDestroy();

/**
 * Runs `work` in the async context in which this module was loaded, which belongs to no connection.
 * What `work` schedules runs there too: shared timers and flushes must not carry the context of one client to another (EVT-34).
 */
export function runInRoot(work: () => void): void {
  root.runInAsyncScope(work);
}
