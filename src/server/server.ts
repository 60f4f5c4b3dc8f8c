import type { Server as HTTPServer } from "node:http";
import createDebug from "debug";
import { Server as Engine } from "../engine/hosts/node-http";
import type { TemplatedApp } from "../engine/hosts/uws/api";
import { expectApp, UwsServer as UwsEngine, type UwsOptions } from "../engine/hosts/uws/server";
import { resolveLimits, type Limits } from "../engine/limits";
import type { Session } from "../engine/session";
import { UsageError } from "../errors";
import { PacketDecoder, Decoder, type DecoderOptions } from "../protocol/packet-decoder";
import { Encoder } from "../protocol/packet-encoder";
import { isPacketValid, PacketType, protocol } from "../protocol/packet";
import type { Adapter } from "./adapter";
import type { AdapterConstructor } from "./adapter-factory";
import { BroadcastOperator } from "./broadcast";
import { BroadcastSource } from "./broadcast-source";
import { Client } from "./connection";
import type { PacketSource } from "./custom-parser";
import { ParentNamespace } from "./dynamic-namespace";
import type { DefaultEventsMap, EventsMap } from "./events";
import { httpServerOf, isOptions, routeClientFiles, serveClientFiles, type TServerInstance } from "./http-door";
import { ListenerErrors } from "./listener-errors";
import { MemoryAdapter } from "./memory-adapter";
import { Namespace, type NamespaceMiddleware, type ServerReservedEventsMap } from "./namespace";
import { ask, matcherOf, type ParentNspNameMatchFn } from "./namespace-matching";
import { completeOptions, CONNECT_TIMEOUT_MS, type Recovery, type ServerOptions } from "./options";
import { installRemovedMembers } from "./removed-api";
import { SessionAwareAdapter } from "./session-aware-adapter";
import { Socket } from "./socket";

const debug = createDebug("socket.io:server");

/** The built-in parser, in the form of the option `parser`. */
const DEFAULT_PARSER = { protocol, PacketType, Encoder, Decoder, isPacketValid };

/**
 * A Socket.IO server: namespaces over the connections of an engine.
 *
 * Everything an emitter or a target of broadcasts can do is done by the main namespace, `io.sockets`: `io.on`, `io.to`,
 * `io.emit` and so on. Its own events: `connect(socket)`, `connection(socket)`, `new_namespace(namespace)`, and with
 * `captureRejections` `listener_error(error, { socket, event, args })`.
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
  /** The main namespace, `/`. */
  readonly sockets: Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>;
  /** The engine: `engine.on("connection_error", …)`, `engine.use()`, `engine.clientsCount`. Undefined until attached or bound. */
  engine!: Engine;
  /** The HTTP server it is attached to; undefined until then. */
  httpServer!: TServerInstance;
  /** Encodes packets; adapters use it. */
  readonly encoder: Encoder;
  /** Namespaces by name, without patterns. Nobody documents it, and many programs list it. */
  readonly _nsps: Map<string, Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>;
  private readonly opts: Partial<ServerOptions>;
  /** @internal Same as `engine`, under the name older programs know. */
  eio: Engine | UwsEngine | undefined;
  /** @internal */ readonly _parser: typeof DEFAULT_PARSER;
  /** @internal */ readonly _recovery: Recovery | null;
  /** @internal */ readonly _limits: Limits;
  /** @internal Null without `captureRejections`. */
  readonly _listenerErrors: ListenerErrors | null;
  /** @internal */ _connectTimeout: number;
  private readonly decoderOptions: DecoderOptions;
  private _adapter: AdapterConstructor | undefined;
  private _path: string;
  private _serveClient: boolean;

  // Patterns that open namespaces, in order of registration
  private readonly parentNsps: Map<ParentNspNameMatchFn, ParentNamespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>;
  private readonly parentNamespacesFromRegExp: Map<RegExp, ParentNamespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>>;

  // What `close` has to close
  private readonly boundEngines: Set<{ close(): unknown }>;
  private readonly attachedServers: Set<TServerInstance>;

  /**
   * @param srv   an HTTP server to attach to, or a port to listen on; may be left out, see `attach`
   * @param opts  options
   * @throws UsageError RC_ERR_OPTION, RC_ERR_ARGUMENT
   */
  constructor(opts?: Partial<ServerOptions>);
  constructor(srv?: TServerInstance | number, opts?: Partial<ServerOptions>);
  constructor(srv: undefined | Partial<ServerOptions> | TServerInstance | number, opts?: Partial<ServerOptions>);
  constructor(srv?: null | "" | Partial<ServerOptions> | TServerInstance | number, opts: Partial<ServerOptions> = {}) {
    super();
    if (isOptions(srv)) {
      opts = srv;
      srv = undefined;
    }
    this._recovery = completeOptions(opts);
    this._limits = resolveLimits(opts.limits);
    this._listenerErrors = opts.captureRejections ? new ListenerErrors(this) : null;
    this.opts = opts;
    this._path = pathOf(opts.path);
    this._serveClient = opts.serveClient !== false;
    this._connectTimeout = Number(opts.connectTimeout) || CONNECT_TIMEOUT_MS;
    this._adapter = opts.adapter || (this._recovery === null ? MemoryAdapter : SessionAwareAdapter);
    this._parser = (opts.parser as typeof DEFAULT_PARSER | undefined) || DEFAULT_PARSER;
    this.encoder = new this._parser.Encoder();
    this.decoderOptions = { maxAttachments: this._limits.attachments, maxDepth: this._limits.depth };
    this._nsps = new Map();
    this.parentNsps = new Map();
    this.parentNamespacesFromRegExp = new Map();
    this.boundEngines = new Set();
    this.attachedServers = new Set();
    this.sockets = new Namespace(this, "/");
    this._nsps.set("/", this.sockets);
    if (srv !== undefined && srv !== null && srv !== "") this.attach(srv);
  }

  /** The options given to the constructor. @internal */
  get _opts(): Partial<ServerOptions> {
    return this.opts;
  }

  /** @internal */
  get _adapterFactory(): AdapterConstructor {
    return this._adapter!;
  }

  // Settings

  /**
   * Tells, or sets, the path; a change has effect on servers attached later.
   * @returns the path without trailing slash; the server when setting
   */
  path(v: string): this;
  path(): string;
  path(v?: string): this | string;
  path(v?: string): this | string {
    if (v === undefined) return this._path;
    if (typeof v !== "string") throw new UsageError("RC_ERR_ARGUMENT", `io.path: expected a string, met ${typeof v}`);
    this._path = pathOf(v);
    return this;
  }

  /** Tells, or sets, whether the client bundles are served; a change has effect on servers attached later. */
  serveClient(v: boolean): this;
  serveClient(): boolean;
  serveClient(v?: boolean): this | boolean;
  serveClient(v?: boolean): this | boolean {
    if (v === undefined) return this._serveClient;
    this._serveClient = v;
    return this;
  }

  /** Tells, or sets, within how many milliseconds clients that connect from now on have to join a namespace. */
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
   * Tells, or sets, what makes adapters; each existing namespace gets a new one at once, into which its sockets' rooms
   * are carried over. Best called before clients connect.
   */
  adapter(): AdapterConstructor | undefined;
  adapter(v: AdapterConstructor): this;
  adapter(v?: AdapterConstructor): AdapterConstructor | undefined | this {
    if (v === undefined) return this._adapter;
    if (typeof v !== "function") throw new UsageError("RC_ERR_ARGUMENT", `io.adapter: expected a class or a function, met ${typeof v}`);
    this._adapter = v;
    for (const nsp of this._nsps.values()) nsp._initAdapter();
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
   * @param opts  engine options; those given to the constructor win
   * @throws UsageError RC_ERR_ARGUMENT on a request handler
   */
  attach(srv: TServerInstance | number, opts: Partial<ServerOptions> = {}): this {
    const options = { ...opts, ...this.opts, path: this.opts.path || opts.path || this._path };
    const server = httpServerOf(srv);
    debug("creating an engine for the path %s", options.path);
    const engine = new Engine(options);
    engine.attach(server as HTTPServer, options);
    this.eio = engine;
    if (this._serveClient) serveClientFiles(server, [...new Set([this._path, pathOf(options.path)])], options.cors);
    this.httpServer = server;
    this.attachedServers.add(server);
    return this.bind(engine);
  }

  /**
   * Serves clients on an app of uWebSockets.js, whose `listen` remains the caller's; so does its closing.
   * @param app   what `uWS.App()` or `uWS.SSLApp()` gave
   * @param opts  engine options, and `compression`, `idleTimeout`, `maxBackpressure` (see `UwsOptions` of `roomcast/engine`);
   *              those given to the constructor win
   * @throws UsageError RC_ERR_ARGUMENT on anything else, RC_ERR_OPTION
   */
  attachApp(app: TemplatedApp, opts: Partial<ServerOptions> & UwsOptions = {}): void {
    expectApp("io.attachApp", app);
    const options = { ...opts, ...this.opts, path: this.opts.path || opts.path || this._path };
    debug("creating a uWebSockets.js engine for the path %s", options.path);
    const engine = new UwsEngine(options);
    engine.attach(app, options);
    this.eio = engine;
    if (this._serveClient) routeClientFiles(app, [...new Set([this._path, pathOf(options.path)])], options.cors);
    this.bind(engine);
  }

  /**
   * Serves the clients of an engine.
   * @param engine  emits `connection(socket)` and has `close()`
   */
  bind(engine: any): this {
    if (typeof engine?.on !== "function" || typeof engine.close !== "function") {
      throw new UsageError(
        "RC_ERR_ARGUMENT",
        `io.bind: expected an engine with on() and close(), met ${engine === null ? "null" : typeof engine}`,
      );
    }
    this.engine = engine;
    this.boundEngines.add(engine);
    engine.on("connection", this.onconnection.bind(this));
    return this;
  }

  /**
   * Takes one connection of an engine; for engines that are not bound.
   * @param conn  the engine's socket
   */
  onconnection(conn: any): this {
    if (typeof conn?.on !== "function") {
      throw new UsageError("RC_ERR_ARGUMENT", `io.onconnection: expected an engine's socket, met ${conn === null ? "null" : typeof conn}`);
    }
    if (debug.enabled) debug("incoming connection with id %s", conn.id);
    const client = new Client(this, conn as Session);
    if (conn.protocol === 3) client.connect("/"); // clients of Socket.IO 2 expect to be there
    return this;
  }

  /**
   * Closes everything: sockets (reason `server shutting down`), adapters, engines, HTTP server. It may be attached again.
   * @param fn  called in the end, with the error of the HTTP server if it was not running
   * @returns resolved in the end, in any case
   */
  async close(fn?: (err?: Error) => void): Promise<void> {
    await Promise.allSettled([...this._nsps.values()].map(shutDown));
    const engines = new Set([...this.boundEngines, ...(this.engine === undefined ? [] : [this.engine])]);
    this.boundEngines.clear();
    for (const engine of engines) engine.close();

    const servers = new Set([...this.attachedServers, ...(this.httpServer === undefined ? [] : [this.httpServer])]);
    this.attachedServers.clear();
    const results = await Promise.all([...servers].map(closeHttpServer));
    if (results.length === 0) fn?.();
    else fn?.(results[results.length - 1]);
  }

  /** What decodes one connection's messages without an emitter between; null with a parser of the user's. @internal */
  _createDirectDecoder(): PacketDecoder | null {
    if (this._parser !== DEFAULT_PARSER && this._parser.Decoder !== Decoder) return null;
    return new PacketDecoder(this.decoderOptions);
  }

  /** What decodes one connection's messages, as the parser describes it. @internal */
  _createDecoder(): PacketSource {
    if (this._parser.Decoder !== Decoder) return new this._parser.Decoder();
    return new Decoder(this.decoderOptions);
  }

  // Namespaces

  /**
   * Gives a namespace, which is opened if it does not exist.
   * @param name  a name, a leading slash may be left out; a regular expression, or a function `(name, auth, next)`
   *              that calls `next(error, isAllowed)`: a pattern of namespaces that are opened when clients ask for them
   * @param fn    a listener of `connect`
   * @throws UsageError RC_ERR_ARGUMENT on a regular expression with flag `g` or `y`
   */
  of(
    name: string | RegExp | ParentNspNameMatchFn,
    fn?: (socket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData>) => void,
  ): Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
    if (name === undefined || name === null) {
      throw new UsageError("RC_ERR_ARGUMENT", `io.of: expected a name, a regular expression or a function, met ${String(name)}`);
    }
    const nsp = typeof name === "function" || name instanceof RegExp ? this.openPattern(name) : this.openNamespace(String(name));
    if (fn) nsp.on("connect", fn);
    return nsp;
  }

  private openPattern(pattern: RegExp | ParentNspNameMatchFn): Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
    const match = matcherOf(pattern);
    const parent = new ParentNamespace(this);
    debug("initializing parent namespace %s", parent.name);
    this.parentNsps.set(match, parent);
    if (typeof pattern !== "function") this.parentNamespacesFromRegExp.set(pattern, parent);
    return parent;
  }

  private openNamespace(given: string): Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
    const name = given.startsWith("/") ? given : `/${given}`;
    const known = this._nsps.get(name);
    if (known !== undefined) return known;
    for (const [pattern, parent] of this.parentNamespacesFromRegExp) {
      if (pattern.test(name)) return parent.createChild(name);
    }
    debug("initializing namespace %s", name);
    const nsp = new Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>(this, name);
    this._addNamespace(nsp);
    return nsp;
  }

  /**
   * Removes a namespace: its sockets are disconnected, its adapter is closed. Clients that ask for it afterwards are
   * refused, unless a pattern opens it anew.
   * @param name  a leading slash may be left out
   * @returns whether there was one; once its adapter has closed
   * @throws  UsageError RC_ERR_NAMESPACE on the main namespace
   */
  async removeNamespace(name: string): Promise<boolean> {
    if (typeof name !== "string") throw new UsageError("RC_ERR_ARGUMENT", `io.removeNamespace: expected a name, met ${typeof name}`);
    const nsp = this._nsps.get(name.startsWith("/") ? name : `/${name}`);
    if ((nsp as unknown) === this.sockets) throw new UsageError("RC_ERR_NAMESPACE", "the main namespace cannot be removed");
    if (nsp === undefined) return false;
    const closing = nsp._close();
    nsp._evict();
    await closing;
    return true;
  }

  /** Enters a namespace and announces it. @internal */
  _addNamespace(nsp: Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): void {
    this._nsps.set(nsp.name, nsp);
    this.sockets._announceNamespace(nsp);
  }

  /**
   * Opens a namespace that a client asks for, if a pattern allows it.
   * @param fn  called once, perhaps later, with the namespace or false
   * @internal
   */
  _checkNamespace(
    name: string,
    auth: { [key: string]: any },
    fn: (nsp: Namespace<ListenEvents, EmitEvents, ServerSideEvents, SocketData> | false) => void,
  ): void {
    const patterns = this.parentNsps.entries();
    const askNext = (): void => {
      const next = patterns.next();
      if (next.done) return fn(false);
      const [match, parent] = next.value;
      ask(match, name, auth, (isAllowed) => {
        if (!isAllowed) askNext();
        else fn(this._nsps.get(name) ?? parent.createChild(name)); // it may have come to be meanwhile
      });
    };
    askNext();
  }

  // Done by the main namespace

  /**
   * Adds a middleware of the main namespace; see `Namespace.use`.
   * @returns the server
   */
  use(fn: NamespaceMiddleware<ListenEvents, EmitEvents, ServerSideEvents, SocketData>): this {
    this.sockets.use(fn);
    return this;
  }

  /** @internal */
  override get _broadcastAdapter(): Adapter {
    return this.sockets.adapter;
  }
}

/** A falsy path means the default; one trailing slash goes. */
function pathOf(path: string | undefined): string {
  return (path || "/socket.io").replace(/\/$/, "");
}

async function shutDown(nsp: Namespace<any, any, any, any>): Promise<void> {
  try {
    nsp._closeSockets("server shutting down");
  } finally {
    await nsp.adapter.close();
  }
}

/** Gives the error of a server that was not running. */
function closeHttpServer(server: TServerInstance): Promise<Error | undefined> {
  return new Promise((resolve) => {
    server.close((error) => resolve(error));
  });
}

const EMITTER_METHODS = [
  "setMaxListeners",
  "getMaxListeners",
  "emit",
  "addListener",
  "on",
  "prependListener",
  "once",
  "prependOnceListener",
  "removeListener",
  "off",
  "removeAllListeners",
  "listeners",
  "rawListeners",
  "listenerCount",
  "eventNames",
] as const;

// An emitter's methods act on the main namespace and give what it gives: `io.on()` returns `io.sockets`.
for (const method of EMITTER_METHODS) {
  Object.defineProperty(Server.prototype, method, {
    configurable: true,
    writable: true,
    value(this: Server, ...args: unknown[]): unknown {
      return (this.sockets[method] as (...args: unknown[]) => unknown)(...args);
    },
  });
}

installRemovedMembers({ Server, Namespace, BroadcastOperator, Socket });
