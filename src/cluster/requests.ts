// The requests of a node to the others: sent, answered, given up.
import { ClusterError } from "../errors";
import { type ClusterResponse, randomId, type ServerId, type SocketsPart, type UnsignedMessage } from "./messages";
import { type ExpectedResponders, PendingRequest } from "./pending-request";

export const DEFAULT_TIMEOUT_MS = 5_000;

/** A message that the other nodes answer. `requestId` is set when it is sent. */
export type RequestMessage = UnsignedMessage & { data: { requestId?: string } };

/** Called once. `answers`: what has arrived until then; an error also has it as `responses`, and the ids of the missing nodes as `silent`. */
export type OnAnswers = (error: Error | null, answers: unknown[]) => void;

/** Ways to the other nodes. Implemented by `cluster-adapter.ts`. */
export interface RequestPort {
  /** Time after which a request without a time-out of its own ends, in milliseconds. */
  readonly timeoutMs: number;
  /** Sends a request to all nodes, and tells it how many they are if that becomes known only then. */
  ask(message: UnsignedMessage, request: PendingRequest): Promise<unknown>;
  /** The nodes that will answer a request; `own`: one that only nodes with this software understand. */
  expectedResponders(kind: "any" | "own"): ExpectedResponders | Promise<ExpectedResponders>;
  /** A response came after its request had ended. */
  onLate(): void;
}

/** The pending requests of one node, in one namespace. */
export class Requests {
  /** By request id. */
  readonly pending = new Map<string, PendingRequest>();
  private readonly port: RequestPort;
  private readonly describeFailure: (message: RequestMessage, cause: unknown) => Error | null;

  /** @param describeFailure  the error for the caller if a request cannot be sent because of what it holds; null for any other reason */
  constructor(port: RequestPort, describeFailure: (message: RequestMessage, cause: unknown) => Error | null) {
    this.port = port;
    this.describeFailure = describeFailure;
  }

  /** Sends a request. @returns the answers; rejects after `timeoutMs` */
  async ask(message: RequestMessage, kind: "any" | "own", timeoutMs?: number): Promise<unknown[]> {
    const others = this.port.expectedResponders(kind);
    const expected = others instanceof Promise ? await others : others;
    return new Promise((resolve, reject) => {
      this.send(message, expected, (error, answers) => (error === null ? resolve(answers) : reject(error)), timeoutMs);
    });
  }

  /** Sends a request to nodes that are known already. Without any, `onDone` is called at once. */
  send(message: RequestMessage, expected: ExpectedResponders, onDone: OnAnswers, timeoutMs = this.port.timeoutMs): void {
    if (expected.count === 0 || (expected.count === null && expected.nodes.size === 0)) return onDone(null, []);
    const requestId = (message.data.requestId = randomId());
    const request = new PendingRequest(expected, timeoutMs, (error, answers) => {
      this.pending.delete(requestId);
      onDone(error, answers);
    });
    this.pending.set(requestId, request);
    this.port.ask(message, request).catch((cause: unknown) => {
      const text = cause instanceof Error ? cause.message : String(cause);
      const error = this.describeFailure(message, cause);
      request.fail(error ?? new ClusterError("RC_ERR_CLUSTER_LINK", `the request was not sent: ${text}`, cause));
    });
  }

  onAnswer({ uid, data }: ClusterResponse, values: readonly unknown[]): void {
    const request = this.pending.get(data.requestId);
    if (request === undefined) this.port.onLate();
    else request.onAnswer(uid, values);
  }

  /** One of several messages that are the answer of a node. */
  onPart({ uid, data }: ClusterResponse, part: SocketsPart): void {
    const request = this.pending.get(data.requestId);
    if (request === undefined) this.port.onLate();
    else request.onPart(uid, part);
  }

  /** A node has left or died: nothing waits for it any more (CLU-25). */
  onNodeRemoved(uid: ServerId): void {
    for (const request of [...this.pending.values()]) request.onNodeRemoved(uid);
  }
}
