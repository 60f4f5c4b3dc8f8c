// A client of Redis, whatever driver it is of, reduced to what a link needs.
import { UsageError } from "../../errors";
import { textOf } from "../../support/log-text";
import { IoRedisClient, type IoRedis } from "./ioredis";
import { NodeRedisClient, type NodeRedis } from "./node-redis";
import { NodeRedisClusterClient, type NodeRedisCluster } from "./node-redis-cluster";

/** How a name is subscribed to: SUBSCRIBE, PSUBSCRIBE or SSUBSCRIBE. */
export type Kind = "channel" | "pattern" | "shard";

/** @param name  the channel or pattern that was subscribed to */
export type OnMessage = (name: string, channel: string, message: Buffer) => void;

/** What a client tells. */
export interface ClientListener {
  onReady(): void;
  onDown(reason: unknown): void;
}

/** One client. Its methods reject, and never throw. */
export interface RedisClient {
  /** Whether a command would be sent now; otherwise the driver would queue it. */
  readonly isReady: boolean;
  /** Whether the connections that it subscribes with are there, as far as the driver tells. */
  readonly canHear: boolean;
  /** Whether no node of Redis that it knows is away, and the driver is not stuck. If false, `replace` is there. */
  readonly isWhole: boolean;
  /** Whether it talks to a Redis Cluster, where no node knows all subscribers. */
  readonly isCluster: boolean;
  /** Whether it may publish while it is subscribed. */
  readonly isDuplex: boolean;
  /** @returns the number of clients that get it, of those of the node of Redis that was asked */
  publish(kind: Kind, channel: string, payload: string | Buffer): Promise<number>;
  /** The number of clients that have subscribed to a channel, over all nodes of Redis. */
  countSubscribers(kind: Kind, channel: string): Promise<number>;
  /** Sets who gets the messages of all subscriptions. */
  receive(onMessage: OnMessage): void;
  subscribe(kind: Kind, names: readonly string[]): Promise<unknown>;
  unsubscribe(kind: Kind, names: readonly string[]): Promise<unknown>;
  /** @returns a function that ends it */
  watch(listener: ClientListener): () => void;
  /** Connects another client with the same options, within `ms`; null while the driver can be expected to work again by itself. */
  readonly replace: ((ms: number) => Promise<RedisClient>) | null;
  /** Sends any command. @param key  the key that it is about */
  command(key: string, args: readonly string[]): Promise<unknown>;
  /** Whether there can be another client with the same options. */
  readonly canDuplicate: boolean;
  /** Another client with the same options, which connects itself, and which `release` closes. */
  duplicate(): RedisClient;
  /**
   * Another client like that of `duplicate`, whose driver rejects what Redis has not answered when the connection ends. Missing, or null, if this
   * one does so itself: others send it again, and a message that Redis had passed on comes twice.
   */
  duplicateForOnce?(): RedisClient | null;
  /** Asks for the nodes of a Redis Cluster, where the driver only does so when a command fails. */
  refresh?(): void;
  /** Ends the messages, and closes the client if `replace` has made it. */
  release(): void;
}

/**
 * Finds out which driver a client is of.
 * @param name  of the argument, for the error
 * @throws UsageError RC_ERR_ARGUMENT if it is none that can be used
 */
export function readClient(name: string, client: unknown, needsSharding: boolean): RedisClient {
  const has = (method: string): boolean => typeof (client as Record<string, unknown> | null | undefined)?.[method] === "function";
  if (has("pSubscribe") && has("on")) {
    if (needsSharding && !has("sSubscribe")) throw misuse(name, "a client of redis 4.3 or newer, which can sSubscribe", "an older one");
    return has("nodeClient") ? new NodeRedisClusterClient(client as NodeRedisCluster) : new NodeRedisClient(client as NodeRedis);
  }
  if (has("psubscribe") && has("on") && typeof (client as { status?: unknown }).status === "string") {
    if (needsSharding && !has("ssubscribe")) throw misuse(name, "a client of ioredis 5, which can ssubscribe", "an older one");
    return new IoRedisClient(client as IoRedis);
  }
  throw misuse(name, "a client of redis 4 or 5, or of ioredis 5", describe(client));
}

function describe(client: unknown): string {
  if (client instanceof Promise) return "a promise (await it)";
  if (typeof client === "string") return "a text (pass a client, not its URL)";
  if (typeof client !== "object" || client === null) return textOf(client);
  return "psubscribe" in client ? "a client of redis 3 or older" : `an object of ${client.constructor?.name ?? "no class"}`;
}

function misuse(name: string, expected: string, met: string): UsageError {
  return new UsageError("RC_ERR_ARGUMENT", `${name}: expected ${expected}, met ${met}`);
}
