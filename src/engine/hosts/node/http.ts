// The engine on Node's HTTP servers. The first step of the walks from the network: requests and upgrade requests arrive here.
import {
  createServer,
  Server as PlainServer,
  STATUS_CODES,
  type IncomingMessage,
  type Server as HttpServer,
  type ServerResponse,
} from "node:http";
import type { Socket as NetSocket } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocket, WebSocketServer } from "ws";
import { UsageError } from "../../../errors";
import { Deadline } from "../../../support/deadline";
import { canMakeWebSockets } from "../../../support/node-internals";
import { nextTick } from "../../../support/tick";
import { refusalOfMiddleware } from "../../admission";
import type { Endings } from "../../endings";
import { BaseServer } from "../../engine";
import type { EngineRequest, ResponseHeaders } from "../../host";
import { matchesPath, resolvePath, type AttachOptions, type EngineOptions } from "../../options";
import { exposeWebSocket, parseQuery } from "../../request";
import { Session } from "../../session";
import type { TransportName } from "../../transport";
import { WebSocketTransport, type Wire } from "../../transports/websocket";
import { ERRORS, ERROR_MESSAGES, refuse, revisionOf, supportsBinary, type Refusal } from "../../verification";
import { receiverBounds } from "../bind-websocket";
import { LibraryWire } from "../library-wire";
import { NodeExchange } from "./exchange";
import { CompressedWire } from "./compressed-wire";
import { Deflater, type DeflateOptions } from "./deflate";
import { offerExtendedConnect } from "./http2";
import type { NodeWireSettings } from "./wire";
import { claimPath, isClaimedByOther, releasePaths } from "../path-claims";
import { SocketWire } from "./socket-wire";
import { UpgradeResponse } from "./upgrade-response";
import { acceptanceOf } from "./websocket-handshake";
import { WsWire } from "./ws-wire";
import { ignore } from "../../../support/ignore";

/** The members of a WebSocket server that are used; each `wsEngine` must provide them (ENG-110). */
interface WebSocketServerLike {
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, done: (ws: WebSocket) => void): void;
  on?(event: "headers", listener: (lines: string[], request: IncomingMessage) => void): void;
  close(): void;
}

const kResponse = Symbol("response");
/** On a request listener that was removed: the listeners that were behind it. Registered globally, as the paths are. */
const kBehind = Symbol.for("roomcast.behind");
const NO_HEAD = Buffer.alloc(0);
/** Whether a WebSocket object can be created later, for programs that access it on a connection whose frames roomcast reads. */
const mayReadFrames = canMakeWebSockets(WebSocket);
/** Thrown through the WebSocket server when the head of a 101 response can't be sent. */
const UNSENDABLE = new Error("the head of the response can't be sent");

/** The engine on Node's HTTP servers: HTTP/1.1, HTTPS, and HTTP/2 with `allowHTTP1`. */
export class Server extends BaseServer {
  /** The HTTP server that `listen` has created. */
  httpServer: HttpServer | undefined;
  /** The WebSocket server; undefined while `websocket` is not enabled. */
  ws: WebSocketServerLike | undefined;
  private attachedTo: HttpServer | null;
  private readonly claimedAt: Set<HttpServer>;
  /** Each removes something that `attach` has added. */
  private readonly undo: (() => unknown)[];
  private readonly wireSettings: NodeWireSettings;
  /** Null without the option `perMessageDeflate`. */
  private readonly deflater: Deflater | null;
  /** False after `close`: `ws` answers handshakes with 503 then (ENG-111). */
  private takesWebSockets: boolean;

  constructor(options: EngineOptions = {}) {
    super(options);
    this.httpServer = undefined;
    this.ws = undefined;
    this.attachedTo = null;
    this.claimedAt = new Set();
    this.undo = [];
    this.takesWebSockets = false;
    this.wireSettings = {
      maxQueuedPongs: this.limits.queuedPongs,
      writesAtOnce: this.opts.flush === "immediate",
      maxMessageBytes: Number(this.opts.maxHttpBufferSize),
      direct: this.opts.sockets !== "stream",
      inputTotal: this.inputTotal,
      endings: this.endings,
    };
    const { perMessageDeflate } = this.opts;
    this.deflater = perMessageDeflate ? new Deflater(perMessageDeflate as DeflateOptions, this.wireSettings.maxMessageBytes) : null;
    this.init();
  }

  /**
   * Lets the engine answer the requests for its path on `server`; other requests go to the listeners that were registered before (ENG-63).
   * @param options  `path` (default `/engine.io`), `addTrailingSlash`, `destroyUpgrade`, `destroyUpgradeTimeout`
   */
  attach(server: HttpServer, options: AttachOptions = {}): void {
    if (server === null || typeof server !== "object" || typeof server.on !== "function") {
      throw new UsageError("RC_ERR_ARGUMENT", `engine.attach: expected an HTTP server, met ${server === null ? "null" : typeof server}`);
    }
    const path = resolvePath(options);
    claimPath(server, path, this);
    this.claimedAt.add(server);
    const isOurs = (url: string): boolean => matchesPath(path, url) && !isClaimedByOther(server, url, this);
    this.attachedTo = server;
    this.sessionRefusal = null;
    // A server that drains may close its HTTP server first, while other processes have connections of its sessions.
    const onClose = (): unknown => this.sessionRefusal === null && this.close();
    const onListening = (): void => this.init();
    server.on("close", onClose).on("listening", onListening);
    const removeFront = standInFront(server, (req, res) => {
      const isTaken = isOurs(req.url!);
      if (isTaken) this.handleRequest(req, res);
      return isTaken;
    });
    this.undo.push(removeFront, () => server.off("close", onClose).off("listening", onListening));
    if (!this.opts.transports.includes("websocket")) return;
    const onUpgrade = (req: IncomingMessage, socket: Duplex, head: Buffer): void => {
      if (isOurs(req.url!)) this.handleUpgrade(req, socket, head);
      else if (options.destroyUpgrade !== false && !isClaimedByOther(server, req.url!, this))
        endUnlessAnswered(socket as NetSocket, options.destroyUpgradeTimeout || 1000, this.endings);
    };
    server.on("upgrade", onUpgrade);
    const withdraw = offerExtendedConnect(server, {
      isOurs,
      onUpgrade: (request, socket) => this.handleUpgrade(request, socket, NO_HEAD),
      unansweredMs: options.destroyUpgrade === false ? null : options.destroyUpgradeTimeout || 1000,
    });
    this.undo.push(withdraw, () => server.off("upgrade", onUpgrade));
  }

  /** Ends every session at once and removes what `attach` has added to HTTP servers (ROB-735). The engine may be attached again. */
  detach(): this {
    this.close();
    for (const undo of this.undo.splice(0)) undo();
    this.attachedTo = null;
    this.init();
    return this;
  }

  /** Answers an HTTP request, without a check of its path (ENG-59). */
  handleRequest(req: IncomingMessage, res: ServerResponse): void {
    const request = prepareRequest(req);
    (request as { res: unknown }).res = res;
    const exchange = new NodeExchange(request, res, this.onHeadFailure);
    if (this.hasMiddlewares) this.runMiddlewares(request, res, (error) => this.answer(exchange, error));
    else this.answer(exchange, null);
  }

  /** Answers an upgrade request, without a check of its path (ENG-59). */
  handleUpgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void {
    const request = prepareRequest(req);
    socket.on("error", ignore); // before anything else: the peer may reset the connection at any time (ENG-48)
    if (this.canTakeConnections && this.foreign?.takeUpgrade(request, socket, head) === true) return;
    const proceed = (error: unknown): void => {
      if (error) return this.refuseUpgrade(request, socket, refusalOfMiddleware(error));
      const found = this.verify(request, true);
      if (found === null) this.handshakeWebSocket(request, socket, head);
      else if (found === "foreign")
        this.acceptWebSocket(request, socket, head, ({ wire }) => this.foreign!.takeWebSocket(request._query, wire));
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

  /** Whether a connection that another process has accepted can be read here: by a server without TLS, which this engine is attached to. */
  private get canTakeConnections(): boolean {
    return this.attachedTo instanceof PlainServer;
  }

  /** Takes a connection that another process has accepted; false if it can't. @internal */
  takeConnection(socket: NetSocket): boolean {
    return this.canTakeConnections && this.attachedTo!.emit("connection", socket);
  }

  protected cleanup(): void {
    for (const server of this.claimedAt) releasePaths(server, this);
    this.claimedAt.clear();
    this.takesWebSockets = false;
    this.ws?.close();
  }

  /** Creates the WebSocket server: in the constructor, and when the HTTP server listens again after it was closed (ENG-69). */
  private init(): void {
    this.sessionRefusal = null;
    if (!this.opts.transports.includes("websocket")) return;
    this.ws?.close();
    const WebSocketServerClass: new (options: object) => WebSocketServerLike = this.opts.wsEngine ?? WebSocketServer;
    const ws = new WebSocketServerClass({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: this.opts.perMessageDeflate ?? false,
      maxPayload: Number(this.opts.maxHttpBufferSize),
      ...(this.opts.wsEngine || this.opts.perMessageDeflate ? {} : { autoPong: false }), // see NodeWire.onPing
      ...(this.opts.wsEngine ? {} : receiverBounds(Number(this.opts.maxHttpBufferSize))),
    });
    ws.on?.("headers", (lines, request) => {
      if (!this.writeUpgradeHeaders(lines, request as EngineRequest)) throw UNSENDABLE;
    });
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

  /** Completes the WebSocket handshake and creates the transport. */
  private acceptWebSocket(
    request: EngineRequest,
    socket: Duplex,
    head: Buffer,
    onTransport: (transport: WebSocketTransport) => void,
  ): void {
    const net = socket as NetSocket;
    if (this.ws === undefined) return this.refuseUpgrade(request, socket, refuse(ERRORS.UNKNOWN_TRANSPORT, { transport: "websocket" }));
    const acceptance = this.readsFrames ? acceptanceOf(request) : null;
    const offers = request.headers["sec-websocket-extensions"];
    const agreement = this.deflater === null || offers === undefined ? null : this.deflater.negotiate(offers);
    if (acceptance !== null && agreement !== "ws" && net.readable && net.writable) {
      const lines = acceptance.slice();
      if (agreement !== null) lines.push(`Sec-WebSocket-Extensions: ${agreement.answer}`);
      if (!this.writeUpgradeHeaders(lines, request)) return writeRefusal(socket, 500, "", this.endings);
      const response = lines.join("\r\n") + "\r\n\r\n";
      const wire =
        agreement === null
          ? new SocketWire(net, this.wireSettings, response, head)
          : new CompressedWire(net, this.wireSettings, response, head, agreement);
      const transport = this.transportOn(wire, request);
      onTransport(transport);
      if (transport.writable) wire.writeHead(); // else it leaves with the open packet
      return;
    }
    net.cork?.(); // the 101 response and the first frames leave in one write; the wire uncorks
    try {
      this.ws.handleUpgrade(request, socket, head, (ws) => {
        socket.removeListener("error", ignore);
        onTransport(this.transportOn(this.wireFor(ws, net), request));
      });
    } catch (error) {
      if (error !== UNSENDABLE) throw error;
      writeRefusal(socket, 500, "", this.endings);
    } finally {
      nextTick(uncork, net); // if no frame follows
    }
  }

  private transportOn(wire: Wire, request: EngineRequest): WebSocketTransport {
    return new WebSocketTransport(revisionOf(request._query), supportsBinary(request._query), wire);
  }

  /** Whether roomcast reads the frames: not with an option that requires `ws`, nor when a program observes the handshakes of `ws`. */
  private get readsFrames(): boolean {
    const { ws } = this;
    return (
      mayReadFrames &&
      this.takesWebSockets &&
      this.opts.receive !== "ws" &&
      !this.opts.wsEngine &&
      ws instanceof WebSocketServer &&
      ws.listenerCount("headers") === 1
    );
  }

  private wireFor(ws: WebSocket, net: NetSocket): Wire {
    const isOwn = !this.opts.wsEngine && ws.extensions === "";
    if (isOwn && !this.opts.perMessageDeflate) return new WsWire(ws, net, this.wireSettings);
    const deflate = this.opts.perMessageDeflate as { threshold: number } | undefined;
    return new LibraryWire(ws, net, this.wireSettings, deflate && ws.extensions ? deflate.threshold : null);
  }

  /** Adds the headers of middlewares and listeners to the lines of the 101 response. @returns false when they can't be sent */
  private writeUpgradeHeaders(lines: string[], request: EngineRequest): boolean {
    const response = (request as { [kResponse]?: UpgradeResponse })[kResponse];
    let headers: ResponseHeaders = {};
    if (response !== undefined) {
      try {
        response.writeHead(); // middlewares wrap it to add headers
      } catch (error) {
        this.onHeadFailure(error);
        return false;
      }
      headers = response.toHeaders();
      response.headersSent = true;
    }
    if (!this.decorateHeaders(headers, request, !request._query["sid"])) return false;
    for (const [name, value] of Object.entries(headers)) {
      for (const line of Array.isArray(value) ? (value as string[]) : [value]) lines.push(`${name}: ${String(line)}`);
    }
    return true;
  }

  private refuseUpgrade(request: EngineRequest, socket: Duplex, refusal: Refusal): void {
    try {
      this.emitRefusal(request, refusal);
    } finally {
      const { status = 400, message = ERROR_MESSAGES[refusal.code], headers } = refusal;
      writeRefusal(socket, status, String(message), this.endings, headers);
    }
  }

  protected override mustKeepRequest(transport: TransportName): boolean {
    if (super.mustKeepRequest(transport)) return true;
    const server = this.attachedTo;
    if (server === null) return true; // without `attach` the program passes requests itself, and has seen them
    return server.listenerCount(transport === "polling" ? "request" : "upgrade") > 1;
  }
}

/**
 * Adds a request listener in front of those that the server has now.
 * @param takes  answers the request, or gives false; then those listeners get it
 * @returns removes it: the listeners have their places again (ROB-735). If another one was put in front of it, they have when that is removed
 */
export function standInFront(server: HttpServer, takes: (request: IncomingMessage, response: ServerResponse) => boolean): () => void {
  const behind = server.listeners("request").slice() as RequestListener[];
  const asAdded = server.rawListeners("request") as RequestListener[]; // with the wrappers of `once`
  let isRemoved = false;
  const front: RequestListener = (request, response) => {
    if (isRemoved || !takes(request, response)) for (const listener of behind) listener.call(server, request, response);
  };
  server.removeAllListeners("request");
  server.on("request", front);
  return () => {
    isRemoved = true;
    front[kBehind] = asAdded;
    const listeners = server.rawListeners("request") as RequestListener[];
    if (!listeners.includes(front)) return;
    server.removeAllListeners("request");
    for (const listener of listeners.flatMap(unfold)) server.on("request", listener);
  };
}

interface RequestListener {
  (request: IncomingMessage, response: ServerResponse): void;
  [kBehind]?: RequestListener[];
}

function unfold(listener: RequestListener): RequestListener[] {
  return listener[kBehind] === undefined ? [listener] : listener[kBehind].flatMap(unfold);
}

/** Parses the query, unless a framework has done it. */
function prepareRequest(req: IncomingMessage): EngineRequest {
  const request = req as EngineRequest;
  request._query ??= parseQuery(req.url!);
  return request;
}

/** An upgrade request with `transport=polling` (ENG-47). */
function notAnUpgrade(request: EngineRequest): Refusal {
  return refuse(ERRORS.BAD_REQUEST, { name: "TRANSPORT_MISMATCH", transport: request._query["transport"] });
}

/** Refuses an upgrade request with a raw HTTP response (ENG-44). */
function writeRefusal(
  socket: Duplex,
  status: 400 | 429 | 500 | 503,
  body: string,
  endings: Endings,
  headers: Refusal["headers"] = {},
): void {
  if (!socket.writable) return void socket.destroy();
  const fields = { Connection: "close", "Content-type": "text/html", "Content-Length": Buffer.byteLength(body), ...headers };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  endings.limitStream(socket);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join("")}\r\n${body}`, () => socket.destroy());
}

/** Closes an upgrade request for another path if no listener answers it: nothing was written to its connection (ENG-66). */
function endUnlessAnswered(socket: NetSocket, afterMs: number, endings: Endings): void {
  socket.on("error", ignore);
  const endUnwritten = (): void => {
    if (!socket.writable || socket.bytesWritten > 0) return;
    socket.end();
    endings.limitStream(socket);
  };
  const deadline = new Deadline(endUnwritten, null);
  deadline.start(afterMs);
  socket.once("close", () => deadline.cancel());
}

function uncork(socket: NetSocket): void {
  socket.uncork?.();
}

/**
 * Creates an HTTP server that answers `501` outside the engine's path, attaches an engine and listens.
 * @param listener  called once it listens
 * @returns the engine; its `httpServer` is the HTTP server
 */
export function listen(port: number, options?: (AttachOptions & EngineOptions) | (() => void), listener?: () => void): Server {
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
export function attach(server: HttpServer, options: AttachOptions & EngineOptions = {}): Server {
  const engine = new Server(options);
  engine.attach(server, options);
  return engine;
}
