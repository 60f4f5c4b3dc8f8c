// The polling transport. A step of the walks "a poll in" (from an exchange to the session) and "an emit out" (into a response).
import { decodePacket } from "../../protocol/engine-packet";
import { decodeJsonp, encodeJsonp } from "../../protocol/jsonp";
import { decodePayloadV3, encodePayloadV3 } from "../../protocol/legacy/payload";
import { encodePayload } from "../../protocol/polling-payload";
import { throwLater } from "../../support/ask";
import { hasListeners } from "../../support/lean-emitter";
import { Deadline } from "../../support/deadline";
import { refuseBody } from "../body-refusal";
import { BLOCKED_LOOP_MS } from "../heartbeat";
import { coarseClock } from "../coarse-clock";
import { exchangeOf, type BodyLimits, type BodyOutcome, type EngineRequest, type Exchange, type ResponseHeaders } from "../host";
import type { Compression } from "../http-compression";
import { answerLatePost, OK_HEADERS } from "../late-posts";
import { Prepared } from "../prepared";
import { isBinary } from "../request";
import { Transport, type Flow } from "../transport";
import { ignore } from "../../support/ignore";

/** What a polling transport needs of its engine. */
export interface PollingSettings {
  /** Read once per session. */
  bodyLimits(): BodyLimits & { readonly timeoutMs: number };
  readonly compression: Compression | null;
  /** Packets in one response. */
  readonly maxPackets: number;
  /** Whether a waiting poll is answered with the first packet, instead of at the end of its tick (ROB-350). */
  readonly writesAtOnce: boolean;
  /** Status for a second GET or POST while the first is under way (ENG-84, ENG-95). */
  overlapStatus: 400 | 500;
  /** Lets users add headers, right before the head of a successful response goes out; false when they can't be sent. */
  decorateHeaders(headers: ResponseHeaders, exchange: Exchange, isHandshake: boolean): boolean;
  /** Additional headers of the handshake response: the cookie (ENG-105). */
  handshakeHeaders(sid: string): ResponseHeaders | null;
}

const SEPARATOR = "\x1e";
const CLOSE_WAIT_MS = 30_000;
const CLOSE = new Prepared("close", undefined, { compress: false, shared: true });
const NOOP = new Prepared("noop", undefined, { compress: false, shared: true });

/**
 * The polling transport: GET requests (polls) wait for packets, POST requests bring packets (EIO-50 to EIO-54).
 *
 * It is writable while a GET waits and nothing is being written to it (ENG-83). A POST is read, then delivered, then answered:
 *
 *     none --POST, input paused--> held --input resumed--> reading
 *     none --POST--> reading --body complete--> delivering --"ok"--> none
 *     reading --body refused, time-out, overlap, end of the session--> none
 *
 * Events: those of every transport, and `headers(headers, request)` before each response, after the engine's own events (ROB-527).
 */
export class PollingTransport extends Transport {
  readonly name = "polling";
  /** The digits of the query parameter `j` of the handshake; null if the session doesn't use JSONP. */
  private readonly jsonp: string | null;
  private readonly settings: PollingSettings;
  private readonly bodyLimits: BodyLimits & { readonly timeoutMs: number };
  private poll: Exchange | null;
  /** The last poll that was answered, if the peer hasn't read the whole response (ROB-155). */
  private untaken: Exchange | null;
  private post: Exchange | null;
  private postState: "none" | "held" | "reading" | "delivering";
  private readonly bodyDeadline: Deadline<PollingTransport>;
  private isBodyOverdue: boolean;
  private isInputPaused: boolean;
  /** Set while the response is compressed and written (ENG-87). */
  private isAnswering: boolean;
  private isHandshake: boolean;
  private onClosed: (() => void) | null;
  private closeDeadline: Deadline<PollingTransport> | null;
  private sentCount: number;

  constructor(protocol: 3 | 4, supportsBinary: boolean, jsonp: string | null, settings: PollingSettings) {
    super(protocol, supportsBinary);
    this.jsonp = jsonp;
    this.settings = settings;
    this.maxPackets = settings.maxPackets;
    this.bodyLimits = settings.bodyLimits();
    this.poll = null;
    this.untaken = null;
    this.post = null;
    this.postState = "none";
    this.bodyDeadline = new Deadline<PollingTransport>(onBodyDeadline, this);
    this.isBodyOverdue = false;
    this.isInputPaused = false;
    this.isAnswering = false;
    this.isHandshake = true;
    this.onClosed = null;
    this.closeDeadline = null;
    this.sentCount = 0;
  }

  get flow(): Flow {
    return this.poll !== null && !this.isAnswering ? "free" : "no poll";
  }

  override get isPolled(): boolean {
    return this.poll !== null;
  }

  override get isPosted(): boolean {
    return this.post !== null;
  }

  override get heldInputBytes(): number {
    return this.post === null ? 0 : this.post.heldInputBytes;
  }

  get writesAtOnce(): boolean {
    return this.settings.writesAtOnce;
  }

  get bufferedBytes(): number {
    return this.untaken === null ? 0 : this.untaken.untakenBytes;
  }

  get progress(): number {
    return this.sentCount;
  }

  /** A request of this session. */
  override onRequest(request: EngineRequest): void {
    const exchange = exchangeOf(request);
    this.lastIn = coarseClock.now;
    if (exchange.method === "GET") this.onPoll(exchange);
    else if (exchange.method === "POST") this.onDataRequest(request, request.res);
    else exchange.refuse(500, null, ""); // ENG-81
  }

  // -- out -----------------------------------------------------------------------------------------

  /** Answers the waiting poll with all packets. */
  write(first: Prepared, more: readonly Prepared[] | null): void {
    if (this.flow === "free") this.answer(this.poll!, more === null ? [first] : [first, ...more]);
  }

  override releasePoll(): void {
    if (this.poll === null || !this.writable) return;
    this.writable = false;
    this.answer(this.poll, [NOOP]);
  }

  private answer(poll: Exchange, packets: readonly Prepared[]): void {
    const payload = this.protocol === 4 ? encodePayload(packets) : encodePayloadV3(packets, this.supportsBinary && this.jsonp === null);
    const isText = typeof payload === "string";
    const body = this.jsonp === null || !isText ? payload : encodeJsonp(this.jsonp, payload);
    const headers: ResponseHeaders = { "Content-Type": isText ? "text/plain; charset=UTF-8" : "application/octet-stream" };
    const compression = this.settings.compression;
    const encoding = compression !== null && packets.some((packet) => packet.compress) ? compression.choose(poll.request, body) : null;
    const isHandshake = this.isHandshake;
    this.isHandshake = false;
    this.isAnswering = true;
    this.lastOut = coarseClock.now;
    this.sentCount++;
    if (encoding === null) {
      headers["Content-Length"] = Buffer.byteLength(body);
      this.respond(poll, headers, body, isHandshake);
      return;
    }
    headers["Content-Encoding"] = encoding;
    const onCompressed = (error: Error | null, compressed: Buffer): void => {
      if (this.poll !== poll) return; // the peer has left meanwhile
      if (error !== null) return void this.release(poll, 500, null, ""); // ENG-104
      headers["Content-Length"] = compressed.length;
      this.respond(poll, headers, compressed, isHandshake);
      if (this.untaken === poll) this.owner?.onTransportHeldUp();
    };
    const isSameForAll = packets.length === 1 && packets[0].shared && this.protocol === 4 && this.jsonp === null;
    if (isSameForAll) compression!.compressShared(encoding, body, packets[0], onCompressed);
    else compression!.compress(encoding, body, onCompressed);
  }

  private respond(poll: Exchange, headers: ResponseHeaders, body: string | Buffer, isHandshake: boolean): void {
    headers["cache-control"] = "no-store";
    this.addBrowserQuirk(headers, poll);
    if (isHandshake) Object.assign(headers, this.settings.handshakeHeaders(this.sid));
    if (poll.isHeadSent) {
      this.poll = null;
      this.isAnswering = false;
      this.owner?.onTransportError("response already sent");
      return;
    }
    if (!this.decorate(headers, poll, isHandshake)) return this.failHead(poll);
    if (!this.release(poll, 200, headers, body)) this.failHead(poll);
  }

  /** The response can't be sent with the application's headers. Its packets are lost, so the session ends. */
  private failHead(exchange: Exchange): void {
    this.release(exchange, 500, null, "");
    this.owner?.onTransportError("response headers could not be sent");
  }

  private release(poll: Exchange, status: number, headers: ResponseHeaders | null, body: string | Buffer): boolean {
    if (this.poll === poll) {
      this.poll = null;
      this.isAnswering = false;
    }
    poll.onClose = null;
    const isSent = poll.respond(status, headers, body);
    if (poll.untakenBytes === 0) this.untaken = null;
    else if (this.readyState === "closed") poll.cutUnlessTaken(CLOSE_WAIT_MS);
    else this.untaken = poll;
    return isSent;
  }

  /** Emits the events for headers, the engine's first. @returns false when the head can't be sent, or a listener threw */
  private decorate(headers: ResponseHeaders, exchange: Exchange, isHandshake: boolean): boolean {
    if (!this.settings.decorateHeaders(headers, exchange, isHandshake)) return false;
    if (!hasListeners(this, "headers")) return true;
    try {
      this.emit("headers", headers, exchange.request);
      return true;
    } catch (error) {
      throwLater(error);
      return false;
    }
  }

  /** ENG-82 */
  private addBrowserQuirk(headers: ResponseHeaders, exchange: Exchange): void {
    const userAgent = exchange.request.headers["user-agent"];
    if (userAgent !== undefined && (userAgent.includes(";MSIE") || userAgent.includes("Trident/"))) headers["X-XSS-Protection"] = "0";
  }

  // -- GET -----------------------------------------------------------------------------------------

  private onPoll(exchange: Exchange): void {
    if (this.poll !== null || this.bufferedBytes > 0) {
      exchange.refuse(this.settings.overlapStatus, null, ""); // ENG-84
      this.owner?.onTransportError("overlap from client");
      return;
    }
    this.poll = exchange;
    this.writable = true;
    if (this.onClosed !== null) return this.finishClose([NOOP, CLOSE]); // EIO-120
    if (hasListeners(this, "ready")) this.emit("ready");
    this.owner?.onTransportReady(); // waiting packets leave at once: the next poll may be in the same chunk (pipelining)
    if (this.poll === exchange) exchange.onClose = () => this.onPollGone(exchange);
  }

  private onPollGone(exchange: Exchange): void {
    if (this.poll !== exchange) return;
    this.poll = null;
    this.isAnswering = false;
    this.writable = false;
    this.owner?.onTransportError("poll connection closed prematurely"); // ENG-85
  }

  // -- POST ----------------------------------------------------------------------------------------

  /** The POST request whose body is being read or delivered. */
  get dataReq(): EngineRequest | null {
    return this.post === null ? null : this.post.request;
  }

  /** Reads the body of a POST, delivers its packets and answers it. Programs replace this method (ROB-526). */
  onDataRequest(request: EngineRequest, _response?: unknown): void {
    const exchange = exchangeOf(request);
    if (this.post !== null) {
      exchange.refuse(this.settings.overlapStatus, null, ""); // ENG-95
      this.owner?.onTransportError("data request overlap from client");
      this.endPost();
      return;
    }
    if (this.onClosed !== null) return answerLatePost(exchange, (headers) => this.decorate(headers, exchange, false));
    if (isBinary(exchange.request) && this.protocol === 4) {
      exchange.refuse(400, null, ""); // ENG-96
      this.owner?.onTransportError("invalid content");
      return;
    }
    this.post = exchange;
    this.postState = "held";
    if (!this.isInputPaused) this.resumeInput();
  }

  override pauseInput(): void {
    this.isInputPaused = true;
  }

  override resumeInput(): void {
    this.isInputPaused = false;
    const { post } = this;
    if (post === null || this.postState !== "held") return;
    this.postState = "reading";
    this.isBodyOverdue = false;
    this.bodyDeadline.start(this.bodyLimits.timeoutMs);
    post.readBody(this.bodyLimits, (outcome, body, met) => this.onBody(post, outcome, body, met));
  }

  private onBody(exchange: Exchange, outcome: BodyOutcome, body: Buffer, met: number): void {
    if (this.post !== exchange) return exchange.destroy();
    this.bodyDeadline.cancel();
    if (outcome !== "complete") return this.onBodyFailed(exchange, outcome, met);
    this.postState = "delivering";
    this.lastIn = coarseClock.now;
    try {
      this.deliver(isBinary(exchange.request) ? body : body.toString("utf8"));
    } finally {
      this.post = null;
      this.postState = "none";
      const headers: ResponseHeaders = { ...OK_HEADERS };
      this.addBrowserQuirk(headers, exchange);
      if (!this.decorate(headers, exchange, false) || !exchange.respond(200, headers, "ok")) this.failHead(exchange);
    }
  }

  /** ENG-94, ENG-97, ROB-152 */
  private onBodyFailed(exchange: Exchange, outcome: Exclude<BodyOutcome, "complete">, met: number): void {
    this.post = null;
    this.postState = "none";
    const { message, description } = refuseBody(exchange, outcome, met, this.bodyLimits);
    this.owner?.onTransportError(message, description);
  }

  /** @internal */
  onBodyTimeout(lateByMs: number): void {
    const { post } = this;
    if (post === null) return;
    if (lateByMs > BLOCKED_LOOP_MS && !this.isBodyOverdue) {
      this.isBodyOverdue = true; // the event loop was blocked, and the rest of the body may be waiting to be read: one extension
      return this.bodyDeadline.start(BLOCKED_LOOP_MS);
    }
    this.post = null;
    this.postState = "none";
    post.refuse(408, null, ""); // ROB-151
    this.owner?.onTransportError("http request timeout");
  }

  /** Destroys a POST whose body is being read (ROB-150). A POST that is being delivered is answered as usual. */
  private endPost(): void {
    this.bodyDeadline.cancel();
    const { post } = this;
    if (post === null || this.postState === "delivering") return;
    this.post = null;
    this.postState = "none";
    post.destroy();
  }

  private deliver(body: string | Buffer): void {
    let payload = body;
    if (this.jsonp !== null && typeof body === "string") {
      const field = decodeJsonp(body);
      if (field === null) return; // EIO-114
      payload = field;
    }
    if (this.protocol === 3) {
      for (const packet of decodePayloadV3(payload)) if (!this.deliverPacket(packet)) return;
      return;
    }
    for (const text of (payload as string).split(SEPARATOR)) {
      if (text.charCodeAt(0) === 52) {
        if (this.owner === null) return;
        this.owner.onTransportMessage(text.length === 1 ? undefined : text.slice(1));
      } else if (!this.deliverPacket(decodePacket(text))) return;
    }
  }

  /** @returns false when the packets behind this one are ignored (EIO-32, EIO-64) */
  private deliverPacket(packet: ReturnType<typeof decodePacket>): boolean {
    if (this.owner === null) return false;
    if (packet.type === "close") {
      this.releasePoll();
      this.owner?.onTransportClose();
      return false;
    }
    this.owner.onTransportPacket(packet);
    return packet.type !== "error";
  }

  // -- closing -------------------------------------------------------------------------------------

  close(onClosed: () => void = ignore): void {
    if (this.readyState === "closed") return onClosed();
    this.readyState = "closing";
    this.onClosed = onClosed;
    if (this.writable) return this.finishClose([CLOSE]);
    if (this.closeDeadline !== null) return;
    this.closeDeadline = new Deadline<PollingTransport>(giveUpClosing, this);
    this.closeDeadline.start(CLOSE_WAIT_MS);
  }

  /** @param hard  over a limit: a response that isn't read is not waited for */
  abort(last: Prepared | null, hard: boolean = false): void {
    if (hard) this.untaken?.destroy();
    this.retire();
    if (last === null) this.write(CLOSE, null);
    else this.write(last, this.maxPackets > 1 ? [CLOSE] : null);
    this.endPost();
  }

  override discard(): void {
    super.discard();
    this.retire();
    this.write(CLOSE, null);
    this.endPost();
  }

  /** @internal */
  finishClose(packets: readonly Prepared[] | null): void {
    const onClosed = this.onClosed;
    const poll = this.poll;
    this.retire();
    if (packets !== null && poll !== null) this.answer(poll, packets);
    this.endPost();
    onClosed?.();
    this.owner?.onTransportClose();
  }

  protected override retire(): void {
    super.retire();
    this.onClosed = null;
    this.closeDeadline?.cancel();
    this.closeDeadline = null;
    this.untaken?.cutUnlessTaken(CLOSE_WAIT_MS);
    this.untaken = null;
  }
}

/** Time-out of `close`: no poll has fetched the close packet (EIO-120). */
function giveUpClosing(transport: PollingTransport): void {
  transport.finishClose(null);
}

function onBodyDeadline(transport: PollingTransport, lateByMs: number): void {
  transport.onBodyTimeout(lateByMs);
}
