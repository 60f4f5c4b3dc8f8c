// A pending request to the other nodes of a cluster.
import createDebug from "debug";
import { ClusterError } from "../errors";
import { type ServerId, type SocketsPart, UNNAMED } from "./messages";

const debug = createDebug("socket.io-adapter");

/**
 * The nodes that have to answer.
 * `nodes`: their ids, as far as they are known. `count`: their number, null if the ids are all there is to go by (CLU-26). Where both are
 * known the number decides, and the ids tell which node is silent.
 */
export interface ExpectedResponders {
  readonly nodes: ReadonlySet<ServerId>;
  readonly count: number | null;
}

/**
 * A pending request to the other nodes.
 *
 *     pending --all expected nodes have answered or were removed--> done (answers)
 *             --time-out, or failure to send---------------------> done (error with the answers received so far)
 */
export class PendingRequest {
  private readonly answers: unknown[] = [];
  private readonly answered = new Set<ServerId>();
  private answerCount = 0;
  /** Of nodes that answer in parts: those that have arrived. */
  private readonly parts = new Map<ServerId, Set<number>>();
  private readonly missing: Set<ServerId>;
  private readonly onDone: (error: Error | null, answers: unknown[]) => void;
  private count: number | null;
  private timer: NodeJS.Timeout | null;

  /**
   * @param expected  `count: Infinity`: `expectCount` will tell the number
   * @param onDone    called once
   */
  constructor(expected: ExpectedResponders, timeoutMs: number, onDone: (error: Error | null, answers: unknown[]) => void) {
    this.count = expected.count;
    this.missing = new Set(expected.nodes);
    this.onDone = onDone;
    this.timer = setTimeout(onTimeout, timeoutMs, this);
  }

  /** Whether `expectCount` has to tell how many nodes the request has reached. */
  get isUncounted(): boolean {
    return this.count === Infinity;
  }

  /** @param count  the number of nodes that the request has reached; null: unknown, the ids decide */
  expectCount(count: number | null): void {
    if (this.timer === null) return;
    this.count = count;
    this.check();
  }

  /** Receives the answer of a node, which may hold several values. Further answers of the same node are ignored. */
  onAnswer(uid: ServerId, values: readonly unknown[]): void {
    if (this.timer === null || this.answered.has(uid)) return;
    if (uid !== UNNAMED) this.answered.add(uid);
    this.answerCount++;
    for (const value of values) this.answers.push(value);
    this.missing.delete(uid);
    this.check();
  }

  /** Receives one of several messages that are the answer of a node together. If one is lost, the node counts as silent. */
  onPart(uid: ServerId, { part, parts, sockets }: SocketsPart): void {
    if (this.timer === null || this.answered.has(uid)) return;
    let arrived = this.parts.get(uid);
    if (arrived === undefined) this.parts.set(uid, (arrived = new Set()));
    if (arrived.has(part)) return;
    arrived.add(part);
    for (const socket of sockets) this.answers.push(socket);
    if (arrived.size === parts) this.onAnswer(uid, []);
  }

  /** The node was removed: its answer is no longer expected (CLU-25). */
  onNodeRemoved(uid: ServerId): void {
    if (this.timer === null || !this.missing.delete(uid)) return;
    if (this.count !== null) this.count--;
    this.check();
  }

  /** The request could not be sent. */
  fail(error: Error): void {
    if (this.timer !== null) this.finish(error);
  }

  private check(): void {
    const isComplete = this.count === null ? this.missing.size === 0 : this.answerCount >= this.count;
    if (isComplete) this.finish(null);
  }

  private finish(error: Error | null): void {
    clearTimeout(this.timer!);
    this.timer = null;
    if (error !== null) Object.assign(error, { responses: this.answers, silent: [...this.missing] });
    this.onDone(error, this.answers);
  }

  /** @internal */
  onTimeout(): void {
    // CLU-17
    const { count, answerCount, missing } = this;
    const text =
      count === null || count === Infinity
        ? `timeout reached: missing ${missing.size} responses`
        : `timeout reached: only ${answerCount} responses received out of ${count}`;
    if (debug.enabled) debug("a request to the other servers ends: %s", text);
    this.finish(new ClusterError("RC_ERR_TIMEOUT", text));
  }
}

function onTimeout(request: PendingRequest): void {
  request.onTimeout();
}
