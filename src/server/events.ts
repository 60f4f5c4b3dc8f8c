import type { EventEmitter } from "node:events";
import { LeanEmitter } from "../support/lean-emitter";

/*
 * Event maps: the types that let users describe, once, which events travel in which direction.
 *
 * A map has event names as keys and listener signatures as values. An acknowledgement is a callback in last place.
 * Whether `emit` sees the callback as written, with a leading error (time-out) or with a list of answers (broadcast)
 * is decided by mapping the map, below.
 */

/** Event names to listener signatures. */
export interface EventsMap {
  [event: string]: any;
}

/** The map used when none is given: every name, any arguments. */
export interface DefaultEventsMap {
  [event: string]: (...args: any[]) => void;
}

/** The map of nothing. */
type NoEvents = Record<never, never>;

/** The names of a map. */
export type EventNames<Map extends EventsMap> = keyof Map & (string | symbol);

/** The arguments of one event, acknowledgement included. */
export type EventParams<Map extends EventsMap, Ev extends EventNames<Map>> = Parameters<Map[Ev]>;

/** The names whose listeners get an acknowledgement; every name of an untyped map. */
export type EventNamesWithAck<Map extends EventsMap, K extends EventNames<Map> = EventNames<Map>> = K extends unknown
  ? AckKind<Map[K]> extends "untyped" | "ack"
    ? K
    : never
  : never;

/** The names whose listeners get no acknowledgement; every name of an untyped map. */
export type EventNamesWithoutAck<Map extends EventsMap, K extends EventNames<Map> = EventNames<Map>> = K extends unknown
  ? AckKind<Map[K]> extends "untyped" | "none"
    ? K
    : never
  : never;

/** The names whose acknowledgement starts with an error, that is, those emitted under a time-out. */
export type EventNamesWithError<Map extends EventsMap, K extends EventNamesWithAck<Map> = EventNamesWithAck<Map>> = K extends unknown
  ? AckKind<Map[K]> extends "untyped"
    ? K
    : FirstArg<Last<Parameters<Map[K]>>> extends Error
      ? K
      : never
  : never;

/** The map without the events that expect an acknowledgement. */
export type RemoveAcknowledgements<E extends EventsMap> = { [K in EventNamesWithoutAck<E>]: E[K] };

/** The names of either map. */
export type ReservedOrUserEventNames<ReservedEvents extends EventsMap, UserEvents extends EventsMap> =
  EventNames<ReservedEvents> | EventNames<UserEvents>;

/** The listener of an event of either map; the reserved one wins. */
export type ReservedOrUserListener<
  ReservedEvents extends EventsMap,
  UserEvents extends EventsMap,
  Ev extends ReservedOrUserEventNames<ReservedEvents, UserEvents>,
> = ListenerOrUntyped<
  Ev extends EventNames<ReservedEvents> ? ReservedEvents[Ev] : Ev extends EventNames<UserEvents> ? UserEvents[Ev] : never
>;

/** What broadcasts offer without being emitters. */
export interface TypedEventBroadcaster<EmitEvents extends EventsMap> {
  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean;
}

/**
 * Typed face of an emitter: what may be listened to and what may be emitted are two different maps, and the reserved
 * events can be listened to only.
 *
 * Only types: at run time the class is `LeanEmitter`, so that nothing stands between a caller and Node's own methods.
 */
export interface StrictEventEmitter<
  ListenEvents extends EventsMap,
  EmitEvents extends EventsMap,
  ReservedEvents extends EventsMap = NoEvents,
>
  extends EventEmitter, TypedEventBroadcaster<EmitEvents> {
  on<Ev extends ReservedOrUserEventNames<ReservedEvents, ListenEvents>>(
    ev: Ev,
    listener: ReservedOrUserListener<ReservedEvents, ListenEvents, Ev>,
  ): this;
  once<Ev extends ReservedOrUserEventNames<ReservedEvents, ListenEvents>>(
    ev: Ev,
    listener: ReservedOrUserListener<ReservedEvents, ListenEvents, Ev>,
  ): this;
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

// Acknowledgements, as their senders see them

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

/** Arguments whose callbacks get a list of first values, after the error if there is one; further values are dropped. */
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

/** `[a: A, b: B]` to `[a: A[]]`; the label is kept. */
type FirstAsList<T extends any[]> = T extends [any, ...infer Rest]
  ? T extends [...infer First, ...Rest]
    ? { [K in keyof First]: First[K][] }
    : never
  : T;

// Single types

type IsAny<T> = 0 extends 1 & T ? true : false;

/** Whether a listener's last argument is a callback, isn't, or cannot be known because something is `any`. */
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

/** A name that is looked up while the maps are still generic gives `never`; any listener is accepted then. */
type ListenerOrUntyped<T> = [T] extends [never] ? (...args: any[]) => void | Promise<void> : T;
