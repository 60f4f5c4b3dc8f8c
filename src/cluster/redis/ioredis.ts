// A client, or a client of a cluster or of sentinels, of the package `ioredis` 5.
import { ignore } from "../../support/ignore";
import type { ClientListener, Kind, OnMessage, RedisClient } from "./client";

type Command = (...names: string[]) => Promise<unknown>;

interface Countable {
  pubsub(command: string, channel: string): Promise<unknown>;
}

/** The members that are used of it; `nodes` and what follows only of clusters. */
export interface IoRedis extends Countable {
  readonly status: string;
  readonly isCluster?: boolean;
  publish(channel: string, payload: string | Buffer): Promise<number>;
  spublish?(channel: string, payload: string | Buffer): Promise<number>;
  subscribe: Command;
  unsubscribe: Command;
  psubscribe: Command;
  punsubscribe: Command;
  ssubscribe?: Command;
  sunsubscribe?: Command;
  call(command: string, ...args: string[]): Promise<unknown>;
  readonly options?: { readonly maxRetriesPerRequest?: number | null };
  duplicate(options?: { maxRetriesPerRequest: number }): IoRedis;
  connect(): Promise<unknown>;
  disconnect(): void;
  on(event: string, listener: (...args: any[]) => void): unknown;
  once(event: string, listener: (...args: any[]) => void): unknown;
  off(event: string, listener: (...args: any[]) => void): unknown;
  nodes?(role: "all"): readonly Countable[];
  refreshSlotsCache?(): void;
}

const METHODS = {
  channel: { subscribe: "subscribe", unsubscribe: "unsubscribe" },
  pattern: { subscribe: "psubscribe", unsubscribe: "punsubscribe" },
  shard: { subscribe: "ssubscribe", unsubscribe: "sunsubscribe" },
} as const;

export class IoRedisClient implements RedisClient {
  readonly isCluster: boolean;
  readonly replace = null;
  private readonly client: IoRedis;
  private onMessage: OnMessage | null = null;

  private readonly isOwn: boolean;

  /** @param isOwn  whether `release` closes it */
  constructor(client: IoRedis, isOwn = false) {
    this.client = client;
    this.isOwn = isOwn;
    this.isCluster = client.isCluster === true;
  }

  get isDuplex(): boolean {
    return this.isCluster;
  }

  get isReady(): boolean {
    return this.client.status === "ready";
  }

  get canHear(): boolean {
    return this.isReady;
  }

  get isWhole(): boolean {
    return true;
  }

  publish(kind: Kind, channel: string, payload: string | Buffer): Promise<number> {
    return kind === "shard" ? this.client.spublish!(channel, payload) : this.client.publish(channel, payload);
  }

  async countSubscribers(kind: Kind, channel: string): Promise<number> {
    const nodes = this.isCluster ? this.client.nodes!("all") : [this.client];
    const command = kind === "shard" ? "SHARDNUMSUB" : "NUMSUB";
    const replies = await Promise.allSettled(nodes.map((node) => node.pubsub(command, channel)));
    if (!this.isCluster && replies[0].status === "rejected") throw replies[0].reason;
    return replies.reduce((sum, reply) => sum + (reply.status === "fulfilled" ? Number((reply.value as unknown[])[1]) : 0), 0);
  }

  receive(onMessage: OnMessage): void {
    this.onMessage = onMessage;
    this.client.on("messageBuffer", this.onChannelMessage);
    this.client.on("smessageBuffer", this.onChannelMessage);
    this.client.on("pmessageBuffer", this.onPatternMessage);
  }

  subscribe(kind: Kind, names: readonly string[]): Promise<unknown> {
    return this.call(kind, "subscribe", names);
  }

  unsubscribe(kind: Kind, names: readonly string[]): Promise<unknown> {
    return this.call(kind, "unsubscribe", names);
  }

  watch({ onReady, onDown }: ClientListener): () => void {
    const onClose = (): void => onDown("the connection was closed");
    const listeners = { ready: onReady, error: onDown, close: onClose } as const;
    for (const [event, listener] of Object.entries(listeners)) this.client.on(event, listener);
    return () => {
      for (const [event, listener] of Object.entries(listeners)) this.client.off(event, listener);
    };
  }

  command(_key: string, [name, ...args]: readonly string[]): Promise<unknown> {
    return this.client.call(name, ...args);
  }

  get canDuplicate(): boolean {
    return true;
  }

  duplicate(): RedisClient {
    return ownClient(this.client.duplicate());
  }

  /** With `maxRetriesPerRequest: 0` the driver rejects what was not answered. One of a cluster sends it to another node in any case. */
  duplicateForOnce(): RedisClient | null {
    if (this.isCluster || this.client.options?.maxRetriesPerRequest === 0) return null;
    const client = this.client.duplicate({ maxRetriesPerRequest: 0 });
    const disconnect = (): void => client.disconnect(); // a program that ends its own clients must not be kept running
    this.client.once("end", disconnect);
    client.once("end", () => this.client.off("end", disconnect));
    return ownClient(client);
  }

  /** A client that only subscribes never asks by itself. When the last node of the past is gone, it tries them again and again, without a pause. */
  refresh(): void {
    this.client.refreshSlotsCache?.();
  }

  release(): void {
    this.onMessage = null;
    this.client.off("messageBuffer", this.onChannelMessage);
    this.client.off("smessageBuffer", this.onChannelMessage);
    this.client.off("pmessageBuffer", this.onPatternMessage);
    if (this.isOwn) this.client.disconnect();
  }

  private readonly onChannelMessage = (channel: Buffer | string, message: Buffer): void => {
    const name = channel.toString();
    this.onMessage?.(name, name, message);
  };

  private readonly onPatternMessage = (pattern: Buffer | string, channel: Buffer | string, message: Buffer): void => {
    this.onMessage?.(pattern.toString(), channel.toString(), message);
  };

  private call(kind: Kind, method: "subscribe" | "unsubscribe", names: readonly string[]): Promise<unknown> {
    const run = (some: readonly string[]): Promise<unknown> => this.client[METHODS[kind][method]]!(...some);
    // The channels of one command must belong to one node of a cluster.
    return kind === "shard" && this.isCluster ? Promise.all(names.map((name) => run([name]))) : run(names);
  }
}

/** A client that `release` closes. */
function ownClient(client: IoRedis): IoRedisClient {
  client.on("error", ignore);
  if (client.status === "wait") client.connect().catch(ignore); // with the option `lazyConnect`
  return new IoRedisClient(client, true);
}
