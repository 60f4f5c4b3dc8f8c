// WebSockets over HTTP/2 (RFC 8441, extended CONNECT). They are converted to HTTP/1.1 upgrade requests, which the other files handle.
import { randomBytes } from "node:crypto";
import type { IncomingMessage, Server as HttpServer } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Stream, Settings } from "node:http2";
import type { Socket as NetSocket } from "node:net";
import { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { Deadline } from "../../../support/deadline";
import { ignore } from "../../../support/ignore";
import type { EngineRequest } from "../../host";
import { KeptRequest, requestOf } from "../../request";

// Error codes (RFC 9113, section 7). `node:http2` has them too, but isn't loaded for programs without HTTP/2.
const NO_ERROR = 0;
const CANCEL = 8;

/** A member that only HTTP/2 servers have. */
interface SettingsHolder {
  updateSettings?: (settings: Settings) => void;
}

type ConnectListener = (request: IncomingMessage | Http2ServerRequest, response: Http2ServerResponse | NetSocket) => void;

/**
 * Lets clients of an HTTP/2 server open WebSockets; does nothing for other servers.
 * Clients that were connected before aren't informed.
 * @param isOurs          whether a request target belongs to the engine
 * @param onUpgrade       called with the request, as an HTTP/1.1 upgrade request, and its connection
 * @param unansweredMs    milliseconds that other listeners of `connect` have to answer other targets; null for no limit
 * @returns withdraws the offer, for clients that connect afterwards
 */
export function offerExtendedConnect(
  server: HttpServer,
  {
    isOurs,
    onUpgrade,
    unansweredMs,
  }: { isOurs: (url: string) => boolean; onUpgrade: (request: EngineRequest, socket: Duplex) => void; unansweredMs: number | null },
): () => void {
  const { updateSettings } = server as SettingsHolder;
  if (typeof updateSettings !== "function") return ignore;
  updateSettings.call(server, { enableConnectProtocol: true });
  const onConnect: ConnectListener = (request, response) => {
    const isOnly = server.listenerCount("connect") === 1;
    if (!("stream" in request)) return isOnly ? void (response as NetSocket).destroy() : undefined; // as Node does without a listener
    const isWebSocket = request.headers[":protocol"] === "websocket";
    if (isWebSocket && isOurs(request.url)) {
      const socket = new ConnectStream(request.stream);
      onUpgrade(asUpgradeRequest(request, socket), socket);
    } else if (isOnly) {
      refuse(response as Http2ServerResponse);
    } else if (unansweredMs !== null && isWebSocket) {
      const deadline = new Deadline(refuse, response as Http2ServerResponse);
      deadline.start(unansweredMs);
      request.stream.once("close", () => deadline.cancel());
    }
  };
  server.on("connect", onConnect as never);
  return () => {
    server.removeListener("connect", onConnect as never);
    if (server.listenerCount("connect") === 0) updateSettings.call(server, { enableConnectProtocol: false });
  };
}

/** Answers as Node does without listeners of `connect`. */
function refuse(response: Http2ServerResponse): void {
  if (response.headersSent || response.writableEnded) return;
  response.statusCode = 405;
  response.end();
}

/** Converts to an HTTP/1.1 upgrade request. HTTP/2 has no `Sec-WebSocket-Key`, but WebSocket servers need one. */
function asUpgradeRequest(request: Http2ServerRequest, socket: Duplex): EngineRequest {
  const key = randomBytes(16).toString("base64");
  const rawHeaders = ["Host", request.authority, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Key", key];
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    const name = request.rawHeaders[index];
    if (!name.startsWith(":") && !HOP_BY_HOP.has(name)) rawHeaders.push(name, request.rawHeaders[index + 1]);
  }
  const headers = { "sec-websocket-key": key };
  return requestOf(
    new KeptRequest({ url: request.url, socket: socket as NetSocket, httpVersion: request.httpVersion, rawHeaders, headers }),
  );
}

/** Headers that belong to an HTTP/1.1 connection or to its handshake. */
const HOP_BY_HOP = new Set([
  "host",
  "connection",
  "upgrade",
  "keep-alive",
  "transfer-encoding",
  "sec-websocket-key",
  "sec-websocket-accept",
]);

/**
 * The connection of one WebSocket: a stream of an HTTP/2 connection that accepts the head of an HTTP/1.1 response as answer.
 * `101` becomes `:status 200` (RFC 8441, section 5), other statuses stay.
 *
 *     awaiting head --head written--> streaming
 */
class ConnectStream extends Duplex {
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly encrypted: boolean;
  readonly authorized: boolean;
  bytesWritten: number;
  private readonly stream: ServerHttp2Stream;
  private readonly tls: TLSSocket | undefined;
  private state: "awaiting head" | "streaming";
  private head: Buffer;

  constructor(stream: ServerHttp2Stream) {
    super({ highWaterMark: 16 * 1024 });
    const socket = stream.session?.socket as TLSSocket | undefined;
    this.remoteAddress = socket?.remoteAddress;
    this.remotePort = socket?.remotePort;
    this.encrypted = socket?.encrypted === true;
    this.authorized = socket?.authorized === true;
    this.bytesWritten = 0;
    this.stream = stream;
    this.tls = socket;
    this.state = "awaiting head";
    this.head = Buffer.alloc(0);
    stream.on("data", (chunk: Buffer) => {
      if (!this.push(chunk)) stream.pause();
    });
    stream.on("end", () => this.push(null));
    stream.on("error", (error) => this.destroy(error));
    stream.on("close", () => this.destroy());
  }

  /** The client's certificate; empty once the connection has ended. */
  getPeerCertificate(): object {
    return this.destroyed ? {} : (this.tls?.getPeerCertificate() ?? {});
  }

  /** WebSocket servers call this and the next two methods. They have no effect, since the TCP connection is shared. */
  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  override _read(): void {
    this.stream.resume();
  }

  override _write(chunk: Buffer, _encoding: string, callback: (error?: Error | null) => void): void {
    this.bytesWritten += chunk.length;
    if (this.state === "streaming") return this.pass(chunk, callback);
    this.head = Buffer.concat([this.head, chunk]);
    const end = this.head.indexOf("\r\n\r\n");
    if (end === -1) return callback();
    const rest = this.head.subarray(end + 4);
    try {
      this.stream.respond(responseOf(this.head.subarray(0, end).toString("latin1")));
    } catch (error) {
      return callback(error as Error); // a header that HTTP/2 can't carry, or a client that has left
    }
    this.state = "streaming";
    this.head = rest;
    if (rest.length === 0) callback();
    else this.pass(rest, callback);
  }

  override _writev(chunks: { chunk: Buffer }[], callback: (error?: Error | null) => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "buffer", callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    if (this.stream.destroyed) return callback();
    if (this.state === "awaiting head") this.stream.close(CANCEL);
    else this.stream.end();
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    // CANCEL corresponds to a TCP reset (RFC 8441, section 5); NO_ERROR if all was written.
    if (!this.stream.destroyed) this.stream.close(this.writableFinished && this.state === "streaming" ? NO_ERROR : CANCEL);
    callback(error);
  }

  private pass(bytes: Buffer, callback: (error?: Error | null) => void): void {
    if (this.stream.destroyed || this.stream.writableEnded) return callback(); // `close` follows
    this.stream.write(bytes, callback);
  }
}

/** Converts the head of an HTTP/1.1 response to the headers of an HTTP/2 response. */
function responseOf(head: string): Record<string, string | string[] | number> {
  const [statusLine, ...lines] = head.split("\r\n");
  const status = Number(statusLine.split(" ")[1]);
  const headers = Object.assign(Object.create(null) as Record<string, string | string[] | number>, {
    ":status": status === 101 ? 200 : status,
  });
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).trim().toLowerCase();
    if (colon === -1 || HOP_BY_HOP.has(name)) continue;
    const value = line.slice(colon + 1).trim();
    const before = headers[name];
    headers[name] = before === undefined ? value : ([] as string[]).concat(before as string, value);
  }
  return headers;
}
