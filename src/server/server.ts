// The Socket.IO server: its options, engines, namespaces and connections.
import createDebug from "debug";
import type { Server as Engine } from "../engine/hosts/node/http";
import type { TemplatedApp } from "../engine/hosts/uws/api";
import { expectApp, type UwsServer as UwsEngine, type UwsOptions } from "../engine/hosts/uws/server";
import { resolveLimits, type Limits } from "../engine/limits";
import type { Session } from "../engine/session";
import { UsageError } from "../errors";
import { PacketDecoder, Decoder, type DecoderOptions } from "../protocol/packet-decoder";
import { Encoder } from "../protocol/packet-encoder";
import { runInTurn } from "../support/ask";
import { quoted } from "../support/log-text";
import { Places } from "../support/places";
import { kWarnings, Warnings } from "../support/warnings";
import { isPacketValid, PacketType, protocol } from "../protocol/packet";
import { TimedAcks } from "./socket/acks";
import { Adapter } from "./adapter/adapter";
import type { AdapterConstructor } from "./namespace";
import { BroadcastOperator } from "./broadcast/broadcast-operator";
import { BroadcastSource } from "./broadcast/broadcast-source";
import { AttachedServers } from "./http/attached-servers";
import { Client } from "./client/client";
import type { DrainOptions, DrainResult } from "./http/drain";
import type { PacketSource } from "./compat/custom-parser";
import { ParentNamespace } from "./parent-namespace";
import type { DefaultEventsMap, EventsMap } from "./events";
import { installEmitterMethods } from "./compat/emitter-methods";
import { Health, type HealthHandler, type HealthHandlerOptions, type HealthOptions, type ServerHealth } from "./health";
import { isOptions, pathOf, type ClientFilesSettings, type TServerInstance } from "./http/attach";
import { ListenerErrors } from "./listener-errors";
import { Namespace, type NamespaceMiddleware, type ServerReservedEventsMap } from "./namespace";
import { askMatcher, matcherOf, type ParentNspNameMatchFn } from "./namespace-matching";
import { completeOptions, CONNECT_TIMEOUT_MS, type Recovery, type ServerOptions } from "./options";
import { installRemovedMembers } from "./compat/removed-api";
import { SessionAwareAdapter } from "./adapter/session-aware-adapter";
import { Socket } from "./socket/socket";
import { statsOf, type ServerStats } from "./stats";

const debug = createDebug("socket.io:server");

/** The built-in parser, in the form of the option `parser`. */
const DEFAULT_PARSER = { protocol, PacketType, Encoder, Decoder, isPacketValid };

/**
 * A Socket.IO server: namespaces over the connections of an engine.
 *
 * The methods of an event emitter and those of a broadcast target (`io.on`, `io.to`, `io.emit`, …) act on the main namespace, `io.sockets`.
 * Events: `connect(socket)`, `connection(socket)`, `new_namespace(namespace)`; with the option `captureRejections` also
 * `listener_error(error, { socket, event, args })`.
 */
export class Server<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> extends BroadcastSource<
  EmitEvents,
  ServerSideEvents,
  SocketData,
  ServerReservedEventsMap<ListenEvents, EmitEvents, ServerSideEvents, SocketData>
> {
  /** The main namespace, `/`.
   * @example io.sockets.sockets.get(id)?.disconnect(); */
  readonly sockets: Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>;
  /** The engine: `engine.on("connection_error", …)`, `engine.use()`, `engine.clientsCount`. Undefined until attached or bound. */
  engine!: Engine;
  /** The HTTP server that it was last attached to; undefined until then. */
  httpServer!: TServerInstance;
  /** Encodes packets; adapters use it (ADP-6). */
  readonly encoder: Encoder;
  /** Namespaces by name, without parent namespaces. Undocumented, but used by many programs (SRV-33). */
  readonly _nsps: Map<string, Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>;
  private readonly opts: Partial<ServerOptions>;
  /** @internal Same as `engine`, under its name in Socket.IO 2 (MEM-8). */
  eio: Engine | UwsEngine | undefined;
  /** @internal */ readonly _parser: typeof DEFAULT_PARSER;
  /** @internal */ readonly _recovery: Recovery | null;
  /** @internal */ readonly _limits: Limits;
  /** @internal */ readonly _middlewarePlaces: Places;
  /** @internal Whether functions that were given to `of` decide about namespaces. */ _asksFunctions: boolean;
  /** @internal */ readonly _warnings: Warnings;
  private readonly _health: Health;
  /** @internal Null without `captureRejections`. */
  readonly _listenerErrors: ListenerErrors | null;
  /** @internal */ readonly _timedAcks: TimedAcks;
  /** @internal */ _connectTimeout: number;
  private readonly decoderOptions: DecoderOptions;
  private _adapter: AdapterConstructor | undefined;
  private _path: string;
  private _serveClient: boolean;
  /** @internal */ readonly parentNsps: Map<ParentNspNameMatchFn, ParentNamespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>;
  private readonly parentNamespacesFromRegExp: Map<RegExp, ParentNamespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>;
  /** @internal Engines and HTTP servers that `close` closes. */ readonly _attached: AttachedServers;

  /**
   * @param srv   an HTTP server to attach to, or a port to listen on; optional, see `attach`
   * @throws UsageError RC_ERR_OPTION, RC_ERR_ARGUMENT
   * @example const io = new Server(httpServer, { cors: { origin: "https://example.com" } });
   */
  constructor(opts?: Partial<ServerOptions>);
  constructor(srv?: TServerInstance | number, opts?: Partial<ServerOptions>);
  constructor(srv: undefined | Partial<ServerOptions> | TServerInstance | number, opts?: Partial<ServerOptions>);
  constructor(srv?: null | "" | Partial<ServerOptions> | TServerInstance | number, opts: Partial<ServerOptions> = {}) {
    super();
    if (isOptions(srv)) {
      opts = srv as Partial<ServerOptions>;
      srv = undefined;
    }
    this._warnings = new Warnings();
    this._recovery = completeOptions(opts, this._warnings);
    this._limits = resolveLimits(opts.limits);
    this._middlewarePlaces = new Places(this._limits.pendingMiddlewares);
    this._asksFunctions = false;
    this._listenerErrors = opts.captureRejections ? new ListenerErrors(this) : null;
    this.opts = opts;
    this._path = pathOf(opts.path);
    this._serveClient = opts.serveClient !== false;
    this._connectTimeout = Number(opts.connectTimeout) || CONNECT_TIMEOUT_MS;
    this._adapter = opts.adapter || (this._recovery === null ? Adapter : SessionAwareAdapter);
    this._parser = (opts.parser as typeof DEFAULT_PARSER | undefined) || DEFAULT_PARSER;
    this.encoder = new this._parser.Encoder();
    this.decoderOptions = { maxAttachments: this._limits.attachments, maxDepth: this._limits.depth };
    this._nsps = new Map();
    this.parentNsps = new Map();
    this.parentNamespacesFromRegExp = new Map();
    this._attached = new AttachedServers(this);
    this._timedAcks = new TimedAcks();
    this._health = new Health(this);
    this.sockets = new Namespace(this, "/");
    this._nsps.set("/", this.sockets);
    if (srv !== undefined && srv !== null && srv !== "") this.attach(srv as TServerInstance | number);
  }

  /** The options given to the constructor. @internal */ get _opts(): Partial<ServerOptions> {
    return this.opts;
  }

  /** @internal */ get _adapterFactory(): AdapterConstructor {
    return this._adapter!;
  }

  /** Gets or sets the path. A change takes effect for HTTP servers that are attached afterwards.
   * @example io.path("/chat").attach(httpServer); */
  path(v: string): this;
  path(): string;
  path(v?: string): this | string;
  path(v?: string): this | string {
    if (v === undefined) return this._path;
    if (typeof v !== "string") throw new UsageError("RC_ERR_ARGUMENT", `io.path: expected a string, met ${typeof v}`);
    this._path = pathOf(v);
    return this;
  }

  /** Gets or sets whether the client bundles are served. A change takes effect for HTTP servers that are attached afterwards.
   * @example io.serveClient(false).attach(httpServer); */
  serveClient(v: boolean): this;
  serveClient(): boolean;
  serveClient(v?: boolean): this | boolean;
  serveClient(v?: boolean): this | boolean {
    if (v === undefined) return this._serveClient;
    this._serveClient = v;
    return this;
  }

  /** Gets or sets the time in which clients have to join a namespace, in milliseconds. A change takes effect for clients that connect afterwards.
   * @example io.connectTimeout(10_000); */
  connectTimeout(v: number): this;
  connectTimeout(): number;
  connectTimeout(v?: number): this | number;
  connectTimeout(v?: number): this | number {
    if (v === undefined) return this._connectTimeout;
    if (!(Number(v) > 0)) throw new UsageError("RC_ERR_ARGUMENT", `io.connectTimeout: expected a positive number, met ${String(v)}`);
    this._connectTimeout = v;
    return this;
  }

  /**
   * Gets or sets the class, or function, that creates adapters. Each existing namespace gets a new adapter at once, with the rooms of its
   * connected sockets (SRV-13). Call it before clients connect.
   * @throws UsageError RC_ERR_ARGUMENT, RC_ERR_OPTION
   * @example io.adapter(createAdapter(pubClient, subClient));
   */
  adapter(): AdapterConstructor | undefined;
  adapter(v: AdapterConstructor): this;
  adapter(v?: AdapterConstructor): AdapterConstructor | undefined | this {
    if (v === undefined) return this._adapter;
    if (typeof v !== "function") throw new UsageError("RC_ERR_ARGUMENT", `io.adapter: expected a class or a function, met ${typeof v}`);
    const before = this._adapter;
    this._adapter = v;
    try {
      for (const nsp of this._nsps.values()) nsp._initAdapter();
    } catch (error) {
      this._adapter = before; // ROB-400
      throw error;
    }
    return this;
  }

  // Connections

  /** Same as `attach`. */
  listen(srv: TServerInstance | number, opts: Partial<ServerOptions> = {}): this {
    return this.attach(srv, opts);
  }

  /**
   * Serves clients on an HTTP server.
   * @param srv   HTTP, HTTPS or HTTP/2 server, or a port to listen on
   * @param opts  engine options; options of the constructor take precedence (SRV-22)
   * @throws UsageError RC_ERR_ARGUMENT on a request handler, such as an Express application
   * @example io.attach(createServer(expressApp).listen(3000));
   */
  attach(srv: TServerInstance | number, opts: Partial<ServerOptions> = {}): this {
    const options = this.engineOptions(opts);
    this.eio = this._attached.attach(srv, options, this.clientFilesSettings(options));
    return this.bind(this.eio);
  }

  /**
   * Serves clients on an app of uWebSockets.js. The caller has to call `listen` and to close the app.
   * @param app   the result of `uWS.App()` or `uWS.SSLApp()`
   * @param opts  engine options and `UwsOptions` of `roomcast/engine`; options of the constructor take precedence
   * @throws UsageError RC_ERR_ARGUMENT on anything else, RC_ERR_OPTION
   * @example io.attachApp(app);
   */
  attachApp(app: TemplatedApp, opts: Partial<ServerOptions> & UwsOptions = {}): void {
    expectApp("io.attachApp", app);
    const options = this.engineOptions(opts);
    this.eio = this._attached.attachApp(app, options, this.clientFilesSettings(options));
    this.bind(this.eio);
  }

  private engineOptions(opts: Partial<ServerOptions>): Partial<ServerOptions> {
    const options = { ...opts, ...this.opts, path: this.opts.path || opts.path || this._path };
    return Object.assign(options, { [kWarnings]: this._warnings });
  }

  /** Where client files are served; null if they aren't. */
  private clientFilesSettings({ path, cors, allowPrivateNetwork = false }: Partial<ServerOptions>): ClientFilesSettings | null {
    if (!this._serveClient) return null;
    // SRV-23: under the path of the server and that of the attach options.
    return { paths: [...new Set([this._path, pathOf(path)])], cors, allowPrivateNetwork, warnings: this._warnings };
  }

  /** Serves the clients of an engine (SRV-26).
   * @param engine  an object that emits `connection(socket)` and has a method `close()`
   * @example io.bind(new Engine()); */
  bind(engine: any): this {
    this._attached.bind(engine, this.onconnection.bind(this));
    this.engine = engine;
    return this;
  }

  /** Serves one connection of an engine that is not bound (SRV-27).
   * @example engine.on("connection", (conn) => io.onconnection(conn)); */
  onconnection(conn: any): this {
    if (typeof conn?.on !== "function") {
      throw new UsageError("RC_ERR_ARGUMENT", `io.onconnection: expected an engine's socket, met ${conn === null ? "null" : typeof conn}`);
    }
    if (debug.enabled) debug("incoming connection with id %s", quoted(conn.id));
    if (this.isDraining) return (conn.close(), this); // ROB-726: an engine of another package goes on opening sessions
    const client = new Client(this, conn as Session);
    if (conn.protocol === 3) client.connect("/"); // SIO-70: clients of Socket.IO 2 don't send this CONNECT
    return this;
  }

  /**
   * Disconnects all sockets (reason `server shutting down`) and closes adapters, engines and HTTP servers. From now on no client is
   * accepted. Connections that are still open after `closeTimeout` are cut. Afterwards the server may be attached again (SRV-65).
   * @param fn  called when all is closed, with the error of the HTTP server if it was not running
   * @param options.drain  `true`, or how clients are moved to other processes before, see `DrainOptions` and docs/deploying.md
   * @returns resolves when all is closed, even after an error (SRV-62); after a drain with a `DrainResult`
   * @throws UsageError RC_ERR_ARGUMENT on options of a drain that cannot work
   * @example process.once("SIGTERM", () => io.close({ drain: { timeoutMs: 25_000, perSecond: 200 } }));
   */
  close(options: { drain: DrainOptions | true }): Promise<DrainResult>;
  close(fn?: (err?: Error) => void): Promise<void>;
  async close(given?: ((err?: Error) => void) | { drain?: DrainOptions | true }): Promise<void | DrainResult> {
    if (typeof given === "object" && given?.drain !== undefined) return this._attached.closeDrained(given.drain);
    const error = await this._attached.close();
    if (typeof given !== "function") return;
    if (error === undefined) given();
    else given(error);
  }

  /**
   * Leaves HTTP servers, apps and engines as they were before `attach`, `attachApp` and `bind`, with their listeners, so that another server
   * can be attached there. Adapters stay open, and so do HTTP servers, unless made for a port. Routes of an app stay, and answer 503.
   * @param options.drain  how clients are moved before; without it all of them are closed at once, in the same way
   * @throws UsageError RC_ERR_ARGUMENT on options of a drain that cannot work
   * @example await io.detach({ drain: { timeoutMs: 5000 } });
   */
  detach({ drain }: { drain?: DrainOptions | true } = {}): Promise<DrainResult> {
    return this._attached.detach(drain);
  }

  /** Whether `close({ drain })` or `detach` is in progress: from its call until all is closed. A readiness probe should fail then.
   * @example app.get("/ready", (req, res) => res.sendStatus(io.isDraining ? 503 : 200)); */
  get isDraining(): boolean {
    return this._attached.isDraining;
  }

  /** Whether `close` is in progress: no client joins a namespace any more (ROB-207). @internal */ get _isClosing(): boolean {
    return this._attached.isClosing;
  }

  /** Creates a decoder that returns packets instead of emitting them; null with a custom parser. @internal */
  _createDirectDecoder(): PacketDecoder | null {
    if (this._parser !== DEFAULT_PARSER && this._parser.Decoder !== Decoder) return null;
    return new PacketDecoder(this.decoderOptions);
  }

  /** Creates a decoder as the option `parser` describes it. @internal */
  _createDecoder(): PacketSource {
    if (this._parser.Decoder !== Decoder) return new this._parser.Decoder();
    return new Decoder(this.decoderOptions);
  }

  /**
   * Gives the sizes of all tables of this server, for dashboards and tests: sessions, sockets, rooms, acknowledgements, waiting bytes, deadlines.
   * Nothing is counted between the calls; a call takes time in proportion to the connections and sockets, about 10 ms for 10,000 (ROB-790).
   * @example console.log(io.stats().namespaces["/"].sockets);
   */
  stats(): ServerStats {
    return statsOf(this);
  }

  /** Tells whether this server is alive, and whether it should get new clients: event loop, drain, link to the other servers. Cheap.
   * @throws UsageError RC_ERR_ARGUMENT
   * @example if (!io.health().ready) console.log(io.health().reasons); */
  health(options?: HealthOptions): ServerHealth {
    return this._health.check(options);
  }

  /** Makes a request handler that answers 200 or 503 with `io.health()` as JSON. Without authentication: mount it where only probes come.
   * @example app.get("/ready", io.healthHandler()); */
  healthHandler(options?: HealthHandlerOptions): HealthHandler {
    return this._health.handler(options);
  }

  // Namespaces

  /**
   * Gives a namespace. It is created if it doesn't exist.
   * @param name  a name, with or without a leading slash. A regular expression, or a function `(name, auth, next)` that calls
   *              `next(error, isAllowed)`, gives a parent namespace: matching namespaces are created when clients ask for them
   * @param fn    a listener of `connect`
   * @throws UsageError RC_ERR_ARGUMENT on a regular expression with flag `g` or `y`
   * @example io.of("/admin").on("connection", (socket) => {});
   */
  of(
    name: string | RegExp | ParentNspNameMatchFn,
    fn?: (socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) => void,
  ): Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
    if (name === undefined || name === null) {
      throw new UsageError("RC_ERR_ARGUMENT", `io.of: expected a name, a regular expression or a function, met ${String(name)}`);
    }
    const nsp = typeof name === "function" || name instanceof RegExp ? this.createParent(name) : this.findOrCreate(String(name));
    if (fn) nsp.on("connect", fn);
    return nsp;
  }

  private createParent(pattern: RegExp | ParentNspNameMatchFn): Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
    const match = matcherOf(pattern);
    const parent = new ParentNamespace(this);
    debug("initializing parent namespace %s", parent.name);
    this.parentNsps.set(match, parent);
    if (typeof pattern === "function") this._asksFunctions = true;
    else this.parentNamespacesFromRegExp.set(pattern, parent);
    return parent;
  }

  private findOrCreate(given: string): Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
    const name = given.startsWith("/") ? given : `/${given}`;
    const known = this._nsps.get(name);
    if (known !== undefined) return known;
    for (const [pattern, parent] of this.parentNamespacesFromRegExp) {
      if (pattern.test(name)) return parent.createChild(name); // SRV-55
    }
    if (debug.enabled) debug("initializing namespace %s", quoted(name));
    const nsp = new Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>(this, name);
    this._addNamespace(nsp);
    return nsp;
  }

  /**
   * Removes a namespace: disconnects its sockets and closes its adapter. Clients that ask for it afterwards are refused, unless a parent
   * namespace creates it again.
   * @param name  with or without a leading slash
   * @returns whether the namespace existed; resolves when its adapter has closed
   * @throws  UsageError RC_ERR_NAMESPACE on the main namespace
   * @example await io.removeNamespace("/room-1");
   */
  async removeNamespace(name: string): Promise<boolean> {
    if (typeof name !== "string") throw new UsageError("RC_ERR_ARGUMENT", `io.removeNamespace: expected a name, met ${typeof name}`);
    const nsp = this._nsps.get(name.startsWith("/") ? name : `/${name}`);
    if ((nsp as unknown) === this.sockets) throw new UsageError("RC_ERR_NAMESPACE", "the main namespace cannot be removed");
    if (nsp === undefined) return false;
    const closing = nsp._close();
    nsp._disconnectSockets();
    await closing;
    return true;
  }

  /** Adds a namespace and emits `new_namespace`. @internal */
  _addNamespace(nsp: Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): void {
    this._nsps.set(nsp.name, nsp);
    this.sockets._announceNamespace(nsp);
  }

  /**
   * Creates a namespace that a client asks for, if a parent namespace allows it (PAR-2).
   * @param fn  called once, now or later, with the namespace or false; with false also while the server closes
   * @internal
   */
  _checkNamespace(
    name: string,
    auth: { [key: string]: any },
    fn: (nsp: Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> | false) => void,
  ): void {
    runInTurn(
      this.parentNsps,
      ([match, parent], next) =>
        askMatcher(
          (answer) => match(name, auth, answer),
          this._warnings,
          (isAllowed) => {
            if (this._isClosing) return fn(false); // ROB-207: the client's connection is about to end
            if (!isAllowed) next();
            else fn(this._nsps.get(name) ?? parent.openChild(name)); // PAR-3
          },
        ),
      () => fn(false),
    );
  }

  /** Adds a middleware of the main namespace; see `Namespace.use`.
   * @example io.use((socket, next) => next(isKnown(socket.handshake.auth.token) ? undefined : new Error("who are you?"))); */
  use(fn: NamespaceMiddleware<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): this {
    this.sockets.use(fn);
    return this;
  }

  /** @internal */ override get _broadcastAdapter(): Adapter {
    return this.sockets.adapter;
  }
}

installEmitterMethods(Server.prototype);
installRemovedMembers({ Server, Namespace, BroadcastOperator, Socket });
