import { AsyncResource } from "node:async_hooks";
import { RoomcastError } from "../errors";
import { Deadline } from "../support/deadline";
import type { Adapter } from "./adapter";

/*
 * Acknowledgements still owed. Callbacks run in the async context of the code that emitted, not in the one of the
 * client that answers, nor of the shared timer that ran out.
 */

/** A callback that gets a client's answer. */
export type AckCallback = (...values: any[]) => void;

/** Owes an answer: the socket, as far as its acknowledgements are concerned. */
export interface AckHolder {
  readonly acks: Map<number, AckCallback>;
}

/** The error of an acknowledgement that did not come in time. */
export function ackTimeoutError(): Error {
  return new RoomcastError("RC_ERR_TIMEOUT", "operation has timed out");
}

/**
 * Registers the callback for the answer to packet `id`.
 * @param timeoutMs  if given, the callback becomes error-first and is called in any case, after that time at the latest
 */
export function expectAck(socket: AckHolder, id: number, callback: AckCallback, timeoutMs: number | undefined): void {
  if (timeoutMs === undefined) {
    const context = new AsyncResource("RoomcastAck");
    socket.acks.set(id, (...values) => context.runInAsyncScope(callback, socket, ...values));
    return;
  }
  const pending = new TimedAck(socket, id, callback, timeoutMs);
  socket.acks.set(id, (...values) => pending.answer(values));
}

/** One answer with a deadline. */
class TimedAck extends AsyncResource {
  private readonly socket: AckHolder;
  private readonly id: number;
  private readonly callback: AckCallback;
  private readonly deadline: Deadline<TimedAck>;

  constructor(socket: AckHolder, id: number, callback: AckCallback, timeoutMs: number) {
    super("RoomcastAck");
    this.socket = socket;
    this.id = id;
    this.callback = callback;
    this.deadline = new Deadline<TimedAck>(onTimedOut, this);
    this.deadline.start(timeoutMs);
  }

  answer(values: unknown[]): void {
    this.deadline.cancel();
    this.runInAsyncScope(this.callback, this.socket, null, ...values);
  }

  expire(): void {
    // An entry that is gone means that the packet could not be sent, and that the caller knows.
    if (this.socket.acks.delete(this.id)) this.runInAsyncScope(this.callback, this.socket, ackTimeoutError());
  }
}

/**
 * The answers to one broadcast.
 *
 *     collecting --every server reported and every client answered--> done
 *                --deadline--> done, with an error and what came until then
 */
export class BroadcastAnswers extends AsyncResource {
  private readonly callback: AckCallback;
  private readonly onlyOne: boolean;
  private readonly deadline: Deadline<BroadcastAnswers> | null;
  private readonly forget: () => void;
  private readonly responses: unknown[] = [];
  private state: "collecting" | "done" = "collecting";
  private expectedServers = -1;
  private reportedServers = 0;
  private expectedClients = 0;

  /**
   * @param options.timeoutMs  without it there is no limit
   * @param options.onlyOne    give the one answer itself in place of a list
   * @param options.forget     takes back what is still registered with sockets; called at the deadline
   */
  constructor(callback: AckCallback, options: { timeoutMs: number | undefined; onlyOne: boolean; forget: () => void }) {
    super("RoomcastAck");
    this.callback = callback;
    this.onlyOne = options.onlyOne;
    this.forget = options.forget;
    this.deadline = options.timeoutMs === undefined ? null : new Deadline<BroadcastAnswers>(onTimedOut, this);
    this.deadline?.start(options.timeoutMs!);
  }

  /** So many servers take part. */
  expectServers(count: number): void {
    this.expectedServers = count;
    this.check();
  }

  /** One server has sent the packet to so many clients. */
  addClients(count: number): void {
    this.expectedClients += count;
    this.reportedServers++;
    this.check();
  }

  /** One client has answered. Only the first value counts. */
  addResponse(value: unknown): void {
    this.responses.push(value);
    this.check();
  }

  /** The broadcast could not be made; the caller has been told. */
  cancel(): void {
    this.deadline?.cancel();
    this.state = "done";
  }

  expire(): void {
    if (this.state === "done") return;
    this.state = "done";
    this.forget();
    this.runInAsyncScope(this.callback, undefined, ackTimeoutError(), this.onlyOne ? null : this.responses);
  }

  private check(): void {
    if (this.state === "done" || this.reportedServers !== this.expectedServers || this.responses.length !== this.expectedClients) return;
    this.cancel();
    this.runInAsyncScope(this.callback, undefined, null, this.onlyOne ? this.responses[0] : this.responses);
  }
}

function onTimedOut(pending: TimedAck | BroadcastAnswers): void {
  pending.expire();
}

/** Removes the handlers of one broadcast from the sockets of this process. */
export function forgetAcks(adapter: Adapter, id: number | undefined): void {
  if (id === undefined) return;
  for (const socket of adapter.nsp.sockets.values() as Iterable<{ _forgetAck?(id: number): void }>) socket._forgetAck?.(id);
}

/**
 * Turns an error-first callback into a promise; the error gets the answers that came as `responses`.
 * @param emit  is given the callback
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
