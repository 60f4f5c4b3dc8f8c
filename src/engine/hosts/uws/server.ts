// First step of every walk from the network on uWebSockets.js: requests and upgrade requests come in here.
import { STATUS_CODES } from "node:http";
import { inspect } from "node:util";
import { UsageError } from "../../../errors";
import { hasListeners } from "../../../support/lean-emitter";
import { BaseServer } from "../../engine";
import type { EngineRequest, ResponseHeaders } from "../../host";
import { resolvePath, type AttachOptions, type ServerOptions } from "../../options";
import { exposeWebSocket, type KeptRequest } from "../../request";
import { Session } from "../../session";
import { HANDED_LIMIT_BYTES } from "../../transport";
import { WebSocketTransport } from "../../transports/websocket";
import { ERRORS, refuse, revisionOf, supportsBinary, type Refusal } from "../../verification";
import type { TemplatedApp, UwsHttpRequest, UwsHttpResponse, UwsWebSocket } from "./api";
import { holdCork } from "./cork";
import { checkHeader, UwsExchange, writeHeaders, type UwsResponse } from "./exchange";
import { fullRequest, leanRequest, LeanRequest } from "./request";
import { UwsWire, type UwsWireSettings } from "./wire";

/** Options of `attach` that only uWebSockets.js has. */
export interface UwsOptions {
  /** Compression of WebSocket messages: constants of uWebSockets.js, such as `uWS.SHARED_COMPRESSOR`. Default 0, none. */
  compression?: number;
  /** Seconds without a byte after which uWebSockets.js closes a connection, having asked with a ping; 0 for never. Default 120; 9 to 960. */
  idleTimeout?: number;
  /**
   * Bytes that uWebSockets.js is handed for one client at a time. Default 262144. What the client doesn't take waits in its
   * session, within `limits`; nothing is dropped.
   */
  maxBackpressure?: number;
}

const MAX_PAYLOAD_BYTES = 0x7fffffff;
const DEFAULT_IDLE_SECONDS = 120;

const kWire = Symbol("wire");
type WiredSocket = UwsWebSocket & { [kWire]?: UwsWire };

/** An accepted upgrade request on its way to its WebSocket. */
interface Accepted {
  onOpen(ws: UwsWebSocket): void;
}

/**
 * The engine on uWebSockets.js. What users see is the same as on Node's HTTP server, but for what uWebSockets.js itself does:
 * paths are matched as a whole, refusals of WebSockets are JSON too, and a POST needs its length.
 */
export class UwsServer extends BaseServer {
  private isEncrypted: boolean;
  private isClosed: boolean;

  constructor(options: ServerOptions & UwsOptions = {}) {
    super(options);
    this.isEncrypted = false;
    this.isClosed = false;
    this.pollingSettings.overlapStatus = 500;
    this.pollingSettings.endsOnFlawedBody = true;
  }

  /**
   * Answers what comes for its path at `app`. Routes can't be taken back: after `close`, handshakes are answered with 503.
   * @param app      what `uWS.App()` or `uWS.SSLApp()` gave
   * @param options  `path` (default `/engine.io`), `addTrailingSlash`, and see `UwsOptions`
   * @throws UsageError RC_ERR_ARGUMENT, RC_ERR_OPTION
   */
  attach(app: TemplatedApp, options: AttachOptions & UwsOptions = {}): void {
    expectApp("engine.attach", app);
    const compression = numberOption("compression", options.compression, 0, 0xffff);
    const idleTimeout = numberOption("idleTimeout", options.idleTimeout, DEFAULT_IDLE_SECONDS, 960);
    if (idleTimeout > 0 && idleTimeout <= 8) {
      throw new UsageError("RC_ERR_OPTION", `option idleTimeout: expected 0 or a number from 9 to 960, met ${idleTimeout}`); // uWS would abort
    }
    const deflate = this.opts.perMessageDeflate as { threshold?: number } | false | undefined;
    const settings: UwsWireSettings = {
      app,
      maxQueuedPongs: this.limits.queuedPongs,
      writesAtOnce: this.opts.flush === "immediate",
      handedBytes: numberOption("maxBackpressure", options.maxBackpressure, HANDED_LIMIT_BYTES, Infinity),
      compressFrom: compression === 0 ? null : ((deflate || {}).threshold ?? 1024),
    };
    this.isEncrypted = isSslApp(app);
    const path = resolvePath(options);
    const handler = (res: UwsHttpResponse, req: UwsHttpRequest): void => this.onRequest(res, req);
    app.get(path, handler).post(path, handler).any(path, handler); // `any` alone would come behind an application's get("/*")
    if (!this.opts.transports.includes("websocket")) return;
    const maxMessageBytes = Number(this.opts.maxHttpBufferSize);
    app.ws(path, {
      compression,
      idleTimeout,
      maxBackpressure: 0, // never dropped: see UwsWire
      maxPayloadLength: maxMessageBytes > 0 ? Math.min(maxMessageBytes, MAX_PAYLOAD_BYTES) : MAX_PAYLOAD_BYTES,
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
      close: (ws) => (ws as WiredSocket)[kWire]!.onClose(),
    });
  }

  protected cleanup(): void {
    this.isClosed = true;
  }

  // -- polling -------------------------------------------------------------------------------------

  private onRequest(res: UwsHttpResponse, req: UwsHttpRequest): void {
    const request = this.requestOf(req, res);
    const exchange = new UwsExchange(request, res);
    holdCork(exchange);
    try {
      if (this.hasMiddlewares) {
        (request as { res: unknown }).res = exchange.response;
        this.runMiddlewares(request, exchange.response, (error) => this.answer(exchange, error));
      } else {
        this.answer(exchange, null);
      }
    } finally {
      exchange.hold(Number(this.opts.maxHttpBufferSize) || Infinity);
    }
  }

  protected override handshakePolling(exchange: UwsExchange): void {
    if (this.isClosed) exchange.respond(503, null, "");
    else super.handshakePolling(exchange);
  }

  // -- websocket -----------------------------------------------------------------------------------

  private onUpgrade(res: UwsHttpResponse, req: UwsHttpRequest, context: unknown, settings: UwsWireSettings): void {
    const request = this.requestOf(req, res);
    const exchange = new UwsExchange(request, res);
    holdCork(exchange);
    const upgrade = new UpgradeRequest(res, req, context, settings);
    const proceed = (error: unknown): void => {
      if (exchange.isGone) return;
      if (error) return this.refuseRequest(exchange, this.middlewareRefusal(error));
      const found = this.verify(request, true);
      if (found === null) this.handshakeWebSocket(exchange, upgrade);
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
      if (!upgrade.isOver) exchange.hold(0);
    }
  }

  private handshakeWebSocket(exchange: UwsExchange, upgrade: UpgradeRequest): void {
    const { request } = exchange;
    if (this.isClosed) return exchange.respond(503, null, "");
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

  /** Completes the WebSocket handshake and puts a transport on the connection; all of it leaves in one write. */
  private accept(exchange: UwsExchange, upgrade: UpgradeRequest, onTransport: (transport: WebSocketTransport) => void): void {
    const { request } = exchange;
    let headers: ResponseHeaders;
    try {
      headers = this.upgradeHeaders(request, exchange.isShown ? exchange.response : null);
    } catch (error) {
      exchange.respond(500, null, ""); // as for a request: a header that can't be sent leaves nobody waiting
      throw error;
    }
    const onOpen = (ws: UwsWebSocket): void => {
      const wire = new UwsWire(ws, upgrade.settings);
      (ws as WiredSocket)[kWire] = wire;
      holdCork(wire);
      onTransport(new WebSocketTransport(revisionOf(request._query), supportsBinary(request._query), wire));
      wire.flush();
    };
    exchange.leave();
    upgrade.complete(headers, { onOpen });
  }

  /** What middlewares and listeners add to the 101 response. */
  private upgradeHeaders(request: EngineRequest, response: UwsResponse | null): ResponseHeaders {
    response?.writeHead(101);
    const headers: ResponseHeaders = response === null ? {} : response.toHeaders();
    this.decorateHeaders(headers, request, !request._query["sid"]);
    for (const name in headers) checkHeader(name, headers[name]);
    return headers;
  }

  // -- requests ------------------------------------------------------------------------------------

  /** A request lives no longer than its handler; how much of it is copied depends on who may look. */
  private requestOf(req: UwsHttpRequest, res: UwsHttpResponse): EngineRequest {
    const isWatched = hasListeners(this, "connection_error") || this.emit !== BaseServer.prototype.emit;
    const isSeen = isWatched || this.hasMiddlewares || this.mustKeepRequest("polling");
    return isSeen ? fullRequest(req, res, this.isEncrypted) : (leanRequest(req, res, this.isEncrypted) as unknown as EngineRequest);
  }

  protected override keep(request: EngineRequest): KeptRequest | EngineRequest {
    return request instanceof LeanRequest ? request.kept! : request;
  }
}

/** What is needed to make a WebSocket of an upgrade request, also later than in its handler. */
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

/** Lets a listener answer the GET requests for one path of an app. @internal */
export function routeGet(app: TemplatedApp, path: string, listener: (request: EngineRequest, response: UwsResponse) => void): void {
  app.get(path, (res, req) => {
    const exchange = new UwsExchange(fullRequest(req, res, isSslApp(app)), res);
    holdCork(exchange);
    listener(exchange.request, exchange.response);
    exchange.hold(0);
  });
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

function numberOption(name: string, value: unknown, byDefault: number, most: number): number {
  if (value === undefined) return byDefault;
  if (typeof value === "number" && value >= 0 && value <= most) return value;
  const range = most === Infinity ? "a non-negative number" : `a number from 0 to ${most}`;
  throw new UsageError("RC_ERR_OPTION", `option ${name}: expected ${range}, met ${inspect(value)}`);
}

function ignore(): void {}

function notAnUpgrade(request: EngineRequest): Refusal {
  return refuse(ERRORS.BAD_REQUEST, { name: "TRANSPORT_MISMATCH", transport: request._query["transport"] });
}
