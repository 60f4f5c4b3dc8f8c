// The link over pub/sub of Redis, classic or sharded.
import { ClusterError } from "../../errors";
import { ignore } from "../../support/ignore";
import { textOf } from "../../support/log-text";
import { within } from "../../support/within";
import type { Channel, Link, LinkListener, Receiver } from "../link";
import type { ServerId } from "../messages";
import { READY_MS, type RedisBus } from "./bus";
import type { Kind } from "./client";

type MakeChannel = (receiver: Receiver, onMalformed: (reason: unknown) => void) => Channel;

/** The connection of a server to Redis. */
export class RedisLink implements Link {
  readonly name: string = "redis";
  readonly hasEcho = true;
  readonly settings: Readonly<Record<string, string>>;
  /** Where the clients of the program are not connected. */
  protected readonly advice: string =
    "pubClient or subClient is not connected: check the address and the credentials, and connect them before createAdapter()";
  private readonly bus: RedisBus;
  private readonly kind: Kind;
  private readonly pulseChannel: string;
  private readonly makeChannel: MakeChannel;
  private listener: LinkListener | null = null;
  private directChannel = "";
  private stopWatching: (() => void)[] = [];
  private isAwaitingWhole = false;

  /**
   * @param kind          how pulses travel
   * @param pulseChannel  of the nodes that run this software
   * @param settings      see `Link.settings`
   */
  constructor(bus: RedisBus, kind: Kind, pulseChannel: string, makeChannel: MakeChannel, settings: Record<string, string> = {}) {
    this.bus = bus;
    this.kind = kind;
    this.pulseChannel = pulseChannel;
    this.makeChannel = makeChannel;
    this.settings = settings;
  }

  channel(receiver: Receiver): Channel {
    return this.makeChannel(receiver, (reason) => this.listener?.onMalformed(reason));
  }

  async open(listener: LinkListener, uid: ServerId): Promise<void> {
    this.listener = listener;
    this.directChannel = this.directChannelOf(uid);
    const { subscriptions } = this.bus;
    subscriptions.add(this.kind, this.pulseChannel, this.onPulse);
    subscriptions.add(this.kind, this.directChannel, this.onDirect);
    const connected = new Promise<void>((resolve) => {
      this.watch(listener, resolve);
      if (this.isReady) resolve();
    });
    await within(READY_MS, connected).catch(() => {
      throw new Error(this.advice);
    });
    await subscriptions.settled();
    const { failure } = subscriptions;
    const isHeld = subscriptions.isHeld(this.pulseChannel) && subscriptions.isHeld(this.directChannel);
    if (failure !== null && !isHeld)
      throw new Error(`subClient cannot subscribe (${textOf(failure)}): check its credentials and their rights`);
    subscriptions.onRefused.add(this.onRefused);
  }

  private get isReady(): boolean {
    return this.bus.publisher.isReady && this.bus.subscriptions.client.canHear;
  }

  /** Pulses travel on one shard; the channels of a namespace and its rooms on any. */
  get isWhole(): boolean {
    return this.kind !== "shard" || !this.isBroken;
  }

  /** A room that was joined while Redis was away gets its messages only when its subscription is confirmed. */
  get isSubscribed(): boolean {
    return this.bus.subscriptions.isWhole;
  }

  private get isBroken(): boolean {
    return !this.bus.publisher.isWhole || !this.bus.subscriptions.client.canHear;
  }

  /** @param onReady  called whenever both clients are ready again */
  private watch(listener: LinkListener, onReady = ignore): void {
    const { clients, subscriptions } = this.bus;
    const watcher = {
      onReady: () => {
        subscriptions.onReady();
        if (!this.isReady) return;
        onReady();
        void this.tellWhenUp(listener);
      },
      onDown: (reason: unknown) => {
        if (!this.isReady) listener.onDown(reason);
      },
    };
    for (const stop of this.stopWatching.splice(0)) stop();
    for (const client of new Set(clients)) this.stopWatching.push(client.watch(watcher));
  }

  private async tellWhenUp(listener: LinkListener): Promise<void> {
    const { subscriptions } = this.bus;
    await subscriptions.settled();
    listener.onUp();
    if (!subscriptions.isWhole) this.tellWhenWhole();
  }

  private readonly onRefused = (reason: unknown): void => {
    this.listener?.onDown(reason);
    this.tellWhenWhole();
  };

  private tellWhenWhole(): void {
    if (this.isAwaitingWhole) return;
    this.isAwaitingWhole = true;
    void this.bus.subscriptions.whole().then(() => {
      this.isAwaitingWhole = false;
      this.listener?.onUp();
    });
  }

  private readonly onPulse = (message: Buffer): void => this.listener?.onPulse(message.toString());

  private readonly onDirect = (bytes: Buffer): void => this.listener?.onDirect(bytes);

  private directChannelOf(uid: ServerId): string {
    return `${this.pulseChannel}${uid}#`;
  }

  async sendDirect(to: ServerId, bytes: Buffer): Promise<void> {
    const count = await this.bus.publish(this.kind, this.directChannelOf(to), bytes);
    if (count === 0) throw new ClusterError("RC_ERR_CLUSTER_LINK", "the other server does not listen");
  }

  sendPulse(text: string): Promise<unknown> {
    this.bus.subscriptions.client.refresh?.();
    if (this.isBroken) this.repair(false).catch(ignore); // again with the next pulse
    return this.bus.publish(this.kind, this.pulseChannel, text);
  }

  renew(): Promise<void> {
    return this.repair(true);
  }

  private async repair(isDeaf: boolean): Promise<void> {
    try {
      await this.bus.renew(isDeaf);
    } finally {
      if (this.listener !== null) this.watch(this.listener); // also the clients that have taken the place of others
    }
    // Without a pulse at once the node would count as deaf until the next one, and subscribe to everything again. In a Redis Cluster that is at
    // another node, where a message may arrive that has come from this one already.
    if (this.listener !== null && this.isReady && !this.isBroken) await this.tellWhenUp(this.listener);
  }

  async close(): Promise<void> {
    this.listener = null;
    for (const stop of this.stopWatching) stop();
    const { subscriptions } = this.bus;
    subscriptions.onRefused.delete(this.onRefused);
    subscriptions.remove(this.pulseChannel, this.onPulse);
    subscriptions.remove(this.directChannel, this.onDirect);
    await subscriptions.settled();
    this.bus.close();
  }
}
