// uWebSockets.js collects writes for one connection at a time, the one whose handler runs; writes to others meanwhile would each be a
// system call. So what others get in several pieces waits for the end of the turn of the event loop, when nobody holds the cork.
import { runInRoot } from "../../../support/tick";
import { afterFlush, isExiting } from "../../flush";

/** Something whose writes consist of several pieces. */
export interface Corkable {
  /** Writes what was put off. */
  writeLate(): void;
}

const later = setImmediate; // not a clock that tests replace
let holder: object | null = null;
let isTurnEndAwaited = false;
let late: Corkable[] = [];

afterFlush(() => {
  if (isExiting()) writeLate(); // no turn follows
});

/** A handler of `owner` begins: until it returns, with all its ticks, `owner` holds the cork. */
export function holdCork(owner: object): void {
  holder = owner;
  awaitTurnEnd();
}

/** Whether writes of `owner` are collected into one now. */
export function mayCork(owner: object): boolean {
  return holder === null || holder === owner || isExiting();
}

/** Whether `owner` may be the one whose handler runs: what it sends is collected, and leaves when the handler returns. */
export function holdsCork(owner: object): boolean {
  return holder === owner;
}

/** Calls `work` once the library has written what it was given to publish in this turn. */
export function afterTurn(work: () => void): void {
  runInRoot(() => later(() => later(work))); // the first one may come before the library's own end of the turn
}

/** Calls `target.writeLate` at the end of this turn. */
export function putOff(target: Corkable): void {
  late.push(target);
  awaitTurnEnd();
}

function awaitTurnEnd(): void {
  if (isTurnEndAwaited) return;
  isTurnEndAwaited = true;
  runInRoot(requestTurnEnd);
}

function requestTurnEnd(): void {
  later(endTurn);
}

function endTurn(): void {
  isTurnEndAwaited = false;
  holder = null;
  writeLate();
}

function writeLate(): void {
  const targets = late;
  if (targets.length === 0) return;
  late = [];
  let index = 0;
  try {
    for (; index < targets.length; index++) targets[index].writeLate();
  } finally {
    if (index < targets.length) for (const target of targets.slice(index + 1)) putOff(target); // a listener threw
  }
}
