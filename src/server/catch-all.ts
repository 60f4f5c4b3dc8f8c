import { StrictEventEmitter, type EventsMap } from "./events";

/** Listeners of every event, in the order of their turn; null until there is one. */
type CatchAllListeners = ((...args: any[]) => void)[] | null;

/** An emitter with listeners of everything: of what the client sends, and of what is sent to it. */
export class CatchAllEmitter<
  ListenEvents extends EventsMap,
  EmitEvents extends EventsMap,
  ReservedEvents extends EventsMap,
> extends StrictEventEmitter<ListenEvents, EmitEvents, ReservedEvents> {
  /** @internal */ _anyListeners: CatchAllListeners;
  /** @internal */ _anyOutgoingListeners: CatchAllListeners;

  constructor() {
    super();
    this._anyListeners = null;
    this._anyOutgoingListeners = null;
  }

  /**
   * Adds a listener of every event of the client; it gets the event's name and arguments.
   * @returns the socket
   */
  onAny(listener: (...args: any[]) => void): this {
    this._anyListeners = withListener(this._anyListeners, listener, "last");
    return this;
  }

  /** The same, in front of the others. */
  prependAny(listener: (...args: any[]) => void): this {
    this._anyListeners = withListener(this._anyListeners, listener, "first");
    return this;
  }

  /**
   * Removes a listener of every event.
   * @param listener  if left out, all of them
   * @returns the socket
   */
  offAny(listener?: (...args: any[]) => void): this {
    this._anyListeners = withoutListener(this._anyListeners, listener);
    return this;
  }

  /** The listeners of every event, in the order of their turn. */
  listenersAny(): ((...args: any[]) => void)[] {
    return this._anyListeners ?? [];
  }

  /**
   * Adds a listener of everything sent to the client, by `emit` here or by a broadcast; it gets the event's name and arguments.
   * @returns the socket
   */
  onAnyOutgoing(listener: (...args: any[]) => void): this {
    this._anyOutgoingListeners = withListener(this._anyOutgoingListeners, listener, "last");
    return this;
  }

  /** The same, in front of the others. */
  prependAnyOutgoing(listener: (...args: any[]) => void): this {
    this._anyOutgoingListeners = withListener(this._anyOutgoingListeners, listener, "first");
    return this;
  }

  /**
   * Removes a listener of everything sent.
   * @param listener  if left out, all of them
   * @returns the socket
   */
  offAnyOutgoing(listener?: (...args: any[]) => void): this {
    this._anyOutgoingListeners = withoutListener(this._anyOutgoingListeners, listener);
    return this;
  }

  /** The listeners of everything sent, in the order of their turn. */
  listenersAnyOutgoing(): ((...args: any[]) => void)[] {
    return this._anyOutgoingListeners ?? [];
  }

  /** Shows an event to the listeners of everything that comes in. @internal */
  _notifyListeners(event: readonly unknown[]): void {
    callAll(this._anyListeners, this, event);
  }

  /** Shows a packet to the listeners of everything that goes out; adapters call it. @internal */
  notifyOutgoingListeners(packet: { data?: any }): void {
    callAll(this._anyOutgoingListeners, this, packet.data);
  }
}

/** The listeners with another one behind, or in front of, the others; the list itself stays the same one. */
function withListener(listeners: CatchAllListeners, listener: (...args: any[]) => void, place: "first" | "last"): CatchAllListeners {
  if (listeners === null) return [listener];
  if (place === "first") listeners.unshift(listener);
  else listeners.push(listener);
  return listeners;
}

/** The listeners without the first one identical to `listener`, or without any when none is named. */
function withoutListener(listeners: CatchAllListeners, listener: ((...args: any[]) => void) | undefined): CatchAllListeners {
  if (listeners === null || listener === undefined) return null;
  const at = listeners.indexOf(listener);
  if (at !== -1) listeners.splice(at, 1);
  return listeners;
}

/** Calls each listener that is registered now; what they add or remove counts from the next event on. */
function callAll(listeners: CatchAllListeners, emitter: object, event: readonly unknown[]): void {
  if (listeners === null || listeners.length === 0) return;
  for (const listener of listeners.slice()) listener.apply(emitter, event as unknown[]);
}
