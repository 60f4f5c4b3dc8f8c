import { ClusterError } from "../errors";
import type { ServerId } from "./messages";

/*
 * A question put to the other nodes of a cluster, as long as it is open.
 *
 *   open ── last expected answer, or its node gone ──▶ done (answers)
 *     └──── time is up ──────────────────────────────▶ done (error, answers so far)
 */

/** How many answers are due, or, where nodes are known, whose. */
export type Expected = number | ReadonlySet<ServerId>;

export class PendingRequest {
  private readonly answers: unknown[] = [];
  private readonly answered = new Set<ServerId>();
  private readonly expectedCount: number;
  private readonly missing: Set<ServerId> | null;
  private readonly onDone: (error: Error | null, answers: unknown[]) => void;
  private timer: NodeJS.Timeout | null;

  /** @param onDone  called once; the request is closed then */
  constructor(expected: Expected, timeoutMs: number, onDone: (error: Error | null, answers: unknown[]) => void) {
    this.expectedCount = typeof expected === "number" ? expected : expected.size;
    this.missing = typeof expected === "number" ? null : new Set(expected);
    this.onDone = onDone;
    this.timer = setTimeout(onTimeout, timeoutMs, this);
  }

  /** Takes the answers of a node; a second answer of the same node is ignored. */
  onAnswer(uid: ServerId, values: readonly unknown[]): void {
    if (this.timer === null || this.answered.has(uid)) return;
    this.answered.add(uid);
    for (const value of values) this.answers.push(value);
    this.missing?.delete(uid);
    this.check();
  }

  /** A node that is gone owes nothing any more. */
  onNodeGone(uid: ServerId): void {
    if (this.timer !== null && this.missing?.delete(uid)) this.check();
  }

  private check(): void {
    const isComplete = this.missing === null ? this.answered.size >= this.expectedCount : this.missing.size === 0;
    if (isComplete) this.finish(null);
  }

  private finish(error: Error | null): void {
    clearTimeout(this.timer!);
    this.timer = null;
    this.onDone(error, this.answers);
  }

  /** @internal */
  onTimeout(): void {
    const text =
      this.missing === null
        ? `timeout reached: only ${this.answered.size} responses received out of ${this.expectedCount}`
        : `timeout reached: missing ${this.missing.size} responses`;
    this.finish(new ClusterError("RC_ERR_TIMEOUT", text));
  }
}

function onTimeout(request: PendingRequest): void {
  request.onTimeout();
}
