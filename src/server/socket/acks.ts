// Pending acknowledgements: of one socket, and of a broadcast.
//
// When a socket leaves, broadcasts no longer wait for it (ROB-715). What only this socket was asked fails at its time-out, or never; with
// `acks: { onDisconnect: "reject" }` at once (ROB-717). The close of the server fails those with a time-out (ROB-450). Those without one have
// the life time `limits.ackLifetimeMs`, if that is set (ROB-779).
import { AsyncResource } from "node:async_hooks";
import createDebug from "debug";
import type { Counts } from "../../engine/counts";
import { limitError, type Limits } from "../../engine/limits";
import { Session } from "../../engine/session";
import { RoomcastError, type LimitError } from "../../errors";
import { Deadline } from "../../support/deadline";
import { forEachInTurn } from "../../support/each-in-turn";
import { ignore } from "../../support/ignore";
import { quoted } from "../../support/log-text";
import { nextTick } from "../../support/tick";
import type { Adapter } from "../adapter/adapter";

/*
 * Callbacks run in the async context of the code that emitted (EVT-34), not in that of the client that acknowledges, nor in that of the
 * code that started the shared timer.
 */

const debug = createDebug("socket.io:socket");

/** A callback that gets the values of an acknowledgement. */
export type AckCallback = (...values: any[]) => void;

/** What this file needs of a socket. */
export interface AckSocket {
  readonly id: string;
  readonly acks: Map<number, AckCallback>;
  readonly conn: object;
  readonly nsp: { readonly server: AckServer };
}

/** What this file needs of a server. */
export interface AckServer {
  readonly _timedAcks: TimedAcks;
  readonly _limits: Limits;
  readonly _opts: { readonly acks?: AckOptions | undefined };
  /** One of another package has no counters. */
  readonly engine?: { readonly counts?: Counts };
}

/** The option `acks`. */
export interface AckOptions {
  /**
   * What happens to the pending acknowledgements of one socket when it disconnects. `"ignore"` (default): those with `timeout()` fail at
   * their time-out, all others never. `"reject"`: those with `timeout()` and promises of `emitWithAck` fail at once, RC_ERR_DISCONNECTED.
   */
  onDisconnect?: "reject" | "ignore";
}

const kOnLeave = Symbol("onLeave");

/** What happens when the socket leaves before it has acknowledged, or when the life time ends: then it gets the error. */
type OnLeave = (error?: Error) => void;

/** Adds to the callback of an acknowledgement what happens when the socket leaves before it has acknowledged. */
export function withLeave(callback: AckCallback, onLeave: OnLeave): AckCallback {
  return Object.assign(callback, { [kOnLeave]: onLeave });
}

/** What `withLeave` has added to a callback. */
export function leaveOf(callback: AckCallback): OnLeave | undefined {
  return (callback as { [kOnLeave]?: OnLeave })[kOnLeave];
}

/** The callback of a promise of `emitWithAck` of one socket. @param isTimed  whether the callback gets an error or null first */
export function promiseCallback(socket: AckSocket, isTimed: boolean, resolve: AckCallback, reject: (error: Error) => void): AckCallback {
  if (isTimed) return (error: Error | null, value: unknown) => (error ? reject(error) : resolve(value));
  if (!rejectsOnLeave(socket) && socket.nsp.server._limits.ackLifetimeMs === Infinity) return resolve;
  const callback: AckCallback = (value) => resolve(value);
  return withLeave(callback, (error = disconnectedError()) => reject(error));
}

function rejectsOnLeave(socket: AckSocket): boolean {
  return socket.nsp.server._opts.acks?.onDisconnect === "reject";
}

/** Settles what waits for a socket that has left, in a tick of its own: after the listeners of `disconnect`. */
export function settleAcksLater(pending: Map<number, AckCallback>): void {
  nextTick(settleAcks, pending);
}

function settleAcks(pending: Map<number, AckCallback>): void {
  forEachInTurn([...pending], ([id, callback]) => {
    const onLeave = leaveOf(callback);
    if (onLeave === undefined || !pending.has(id)) return;
    try {
      onLeave();
    } finally {
      pending.delete(id);
    }
  });
}

/** A pending acknowledgement with a time-out or a life time. */
interface PendingTimedAck {
  /** Fails, since the server closes. */
  onServerClose(): void;
}

/** All pending acknowledgements of one server that have a time-out or a life time. They fail when the server closes, so that no timer outlives it (ROB-450). */
export class TimedAcks {
  private readonly pending = new Set<PendingTimedAck>();

  /** @internal */
  add(ack: PendingTimedAck): void {
    this.pending.add(ack);
  }

  /** @internal */
  delete(ack: PendingTimedAck): void {
    this.pending.delete(ack);
  }

  get size(): number {
    return this.pending.size;
  }

  /** The server closes: all of them fail with RC_ERR_CLOSED. */
  failAll(): void {
    forEachInTurn([...this.pending], (ack) => ack.onServerClose());
  }
}

/** The error of an acknowledgement that is pending when the server closes. */
function closedError(): Error {
  return new RoomcastError("RC_ERR_CLOSED", "the server was closed before the answer came");
}

/** The error of an acknowledgement whose client has left. */
function disconnectedError(text = "socket has been disconnected"): Error {
  return new RoomcastError("RC_ERR_DISCONNECTED", text);
}

/** The error of an acknowledgement that did not arrive before its time-out. */
export function ackTimeoutError(): Error {
  return new RoomcastError("RC_ERR_TIMEOUT", "operation has timed out");
}

/**
 * Registers the callback for the acknowledgement of packet `id`.
 * @param timeoutMs  undefined: no limit. Otherwise the callback gets an error or null as first argument, and is called after this time at
 *                   the latest (ACK-3)
 * @param onLeave    without a time-out: called when the socket leaves, with `acks: { onDisconnect: "reject" }`, and at the end of the life time.
 *                   The callback itself is not: it has no argument for an error, and would take one for the answer
 */
export function expectAck(
  socket: AckSocket,
  id: number,
  callback: AckCallback,
  timeoutMs: number | undefined,
  onLeave: OnLeave = ignore,
): void {
  const { pendingAcks, ackLifetimeMs } = socket.nsp.server._limits;
  let answer: AckCallback;
  if (timeoutMs === undefined && ackLifetimeMs === Infinity) {
    const context = new AsyncResource("RoomcastAck");
    answer = (...values) => context.runInAsyncScope(callback, socket, ...values);
  } else {
    const pending = new TimedAck(socket, id, callback, timeoutMs ?? ackLifetimeMs, timeoutMs === undefined ? onLeave : null);
    answer = (...values) => pending.answer(values);
    onLeave = () => pending.onLeave();
  }
  socket.acks.set(id, rejectsOnLeave(socket) ? withLeave(answer, onLeave) : answer);
  if (socket.acks.size > pendingAcks) endIfOwing(socket);
}

/** A broadcast has asked the socket for an acknowledgement. Closes its connection in a later tick, if it owes too many: other sockets are still to be written to. */
export function checkPendingAcks(socket: AckSocket): void {
  if (socket.acks.size > socket.nsp.server._limits.pendingAcks) nextTick(endIfOwing, socket);
}

/** ROB-778 */
function endIfOwing({ acks, conn, nsp }: AckSocket): void {
  const { pendingAcks } = nsp.server._limits;
  if (acks.size <= pendingAcks || !(conn instanceof Session)) return;
  conn.endForLimit(limitError("RC_ERR_PENDING_ACKS", "acknowledgements that the client owes (pendingAcks)", pendingAcks, acks.size));
}

/** Milliseconds after which broadcasts without a time-out fail, too; undefined for never (ROB-779). */
export function lifetimeOf(server: Partial<AckServer> | undefined): number | undefined {
  const lifetimeMs = server?._limits?.ackLifetimeMs;
  return lifetimeMs === Infinity ? undefined : lifetimeMs;
}

/** The life time of an acknowledgement has ended: counts that, and gives the error (ROB-779). */
function lifetimeError({ _limits, engine }: AckServer): LimitError {
  const { ackLifetimeMs } = _limits;
  engine?.counts?.add("RC_ERR_ACK_LIFETIME");
  return limitError("RC_ERR_ACK_LIFETIME", "milliseconds without the acknowledgement (ackLifetimeMs)", ackLifetimeMs, ackLifetimeMs);
}

/** One pending acknowledgement with a time-out, or with the life time `limits.ackLifetimeMs`. */
class TimedAck extends AsyncResource implements PendingTimedAck {
  private readonly socket: AckSocket;
  private readonly id: number;
  private readonly callback: AckCallback;
  /** Gets the error, with a life time. Null with a time-out: the callback gets an error or null as first argument. */
  private readonly onError: OnLeave | null;
  private readonly deadline: Deadline<TimedAck>;

  constructor(socket: AckSocket, id: number, callback: AckCallback, timeoutMs: number, onError: OnLeave | null) {
    super("RoomcastAck");
    this.socket = socket;
    this.id = id;
    this.callback = callback;
    this.onError = onError;
    this.deadline = new Deadline<TimedAck>(onTimedOut, this);
    this.deadline.start(timeoutMs);
    socket.nsp.server._timedAcks.add(this);
  }

  answer(values: unknown[]): void {
    this.end();
    if (this.onError === null) this.runInAsyncScope(this.callback, this.socket, null, ...values);
    else this.runInAsyncScope(this.callback, this.socket, ...values);
  }

  expire(): void {
    if (debug.enabled) debug("%s: ack id %d has timed out", quoted(this.socket.id), this.id);
    this.fail(this.onError === null ? ackTimeoutError() : lifetimeError(this.socket.nsp.server));
  }

  onServerClose(): void {
    this.fail(closedError());
  }

  onLeave(): void {
    this.fail(disconnectedError());
  }

  private fail(error: Error): void {
    this.end();
    // Without an entry the packet could not be sent: `emit` has thrown, and the callback must not run.
    if (this.socket.acks.delete(this.id)) this.runInAsyncScope(this.onError ?? this.callback, this.socket, error);
  }

  private end(): void {
    this.deadline.cancel();
    this.socket.nsp.server._timedAcks.delete(this);
  }
}

/**
 * The acknowledgements of one broadcast (ACK-20, ACK-26).
 *
 *     collecting --all servers have reported their client count, and all clients have acknowledged--> done
 *                --the same, but some clients have left without--> done: as at the time-out, only earlier
 *                --time-out, end of the life time, or close of the server--> done: the callback gets an error and the responses received so far
 */
export class BroadcastAnswers extends AsyncResource implements PendingTimedAck {
  private readonly callback: AckCallback;
  private readonly isSingle: boolean;
  private readonly deadline: Deadline<BroadcastAnswers> | null;
  private readonly forget: () => void;
  private readonly onEnd: () => readonly string[] | undefined;
  private readonly server: AckServer | undefined;
  private readonly isTimed: boolean;
  private readonly responses: unknown[] = [];
  private state: "collecting" | "done" = "collecting";
  private expectedServers = -1;
  private reportedServers = 0;
  private expectedClients = 0;
  private leftClients = 0;

  /**
   * @param options.timeoutMs  undefined: no limit (ACK-22) but `limits.ackLifetimeMs`
   * @param options.isSingle   the callback gets the only response itself, not an array (ACK-28)
   * @param options.forget     removes the handlers that are still registered with sockets (MEM-5); called after a failure
   * @param options.onEnd      called in the end, unless `cancel` was; gives the ids of the servers that have reported nothing
   * @param options.server     one of another package has no registry of pending acknowledgements, and no limits
   */
  constructor(
    callback: AckCallback,
    options: {
      timeoutMs: number | undefined;
      isSingle: boolean;
      forget: () => void;
      onEnd: () => readonly string[] | undefined;
      server: AckServer | undefined;
    },
  ) {
    super("RoomcastAck");
    this.callback = callback;
    this.isSingle = options.isSingle;
    this.forget = options.forget;
    this.onEnd = options.onEnd;
    this.server = options.server;
    this.isTimed = options.timeoutMs !== undefined;
    const timeoutMs = options.timeoutMs ?? lifetimeOf(options.server);
    this.deadline = timeoutMs === undefined ? null : new Deadline<BroadcastAnswers>(onTimedOut, this);
    this.deadline?.start(timeoutMs!);
    if (this.deadline !== null) this.server?._timedAcks?.add(this);
  }

  /** Sets the number of servers that have to report. */
  expectServers(count: number): void {
    this.expectedServers = count;
    this.check();
  }

  /** One server reports how many clients it has sent the packet to. */
  addClients(count: number): void {
    this.expectedClients += count;
    this.reportedServers++;
    this.check();
  }

  /** One client has acknowledged. @param value  the first value of its acknowledgement */
  addResponse(value: unknown): void {
    this.responses.push(value);
    this.check();
  }

  /** One client has left without an acknowledgement. */
  onLeave(): void {
    this.leftClients++;
    this.check();
  }

  /** The broadcast could not be sent: the callback is never called. */
  cancel(): void {
    this.deadline?.cancel();
    this.server?._timedAcks?.delete(this);
    this.state = "done";
  }

  expire(): void {
    if (debug.enabled) debug("a broadcast has timed out: %d of %d clients answered", this.responses.length, this.expectedClients);
    this.fail(this.isTimed ? ackTimeoutError() : lifetimeError(this.server!));
  }

  onServerClose(): void {
    this.fail(closedError());
  }

  private fail(error: Error): void {
    if (this.state === "done") return;
    this.cancel();
    this.forget();
    const silent = this.onEnd() ?? [];
    if (silent.length > 0) Object.assign(error, { silent });
    this.runInAsyncScope(this.callback, undefined, error, this.isSingle ? null : this.responses);
  }

  /** With a time-out the text is the one that its end would give (ACK-24). */
  private failForLeft(): void {
    const text = this.isTimed ? ackTimeoutError().message : "a client disconnected before it answered";
    this.fail(disconnectedError(text));
  }

  private check(): void {
    if (this.state === "done" || this.reportedServers !== this.expectedServers) return;
    if (this.responses.length + this.leftClients !== this.expectedClients) return;
    if (this.leftClients > 0) return this.failForLeft();
    this.cancel();
    this.onEnd();
    this.runInAsyncScope(this.callback, undefined, null, this.isSingle ? this.responses[0] : this.responses);
  }
}

function onTimedOut(pending: TimedAck | BroadcastAnswers): void {
  pending.expire();
}

/** Removes the acknowledgement handlers of one broadcast from the sockets of this process (ACK-27). */
export function forgetAcksOfBroadcast(adapter: Adapter, id: number | undefined): void {
  if (id === undefined) return;
  for (const socket of adapter.nsp.sockets.values() as Iterable<{ _forgetAck?(id: number): void }>) socket._forgetAck?.(id);
}

/** Removes the acknowledgement handlers of a broadcast of another server, when that server doesn't wait for them any more. */
export function forgetAcksLater(sockets: readonly any[], packet: any, timeoutMs: number): void {
  setTimeout(() => {
    for (const socket of sockets) socket.acks.delete?.(packet.id);
  }, timeoutMs).unref?.();
}

/**
 * Turns a callback `(error, responses)` into a promise. The error gets the responses received so far as `responses` (ACK-25).
 * @param emit  called with the callback
 */
export function answersAsPromise(emit: (callback: AckCallback) => void): Promise<any> {
  return new Promise((resolve, reject) => {
    emit((error: (Error & { responses?: unknown }) | null, responses: unknown) => {
      if (!error) return resolve(responses);
      error.responses = responses;
      reject(error);
    });
  });
}
