// Connection state recovery of one namespace on NATS: what is published goes by the log, and is delivered in its order.
import type { PrivateSessionId, RestorableSession } from "../../server/adapter/contract";
import { within } from "../../support/within";
import { Echoes } from "../echoes";
import type { Receipt, Receiver } from "../link";
import { type ClusterMessage, MessageType, type Offset } from "../messages";
import { isRecoverable, Replay } from "../replay";
import { encodeMessage, numberIn } from "./codec";
import { DeliveryOrder } from "./delivery-order";
import type { NatsLink } from "./link";
import { isAfter, type NatsLog } from "./log";
import { StreamOrder } from "./stream-order";
import { Subjects } from "./subjects";
import type { Handler } from "./subscriptions";

const FENCE_MS = 5_000;

export class Recovery {
  /** The order in which messages reach `onMessage`. */
  readonly stored = new StreamOrder();
  private readonly link: NatsLink;
  private readonly log: NatsLog;
  private readonly receiver: Receiver;
  private readonly subject: string;
  private readonly unsubscribe: () => void;
  private readonly order = new DeliveryOrder();
  private readonly replay = new Replay(isAfter);
  private readonly echoes: Echoes;
  /** Messages that are only sent to know what was stored before, by number, below 0. */
  private readonly fences = new Map<number, () => void>();
  private lastFence = 0;

  constructor(link: NatsLink, log: NatsLog, receiver: Receiver) {
    this.link = link;
    this.log = log;
    this.receiver = receiver;
    this.subject = link.subjects.logged(receiver.namespace);
    this.echoes = new Echoes({ heardAt: () => log.heardAt, onPacket: (packet) => this.replay.onPacket(packet) });
    this.unsubscribe = link.connection.subscriptions.add(this.storedSubject("*"), this.onStored);
  }

  /** Whether there is a log at the moment. */
  get isReady(): boolean {
    return this.log.isReady;
  }

  /** Whether messages to all rooms have to be passed to `onMessage`. */
  get isRestoring(): boolean {
    return this.replay.isActive;
  }

  /** Publishes a message. One that gets no offset goes the same way, in order. */
  publish(message: ClusterMessage): Promise<Receipt> {
    if (!isRecoverable(message)) return this.link.sender.send(this.subject, encodeMessage(message)).then(() => ({}));
    return this.echoes.add(message, (key) => this.link.sender.send(this.subject, encodeMessage(message, key), this.storedSubject(key)));
  }

  /**
   * A message has come.
   * @param message   what it says; null if it is of this node itself, or not for it
   * @param sequence  its position in the stream, if it was stored
   */
  onMessage(bytes: Buffer, message: Record<string, unknown> | null, sequence: string | undefined): void {
    const offset = this.log.offsetOf(sequence);
    if (message !== null) return this.order.add("now", () => this.deliver(message, offset));
    const number = numberIn(bytes, this.receiver.uid);
    const fence = this.fences.get(number);
    if (fence !== undefined) return this.order.add("alone", fence);
    const run = number > 0 && offset !== undefined ? this.echoes.onEcho(offset, number) : null;
    if (run !== null) this.order.add("promise", run);
  }

  private deliver(message: Record<string, unknown>, offset: Offset | undefined): void {
    if (offset !== undefined) this.echoes.onOther(message, offset);
    this.receiver.onMessage(message, offset);
  }

  /** The answer of JetStream to a packet of this node. That it is stored is known from itself, in order. */
  private readonly onStored: Handler = (bytes, subject) => {
    if (isStored(bytes)) this.log.heardAt = Date.now();
    else if (this.echoes.onRefused(Subjects.number(subject))) this.link.onRefused();
  };

  onDown(): void {
    this.stored.reset();
    this.echoes.onDown();
  }

  async restore(pid: PrivateSessionId, offset: Offset): Promise<RestorableSession | null> {
    if (!this.isReady || typeof pid !== "string" || typeof offset !== "string") return null;
    return this.replay.restore(offset, async () => {
      const found = await this.log.restore(this.receiver.namespace, pid, offset);
      if (found !== null) await this.fence();
      return found;
    });
  }

  /** Resolves when all that was stored before has been delivered here; the socket joins in the same turn. */
  private async fence(): Promise<void> {
    const { uid, namespace: nsp } = this.receiver;
    const number = --this.lastFence;
    try {
      const passed = new Promise<void>((resolve) => this.fences.set(number, resolve));
      await this.link.sender.send(this.subject, encodeMessage({ uid, nsp, type: MessageType.HEARTBEAT }, number));
      await within(FENCE_MS, passed);
    } finally {
      this.fences.delete(number);
    }
  }

  /** What waits here would wait in vain: nothing arrives any more. */
  close(): void {
    this.unsubscribe();
    this.stored.reset();
    this.echoes.onDown();
    for (const pass of this.fences.values()) pass();
  }

  private storedSubject(number: number | "*"): string {
    return this.link.subjects.stored(this.receiver.uid, this.receiver.namespace, number);
  }
}

function isStored(answer: Buffer): boolean {
  try {
    return (JSON.parse(answer.toString()) as { error?: unknown }).error === undefined;
  } catch {
    return false; // without text: no JetStream at the moment
  }
}
