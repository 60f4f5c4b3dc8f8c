// Between a chunk from the network and the program's listeners: first all of the chunk is taken, then they run.
import { AsyncResource } from "node:async_hooks";
import { nextTick } from "../support/tick";

/** What is to be done once a chunk was taken. */
export interface Turn {
  /** Does it. */
  take(): void;
}

/** Nobody hears of the end of a resource of ours. */
const RESOURCE_OPTIONS = { requireManualDestroy: true };

let isOpen = false;
let due: Turn | null = null;

/**
 * A chunk is about to be taken: by a call of the event loop itself, with no caller and no tick that waits. Then the end of the chunk is
 * as good as the tick that would follow it, and costs less. `endRead` has to follow.
 */
export function beginRead(): void {
  isOpen = true;
}

/** Counterpart of `beginRead`. Hot: once per chunk. @param isTaken false where it ends by an error: what is due gets a tick */
export function endRead(isTaken: boolean): void {
  isOpen = false;
  const turn = due;
  if (turn === null) return;
  due = null;
  if (!isTaken) return nextTick(take, turn);
  // A resource of its own, as a tick has: what listeners set as async context must not stay on the connection.
  new AsyncResource("RoomcastRead", RESOURCE_OPTIONS).runInAsyncScope(turn.take, turn);
}

/** Code of the program runs amid a chunk: what it puts off to a tick comes before what the rest of the chunk leads to. */
export function interruptRead(): void {
  isOpen = false;
}

/** Calls `turn.take` at the end of the chunk at hand; in a tick where none is. Hot: once per chunk. */
export function afterRead(turn: Turn): void {
  if (isOpen && due === null) due = turn;
  else nextTick(take, turn);
}

function take(turn: Turn): void {
  turn.take();
}
