// Watches sessions whose clients don't read: the limits on waiting bytes and packets, and on the time without progress.
import { Deadline } from "../support/deadline";
import type { LimitError } from "../errors";
import type { BufferedTotal } from "./totals";
import { CLOSE_WAIT_MS } from "./endings";
import { BLOCKED_LOOP_MS } from "./heartbeat";
import { BURST_FACTOR, limitError, READING_WINDOW_MS, type Limits } from "./limits";
import { ignore } from "../support/ignore";
import { nextTick, runInRoot } from "../support/tick";

/** What the watch needs of its session. */
export interface StallOwner {
  /** @internal */
  readonly server: { readonly limits: Limits; readonly total: BufferedTotal };
  /** An upgrade is under way: the client waits for an answer, so reading must not stop. @internal */
  readonly upgrading: boolean;
  /** @internal */
  readonly outbox: { readonly length: number; readonly cost: number };
  /** Bytes that wait: queued, or written to the transport and not taken by the system. @internal */
  readonly bufferedBytes: number;
  /** @internal */
  readonly transport: {
    readonly bufferedBytes: number;
    readonly heldBytes: number;
    readonly progress: number;
    readonly takesVolatile: boolean;
    pauseInput(): void;
    resumeInput(): void;
  };
  /** @internal */
  endForLimit(error: LimitError): void;
  /** Reading goes on. @internal */
  onInputResumed(): void;
  /** More than `limits.slowReaderBytes` wait in the outbox. @internal */
  onLongQueue(): void;
  /** So many events were dropped in this tick. @internal */
  onDropped(count: number): void;
}

/** Waits until less is left for a session's peer: a call of `drained()` (ROB-746). */
export interface DrainWaiter {
  /** The waiter is done when fewer bytes wait. */
  readonly below: number;
  /** Fewer bytes wait; the waiter was removed. */
  onDrained(): void;
  /** A user of the session has ended, or has left a room. */
  onLeft(user: object): void;
}

/** After so many bytes of input, with an overhead for each packet, the queue is checked again (ROB-123). */
const INPUT_PER_CHECK_BYTES = 256 * 1024;
const INPUT_OVERHEAD_BYTES = 256;

/**
 * Watches a session whose packets don't leave as fast as they come. It ends the session
 *
 * - above `limits.bufferedBytes` or `limits.bufferedPackets`, when the peer has taken nothing for five seconds (ROB-440); above twice
 *   the limit at once (ROB-441);
 * - when the peer has taken nothing for `limits.stalledAfterMs` while more than `limits.stalledBytes` wait; or, while the session is
 *   closing, nothing for `CLOSE_WAIT_MS` (ROB-161).
 *
 * It stops reading from a peer that sends much while its long queue doesn't get shorter (ROB-123):
 *
 *     reading --much input, queue not shorter--> paused --queue half as long, or short--> reading
 *
 * A session has a watch only after its transport was held up, or its queue was long.
 */
export class StallWatch extends Deadline<StallOwner> {
  /** Milliseconds without progress, in whole steps. */
  private silentMs: number;
  private stepMs: number;
  private isExtended: boolean;
  private isClosing: boolean;
  private progress: number;
  /** `bufferedBytes` and `heldBytes` of the transport at the last `recount`; `heldBytes` are part of the engine's total. */
  private handedBytes: number;
  private heldBytes: number;
  private inputBytes: number;
  private costAtLook: number;
  private state: "reading" | "paused";
  private resumeCost: number;
  private excusedProgress: number;
  /** Events that were dropped (ROB-750), and how many of them the program was told of. */
  droppedEvents: number;
  private toldEvents: number;
  /** Above this cost of the outbox the owner is asked again what to drop. */
  private askAboveCost: number;
  private isAsking: boolean;
  /** Null if nothing has ever waited. */
  private waiters: Set<DrainWaiter> | null;

  constructor(session: StallOwner) {
    super(ignore, session);
    this.silentMs = 0;
    this.stepMs = 0;
    this.isExtended = false;
    this.isClosing = false;
    this.progress = 0;
    this.handedBytes = 0;
    this.heldBytes = 0;
    this.inputBytes = 0;
    this.costAtLook = 0;
    this.state = "reading";
    this.resumeCost = 0;
    this.excusedProgress = -1;
    this.droppedEvents = 0;
    this.toldEvents = 0;
    this.askAboveCost = 0;
    this.isAsking = false;
    this.waiters = null;
  }

  /** Bytes of the transport in the engine's total. */
  get countedBytes(): number {
    return this.heldBytes;
  }

  /** Whether it has stopped reading from the peer. */
  get isPaused(): boolean {
    return this.state === "paused";
  }

  private get waitingCost(): number {
    return this.owner.outbox.cost + this.handedBytes;
  }

  /** Called when a packet was added to a long queue. */
  check(): void {
    const { limits } = this.owner.server;
    const cost = this.waitingCost;
    if (cost <= limits.watchedBytes) return;
    if (!this.active) this.begin(cost);
    this.checkLimits(cost, limits);
  }

  /** The waiting bytes of the transport have changed. */
  recount(): void {
    const { transport, server } = this.owner;
    const held = transport.heldBytes;
    this.handedBytes = transport.bufferedBytes;
    server.total.bytes += held - this.heldBytes;
    this.heldBytes = held;
    server.total.check();
    if (this.state === "paused" && this.waitingCost <= this.resumeCost) this.resume();
    else if (!this.active) this.check();
    if (this.askAboveCost > 0) this.askAboveCost = Math.min(this.askAboveCost, this.costOfNextQuestion);
    if (this.waiters !== null) this.tellDrained();
  }

  // -- slow readers (ROB-750) ------------------------------------------------------------------------

  /** More than `limits.slowReaderBytes` wait in the outbox: asks the owner, and once more for each quarter of that in addition. */
  onLongQueue(): void {
    if (this.isAsking || this.owner.outbox.cost <= this.askAboveCost) return;
    this.isAsking = true; // what the owner emits meanwhile asks no further question
    this.owner.onLongQueue();
    this.isAsking = false;
    this.askAboveCost = this.costOfNextQuestion;
    if (this.waiters !== null) this.tellDrained();
  }

  private get costOfNextQuestion(): number {
    return this.owner.outbox.cost + this.owner.server.limits.slowReaderBytes / 4;
  }

  /** The owner has dropped events; the program is told once for each tick. */
  noteDropped(count: number): void {
    if (this.droppedEvents === this.toldEvents) runInRoot(() => nextTick(tellDropped, this));
    this.droppedEvents += count;
  }

  /** @internal */
  tellDropped(): void {
    const count = this.droppedEvents - this.toldEvents;
    this.toldEvents = this.droppedEvents;
    this.owner.onDropped(count);
  }

  // -- waiters (ROB-746) -----------------------------------------------------------------------------

  /** Adds a waiter, which is told at the next change after which fewer bytes wait. */
  addWaiter(waiter: DrainWaiter): void {
    (this.waiters ??= new Set()).add(waiter);
    nextTick(lookAgain, this);
  }

  removeWaiter(waiter: DrainWaiter): void {
    this.waiters?.delete(waiter);
  }

  /** A user of the session has ended, or has left a room. */
  tellLeft(user: object): void {
    if (this.waiters !== null) for (const waiter of this.waiters) waiter.onLeft(user);
  }

  /** Bytes of a multicast group become known to the transport only when it is asked; it reports then when they are taken. @internal */
  lookAgain(): void {
    void this.owner.transport.takesVolatile;
    this.tellDrained();
  }

  private tellDrained(): void {
    const bytes = this.owner.bufferedBytes;
    for (const waiter of this.waiters!) {
      if (bytes >= waiter.below) continue;
      this.waiters!.delete(waiter);
      waiter.onDrained();
    }
  }

  // -- limits ----------------------------------------------------------------------------------------

  /** A packet has arrived. @param bytes  its size */
  onInput(bytes: number): void {
    this.inputBytes += bytes + INPUT_OVERHEAD_BYTES;
    if (this.inputBytes < INPUT_PER_CHECK_BYTES || !this.active) return;
    this.inputBytes = 0;
    const cost = this.waitingCost;
    const isShorter = cost < this.costAtLook;
    this.costAtLook = cost;
    if (isShorter || cost <= this.owner.server.limits.watchedBytes || this.state === "paused" || this.owner.upgrading) return;
    this.state = "paused";
    this.resumeCost = Math.max(this.owner.server.limits.watchedBytes, cost / 2);
    this.owner.transport.pauseInput();
  }

  /**
   * Whether a pong may be missing because reading is paused, or because the ping waits behind data for a slow reader: true once for each
   * progress of the peer (ROB-124, ROB-754).
   */
  excusesSilence(): boolean {
    if (this.state !== "paused" && this.droppedEvents === 0) return false;
    const { progress } = this.owner.transport;
    if (progress === this.excusedProgress) return false;
    this.excusedProgress = progress;
    return true;
  }

  /** The session has ended, or changes its transport. */
  leaveTransport(): void {
    this.owner.server.total.bytes -= this.heldBytes;
    this.handedBytes = this.heldBytes = 0;
    if (this.state === "paused") this.resume();
  }

  /** The session closes when its queue is empty: limits the time for that (ROB-161). */
  watchClosing(): void {
    this.isClosing = true;
    this.begin(this.waitingCost);
  }

  /** @internal */
  override expire(lateByMs: number): void {
    const { limits } = this.owner.server;
    const cost = this.waitingCost;
    if (cost <= limits.watchedBytes && !this.isClosing) return this.rest();
    if (this.hasProgressed()) return this.startStep();
    if (lateByMs > BLOCKED_LOOP_MS && !this.isExtended) {
      this.isExtended = true; // the event loop was blocked: progress meanwhile isn't known yet
      return this.start(Math.min(lateByMs, this.stepMs));
    }
    this.silentMs += this.stepMs;
    const { patienceMs } = this;
    if (this.silentMs >= patienceMs && (cost > limits.stalledBytes || this.isClosing)) {
      const what = `milliseconds without progress while ${cost} bytes wait (${this.isClosing ? "closing" : "stalledAfterMs"})`;
      return this.owner.endForLimit(limitError("RC_ERR_STALLED", what, patienceMs, patienceMs));
    }
    this.startStep();
    this.checkLimits(cost, limits);
  }

  private begin(cost: number): void {
    this.silentMs = 0;
    this.progress = this.owner.transport.progress;
    this.inputBytes = 0;
    this.costAtLook = cost;
    this.startStep();
  }

  private rest(): void {
    if (this.state === "paused") this.resume();
  }

  private resume(): void {
    this.state = "reading";
    this.costAtLook = this.waitingCost;
    this.inputBytes = 0;
    this.owner.transport.resumeInput();
    this.owner.onInputResumed();
  }

  /** Ends the session if it exceeds a limit: ROB-440, ROB-441. */
  private checkLimits(cost: number, { bufferedBytes, bufferedPackets }: Limits): void {
    const packets = this.owner.outbox.length;
    if (cost <= bufferedBytes && packets <= bufferedPackets) return;
    const isFarOver = cost > bufferedBytes * BURST_FACTOR || packets > bufferedPackets * BURST_FACTOR;
    if (!isFarOver && (this.silentMs < READING_WINDOW_MS || this.hasProgressed())) return;
    this.owner.endForLimit(
      cost > bufferedBytes
        ? limitError("RC_ERR_BUFFERED_BYTES", "bytes waiting for the client (bufferedBytes)", bufferedBytes, cost)
        : limitError("RC_ERR_BUFFERED_PACKETS", "packets waiting for the client (bufferedPackets)", bufferedPackets, packets),
    );
  }

  private hasProgressed(): boolean {
    const { progress } = this.owner.transport;
    if (progress === this.progress) return false;
    this.progress = progress;
    this.silentMs = 0;
    this.isExtended = false;
    return true;
  }

  private startStep(): void {
    const left = this.patienceMs - this.silentMs;
    this.stepMs = left > 0 ? Math.min(READING_WINDOW_MS, left) : READING_WINDOW_MS;
    this.start(this.stepMs);
  }

  private get patienceMs(): number {
    return this.isClosing ? CLOSE_WAIT_MS : this.owner.server.limits.stalledAfterMs;
  }
}

function lookAgain(watch: StallWatch): void {
  watch.lookAgain();
}

function tellDropped(watch: StallWatch): void {
  watch.tellDropped();
}
