// Requests and responses of uWebSockets.js, and the `res` of its middlewares.
import { type IncomingMessage, STATUS_CODES } from "node:http";
import { checkHeader } from "../../headers";
import type { BodyLimits, BodyOutcome, EngineRequest, Exchange, OnBody, ResponseHeaders } from "../../host";
import type { InputHolder } from "../../totals";
import { StandInResponse } from "../stand-in-response";
import type { UwsHttpResponse } from "./api";
import { HELD_OVERHEAD_BYTES } from "../../../support/detach";
import { atTurnEnd, beginHandler, mustWaitForTurnEnd, type Deferred } from "../../turn";

const EMPTY = Buffer.alloc(0);

/**
 * One request and response of uWebSockets.js.
 *
 *     open --respond--> answered --written, now or at the end of the turn--> ended
 *     open, answered --peer gone, destroy--> aborted      (no native method is called afterwards, ENG-184)
 *
 * Its creator calls `hold` before the handler of the request returns.
 */
export class UwsExchange implements Exchange, Deferred, InputHolder {
  readonly request: EngineRequest;
  /** @internal */ isDeferred: boolean;
  onClose: (() => void) | null;
  private readonly onFailure: (error: unknown) => void;
  private readonly res: UwsHttpResponse;
  private state: "open" | "answered" | "ended" | "aborted";
  /** The response for middlewares; null until it is used. */
  private shown: UwsResponse | null;
  private answer: { status: number; headers: ResponseHeaders | null; body: string | Buffer } | null;
  private closesConnection: boolean;
  /** Whether the answer is written at once, also when that costs further system calls (ROB-350). */
  writesAtOnce: boolean;
  private body: BodyReader | null;
  private isClaimed: boolean;
  /** Where the exchange is counted while its body waits for middlewares. */
  private waitingIn: Set<InputHolder> | null;

  /** @param onFailure  called with the error when a head can't be sent */
  constructor(request: EngineRequest, res: UwsHttpResponse, onFailure: (error: unknown) => void) {
    this.request = request;
    this.isDeferred = false;
    this.onFailure = onFailure;
    this.onClose = null;
    this.res = res;
    this.state = "open";
    this.shown = null;
    this.answer = null;
    this.closesConnection = false;
    this.writesAtOnce = false;
    this.body = null;
    this.isClaimed = false;
    this.waitingIn = null;
  }

  get method(): string {
    return this.request.method!;
  }

  /** The `res` for middlewares. Once it was used, the answer goes through it. */
  get response(): UwsResponse {
    return (this.shown ??= new UwsResponse(this));
  }

  /** Whether `response` was used. */
  get isShown(): boolean {
    return this.shown !== null;
  }

  get isHeadSent(): boolean {
    return this.shown !== null && this.shown.headersSent;
  }

  get isGone(): boolean {
    return this.state === "aborted";
  }

  /**
   * Called when the handler returns: registers listeners for the body and the end of a request that isn't answered yet.
   * @param bodyLimits  null for a request whose body isn't read
   */
  hold(bodyLimits: BodyLimits | null): void {
    if (this.state !== "open" && this.state !== "answered") return;
    if (bodyLimits !== null && this.state === "open") {
      this.body ??= new BodyReader(this.res, this, bodyLimits);
      if (!this.isClaimed) (this.waitingIn = bodyLimits.inputTotal.others).add(this);
    }
    this.res.onAborted(() => this.onAborted());
  }

  /**
   * Called like `hold`, for a request whose body is read as a stream.
   * @param maxWaiting  the connection is closed when more bytes wait to be read
   */
  holdStream(request: IncomingMessage, maxWaiting: number): void {
    if (this.state === "open") {
      this.onClose = () => {
        (request.socket as { destroyed: boolean }).destroyed = true; // or the request would destroy it, as a stream
        request.destroy();
      };
      this.res.onData((chunk, isLast) => {
        beginHandler(this);
        if (chunk.byteLength > 0) request.push(Buffer.from(chunk.slice(0))); // uWebSockets.js detaches the buffer when the callback returns
        if (isLast) request.push(null);
        else if (request.readableLength > maxWaiting) this.destroy();
      });
    }
    this.hold(null);
  }

  /** The middlewares have let the request pass: its session knows its body from now on (ROB-814). */
  claim(): void {
    this.isClaimed = true;
    this.waitingIn?.delete(this);
  }

  get heldInputBytes(): number {
    return this.body === null ? 0 : this.body.heldBytes;
  }

  /** Its body waits for middlewares, and too much input is held. */
  endForLimit(): void {
    this.refuse(503, null, "");
  }

  /** The library doesn't report the progress of a response; it closes connections without progress after ten seconds. */
  get untakenBytes(): number {
    return 0;
  }

  cutUnlessTaken(): void {}

  readBody(limits: BodyLimits, onBody: OnBody): void {
    const length = Number(this.request.headers["content-length"] ?? 0);
    if (!(length > 0)) return onBody("no length", EMPTY, 0); // ENG-183
    if (length > limits.bytes) return onBody("too large", EMPTY, length);
    if (this.isGone) return onBody("aborted", EMPTY, 0);
    this.body ??= new BodyReader(this.res, this, limits);
    this.body.hand(onBody);
  }

  respond(status: number, headers: ResponseHeaders | null, body: string | Buffer): boolean {
    if (this.state !== "open") return true;
    this.onClose = null;
    this.body?.abandon();
    const { shown } = this;
    if (shown !== null && (shown.headersSent || shown.writableEnded)) {
      shown.end();
      return true;
    }
    try {
      if (shown !== null) shown.writeHead(status, headers ?? {});
      else for (const name in headers) checkHeader(name, headers[name]);
    } catch (error) {
      this.onFailure(error);
      this.fail();
      return false;
    }
    if (shown !== null) shown.end(body);
    else this.write(status, headers, body);
    return true;
  }

  /** Answers 500 instead of what was prepared. */
  fail(): void {
    this.onClose = null;
    this.write(500, null, "");
  }

  refuse(status: number, headers: ResponseHeaders | null, body: string | Buffer): void {
    this.closesConnection = Number(this.request.headers["content-length"] ?? 0) > 0;
    this.respond(status, headers, body);
  }

  destroy(): void {
    this.body?.abandon();
    this.waitingIn?.delete(this);
    if (this.state === "ended" || this.state === "aborted") return;
    this.state = "answered";
    this.onClose = null;
    this.res.close(); // calls `onAborted` if it is registered
    this.state = "aborted";
  }

  /** The connection becomes a WebSocket: the exchange has ended. */
  leave(): void {
    this.state = "ended";
  }

  /** Writes the response, in one system call. @internal */
  write(status: number, headers: ResponseHeaders | null, body: string | Buffer): void {
    if (this.state !== "open") return;
    this.waitingIn?.delete(this);
    this.state = "answered";
    this.answer = { status, headers, body };
    if (!this.writesAtOnce && mustWaitForTurnEnd(this)) atTurnEnd(this);
    else this.runDeferred();
  }

  /** Writes it: now, or at the end of the turn. @internal */
  runDeferred(): void {
    const { answer, res } = this;
    if (this.state !== "answered" || answer === null) return;
    this.answer = null;
    this.state = "ended";
    res.cork(() => {
      res.writeStatus(`${answer.status} ${STATUS_CODES[answer.status] ?? ""}`);
      writeHeaders(res, answer.headers);
      res.end(answer.body, this.closesConnection);
    });
    this.shown?.onWritten();
  }

  private onAborted(): void {
    const wasOpen = this.state === "open";
    this.state = "aborted";
    this.answer = null;
    this.body?.settle("aborted");
    this.waitingIn?.delete(this);
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

/** Reads a body, from the handler of its request on, at most as far as its limit. */
class BodyReader {
  private chunks: Buffer[];
  private bytes: number;
  private outcome: BodyOutcome | null;
  /** What was met of the limit that was passed. */
  private met: number;
  private onBody: OnBody | null;

  constructor(res: UwsHttpResponse, owner: object, limits: BodyLimits) {
    this.chunks = [];
    this.bytes = 0;
    this.outcome = null;
    this.met = 0;
    this.onBody = null;
    res.onData((chunk, isLast) => {
      beginHandler(owner);
      if (this.outcome !== null) return;
      this.bytes += chunk.byteLength;
      if (this.bytes > limits.bytes) return this.settle("too large", this.bytes);
      if (this.chunks.length === limits.chunks) return this.settle("too many chunks", limits.chunks + 1);
      if (chunk.byteLength > 0) this.chunks.push(Buffer.from(chunk.slice(0))); // uWebSockets.js detaches the buffer when the callback returns
      if (isLast) this.settle("complete");
      if (!isLast || this.onBody === null) limits.inputTotal.add(chunk.byteLength);
    });
  }

  get heldBytes(): number {
    return this.chunks.length === 0 && this.onBody === null ? 0 : this.bytes + HELD_OVERHEAD_BYTES * (1 + this.chunks.length);
  }

  /** The body isn't needed any more: drops its bytes, also those that still arrive. */
  abandon(): void {
    this.outcome ??= "aborted";
    this.chunks = [];
    this.onBody = null;
  }

  hand(onBody: OnBody): void {
    this.onBody = onBody;
    if (this.outcome !== null) this.deliver();
  }

  settle(outcome: BodyOutcome, met = 0): void {
    if (this.outcome !== null) return;
    this.outcome = outcome;
    this.met = met;
    if (outcome !== "complete") this.chunks = [];
    if (this.onBody !== null) this.deliver();
  }

  private deliver(): void {
    const { chunks, onBody } = this;
    this.chunks = [];
    this.onBody = null;
    onBody!(this.outcome!, chunks.length === 1 ? chunks[0] : Buffer.concat(chunks), this.met);
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

  writeHead(status?: number, ...rest: unknown[]): this {
    if (status !== undefined) this.statusCode = status;
    const headers = rest[rest.length - 1] as ResponseHeaders | undefined;
    if (typeof headers === "object") for (const name in headers) this.setHeader(name, headers[name]);
    this.headersSent = true; // the head is sent with the end, but can't be changed from here on
    return this;
  }

  /** @internal Session middlewares call it before they write. */
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
    if (!this.headersSent) this.writeHead(this.statusCode); // middlewares wrap it to add headers
    this.writableEnded = true;
    const { chunks } = this;
    this.chunks = [];
    if (this.statusCode === 101) this.cut();
    else this.exchange.write(this.statusCode, this.toHeaders(), chunks.length === 1 ? chunks[0] : Buffer.concat(chunks));
    return this;
  }

  /** A middleware refuses an upgrade without a status. */
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
