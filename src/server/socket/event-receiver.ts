// A step of the walk "a frame in": the receiving part of a socket. Packets of the client's inbound queue become events.
import createDebug from "debug";
import { UsageError } from "../../errors";
import { describePacket, PacketType } from "../../protocol/packet";
import { runInTurn } from "../../support/ask";
import { ignore } from "../../support/ignore";
import { quoted } from "../../support/log-text";
import { nextTick } from "../../support/tick";
import { runSpanned } from "../../support/channel";
import { errorCaught, eventEnd, eventStart, packetReceive, type EventMessage } from "../channels";
import { noteChange } from "../adapter/recipient-cache";
import type { AckCallback } from "./acks";
import type { ClientPort, SocketPacket } from "./client-port";
import type { DisconnectReason } from "./disconnect-reason";
import { emitLocally, listenLocally } from "../../support/lean-emitter";
import { StrictEventEmitter, type EventsMap } from "../events";
import type { Event, SocketMiddleware } from "./socket-middleware";

const debug = createDebug("socket.io:socket");

const { DISCONNECT, EVENT, ACK, BINARY_EVENT, BINARY_ACK } = PacketType;

/** Catch-all listeners in the order in which they run; null if none was ever added. */
type CatchAllListeners = ((...args: any[]) => void)[] | null;

type AnyReceiver = EventReceiver<any, any, any>;

/** The base class of `Socket`: passes events of the client to catch-all listeners, middlewares and listeners, in this order (EVT-20). */
export abstract class EventReceiver<
  ListenEvents extends EventsMap,
  EmitEvents extends EventsMap,
  ReservedEvents extends EventsMap,
> extends StrictEventEmitter<ListenEvents, EmitEvents, ReservedEvents> {
  abstract readonly id: string;
  /** @internal */ abstract readonly client: ClientPort;
  /** @internal */ _state: "joining" | "connected" | "leaving" | "left";
  /** @internal */ _acks: Map<number, AckCallback> | null;
  /** How many events of the client wait for their acknowledgement; a callback that is never called counts for ever. @internal */
  _unanswered: number;
  private _middlewares: SocketMiddleware[] | null;
  private _anyListeners: CatchAllListeners;
  /** @internal */ _anyOutgoingListeners: CatchAllListeners;

  constructor() {
    super();
    listenLocally(this, "error", ignore); // SOC-6
    this._state = "joining";
    this._acks = null;
    this._unanswered = 0;
    this._middlewares = null;
    this._anyListeners = null;
    this._anyOutgoingListeners = null;
  }

  /**
   * Adds a middleware. It runs for each event of the client, after the middlewares added earlier and before the listeners of the event.
   * @param fn  calls `next()` to accept the event or `next(error)` to drop it; may change the array that it gets
   * @returns the socket
   * @example
   * socket.use(([event], next) => {
   *   if (event === "delete" && !socket.data.isAdmin) next(new Error("not allowed"));
   *   else next();
   * });
   */
  use(fn: SocketMiddleware): this {
    if (typeof fn !== "function") throw new UsageError("RC_ERR_ARGUMENT", `socket.use: expected a function, met ${typeof fn}`);
    this.fns.push(fn);
    return this;
  }

  /**
   * Adds a catch-all listener. It is called for each event of the client, with the name and the arguments of the event.
   * @returns the socket
   * @example
   * socket.onAny((event, ...args) => console.log(event, args));
   */
  onAny(listener: (...args: any[]) => void): this {
    this._anyListeners = withListener(this._anyListeners, listener, "last");
    return this;
  }

  /**
   * The same as `onAny`, but the listener is called before those added earlier.
   * @returns the socket
   * @example
   * socket.prependAny((event) => console.log("first", event));
   */
  prependAny(listener: (...args: any[]) => void): this {
    this._anyListeners = withListener(this._anyListeners, listener, "first");
    return this;
  }

  /**
   * Removes a catch-all listener.
   * @param listener  omitted: all of them are removed
   * @returns the socket
   * @example
   * socket.offAny(listener); // or all of them: socket.offAny()
   */
  offAny(listener?: (...args: any[]) => void): this {
    this._anyListeners = withoutListener(this._anyListeners, listener);
    return this;
  }

  /**
   * The catch-all listeners, in the order in which they run.
   * @example
   * console.log(socket.listenersAny().length);
   */
  listenersAny(): ((...args: any[]) => void)[] {
    return this._anyListeners ?? [];
  }

  /**
   * Adds a catch-all listener for outgoing events. It is called for each event sent to this client, by `socket.emit` or by a broadcast,
   * with the name and the arguments of the event.
   * @returns the socket
   * @example
   * socket.onAnyOutgoing((event, ...args) => console.log(event, args));
   */
  onAnyOutgoing(listener: (...args: any[]) => void): this {
    this._anyOutgoingListeners = withListener(this._anyOutgoingListeners, listener, "last");
    noteChange();
    return this;
  }

  /**
   * The same as `onAnyOutgoing`, but the listener is called before those added earlier.
   * @example
   * socket.prependAnyOutgoing((event) => console.log("first", event));
   */
  prependAnyOutgoing(listener: (...args: any[]) => void): this {
    this._anyOutgoingListeners = withListener(this._anyOutgoingListeners, listener, "first");
    noteChange();
    return this;
  }

  /**
   * Removes a catch-all listener for outgoing events.
   * @param listener  omitted: all of them are removed
   * @returns the socket
   * @example
   * socket.offAnyOutgoing(listener);
   */
  offAnyOutgoing(listener?: (...args: any[]) => void): this {
    this._anyOutgoingListeners = withoutListener(this._anyOutgoingListeners, listener);
    return this;
  }

  /**
   * The catch-all listeners for outgoing events, in the order in which they run.
   * @example
   * console.log(socket.listenersAnyOutgoing().length);
   */
  listenersAnyOutgoing(): ((...args: any[]) => void)[] {
    return this._anyOutgoingListeners ?? [];
  }

  /** Calls the catch-all listeners with an incoming event. @internal */
  _notifyListeners(event: readonly unknown[]): void {
    const errors = this.client.server._listenerErrors;
    if (errors === null) return callAll(this._anyListeners, this, event);
    const [name, ...args] = event as Event;
    errors.callAll(this._anyListeners?.slice() ?? [], this, { socket: this, event: name, args }, event as unknown[]);
  }

  /** Calls the catch-all listeners for outgoing events. Adapters call this method (ADP-30). @internal */
  notifyOutgoingListeners(packet: { data?: any }): void {
    callAll(this._anyOutgoingListeners, this, packet.data);
  }

  // Packets

  /** Writes a packet to the connection. @internal */
  abstract packet(packet: SocketPacket): void;

  /** Disconnects the socket. @internal */
  abstract _onclose(reason: DisconnectReason): unknown;

  /** Receives a packet of the client. Hot: once per packet. @internal */
  _onpacket(packet: SocketPacket): void {
    if (debug.enabled) debug("%s: receives %s", quoted(this.id), describePacket(packet));
    if (packetReceive.hasSubscribers) packetReceive.publish({ socket: this as never, packet });
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

  /** Receives an event. Programs replace this method to observe all events (MEM-8). @internal */
  onevent(packet: SocketPacket): void {
    let event: any[] = packet.data ?? [];
    if (packet.id !== undefined && packet.id !== null) {
      if (this.client._isEnding) return this.logUnheard(event[0]);
      event = [...event, this.ack(packet.id)];
    }
    if (this._anyListeners !== null) this._notifyListeners(event);
    this.dispatch(event as Event);
  }

  private logUnheard(name: unknown): void {
    if (debug.enabled)
      debug("%s: the event %s is dropped: it wants an answer, and the drain is about to end", quoted(this.id), quoted(name));
  }

  /** Receives an acknowledgement. Without a pending callback it is ignored (SIO-57). @internal */
  onack(packet: SocketPacket): void {
    const id = packet.id as number;
    const callback = this._acks?.get(id);
    if (typeof callback !== "function") {
      if (debug.enabled) debug("%s: nothing waits for %s", quoted(this.id), describePacket(packet));
      return;
    }
    this._acks!.delete(id);
    callback.apply(this, packet.data);
  }

  /** Receives a DISCONNECT of the client. @internal */
  ondisconnect(): void {
    this._onclose("client namespace disconnect");
  }

  /** Runs the middlewares, then the listeners of an event. @internal */
  dispatch(event: Event): void {
    const middlewares = this._middlewares;
    if (middlewares !== null && middlewares.length > 0)
      runInTurn(
        this.guarded(middlewares),
        (middleware, next) => middleware(event, next),
        (error) => {
          if (!error) return nextTick(raise, this, event);
          if (debug.enabled) debug("%s: a middleware refuses the event %s", quoted(this.id), quoted(event[0]));
          nextTick(raiseError, this, error);
        },
      );
    // With catch-all listeners in a tick of its own, so that an async context that such a listener entered holds for the event's listeners.
    else if (this._anyListeners !== null || !this.client._deferListeners(this, event)) nextTick(raise, this, event);
  }

  /** A copy of the middlewares. With `captureRejections`, a middleware that throws or rejects drops the event. */
  private guarded(middlewares: readonly SocketMiddleware[]): SocketMiddleware[] {
    const errors = this.client.server._listenerErrors;
    if (errors === null) return middlewares.slice();
    return middlewares.map((middleware) => (event, next) => {
      const [name, ...args] = event;
      errors.call(middleware, this, { socket: this, event: name, args }, [event, next]);
    });
  }

  /** Calls the listeners of an event, if the socket is still connected. Hot: once per event. @internal */
  _raise(event: Event): void {
    if (debug.enabled) this.logRaised(event[0]);
    if (this._state !== "connected") return; // SIO-58, EVT-22
    if (event[0] === "error" && this.listenerCount("error") === 0) return; // SOC-6: without a listener `emit` would throw
    if (eventStart.hasSubscribers || eventEnd.hasSubscribers || errorCaught.hasSubscribers) this.raiseObserved(event);
    else this.callListeners(event);
  }

  private raiseObserved(event: Event): void {
    const [name, ...args] = event;
    const message: EventMessage = { socket: this as never, event: name, args, error: undefined, run: null };
    eventStart.publish(message);
    try {
      runSpanned(message, () => (message.error = this.callListeners(event)));
    } catch (error) {
      message.error = error;
      const isReported = this.client.server._listenerErrors !== null; // it has published the error
      if (!isReported) errorCaught.publish({ error, socket: message.socket, event: name });
      throw error;
    } finally {
      eventEnd.publish(message);
    }
  }

  /** @returns what a listener has thrown, if `captureRejections` has caught it */
  private callListeners(event: Event): unknown {
    const errors = this.client.server._listenerErrors;
    if (errors !== null) return errors.raise(this, this, event[0], event.slice(1));
    emitLocally.apply(this, event);
    return undefined;
  }

  private logRaised(name: string): void {
    const count = this.listenerCount(name);
    const what = this._state === "connected" ? `raised, it has ${count} listener${count === 1 ? "" : "s"}` : "dropped: the socket has left";
    debug("%s: the event %s is %s", quoted(this.id), quoted(name), what);
  }

  /** Calls the listeners of an event that the server itself raises: `disconnecting`, `disconnect`, `error`. @internal */
  _raiseOwn(event: string, ...args: any[]): void {
    const errors = this.client.server._listenerErrors;
    if (errors === null) emitLocally.call(this, event, ...args);
    else errors.raise(this, this, event, args);
  }

  /** Calls the listeners of `error`, if there are any (SOC-6). @internal */
  _onerror(error: Error): void {
    if (this.listenerCount("error") > 0) this._raiseOwn("error", error);
  }

  /** @internal */
  _forgetAck(id: number): void {
    this._acks?.delete(id);
  }

  /** Gives the function that acknowledges packet `id`, once. A call whose values cannot be encoded doesn't count (ROB-310). @internal */
  ack(id: number): (...args: any[]) => void {
    let isSent = false;
    this._unanswered++;
    return (...args) => {
      if (isSent) return;
      isSent = true; // before encoding, since a `toJSON` may call this function again
      this._unanswered--;
      try {
        if (this._state !== "left") this.packet({ type: ACK, data: args, id }); // ACK-6
      } catch (error) {
        isSent = false;
        this._unanswered++;
        throw error;
      }
    };
  }

  /** Callbacks of pending acknowledgements by packet id. Adapters add theirs (MEM-4). @internal */
  get acks(): Map<number, AckCallback> {
    return (this._acks ??= new Map());
  }

  /** The middlewares, in order (MEM-8). @internal */
  get fns(): SocketMiddleware[] {
    return (this._middlewares ??= []);
  }

  set fns(value: SocketMiddleware[]) {
    this._middlewares = value;
  }
}

function raise(socket: AnyReceiver, event: Event): void {
  socket._raise(event);
}

function raiseError(socket: AnyReceiver, error: Error): void {
  socket._onerror(error);
}

/** Adds a listener at the end or the start of the list. The list is changed in place, since `listenersAny()` gives it out (ANY-1). */
function withListener(listeners: CatchAllListeners, listener: (...args: any[]) => void, place: "first" | "last"): CatchAllListeners {
  if (typeof listener !== "function") throw new UsageError("RC_ERR_ARGUMENT", `expected a listener, met ${typeof listener}`);
  if (listeners === null) return [listener];
  if (place === "first") listeners.unshift(listener);
  else listeners.push(listener);
  return listeners;
}

/** Removes the first listener identical to `listener`; without `listener`, all. */
function withoutListener(listeners: CatchAllListeners, listener: ((...args: any[]) => void) | undefined): CatchAllListeners {
  if (listeners === null || listener === undefined) return null;
  const at = listeners.indexOf(listener);
  if (at !== -1) listeners.splice(at, 1);
  return listeners;
}

/** Calls each listener. Listeners that they add or remove have no effect on this event (ANY-6). */
function callAll(listeners: CatchAllListeners, emitter: object, event: readonly unknown[]): void {
  if (listeners === null || listeners.length === 0) return;
  for (const listener of listeners.slice()) listener.apply(emitter, event as unknown[]);
}
