// Step of the walks "a poll in" (from a host's exchange, to the session) and "an emit out" (from the session, into a response).
import { parse } from "node:querystring";
import { decodePacket } from "../../protocol/engine-packet";
import { decodePayloadV3, encodePayloadV3 } from "../../protocol/legacy/payload";
import { encodePayload } from "../../protocol/polling-payload";
import { hasListeners } from "../../support/lean-emitter";
import { Deadline } from "../../support/deadline";
import type { BodyOutcome, Exchange, ResponseHeaders } from "../host";
import { schedule, unschedule, type Flushable } from "../flush";
import type { Compression } from "../http-compression";
import { Prepared } from "../prepared";
import { Transport } from "../transport";

/** What a polling transport needs of its engine. */
export interface PollingSettings {
  /** Read once per session. */
  maxPayloadBytes(): number;
  readonly compression: Compression | null;
  /** Status of a request that came while another of its kind was under way. */
  overlapStatus: 400 | 500;
  /** Whether a body that is too large ends the session, too. */
  endsOnFlawedBody: boolean;
  /** Lets users add headers, right before the head of a successful response goes out. */
  decorateHeaders(headers: ResponseHeaders, exchange: Exchange, isHandshake: boolean): void;
  /** Headers of the handshake response alone (the cookie). */
  handshakeHeaders(sid: string): ResponseHeaders | null;
}

const SEPARATOR = "\x1e";
const CLOSE_WAIT_MS = 30_000;
const CLOSE = new Prepared("close", undefined, false, true, null, null);
const NOOP = new Prepared("noop", undefined, false, true, null, null);

/**
 * Carries packets over HTTP requests: GETs that wait for packets, POSTs that bring some (Engine.IO protocol, "HTTP long-polling").
 *
 * Writable exactly while a GET waits and nothing is on its way to it.
 */
export class PollingTransport extends Transport implements Flushable {
  readonly name = "polling";
  isScheduled: boolean;
  /** The digits of `j` at the handshake; null unless the session speaks JSONP. */
  private readonly jsonp: string | null;
  private readonly settings: PollingSettings;
  private readonly maxPayloadBytes: number;
  private poll: Exchange | null;
  private post: Exchange | null;
  private pending: Prepared[] | null;
  private isCollecting: boolean;
  private isHandshake: boolean;
  private onClosed: (() => void) | null;
  private closeDeadline: Deadline<PollingTransport> | null;
  private sentCount: number;

  constructor(protocol: 3 | 4, supportsBinary: boolean, jsonp: string | null, settings: PollingSettings) {
    super(protocol, supportsBinary);
    this.isScheduled = false;
    this.jsonp = jsonp;
    this.settings = settings;
    this.maxPayloadBytes = settings.maxPayloadBytes();
    this.poll = null;
    this.post = null;
    this.pending = null;
    this.isCollecting = false;
    this.isHandshake = true;
    this.onClosed = null;
    this.closeDeadline = null;
    this.sentCount = 0;
  }

  get hasRoom(): boolean {
    return this.writable || this.isCollecting;
  }

  get bufferedBytes(): number {
    return 0;
  }

  get progress(): number {
    return this.sentCount;
  }

  /** A request of this session. */
  onRequest(exchange: Exchange): void {
    if (exchange.method === "GET") this.onPoll(exchange);
    else if (exchange.method === "POST") this.onPost(exchange);
    else exchange.respond(500, null, "");
  }

  // -- out -----------------------------------------------------------------------------------------

  sendOne(packet: Prepared): void {
    this.writable = false;
    if (this.pending === null) this.pending = [packet];
    else this.pending.push(packet);
    if (!this.isCollecting) schedule(this);
  }

  send(packets: readonly Prepared[], observed: boolean): void {
    this.writable = false;
    this.pending = this.pending === null ? packets.slice() : this.pending.concat(packets);
    if (this.isCollecting) return;
    if (observed) this.writePending();
    else schedule(this);
  }

  /** The end of the tick: one response takes all that came meanwhile. */
  flushScheduled(): void {
    if (this.pending === null) return;
    this.isCollecting = true;
    this.owner?.onTransportReady();
    this.isCollecting = false;
    this.writePending();
  }

  override releasePoll(): void {
    if (this.poll === null || !this.writable) return;
    this.writable = false;
    this.answer(this.poll, [NOOP]);
  }

  private writePending(): void {
    const packets = this.pending;
    const poll = this.poll;
    if (packets === null) return;
    this.pending = null;
    unschedule(this);
    if (poll === null) return;
    this.answer(poll, packets);
    this.owner?.onTransportWritten();
  }

  private answer(poll: Exchange, packets: readonly Prepared[]): void {
    const payload = this.protocol === 4 ? encodePayload(packets) : encodePayloadV3(packets, this.supportsBinary && this.jsonp === null);
    const isText = typeof payload === "string";
    const body = this.jsonp === null || !isText ? payload : wrapJsonp(this.jsonp, payload);
    const headers: ResponseHeaders = { "Content-Type": isText ? "text/plain; charset=UTF-8" : "application/octet-stream" };
    const compression = this.settings.compression;
    const encoding = compression !== null && packets.some((packet) => packet.compress) ? compression.choose(poll.request, body) : null;
    const isHandshake = this.isHandshake;
    this.isHandshake = false;
    this.sentCount++;
    if (encoding === null) {
      headers["Content-Length"] = Buffer.byteLength(body);
      this.respond(poll, headers, body, isHandshake);
      return;
    }
    compression!.compress(encoding, body, (error, compressed) => {
      // The poll stays taken until here; its peer may have gone meanwhile.
      if (this.poll !== poll) return;
      if (error !== null) return this.release(poll, 500, null, "");
      headers["Content-Encoding"] = encoding;
      headers["Content-Length"] = compressed.length;
      this.respond(poll, headers, compressed, isHandshake);
    });
  }

  private respond(poll: Exchange, headers: ResponseHeaders, body: string | Buffer, isHandshake: boolean): void {
    headers["cache-control"] = "no-store";
    this.addBrowserQuirk(headers, poll);
    if (isHandshake) Object.assign(headers, this.settings.handshakeHeaders(this.sid));
    if (poll.isHeadSent) {
      this.poll = null;
      this.owner?.onTransportError("response already sent");
      return;
    }
    this.settings.decorateHeaders(headers, poll, isHandshake);
    this.release(poll, 200, headers, body);
  }

  private release(poll: Exchange, status: number, headers: ResponseHeaders | null, body: string | Buffer): void {
    if (this.poll === poll) this.poll = null;
    poll.onClose = null;
    poll.respond(status, headers, body);
  }

  private addBrowserQuirk(headers: ResponseHeaders, exchange: Exchange): void {
    const userAgent = exchange.request.headers["user-agent"];
    if (userAgent !== undefined && (userAgent.includes(";MSIE") || userAgent.includes("Trident/"))) headers["X-XSS-Protection"] = "0";
  }

  // -- GET -----------------------------------------------------------------------------------------

  private onPoll(exchange: Exchange): void {
    if (this.poll !== null) {
      exchange.respond(this.settings.overlapStatus, null, "");
      this.owner?.onTransportError("overlap from client");
      return;
    }
    this.poll = exchange;
    this.writable = true;
    if (hasListeners(this, "ready")) this.emit("ready");
    this.owner?.onTransportReady();
    this.writePending(); // what waited goes out at once: the next poll may stand in the same chunk
    if (this.writable && this.onClosed !== null) this.finishClose([NOOP, CLOSE]);
    if (this.poll === exchange) exchange.onClose = () => this.onPollGone(exchange);
  }

  private onPollGone(exchange: Exchange): void {
    if (this.poll !== exchange) return;
    this.poll = null;
    this.writable = false;
    this.owner?.onTransportError("poll connection closed prematurely");
  }

  // -- POST ----------------------------------------------------------------------------------------

  private onPost(exchange: Exchange): void {
    if (this.post !== null) {
      exchange.respond(this.settings.overlapStatus, null, "");
      const first = this.post;
      this.post = null;
      this.owner?.onTransportError("data request overlap from client");
      first.destroy();
      return;
    }
    const contentType = exchange.request.headers["content-type"];
    const isBinary = contentType === "application/octet-stream";
    if (isBinary && this.protocol === 4) {
      exchange.respond(400, null, "");
      this.owner?.onTransportError("invalid content");
      return;
    }
    this.post = exchange;
    exchange.readBody(this.maxPayloadBytes, (outcome, body) => this.onBody(exchange, outcome, body, isBinary));
  }

  private onBody(exchange: Exchange, outcome: BodyOutcome, body: Buffer, isBinary: boolean): void {
    const isCurrent = this.post === exchange;
    if (isCurrent) this.post = null;
    if (outcome === "aborted") {
      if (isCurrent) this.owner?.onTransportError("data request connection closed prematurely");
      return;
    }
    if (outcome === "too large" || outcome === "no length") return this.refuseBody(exchange, outcome);
    if (!isCurrent) return exchange.destroy();
    try {
      this.deliver(isBinary ? body : body.toString("utf8"));
    } finally {
      const headers: ResponseHeaders = { "Content-Type": "text/html", "Content-Length": 2, "cache-control": "no-store" };
      this.addBrowserQuirk(headers, exchange);
      this.settings.decorateHeaders(headers, exchange, false);
      exchange.respond(200, headers, "ok");
    }
  }

  private refuseBody(exchange: Exchange, outcome: "too large" | "no length"): void {
    exchange.respond(outcome === "too large" ? 413 : 411, null, "");
    if (!this.settings.endsOnFlawedBody) return;
    this.owner?.onTransportError(outcome === "too large" ? "payload too large" : "content-length header required");
  }

  private deliver(body: string | Buffer): void {
    let payload = body;
    if (this.jsonp !== null && typeof body === "string") {
      const field = parse(body)["d"];
      if (typeof field !== "string") return; // a form without the field brings nothing
      payload = field.replace(/(\\)?\\n/g, (_match, escaped: string | undefined) => (escaped === undefined ? "\n" : "\\n"));
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

  /** Gives false when nothing after this packet counts. */
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

  close(onClosed: () => void = () => this.owner?.onTransportClose()): void {
    if (this.readyState === "closed") return onClosed();
    this.readyState = "closing";
    this.onClosed = onClosed;
    if (this.writable) return this.finishClose([CLOSE]);
    if (this.pending !== null) this.writePending();
    if (this.closeDeadline !== null) return;
    this.closeDeadline = new Deadline<PollingTransport>(giveUpClosing, this);
    this.closeDeadline.start(CLOSE_WAIT_MS);
  }

  abort(): void {
    const { poll, pending } = this;
    const wasWaiting = poll !== null && (this.writable || pending !== null);
    this.retire();
    this.pending = null;
    if (wasWaiting) this.answer(poll, pending === null ? [CLOSE] : pending.concat(CLOSE));
  }

  override discard(): void {
    if (this.pending !== null) this.writePending();
    super.discard();
    this.retire();
    if (this.poll !== null) this.answer(this.poll, [CLOSE]);
    const post = this.post;
    this.post = null;
    post?.destroy();
  }

  /** @internal */
  finishClose(packets: readonly Prepared[] | null): void {
    const onClosed = this.onClosed;
    const poll = this.poll;
    this.retire();
    if (packets !== null && poll !== null) this.answer(poll, packets);
    onClosed?.();
  }

  protected override retire(): void {
    super.retire();
    this.onClosed = null;
    unschedule(this);
    this.closeDeadline?.cancel();
    this.closeDeadline = null;
  }
}

/** The client never came for the close packet. */
function giveUpClosing(transport: PollingTransport): void {
  transport.finishClose(null);
}

/** `___eio[j](…);` with the payload as a literal that is safe in a script. */
function wrapJsonp(index: string, payload: string): string {
  const literal = JSON.stringify(payload)
    .replace(/\u2028/g, "\\u2028")
    .replace(/\u2029/g, "\\u2029");
  return `___eio[${index}](${literal});`;
}
