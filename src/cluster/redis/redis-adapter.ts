// The adapters over pub/sub of Redis, classic and sharded: their options, checked when they are made.
import { UsageError } from "../../errors";
import { decodePlainMsgpack, encodePlainMsgpack, NESTING_MAX } from "../../protocol/plain-msgpack";
import type { LinkOptions } from "../link-hub";
import { type LinkedAdapter, linkedAdapter } from "../linked-adapter";
import { checkLinkOptions, checkText, misuse } from "../option-checks";
import { ClassicChannel } from "./classic-channel";
import type { Parser } from "./classic-codec";
import { readClient } from "./client";
import { RedisBus } from "./bus";
import { RedisLink } from "./redis-link";
import { ShardedChannel } from "./sharded-channel";

/** Options of `createAdapter`. */
export interface RedisAdapterOptions extends LinkOptions {
  /** What the names of all channels begin with; the same for all servers. Default `"socket.io"`. */
  key?: string;
  /** Answers official servers on a channel of their own, not on the shared one. Default `false`; servers of this software are answered so in any case. */
  publishOnSpecificResponseChannel?: boolean;
  /** Encodes broadcasts; the same for all servers. Default MessagePack, as `notepack.io` does. */
  parser?: Parser;
  /** `"dynamic"`: a subscription per room with sockets here, and nothing arrives for other rooms; `"static"`: one for all rooms. Default `"dynamic"`. */
  subscriptionMode?: "dynamic" | "static";
}

/** Options of `createShardedAdapter`. */
export interface ShardedRedisAdapterOptions extends LinkOptions {
  /** What the names of all channels begin with; the same for all servers. Default `"socket.io"`. */
  channelPrefix?: string;
  /**
   * `"static"`: two subscriptions per namespace; `"dynamic"`: one more per room with sockets here; `"dynamic-private"`: also for the rooms of
   * single sockets. The same for all servers. Default `"dynamic"`.
   */
  subscriptionMode?: "static" | "dynamic" | "dynamic-private";
}

export const MESSAGE_PACK: Parser = { encode: encodePlainMsgpack, decode: (bytes) => decodePlainMsgpack(bytes, NESTING_MAX) };

/**
 * Makes the value of the option `adapter` for several servers over classic pub/sub of Redis. Servers with `@socket.io/redis-adapter` and the same
 * `key` may be in the same cluster.
 * @param pubClient  a connected client of `redis` 4 or 5 or of `ioredis` 5 (also a cluster or sentinel client), which publishes
 * @param subClient  another one, which subscribes
 * @throws UsageError RC_ERR_ARGUMENT, RC_ERR_OPTION on a client or an option that cannot be used. A Redis that cannot be reached doesn't throw:
 * the server serves its own clients, `adapter.status` is `"degraded"`, and a process warning tells why
 * @example
 * const pubClient = createClient({ url: "redis://localhost:6379" });
 * const subClient = pubClient.duplicate();
 * await Promise.all([pubClient.connect(), subClient.connect()]);
 * const io = new Server({ adapter: createAdapter(pubClient, subClient) });
 */
export function createAdapter(pubClient: unknown, subClient: unknown, options: RedisAdapterOptions = {}): (nsp: any) => LinkedAdapter {
  checkLinkOptions(options);
  const { key = "socket.io", publishOnSpecificResponseChannel = false, parser = MESSAGE_PACK, subscriptionMode = "dynamic" } = options;
  checkText("key", key);
  checkMode(subscriptionMode, ["dynamic", "static"]);
  if (typeof publishOnSpecificResponseChannel !== "boolean")
    throw misuse("publishOnSpecificResponseChannel", "a boolean", publishOnSpecificResponseChannel);
  checkParser(parser);
  if (typeof parser.decode !== "function") throw misuse("parser", "an object with encode and decode", parser);
  checkClients(pubClient, subClient, false);
  const own = { key, publishOnSpecificResponseChannel, parser, subscriptionMode };
  return linkedAdapter(() => {
    const bus = new RedisBus(readClient("pubClient", pubClient, false), readClient("subClient", subClient, false), subClient as object);
    return new RedisLink(
      bus,
      "channel",
      `${key}-roomcast#`,
      (receiver, onMalformed) => new ClassicChannel(bus, receiver, own, onMalformed),
    );
  }, options);
}

/**
 * Makes the value of the option `adapter` for several servers over sharded pub/sub of Redis 7. Servers with the sharded adapter of
 * `@socket.io/redis-adapter`, the same `channelPrefix` and the same `subscriptionMode` may be in the same cluster.
 * @param pubClient  as for `createAdapter`
 * @param subClient  as for `createAdapter`
 * @throws UsageError as `createAdapter`
 * @example
 * const io = new Server({ adapter: createShardedAdapter(pubClient, subClient, { subscriptionMode: "dynamic-private" }) });
 */
export function createShardedAdapter(
  pubClient: unknown,
  subClient: unknown,
  options: ShardedRedisAdapterOptions = {},
): (nsp: any) => LinkedAdapter {
  checkLinkOptions(options);
  const { channelPrefix = "socket.io", subscriptionMode = "dynamic" } = options;
  checkText("channelPrefix", channelPrefix);
  checkMode(subscriptionMode, ["static", "dynamic", "dynamic-private"]);
  checkClients(pubClient, subClient, true);
  const own = { channelPrefix, subscriptionMode, parser: MESSAGE_PACK };
  return linkedAdapter(() => {
    const bus = new RedisBus(readClient("pubClient", pubClient, true), readClient("subClient", subClient, true), subClient as object);
    const pulseChannel = `${channelPrefix}-roomcast#`;
    return new RedisLink(
      bus,
      "shard",
      pulseChannel,
      (receiver, onMalformed) => {
        return new ShardedChannel(bus, receiver, own, onMalformed);
      },
      { subscriptionMode },
    );
  }, options);
}

function checkClients(pubClient: unknown, subClient: unknown, needsSharding: boolean): void {
  readClient("pubClient", pubClient, needsSharding);
  const { isDuplex } = readClient("subClient", subClient, needsSharding);
  if (pubClient === subClient && !isDuplex)
    throw new UsageError(
      "RC_ERR_ARGUMENT",
      "subClient: expected a client of its own, met pubClient: a client that subscribes cannot publish",
    );
}

export function checkMode(value: unknown, modes: readonly string[]): void {
  if (!modes.includes(value as string)) throw misuse("subscriptionMode", modes.map((mode) => JSON.stringify(mode)).join(", "), value);
}

export function checkParser(parser: unknown): void {
  if (typeof (parser as Partial<Parser> | null)?.encode !== "function") throw misuse("parser", "an object with encode and decode", parser);
}
