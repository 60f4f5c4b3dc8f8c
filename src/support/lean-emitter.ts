// An `EventEmitter` that takes no memory for listeners until there is one, and events without overridden methods.
import { EventEmitter } from "node:events";
import { LeanEventEmitter } from "./node-internals";

/** The base class of objects that exist per connection or socket and that users may listen to; no empty table of listeners where possible. */
export const LeanEmitter: new () => EventEmitter = LeanEventEmitter ?? EventEmitter;
export type LeanEmitter = EventEmitter;

/** Whether `emitter` has a listener for `event`. */
export function hasListeners(emitter: EventEmitter, event: string): boolean {
  return emitter.listenerCount(event) > 0;
}

/** Adds a listener without a call of the object's own `on`, which tools replace on the prototype of its class. */
export function listenLocally(emitter: EventEmitter, event: string, listener: () => void): void {
  EventEmitter.prototype.on.call(emitter, event, listener);
}

/** Calls the listeners of an event on this server: Node's `emit`, for classes whose own `emit` sends to clients. */
export const emitLocally: (this: object, event: string, ...args: unknown[]) => boolean = Reflect.get(EventEmitter.prototype, "emit");
