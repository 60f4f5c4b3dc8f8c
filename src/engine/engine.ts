// Judges and opens: the part of the engine that no HTTP server shows through. The doors for requests are in hosts/.
import type { serialize } from "cookie";
import debugModule from "debug";
import { EventEmitter } from "node:events";
import { UsageError } from "../errors";
import { generateId } from "../support/ids";
import { hasListeners } from "../support/lean-emitter";
import { holdExitFlush, releaseExitFlush } from "./flush";
import { corsMiddleware } from "./cors";
import type { EngineRequest, Exchange, ResponseHeaders } from "./host";
import { Compression } from "./http-compression";
import { resolveLimits, type Limits } from "./limits";
import { runMiddlewares, type Middleware } from "./middleware";
import { resolveOptions, type CookieOptions, type EngineOptions, type ServerOptions } from "./options";
import { KeptRequest } from "./request";
import { Session } from "./session";
import type { SessionHost } from "./session-host";
import type { Transport, TransportName } from "./transport";
import { PollingTransport, type PollingSettings } from "./transports/polling";
import { endSession, WebTransportTransport, type WebTransportSession } from "./transports/webtransport";
import { ERRORS, ERROR_MESSAGES, refuse, revisionOf, supportsBinary, verify, type Refusal } from "./verification";
import { WebTransportHandshake } from "./webtransport-handshake";

const debug = debugModule("engine");

/** A function that receives the outcome of a check: an error number and its context, or nothing. */
export type ErrorCallback = (errorCode?: number, errorContext?: Record<string, unknown>) => void;

const UPGRADES: Record<string, TransportName[]> = { polling: ["websocket", "webtransport"], websocket: [], webtransport: [] };

/**
 * The engine: a table of sessions, and the judgement on who gets one.
 *
 * Events: `connection(session)`, `connection_error({ req, code, message, context })`, `initial_headers(headers, req)`,
 * `headers(headers, req)`, `flush(session, buffer)`, `drain(session)`.
 */
export abstract class BaseServer extends EventEmitter implements SessionHost {
  /** Numbers of the errors that refusals carry. */
  static readonly errors = ERRORS;
  /** Texts of these errors. */
  static readonly errorMessages = ERROR_MESSAGES;

  /** Effective options. Timings are read when used, so changing them here affects later handshakes and timers. */
  opts: EngineOptions;
  /** Open sessions by id. */
  readonly clients: Record<string, Session>;
  /** How many sessions are open. */
  clientsCount: number;
  /** @internal */ readonly limits: Limits;
  /** @internal */ isFlushObserved: boolean;
  protected readonly middlewares: Middleware[];
  protected readonly corsMiddleware: Middleware | null;
  protected pollingSettings: PollingSettings;
  private readonly handshakes: Set<WebTransportHandshake>;
  private isExitFlushHeld: boolean;

  /** @throws UsageError RC_ERR_OPTION on an option that cannot work */
  constructor(options: ServerOptions = {}) {
    super();
    this.opts = resolveOptions(options);
    this.clients = {};
    this.clientsCount = 0;
    this.limits = resolveLimits(this.opts.limits);
    this.isFlushObserved = false;
    this.middlewares = [];
    this.corsMiddleware = corsMiddleware(this.opts.cors) as Middleware | null;
    this.pollingSettings = this.makePollingSettings();
    this.handshakes = new Set();
    this.isExitFlushHeld = false;
  }

  /**
   * Names the transports a session may move to from `transport`.
   * @returns `["websocket", "webtransport"]` for polling, else nothing; nothing at all with `allowUpgrades: false`
   */
  upgrades(transport: string): TransportName[] {
    return this.opts.allowUpgrades ? (UPGRADES[transport] ?? []).slice() : [];
  }

  /**
   * Registers a middleware, run in order for every request and upgrade request of the engine, before anything is judged.
   * A truthy argument to `next`, a throw or a rejection refuses the request with code 3.
   */
  use(fn: Middleware): this {
    if (typeof fn !== "function") throw new UsageError("RC_ERR_ARGUMENT", `engine.use: expected a function, met ${typeof fn}`);
    this.middlewares.push(fn);
    return this;
  }

  /**
   * Gives the id of a new session: 20 characters of `[A-Za-z0-9_-]`. Meant to be overridden.
   * @param _req  the handshake request
   * @returns the id or a promise of it; must be unique, or the handshake is refused
   */
  generateId(_req: EngineRequest): string | PromiseLike<string> {
    return generateId();
  }

  /**
   * Takes a WebTransport session of the user's HTTP/3 server: a new session of ours, or the upgrade of one.
   * It is closed when `webtransport` isn't enabled, when a middleware is registered (there is no request to run it on), or when
   * the client doesn't open a stream and send its first packet within `upgradeTimeout`.
   */
  async onWebTransportSession(session: WebTransportSession): Promise<void> {
    if (typeof session?.close !== "function" || session.incomingBidirectionalStreams === undefined) {
      throw new UsageError("RC_ERR_ARGUMENT", `engine.onWebTransportSession: expected a WebTransport session, met ${typeof session}`);
    }
    if (this.middlewares.length > 0 || !this.opts.transports.includes("webtransport")) {
      debug("closing a WebTransport session: not enabled, or middlewares are registered");
      session.closed.then(undefined, () => {});
      return endSession(session);
    }
    const { upgradeTimeout, maxHttpBufferSize } = this.opts;
    const handshake = new WebTransportHandshake(session, { timeoutMs: upgradeTimeout, maxPayloadBytes: Number(maxHttpBufferSize) });
    this.handshakes.add(handshake);
    const opened = await handshake.run();
    this.handshakes.delete(handshake);
    if (opened === null) return;
    const { stream, request } = opened;
    const transport = new WebTransportTransport(stream);
    try {
      if (request.kind === "open") {
        this.openSession(generateId(), transport, null);
      } else {
        const found = this.findSession(request.sid);
        if (found?.protocol === 4) found.maybeUpgrade(transport);
        else transport.close();
      }
    } finally {
      transport.start(); // also when a listener of `connection` threw: the session is there
    }
  }

  /** Ends every session at once (`forced close`) and stops taking WebSockets; the HTTP server is left as it is. */
  close(): this {
    debug("closing all open clients");
    for (const handshake of this.handshakes) handshake.cancel();
    for (const session of Object.values(this.clients)) session.close(true);
    if (this.isExitFlushHeld) releaseExitFlush();
    this.isExitFlushHeld = false;
    this.cleanup();
    return this;
  }

  /** Lets go of what the host opened. */
  protected abstract cleanup(): void;

  /** @internal */
  onSessionEnd(session: Session): void {
    if (this.findSession(session.id) !== session) return;
    delete this.clients[session.id];
    this.clientsCount--;
  }

  protected findSession(sid: string): Session | undefined {
    return Object.hasOwn(this.clients, sid) ? this.clients[sid] : undefined;
  }

  protected verify(request: EngineRequest, isUpgrade: boolean): Session | Refusal | null {
    return verify(request, isUpgrade, this.opts.transports, (sid) => this.findSession(sid));
  }

  protected runMiddlewares(request: EngineRequest, response: unknown, done: (error: unknown) => void): void {
    const list = this.corsMiddleware === null ? this.middlewares : [this.corsMiddleware, ...this.middlewares];
    runMiddlewares(list, request, response as never, done);
  }

  protected get hasMiddlewares(): boolean {
    return this.corsMiddleware !== null || this.middlewares.length > 0;
  }

  protected middlewareRefusal(error: unknown): Refusal {
    return refuse(ERRORS.BAD_REQUEST, { name: "MIDDLEWARE_FAILURE", error });
  }

  /** Tells listeners of a refusal. */
  protected emitRefusal(req: EngineRequest, refusal: Refusal): void {
    debug("refused: %s %o", ERROR_MESSAGES[refusal.code], refusal.context);
    this.emit("connection_error", { req, code: refusal.code, message: ERROR_MESSAGES[refusal.code], context: refusal.context });
  }

  // -- requests ------------------------------------------------------------------------------------

  /** Answers a request. @param error  what a middleware refused it with */
  protected answer(exchange: Exchange, error: unknown): void {
    if (error) return this.refuseRequest(exchange, this.middlewareRefusal(error));
    const found = this.verify(exchange.request, false);
    if (found === null) this.handshakePolling(exchange);
    else if (found instanceof Session) (found.transport as PollingTransport).onRequest(exchange);
    else this.refuseRequest(exchange, found);
  }

  protected handshakePolling(exchange: Exchange): void {
    const { request } = exchange;
    this.admit(
      request,
      () => exchange.isGone,
      (refusal, sid) => {
        if (refusal !== null) return this.refuseRequest(exchange, refusal);
        const { j } = request._query;
        const jsonp = j === undefined ? null : j.replace(/[^0-9]/g, "");
        const transport = new PollingTransport(revisionOf(request._query), supportsBinary(request._query), jsonp, this.pollingSettings);
        transport.onRequest(exchange);
        this.openSession(sid, transport, request);
      },
    );
  }

  protected refuseRequest(exchange: Exchange, refusal: Refusal): void {
    this.emitRefusal(exchange.request, refusal);
    const body = JSON.stringify({ code: refusal.code, message: refusal.message ?? ERROR_MESSAGES[refusal.code] });
    const headers = { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) };
    exchange.respond(refusal.code === ERRORS.FORBIDDEN ? 403 : 400, headers, body);
  }

  // -- handshake -----------------------------------------------------------------------------------

  /**
   * Judges a handshake that `verify` let pass: `allowRequest`, revision, id.
   * @param isGone  whether the peer has left meanwhile; then nothing further happens
   * @param done    called once unless the peer is gone: with a refusal, or with the id of the session to be
   */
  protected admit(request: EngineRequest, isGone: () => boolean, done: (refusal: Refusal | null, sid: string) => void): void {
    const { allowRequest } = this.opts;
    if (allowRequest == null) return this.admitRevision(request, isGone, done);
    let isAnswered = false;
    allowRequest(request, (error, isAllowed) => {
      if (isAnswered) return;
      isAnswered = true;
      if (isGone()) return;
      if (!isAllowed) return done(refuse(ERRORS.FORBIDDEN, { message: error }, error || ERROR_MESSAGES[ERRORS.FORBIDDEN]), "");
      this.admitRevision(request, isGone, done);
    });
  }

  private admitRevision(request: EngineRequest, isGone: () => boolean, done: (refusal: Refusal | null, sid: string) => void): void {
    if (revisionOf(request._query) === 3 && !this.opts.allowEIO3) {
      return done(refuse(ERRORS.UNSUPPORTED_PROTOCOL_VERSION, { protocol: 3 }), "");
    }
    const settle = (sid: unknown): void => {
      if (isGone()) return;
      const problem = this.idProblem(sid);
      if (problem === null) done(null, sid as string);
      else fail(new Error(problem));
    };
    const fail = (error: unknown): void => {
      if (!isGone()) done(refuse(ERRORS.BAD_REQUEST, { name: "ID_GENERATION_ERROR", error }), "");
    };
    let sid: string | PromiseLike<string>;
    try {
      sid = this.generateId(request);
    } catch (error) {
      return fail(error);
    }
    if (typeof sid === "string") settle(sid);
    else if (typeof (sid as PromiseLike<string> | undefined)?.then === "function") sid.then(settle, fail);
    else settle(sid);
  }

  private idProblem(sid: unknown): string | null {
    if (typeof sid !== "string" || sid === "") return `generateId: expected a non-empty string, met ${typeof sid}`;
    if (this.findSession(sid) !== undefined || sid === "__proto__") return "generateId: this id is already in use";
    return null;
  }

  /**
   * Opens the session of an accepted handshake and announces it.
   * @param afterOpen  runs between the open packet and the `connection` event
   */
  protected openSession(sid: string, transport: Transport, request: EngineRequest | null, afterOpen?: () => void): Session {
    const kept = request === null ? null : this.keep(request, transport.name);
    const session = new Session(sid, this, transport, kept, remoteAddressOf(request));
    this.clients[sid] = session;
    this.clientsCount++;
    if (!this.isExitFlushHeld) {
      this.isExitFlushHeld = true;
      holdExitFlush();
    }
    session.open(this.openPayload(sid, transport.name), this.opts.initialPacket as string | undefined);
    afterOpen?.();
    if (request !== null) (request as { res: unknown }).res = null; // frees the response's memory
    if (session.readyState !== "closed") this.emit("connection", session);
    return session;
  }

  /** What stays of a handshake's request. */
  protected keep(request: EngineRequest, transport: TransportName): KeptRequest | EngineRequest {
    return this.mustKeepRequest(transport) ? request : new KeptRequest(request);
  }

  /** Whether somebody may have looked at the request, or wants to: then it is kept instead of being rebuilt on demand. */
  protected mustKeepRequest(_transport: TransportName): boolean {
    return (
      this.opts.keepRequest === true ||
      this.middlewares.length > 0 ||
      this.opts.allowRequest != null ||
      this.generateId !== BaseServer.prototype.generateId ||
      hasListeners(this, "initial_headers") ||
      hasListeners(this, "headers") ||
      typeof this.opts.cors === "function"
    );
  }

  /** The payload of the open packet (Engine.IO protocol, "Handshake"); these five keys in this order. */
  private openPayload(sid: string, transport: TransportName): string {
    const { pingInterval, pingTimeout, maxHttpBufferSize, transports } = this.opts;
    const upgrades = this.upgrades(transport).filter((name) => transports.includes(name));
    return (
      `{"sid":${JSON.stringify(sid)},"upgrades":${JSON.stringify(upgrades)},"pingInterval":${JSON.stringify(pingInterval)},` +
      `"pingTimeout":${JSON.stringify(pingTimeout)},"maxPayload":${JSON.stringify(maxHttpBufferSize)}}`
    );
  }

  // -- headers -------------------------------------------------------------------------------------

  /** Lets listeners add headers; `initial_headers` comes first, once per session. */
  protected decorateHeaders(headers: ResponseHeaders, request: EngineRequest, isHandshake: boolean): void {
    if (isHandshake) this.emit("initial_headers", headers, request);
    if (this.emit !== EventEmitter.prototype.emit || hasListeners(this, "headers")) this.emit("headers", headers, request);
  }

  private makePollingSettings(): PollingSettings {
    const { httpCompression, cookie } = this.opts;
    if (cookie) cookieFor(cookie as CookieOptions, ""); // a malformed name or attribute is met at start-up
    return {
      maxPayloadBytes: () => Number(this.opts.maxHttpBufferSize),
      overlapStatus: 400,
      endsOnFlawedBody: false,
      compression: httpCompression ? new Compression(httpCompression as { threshold: number }) : null,
      decorateHeaders: (headers, exchange: Exchange, isHandshake) => this.decorateHeaders(headers, exchange.request, isHandshake),
      handshakeHeaders: (sid) => (cookie ? { "Set-Cookie": [cookieFor(cookie as CookieOptions, sid)] } : null),
    };
  }
}

function remoteAddressOf(request: EngineRequest | null): string | undefined {
  return request === null ? undefined : (request.socket ?? request.connection)?.remoteAddress;
}

/** The `Set-Cookie` value that names a session; attributes given as `false` are left out. */
function cookieFor(options: CookieOptions, sid: string): string {
  const { name, ...attributes } = options;
  const given = Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== false && value !== undefined));
  if (given["httpOnly"]) given["httpOnly"] = true;
  const cookie = require("cookie") as { serialize: typeof serialize };
  return cookie.serialize(name!, sid, given as never);
}

// Each packet that is sent asks whether somebody listens to `flush` or `drain`: a field is read in 2 ns, the table of listeners in 36 ns.
for (const name of ["on", "addListener", "prependListener", "off", "removeListener", "removeAllListeners"] as const) {
  const original = EventEmitter.prototype[name] as (...args: unknown[]) => BaseServer;
  Object.defineProperty(BaseServer.prototype, name, {
    configurable: true,
    writable: true,
    value(this: BaseServer, ...args: unknown[]) {
      original.apply(this, args);
      this.isFlushObserved = hasListeners(this, "flush") || hasListeners(this, "drain");
      return this;
    },
  });
}
