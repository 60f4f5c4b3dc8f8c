// The order of execution: work that is deferred to the end of a tick, or to the end of a turn of the event loop.
//
//     turn of the event loop
//       a chunk is read ── its packets are decoded and queued, one queue per connection (server/client/inbound-queue.ts)
//         tick     dispatchInTick: the packets go to their sockets, listeners run
//                  at its end: writes of what was sent (atTickEnd), one per connection; afterTick
//       the next chunk …
//       end        atTurnEnd: writes that had to wait until the handler of another connection has returned (uWebSockets.js)
//     exit         all deferred work at once
//
// Packets that are sent outside of such a tick are written in a tick of their own, one for all connections.
import { nextTick, runInRoot } from "../support/tick";

/** An object with deferred work. */
export interface Deferred {
  /** Set while the work waits; clearing it cancels the work. @internal */
  isDeferred: boolean;
  /** @internal */
  runDeferred(): void;
}

/** A list of deferred work, run in the order of adding; a target is in it at most once. */
class Agenda {
  private targets: Deferred[] = [];
  private readonly request: () => void;

  /** @param request  called when the first target is added; it must cause a call of `run` */
  constructor(request: () => void) {
    this.request = request;
  }

  get isEmpty(): boolean {
    return this.targets.length === 0;
  }

  add(target: Deferred): void {
    if (target.isDeferred) return;
    target.isDeferred = true;
    if (this.targets.push(target) === 1) this.request();
  }

  /** Runs all work, also work that is added meanwhile. When a listener throws, the rest runs later. */
  run(): void {
    while (this.targets.length > 0) {
      const { targets } = this;
      this.targets = [];
      let index = 0;
      try {
        for (; index < targets.length; index++) {
          const target = targets[index];
          if (!target.isDeferred) continue;
          target.isDeferred = false;
          target.runDeferred();
        }
      } finally {
        if (index < targets.length) {
          const rest = targets.slice(index + 1);
          if (this.targets.length === 0 && rest.length > 0) this.request();
          this.targets = rest.concat(this.targets);
        }
      }
    }
  }
}

const tickEnd = new Agenda(() => {
  if (!isDispatching) runInRoot(requestTickEnd);
});
const turnEnd = new Agenda(awaitTurnEnd);
const onTickEnd: (() => void)[] = [];
const setImmediateOfNode = setImmediate; // fake clocks replace it later, and delivery must not stop

/** Set while `dispatch` runs, which ends with the writes. */
let isDispatching = false;
let isTurnEndAwaited = false;
let isExit = false;
/** The connection or request whose handler runs; until the end of the turn. */
let handling: object | null = null;

// -- the tick ----------------------------------------------------------------------------------------

/** A queue of received packets. */
export interface Dispatch {
  /** Dispatches the packets; called again, in a new tick, after a listener has thrown. @internal */
  dispatch(): void;
}

/**
 * Calls `queue.dispatch` in a tick, which ends with the writes of packets that its listeners sent.
 * Hot: echo with ack, 8 in flight. The plain way requests a further tick for the writes.
 */
export function dispatchInTick(queue: Dispatch): void {
  nextTick(dispatch, queue);
}

function dispatch(queue: Dispatch): void {
  let isDone = false;
  isDispatching = true;
  try {
    queue.dispatch();
    isDone = true;
  } finally {
    isDispatching = false;
    if (!tickEnd.isEmpty) runInRoot(isDone ? endTick : requestTickEnd);
    if (!isDone) nextTick(dispatch, queue);
  }
}

/** Runs `target` at the end of this tick. */
export function atTickEnd(target: Deferred): void {
  tickEnd.add(target);
}

/** Registers `work` for the end of each tick with writes; it clears what was memoised for the tick. */
export function afterTick(work: () => void): void {
  onTickEnd.push(work);
}

function requestTickEnd(): void {
  if (isExit)
    endTick(); // no tick follows (ROB-340)
  else nextTick(endTick);
}

function endTick(): void {
  try {
    tickEnd.run();
  } finally {
    for (const work of onTickEnd) work();
  }
}

// -- the turn ----------------------------------------------------------------------------------------
// uWebSockets.js corks one connection at a time: the one whose handler runs. Several writes to another connection meanwhile would each be a
// system call. They wait for the end of the turn, when no handler runs.

/** A handler of `owner`, a connection or request, begins. */
export function beginHandler(owner: object): void {
  handling = owner;
  awaitTurnEnd();
}

/** Whether the handler of `owner` may be the one that runs. */
export function isHandling(owner: object): boolean {
  return handling === owner;
}

/** Whether several writes to `owner` have to wait for the end of the turn. */
export function mustWaitForTurnEnd(owner: object): boolean {
  return handling !== null && handling !== owner && !isExit;
}

/** Runs `target` at the end of this turn. */
export function atTurnEnd(target: Deferred): void {
  turnEnd.add(target);
}

/** Calls `work` after this turn, and after the writes that the end of this turn causes. */
export function afterTurn(work: () => void): void {
  runInRoot(() => setImmediateOfNode(() => setImmediateOfNode(work)));
}

function awaitTurnEnd(): void {
  if (isTurnEndAwaited) return;
  isTurnEndAwaited = true;
  runInRoot(requestTurnEnd);
}

function requestTurnEnd(): void {
  setImmediateOfNode(endTurn);
}

function endTurn(): void {
  isTurnEndAwaited = false;
  handling = null;
  turnEnd.run();
}

// -- the exit ----------------------------------------------------------------------------------------

let holdCount = 0;

/** While connections exist, an emit right before `process.exit()`, or while the process exits, is still delivered (ROB-340). */
export function holdExit(): void {
  if (holdCount++ === 0) process.on("exit", endAll);
}

/** Counterpart of `holdExit`. */
export function releaseExit(): void {
  if (--holdCount === 0) process.removeListener("exit", endAll);
}

/** Whether the process exits: no work may be deferred any more. */
export function isExiting(): boolean {
  return isExit;
}

function endAll(): void {
  isExit = true;
  isDispatching = false;
  endTick();
  turnEnd.run();
}
