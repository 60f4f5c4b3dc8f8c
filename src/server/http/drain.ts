// `io.close({ drain })`: moves the clients to other processes, at a pace, before the server closes.
import createDebug from "debug";
import { inspect } from "node:util";
import type { ForeignWebSocket } from "../../engine/foreign-sessions";
import type { CloseStatus } from "../../engine/transport";
import { UsageError } from "../../errors";
import { Deadline } from "../../support/deadline";
import { forEachInTurn } from "../../support/each-in-turn";
import { ignore } from "../../support/ignore";
import { quoted } from "../../support/log-text";
import { PacketType } from "../../protocol/packet";
import { Client } from "../client/client";
import { expectEventName } from "../reserved-events";

const debug = createDebug("socket.io:server");

type AnyClient = Client<any, any, any, any>;

/** How `io.close({ drain })` moves the clients. */
export interface DrainOptions {
  /**
   * Milliseconds that moving the clients takes at most; then those that are left are closed at once. Default 8000: with the close that
   * follows less than the 10 seconds that Docker waits. In its last quarter, events with an acknowledgement are not passed on to listeners.
   * @example
   * timeoutMs: 25_000
   */
  timeoutMs?: number;
  /** Clients that are closed in one second. Default: as many as needed to be done after three quarters of `timeoutMs`, at least 100. */
  perSecond?: number;
  /** Each client is closed up to so many milliseconds later, at random, so that servers that drain together don't move in step. Default 500. */
  jitterMs?: number;
  /**
   * An event that each socket is sent right before its connection is closed. Default: none.
   * @example
   * message: { event: "moving", data: { inMs: 1000 } }
   */
  message?: { event: string; data?: unknown };
}

/** The options with their defaults. */
export type ResolvedDrainOptions = DrainOptions & { timeoutMs: number; jitterMs: number };

/** What became of the clients. Those whose WebSocket is here and whose session is at another server (`carrySessions`) are counted, too. */
export interface DrainResult {
  /** Clients at the start. */
  clients: number;
  /** Clients that were closed at their turn. */
  moved: number;
  /** Clients that left by themselves before. */
  left: number;
  /** Clients that were closed at `timeoutMs`, or when the drain was cut short. */
  cut: number;
  /** Milliseconds from the call until the last client was closed. */
  durationMs: number;
}

/** Service Restart: official clients reconnect after it. */
const RESTART: CloseStatus = { code: 1012, reason: "server is restarting" };
/** The share of `timeoutMs` in which all clients are to be moved. In the rest, those that are left get what they are owed, and begin nothing new. */
const MOVING_SHARE = 0.75;
const STEP_MS = 20;
/** A blocked event loop doesn't become a burst: at most so much of the pace is made up for. */
const CREDIT_MS = 100;
const LEAST_PER_SECOND = 100;
const DEFAULTS = { timeoutMs: 8000, jitterMs: 500 };
const NAMES = ["timeoutMs", "perSecond", "jitterMs", "message"];

/**
 * Validates the options of a drain.
 * @param given    `true` for the defaults
 * @param encoder  tries to encode the message
 * @throws UsageError RC_ERR_ARGUMENT, RC_ERR_RESERVED_EVENT; what the encoder throws
 */
export function resolveDrain(given: unknown, encoder: { encode(packet: any): unknown }): ResolvedDrainOptions {
  if (given === true) return DEFAULTS;
  if (typeof given !== "object" || given === null) throw invalid("", "true or an object", given);
  const unknown = Object.keys(given).find((name) => !NAMES.includes(name));
  if (unknown !== undefined) throw invalid("", `one of ${NAMES.join(", ")}`, unknown);
  const options = { ...DEFAULTS };
  for (const [name, value] of Object.entries(given)) if (value !== undefined) (options as Record<string, unknown>)[name] = value;
  const { timeoutMs, jitterMs, perSecond, message } = options as ResolvedDrainOptions;
  if (!(typeof timeoutMs === "number" && timeoutMs >= 0)) throw invalid(".timeoutMs", "a number of milliseconds", timeoutMs);
  if (!(typeof jitterMs === "number" && jitterMs >= 0)) throw invalid(".jitterMs", "a number of milliseconds", jitterMs);
  if (perSecond !== undefined && !(typeof perSecond === "number" && perSecond > 0)) {
    throw invalid(".perSecond", "a positive number", perSecond);
  }
  if (message !== undefined) {
    if (typeof message?.event !== "string") throw invalid(".message", "an object with a text `event`", message);
    expectEventName(message.event);
    if (typeof message.data === "function") throw invalid(".message.data", "a value that can be encoded", message.data);
    encoder.encode({ type: PacketType.EVENT, nsp: "/", data: eventOf(message) });
  }
  return options;
}

function eventOf({ event, data }: NonNullable<DrainOptions["message"]>): [string, ...unknown[]] {
  return data === undefined ? [event] : [event, data];
}

function invalid(name: string, expected: string, met: unknown): UsageError {
  return new UsageError("RC_ERR_ARGUMENT", `drain${name}: expected ${expected}, met ${inspect(met)}`);
}

/** What a drain moves. */
interface Movable {
  readonly id: string;
  readonly isGone: boolean;
  /** Whether the client waits for something that its connection has to finish. */
  readonly isBusy: boolean;
  /** Takes nothing new that the client would be owed an answer for. */
  endRequests(): void;
  move(settings: ResolvedDrainOptions, remainingMs: number): void;
}

/**
 * Moves clients: each is closed in a way after which official clients connect again by themselves, which they do 0.5 to 1.5 seconds later.
 *
 *     waiting --its turn, nothing under way--> chosen --jitter is over--> closing --connection closed--> moved
 *     chosen --something under way--> waiting
 *     waiting, chosen, closing --time-out, cut short--> cut          waiting, chosen --client has left--> left
 *
 * Until it is closed, a client goes on working; in the last quarter of the time, events that want an answer are not passed on any more. The
 * pace is kept here: official clients ignore `Retry-After`, and their later attempts come about every 5 seconds, all together. A client whose
 * session is at another server is closed by that one, with the rest of the time.
 */
export class Drain extends Deadline<null> {
  readonly done: Promise<DrainResult>;
  private readonly waiting: Set<Movable>;
  /** With the time at which each is closed. */
  private readonly chosen: Map<Movable, number>;
  private readonly closing: Set<Movable>;
  private readonly settings: ResolvedDrainOptions;
  private readonly perSecond: number;
  private readonly result: DrainResult;
  private readonly startedAt: number;
  private steppedAt: number;
  /** How many clients may be closed now. */
  private credit: number;
  private areRequestsOver: boolean;
  private isOver: boolean;
  private resolve!: (result: DrainResult) => void;

  /** @param foreign  connections of clients whose sessions are at other servers */
  constructor(clients: Iterable<AnyClient>, foreign: Iterable<ForeignWebSocket>, settings: ResolvedDrainOptions) {
    super(() => this.step(), null);
    this.done = new Promise((resolve) => (this.resolve = resolve));
    this.waiting = new Set<Movable>();
    for (const client of clients) this.waiting.add(new MovableClient(client));
    for (const webSocket of foreign) this.waiting.add(new MovableWebSocket(webSocket));
    this.chosen = new Map();
    this.closing = new Set();
    this.settings = settings;
    const count = this.waiting.size;
    this.perSecond = settings.perSecond ?? Math.max(LEAST_PER_SECOND, (count / (settings.timeoutMs * MOVING_SHARE)) * 1000);
    this.result = { clients: count, moved: 0, left: 0, cut: 0, durationMs: 0 };
    this.startedAt = this.steppedAt = performance.now();
    this.credit = 1;
    this.areRequestsOver = false;
    this.isOver = false;
    debug("draining %d clients, %d per second", count, this.perSecond);
    this.step();
  }

  /** Ends the drain: clients that are left are closed at once. */
  cutShort(): void {
    if (this.isOver) return;
    const closingCount = this.countClosing();
    this.isOver = true;
    this.cancel();
    const rest = [...this.waiting, ...this.chosen.keys()].filter(({ isGone }) => !isGone);
    try {
      forEachInTurn(rest, (client) => this.move(client));
    } finally {
      this.result.cut = rest.length + closingCount;
      this.result.left = this.result.clients - this.result.moved - this.result.cut;
      this.result.durationMs = Math.round(performance.now() - this.startedAt);
      if (debug.enabled) debug("drained: %o", this.result);
      this.resolve(this.result);
    }
  }

  private step(): void {
    try {
      this.endRequests();
      this.closeChosen();
      this.choose();
    } finally {
      const isEmpty = this.waiting.size + this.chosen.size + this.countClosing() === 0;
      if (isEmpty || performance.now() - this.startedAt >= this.settings.timeoutMs) this.cutShort();
      else if (!this.isOver) this.start(STEP_MS);
    }
  }

  /** A client that always waits for some answer would be owed one at the end, too. */
  private endRequests(): void {
    if (this.areRequestsOver || performance.now() - this.startedAt < this.settings.timeoutMs * MOVING_SHARE) return;
    this.areRequestsOver = true;
    for (const client of [...this.waiting, ...this.chosen.keys()]) client.endRequests();
  }

  private closeChosen(): void {
    const due: Movable[] = [];
    for (const [client, at] of this.chosen) {
      if (at > this.steppedAt && !client.isGone) continue;
      this.chosen.delete(client);
      if (client.isBusy) this.waiting.add(client);
      else if (!client.isGone) due.push(client);
    }
    forEachInTurn(due, (client) => this.move(client));
  }

  /** Takes the next clients, as many as the pace allows. Those with something under way go to the end of the queue. */
  private choose(): void {
    const now = performance.now();
    const mostCredit = Math.max(1, (CREDIT_MS / 1000) * this.perSecond);
    this.credit = Math.min(mostCredit, this.credit + ((now - this.steppedAt) / 1000) * this.perSecond);
    this.steppedAt = now;
    let unseen = this.waiting.size;
    for (const client of this.waiting) {
      if (unseen-- === 0 || (this.credit < 1 && !client.isGone)) return;
      this.waiting.delete(client);
      if (client.isGone) continue;
      if (client.isBusy) {
        this.waiting.add(client);
      } else {
        this.credit--;
        this.chosen.set(client, now + Math.random() * this.settings.jitterMs);
      }
    }
  }

  private move(client: Movable): void {
    if (debug.enabled) debug("%s: moved away", quoted(client.id));
    this.closing.add(client);
    client.move(this.settings, Math.max(0, this.settings.timeoutMs - (performance.now() - this.startedAt)));
  }

  /** How many connections are being closed, those that are closed by now aside. */
  private countClosing(): number {
    for (const client of this.closing) {
      if (!client.isGone) continue;
      this.closing.delete(client);
      this.result.moved++;
    }
    return this.closing.size;
  }
}

class MovableClient implements Movable {
  private readonly client: AnyClient;

  constructor(client: AnyClient) {
    this.client = client;
  }

  get id(): string {
    return this.client.id;
  }

  get isGone(): boolean {
    return this.client.conn.readyState === "closed";
  }

  /** An upgrade, a POST, an acknowledgement in either direction. */
  get isBusy(): boolean {
    const { conn } = this.client;
    if (conn.upgrading || (conn.transport as { dataReq?: unknown }).dataReq) return true;
    return this.client._allSockets().some((socket) => socket._unanswered > 0 || (socket._acks !== null && socket._acks.size > 0));
  }

  endRequests(): void {
    this.client._isEnding = true;
  }

  /** Sends the message, disconnects the sockets, and closes the connection once what is queued was sent. */
  move({ message }: ResolvedDrainOptions): void {
    const { client } = this;
    try {
      if (message !== undefined) forEachInTurn(client._allSockets(), (socket) => socket.emit(...eventOf(message)));
    } finally {
      try {
        client.onclose("server shutting down");
      } finally {
        client.conn.close(false, RESTART);
      }
    }
  }
}

/** The other server finds out whether its client is busy. */
class MovableWebSocket implements Movable {
  readonly id = "a client of another server";
  readonly isBusy = false;
  private readonly webSocket: ForeignWebSocket;

  constructor(webSocket: ForeignWebSocket) {
    this.webSocket = webSocket;
  }

  get isGone(): boolean {
    return this.webSocket.isOver;
  }

  /** The other server does, in the time that is left at its turn. */
  endRequests = ignore;

  move({ message }: ResolvedDrainOptions, timeoutMs: number): void {
    this.webSocket.move({ timeoutMs, jitterMs: 0, ...(message !== undefined && { message }) });
  }
}

/**
 * Moves one client, for another server that has its connection and drains.
 * @param conn   its session
 * @param given  options of the other server
 */
export function drainOne(conn: { readonly owner: unknown; close(discard: boolean, status: CloseStatus): unknown }, given: unknown): void {
  const { owner } = conn;
  if (!(owner instanceof Client)) return void conn.close(false, RESTART);
  let settings: ResolvedDrainOptions;
  try {
    settings = resolveDrain(given, owner.server.encoder);
  } catch {
    settings = { timeoutMs: 0, jitterMs: 0 }; // a message that this server cannot encode
  }
  new Drain([owner], [], settings);
}
