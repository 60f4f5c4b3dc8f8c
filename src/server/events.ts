// Event maps: types by which programs declare the events of each direction, and the typed event emitter.
import type { EventEmitter } from "node:events";
import { LeanEmitter } from "../support/lean-emitter";

/*
 * A map has event names as keys and listener signatures as values. An acknowledgement is a callback as last parameter. The types below
 * change the callback for `emit`: with a time-out it gets a leading error, in a broadcast an array of responses.
 */

/** Event names to listener signatures. */
export interface EventsMap {
  [event: string]: any;
}

/** The map used when none is given: every name, any arguments. */
export interface DefaultEventsMap {
  [event: string]: (...args: any[]) => void;
}

/** The map without events. */
type NoEvents = Record<never, never>;

/** The event names of a map. */
export type EventNames<Map extends EventsMap> = keyof Map & (string | symbol);

/** The arguments of one event, acknowledgement included. */
export type EventParams<Map extends EventsMap, Ev extends EventNames<Map>> = Parameters<Map[Ev]>;

/** The names of events with an acknowledgement; all names of an untyped map. */
export type EventNamesWithAck<Map extends EventsMap, K extends EventNames<Map> = EventNames<Map>> = K extends unknown
  ? AckKind<Map[K]> extends "untyped" | "ack"
    ? K
    : never
  : never;

/** The names of events without an acknowledgement; all names of an untyped map. */
export type EventNamesWithoutAck<Map extends EventsMap, K extends EventNames<Map> = EventNames<Map>> = K extends unknown
  ? AckKind<Map[K]> extends "untyped" | "none"
    ? K
    : never
  : never;

/** The names of events whose acknowledgement starts with an error, that is, of those emitted with a time-out. */
export type EventNamesWithError<Map extends EventsMap, K extends EventNamesWithAck<Map> = EventNamesWithAck<Map>> = K extends unknown
  ? AckKind<Map[K]> extends "untyped"
    ? K
    : FirstArg<Last<Parameters<Map[K]>>> extends Error
      ? K
      : never
  : never;

/** The map without the events that expect an acknowledgement. */
export type RemoveAcknowledgements<E extends EventsMap> = { [K in EventNamesWithoutAck<E>]: E[K] };

/** The event names of both maps. */
export type ReservedOrUserEventNames<ReservedEvents extends EventsMap, UserEvents extends EventsMap> =
  EventNames<ReservedEvents> | EventNames<UserEvents>;

/** The listener of an event of one of the maps. If both have the event, the type of the reserved map is used. */
export type ReservedOrUserListener<
  ReservedEvents extends EventsMap,
  UserEvents extends EventsMap,
  Ev extends ReservedOrUserEventNames<ReservedEvents, UserEvents>,
> = ListenerOrUntyped<
  Ev extends EventNames<ReservedEvents> ? ReservedEvents[Ev] : Ev extends EventNames<UserEvents> ? UserEvents[Ev] : never
>;

/** An object that sends events but has no listeners, such as a broadcast target. */
export interface TypedEventBroadcaster<EmitEvents extends EventsMap> {
  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean;
}

/**
 * A typed event emitter: one map has the events for listeners, another the events that can be emitted. Reserved events are for listeners
 * only.
 *
 * These are types only: at run time the class is `LeanEmitter`, so that callers use the methods of Node's emitter directly.
 */
export interface StrictEventEmitter<
  ListenEvents extends EventsMap,
  EmitEvents extends EventsMap,
  ReservedEvents extends EventsMap = NoEvents,
>
  extends EventEmitter, TypedEventBroadcaster<EmitEvents> {
  /**
   * Adds a listener for an event that is received, or that the server itself emits.
   * @example
   * io.on("connection", (socket) => {
   *   socket.on("hello", (name, answer) => answer?.(`hello ${name}`));
   * });
   */
  on<Ev extends ReservedOrUserEventNames<ReservedEvents, ListenEvents>>(
    ev: Ev,
    listener: ReservedOrUserListener<ReservedEvents, ListenEvents, Ev>,
  ): this;
  /**
   * Adds a listener that is removed after its first call.
   * @example
   * socket.once("ready", () => console.log("ready"));
   */
  once<Ev extends ReservedOrUserEventNames<ReservedEvents, ListenEvents>>(
    ev: Ev,
    listener: ReservedOrUserListener<ReservedEvents, ListenEvents, Ev>,
  ): this;
  /**
   * Sends an event. A server sends it to all clients of its main namespace, on all servers. Listeners of this object are not called.
   * @returns true
   * @throws  UsageError RC_ERR_RESERVED_EVENT, RC_ERR_EVENT_NAME; EncodingError RC_ERR_ENCODING
   * @example
   * io.emit("news", { title: "hello" });
   */
  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean;
  listeners<Ev extends ReservedOrUserEventNames<ReservedEvents, ListenEvents>>(
    event: Ev,
  ): ReservedOrUserListener<ReservedEvents, ListenEvents, Ev>[];
}

export const StrictEventEmitter = LeanEmitter as unknown as new <
  ListenEvents extends EventsMap,
  EmitEvents extends EventsMap,
  ReservedEvents extends EventsMap = NoEvents,
>() => StrictEventEmitter<ListenEvents, EmitEvents, ReservedEvents>;

// The types of acknowledgements for the code that emits

/** The map with an error put before the values of every acknowledgement: the map after `timeout()`. */
export type DecorateAcknowledgements<E> = {
  [K in keyof E]: E[K] extends (...args: infer Params) => infer Result ? (...args: PrependTimeoutError<Params>) => Result : E[K];
};

/** The map with the first value of every acknowledgement turned into a list: the map of a broadcast. */
export type DecorateAcknowledgementsWithMultipleResponses<E> = {
  [K in keyof E]: E[K] extends (...args: infer Params) => infer Result ? (...args: ExpectMultipleResponses<Params>) => Result : E[K];
};

/** Both: the map of a broadcast after `timeout()`, and of `serverSideEmit`, which always has a time-out. */
export type DecorateAcknowledgementsWithTimeoutAndMultipleResponses<E> = {
  [K in keyof E]: E[K] extends (...args: infer Params) => infer Result
    ? (...args: ExpectMultipleResponses<PrependTimeoutError<Params>>) => Result
    : E[K];
};

/** Arguments whose callbacks get a leading error, unless they have one already. */
export type PrependTimeoutError<T extends any[]> = {
  [K in keyof T]: T[K] extends (...args: infer Params) => infer Result
    ? Params[0] extends Error
      ? T[K]
      : (err: Error, ...args: Params) => Result
    : T[K];
};

/** Arguments whose callbacks get an array of first values, after the error if there is one. Further values are dropped. */
export type ExpectMultipleResponses<T extends any[]> = {
  [K in keyof T]: T[K] extends (...args: infer Params) => infer Result
    ? Params extends []
      ? () => Result
      : Params extends [Error]
        ? (err: Error) => Result
        : Params extends [Error, ...infer Values]
          ? (err: Error, ...args: FirstAsList<Values>) => Result
          : (...args: FirstAsList<Params>) => Result
    : T[K];
};

// Tuples

/** The last element of a tuple; the element type of a plain array. */
export type Last<T extends readonly unknown[]> = T extends readonly [infer Only]
  ? Only
  : T extends readonly [unknown, ...infer Rest]
    ? Last<Rest>
    : T extends readonly (infer Element)[]
      ? Element
      : never;

/** A tuple without its last element. */
export type AllButLast<T extends any[]> = T extends [...infer Head, any] ? Head : any[];

/** The first argument of a function. */
export type FirstArg<T> = T extends (...args: infer Params) => any ? Params[0] : never;

/** The first element that isn't a leading error. */
export type FirstNonErrorTuple<T extends unknown[]> = T[0] extends Error ? T[1] : T[0];

/** The first argument of a function that isn't a leading error: what `emitWithAck` resolves with. */
export type FirstNonErrorArg<T> = T extends (...args: infer Params) => any ? FirstNonErrorTuple<Params> : any;

/** Turns `[a: A, b: B]` into `[a: A[]]` and keeps the label. */
type FirstAsList<T extends any[]> = T extends [any, ...infer Rest]
  ? T extends [...infer First, ...Rest]
    ? { [K in keyof First]: First[K][] }
    : never
  : T;

// Single types

type IsAny<T> = 0 extends 1 & T ? true : false;

/** Whether the last argument of a listener is a callback, is none, or is unknown because of an `any`. */
type AckKind<Listener> =
  IsAny<Listener> extends true
    ? "untyped"
    : Listener extends (...args: infer Params) => any
      ? Params extends []
        ? "none"
        : IsAny<Last<Params>> extends true
          ? "untyped"
          : Last<Params> extends (...args: any[]) => any
            ? "ack"
            : "none"
      : "none";

/** While the maps are still generic, the look-up of a name gives `never`. Then any listener is accepted. */
type ListenerOrUntyped<T> = [T] extends [never] ? (...args: any[]) => void | Promise<void> : T;
