import { UsageError } from "../errors";
import { PacketType } from "../protocol/packet";
import { nextTick } from "../support/tick";
import { noteChange } from "./audience";
import type { AckCallback } from "./acks";
import type { Client } from "./connection";
import type { DisconnectReason } from "./disconnect-reason";
import { emitLocally } from "./emit-locally";
import { giveErrorListener, INITIAL_EVENTS } from "./error-listener";
import { StrictEventEmitter, type EventsMap } from "./events";
import { runMiddlewares, type Event, type SocketMiddleware } from "./socket-middleware";
import type { SocketPacket } from "./socket-packet";

/*
 * Walk "a frame in": gets packets from `connection.ts` and raises them as events.
 */

const { DISCONNECT, EVENT, ACK, BINARY_EVENT, BINARY_ACK } = PacketType;

/** Listeners of every event, in the order of their turn; null until there is one. */
type CatchAllListeners = ((...args: any[]) => void)[] | null;

type AnyReceiver = EventReceiver<any, any, any>;

/** The listening half of a socket: from packets to middlewares, listeners of everything, listeners. */
export abstract class EventReceiver<
  ListenEvents extends EventsMap,
  EmitEvents extends EventsMap,
  ReservedEvents extends EventsMap,
> extends StrictEventEmitter<ListenEvents, EmitEvents, ReservedEvents> {
  abstract readonly client: Client<any, any, any>;
  /** @internal */ _state: "joining" | "connected" | "leaving" | "left";
  /** @internal */ _acks: Map<number, AckCallback> | null;
  private _middlewares: SocketMiddleware[] | null;
  private _anyListeners: CatchAllListeners;
  /** @internal */ _anyOutgoingListeners: CatchAllListeners;

  constructor() {
    super();
    (this as unknown as { _eventsCount: number })._eventsCount = INITIAL_EVENTS;
    this._state = "joining";
    this._acks = null;
    this._middlewares = null;
    this._anyListeners = null;
    this._anyOutgoingListeners = null;
  }

  /**
   * Adds a middleware: it runs for each event of the client, after those added before, before the event's listeners.
   * @param fn  calls `next()` or `next(error)`; the array it gets may be changed
   * @returns the socket
   */
  use(fn: SocketMiddleware): this {
    if (typeof fn !== "function") throw new UsageError("RC_ERR_ARGUMENT", `socket.use: expected a function, met ${typeof fn}`);
    this.fns.push(fn);
    return this;
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
    noteChange();
    return this;
  }

  /** The same, in front of the others. */
  prependAnyOutgoing(listener: (...args: any[]) => void): this {
    this._anyOutgoingListeners = withListener(this._anyOutgoingListeners, listener, "first");
    noteChange();
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
    const errors = this.client.server._listenerErrors;
    if (errors === null) return callAll(this._anyListeners, this, event);
    const [name, ...args] = event as Event;
    errors.callAll(this._anyListeners?.slice() ?? [], this, { socket: this as never, event: name, args }, event as unknown[]);
  }

  /** Whether that would do anything. @internal */
  get _isHeardOutgoing(): boolean {
    return this._anyOutgoingListeners !== null || this.notifyOutgoingListeners !== EventReceiver.prototype.notifyOutgoingListeners;
  }

  /** Shows a packet to the listeners of everything that goes out; adapters call it. @internal */
  notifyOutgoingListeners(packet: { data?: any }): void {
    callAll(this._anyOutgoingListeners, this, packet.data);
  }

  // Packets

  /** Writes a packet to the connection. @internal */
  abstract packet(packet: SocketPacket): void;

  /** Ends the socket. @internal */
  abstract _onclose(reason: DisconnectReason): unknown;

  /** Takes a packet of the client. Hot: once per packet. @internal */
  _onpacket(packet: SocketPacket): void {
    switch (packet.type) {
      case EVENT:
      case BINARY_EVENT:
        this.onevent(packet);
        break;
      case ACK:
      case BINARY_ACK:
        this.onack(packet);
        break;
      case DISCONNECT:
        this.ondisconnect();
        break;
    }
  }

  /** Takes an event. Programs replace this method to see all events. @internal */
  onevent(packet: SocketPacket): void {
    let event: any[] = packet.data ?? [];
    if (packet.id !== undefined && packet.id !== null) event = [...event, this.ack(packet.id)];
    if (this._anyListeners !== null) this._notifyListeners(event);
    this.dispatch(event as Event);
  }

  /** Takes an answer; one that nobody waits for any more is ignored. @internal */
  onack(packet: SocketPacket): void {
    const id = packet.id as number;
    const callback = this._acks?.get(id);
    if (typeof callback !== "function") return;
    this._acks!.delete(id);
    callback.apply(this, packet.data);
  }

  /** Takes the client's wish to leave. @internal */
  ondisconnect(): void {
    this._onclose("client namespace disconnect");
  }

  /** Runs the middlewares, then the listeners of an event. @internal */
  dispatch(event: Event): void {
    const middlewares = this._middlewares;
    if (middlewares !== null && middlewares.length > 0)
      runMiddlewares(this.guarded(middlewares), event, (error) =>
        error ? nextTick(raiseError, this, error) : nextTick(raise, this, event),
      );
    // What a catch-all listener has set as async context holds for the event's listeners: they get a tick of their own.
    else if (this._anyListeners !== null || !this.client._raiseLater(this, event)) nextTick(raise, this, event);
  }

  /** The middlewares as they are now; with `captureRejections` one that fails drops the event. */
  private guarded(middlewares: readonly SocketMiddleware[]): SocketMiddleware[] {
    const errors = this.client.server._listenerErrors;
    if (errors === null) return middlewares.slice();
    return middlewares.map((middleware) => (event, next) => {
      const [name, ...args] = event;
      errors.call(middleware, this, { socket: this as never, event: name, args }, [event, next]);
    });
  }

  /** Runs the listeners of an event, unless the socket has gone meanwhile. Hot: once per event. @internal */
  _raise(event: Event): void {
    if (this._state !== "connected") return;
    if (event[0] === "error" && this.listenerCount("error") === 0) return; // a client must not be able to throw here
    const errors = this.client.server._listenerErrors;
    if (errors === null) emitLocally.apply(this, event);
    else errors.raise(this, this as never, event[0], event.slice(1));
  }

  /** Raises an event of this side's own. @internal */
  _raiseOwn(event: string, ...args: any[]): void {
    const errors = this.client.server._listenerErrors;
    if (errors === null) emitLocally.call(this, event, ...args);
    else errors.raise(this, this as never, event, args);
  }

  /** Raises `error`; without a listener nothing happens. @internal */
  _onerror(error: Error): void {
    if (this.listenerCount("error") > 0) this._raiseOwn("error", error);
  }

  /** @internal */
  _forgetAck(id: number): void {
    this._acks?.delete(id);
  }

  /** Gives the function that answers packet `id`, once. @internal */
  ack(id: number): (...args: any[]) => void {
    let isSent = false;
    return (...args) => {
      if (isSent) return;
      isSent = true;
      if (this._state !== "left") this.packet({ type: ACK, data: args, id });
    };
  }

  /** Callbacks that wait for answers, by packet id; adapters add theirs. @internal */
  get acks(): Map<number, AckCallback> {
    return (this._acks ??= new Map());
  }

  /** Middlewares, in order. @internal */
  get fns(): SocketMiddleware[] {
    return (this._middlewares ??= []);
  }

  set fns(value: SocketMiddleware[]) {
    this._middlewares = value;
  }
}

giveErrorListener(EventReceiver.prototype);

function raise(socket: AnyReceiver, event: Event): void {
  socket._raise(event);
}

function raiseError(socket: AnyReceiver, error: Error): void {
  socket._onerror(error);
}

/** The listeners with another one behind, or in front of, the others; the list itself stays the same one. */
function withListener(listeners: CatchAllListeners, listener: (...args: any[]) => void, place: "first" | "last"): CatchAllListeners {
  if (typeof listener !== "function") throw new UsageError("RC_ERR_ARGUMENT", `expected a listener, met ${typeof listener}`);
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
