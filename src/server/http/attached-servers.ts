// The engines and HTTP servers of a Socket.IO server, and how `io.close()` closes them: in which order, and within which time.
import type { IncomingMessage, Server as HTTPServer, ServerResponse } from "node:http";
import type { Socket as NetSocket } from "node:net";
import createDebug from "debug";
import { Server as Engine, standInFront } from "../../engine/hosts/node/http";
import { NOT_CARRIED, type ForeignSessions } from "../../engine/foreign-sessions";
import type { TemplatedApp } from "../../engine/hosts/uws/api";
import { routeBelow, UwsServer as UwsEngine, type UwsOptions } from "../../engine/hosts/uws/server";
import { SERVER_CLOSING, SERVER_DRAINING, type Refusal } from "../../engine/verification";
import { Deadline } from "../../support/deadline";
import { UsageError } from "../../errors";
import { forEachInTurn } from "../../support/each-in-turn";
import type { Warnings } from "../../support/warnings";
import { Client } from "../client/client";
import { SignalHandler } from "../signals";
import type { Socket } from "../socket/socket";
import type { ServerOptions } from "../options";
import { httpServerOf, routeClientFiles, serveClientFiles, type ClientFilesSettings, type TServerInstance } from "./attach";
import { Drain, resolveDrain, type DrainOptions, type DrainResult, type ResolvedDrainOptions } from "./drain";

const debug = createDebug("socket.io:server");

/** Default of `closeTimeout`, in milliseconds. */
const CLOSE_TIMEOUT_MS = 5000;
/** Time that connections that were cut have to emit `close`. */
const CUT_MS = 100;
/** Time that the close behind a drain has at least, also when the drain has taken all of its own. */
const CLOSE_AFTER_DRAIN_MS = 1000;

type AnyClient = Client<any, any, any, any>;
type RequestTaker = (request: IncomingMessage, response: ServerResponse) => boolean;

/** What this file needs of an engine. Engines of other packages have `close`, and may have `clients`. */
export interface ClosableEngine {
  readonly clientsCount?: number;
  readonly clients?: Readonly<Record<string, { readonly owner?: unknown }>>;
  close(): unknown;
  on(event: "connection", listener: (conn: unknown) => void): unknown;
  removeListener?(event: "connection", listener: (conn: unknown) => void): unknown;
  refuseSessions?(refusal: Refusal): void;
  admitSessions?(): void;
  cut?(): void;
  takeConnection?(socket: NetSocket): boolean;
  foreign?: ForeignSessions | null;
}

/** What this file needs of a namespace. */
interface ClosableNamespace {
  readonly sockets: ReadonlyMap<string, Socket<any, any, any, any>>;
  /** `drain`: the adapter is told that the clients of this server are about to leave. */
  readonly adapter: { close(): Promise<void> | void; drain?(): unknown };
  _closeSockets(reason: "server shutting down"): void;
}

/** What this file needs of the Socket.IO server. */
export interface ClosableServerContext {
  /** Those of the last `attach` or `bind`; programs may set them. */
  engine: ClosableEngine | undefined;
  eio: unknown;
  httpServer: TServerInstance | undefined;
  readonly encoder: { encode(packet: any): unknown };
  readonly _opts: { readonly closeTimeout?: number; readonly handleSignals?: unknown };
  readonly _nsps: ReadonlyMap<string, ClosableNamespace>;
  readonly _timedAcks: { failAll(): void };
  readonly _warnings: Warnings;
  close(options: { drain: DrainOptions | true }): Promise<DrainResult>;
}

/** The engines and HTTP servers of a Socket.IO server: all that it was attached or bound to, not only the last ones (SRV-28). */
export class AttachedServers {
  private readonly context: ClosableServerContext;
  private engines: Set<ClosableEngine> = new Set();
  /** Each takes back something that attaching has done to an engine, an HTTP server or an app. */
  private undo: (() => unknown)[] = [];
  private servers: Map<TServerInstance, ClosableServer> = new Map();
  private apps: Set<TemplatedApp> = new Set();
  /** Ends what `mount` has begun. */
  private readonly mounts: Set<() => void> = new Set();
  /** With the option `handleSignals`: listens while there is an engine. */
  private readonly signals: SignalHandler | null;
  /** The sessions of other processes, which the engines carry; null if they don't. */
  private foreign: ForeignSessions | null = null;
  private pendingCloses = 0;
  private lastClose: Promise<unknown> | null = null;
  private drain: Drain | null = null;
  private draining: Promise<DrainResult> | null = null;
  private drainedAt = 0;

  constructor(context: ClosableServerContext) {
    this.context = context;
    this.signals = SignalHandler.from(context, context._opts.handleSignals);
  }

  /** Whether `close` is in progress. */
  get isClosing(): boolean {
    return this.pendingCloses > 0;
  }

  get allEngines(): ReadonlySet<ClosableEngine> {
    return this.engines;
  }

  /** The number of sessions of all engines. */
  get clientsCount(): number {
    let count = 0;
    for (const { clientsCount } of this.engines) count += clientsCount ?? 0;
    return count;
  }

  /** The engine that has a session. */
  engineOf(sid: string): ClosableEngine | undefined {
    for (const engine of this.engines) if (engine.clients !== undefined && Object.hasOwn(engine.clients, sid)) return engine;
    return undefined;
  }

  /** Whether `closeDrained` or `detach` is in progress. */
  get isDraining(): boolean {
    return this.draining !== null;
  }

  /** When that began, in milliseconds since 1970; undefined unless it is in progress. */
  get drainsSince(): number | undefined {
    return this.isDraining ? this.drainedAt : undefined;
  }

  /** All engines, also those that are bound later, carry the sessions of other processes. */
  carry(foreign: ForeignSessions): void {
    this.foreign = foreign;
    for (const engine of this.engines) this.shareSessions(engine);
  }

  /** Counterpart of `carry`, unless another adapter has replaced the one that called it. */
  endCarry(foreign: ForeignSessions): void {
    if (this.foreign === foreign) this.carry(NOT_CARRIED);
  }

  /** There may be other servers, whose sessions are not carried unless `carry` says so. */
  expectOthers(): void {
    if (this.foreign === null) this.carry(NOT_CARRIED);
  }

  /** Takes a connection that another process has accepted; false if no engine can. */
  takeConnection(socket: NetSocket): boolean {
    for (const engine of this.engines) if (engine.takeConnection?.(socket) === true) return true;
    return false;
  }

  /** Engines of other packages have no such member. */
  private shareSessions(engine: ClosableEngine): void {
    if (engine.foreign !== undefined) engine.foreign = this.foreign;
  }

  /** @param onConnection  gets each session of the engine */
  bind(engine: ClosableEngine, onConnection: (conn: unknown) => unknown): void {
    const given = engine as Partial<ClosableEngine> | null | undefined;
    if (typeof given?.on !== "function" || typeof given.close !== "function") {
      const met = given === null ? "null" : typeof given;
      throw new UsageError("RC_ERR_ARGUMENT", `io.bind: expected an engine with on() and close(), met ${met}`);
    }
    this.engines.add(engine);
    this.shareSessions(engine);
    this.signals?.listen();
    engine.admitSessions?.();
    engine.on("connection", onConnection);
    this.undo.push(() => {
      engine.removeListener?.("connection", onConnection);
      engine.admitSessions?.();
    });
  }

  /**
   * Creates an engine on an HTTP server, or on a new one that listens on a port.
   * @param files  where client files are served; null for nowhere
   */
  attach(target: TServerInstance | number, options: Partial<ServerOptions>, files: ClientFilesSettings | null): Engine {
    const server = httpServerOf(target);
    debug("creating an engine for the path %s", options.path);
    const engine = new Engine(options);
    engine.attach(server as HTTPServer, options);
    this.undo.push(() => engine.detach());
    if (files !== null) this.undo.push(serveClientFiles(server, files));
    if (server !== target) this.undo.push(() => server.close()); // nobody else has it
    this.context.httpServer = server;
    this.addServer(server);
    return engine;
  }

  /** Creates an engine on an app of uWebSockets.js. */
  attachApp(app: TemplatedApp, options: Partial<ServerOptions> & UwsOptions, files: ClientFilesSettings | null): UwsEngine {
    debug("creating a uWebSockets.js engine for the path %s", options.path);
    const engine = new UwsEngine(options);
    engine.attach(app, options);
    this.undo.push(() => engine.detach());
    if (files !== null) routeClientFiles(app, files);
    this.apps.add(app);
    return engine;
  }

  /** The HTTP servers of Node and the apps of uWebSockets.js that `mount` would use now. */
  get mountable(): object[] {
    return [...this.servers.keys(), ...this.apps];
  }

  /**
   * Puts a handler in front of the request listeners of the HTTP servers of Node, and adds routes to the apps of uWebSockets.js, that are attached now.
   * @param path   without a slash at its end; an app gets routes for it, and for what is below
   * @param takes  answers a request, or leaves it alone and gives false
   * @param onEnd  called once: by the result, by `close` or by `detach`
   * @returns ends that; null without such a server or app
   */
  mount(path: string, takes: RequestTaker, onEnd: () => void): (() => void) | null {
    if (this.mountable.length === 0) return null;
    const removals = [...this.servers.keys()].map((server) => standInFront(server as HTTPServer, takes));
    for (const app of this.apps) routeBelow(app, path, (request, response) => this.mounts.has(end) && takes(request, response));
    const end = (): void => {
      if (!this.mounts.delete(end)) return;
      for (const remove of removals) remove();
      onEnd();
    };
    this.mounts.add(end);
    return end;
  }

  private addServer(server: TServerInstance): void {
    if (!this.servers.has(server)) this.servers.set(server, new ClosableServer(server));
  }

  private addLast(): void {
    const { engine, httpServer } = this.context;
    if (engine !== undefined) this.engines.add(engine);
    if (httpServer !== undefined) this.addServer(httpServer);
  }

  /**
   * Closes namespaces and their adapters, then engines, then HTTP servers (SRV-61). From its start on no session is opened (ROB-207).
   * A drain that is under way is cut short (ROB-731).
   * @param timeoutMs  time for everything; then adapters are no longer waited for, and connections are cut (ROB-162, ROB-163)
   * @returns the error of the last HTTP server, if it was not running
   */
  async close(timeoutMs = this.context._opts.closeTimeout ?? CLOSE_TIMEOUT_MS): Promise<Error | undefined> {
    this.drain?.cutShort();
    this.addLast();
    const engines = [...this.engines];
    const servers = [...this.servers.values()];
    this.engines = new Set();
    this.servers = new Map();
    this.apps = new Set();
    this.undo = [];
    for (const end of this.mounts) end();
    this.pendingCloses++;
    try {
      // The last requests of other processes' sessions are carried while nothing new arrives.
      if (this.foreign?.carries === true) for (const server of servers) void server.close();
      const closing = closeAll(this.context, engines, servers, timeoutMs);
      this.lastClose = closing;
      return await closing;
    } finally {
      this.pendingCloses--;
      if (this.engines.size === 0) this.signals?.stop();
    }
  }

  /**
   * Moves the clients away, then closes. While this or `detach` is in progress, a second call gets the same promise.
   * @param given  see `DrainOptions`
   * @throws UsageError RC_ERR_ARGUMENT
   */
  closeDrained(given: unknown): Promise<DrainResult> {
    return this.run(async () => {
      const settings = resolveDrain(given, this.context.encoder);
      const result = await this.moveClients(settings);
      const { closeTimeout = CLOSE_TIMEOUT_MS } = this.context._opts;
      if (this.isClosing) await this.lastClose;
      else await this.close(Math.min(closeTimeout, Math.max(CLOSE_AFTER_DRAIN_MS, settings.timeoutMs - result.durationMs)));
      return result;
    });
  }

  /**
   * Moves the clients away and takes back what attaching has done; adapters stay open.
   * @param given  see `DrainOptions`; undefined: all clients are closed at once
   * @throws UsageError RC_ERR_ARGUMENT
   */
  detach(given: unknown): Promise<DrainResult> {
    return this.run(async () => {
      const settings = resolveDrain(given ?? { timeoutMs: 0 }, this.context.encoder);
      const result = await this.moveClients(settings);
      if (this.isClosing) return (await this.lastClose, result);
      for (const end of this.mounts) end();
      forEachInTurn(this.undo.splice(0).reverse(), (undo) => undo());
      for (const server of this.servers.values()) server.release();
      this.signals?.stop();
      this.engines = new Set();
      this.servers = new Map();
      this.apps = new Set();
      this.context.engine = this.context.eio = this.context.httpServer = undefined;
      return result;
    });
  }

  private run(work: () => Promise<DrainResult>): Promise<DrainResult> {
    if (!this.isDraining) this.drainedAt = Date.now();
    return (this.draining ??= work().finally(() => (this.draining = this.drain = null)));
  }

  private async moveClients(settings: ResolvedDrainOptions): Promise<DrainResult> {
    this.addLast();
    for (const engine of this.engines) engine.refuseSessions?.(SERVER_DRAINING);
    for (const { adapter } of this.context._nsps.values()) void this.tellAdapter(adapter);
    this.drain = new Drain(this.findClients(), this.foreign?.webSockets() ?? [], settings);
    return this.drain.done;
  }

  private async tellAdapter(adapter: ClosableNamespace["adapter"]): Promise<void> {
    try {
      await adapter.drain?.();
    } catch (error) {
      this.context._warnings.warn("ROOMCAST_CALLBACK_FAILED", "adapter.drain failed", error);
    }
  }

  /** All clients: those of engines, and those in namespaces, which may have come through `io.onconnection`. */
  private findClients(): Set<AnyClient> {
    const clients = new Set<AnyClient>();
    for (const engine of this.engines) {
      for (const { owner } of Object.values(engine.clients ?? {})) if (owner instanceof Client) clients.add(owner);
    }
    for (const { sockets } of this.context._nsps.values()) for (const socket of sockets.values()) clients.add(socket.client);
    return clients;
  }
}

async function closeAll(
  context: ClosableServerContext,
  engines: readonly ClosableEngine[],
  servers: readonly ClosableServer[],
  timeoutMs: number,
): Promise<Error | undefined> {
  const timeLimit = new TimeLimit(timeoutMs);
  try {
    for (const engine of engines) engine.refuseSessions?.(SERVER_CLOSING);
    await Promise.race([Promise.allSettled([...context._nsps.values()].map(closeNamespace)), timeLimit.due]);
    for (const engine of engines) engine.close();
    context._timedAcks.failAll();
    const closed = Promise.all(servers.map((server) => server.close())).then((errors) => errors.at(-1));
    if ((await Promise.race([closed.then(() => "closed"), timeLimit.due])) === "closed") return await closed;
    for (const engine of engines) engine.cut?.();
    for (const server of servers) server.cut();
    const cutLimit = new TimeLimit(CUT_MS);
    return await Promise.race([closed, cutLimit.due]).finally(() => cutLimit.cancel());
  } finally {
    timeLimit.cancel();
  }
}

async function closeNamespace(nsp: ClosableNamespace): Promise<void> {
  try {
    nsp._closeSockets("server shutting down");
  } finally {
    await nsp.adapter.close();
  }
}

/** A deadline as a promise; with `Infinity` it never resolves. */
class TimeLimit extends Deadline<null> {
  readonly due: Promise<undefined>;

  constructor(ms: number) {
    let onDue!: () => void;
    super(() => onDue(), null);
    this.due = new Promise((resolve) => (onDue = () => resolve(undefined)));
    if (ms !== Infinity) this.start(ms);
  }
}

/** An HTTP server to which the Socket.IO server is attached. */
class ClosableServer {
  private readonly server: TServerInstance;
  /** Its connections, if the server cannot close them (HTTP/2) or doesn't know all of them (TLS: those in the handshake); else null. */
  private readonly connections: Set<NetSocket> | null;
  private closing: Promise<Error | undefined> | null = null;

  constructor(server: TServerInstance) {
    this.server = server;
    const isPlain = typeof (server as HTTPServer).closeAllConnections === "function" && !("setSecureContext" in server);
    this.connections = isPlain ? null : new Set();
    if (!isPlain) (server as HTTPServer).on("connection", this.track);
  }

  /** Takes back what the constructor has done. */
  release(): void {
    (this.server as HTTPServer).removeListener("connection", this.track);
  }

  /** Closes the server, once. Resolves with an error if it was not running. */
  close(): Promise<Error | undefined> {
    return (this.closing ??= new Promise((resolve) => {
      this.server.close((error) => resolve(error));
    }));
  }

  /** Cuts its HTTP connections, including those whose requests other listeners answer. WebSockets of other packages stay open. */
  cut(): void {
    (this.server as Partial<HTTPServer>).closeAllConnections?.();
    for (const socket of this.connections ?? []) socket.destroy();
  }

  private readonly track = (socket: NetSocket): void => {
    this.connections!.add(socket);
    socket.once("close", () => this.connections!.delete(socket));
  };
}
