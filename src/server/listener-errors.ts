// The option `captureRejections`: errors of listeners become the event `listener_error` of the server.
import type { EventEmitter } from "node:events";
import { emitLocally } from "../support/lean-emitter";
import { errorCaught, type ServerChannels } from "./channels";

/** Where a listener failed; the public type is `ListenerErrorContext` of `namespace.ts`. */
interface Context {
  readonly socket: object;
  readonly event: string;
  readonly args: any[];
}

type AnySocket = ServerChannels["roomcast:error"]["socket"];
type UserFunction = (...args: any[]) => unknown;

/** Calls listeners and other functions of the application; emits `listener_error` when one throws or rejects. */
export class ListenerErrors {
  private readonly server: { readonly sockets: EventEmitter };

  /** @param server  its main namespace emits `listener_error` */
  constructor(server: { readonly sockets: EventEmitter }) {
    this.server = server;
  }

  /** Calls the listeners of an event: all of them, even if an earlier one throws. @returns what the first one has thrown, else undefined */
  raise(emitter: EventEmitter, socket: object, event: string, args: any[]): unknown {
    return this.callAll(emitter.rawListeners(event) as UserFunction[], emitter, { socket, event, args }, args);
  }

  /** Calls all functions with `args`. @returns what the first one has thrown, else undefined */
  callAll(functions: readonly UserFunction[], thisArg: unknown, context: Context, args: any[]): unknown {
    let first: unknown;
    for (const fn of functions) {
      const thrown = this.call(fn, thisArg, context, args);
      first ??= thrown;
    }
    return first;
  }

  /** Gives the callback of an acknowledgement with its errors captured. */
  guard(callback: UserFunction, socket: object, event: string): UserFunction {
    return (...args) => void this.call(callback, socket, { socket, event, args }, args);
  }

  /** Calls one function with `args`. @returns what it has thrown, else undefined */
  call(fn: UserFunction, thisArg: unknown, context: Context, args: any[]): unknown {
    let result: unknown;
    try {
      result = fn.apply(thisArg, args);
    } catch (error) {
      this.report(error, context);
      return error;
    }
    const promise = result as PromiseLike<unknown> | undefined | null;
    if (typeof promise?.then === "function") promise.then(undefined, (error: unknown) => this.report(error, context));
    return undefined;
  }

  /** Emits `listener_error`. Without a listener for it, the error is thrown: Node reports it as uncaught. */
  private report(error: unknown, context: Context): void {
    const { sockets } = this.server;
    if (errorCaught.hasSubscribers) errorCaught.publish({ error, socket: context.socket as AnySocket, event: context.event });
    if (sockets.listenerCount("listener_error") === 0) throw error;
    emitLocally.call(sockets, "listener_error", error, context);
  }
}
