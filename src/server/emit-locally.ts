import { EventEmitter } from "node:events";

/** Raises an event for the listeners on this side: `emit` as Node has it, where the class's own `emit` sends to clients. */
export const emitLocally: (this: object, event: string, ...args: any[]) => boolean = Reflect.get(EventEmitter.prototype, "emit");
