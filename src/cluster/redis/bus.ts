// The clients of a server for Redis: one publishes, one subscribes.
import { ClusterError } from "../../errors";
import type { Receipt } from "../link";
import type { Kind, RedisClient } from "./client";
import { Subscriptions } from "./subscriptions";

/** Time in which a client has to be connected. */
export const READY_MS = 5_000;
/** Bytes of messages that Redis may not have answered yet; more are refused instead of waiting in the driver. */
const UNANSWERED_BYTES_MAX = 64 * 1024 * 1024;

/** The subscriptions of a client exist once, also when several servers of a process share it: one must not end those of another. */
const subscriptionsByClient = new WeakMap<object, Subscriptions>();

/** Publishes, within a limit of what Redis has not answered. */
export class RedisPublisher {
  publisher: RedisClient;
  protected unanswered = { bytes: 0 };

  constructor(publisher: RedisClient) {
    this.publisher = publisher;
  }

  /** @returns the number of clients that get it; null where the node of Redis that was asked doesn't know all of them */
  async publish(kind: Kind, channel: string, payload: string | Buffer): Promise<number | null> {
    const { publisher } = this;
    const unanswered = this.begin(payload.length);
    try {
      const count = await publisher.publish(kind, channel, payload);
      return publisher.isCluster ? null : count;
    } finally {
      unanswered.bytes -= payload.length;
    }
  }

  /** Sends any command. @param key  the key that it is about */
  async command(key: string, args: readonly string[]): Promise<unknown> {
    const bytes = args.reduce((sum, arg) => sum + arg.length, 0);
    const unanswered = this.begin(bytes);
    try {
      return await this.publisher.command(key, args);
    } finally {
      unanswered.bytes -= bytes;
    }
  }

  /** Throws where too much would wait in the driver. */
  protected begin(bytes: number): { bytes: number } {
    if (this.unanswered.bytes > UNANSWERED_BYTES_MAX) throw new ClusterError("RC_ERR_CLUSTER_LINK", "Redis does not answer");
    this.unanswered.bytes += bytes;
    return this.unanswered;
  }
}

/** What the channels of a link send with. What cannot be sent at once is not left to the driver. */
export class RedisBus extends RedisPublisher {
  readonly subscriptions: Subscriptions;
  /** Publishes as soon as it is connected and nothing is unanswered, so that messages keep their order. */
  private successor: RedisClient | null;
  private readonly subscriber: object;
  private renewing: Promise<void> | null = null;
  private isClosed = false;

  /** @param key  the client of the program that subscribes: servers of this process that share it share its subscriptions */
  constructor(publisher: RedisClient, subscriber: RedisClient, key: object = subscriber) {
    super(publisher);
    this.successor = publisher.duplicateForOnce?.() ?? null;
    this.subscriber = key;
    let subscriptions = subscriptionsByClient.get(key);
    if (subscriptions === undefined) subscriptionsByClient.set(key, (subscriptions = new Subscriptions(subscriber)));
    this.subscriptions = subscriptions;
  }

  /** Those whose connections matter. */
  get clients(): RedisClient[] {
    return [this.publisher, this.subscriptions.client, ...(this.successor === null ? [] : [this.successor])];
  }

  protected override begin(bytes: number): { bytes: number } {
    if (this.successor?.isReady && this.unanswered.bytes === 0) {
      this.publisher = this.successor; // the other one is the program's
      this.successor = null;
    }
    if (!this.publisher.isReady) throw new ClusterError("RC_ERR_CLUSTER_LINK", "Redis is not connected");
    return super.begin(bytes);
  }

  /** Publishes a request on a channel that every node of the namespace is subscribed to; `others` tells how many got it. */
  async publishRequest(kind: Kind, channel: string, payload: string | Buffer): Promise<Receipt> {
    const isCounted = this.subscriptions.isHeld(channel);
    const count = await this.publish(kind, channel, payload); // at once: the order of messages is kept
    return count === null || !isCounted ? {} : { others: Math.max(0, count - 1) };
  }

  async countOthers(kind: Kind, channel: string): Promise<number> {
    if (!this.publisher.isReady) throw new ClusterError("RC_ERR_CLUSTER_LINK", "Redis is not connected");
    await this.subscriptions.settled(); // only then it is known whether Redis counts this node
    const count = await this.publisher.countSubscribers(kind, channel);
    return Math.max(0, count - (this.subscriptions.isHeld(channel) ? 1 : 0));
  }

  /**
   * Replaces clients whose driver does not find what it has lost, and subscribes to everything again.
   * @param isDeaf  whether nothing arrives, though the driver sees nothing wrong
   */
  renew(isDeaf: boolean): Promise<void> {
    return (this.renewing ??= this.renewNow(isDeaf).finally(() => (this.renewing = null)));
  }

  private async renewNow(isDeaf: boolean): Promise<void> {
    const { publisher, subscriptions } = this;
    const isStale = !publisher.isWhole;
    try {
      if (isStale) await this.replacePublisher();
    } finally {
      if (!subscriptions.client.canHear || (isDeaf && !isStale)) await subscriptions.renew(this.publisher.isReady);
    }
  }

  private async replacePublisher(): Promise<void> {
    const { publisher } = this;
    const other = await publisher.replace!(READY_MS);
    if (this.isClosed) return other.release();
    this.publisher = other;
    this.unanswered = { bytes: 0 };
    publisher.release();
  }

  close(): void {
    this.isClosed = true;
    this.publisher.release();
    this.successor?.release();
    if (!this.subscriptions.isUnused) return; // another server uses it
    this.subscriptions.stop();
    subscriptionsByClient.delete(this.subscriber);
  }
}
