import createDebug from "debug";
import { UsageError } from "../errors";
import type { Adapter, PrivateSessionId, SocketId } from "./adapter";
import { createAdapter } from "./adapter-factory";
import { BroadcastSource } from "./broadcast-source";
import type { DisconnectReason } from "./disconnect-reason";
import type { ParentNamespace } from "./dynamic-namespace";
import { forEachInTurn } from "./each-in-turn";
import { emitLocally } from "./emit-locally";
import type { DefaultEventsMap, EventNamesWithoutAck, EventParams, EventsMap } from "./events";
import type { ListenerErrorContext } from "./listener-errors";
import { MemoryAdapter } from "./memory-adapter";
import { SERVER_RESERVED_EVENTS } from "./reserved-events";
import type { Server } from "./server";
import type { Socket } from "./socket";

const debug = createDebug("socket.io:namespace");

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
  listener_error: (error: unknown, context: ListenerErrorContext) => void;
}

/** Judges a socket that asks to join: `next()` lets it pass, `next(error)` refuses it. */
export type NamespaceMiddleware<
  ListenEvents extends EventsMap,
  EmitEvents extends EventsMap,
  ServerSideEvents extends EventsMap,
  SocketData,
> = (socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>, next: (err?: ExtendedError) => void) => void;

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
> extends BroadcastSource<
  EmitEvents,
  ServerSideEvents,
  SocketData,
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
  /** @internal Sockets that may be recovered, those in the middlewares included, by the secret they come back with. */
  readonly _socketsByPid: Map<PrivateSessionId, Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>;
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
    this._socketsByPid = new Map();
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
    for (const event of ["connect", "connection"]) {
      const errors = this.server._listenerErrors;
      if (errors === null) emitLocally.call(this, event, socket);
      else errors.raise(this, socket, event, [socket]);
    }
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
    if (this.adapter instanceof MemoryAdapter) this.adapter._release(id);
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
   * Sends an event to every connected socket of the namespace, on all servers.
   * @returns true
   * @throws  UsageError RC_ERR_RESERVED_EVENT
   */
  override emit<Ev extends EventNamesWithoutAck<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean;
  override emit(...data: any[]): boolean {
    return (this._target() as { emit(...data: any[]): boolean }).emit(...data);
  }

  /** @internal */
  override get _broadcastAdapter(): Adapter {
    return this.adapter;
  }

  /** Raises an event of another server here. What only this server may raise is ignored. @internal */
  _onServerSideEmit(args: [string, ...any[]]): void {
    const [event] = args;
    if (SERVER_RESERVED_EVENTS.has(event)) return;
    if (event === "error" && this.listenerCount("error") === 0) return; // a peer must not be able to throw here
    emitLocally.apply(this, args);
  }
}
