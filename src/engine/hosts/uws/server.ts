// The engine on uWebSockets.js. The first step of the walks from the network: requests and upgrade requests arrive here.
import { EventEmitter } from "node:events";
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import { inspect } from "node:util";
import { UsageError } from "../../../errors";
import { hasListeners } from "../../../support/lean-emitter";
import { isReplaced } from "../../../support/replaced-methods";
import { refusalOfMiddleware } from "../../admission";
import { BaseServer } from "../../engine";
import type { EngineRequest, ResponseHeaders } from "../../host";
import { resolvePath, type AttachOptions, type EngineOptions } from "../../options";
import { exposeWebSocket, type KeptRequest } from "../../request";
import { Session } from "../../session";
import { HANDED_LIMIT_BYTES } from "../../transport";
import { WebSocketTransport } from "../../transports/websocket";
import { ERRORS, refuse, revisionOf, supportsBinary, type Refusal } from "../../verification";
import { claimPath, releasePaths } from "../path-claims";
import type { TemplatedApp, UwsHttpRequest, UwsHttpResponse, UwsWebSocket } from "./api";
import { beginHandler } from "../../turn";
import { UwsExchange, writeHeaders, type UwsResponse } from "./exchange";
import { fullRequest, leanRequest, LeanRequest } from "./request";
import { UwsWire, type UwsWireSettings } from "./wire";
import { ignore } from "../../../support/ignore";

/** Options of `attach` for uWebSockets.js only. */
export interface UwsOptions {
  /**
   * Compression of WebSocket messages: constants of uWebSockets.js, such as `uWS.SHARED_COMPRESSOR`. Default 0, none; with the option
   * `perMessageDeflate` `SHARED_COMPRESSOR | SHARED_DECOMPRESSOR`: no context, and no window per connection. A value that is given decides alone.
   */
  compression?: number;
  /** Seconds without data after which uWebSockets.js closes a connection; it sends a ping before. 0 for never. Default 120; 9 to 960. */
  idleTimeout?: number;
  /**
   * Bytes that are given to uWebSockets.js for one client at a time. Default 262144. The rest waits in the session, within `limits`; nothing
   * is dropped.
   */
  maxBackpressure?: number;
}

const MAX_PAYLOAD_BYTES = 0x7fffffff;
/** Above `maxHttpBufferSize` a message is received by as much again, within these bounds, so that it can be refused with a Close frame (ENG-188). */
const LEAST_EXCESS_BYTES = 64 * 1024;
const MOST_EXCESS_BYTES = 1024 * 1024;
const DEFAULT_IDLE_SECONDS = 120;
/** `SHARED_COMPRESSOR | SHARED_DECOMPRESSOR` of uWebSockets.js. */
const SHARED_COMPRESSION = 1 | 256;

const kWire = Symbol("wire");
type WiredSocket = UwsWebSocket & { [kWire]?: UwsWire };

/** An accepted upgrade request on its way to its WebSocket. */
interface Accepted {
  onOpen(ws: UwsWebSocket): void;
}

/**
 * The engine on uWebSockets.js. It behaves as on Node's HTTP server, except that paths are matched as a whole, refusals of WebSockets are
 * JSON too (ENG-182), and a POST needs `Content-Length` (ENG-183).
 */
export class UwsServer extends BaseServer {
  private readonly claimedAt: Set<TemplatedApp>;
  private isEncrypted: boolean;
  private isClosed: boolean;

  constructor(options: EngineOptions & UwsOptions = {}) {
    super(options);
    this.claimedAt = new Set();
    this.isEncrypted = false;
    this.isClosed = false;
    this.pollingSettings.overlapStatus = 500;
  }

  /**
   * Adds routes for the engine's path to `app`. Routes can't be removed: after `close`, handshakes are answered with 503.
   * @param app      the result of `uWS.App()` or `uWS.SSLApp()`
   * @param options  `path` (default `/engine.io`), `addTrailingSlash`, and see `UwsOptions`
   * @throws UsageError RC_ERR_ARGUMENT, RC_ERR_OPTION
   */
  attach(app: TemplatedApp, options: AttachOptions & UwsOptions = {}): void {
    expectApp("engine.attach", app);
    const deflate = this.opts.perMessageDeflate as { threshold?: number } | false | undefined;
    const compression = numberOption("compression", options.compression, deflate ? SHARED_COMPRESSION : 0, 0xffff); // ROB-642
    const idleTimeout = numberOption("idleTimeout", options.idleTimeout, DEFAULT_IDLE_SECONDS, 960);
    if (idleTimeout > 0 && idleTimeout <= 8) {
      throw new UsageError("RC_ERR_OPTION", `option idleTimeout: expected 0 or a number from 9 to 960, met ${idleTimeout}`); // uWebSockets.js would end the process
    }
    const maxMessageBytes = Number(this.opts.maxHttpBufferSize) || Infinity;
    const settings: UwsWireSettings = {
      app,
      maxMessageBytes,
      maxQueuedPongs: this.limits.queuedPongs,
      writesAtOnce: this.opts.flush === "immediate",
      handedBytes: numberOption("maxBackpressure", options.maxBackpressure, HANDED_LIMIT_BYTES, Infinity),
      compressFrom: compression === 0 ? null : ((deflate || {}).threshold ?? 1024),
    };
    this.isEncrypted = isSslApp(app);
    const path = resolvePath(options);
    claimPath(app, path, this);
    this.claimedAt.add(app);
    const handler = (res: UwsHttpResponse, req: UwsHttpRequest): void => this.onRequest(res, req);
    app.get(path, handler).post(path, handler).any(path, handler); // `any` alone has a lower priority than an application's get("/*")
    if (!this.opts.transports.includes("websocket")) return;
    const excess = Math.min(Math.max(maxMessageBytes, LEAST_EXCESS_BYTES), MOST_EXCESS_BYTES);
    app.ws(path, {
      compression,
      idleTimeout,
      maxBackpressure: 0, // never dropped: see UwsWire
      maxPayloadLength: Math.min(maxMessageBytes + excess, MAX_PAYLOAD_BYTES),
      upgrade: (res, req, context) => this.onUpgrade(res, req, context, settings),
      open: (ws) => {
        const accepted = ws.getUserData() as Accepted;
        const { onOpen } = accepted;
        accepted.onOpen = ignore; // it holds the request, and this object lives as long as the WebSocket
        onOpen(ws);
      },
      message: (ws, data, isBinary) => (ws as WiredSocket)[kWire]!.onMessage(data, isBinary),
      ping: (ws) => (ws as WiredSocket)[kWire]!.onPing(),
      drain: (ws) => (ws as WiredSocket)[kWire]!.onDrain(),
      close: (ws, code, reason) => (ws as WiredSocket)[kWire]!.onClose(code, reason),
    });
  }

  /**
   * Ends every session at once and frees the path, so that another engine can be attached there. Until then handshakes get 503: routes can't
   * be removed from an app.
   */
  detach(): this {
    return this.close();
  }

  protected cleanup(): void {
    for (const app of this.claimedAt) releasePaths(app, this);
    this.claimedAt.clear();
    this.isClosed = true;
  }

  // -- polling -------------------------------------------------------------------------------------

  private onRequest(res: UwsHttpResponse, req: UwsHttpRequest): void {
    const request = this.requestOf(req, res);
    const exchange = new UwsExchange(request, res, this.onHeadFailure);
    exchange.writesAtOnce = this.pollingSettings.writesAtOnce;
    beginHandler(exchange);
    try {
      if (this.hasMiddlewares) {
        (request as { res: unknown }).res = exchange.response;
        this.runMiddlewares(request, exchange.response, (error) => this.answer(exchange, error));
      } else {
        this.answer(exchange, null);
      }
    } finally {
      exchange.hold(request.method === "POST" ? this.pollingSettings.bodyLimits() : null);
    }
  }

  protected override answer(exchange: UwsExchange, error: unknown): void {
    exchange.claim();
    super.answer(exchange, error);
  }

  protected override handshakePolling(exchange: UwsExchange): void {
    if (this.isClosed) exchange.respond(503, null, "");
    else super.handshakePolling(exchange);
  }

  // -- websocket -----------------------------------------------------------------------------------

  private onUpgrade(res: UwsHttpResponse, req: UwsHttpRequest, context: unknown, settings: UwsWireSettings): void {
    const request = this.requestOf(req, res);
    const exchange = new UwsExchange(request, res, this.onHeadFailure);
    beginHandler(exchange);
    const upgrade = new UpgradeRequest(res, req, context, settings);
    const proceed = (error: unknown): void => {
      if (exchange.isGone) return;
      if (error) return this.refuseRequest(exchange, refusalOfMiddleware(error));
      const found = this.verify(request, true);
      if (found === null) this.handshakeWebSocket(exchange, upgrade);
      else if (found === "foreign") this.accept(exchange, upgrade, ({ wire }) => this.foreign!.takeWebSocket(request._query, wire));
      else if (!(found instanceof Session)) this.refuseRequest(exchange, found);
      else if (request._query["transport"] !== "websocket") this.refuseRequest(exchange, notAnUpgrade(request));
      else this.accept(exchange, upgrade, (transport) => found.maybeUpgrade(transport));
    };
    try {
      if (this.hasMiddlewares) {
        exchange.response.statusCode = 101;
        (request as { res: unknown }).res = exchange.response;
        this.runMiddlewares(request, exchange.response, proceed);
      } else {
        proceed(null);
      }
    } finally {
      if (!upgrade.isOver) exchange.hold(null);
    }
  }

  private handshakeWebSocket(exchange: UwsExchange, upgrade: UpgradeRequest): void {
    const { request } = exchange;
    if (this.isClosed) return void exchange.respond(503, null, "");
    if (request._query["transport"] !== "websocket") return this.refuseRequest(exchange, notAnUpgrade(request));
    this.admit(
      request,
      () => exchange.isGone,
      (refusal, sid) => {
        if (refusal !== null) return this.refuseRequest(exchange, refusal);
        this.accept(exchange, upgrade, (transport) => {
          if (!(request instanceof LeanRequest)) exposeWebSocket(request, transport);
          this.openSession(sid, transport, request);
        });
      },
    );
  }

  /** Completes the WebSocket handshake and creates the transport. The 101 response and the open packet leave in one write. */
  private accept(exchange: UwsExchange, upgrade: UpgradeRequest, onTransport: (transport: WebSocketTransport) => void): void {
    const { request } = exchange;
    const headers = this.upgradeHeaders(request, exchange.isShown ? exchange.response : null);
    if (headers === null) return exchange.fail();
    const onOpen = (ws: UwsWebSocket): void => {
      const wire = new UwsWire(ws, upgrade.settings);
      (ws as WiredSocket)[kWire] = wire;
      beginHandler(wire);
      const transport = new WebSocketTransport(revisionOf(request._query), supportsBinary(request._query), wire);
      onTransport(transport);
      transport.flush();
    };
    exchange.leave();
    upgrade.complete(headers, { onOpen });
  }

  /** The headers that middlewares and listeners add to the 101 response; null when they can't be sent. */
  private upgradeHeaders(request: EngineRequest, response: UwsResponse | null): ResponseHeaders | null {
    try {
      response?.writeHead(101); // middlewares wrap it to add headers
    } catch (error) {
      this.onHeadFailure(error);
      return null;
    }
    const headers: ResponseHeaders = response === null ? {} : response.toHeaders();
    return this.decorateHeaders(headers, request, !request._query["sid"]) ? headers : null;
  }

  // -- requests ------------------------------------------------------------------------------------

  /** Copies a request, completely only if user code may see it. */
  private requestOf(req: UwsHttpRequest, res: UwsHttpResponse): EngineRequest {
    const isWatched = hasListeners(this, "connection_error") || isReplaced("engine.emit", this.emit, EventEmitter.prototype.emit);
    const isSeen = isWatched || this.hasMiddlewares || this.mustKeepRequest("polling");
    return isSeen ? fullRequest(req, res, this.isEncrypted) : (leanRequest(req, res, this.isEncrypted) as unknown as EngineRequest);
  }

  protected override keep(request: EngineRequest): KeptRequest | EngineRequest {
    return request instanceof LeanRequest ? request.kept! : request;
  }
}

/** The data of an upgrade request that complete its handshake, also after the handler has returned. */
class UpgradeRequest {
  isOver: boolean;
  private readonly res: UwsHttpResponse;
  private readonly key: string;
  private readonly protocol: string;
  private readonly extensions: string;
  private readonly context: unknown;
  readonly settings: UwsWireSettings;

  constructor(res: UwsHttpResponse, req: UwsHttpRequest, context: unknown, settings: UwsWireSettings) {
    this.isOver = false;
    this.settings = settings;
    this.res = res;
    this.key = req.getHeader("sec-websocket-key");
    this.protocol = req.getHeader("sec-websocket-protocol");
    this.extensions = req.getHeader("sec-websocket-extensions");
    this.context = context;
  }

  complete(headers: ResponseHeaders, userData: Accepted): void {
    this.isOver = true;
    const { res } = this;
    res.cork(() => {
      res.writeStatus(`101 ${STATUS_CODES[101]}`);
      writeHeaders(res, headers);
      res.upgrade(userData, this.key, this.protocol, this.extensions, this.context);
    });
  }
}

/** Adds a route for GET requests to an app. @internal */
export function routeGet(app: TemplatedApp, path: string, listener: (request: EngineRequest, response: UwsResponse) => void): void {
  app.get(path, (res, req) => {
    const exchange = new UwsExchange(fullRequest(req, res, isSslApp(app)), res, ignore);
    beginHandler(exchange);
    listener(exchange.request, exchange.response);
    exchange.hold(null);
  });
}

/** Bytes of a body that may wait to be read. */
const MAX_WAITING_BYTES = 256 * 1024;

/**
 * Adds routes for every request at a path and below it. They can't be removed: a request that `takes` leaves alone goes to the next route that
 * fits, and gets 404 without one.
 * @internal
 */
export function routeBelow(app: TemplatedApp, path: string, takes: (request: IncomingMessage, response: ServerResponse) => boolean): void {
  const handler = (res: UwsHttpResponse, req: UwsHttpRequest): void => {
    const request = fullRequest(req, res, isSslApp(app));
    const query = req.getQuery();
    if (query !== undefined) request.url += `?${query}`;
    // uWebSockets.js doesn't tell the version: a proxy that speaks HTTP/1.0 closes behind each request.
    if (request.headers.connection?.toLowerCase() === "close") request.httpVersion = "1.0";
    const exchange = new UwsExchange(request, res, ignore);
    beginHandler(exchange);
    if (takes(request, exchange.response as unknown as ServerResponse)) exchange.holdStream(request, MAX_WAITING_BYTES);
    else req.setYield(true);
  };
  for (const pattern of [path, `${path}/*`]) app.get(pattern, handler).post(pattern, handler).any(pattern, handler);
}

/** @throws UsageError RC_ERR_ARGUMENT */
export function expectApp(caller: string, app: unknown): asserts app is TemplatedApp {
  const given = app as Partial<TemplatedApp> | null | undefined;
  if ([given?.ws, given?.any, given?.get, given?.post].every((route) => typeof route === "function")) return;
  const met = app === null ? "null" : typeof app;
  throw new UsageError("RC_ERR_ARGUMENT", `${caller}: expected an app of uWebSockets.js, as uWS.App() gives it, met ${met}`);
}

function isSslApp(app: TemplatedApp): boolean {
  return app.constructor.name.includes("SSL");
}

function numberOption(name: string, value: unknown, byDefault: number, maximum: number): number {
  if (value === undefined) return byDefault;
  if (typeof value === "number" && value >= 0 && value <= maximum) return value;
  const range = maximum === Infinity ? "a non-negative number" : `a number from 0 to ${maximum}`;
  throw new UsageError("RC_ERR_OPTION", `option ${name}: expected ${range}, met ${inspect(value)}`);
}

function notAnUpgrade(request: EngineRequest): Refusal {
  return refuse(ERRORS.BAD_REQUEST, { name: "TRANSPORT_MISMATCH", transport: request._query["transport"] });
}
