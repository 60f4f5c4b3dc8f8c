// The methods of an event emitter on `Server`: they act on the main namespace (SRV-40).
import type { EventEmitter } from "node:events";

const EMITTER_METHODS = [
  "setMaxListeners",
  "getMaxListeners",
  "emit",
  "addListener",
  "on",
  "prependListener",
  "once",
  "prependOnceListener",
  "removeListener",
  "off",
  "removeAllListeners",
  "listeners",
  "rawListeners",
  "listenerCount",
  "eventNames",
] as const;

/** Defines the methods of an event emitter on a prototype. They give the result of the main namespace: `io.on()` returns `io.sockets`. */
export function installEmitterMethods(prototype: object): void {
  for (const method of EMITTER_METHODS) {
    Object.defineProperty(prototype, method, {
      configurable: true,
      writable: true,
      value(this: { sockets: EventEmitter }, ...args: unknown[]): unknown {
        return (this.sockets[method] as (...args: unknown[]) => unknown)(...args);
      },
    });
  }
}
