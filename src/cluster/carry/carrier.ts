// Carries requests and WebSockets of clients to the processes that have their sessions. The other half is `owner.ts`.
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import createDebug from "debug";
import { generateId } from "../../support/ids";
import { quoted } from "../../support/log-text";
import { refuseBody } from "../../engine/body-refusal";
import type { ForeignSessions, ForeignWebSocket } from "../../engine/foreign-sessions";
import type { BodyLimits, EngineRequest, Exchange, ResponseHeaders, WireListener } from "../../engine/host";
import { costOf } from "../../engine/hosts/carried/wire";
import { Prepared } from "../../engine/prepared";
import type { Wire } from "../../engine/transports/websocket";
import { ERRORS, refusalResponse, refuse } from "../../engine/verification";
import { encodeMsgpack } from "../../protocol/msgpack-writer";
import type { ServerId } from "../messages";
import { type CarryFrame, type CarryType, readJson, splitHead } from "./carry-frame";
import { HeldWebSocket } from "./held-websocket";

const debug = createDebug("socket.io-adapter");

/** The headers that an engine reads of a request of a session. */
const HEADERS = ["origin", "content-type", "accept-encoding", "user-agent"];
const TAG_LENGTH = 4;
/** Longest time that a request may be at its owner: above that of any poll, so that one whose owner says nothing ends, too. */
const REQUEST_MS = 120_000;
/** A WebSocket whose messages wait for the link with more bytes than this isn't read any more. */
const WAITING_BYTES_MAX = 1024 * 1024;

/** The ways of a carrier. */
export interface CarrierPort {
  /** Sends a frame to another process. Rejects if it is known that it didn't arrive. */
  send(to: ServerId, type: CarryType, id: number, payload?: string | Buffer | null, head?: object): Promise<unknown>;
  /** The process whose session ids begin with a tag, if it is there. */
  ownerOf(tag: string): ServerId | undefined;
  /** The tag of this process. */
  tag(): string;
  /** Resolves when this process and the others know each other; null afterwards. */
  meeting(): Promise<void> | null;
  /** Gives the connection of an upgrade request to another process of this machine; false if it stays here. */
  handOver(to: ServerId, request: IncomingMessage, socket: Duplex, head: Buffer): boolean;
}

/** A request or WebSocket that is at its owner. */
interface Carried {
  readonly owner: ServerId;
  onFrame(frame: CarryFrame): void;
  /** The owner is gone, or can't be reached. */
  onOwnerGone(): void;
  /** This process is about to end: the owner shall end it as soon as nothing is lost. */
  leave(): void;
}

/**
 *     carrying --leave--> leaving --nothing is carried, close--> over
 */
export class Carrier implements ForeignSessions {
  readonly carries = true;
  readonly hint = null;
  private readonly port: CarrierPort;
  private readonly carried = new Map<number, Carried>();
  private count = 0;
  /** Called when nothing is carried any more, once this process is leaving; else null. */
  private onIdle: (() => void) | null = null;

  constructor(port: CarrierPort) {
    this.port = port;
  }

  get size(): number {
    return this.carried.size;
  }

  get hasCarried(): boolean {
    return this.count > 0;
  }

  /** The tag of this process, and 16 random characters. Until the others know the tag, no session begins. */
  generateId(): string | Promise<string> {
    const meeting = this.port.meeting();
    if (meeting !== null) return meeting.then(() => this.generateId());
    return this.port.tag() + generateId().slice(TAG_LENGTH);
  }

  isForeign(sid: string): boolean {
    const tag = sid.slice(0, TAG_LENGTH);
    if (sid.length !== 20 || tag === this.port.tag()) return false;
    return this.port.ownerOf(tag) !== undefined || this.port.meeting() !== null;
  }

  takeRequest(exchange: Exchange, limits: BodyLimits): void {
    const owner = this.port.ownerOf(exchange.request._query["sid"].slice(0, TAG_LENGTH));
    const meeting = this.port.meeting();
    if (owner === undefined && meeting !== null) return void meeting.then(() => this.takeRequest(exchange, limits));
    if (exchange.isGone) return;
    if (owner === undefined) {
      const { status, headers, body } = unknownSession();
      return exchange.refuse(status, headers, body);
    }
    if (exchange.method !== "POST") return this.carryRequest(owner, exchange, null);
    exchange.readBody(limits, (outcome, body, met) => {
      if (outcome === "complete") this.carryRequest(owner, exchange, body);
      else refuseBody(exchange, outcome, met, limits);
    });
  }

  private carryRequest(owner: ServerId, exchange: Exchange, body: Buffer | null): void {
    if (exchange.isGone) return;
    const { request, method } = exchange;
    const headers: Record<string, string> = {};
    for (const name of HEADERS) if (typeof request.headers[name] === "string") headers[name] = request.headers[name];
    const url = `${request.url!.split("?")[0]}?${new URLSearchParams(request._query).toString()}`;
    const head = { method, url, headers, remoteAddress: request.socket?.remoteAddress ?? "" };
    const carried = new CarriedRequest(owner, exchange, {
      send: (type) => this.send(owner, type, id),
      remove: () => this.remove(id),
      isLeaving: () => this.onIdle !== null,
    });
    const id = this.add(carried);
    exchange.onClose = () => {
      this.carried.get(id)?.onOwnerGone();
      void this.send(owner, "gone", id);
    };
    void this.send(owner, "request", id, body, head);
    if (this.onIdle !== null) carried.leave();
  }

  takeUpgrade(request: EngineRequest, socket: Duplex, head: Buffer): boolean {
    const { sid, transport } = request._query;
    if (sid === undefined || transport !== "websocket" || request.method !== "GET" || !this.isForeign(sid)) return false;
    if (request.headers["sec-websocket-key"] === undefined) return false;
    const owner = this.port.ownerOf(sid.slice(0, TAG_LENGTH));
    return owner !== undefined && this.port.handOver(owner, request, socket, head);
  }

  takeWebSocket(query: Readonly<Record<string, string>>, wire: Wire): void {
    const sid = query["sid"];
    const owner = this.port.ownerOf(sid.slice(0, TAG_LENGTH));
    const meeting = this.port.meeting();
    if (owner === undefined && meeting !== null) return void this.holdUntil(meeting, query, wire);
    if (owner === undefined) return wire.terminate();
    const carried: CarriedWebSocket = new CarriedWebSocket(owner, wire, {
      send: (type, payload) => this.send(owner, type, id, payload),
      remove: () => this.remove(id),
    });
    const id = this.add(carried);
    wire.listener = carried;
    void this.send(owner, "open", id, JSON.stringify({ sid, query }));
  }

  private async holdUntil(meeting: Promise<void>, query: Readonly<Record<string, string>>, wire: Wire): Promise<void> {
    const held = new HeldWebSocket(wire);
    await meeting;
    if (held.isOver) return;
    this.takeWebSocket(query, wire);
    if (wire.listener !== null && wire.listener !== held) held.passOn(wire.listener);
  }

  /** A frame of an owner. */
  onFrame(frame: CarryFrame): void {
    const carried = this.carried.get(frame.id);
    if (carried?.owner === frame.sender) carried.onFrame(frame);
  }

  onNodeGone(uid: ServerId): void {
    for (const carried of [...this.carried.values()]) if (carried.owner === uid) carried.onOwnerGone();
  }

  *webSockets(): Iterable<ForeignWebSocket> {
    for (const carried of this.carried.values()) if (carried instanceof CarriedWebSocket) yield carried;
  }

  /** Polls return, and WebSockets are closed, by their owners. Resolves when nothing is carried any more. */
  leave(): Promise<void> {
    return new Promise((resolve) => {
      this.onIdle = resolve;
      for (const carried of [...this.carried.values()]) carried.leave();
      if (this.carried.size === 0) resolve();
    });
  }

  /** All that is carried ends. */
  close(): void {
    for (const carried of [...this.carried.values()]) carried.onOwnerGone();
  }

  private add(carried: Carried): number {
    do this.count = (this.count + 1) >>> 0;
    while (this.carried.has(this.count));
    this.carried.set(this.count, carried);
    return this.count;
  }

  private remove(id: number): void {
    this.carried.delete(id);
    if (this.carried.size === 0) this.onIdle?.();
  }

  private send(owner: ServerId, type: CarryType, id: number, payload?: string | Buffer | null, head?: object): Promise<unknown> {
    return this.port.send(owner, type, id, payload, head).catch((error: unknown) => {
      if (debug.enabled) debug("%s is not reached: %s", quoted(owner), quoted(error));
      this.carried.get(id)?.onOwnerGone();
    });
  }
}

/** What something that is carried needs of the carrier. */
interface CarriedPort {
  send(type: CarryType, payload?: string | Buffer): Promise<unknown>;
  remove(): void;
}

/**
 *     waiting --response--> over        waiting --peer, owner or link gone, time-out--> over
 */
class CarriedRequest implements Carried {
  readonly owner: ServerId;
  private readonly exchange: Exchange;
  private readonly port: CarriedPort & { isLeaving(): boolean };
  private readonly timer: NodeJS.Timeout;

  constructor(owner: ServerId, exchange: Exchange, port: CarriedPort & { isLeaving(): boolean }) {
    this.owner = owner;
    this.exchange = exchange;
    this.port = port;
    this.timer = setTimeout(() => this.onOwnerGone(), REQUEST_MS);
    this.timer.unref();
  }

  onFrame({ type, payload }: CarryFrame): void {
    if (type === "cut") {
      this.end();
      return this.exchange.destroy();
    }
    const response = type === "response" ? splitHead(payload) : null;
    if (response === null) return;
    this.end();
    const { status, headers: given } = response.head;
    const code = Number.isInteger(status) && (status as number) >= 200 && (status as number) < 600 ? (status as number) : 502;
    const headers = given === null || typeof given !== "object" ? null : (given as ResponseHeaders);
    this.exchange.respond(code, this.port.isLeaving() ? { ...headers, Connection: "close" } : headers, response.body);
    if (this.exchange.method === "GET" && code === 200) void this.port.send("taken");
  }

  /** A POST is answered soon anyway. */
  leave(): void {
    if (this.exchange.method === "GET") void this.port.send("release");
  }

  /** The same answer as for any session that isn't there (ENG-4): the client opens a new one. */
  onOwnerGone(): void {
    this.end();
    const { status, headers, body } = unknownSession();
    this.exchange.respond(status, headers, body);
  }

  private end(): void {
    clearTimeout(this.timer);
    this.exchange.onClose = null;
    this.port.remove();
  }
}

function unknownSession(): ReturnType<typeof refusalResponse> {
  return refusalResponse(refuse(ERRORS.UNKNOWN_SID, {}));
}

/** The WebSocket of a client, whose session is at another process. */
class CarriedWebSocket implements Carried, WireListener, ForeignWebSocket {
  readonly owner: ServerId;
  isOver = false;
  private readonly wire: Wire;
  private readonly port: CarriedPort;
  private receivedBytes = 0;
  private toldBytes = 0;
  private waitingBytes = 0;
  private isPausedByOwner = false;
  /** Options of the drain that the owner was told of. */
  private drain: object = {};

  constructor(owner: ServerId, wire: Wire, port: CarriedPort) {
    this.owner = owner;
    this.wire = wire;
    this.port = port;
  }

  onFrame({ type, payload }: CarryFrame): void {
    switch (type) {
      case "text":
        return this.write(payload.toString());
      case "binary":
        return this.write(payload);
      case "close": {
        const { code, reason } = readJson(payload) ?? {};
        const status = typeof code === "number" && typeof reason === "string" ? { code, reason } : null;
        this.end();
        return this.wire.close(() => {}, status);
      }
      case "pause":
        this.isPausedByOwner = true;
        return this.wire.pauseInput?.();
      case "resume":
        this.isPausedByOwner = false;
        return this.resumeIfTaken();
      case "gone":
      case "cut":
        return this.onOwnerGone();
      default: // meant for an owner, or a request
    }
  }

  private write(message: string | Buffer): void {
    this.receivedBytes += costOf(message);
    this.wire.write(new Prepared("raw", message), null);
    if (this.wire.flow === "free") this.onWireReady();
  }

  onOwnerGone(): void {
    if (this.isOver) return;
    this.end();
    this.wire.terminate();
  }

  move(drain: object): void {
    if (this.isOver) return;
    this.drain = drain;
    let payload: Buffer;
    try {
      payload = encodeMsgpack(drain);
    } catch {
      payload = encodeMsgpack({ timeoutMs: 0 }); // its message has another form in the parser of the program
    }
    void this.port.send("move", payload);
  }

  /** The owner's drain may not be over yet: its message still belongs to the client. */
  leave(): void {
    this.move({ ...this.drain, timeoutMs: 0 });
  }

  onWireBytes(): void {}

  onWireText(text: string): void {
    this.forward("text", text);
  }

  onWireBinary(data: Buffer): void {
    this.forward("binary", data);
  }

  private forward(type: CarryType, message: string | Buffer): void {
    if (this.isOver) return;
    const cost = costOf(message);
    this.waitingBytes += cost;
    if (this.waitingBytes > WAITING_BYTES_MAX) this.wire.pauseInput?.();
    void this.port.send(type, message).then(() => {
      this.waitingBytes -= cost;
      this.resumeIfTaken();
    });
  }

  private resumeIfTaken(): void {
    if (!this.isOver && !this.isPausedByOwner && this.waitingBytes <= WAITING_BYTES_MAX) this.wire.resumeInput?.();
  }

  /** The peer has taken everything. */
  onWireReady(): void {
    if (this.isOver || this.toldBytes === this.receivedBytes) return;
    this.toldBytes = this.receivedBytes;
    const payload = Buffer.allocUnsafe(8);
    payload.writeDoubleBE(this.receivedBytes);
    void this.port.send("taken", payload);
  }

  onWireHeldUp(): void {}

  onWireCloseFrame(code: number, reason: string): void {
    if (!this.isOver) void this.port.send("close", JSON.stringify({ code, reason }));
  }

  onWireClose(): void {
    if (this.isOver) return;
    void this.port.send("gone");
    this.end();
  }

  onWireError(): void {
    this.onWireClose();
    this.wire.terminate();
  }

  private end(): void {
    this.isOver = true;
    this.port.remove();
  }
}
