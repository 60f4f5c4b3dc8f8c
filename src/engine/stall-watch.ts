import { Deadline } from "../support/deadline";
import type { LimitError } from "../errors";
import { limitError, type Limits } from "./limits";

/** What the watch needs of the session whose queue is long. */
export interface StallOwner {
  readonly server: { readonly limits: Limits };
  readonly bufferedBytes: number;
  readonly transport: { readonly progress: number };
  endForLimit(error: LimitError): void;
}

/**
 * Watches a session whose queue is long: it ends over `limits.bufferedBytes`, and when no byte was taken for
 * `limits.stalledAfterMs` while more than `limits.stalledBytes` wait. Exists only for sessions that got there.
 */
export class StallWatch extends Deadline<StallOwner> {
  private progressAtStart: number;

  constructor(session: StallOwner) {
    super(ignore, session);
    this.progressAtStart = 0;
  }

  /** Called when a packet was queued behind a long queue. */
  check(): void {
    const { bufferedBytes, stalledAfterMs, stalledBytes } = this.owner.server.limits;
    const waiting = this.owner.bufferedBytes;
    if (waiting > bufferedBytes) {
      this.owner.endForLimit(limitError("RC_ERR_BUFFERED_BYTES", "bytes waiting for the client (bufferedBytes)", bufferedBytes, waiting));
    } else if (waiting > stalledBytes && !this.active && stalledAfterMs !== Infinity) {
      this.watchFromNow();
    }
  }

  /** @internal */
  override expire(): void {
    const { stalledBytes, stalledAfterMs } = this.owner.server.limits;
    const waiting = this.owner.bufferedBytes;
    if (waiting <= stalledBytes) return;
    if (this.owner.transport.progress !== this.progressAtStart) return this.watchFromNow();
    const what = `milliseconds without progress while ${waiting} bytes wait (stalledAfterMs)`;
    this.owner.endForLimit(limitError("RC_ERR_STALLED", what, stalledAfterMs, stalledAfterMs));
  }

  private watchFromNow(): void {
    this.progressAtStart = this.owner.transport.progress;
    this.start(this.owner.server.limits.stalledAfterMs);
  }
}

function ignore(): void {} // `expire` is overridden
