// The limits on all connections of an engine together: `limits.totalBufferedBytes` (ROB-122) and `limits.totalHeldBytes` (ROB-814).
import type { LimitError } from "../errors";
import { HELD_OVERHEAD_BYTES } from "../support/detach";
import { forEachInTurn } from "../support/each-in-turn";
import { nextTick, runInRoot } from "../support/tick";
import type { Counts } from "./counts";
import { limitError, type Limits } from "./limits";
import type { Session } from "./session";

/** What the total needs of a session. */
export interface Holder {
  /** Bytes in the total for which the session is responsible. */
  readonly heldBytes: number;
  endForLimit(error: LimitError): void;
}

/** Connections are closed until the total is below this part of the limit, so that the search for the largest is rare. */
const TARGET_PART_OF_LIMIT = 7 / 8;

/**
 * The bytes that wait for all connections of an engine. Above the limit the connections with the most waiting bytes are closed.
 * A packet that waits for several connections counts once.
 */
export class BufferedTotal {
  /** Maintained by `Outbox` and `StallWatch`. */
  bytes: number;
  private readonly limitBytes: number;
  private readonly holders: () => Holder[];
  private isDue: boolean;

  /** @param holders  the open sessions */
  constructor(limits: Limits, holders: () => Holder[]) {
    this.bytes = 0;
    this.limitBytes = limits.totalBufferedBytes;
    this.holders = holders;
    this.isDue = false;
  }

  get isOver(): boolean {
    return this.bytes > this.limitBytes;
  }

  /** Closes connections if the total exceeds the limit; in a new tick, since that calls listeners of other connections. */
  check(): void {
    if (this.bytes <= this.limitBytes || this.isDue) return;
    this.isDue = true;
    runInRoot(() => nextTick(relieve, this));
  }

  /** @internal */
  relieve(): void {
    this.isDue = false;
    if (!this.isOver) return; // packets were sent meanwhile
    const met = this.bytes;
    const largestFirst = this.holders()
      .map((holder) => ({ holder, held: holder.heldBytes }))
      .filter(({ held }) => held > 0)
      .sort((a, b) => b.held - a.held);
    const what = "bytes waiting for all clients, of which this one holds most (totalBufferedBytes)";
    for (const { holder } of largestFirst) {
      if (this.bytes <= this.limitBytes * TARGET_PART_OF_LIMIT) return;
      holder.endForLimit(limitError("RC_ERR_TOTAL_BUFFERED_BYTES", what, this.limitBytes, met));
    }
  }
}

/** What holds input without a session: a WebTransport handshake, or a body that waits for middlewares. */
export interface InputHolder {
  readonly heldInputBytes: number;
  /** Ends it. */
  endForLimit(): void;
}

/** The connections are asked what they hold each time so much of the limit was held anew. */
const LOOK_PART_OF_LIMIT = 1 / 16;

/**
 * The input of which the rest is missing, over all connections of an engine. Above the limit the connections that hold most are closed.
 * It is added up only now and then: nothing has to be subtracted when input is complete, and whole messages cost nothing.
 */
export class InputTotal {
  /** What holds input without a session. */
  readonly others: Set<InputHolder>;
  private readonly limitBytes: number;
  private readonly counts: Counts;
  private readonly sessions: () => Session[];
  /** Bytes that were held anew since the connections were asked. */
  private newBytes: number;
  private isDue: boolean;

  /** @param sessions  the open sessions */
  constructor(limits: Limits, counts: Counts, sessions: () => Session[]) {
    this.others = new Set();
    this.limitBytes = limits.totalHeldBytes;
    this.counts = counts;
    this.sessions = sessions;
    this.newBytes = 0;
    this.isDue = false;
  }

  /** So many bytes more are held. Closes connections later if that exceeds the limit; in a new tick, since that calls listeners of other connections. */
  add(bytes: number): void {
    this.newBytes += bytes + HELD_OVERHEAD_BYTES;
    if (this.newBytes <= this.limitBytes * LOOK_PART_OF_LIMIT || this.isDue) return;
    this.isDue = true;
    runInRoot(() => nextTick(relieve, this));
  }

  /** Takes time in proportion to the sessions. */
  get heldBytes(): number {
    return sumOf(this.measure());
  }

  private measure(): { holder: Session | InputHolder; bytes: number }[] {
    return [
      ...this.sessions().map((holder) => ({ holder, bytes: heldInputOf(holder) })),
      ...[...this.others].map((holder) => ({ holder, bytes: holder.heldInputBytes })),
    ];
  }

  /** @internal */
  relieve(): void {
    this.isDue = false;
    this.newBytes = 0;
    const held = this.measure();
    const met = sumOf(held);
    if (met <= this.limitBytes) return;
    let excess = met - this.limitBytes * TARGET_PART_OF_LIMIT;
    const what = "bytes of incomplete input of all clients, of which this one holds most (totalHeldBytes)";
    const error = limitError("RC_ERR_TOTAL_HELD_BYTES", what, this.limitBytes, met);
    held.sort((a, b) => b.bytes - a.bytes);
    const largest = held.filter(({ bytes }) => {
      const isTooMuch = excess > 0 && bytes > 0;
      excess -= bytes;
      return isTooMuch;
    });
    forEachInTurn(largest, ({ holder }) => {
      if (!this.others.has(holder as InputHolder)) return holder.endForLimit(error);
      this.counts.add(error.code);
      holder.endForLimit(error);
    });
  }
}

function sumOf(held: readonly { readonly bytes: number }[]): number {
  return held.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Input that a session holds: part of a message or body, packets that wait for attachments, messages that wait for their turn. */
function heldInputOf({ transport, upgrade, rate, owner }: Session): number {
  const ofCandidate = upgrade === null ? 0 : upgrade.candidate.heldInputBytes;
  return transport.heldInputBytes + ofCandidate + (rate === null ? 0 : rate.heldBytes) + (owner === null ? 0 : owner.heldInputBytes);
}

function relieve(total: BufferedTotal | InputTotal): void {
  total.relieve();
}
