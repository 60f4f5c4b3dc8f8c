// Requests and responses of Node's HTTP servers.
import { IncomingMessage, type ServerResponse } from "node:http";
import { Deadline } from "../../../support/deadline";
import { detachBytes, HELD_OVERHEAD_BYTES } from "../../../support/detach";
import type { BodyLimits, BodyOutcome, EngineRequest, Exchange, OnBody, ResponseHeaders } from "../../host";
import { ignore } from "../../../support/ignore";

const EMPTY = Buffer.alloc(0);
/** Milliseconds that the rest of a refused body has to arrive, so that the client can read the answer (ROB-154). */
const REFUSED_BODY_MS = 1000;

const kExchange = Symbol("exchange");

/** One request and response of Node's HTTP servers (HTTP/1.1, and HTTP/2 through its compatibility layer). */
export class NodeExchange implements Exchange {
  readonly request: EngineRequest;
  readonly response: ServerResponse;
  private closeListener: (() => void) | null;
  private readonly onFailure: (error: unknown) => void;
  private isAnswered: boolean;
  private body: BodyReader | null;

  /** @param onFailure  called with the error when a head can't be sent */
  constructor(request: EngineRequest, response: ServerResponse, onFailure: (error: unknown) => void) {
    this.request = request;
    this.response = response;
    this.closeListener = null;
    this.onFailure = onFailure;
    this.isAnswered = false;
    this.body = null;
  }

  get onClose(): (() => void) | null {
    return this.closeListener;
  }

  /** Adds the listener to the response only when it is needed: most requests are answered in the tick of their arrival. */
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

  /** Uses the request's socket: the response of a pipelined request has no socket before its turn, and over HTTP/2 none after the end. */
  get isGone(): boolean {
    const { destroyed, writableFinished } = this.response;
    return destroyed || writableFinished || this.request.socket?.destroyed === true;
  }

  get untakenBytes(): number {
    return this.isGone ? 0 : this.response.writableLength;
  }

  get heldInputBytes(): number {
    return this.body === null ? 0 : this.body.heldBytes;
  }

  readBody(limits: BodyLimits, onBody: OnBody): void {
    const { request } = this;
    const declared = Number(request.headers["content-length"]);
    if (declared > limits.bytes) return onBody("too large", EMPTY, declared);
    this.body = (request as ReadRequest)[kBody] = new BodyReader(limits, declared, onBody);
    request.on("data", onRequestData);
    request.on("end", onRequestEnd);
    request.on("close", onRequestClose);
    if (!((request as object) instanceof IncomingMessage)) request.on("error", ignore); // `close` follows. An IncomingMessage emits no `error` without listeners
  }

  respond(status: number, headers: ResponseHeaders | null, body: string | Buffer): boolean {
    if (this.isAnswered) return true;
    this.isAnswered = true;
    this.onClose = null;
    this.dropBody();
    const { response } = this;
    if (this.isGone) return true;
    if (response.headersSent || response.writableEnded) {
      response.end();
      return true;
    }
    try {
      if (headers === null) response.writeHead(status);
      else response.writeHead(status, headers as Record<string, string>);
    } catch (error) {
      this.onFailure(error);
      endPlainly(response);
      return false;
    }
    response.end(body);
    return true;
  }

  refuse(status: number, headers: ResponseHeaders | null, body: string | Buffer): void {
    const { request } = this;
    this.respond(status, headers, body);
    if (request.complete || request.destroyed) return;
    request.resume();
    this.cutAfter(REFUSED_BODY_MS, request);
  }

  cutUnlessTaken(ms: number): void {
    if (this.untakenBytes > 0) this.cutAfter(ms, this.response);
  }

  destroy(): void {
    this.isAnswered = true;
    this.onClose = null;
    this.dropBody();
    (this.request.socket ?? this.request).destroy();
  }

  private dropBody(): void {
    this.body?.abandon();
    this.body = null;
  }

  /** Destroys the connection after a time, unless `awaited` closes before. */
  private cutAfter(ms: number, awaited: IncomingMessage | ServerResponse): void {
    const deadline = new Deadline<NodeExchange>(destroyExchange, this);
    awaited.once("close", () => deadline.cancel());
    deadline.start(ms);
  }

  /** @internal */
  onResponseClose(): void {
    const listener = this.closeListener;
    this.closeListener = null;
    if (listener !== null && !this.isAnswered) listener();
  }
}

/** Answers 500, without the headers of the body. A program may have wrapped `writeHead`. */
function endPlainly(response: ServerResponse): void {
  try {
    for (const name of ["Content-Type", "Content-Length", "Content-Encoding"]) response.removeHeader(name);
    response.statusCode = 500;
    response.end();
  } catch {
    response.destroy(); // each head fails, so there is no answer
  }
}

/** Collects the body of one request. */
class BodyReader {
  private readonly limits: BodyLimits;
  /** The value of `Content-Length`; NaN without. */
  private readonly declared: number;
  private onBody: OnBody | null;
  /** The first chunk; most bodies have only one. */
  private first: Buffer | null;
  private chunks: Buffer[] | null;
  private bytes: number;
  private count: number;

  constructor(limits: BodyLimits, declared: number, onBody: OnBody) {
    this.limits = limits;
    this.declared = declared;
    this.onBody = onBody;
    this.first = null;
    this.chunks = null;
    this.bytes = 0;
    this.count = 0;
  }

  add(chunk: Buffer): void {
    if (this.onBody === null) return;
    this.bytes += chunk.length;
    this.count++;
    if (this.bytes > this.limits.bytes) this.settle("too large", EMPTY, this.bytes);
    else if (this.count > this.limits.chunks) this.settle("too many chunks", EMPTY, this.count);
    else if (this.first === null) this.first = detachBytes(chunk);
    else (this.chunks ??= [this.first]).push(detachBytes(chunk));
    if (this.bytes !== this.declared) this.limits.inputTotal.add(chunk.length);
  }

  get heldBytes(): number {
    return this.onBody === null ? 0 : this.bytes + HELD_OVERHEAD_BYTES * (1 + this.count);
  }

  end(): void {
    if (this.onBody !== null)
      this.settle("complete", this.chunks === null ? (this.first ?? EMPTY) : Buffer.concat(this.chunks, this.bytes));
  }

  settle(outcome: BodyOutcome, body: Buffer, met = 0): void {
    const { onBody } = this;
    this.abandon();
    onBody?.(outcome, body, met);
  }

  /** The body isn't needed any more: drops its bytes, also those that still arrive. */
  abandon(): void {
    this.onBody = null;
    this.first = this.chunks = null;
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

function onResponseClose(this: ServerResponse): void {
  (this as { [kExchange]?: NodeExchange })[kExchange]!.onResponseClose();
}

function destroyExchange(exchange: NodeExchange): void {
  exchange.destroy();
}
