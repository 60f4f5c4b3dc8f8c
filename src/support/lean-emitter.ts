import { EventEmitter } from "node:events";

/**
 * An `EventEmitter` that allocates its listener table at the first `on` instead of in the constructor.
 *
 * Same prototype chain, same behaviour: Node's methods treat an `undefined` table as empty
 * (see "events" in the Node documentation). It saves about 250 bytes for each object nobody listens to.
 */
function LeanEmitterConstructor(this: Record<string, unknown>): void {
  this["_events"] = undefined;
  this["_eventsCount"] = 0;
  this["_maxListeners"] = undefined;
}
LeanEmitterConstructor.prototype = Object.create(EventEmitter.prototype, {
  constructor: { value: LeanEmitterConstructor, writable: true, configurable: true },
});
Object.setPrototypeOf(LeanEmitterConstructor, EventEmitter);

/** The class behind every hot object that users may listen to. */
export const LeanEmitter = LeanEmitterConstructor as unknown as new () => EventEmitter;
export type LeanEmitter = EventEmitter;

/** True when `emitter` has a listener for `event`; costs one property read on an emitter without listeners. */
export function hasListeners(emitter: EventEmitter, event: string): boolean {
  const table = (emitter as unknown as { _events?: Record<string, unknown> })._events;
  return table !== undefined && table[event] !== undefined;
}

/** True when `emitter` has a listener for any event. */
export function hasAnyListener(emitter: EventEmitter): boolean {
  return (emitter as unknown as { _eventsCount: number })._eventsCount > 0;
}
