import { IncomingMessage, OutgoingMessage, type ServerResponse } from "node:http";
import type { BodyOutcome, EngineRequest, Exchange, ResponseHeaders } from "../host";

const EMPTY = Buffer.alloc(0);
const JOINED_LENGTH = 16 * 1024;
const originalEnd: unknown = OutgoingMessage.prototype.end;

const kExchange = Symbol("exchange");

/** One request and response of Node's HTTP servers (HTTP/1.1, and HTTP/2 through its compatibility layer). */
export class NodeExchange implements Exchange {
  readonly request: EngineRequest;
  readonly response: ServerResponse;
  private closeListener: (() => void) | null;
  private isAnswered: boolean;

  constructor(request: EngineRequest, response: ServerResponse) {
    this.request = request;
    this.response = response;
    this.closeListener = null;
    this.isAnswered = false;
  }

  get onClose(): (() => void) | null {
    return this.closeListener;
  }

  /** Listens to the response only once somebody wants to know: most requests are answered in the tick in which they came. */
  set onClose(listener: (() => void) | null) {
    if (listener !== null && this.closeListener === null) {
      (this.response as { [kExchange]?: NodeExchange })[kExchange] = this;
      this.response.on("close", onResponseClose);
    }
    this.closeListener = listener;
  }

  get method(): string {
    return this.request.method!;
  }

  get isHeadSent(): boolean {
    return this.response.headersSent;
  }

  get isGone(): boolean {
    const { destroyed, socket } = this.response;
    return destroyed || socket === null || socket.destroyed;
  }

  readBody(limitBytes: number, onBody: (outcome: BodyOutcome, body: Buffer) => void): void {
    const { request } = this;
    if (Number(request.headers["content-length"]) > limitBytes) {
      request.resume(); // the rest is drained, so that the connection stays usable
      return onBody("too large", EMPTY);
    }
    (request as ReadRequest)[kBody] = new BodyReader(limitBytes, onBody);
    request.on("data", onRequestData);
    request.on("end", onRequestEnd);
    request.on("close", onRequestClose);
    if (!((request as object) instanceof IncomingMessage)) request.on("error", ignore); // `close` follows; Node.js' own tells nobody who doesn't listen
  }

  respond(status: number, headers: ResponseHeaders | null, body: string | Buffer): void {
    if (this.isAnswered) return;
    this.isAnswered = true;
    this.onClose = null;
    const { response } = this;
    if (response.destroyed) return; // the peer has left
    if (response.headersSent || response.writableEnded) return void response.end();
    try {
      if (headers === null) response.writeHead(status);
      else response.writeHead(status, headers as Record<string, string>);
    } catch (error) {
      // A header that a listener set can't be sent: the caller's mistake, but no reason to leave the client waiting.
      response.statusCode = 500;
      response.end();
      throw error;
    }
    const hasBody = this.method === "GET" || this.method === "POST";
    if (hasBody && typeof body === "string" && appendToHead(response, body)) response.end();
    else response.end(body);
  }

  destroy(): void {
    this.isAnswered = true;
    this.onClose = null;
    (this.request.socket ?? this.request).destroy();
  }

  /** @internal */
  onResponseClose(): void {
    const listener = this.closeListener;
    this.closeListener = null;
    if (listener !== null && !this.isAnswered) listener();
  }
}

/** Collects the body of one request. */
class BodyReader {
  private readonly limitBytes: number;
  private onBody: ((outcome: BodyOutcome, body: Buffer) => void) | null;
  /** Most bodies come in one piece. */
  private first: Buffer | null;
  private chunks: Buffer[] | null;
  private bytes: number;

  constructor(limitBytes: number, onBody: (outcome: BodyOutcome, body: Buffer) => void) {
    this.limitBytes = limitBytes;
    this.onBody = onBody;
    this.first = null;
    this.chunks = null;
    this.bytes = 0;
  }

  add(chunk: Buffer): void {
    if (this.onBody === null) return;
    this.bytes += chunk.length;
    if (this.bytes > this.limitBytes) this.settle("too large", EMPTY);
    else if (this.first === null) this.first = chunk;
    else (this.chunks ??= [this.first]).push(chunk);
  }

  end(): void {
    if (this.onBody !== null)
      this.settle("complete", this.chunks === null ? (this.first ?? EMPTY) : Buffer.concat(this.chunks, this.bytes));
  }

  settle(outcome: BodyOutcome, body: Buffer): void {
    const { onBody } = this;
    this.onBody = null;
    this.first = this.chunks = null;
    onBody?.(outcome, body);
  }
}

const kBody = Symbol("body");
type ReadRequest = EngineRequest & { [kBody]: BodyReader };

function onRequestData(this: ReadRequest, chunk: Buffer): void {
  this[kBody].add(chunk);
}

function onRequestEnd(this: ReadRequest): void {
  this[kBody].end();
}

function onRequestClose(this: ReadRequest): void {
  this[kBody].settle("aborted", EMPTY);
}

/**
 * Puts a short ASCII body behind the head that was prepared, so that both leave as one text; `end(body)` writes them, and an empty
 * third piece, as a list. Hot: benchmark "long-polling echo".
 * @returns false where the response, or a program that has changed it, wouldn't do the same with both
 */
function appendToHead(response: ServerResponse, body: string): boolean {
  const prepared = response as unknown as { _header?: unknown; _headerSent?: unknown };
  if (body.length > JOINED_LENGTH || typeof prepared._header !== "string" || prepared._headerSent !== false) return false;
  if (response.end !== originalEnd || response.strictContentLength || response.chunkedEncoding) return false;
  if (Buffer.byteLength(body) !== body.length) return false;
  prepared._header += body;
  return true;
}

function onResponseClose(this: ServerResponse): void {
  (this as { [kExchange]?: NodeExchange })[kExchange]!.onResponseClose();
}

function ignore(): void {}
