// A namespace: the sockets, rooms, middlewares and listeners under one name, on connections that namespaces share.
import createDebug from "debug";
import { UsageError } from "../errors";
import { quoted } from "../support/log-text";
import { Adapter } from "./adapter/adapter";
import type { PrivateSessionId, SocketId } from "./adapter/contract";
import { createAdapter } from "./adapter/adapter-factory";
import { SessionAwareAdapter } from "./adapter/session-aware-adapter";
import { BroadcastSource } from "./broadcast/broadcast-source";
import type { AnyAdapter } from "./compat/foreign-adapter";
import type { DisconnectReason } from "./socket/disconnect-reason";
import { MAX_TIMER_MS } from "../engine/option-advice";
import { forEachInTurn } from "../support/each-in-turn";
import { runInRoot } from "../support/tick";
import { emitLocally } from "../support/lean-emitter";
import type { DefaultEventsMap, EventNamesWithoutAck, EventParams, EventsMap } from "./events";
import { expectSlowReaders, type SlowReaders } from "./client/slow-readers";
import { SERVER_RESERVED_EVENTS } from "./reserved-events";
import type { Server } from "./server";
import type { Socket } from "./socket/socket";

const debug = createDebug("socket.io:namespace");

/** The error that a middleware passes to `next`. The client gets `message` and `data`. */
export interface ExtendedError extends Error {
  data?: any;
}

/** Where a listener failed: the second argument of `listener_error`. */
export interface ListenerErrorContext {
  /** The socket of the event. */
  socket: Socket<any, any, any, any>;
  /** Name of the event; for an acknowledgement callback, of the event that was emitted. */
  event: string;
  /** The arguments of the listener. If the client expects an acknowledgement, the last one is the function that sends it. */
  args: any[];
}

/** The option `adapter`: a class, or a function that gives an adapter. */
export type AdapterConstructor = typeof Adapter | ((nsp: Namespace) => Adapter);

/** Events of a namespace that the server itself emits. */
export interface NamespaceReservedEventsMap<
  ListenEvents extends EventsMap,
  EmitEvents extends EventsMap,
  ServerSideEvents extends EventsMap,
  SocketData,
> {
  connect: (socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) => void;
  connection: (socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) => void;
}

/** Events of the server, that is, of its main namespace, that the server itself emits. */
export interface ServerReservedEventsMap<
  ListenEvents extends EventsMap,
  EmitEvents extends EventsMap,
  ServerSideEvents extends EventsMap,
  SocketData,
> extends NamespaceReservedEventsMap<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
  new_namespace: (namespace: Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) => void;
  listener_error: (error: unknown, context: ListenerErrorContext) => void;
}

/** Checks a socket that is joining: `next()` accepts it, `next(error)` refuses it. */
export type NamespaceMiddleware<
  ListenEvents extends EventsMap,
  EmitEvents extends EventsMap,
  ServerSideEvents extends EventsMap,
  SocketData,
> = (socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>, next: (err?: ExtendedError) => void) => void;

/**
 * A namespace: a communication channel with sockets, rooms, middlewares and listeners of its own. A client uses one connection for all its
 * namespaces.
 *
 * Events: `connect(socket)` and `connection(socket)` for each socket that has joined. Other events come from other servers
 * (`serverSideEmit`). `emit` sends an event to the clients; it doesn't call listeners of this object.
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
  /** Name, with a leading slash. */
  readonly name: string;
  /**
   * Connected sockets of this server, by id.
   * @example
   * const socket = io.of("/").sockets.get(id);
   */
  readonly sockets: Map<SocketId, Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>;
  /** The adapter: keeps the rooms and sends the broadcasts of this namespace.
   * @example io.of("/").adapter.on("create-room", (room) => console.log("new room", room)); */
  adapter!: AnyAdapter;
  /** The server. */
  readonly server: Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>;
  /** @internal Sockets still in the middlewares, by id. */
  readonly _preConnectSockets: Map<SocketId, Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>;
  /** @internal Sockets whose session can be recovered, those in the middlewares included, by their private id. */
  readonly _socketsByPid: Map<PrivateSessionId, Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>;
  /** @internal Middlewares, in order. */
  _fns: NamespaceMiddleware<ListenEvents, EmitEvents, ServerSideEvents, SocketData>[];
  /** @internal Next acknowledgement id; adapters read and increment it (MEM-3). */
  _ids: number;
  /** @internal Number of clients that are joining, until they are admitted or refused (PAR-23). */
  _pendingJoins: number;
  /** @internal The parent namespace that created this one; null if there is none. */
  _parent: {
    readonly children: Set<Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>;
    readonly slowReaders: SlowReaders;
  } | null;
  /** @internal */ _slowReaders: SlowReaders | null;
  private emptyTimer: NodeJS.Timeout | null;

  /** Called by `io.of()`. */
  constructor(server: Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>, name: string) {
    super();
    this.name = name;
    this.sockets = new Map();
    this.server = server;
    this._preConnectSockets = new Map();
    this._socketsByPid = new Map();
    this._fns = [];
    this._ids = 0;
    this._pendingJoins = 0;
    this._parent = null;
    this.emptyTimer = null;
    this._slowReaders = null;
    this._initAdapter();
  }

  /** Creates the adapter, or replaces it and adds the rooms of all sockets to the new one (SRV-13). @internal */
  _initAdapter(): void {
    const replaced = this.adapter as Adapter | undefined;
    this.adapter = createAdapter(this.server._adapterFactory, this);
    if (!isForOneServer(this.adapter)) this.server._attached.expectOthers();
    const started = this.adapter.init() as Promise<void> | undefined;
    // NSP-2: no caller waits for the result.
    started?.then?.(undefined, (error) => debug("the adapter of %s failed to start: %s", quoted(this.name), quoted(error)));
    if (replaced === undefined) return;
    for (const sockets of [this.sockets, this._preConnectSockets]) {
      for (const id of sockets.keys()) {
        const rooms = replaced.socketRooms(id);
        if (rooms !== undefined) void this.adapter.addAll(id, new Set(rooms));
      }
    }
    void Promise.resolve(replaced.close()).catch((error) =>
      debug("the replaced adapter of %s failed to close: %s", quoted(this.name), quoted(error)),
    );
  }

  // Sockets

  /**
   * What happens to clients that read too slowly the events of this namespace. Default: that of the parent namespace, or else the option
   * `slowReaders` of the server.
   * @throws UsageError RC_ERR_ARGUMENT, when it is set
   * @example
   * io.of("/positions").slowReaders = "drop-oldest";
   */
  get slowReaders(): SlowReaders {
    return this._slowReaders ?? this._parent?.slowReaders ?? this.server._opts.slowReaders ?? "close";
  }

  set slowReaders(policy: SlowReaders) {
    expectSlowReaders("namespace.slowReaders", policy, "RC_ERR_ARGUMENT");
    this._slowReaders = policy;
  }

  /**
   * Adds a middleware. It runs once for each socket that is joining, after the middlewares added earlier.
   * @param fn  calls `next()` to accept the socket or `next(error)` to refuse it: the client gets `message` and `data` of the error. If it
   *            throws or rejects, the socket is refused with a neutral message, and the error becomes a process warning (ROB-410)
   * @returns the namespace
   * @example
   * io.of("/admin").use((socket, next) => {
   *   if (isAdmin(socket.handshake.auth.token)) next();
   *   else next(new Error("not allowed"));
   * });
   */
  use(fn: NamespaceMiddleware<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): this {
    if (typeof fn !== "function") throw new UsageError("RC_ERR_ARGUMENT", `namespace.use: expected a function, met ${typeof fn}`);
    this._fns.push(fn);
    return this;
  }

  /** Emits `connect` and `connection` for a socket that has joined (SRV-70). @internal */
  _announce(socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): void {
    for (const event of ["connect", "connection"]) {
      const errors = this.server._listenerErrors;
      if (errors === null) emitLocally.call(this, event, socket);
      else errors.raise(this, socket, event, [socket]);
    }
  }

  /** Emits `new_namespace`. Called on the main namespace. @internal */
  _announceNamespace(nsp: Namespace<any, any, any, any>): void {
    emitLocally.call(this, "new_namespace", nsp);
  }

  /** Disconnects all sockets without sending a DISCONNECT. An error of a listener doesn't stop the others (ROB-113, SRV-61). @internal */
  _closeSockets(reason: DisconnectReason): void {
    forEachInTurn([...this.sockets.values()], (socket) => socket._onclose(reason));
  }

  /** Disconnects all sockets with a DISCONNECT each. @internal */
  _disconnectSockets(): void {
    forEachInTurn([...this.sockets.values()], (socket) => socket.disconnect());
  }

  /** Removes a socket that was disconnected or refused. @internal */
  _remove(socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): void {
    const { id } = socket;
    if (this.sockets.get(id) === socket) this.sockets.delete(id);
    else if (this._preConnectSockets.get(id) === socket) this._preConnectSockets.delete(id);
    this.adapter._release?.(id); // adapters of other packages have none
    this._removeIfEmpty();
  }

  /** Closes a namespace that a parent created, if no socket is connected or joining: now, or later (PAR-20, PAR-23, ROB-777). @internal */
  _removeIfEmpty(): void {
    if (!this.isIdleChild) return;
    if (this.server._opts.cleanupEmptyChildNamespaces === true) return this.closeEmpty();
    const { emptyNamespaceMs } = this.server._limits;
    if (emptyNamespaceMs === Infinity) return;
    if (this.emptyTimer !== null) clearTimeout(this.emptyTimer);
    runInRoot(() => {
      this.emptyTimer = setTimeout(() => this.isIdleChild && this.closeEmpty(), Math.min(emptyNamespaceMs, MAX_TIMER_MS)).unref();
    });
  }

  private get isIdleChild(): boolean {
    const isOpen = this._parent !== null && this.server._nsps.get(this.name) === this;
    return isOpen && this.sockets.size === 0 && this._pendingJoins === 0;
  }

  private closeEmpty(): void {
    if (debug.enabled) debug("%s is empty and is closed", quoted(this.name));
    this._close().catch((error) => debug("the adapter of %s failed to close: %s", quoted(this.name), quoted(error)));
  }

  /** Removes the namespace from the server and closes its adapter. @internal */
  async _close(): Promise<void> {
    this._parent?.children.delete(this);
    if (this.server._nsps.get(this.name) === this) this.server._nsps.delete(this.name);
    await this.adapter.close();
  }

  // Broadcasts

  /**
   * Sends an event to all connected sockets of the namespace, on all servers.
   * @returns true
   * @throws  UsageError RC_ERR_RESERVED_EVENT, RC_ERR_EVENT_NAME; EncodingError RC_ERR_ENCODING
   * @example
   * io.of("/admin").emit("news", "hello");
   */
  override emit<Ev extends EventNamesWithoutAck<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean;
  override emit(...data: any[]): boolean {
    return (this._target() as { emit(...data: any[]): boolean }).emit(...data);
  }

  /** @internal */
  override get _broadcastAdapter(): Adapter {
    return this.adapter;
  }

  /** Emits an event of another server here. Reserved names are ignored. @internal */
  _onServerSideEmit(args: [string, ...any[]]): void {
    const [event] = args;
    if (SERVER_RESERVED_EVENTS.has(event)) return;
    if (event === "error" && this.listenerCount("error") === 0) return; // without a listener `emit` would throw
    emitLocally.apply(this, args);
  }
}

/** Whether an adapter is one of those in memory, not one of a subclass. */
function isForOneServer({ constructor }: object): boolean {
  return constructor === Adapter || constructor === SessionAwareAdapter;
}
