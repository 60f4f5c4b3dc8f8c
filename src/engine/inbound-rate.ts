// The limits on what one connection sends per second. A message is counted before it is decoded.
import { eventHeaderOf } from "../protocol/packet-header";
import type { LimitError } from "../errors";
import { Deadline } from "../support/deadline";
import { detachBytes } from "../support/detach";
import type { Counts } from "./counts";
import { limitError, type Limits } from "./limits";
import type { InputTotal } from "./totals";

type Message = string | Buffer | undefined;

/** What the limits need of their session. */
export interface InboundRateOwner {
  /** @internal */
  readonly server: { readonly limits: Limits; readonly counts: Counts; readonly inputTotal: InputTotal };
  /** Not null if the messages are those of Socket.IO. @internal */
  readonly owner: object | null;
  /** An upgrade is under way: the client waits for an answer, so reading must not stop. */
  readonly upgrading: boolean;
  /** Pauses the transport, unless it is paused for another reason; the counterpart resumes it if there is no other reason. @internal */
  setInputPaused(isPaused: boolean): void;
  /** Hands a message on, if the session is open. @internal */
  deliver(message: Message): void;
  /** @internal */
  sendMessage(text: string): void;
  /** @internal */
  endForLimit(error: LimitError): void;
}

/** Memory of a message that waits, beside its payload. */
const HELD_OVERHEAD_BYTES = 128;
/** Waiting times are multiples of this, so that deadlines share timers. */
const STEP_MS = 10;
const LONGEST_WAIT_MS = 1000;

/**
 * `limits.messagesPerSecond` and `limits.bytesPerSecond` of one session: a token bucket for each, and what `limits.overRate` says about a message
 * for which there are no tokens.
 *
 *     within the rate --message without tokens, "defer"--> behind: reading is paused, messages that were read before are held
 *     behind --tokens are back--> messages are handed on, in order --none is left--> within the rate
 */
export class InboundRate extends Deadline<InboundRateOwner> {
  private readonly limits: Limits;
  private readonly messages: TokenBucket;
  private readonly bytes: TokenBucket;
  private state: "within the rate" | "behind" | "ended";
  /** Messages that wait, oldest first; those before `head` were handed on. */
  private held: Message[];
  private head: number;
  /** Their bytes, with an overhead for each. */
  heldBytes: number;
  private isPaused: boolean;
  /** Whether reading was paused since the last call of `excusesSilence`. */
  private wasPaused: boolean;
  // With "drop": the binary messages that belong to the last event, and whether it was dropped.
  private attachmentsLeft: number;
  private isDropping: boolean;

  constructor(session: InboundRateOwner) {
    super(ignoreExpiry, session);
    const { limits } = session.server;
    this.limits = limits;
    this.messages = new TokenBucket(limits.messagesPerSecond, limits.rateBurstMs);
    this.bytes = new TokenBucket(limits.bytesPerSecond, limits.rateBurstMs);
    this.state = "within the rate";
    this.held = [];
    this.head = 0;
    this.heldBytes = 0;
    this.isPaused = false;
    this.wasPaused = false;
    this.attachmentsLeft = 0;
    this.isDropping = false;
  }

  /** A message has arrived: hands it on, or does what `overRate` says. */
  take(message: Message): void {
    if (this.state === "behind") return this.hold(message);
    const size = sizeOf(message);
    switch (this.limits.overRate) {
      case "defer":
        if (this.waitFor(size) === 0) return this.pass(message, size);
        this.fallBehind(size);
        return this.hold(message);
      case "drop":
        return this.takeOrDrop(message, size);
      case "close":
        if (this.waitFor(size) > 0) return this.end(size);
        return this.pass(message, size);
    }
  }

  /** A packet that is not a message has arrived. It is counted, and never held or dropped: pongs keep the connection alive. @returns false if it ended the session */
  takePacket(): boolean {
    if (this.state === "behind") return true;
    const isOver = this.waitFor(0) > 0;
    this.charge(0);
    if (!isOver) return true;
    if (this.limits.overRate === "defer") this.fallBehind(0);
    else if (this.limits.overRate === "close" || this.isFarOver) this.end(0);
    return (this.state as string) !== "ended";
  }

  /** Whether a pong may be missing because reading was paused: the pong may wait behind other input. True once for each pause (ROB-768). */
  excusesSilence(): boolean {
    const { wasPaused } = this;
    this.wasPaused = this.isPaused;
    return wasPaused;
  }

  /** Whether the next call of `excusesSilence` gives true. */
  get mayExcuse(): boolean {
    return this.wasPaused;
  }

  /** The session has another transport, or an upgrade has started or ended. @param isNew  whether it is another transport */
  onTransportChange(isNew: boolean): void {
    if (isNew) this.isPaused = false;
    this.pauseIfBehind();
  }

  /** Whether the input has to stay paused when the output no longer stalls. */
  get keepsInputPaused(): boolean {
    return this.isPaused;
  }

  /** The session has ended: what is held is dropped, and what the peer still sends is read, as on other connections. */
  close(): void {
    this.state = "ended";
    this.held = [];
    this.cancel();
    this.pauseIfBehind();
  }

  /** Tokens are back. @internal */
  override expire(): void {
    try {
      while (this.state === "behind" && this.holdsMessages && this.waitFor(sizeOf(this.held[this.head])) === 0) this.passFirst();
    } finally {
      if (this.state === "behind") this.waitOn();
    }
  }

  private get holdsMessages(): boolean {
    return this.head < this.held.length;
  }

  private passFirst(): void {
    const message = this.held[this.head];
    const size = sizeOf(message);
    this.held[this.head++] = undefined;
    this.heldBytes -= size + HELD_OVERHEAD_BYTES;
    this.pass(message, size);
  }

  private waitOn(): void {
    const { holdsMessages } = this;
    const wait = this.waitFor(holdsMessages ? sizeOf(this.held[this.head]) : 0);
    if (holdsMessages || wait > 0) return this.startWait(wait);
    this.held = [];
    this.head = 0;
    this.state = "within the rate";
    this.pauseIfBehind();
  }

  private fallBehind(size: number): void {
    this.owner.server.counts.add(this.code);
    this.state = "behind";
    this.startWait(this.waitFor(size));
    this.pauseIfBehind();
  }

  private startWait(ms: number): void {
    this.start(Math.min(LONGEST_WAIT_MS, Math.max(1, Math.ceil(ms / STEP_MS)) * STEP_MS));
  }

  private pauseIfBehind(): void {
    const isPaused = this.state === "behind" && !this.owner.upgrading;
    if (isPaused === this.isPaused) return;
    this.isPaused = isPaused;
    if (isPaused) this.wasPaused = true;
    this.owner.setInputPaused(isPaused);
  }

  private hold(message: Message): void {
    if (this.head > 1024 && this.head * 2 > this.held.length) {
      this.held = this.held.slice(this.head);
      this.head = 0;
    }
    this.held.push(typeof message === "object" ? detachBytes(message) : message);
    const size = sizeOf(message);
    this.heldBytes += size + HELD_OVERHEAD_BYTES;
    this.owner.server.inputTotal.add(size);
    const { deferredBytes } = this.limits;
    if (this.heldBytes <= deferredBytes) return;
    const what = "bytes of messages that were read and wait for their turn (deferredBytes)";
    this.owner.endForLimit(limitError("RC_ERR_DEFERRED_BYTES", what, deferredBytes, this.heldBytes));
  }

  private pass(message: Message, size: number): void {
    this.charge(size);
    this.owner.deliver(message);
  }

  /** Drops events and their binary messages. Everything else is handed on: without it the client and the server would disagree about their state. */
  private takeOrDrop(message: Message, size: number): void {
    if (this.attachmentsLeft > 0 && typeof message === "object") {
      this.attachmentsLeft--;
      if (!this.isDropping) this.pass(message, size);
      return;
    }
    const isSocketIO = this.owner.owner !== null;
    const event = isSocketIO ? eventHeaderOf(message) : null;
    const isOver = this.waitFor(size) > 0;
    this.attachmentsLeft = event === null ? 0 : event.attachments;
    this.isDropping = isOver && (event !== null || !isSocketIO);
    if (this.isDropping) {
      const { counts } = this.owner.server;
      counts.add(this.code);
      counts.onDropped("overRate");
      const { droppedAck } = this.limits;
      if (event !== null && event.wantsAck && droppedAck !== null) this.owner.sendMessage(`3${event.target}${droppedAck}`);
      return;
    }
    if (isOver && this.isFarOver) return this.end(size);
    this.pass(message, size);
  }

  private end(size: number): void {
    const { code } = this;
    const isBytes = code === "RC_ERR_BYTE_RATE";
    const bucket = isBytes ? this.bytes : this.messages;
    const what = isBytes ? "bytes at once (bytesPerSecond, rateBurstMs)" : "messages at once (messagesPerSecond, rateBurstMs)";
    this.owner.endForLimit(limitError(code, what, Math.floor(bucket.capacity), Math.ceil(bucket.used + (isBytes ? size : 1))));
  }

  /** Which of the limits is exceeded. */
  private get code(): "RC_ERR_MESSAGE_RATE" | "RC_ERR_BYTE_RATE" {
    return this.messages.waitFor(1) > 0 ? "RC_ERR_MESSAGE_RATE" : "RC_ERR_BYTE_RATE";
  }

  /** Milliseconds until a message of this size may be handed on; 0 for now. */
  private waitFor(size: number): number {
    return Math.max(this.messages.waitFor(1), this.bytes.waitFor(size));
  }

  private charge(size: number): void {
    this.messages.take(1);
    this.bytes.take(size);
  }

  /** Whether packets that can't be dropped have taken as much again as the buckets hold. */
  private get isFarOver(): boolean {
    return this.messages.isFarOver || this.bytes.isFarOver;
  }
}

/** Fills with `perSecond` tokens per second, up to `capacity`. More may be taken than there are: a message can be larger than the bucket. */
class TokenBucket {
  readonly capacity: number;
  private readonly perMs: number;
  private tokens: number;
  private filledAt: number;

  constructor(perSecond: number, burstMs: number) {
    this.perMs = perSecond / 1000;
    this.capacity = Math.max(1, this.perMs * burstMs);
    this.tokens = this.capacity;
    this.filledAt = performance.now();
  }

  /** Milliseconds until there are `count` tokens, or the bucket is full. */
  waitFor(count: number): number {
    if (this.perMs === Infinity) return 0;
    this.fill();
    const missing = Math.min(count, this.capacity) - this.tokens;
    return missing > 0 ? missing / this.perMs : 0;
  }

  take(count: number): void {
    if (this.perMs !== Infinity) this.tokens -= count;
  }

  /** Tokens that were taken and are not back. */
  get used(): number {
    return this.capacity - this.tokens;
  }

  get isFarOver(): boolean {
    return this.tokens < -this.capacity;
  }

  private fill(): void {
    const now = performance.now();
    this.tokens = Math.min(this.capacity, this.tokens + Math.max(0, now - this.filledAt) * this.perMs);
    this.filledAt = now;
  }
}

function sizeOf(message: Message): number {
  if (message === undefined) return 0;
  return typeof message === "string" ? Buffer.byteLength(message) : message.length;
}

function ignoreExpiry(): void {} // `expire` is overridden
