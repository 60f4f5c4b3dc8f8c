import { EventEmitter } from "node:events";
import createDebug from "debug";
import { UsageError } from "../errors";
import type { Adapter, Room, SocketId } from "./adapter";
import { answersAsPromise } from "./acks";
import { BroadcastOperator } from "./broadcast";
import type { DisconnectReason } from "./disconnect-reason";
import {
  StrictEventEmitter,
  type AllButLast,
  type DecorateAcknowledgements,
  type DecorateAcknowledgementsWithMultipleResponses,
  type DecorateAcknowledgementsWithTimeoutAndMultipleResponses,
  type DefaultEventsMap,
  type EventNames,
  type EventNamesWithAck,
  type EventNamesWithoutAck,
  type EventParams,
  type EventsMap,
  type FirstNonErrorArg,
  type Last,
  type RemoveAcknowledgements,
} from "./events";
import { createAdapter } from "./adapter-factory";
import type { ParentNamespace } from "./dynamic-namespace";
import type { RemoteSocket } from "./remote-socket";
import { forEachInTurn } from "./each-in-turn";
import { reservedEventError, SERVER_RESERVED_EVENTS } from "./reserved-events";
import type { Server } from "./server";
import type { Socket } from "./socket";

const debug = createDebug("socket.io:namespace");
const emitLocally = EventEmitter.prototype.emit;

/** An error of a middleware; `data` travels to the client together with `message`. */
export interface ExtendedError extends Error {
  data?: any;
}

/** Events of a namespace that the server itself raises. */
export interface NamespaceReservedEventsMap<
  ListenEvents extends EventsMap,
  EmitEvents extends EventsMap,
  ServerSideEvents extends EventsMap,
  SocketData,
> {
  connect: (socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) => void;
  connection: (socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) => void;
}

/** The same for the server, that is, for its main namespace. */
export interface ServerReservedEventsMap<
  ListenEvents extends EventsMap,
  EmitEvents extends EventsMap,
  ServerSideEvents extends EventsMap,
  SocketData,
> extends NamespaceReservedEventsMap<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
  new_namespace: (namespace: Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) => void;
}

/** Judges a socket that asks to join: `next()` lets it pass, `next(error)` refuses it. */
export type NamespaceMiddleware<
  ListenEvents extends EventsMap,
  EmitEvents extends EventsMap,
  ServerSideEvents extends EventsMap,
  SocketData,
> = (
  socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>,
  next: (err?: ExtendedError) => void,
) => void;

/**
 * A channel of its own over the shared connections: own sockets, rooms, middlewares and listeners.
 *
 * Events: `connect(socket)` and `connection(socket)` for each socket that has joined; any other name is an event of
 * another server (`serverSideEmit`). `emit` does not raise events here: it sends them to the clients.
 */
export class Namespace<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> extends StrictEventEmitter<
  ServerSideEvents,
  RemoveAcknowledgements<EmitEvents>,
  NamespaceReservedEventsMap<ListenEvents, EmitEvents, ServerSideEvents, SocketData>
> {
  /** Name, with its leading slash. */
  readonly name: string;
  /** Connected sockets of this server, by id. */
  readonly sockets: Map<SocketId, Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>;
  /** What spreads this namespace's broadcasts. */
  adapter!: Adapter;
  /** The server it belongs to. */
  readonly server: Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>;
  /** @internal Sockets still in the middlewares, by id. */
  readonly _preConnectSockets: Map<SocketId, Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>;
  /** @internal Middlewares, in order. */
  _fns: NamespaceMiddleware<ListenEvents, EmitEvents, ServerSideEvents, SocketData>[];
  /** @internal Next acknowledgement id; adapters read and increase it. */
  _ids: number;
  /** @internal Clients about to join; from the moment the namespace was found to the moment the client is in or refused. */
  _admissions: number;
  /** @internal The pattern that opened it on demand, if one did. */
  _parent: ParentNamespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> | null;

  /** For `io.of()`. */
  constructor(server: Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>, name: string) {
    super();
    this.name = name;
    this.sockets = new Map();
    this.server = server;
    this._preConnectSockets = new Map();
    this._fns = [];
    this._ids = 0;
    this._admissions = 0;
    this._parent = null;
    this._initAdapter();
  }

  /** Makes the adapter, or replaces it: sockets that are connected take their rooms along. @internal */
  _initAdapter(): void {
    const replaced = this.adapter as Adapter | undefined;
    this.adapter = createAdapter(this.server._adapterFactory, this);
    const begun = this.adapter.init() as Promise<void> | undefined;
    begun?.then?.(undefined, (error) => debug("the adapter of %s failed to start: %o", this.name, error));
    if (replaced === undefined) return;
    for (const sockets of [this.sockets, this._preConnectSockets]) {
      for (const id of sockets.keys()) {
        const rooms = replaced.socketRooms(id);
        if (rooms !== undefined) void this.adapter.addAll(id, new Set(rooms));
      }
    }
    void Promise.resolve(replaced.close()).catch((error) => debug("the replaced adapter of %s failed to close: %o", this.name, error));
  }

  // Clients come

  /**
   * Adds a middleware: it runs once for each socket that asks to join, after those added before.
   * @param fn  calls `next()` or `next(error)`; what it throws, or rejects with, refuses the socket as well, with a process warning
   * @returns the namespace
   */
  use(fn: NamespaceMiddleware<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): this {
    if (typeof fn !== "function") throw new UsageError("RC_ERR_ARGUMENT", `namespace.use: expected a function, met ${typeof fn}`);
    this._fns.push(fn);
    return this;
  }

  /** Announces a socket that has joined. @internal */
  _announce(socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): void {
    emitLocally.call(this, "connect", socket);
    emitLocally.call(this, "connection", socket);
  }

  /** Announces, as the main namespace, another one. @internal */
  _announceNamespace(nsp: Namespace<any, any, any, any>): void {
    emitLocally.call(this, "new_namespace", nsp);
  }

  /** Ends every connected socket; an error of a listener doesn't keep the others from their end. @internal */
  _closeSockets(reason: DisconnectReason): void {
    forEachInTurn([...this.sockets.values()], (socket) => socket._onclose(reason));
  }

  /** Sends every client away. @internal */
  _evict(): void {
    forEachInTurn([...this.sockets.values()], (socket) => socket.disconnect());
  }

  /** Forgets a socket. @internal */
  _remove(socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): void {
    const { id } = socket;
    if (this.sockets.get(id) === socket) this.sockets.delete(id);
    else if (this._preConnectSockets.get(id) === socket) this._preConnectSockets.delete(id);
    this._removeIfEmpty();
  }

  /** Takes the namespace down if it was opened on demand and nobody is there or on the way. @internal */
  _removeIfEmpty(): void {
    if (this._parent === null || this.sockets.size > 0 || this._admissions > 0) return;
    if (this.server._opts.cleanupEmptyChildNamespaces !== true) return;
    debug("nobody is left in %s", this.name);
    this._close().catch((error) => debug("the adapter of %s failed to close: %o", this.name, error));
  }

  /** Takes the namespace off the server, and closes its adapter. @internal */
  async _close(): Promise<void> {
    this._parent?._children.delete(this);
    if (this.server._nsps.get(this.name) === this) this.server._nsps.delete(this.name);
    await this.adapter.close();
  }

  // Broadcasts

  /**
   * Adds rooms to the target of an event.
   * @param room  a room or an array of rooms
   * @returns a new target
   */
  to(room: Room | Room[]): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return this._target().to(room);
  }

  /** Same as `to`. */
  in(room: Room | Room[]): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return this._target().to(room);
  }

  /**
   * Targets everybody but those in one of these rooms.
   * @param room  a room or an array of rooms
   * @returns a new target
   */
  except(room: Room | Room[]): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return this._target().except(room);
  }

  /**
   * Tells transports that negotiated compression whether to use it for the event. Default `true`.
   * @returns a new target
   */
  compress(compress: boolean): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return this._target().compress(compress);
  }

  /** A target for events that may get lost: whoever cannot take one right now doesn't get it. */
  get volatile(): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return this._target().volatile;
  }

  /** A target without the sockets of other servers. */
  get local(): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return this._target().local;
  }

  /**
   * Limits the time that clients have for their answers.
   * @param timeout  milliseconds
   * @returns a new target
   */
  timeout(
    timeout: number,
  ): BroadcastOperator<DecorateAcknowledgements<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>>, SocketData> {
    return this._target().timeout(timeout);
  }

  /**
   * Sends an event to every connected socket of the namespace, on all servers.
   * @returns true
   * @throws  UsageError RC_ERR_RESERVED_EVENT
   */
  override emit<Ev extends EventNamesWithoutAck<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean;
  override emit(...data: any[]): boolean {
    return (this._target() as Target).emit(...data);
  }

  /**
   * Sends an event to every connected socket of the namespace and gives their answers.
   * @returns the first value of each answer, once all have answered; there is no limit without `timeout()`
   */
  emitWithAck<Ev extends EventNamesWithAck<EmitEvents>>(
    ev: Ev,
    ...args: AllButLast<EventParams<EmitEvents, Ev>>
  ): Promise<FirstNonErrorArg<Last<EventParams<EmitEvents, Ev>>>[]>;
  emitWithAck(...data: any[]): Promise<any> {
    return (this._target() as Target).emitWithAck(...data);
  }

  /**
   * Sends an event named `message`.
   * @returns the namespace
   */
  send(...args: EventParams<EmitEvents, "message">): this {
    (this.emit as Emit).call(this, "message", ...args);
    return this;
  }

  /** Same as `send`. */
  write(...args: EventParams<EmitEvents, "message">): this {
    (this.emit as Emit).call(this, "message", ...args);
    return this;
  }

  // Other servers

  /**
   * Sends an event to the same namespace of the other servers, which meet it as `namespace.on(ev, …)`.
   *
   * A callback in last place gets `(err, responses)`, with the first value of each server's answer.
   * @returns true
   * @throws  UsageError RC_ERR_RESERVED_EVENT on `connect`, `connection`, `new_namespace`
   */
  serverSideEmit<Ev extends EventNames<ServerSideEvents>>(
    ev: Ev,
    ...args: EventParams<DecorateAcknowledgementsWithTimeoutAndMultipleResponses<ServerSideEvents>, Ev>
  ): boolean;
  serverSideEmit(...data: any[]): boolean {
    if (SERVER_RESERVED_EVENTS.has(data[0])) throw reservedEventError(data[0]);
    void this.adapter.serverSideEmit(data);
    return true;
  }

  /**
   * Sends an event to the same namespace of the other servers and gives their answers.
   * @returns the first value of each answer; rejects when an answer is late, with what came until then as `responses`
   */
  serverSideEmitWithAck<Ev extends EventNamesWithAck<ServerSideEvents>>(
    ev: Ev,
    ...args: AllButLast<EventParams<ServerSideEvents, Ev>>
  ): Promise<FirstNonErrorArg<Last<EventParams<ServerSideEvents, Ev>>>[]>;
  serverSideEmitWithAck(...data: any[]): Promise<any> {
    return answersAsPromise((callback) => {
      (this.serverSideEmit as Emit).call(this, ...data, callback);
    });
  }

  /** Raises an event of another server here. What only this server may raise is ignored. @internal */
  _onServerSideEmit(args: [string, ...any[]]): void {
    const [event] = args;
    if (SERVER_RESERVED_EVENTS.has(event)) return;
    if (event === "error" && this.listenerCount("error") === 0) return; // a peer must not be able to throw here
    emitLocally.apply(this, args);
  }

  // Sockets

  /**
   * Gives the ids of all sockets of the namespace, on all servers.
   * @deprecated use `fetchSockets()`
   */
  allSockets(): Promise<Set<SocketId>> {
    return this._target().allSockets();
  }

  /** Gives all sockets of the namespace: those of this server themselves, those of others as `RemoteSocket`. */
  fetchSockets(): Promise<RemoteSocket<EmitEvents, SocketData>[]> {
    return this._target().fetchSockets() as Promise<RemoteSocket<any, SocketData>[]>;
  }

  /**
   * Makes all sockets of the namespace join rooms.
   * @param room  a room or an array of rooms
   */
  socketsJoin(room: Room | Room[]): void {
    this._target().socketsJoin(room);
  }

  /**
   * Makes all sockets of the namespace leave rooms.
   * @param room  a room or an array of rooms
   */
  socketsLeave(room: Room | Room[]): void {
    this._target().socketsLeave(room);
  }

  /**
   * Disconnects all sockets of the namespace.
   * @param close  whether their connections are closed as well
   */
  disconnectSockets(close: boolean = false): void {
    this._target().disconnectSockets(close);
  }

  /** Everybody. */
  private _target(): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return new BroadcastOperator(this.adapter);
  }
}

/** `emit` without event maps, as it is at run time. */
type Emit = (...data: any[]) => boolean;
interface Target {
  emit(...data: any[]): boolean;
  emitWithAck(...data: any[]): Promise<any>;
}
