import type { EventEmitter } from "node:events";
import { emitLocally } from "./emit-locally";
import type { Server } from "./server";
import type { Socket } from "./socket";

/** Where an error of user code was met. */
export interface ListenerErrorContext {
  /** The socket whose event it was. */
  socket: Socket<any, any, any, any>;
  /** The event; for the callback of an acknowledgement the event that was emitted. */
  event: string;
  /** What the listener got; of an event that asks for an answer the last one is the function that answers. */
  args: any[];
}

type UserFunction = (...args: any[]) => unknown;

/** The option `captureRejections`: what listeners throw, or reject with, becomes the event `listener_error` of the server. */
export class ListenerErrors {
  private readonly server: Server<any, any, any, any>;

  constructor(server: Server<any, any, any, any>) {
    this.server = server;
  }

  /** Raises an event: each listener has its turn, whatever those before it did. */
  raise(emitter: EventEmitter, socket: Socket<any, any, any, any>, event: string, args: any[]): void {
    this.callAll(emitter.rawListeners(event) as UserFunction[], emitter, { socket, event, args }, args);
  }

  /** Calls functions with `args`. */
  callAll(functions: readonly UserFunction[], thisArg: unknown, context: ListenerErrorContext, args: any[]): void {
    for (const fn of functions) this.call(fn, thisArg, context, args);
  }

  /** The callback of an acknowledgement, guarded. */
  guard(callback: UserFunction, socket: Socket<any, any, any, any>, event: string): UserFunction {
    return (...args) => this.call(callback, socket, { socket, event, args }, args);
  }

  /** Calls one function. */
  call(fn: UserFunction, thisArg: unknown, context: ListenerErrorContext, args: any[]): void {
    let result: unknown;
    try {
      result = fn.apply(thisArg, args);
    } catch (error) {
      return this.report(error, context);
    }
    const promise = result as PromiseLike<unknown> | undefined | null;
    if (typeof promise?.then === "function") promise.then(undefined, (error: unknown) => this.report(error, context));
  }

  /** Without a listener the error goes where Node would have sent it. */
  private report(error: unknown, context: ListenerErrorContext): void {
    const { sockets } = this.server;
    if (sockets.listenerCount("listener_error") === 0) throw error;
    emitLocally.call(sockets, "listener_error", error, context);
  }
}
