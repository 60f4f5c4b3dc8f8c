import { STATUS_CODES, validateHeaderName, validateHeaderValue } from "node:http";
import type { BodyOutcome, EngineRequest, Exchange, HeaderValue, ResponseHeaders } from "../../host";
import { StandInResponse } from "../stand-in-response";
import type { UwsHttpResponse } from "./api";
import { holdCork, mayCork, putOff, type Corkable } from "./cork";

const EMPTY = Buffer.alloc(0);

type OnBody = (outcome: BodyOutcome, body: Buffer) => void;

/**
 * One request and response of uWebSockets.js.
 *
 *     open --respond--> answered --written, now or at the end of the turn--> ended
 *     open, answered --peer gone, destroy--> aborted      (from then on nothing native is touched)
 *
 * Its maker calls `hold` before the handler of the request returns.
 */
export class UwsExchange implements Exchange, Corkable {
  readonly request: EngineRequest;
  onClose: (() => void) | null;
  private readonly res: UwsHttpResponse;
  private state: "open" | "answered" | "ended" | "aborted";
  /** What middlewares see; null when there are none. */
  private shown: UwsResponse | null;
  private answer: { status: number; headers: ResponseHeaders | null; body: string | Buffer } | null;
  private body: BodyReader | null;

  constructor(request: EngineRequest, res: UwsHttpResponse) {
    this.request = request;
    this.onClose = null;
    this.res = res;
    this.state = "open";
    this.shown = null;
    this.answer = null;
    this.body = null;
  }

  get method(): string {
    return this.request.method!;
  }

  /** The `res` for middlewares: from now on the answer goes through it. */
  get response(): UwsResponse {
    return (this.shown ??= new UwsResponse(this));
  }

  /** Whether somebody has `response`. */
  get isShown(): boolean {
    return this.shown !== null;
  }

  get isHeadSent(): boolean {
    return this.shown !== null && this.shown.headersSent;
  }

  get isGone(): boolean {
    return this.state === "aborted";
  }

  /** The handler returns: what must be known of a request that is not answered yet is listened to. */
  hold(bodyLimitBytes: number): void {
    if (this.state !== "open" && this.state !== "answered") return;
    if (this.method === "POST" && this.state === "open") this.body ??= new BodyReader(this.res, this, bodyLimitBytes);
    this.res.onAborted(() => this.onAborted());
  }

  readBody(limitBytes: number, onBody: OnBody): void {
    const length = Number(this.request.headers["content-length"] ?? 0);
    if (!(length > 0)) return onBody("no length", EMPTY);
    if (length > limitBytes) return onBody("too large", EMPTY);
    if (this.isGone) return onBody("aborted", EMPTY);
    this.body ??= new BodyReader(this.res, this, limitBytes);
    this.body.hand(onBody);
  }

  respond(status: number, headers: ResponseHeaders | null, body: string | Buffer): void {
    if (this.state !== "open") return;
    this.onClose = null;
    const { shown } = this;
    if (shown !== null && (shown.headersSent || shown.writableEnded)) return void shown.end();
    try {
      if (shown !== null) shown.writeHead(status, headers ?? {});
      else for (const name in headers) checkHeader(name, headers[name]);
    } catch (error) {
      // A header that a listener set can't be sent: the caller's mistake, but no reason to leave the client waiting.
      this.write(500, null, "");
      throw error;
    }
    if (shown !== null) shown.end(body);
    else this.write(status, headers, body);
  }

  destroy(): void {
    if (this.state === "ended" || this.state === "aborted") return;
    this.state = "answered";
    this.onClose = null;
    this.res.close(); // calls `onAborted`, when that is listened to
    this.state = "aborted";
  }

  /** The connection becomes a WebSocket: nothing is answered here any more. */
  leave(): void {
    this.state = "ended";
  }

  /** Writes the response, in one system call. @internal */
  write(status: number, headers: ResponseHeaders | null, body: string | Buffer): void {
    if (this.state !== "open") return;
    this.state = "answered";
    this.answer = { status, headers, body };
    if (mayCork(this)) this.writeLate();
    else putOff(this);
  }

  /** The end of the turn. */
  writeLate(): void {
    const { answer, res } = this;
    if (this.state !== "answered" || answer === null) return;
    this.answer = null;
    this.state = "ended";
    res.cork(() => {
      res.writeStatus(`${answer.status} ${STATUS_CODES[answer.status] ?? ""}`);
      writeHeaders(res, answer.headers);
      res.end(answer.body);
    });
    this.shown?.onWritten();
  }

  private onAborted(): void {
    const wasOpen = this.state === "open";
    this.state = "aborted";
    this.answer = null;
    this.body?.settle("aborted");
    this.shown?.onGone();
    const { onClose } = this;
    this.onClose = null;
    if (wasOpen) onClose?.();
  }
}

/** Writes the lines of a head; the length is told by the library itself. */
export function writeHeaders(res: UwsHttpResponse, headers: ResponseHeaders | null): void {
  if (headers === null) return;
  for (const name in headers) {
    if (name.length === 14 && name.toLowerCase() === "content-length") continue;
    const value = headers[name];
    if (typeof value === "object") for (const line of value) res.writeHeader(name, String(line));
    else res.writeHeader(name, String(value));
  }
}

/** As Node does: no header may bring a second one. */
export function checkHeader(name: string, value: HeaderValue): void {
  validateHeaderName(name);
  if (typeof value === "object") for (const line of value) validateHeaderValue(name, String(line));
  else validateHeaderValue(name, String(value));
}

/** Reads a body, from the handler of its request on, at most as far as its limit. */
class BodyReader {
  private chunks: Buffer[];
  private bytes: number;
  private outcome: BodyOutcome | null;
  private onBody: OnBody | null;

  constructor(res: UwsHttpResponse, owner: object, limitBytes: number) {
    this.chunks = [];
    this.bytes = 0;
    this.outcome = null;
    this.onBody = null;
    res.onData((chunk, isLast) => {
      holdCork(owner);
      if (this.outcome !== null) return;
      this.bytes += chunk.byteLength;
      if (this.bytes > limitBytes) return this.settle("too large");
      if (chunk.byteLength > 0) this.chunks.push(Buffer.from(chunk.slice(0))); // theirs is taken back when this returns
      if (isLast) this.settle("complete");
    });
  }

  hand(onBody: OnBody): void {
    this.onBody = onBody;
    if (this.outcome !== null) this.deliver();
  }

  settle(outcome: BodyOutcome): void {
    if (this.outcome !== null) return;
    this.outcome = outcome;
    if (outcome !== "complete") this.chunks = [];
    if (this.onBody !== null) this.deliver();
  }

  private deliver(): void {
    const { chunks, onBody } = this;
    this.chunks = [];
    this.onBody = null;
    onBody!(this.outcome!, chunks.length === 1 ? chunks[0] : Buffer.concat(chunks));
  }
}

/** The `res` of a request on uWebSockets.js, for middlewares and for the client files. */
export class UwsResponse extends StandInResponse {
  private readonly exchange: UwsExchange;
  private chunks: Buffer[];

  constructor(exchange: UwsExchange) {
    super(200);
    this.exchange = exchange;
    this.chunks = [];
  }

  get req(): EngineRequest {
    return this.exchange.request;
  }

  get socket(): unknown {
    return this.exchange.request.socket;
  }

  get destroyed(): boolean {
    return this.exchange.isGone;
  }

  override setHeader(name: string, value: HeaderValue): this {
    checkHeader(name, value);
    return super.setHeader(name, value);
  }

  writeHead(status?: number, ...rest: unknown[]): this {
    if (status !== undefined) this.statusCode = status;
    const headers = rest[rest.length - 1] as ResponseHeaders | undefined;
    if (typeof headers === "object") for (const name in headers) this.setHeader(name, headers[name]);
    this.headersSent = true; // nothing leaves before the end, but from here on the head stays as it is
    return this;
  }

  /** @internal What session middlewares call before they write. */
  _implicitHeader(): void {
    this.writeHead(this.statusCode);
  }

  write(chunk: unknown): boolean {
    if (this.writableEnded) return true;
    if (!this.headersSent) this.writeHead(this.statusCode);
    this.chunks.push(bytesOf(chunk));
    return true;
  }

  end(body?: unknown): this {
    if (this.writableEnded) return this;
    if (body !== undefined && body !== null && typeof body !== "function") this.chunks.push(bytesOf(body));
    if (!this.headersSent) this.writeHead(this.statusCode); // perhaps wrapped by a middleware that adds headers at the last moment
    this.writableEnded = true;
    const { chunks } = this;
    this.chunks = [];
    if (this.statusCode === 101) this.cut();
    else this.exchange.write(this.statusCode, this.toHeaders(), chunks.length === 1 ? chunks[0] : Buffer.concat(chunks));
    return this;
  }

  /** A middleware refuses an upgrade, and says no status. */
  private cut(): void {
    this.finished = true;
    this.emit("finish");
    this.exchange.destroy();
    this.emit("close");
  }

  /** @internal */
  onWritten(): void {
    this.finished = true;
    this.emit("finish");
    this.emit("close");
  }

  /** @internal */
  onGone(): void {
    if (!this.finished) this.emit("close");
  }
}

function bytesOf(chunk: unknown): Buffer {
  return typeof chunk === "string" ? Buffer.from(chunk) : (chunk as Buffer);
}
