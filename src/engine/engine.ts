// The engine: it verifies handshakes, opens sessions and keeps their table. It is independent of the HTTP server, see hosts/.
import debugModule from "debug";
import { EventEmitter } from "node:events";
import { UsageError } from "../errors";
import { throwLater } from "../support/ask";
import { generateId } from "../support/ids";
import { quoted } from "../support/log-text";
import { causeOf, describeContext, logRequest } from "./log";
import { hasListeners } from "../support/lean-emitter";
import { isReplaced } from "../support/replaced-methods";
import { kWarnings, Warnings } from "../support/warnings";
import { holdExit, releaseExit } from "./turn";
import { Admission, refusalOfMiddleware } from "./admission";
import { handshakeRefuse, handshakeStart, sessionClose, sessionOpen } from "./channels";
import type { CloseReason } from "./close-reason";
import { coarseClock } from "./coarse-clock";
import { corsMiddleware } from "./cors";
import { Counts } from "./counts";
import { describeRefusal } from "./disconnect-details";
import { Endings } from "./endings";
import { HandshakeChecks, type OnChecked } from "./handshake-checks";
import { headerErrorOf } from "./headers";
import type { ForeignSessions } from "./foreign-sessions";
import { LatePosts } from "./late-posts";
import { tieExchange, type EngineRequest, type Exchange, type ResponseHeaders } from "./host";
import { resolveLimits, type Limits } from "./limits";
import { runMiddlewares, type Middleware } from "./middleware";
import { Origins } from "./origins";
import { openPayload } from "./open-payload";
import { adviceOn } from "./option-advice";
import { resolveOptions, type ResolvedEngineOptions, type EngineOptions } from "./options";
import { KeptRequest, remoteAddressOf } from "./request";
import { Session } from "./session";
import type { SessionHost } from "./session-host";
import { BufferedTotal, InputTotal } from "./totals";
import type { Transport, TransportName } from "./transport";
import { PollingTransport, type PollingSettings } from "./transports/polling";
import { pollingSettingsOf } from "./transports/polling-settings";
import { endSession, WebTransportTransport, type WebTransportSession } from "./transports/webtransport";
import { ERRORS, ERROR_MESSAGES, refusalResponse, revisionOf, supportsBinary, verify, type Refusal } from "./verification";
import { WebTransportHandshake } from "./webtransport-handshake";

const debug = debugModule("engine");
const debugSocket = debugModule("engine:socket");

/** Receives the result of a check: an error code and its context, or nothing. */
export type ErrorCallback = (errorCode?: number, errorContext?: Record<string, unknown>) => void;

const UPGRADES: Record<string, TransportName[]> = { polling: ["websocket", "webtransport"], websocket: [], webtransport: [] };

/**
 * The engine without a host: the table of sessions, the checks of handshakes, the endings.
 *
 * Events: `connection(session)`, `connection_error({ req, code, message, context })`, `initial_headers(headers, req)`,
 * `headers(headers, req)`, `flush(session, buffer)`, `drain(session)`.
 */
export abstract class BaseServer extends EventEmitter implements SessionHost {
  /** Error codes of refusals. */
  static readonly errors = ERRORS;
  /** Messages of these codes. */
  static readonly errorMessages = ERROR_MESSAGES;

  /** Effective options. Times are read at each use, so a change has effect on later handshakes and timers. */
  opts: ResolvedEngineOptions;
  /** Open sessions by id. */
  readonly clients: Record<string, Session>;
  /** How many sessions are open. */
  clientsCount: number;
  /** How sessions and sockets ended, and what was refused; see `Counts`. */
  readonly counts: Counts;
  /** @internal The sessions of other processes; null unless they are carried. */ foreign: ForeignSessions | null;
  /** @internal */ readonly limits: Limits;
  /** @internal */ readonly total: BufferedTotal;
  /** @internal */ readonly inputTotal: InputTotal;
  protected readonly warnings: Warnings;
  private readonly onMiddlewareFailure: (error: unknown) => void;
  /** Called with the error when the head of a response can't be sent. */
  protected readonly onHeadFailure: (error: unknown) => void;
  private readonly origins: Origins | null;
  private readonly checks: HandshakeChecks;
  protected readonly middlewares: Middleware[];
  protected readonly corsMiddleware: Middleware | null;
  protected pollingSettings: PollingSettings;
  /** @internal Connections that are being closed. */ readonly endings: Endings;
  /** @internal Null unless `limits` bound handshakes. */ readonly admission: Admission | null;
  /** Why handshakes are refused once the server closes or drains; null before (ROB-207, ROB-725). */
  protected sessionRefusal: Refusal | null;
  /** @internal WebTransport handshakes that are under way. */ readonly handshakes: Set<WebTransportHandshake>;
  private isExitFlushHeld: boolean;
  /** @internal */ readonly latePosts: LatePosts;

  /** @throws UsageError RC_ERR_OPTION on an option that cannot work */
  constructor(options: EngineOptions = {}) {
    super();
    this.opts = resolveOptions(options);
    this.clients = {};
    this.clientsCount = 0;
    this.counts = new Counts(this);
    this.foreign = null;
    this.limits = resolveLimits(this.opts.limits, Number(this.opts.maxHttpBufferSize));
    this.total = new BufferedTotal(this.limits, () => Object.values(this.clients));
    this.inputTotal = new InputTotal(this.limits, this.counts, () => Object.values(this.clients));
    this.warnings = (options as { [kWarnings]?: Warnings })[kWarnings] ?? new Warnings();
    for (const text of adviceOn(options)) this.warnings.advise("ROOMCAST_OPTION", text);
    this.onMiddlewareFailure = (error) => this.warnings.warn("ROOMCAST_MIDDLEWARE_FAILED", "a middleware of the engine failed", error);
    this.onHeadFailure = (error) =>
      this.warnings.warn("ROOMCAST_HEADER_INVALID", "a response header that the application set can't be sent, 500 was answered", error);
    this.origins = Origins.from(this.opts.origins, this.warnings);
    this.checks = new HandshakeChecks({
      opts: () => this.opts,
      sessionRefusal: () => this.sessionRefusal,
      generateId: (request) => this.generateId(request),
      hasSession: (sid) => this.findSession(sid) !== undefined,
      warn: (name, error) => this.warnOfCallback(name, error),
      origins: this.origins,
    });
    this.middlewares = [];
    this.corsMiddleware = corsMiddleware(this.opts.cors, {
      onFailure: (error) => this.warnOfCallback("a function of the option cors", error),
      allowPrivateNetwork: this.opts.allowPrivateNetwork === true,
    }) as Middleware | null;
    this.pollingSettings = pollingSettingsOf(this.opts, this.inputTotal, (headers, exchange, isHandshake) =>
      this.decorateHeaders(headers, exchange.request, isHandshake),
    );
    this.admission = Admission.from(this, this.limits, this.opts.trustedProxies);
    this.endings = new Endings();
    this.sessionRefusal = null;
    this.handshakes = new Set();
    this.isExitFlushHeld = false;
    this.latePosts = new LatePosts(this.pollingSettings);
  }

  /** Transports that a session can upgrade to from `transport`: none with `allowUpgrades: false` (ENG-7). */
  upgrades(transport: string): TransportName[] {
    return this.opts.allowUpgrades ? (UPGRADES[transport] ?? []).slice() : [];
  }

  /** Registers a middleware. Middlewares run in order for every HTTP and upgrade request of the engine, before verification.
   * A truthy argument of `next`, an exception or a rejection refuses the request with code 3. */
  use(fn: Middleware): this {
    if (typeof fn !== "function") throw new UsageError("RC_ERR_ARGUMENT", `engine.use: expected a function, met ${typeof fn}`);
    this.middlewares.push(fn);
    return this;
  }

  /** Generates the id of a new session: 20 characters of `[A-Za-z0-9_-]`. Programs may override it.
   * @param _req  the handshake request
   * @returns the id or a promise of it; must be unique, or the handshake is refused */
  generateId(_req: EngineRequest): string | PromiseLike<string> {
    return this.foreign === null ? generateId() : this.foreign.generateId();
  }

  /**
   * Accepts a WebTransport session of the user's HTTP/3 server: a handshake, or the upgrade of a session.
   * It is closed when `webtransport` isn't enabled (ENG-176), when a middleware is registered (there is no request to run it on, ENG-171), or
   * when the client doesn't open a stream and send its first packet within `upgradeTimeout` (ENG-172).
   * @param headers  headers of its CONNECT request. With the option `origins` a session without them, or with a refused origin, is closed
   */
  async onWebTransportSession(session: WebTransportSession, headers?: Readonly<Record<string, unknown>>): Promise<void> {
    if (typeof session?.close !== "function" || session.incomingBidirectionalStreams === undefined) {
      throw new UsageError("RC_ERR_ARGUMENT", `engine.onWebTransportSession: expected a WebTransport session, met ${typeof session}`);
    }
    if (this.sessionRefusal !== null || this.middlewares.length > 0 || !this.opts.transports.includes("webtransport")) {
      debug("closing a WebTransport session: not enabled, middlewares are registered, or the server closes");
      if (this.sessionRefusal !== null) this.countRefusal(null, this.sessionRefusal);
      session.closed.then(undefined, () => {});
      return endSession(session);
    }
    if (this.origins !== null && !(await this.origins.allowsWebTransport(headers))) {
      debug("closing a WebTransport session: its origin is not allowed");
      session.closed.then(undefined, () => {});
      return endSession(session);
    }
    const { inputTotal, endings } = this;
    const { upgradeTimeout: timeoutMs, maxHttpBufferSize } = this.opts;
    const handshake = new WebTransportHandshake(session, { timeoutMs, maxPayloadBytes: Number(maxHttpBufferSize), inputTotal });
    this.handshakes.add(handshake);
    const opened = await handshake.run();
    this.handshakes.delete(handshake);
    if (opened === null) return;
    const { stream, request } = opened;
    const transport = new WebTransportTransport(stream, { endings, inputTotal, writesAtOnce: this.opts.flush === "immediate" });
    try {
      const refusal = request.kind === "open" ? (this.sessionRefusal ?? this.admission?.refusalFor(null) ?? null) : null;
      if (refusal !== null) {
        this.countRefusal(null, refusal);
        transport.close();
      } else if (request.kind === "open") this.openSession(generateId(), transport, null);
      else {
        const found = this.findSession(request.sid);
        if (found?.protocol === 4) found.maybeUpgrade(transport);
        else transport.close();
      }
    } finally {
      transport.start(); // also when a listener of `connection` threw: the session is open
    }
  }

  /** Ends every session at once (`forced close`) and closes the WebSocket server; doesn't close the HTTP server (ENG-164). */
  close(): this {
    debug("closing all open clients");
    for (const handshake of this.handshakes) handshake.cancel();
    for (const session of Object.values(this.clients)) session.close(true);
    if (this.isExitFlushHeld) releaseExit();
    this.isExitFlushHeld = false;
    this.cleanup();
    return this;
  }

  /** Open sessions go on until `close`, but no new one is opened, also from handshakes that are under way. @internal */
  refuseSessions(refusal: Refusal): void {
    this.sessionRefusal = refusal;
  }

  /** Counterpart of `refuseSessions`. @internal */
  admitSessions(): void {
    this.sessionRefusal = null;
    this.latePosts.clear();
  }

  /** Destroys connections that are being closed, without waiting for their peers. @internal */
  cut(): void {
    this.endings.cutAll();
  }

  /** Closes what the host has opened. */
  protected abstract cleanup(): void;

  /** @internal */
  onSessionEnd(session: Session, reason: CloseReason, description?: unknown): void {
    if (debugSocket.enabled)
      debugSocket("%s: closed over %s: %s%s", quoted(session.id), session.transport.name, reason, causeOf(description));
    const error = description ?? session.violation ?? undefined;
    this.counts.onSessionEnd(reason, error);
    if (sessionClose.hasSubscribers) sessionClose.publish({ session, reason, error });
    if (this.findSession(session.id) !== session) return;
    delete this.clients[session.id];
    if (this.sessionRefusal !== null) this.latePosts.onSessionEnd(session);
    if (--this.clientsCount === 0) coarseClock.release();
    this.admission?.onEnd(session);
  }

  /** Only own properties are sessions (ENG-6). */
  protected findSession(sid: string): Session | undefined {
    return Object.hasOwn(this.clients, sid) ? this.clients[sid] : undefined;
  }

  protected verify(request: EngineRequest, isUpgrade: boolean): ReturnType<typeof verify> {
    if (debug.enabled) logRequest(request, { needsCors: !isUpgrade && this.corsMiddleware === null });
    const found = verify(request, isUpgrade, this.opts.transports, (sid) => this.findSession(sid), this.foreign);
    return found === "foreign" && isUpgrade ? (this.sessionRefusal ?? found) : found; // ROB-925
  }

  protected runMiddlewares(request: EngineRequest, response: unknown, done: (error: unknown) => void): void {
    const isCounted = this.middlewares.length > 0 && this.findSession(request._query["sid"] ?? "") === undefined; // ROB-772
    const gate = isCounted ? this.admission?.middlewareGate(done) : undefined;
    const before = this.corsMiddleware === null ? [] : [this.corsMiddleware];
    const list = gate === undefined ? [...before, ...this.middlewares] : [...before, gate.enter, ...this.middlewares];
    runMiddlewares(list, request, response as never, gate?.leave ?? done, this.onMiddlewareFailure);
  }

  /** Raises the process warning that a function of the application failed while a client waited for its answer (ROB-203). */
  private warnOfCallback(name: string, error: unknown): void {
    this.warnings.warn("ROOMCAST_CALLBACK_FAILED", `${name} failed`, error);
  }

  protected get hasMiddlewares(): boolean {
    return this.corsMiddleware !== null || this.middlewares.length > 0;
  }

  private countRefusal(request: EngineRequest | null, refusal: Refusal): void {
    const { code, context } = refusal;
    this.counts.onRefusal(refusal);
    if (debug.enabled) debug("refused: %s%s", ERROR_MESSAGES[code], describeContext(refusal));
    const message = ERROR_MESSAGES[code];
    if (handshakeRefuse.hasSubscribers) handshakeRefuse.publish({ engine: this, request, code, message, context });
  }

  /** Emits `connection_error` (ENG-41). */
  protected emitRefusal(req: EngineRequest, refusal: Refusal): void {
    this.countRefusal(req, refusal);
    const message = ERROR_MESSAGES[refusal.code];
    this.emit("connection_error", { req, code: refusal.code, message, context: refusal.context, details: describeRefusal(refusal) });
  }

  // -- requests ------------------------------------------------------------------------------------

  /** Answers a request. @param error  the error of a middleware, else falsy */
  protected answer(exchange: Exchange, error: unknown): void {
    if (error) return this.refuseRequest(exchange, refusalOfMiddleware(error));
    const found = this.verify(exchange.request, false);
    tieExchange(exchange);
    if (found === null) this.handshakePolling(exchange);
    else if (found instanceof Session) (found.transport as PollingTransport).onRequest(exchange.request);
    else if (found === "foreign") this.foreign!.takeRequest(exchange, this.pollingSettings.bodyLimits());
    else if (!this.latePosts.answer(exchange)) this.refuseRequest(exchange, found);
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
        transport.onRequest(request);
        this.openSession(sid, transport, request);
      },
    );
  }

  protected refuseRequest(exchange: Exchange, refusal: Refusal): void {
    try {
      this.emitRefusal(exchange.request, refusal);
    } finally {
      const { status, headers, body } = refusalResponse(refusal);
      exchange.refuse(status, headers, body);
    }
  }

  // -- handshake -----------------------------------------------------------------------------------

  /**
   * Checks a handshake after `verify`: limits, and `HandshakeChecks`.
   * @param isGone  whether the peer has left meanwhile; nothing else happens then
   * @param done    called once unless the peer has left: with a refusal, or with the id of the new session
   */
  protected admit(request: EngineRequest, isGone: () => boolean, done: OnChecked): void {
    if (handshakeStart.hasSubscribers) handshakeStart.publish({ engine: this, request });
    if (this.sessionRefusal !== null) return done(this.sessionRefusal, "");
    const unlessGone: OnChecked = (refusal, sid) => {
      if (!isGone()) done(refusal, sid);
    };
    if (this.admission === null) this.checks.run(request, isGone, unlessGone);
    else this.admission.run(request, unlessGone, (checked) => this.checks.run(request, isGone, checked));
  }

  /**
   * Opens the session of an accepted handshake and emits `connection`.
   * @param afterOpen  runs between the open packet and the `connection` event
   */
  protected openSession(sid: string, transport: Transport, request: EngineRequest | null, afterOpen?: () => void): Session {
    const kept = request === null ? null : this.keep(request, transport.name);
    const session = new Session(sid, this, transport, kept, remoteAddressOf(request));
    if (debugSocket.enabled) debugSocket("%s: opens over %s, revision %d", quoted(sid), transport.name, transport.protocol);
    this.clients[sid] = session;
    if (this.clientsCount++ === 0) coarseClock.hold();
    this.admission?.onOpen(session, request);
    if (!this.isExitFlushHeld) holdExit();
    this.isExitFlushHeld = true;
    if (sessionOpen.hasSubscribers) sessionOpen.publish({ session, request });
    session.open(openPayload(sid, this.upgrades(transport.name), this.opts), this.opts.initialPacket as string | undefined);
    afterOpen?.();
    if (request !== null) (request as { res: unknown }).res = null; // frees the response's memory (ENG-131)
    if (session.readyState !== "closed") this.emit("connection", session);
    return session;
  }

  /** The part of a handshake request that the session keeps. */
  protected keep(request: EngineRequest, transport: TransportName): KeptRequest | EngineRequest {
    return this.mustKeepRequest(transport) ? request : new KeptRequest(request);
  }

  /** Whether the request object itself must be kept, because user code may have seen it; else it is rebuilt at the first access. */
  protected mustKeepRequest(_transport: TransportName): boolean {
    return (
      this.opts.keepRequest === true ||
      this.middlewares.length > 0 ||
      this.opts.allowRequest != null ||
      isReplaced("engine.generateId", this.generateId, BaseServer.prototype.generateId) ||
      hasListeners(this, "initial_headers") ||
      hasListeners(this, "headers") ||
      typeof this.opts.cors === "function"
    );
  }

  // -- headers -------------------------------------------------------------------------------------

  /**
   * Emits `initial_headers` (handshake only) and `headers`, whose listeners add headers (ENG-78).
   * @returns false when the headers can't be sent, or a listener threw: the answer is 500 then (ROB-204, ROB-205)
   */
  protected decorateHeaders(headers: ResponseHeaders, request: EngineRequest, isHandshake: boolean): boolean {
    const isEmitReplaced = isReplaced("engine.emit", this.emit, EventEmitter.prototype.emit);
    const emitsInitial = isHandshake && (isEmitReplaced || hasListeners(this, "initial_headers"));
    const emitsHeaders = isEmitReplaced || hasListeners(this, "headers");
    if (!emitsInitial && !emitsHeaders) return true;
    try {
      if (emitsInitial) this.emit("initial_headers", headers, request);
      if (emitsHeaders) this.emit("headers", headers, request);
    } catch (error) {
      throwLater(error); // becomes an uncaughtException after the client was answered (ROB-205)
      return false;
    }
    const headerError = headerErrorOf(headers);
    if (headerError !== null) this.onHeadFailure(headerError);
    return headerError === null;
  }
}
