// A client or sentinel client of the package `redis` 4 or 5; `node-redis-cluster.ts` has what is different with a cluster.
import { ignore } from "../../support/ignore";
import { within } from "../../support/within";
import type { ClientListener, Kind, OnMessage, RedisClient } from "./client";

type Listener = (message: Buffer, channel: Buffer) => void;
type Subscribe = (names: string[], listener: Listener, bufferMode: true) => Promise<unknown>;
type Count = (channels: string[]) => Promise<Record<string, number | string>>;

/** The members that are used of a client and of the client of a node of a cluster. */
export interface NodeRedisCommands {
  readonly isReady?: boolean;
  publish(channel: string, payload: string | Buffer): Promise<number>;
  pubSubNumSub?: Count;
  pubSubShardNumSub?: Count;
}

/** The members that are used of it. */
export interface NodeRedis extends NodeRedisCommands {
  readonly isOpen: boolean;
  readonly options?: { RESP?: number };
  sPublish?(channel: string, payload: string | Buffer): Promise<number>;
  sendCommand(...args: unknown[]): Promise<unknown>;
  subscribe: Subscribe;
  unsubscribe: Subscribe;
  pSubscribe: Subscribe;
  pUnsubscribe: Subscribe;
  sSubscribe?: Subscribe;
  sUnsubscribe?: Subscribe;
  on(event: string, listener: (...args: any[]) => void): unknown;
  off(event: string, listener: (...args: any[]) => void): unknown;
  duplicate?(): NodeRedis;
  connect(): Promise<unknown>;
  /** Missing in redis 4. */
  destroy?(): unknown;
  disconnect(): Promise<unknown>;
}

/** Above the longest pause between two attempts of the driver, 2 seconds. */
const STUCK_MS = 5_000;

const METHODS = {
  channel: { subscribe: "subscribe", unsubscribe: "unsubscribe" },
  pattern: { subscribe: "pSubscribe", unsubscribe: "pUnsubscribe" },
  shard: { subscribe: "sSubscribe", unsubscribe: "sUnsubscribe" },
} as const;

export class NodeRedisClient implements RedisClient {
  readonly isCluster: boolean = false;
  protected readonly client: NodeRedis;
  private onMessage: OnMessage | null = null;
  /** One listener per pattern: this driver doesn't tell which pattern has matched. */
  private readonly patternListeners = new Map<string, Listener>();
  private readonly isOwn: boolean;
  /** When `isWhole` first saw it unconnected; null while it is connected, or was closed. */
  private awaySince: number | null = null;
  /** Until `duplicate` has connected it. */
  protected opening: Promise<unknown> | null = null;

  /** @param isOwn  whether `release` closes it */
  constructor(client: NodeRedis, isOwn = false) {
    this.client = client;
    this.isOwn = isOwn;
  }

  get isDuplex(): boolean {
    return this.client.duplicate === undefined || this.client.options?.RESP === 3;
  }

  get isReady(): boolean {
    return this.client.isReady ?? this.client.isOpen;
  }

  get canHear(): boolean {
    return this.isReady;
  }

  /** redis 4 stays unconnected for good when Redis has cut it off in the middle of a message, redis 5 rarely. */
  get replace(): RedisClient["replace"] {
    const isFour = this.client.destroy === undefined;
    return isFour || !this.isWhole ? (ms) => this.connectAnother(ms) : null;
  }

  /** False when the driver has not connected again for so long that it may never do. */
  get isWhole(): boolean {
    if (this.isReady || !this.client.isOpen || !this.canDuplicate) this.awaySince = null;
    else this.awaySince ??= performance.now();
    return this.awaySince === null || performance.now() - this.awaySince < STUCK_MS;
  }

  publish(kind: Kind, channel: string, payload: string | Buffer): Promise<number> {
    return kind === "shard" ? this.client.sPublish!(channel, payload) : this.client.publish(channel, payload);
  }

  countSubscribers(kind: Kind, channel: string): Promise<number> {
    return countOn(this.client, kind, channel);
  }

  receive(onMessage: OnMessage): void {
    this.onMessage = onMessage;
  }

  async subscribe(kind: Kind, names: readonly string[]): Promise<void> {
    await this.call(kind, "subscribe", names);
  }

  async unsubscribe(kind: Kind, names: readonly string[]): Promise<void> {
    await this.call(kind, "unsubscribe", names);
    if (kind === "pattern") for (const name of names) this.patternListeners.delete(name);
  }

  watch({ onReady, onDown }: ClientListener): () => void {
    const onEnd = (): void => onDown("the client was closed");
    const listeners = { ready: onReady, error: onDown, "node-error": onDown, end: onEnd } as const;
    for (const [event, listener] of Object.entries(listeners)) this.client.on(event, listener);
    return () => {
      for (const [event, listener] of Object.entries(listeners)) this.client.off(event, listener);
    };
  }

  release(): void {
    this.onMessage = null;
    if (!this.isOwn) return;
    try {
      this.client.disconnect().catch(ignore);
    } catch {
      // it was not open
    }
  }

  private readonly onChannelMessage: Listener = (message, channel) => {
    const name = channel.toString();
    this.onMessage?.(name, name, message);
  };

  protected async call(kind: Kind, method: "subscribe" | "unsubscribe", names: readonly string[]): Promise<void> {
    const run = (some: string[], listener: Listener): Promise<unknown> => this.client[METHODS[kind][method]]!(some, listener, true);
    if (kind === "pattern") await Promise.all(names.map((name) => run([name], this.patternListener(name))));
    // The channels of one command must belong to one node of a cluster.
    else if (kind === "shard" && this.isCluster) await Promise.all(names.map((name) => run([name], this.onChannelMessage)));
    else await run([...names], this.onChannelMessage);
  }

  private patternListener(pattern: string): Listener {
    let listener = this.patternListeners.get(pattern);
    if (listener === undefined) {
      listener = (message, channel) => this.onMessage?.(pattern, channel.toString(), message);
      this.patternListeners.set(pattern, listener);
    }
    return listener;
  }

  command(_key: string, args: readonly string[]): Promise<unknown> {
    return this.client.sendCommand(args);
  }

  get canDuplicate(): boolean {
    return this.client.duplicate !== undefined;
  }

  duplicate(): RedisClient {
    const client = this.makeClient();
    const other = this.another(client);
    other.opening = client.connect().catch(ignore);
    return other;
  }

  protected async connectAnother(ms: number): Promise<RedisClient> {
    const client = this.makeClient();
    const other = this.another(client);
    try {
      await within(ms, client.connect());
      return other;
    } catch (error) {
      other.release();
      throw error;
    }
  }

  private makeClient(): NodeRedis {
    const client = this.client.duplicate!();
    for (const event of ["error", "node-error"]) client.on(event, ignore);
    return client;
  }

  protected another(client: NodeRedis): NodeRedisClient {
    return new NodeRedisClient(client, true);
  }
}

/** The number of clients that have subscribed to a channel at a node of Redis. */
export async function countOn(client: NodeRedisCommands, kind: Kind, channel: string): Promise<number> {
  const counts = kind === "shard" ? await client.pubSubShardNumSub!([channel]) : await client.pubSubNumSub!([channel]);
  return Number(counts[channel] ?? 0);
}
