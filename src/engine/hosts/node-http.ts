// First step of every walk from the network on Node: requests and upgrade requests come in here.
import { createServer, type IncomingMessage, type Server as HttpServer, type ServerResponse } from "node:http";
import type { Socket as NetSocket } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocketServer, type WebSocket } from "ws";
import { UsageError } from "../../errors";
import { Deadline } from "../../support/deadline";
import { nextTick } from "../../support/tick";
import { BaseServer } from "../engine";
import type { EngineRequest, ResponseHeaders } from "../host";
import { matchesPath, resolvePath, type AttachOptions, type ServerOptions } from "../options";
import { exposeWebSocket, parseQuery } from "../request";
import { Session } from "../session";
import type { TransportName } from "../transport";
import { WebSocketTransport, type Wire } from "../transports/websocket";
import { ERRORS, ERROR_MESSAGES, refuse, revisionOf, supportsBinary, type Refusal } from "../verification";
import { LibraryWire } from "./library-wire";
import { NodeExchange } from "./node-exchange";
import { offerExtendedConnect } from "./node-http2";
import type { NodeWireSettings } from "./node-wire";
import { SocketWire } from "./socket-wire";
import { UpgradeResponse } from "./upgrade-response";
import { acceptanceOf } from "./websocket-handshake";
import { WsWire } from "./ws-wire";

/** A listener of a WebSocket server as `wsEngine` may give one. */
interface WebSocketServerLike {
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, done: (ws: WebSocket) => void): void;
  on?(event: "headers", listener: (lines: string[], request: IncomingMessage) => void): void;
  close(): void;
}

const kResponse = Symbol("response");
const NO_HEAD = Buffer.alloc(0);

/** The engine on Node's HTTP servers: HTTP/1.1, HTTPS, and HTTP/2 with `allowHTTP1`. */
export class Server extends BaseServer {
  /** The HTTP server, when made through `listen`, or the one attached last. */
  httpServer: HttpServer | undefined;
  /** The WebSocket server; undefined while `websocket` is not enabled. */
  ws: WebSocketServerLike | undefined;
  private attachedTo: HttpServer | null;
  private readonly wireSettings: NodeWireSettings;
  /** False once closed: then `ws` answers with 503. */
  private takesWebSockets: boolean;

  constructor(options: ServerOptions = {}) {
    super(options);
    this.httpServer = undefined;
    this.ws = undefined;
    this.attachedTo = null;
    this.takesWebSockets = false;
    this.wireSettings = {
      maxQueuedPongs: this.limits.queuedPongs,
      writesAtOnce: this.opts.flush === "immediate",
      maxMessageBytes: Number(this.opts.maxHttpBufferSize),
      direct: this.opts.sockets !== "stream",
    };
    this.init();
  }

  /**
   * Lets the engine answer what comes for its path on `server`; other requests go to the listeners that were there before.
   * @param options  `path` (default `/engine.io`), `addTrailingSlash`, `destroyUpgrade`, `destroyUpgradeTimeout`
   */
  attach(server: HttpServer, options: AttachOptions = {}): void {
    if (server === null || typeof server !== "object" || typeof server.on !== "function") {
      throw new UsageError("RC_ERR_ARGUMENT", `engine.attach: expected an HTTP server, met ${server === null ? "null" : typeof server}`);
    }
    const path = resolvePath(options);
    this.attachedTo = server;
    const listeners = server.listeners("request").slice() as ((req: IncomingMessage, res: ServerResponse) => void)[];
    server.removeAllListeners("request");
    server.on("close", () => this.close());
    server.on("listening", () => this.init());
    server.on("request", (req: IncomingMessage, res: ServerResponse) => {
      if (matchesPath(path, req.url!)) this.handleRequest(req, res);
      else for (const listener of listeners) listener.call(server, req, res);
    });
    if (!this.opts.transports.includes("websocket")) return;
    server.on("upgrade", (req: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (matchesPath(path, req.url!)) this.handleUpgrade(req, socket, head);
      else if (options.destroyUpgrade !== false) endUnlessAnswered(socket as NetSocket, options.destroyUpgradeTimeout || 1000);
    });
    offerExtendedConnect(server, {
      isOurs: (url) => matchesPath(path, url),
      onUpgrade: (request, socket) => this.handleUpgrade(request, socket, NO_HEAD),
      unansweredMs: options.destroyUpgrade === false ? null : options.destroyUpgradeTimeout || 1000,
    });
  }

  /** Answers one HTTP request; no check of the path is made. */
  handleRequest(req: IncomingMessage, res: ServerResponse): void {
    const request = prepareRequest(req);
    (request as { res: unknown }).res = res;
    const exchange = new NodeExchange(request, res);
    if (this.hasMiddlewares) this.runMiddlewares(request, res, (error) => this.answer(exchange, error));
    else this.answer(exchange, null);
  }

  /** Answers one upgrade request; no check of the path is made. */
  handleUpgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void {
    const request = prepareRequest(req);
    socket.on("error", ignore); // before anything else: the peer may reset the connection at any time
    const proceed = (error: unknown): void => {
      if (error) return this.refuseUpgrade(request, socket, this.middlewareRefusal(error));
      const found = this.verify(request, true);
      if (found === null) this.handshakeWebSocket(request, socket, head);
      else if (!(found instanceof Session)) this.refuseUpgrade(request, socket, found);
      else if (request._query["transport"] !== "websocket") this.refuseUpgrade(request, socket, notAnUpgrade(request));
      else this.acceptWebSocket(request, socket, head, (transport) => found.maybeUpgrade(transport));
    };
    if (!this.hasMiddlewares) return proceed(null);
    const response = new UpgradeResponse(socket);
    (request as { [kResponse]?: UpgradeResponse })[kResponse] = response;
    (request as { res: unknown }).res = response;
    this.runMiddlewares(request, response, proceed);
  }

  protected cleanup(): void {
    this.takesWebSockets = false;
    this.ws?.close();
  }

  /** (Re)creates the WebSocket side: at construction, and when the HTTP server listens again after it was closed. */
  private init(): void {
    if (!this.opts.transports.includes("websocket")) return;
    this.ws?.close();
    const WebSocketServerClass: new (options: object) => WebSocketServerLike = this.opts.wsEngine ?? WebSocketServer;
    const ws = new WebSocketServerClass({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: this.opts.perMessageDeflate ?? false,
      maxPayload: Number(this.opts.maxHttpBufferSize),
      ...(this.opts.wsEngine || this.opts.perMessageDeflate ? {} : { autoPong: false }), // see NodeWire.onPing
    });
    ws.on?.("headers", (lines, request) => this.writeUpgradeHeaders(lines, request as EngineRequest));
    this.ws = ws;
    this.takesWebSockets = true;
  }

  // -- websocket -----------------------------------------------------------------------------------

  private handshakeWebSocket(request: EngineRequest, socket: Duplex, head: Buffer): void {
    if (request._query["transport"] !== "websocket") return this.refuseUpgrade(request, socket, notAnUpgrade(request));
    this.admit(
      request,
      () => socket.destroyed,
      (refusal, sid) => {
        if (refusal !== null) return this.refuseUpgrade(request, socket, refusal);
        this.acceptWebSocket(request, socket, head, (transport) => {
          if (this.mustKeepRequest("websocket")) exposeWebSocket(request, transport);
          this.openSession(sid, transport, request);
        });
      },
    );
  }

  /** Completes the WebSocket handshake and puts a transport on the connection. */
  private acceptWebSocket(
    request: EngineRequest,
    socket: Duplex,
    head: Buffer,
    onTransport: (transport: WebSocketTransport) => void,
  ): void {
    const net = socket as NetSocket;
    const response = (request as { [kResponse]?: UpgradeResponse })[kResponse];
    response?.writeHead();
    if (this.ws === undefined) return this.refuseUpgrade(request, socket, refuse(ERRORS.UNKNOWN_TRANSPORT, { transport: "websocket" }));
    const acceptance = this.readsFrames ? acceptanceOf(request) : null;
    if (acceptance !== null && net.readable && net.writable) {
      const lines = acceptance.slice();
      this.writeUpgradeHeaders(lines, request);
      const wire = new SocketWire(net, this.wireSettings, lines.join("\r\n") + "\r\n\r\n", head);
      onTransport(this.transportOn(wire, request));
      wire.writeHead();
      return;
    }
    net.cork?.(); // the 101 and the first frames leave in one write; the wire uncorks
    this.ws.handleUpgrade(request, socket, head, (ws) => {
      socket.removeListener("error", ignore);
      onTransport(this.transportOn(this.wireFor(ws, net), request));
    });
    nextTick(uncork, net); // where no frame follows
  }

  private transportOn(wire: Wire, request: EngineRequest): WebSocketTransport {
    return new WebSocketTransport(revisionOf(request._query), supportsBinary(request._query), wire);
  }

  /** Whether frames are read by us: not with an option that asks for `ws`, nor when somebody has changed what `ws` does. */
  private get readsFrames(): boolean {
    const { ws } = this;
    return (
      this.takesWebSockets &&
      this.opts.receive !== "ws" &&
      !this.opts.wsEngine &&
      !this.opts.perMessageDeflate &&
      ws instanceof WebSocketServer &&
      ws.handleUpgrade === WebSocketServer.prototype.handleUpgrade &&
      ws.listenerCount("headers") === 1
    );
  }

  private wireFor(ws: WebSocket, net: NetSocket): Wire {
    const isOwn = !this.opts.wsEngine && ws.extensions === "";
    if (isOwn && !this.opts.perMessageDeflate) return new WsWire(ws, net, this.wireSettings);
    const deflate = this.opts.perMessageDeflate as { threshold: number } | undefined;
    return new LibraryWire(ws, deflate && ws.extensions ? deflate.threshold : null);
  }

  /** Adds what middlewares and listeners set to the lines of the 101 response. */
  private writeUpgradeHeaders(lines: string[], request: EngineRequest): void {
    const response = (request as { [kResponse]?: UpgradeResponse })[kResponse];
    const headers: ResponseHeaders = response === undefined ? {} : response.toHeaders();
    if (response !== undefined) response.headersSent = true;
    this.decorateHeaders(headers, request, !request._query["sid"]);
    for (const [name, value] of Object.entries(headers)) {
      for (const line of Array.isArray(value) ? (value as string[]) : [value]) lines.push(`${name}: ${String(line)}`);
    }
  }

  private refuseUpgrade(request: EngineRequest, socket: Duplex, refusal: Refusal): void {
    this.emitRefusal(request, refusal);
    if (!socket.writable) return void socket.destroy();
    const body = String(refusal.message ?? ERROR_MESSAGES[refusal.code]);
    const head = `HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-type: text/html\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
    socket.end(head + body, () => socket.destroy());
  }

  protected override mustKeepRequest(transport: TransportName): boolean {
    if (super.mustKeepRequest(transport)) return true;
    const server = this.attachedTo;
    if (server === null) return true; // whoever hands requests over by hand has them in hand
    return server.listenerCount(transport === "polling" ? "request" : "upgrade") > 1;
  }
}

/** Parses the query once, unless a framework around us has. */
function prepareRequest(req: IncomingMessage): EngineRequest {
  const request = req as EngineRequest;
  request._query ??= parseQuery(req.url!);
  return request;
}

function notAnUpgrade(request: EngineRequest): Refusal {
  return refuse(ERRORS.BAD_REQUEST, { name: "TRANSPORT_MISMATCH", transport: request._query["transport"] });
}

/** Ends an upgrade request nobody has answered: not one byte was written to it. */
function endUnlessAnswered(socket: NetSocket, afterMs: number): void {
  socket.on("error", ignore);
  const deadline = new Deadline(endUnwritten, socket);
  deadline.start(afterMs);
  socket.once("close", () => deadline.cancel());
}

function endUnwritten(socket: NetSocket): void {
  if (socket.writable && socket.bytesWritten <= 0) socket.end();
}

function ignore(): void {}

function uncork(socket: NetSocket): void {
  socket.uncork?.();
}

/**
 * Creates an HTTP server that answers `501` outside the engine's path, attaches an engine and listens.
 * @param listener  called once it listens
 * @returns the engine; its `httpServer` is the HTTP server
 */
export function listen(port: number, options?: (AttachOptions & ServerOptions) | (() => void), listener?: () => void): Server {
  if (typeof options === "function") {
    listener = options;
    options = {};
  }
  const httpServer = createServer((_req, res) => {
    res.writeHead(501);
    res.end("Not Implemented");
  });
  const engine = attach(httpServer, options);
  engine.httpServer = httpServer;
  httpServer.listen(port, listener);
  return engine;
}

/** Creates an engine and attaches it to `server`, both with the same options. */
export function attach(server: HttpServer, options: AttachOptions & ServerOptions = {}): Server {
  const engine = new Server(options);
  engine.attach(server, options);
  return engine;
}
