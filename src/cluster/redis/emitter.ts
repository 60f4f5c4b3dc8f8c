// Emitters over pub/sub of Redis, for servers with the adapters of `redis-adapter.ts` or of `@socket.io/redis-adapter`.
import type { DefaultEventsMap, EventsMap } from "../../server/events";
import { Emitter, type EmitterOptions, type Outlet, outletOf } from "../emitter";
import type { ClusterMessage } from "../messages";
import { checkText, expectOptions } from "../option-checks";
import { RecentJoins } from "../recent-joins";
import { RedisPublisher } from "./bus";
import { publicationOf } from "./classic-channel";
import type { Parser } from "./classic-codec";
import { type Kind, readClient } from "./client";
import { checkMode, checkParser, MESSAGE_PACK, type RedisAdapterOptions, type ShardedRedisAdapterOptions } from "./redis-adapter";
import { publicationOf as shardedPublicationOf } from "./sharded-channel";

/** Options of `RedisEmitter`. */
export interface RedisEmitterOptions extends EmitterOptions, Pick<RedisAdapterOptions, "key"> {
  /** Encodes broadcasts; the same as that of the servers. Default MessagePack, as `notepack.io` does. */
  parser?: Pick<Parser, "encode">;
}

/**
 * Gives orders to servers with `createAdapter` of `roomcast/redis`, or with `@socket.io/redis-adapter` and no sharding. Called as the class of
 * `@socket.io/redis-emitter`.
 *
 * While Redis is away, the driver decides whether orders wait; at most 64 MiB do. `ioredis` also sends orders again that were not answered when
 * its connection ended, unless its option `maxRetriesPerRequest` is 0: they may come twice then.
 */
export class RedisEmitter<
  EmitEvents extends EventsMap = DefaultEventsMap,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
> extends Emitter<EmitEvents, ServerSideEvents> {
  /**
   * @param redisClient  a client of `redis` 4 or 5 or of `ioredis` 5, also a cluster or sentinel client. It stays open
   * @param nsp          the namespace. Default `"/"`
   * @throws UsageError RC_ERR_ARGUMENT, RC_ERR_OPTION on a client or an option that cannot be used
   * @example
   * const emitter = new RedisEmitter(await createClient({ url: "redis://localhost:6379" }).connect());
   * emitter.to("room-1").emit("news", "hello");
   */
  constructor(redisClient: unknown, options: RedisEmitterOptions = {}, nsp: string = "/") {
    expectOptions(options);
    const { key = "socket.io", parser = MESSAGE_PACK } = options;
    checkText("key", key);
    checkParser(parser);
    const names = { key, parser: parser as Parser };
    super(
      outletOver("channel", redisClient, (message, joins) => publicationOf(message, names, joins), options),
      nsp,
    );
  }
}

/** Options of `ShardedRedisEmitter`; `channelPrefix` and `subscriptionMode` have to be those of the servers. */
export interface ShardedRedisEmitterOptions
  extends EmitterOptions, Pick<ShardedRedisAdapterOptions, "channelPrefix" | "subscriptionMode"> {}

/** Gives orders to servers with `createShardedAdapter` of `roomcast/redis` or of `@socket.io/redis-adapter`. */
export class ShardedRedisEmitter<
  EmitEvents extends EventsMap = DefaultEventsMap,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
> extends Emitter<EmitEvents, ServerSideEvents> {
  /**
   * @param redisClient  as for `RedisEmitter`
   * @param nsp          the namespace. Default `"/"`
   * @throws UsageError as `RedisEmitter`
   * @example
   * const emitter = new ShardedRedisEmitter(redisClient, { subscriptionMode: "dynamic-private" });
   */
  constructor(redisClient: unknown, options: ShardedRedisEmitterOptions = {}, nsp: string = "/") {
    expectOptions(options);
    const { channelPrefix = "socket.io", subscriptionMode = "dynamic" } = options;
    checkText("channelPrefix", channelPrefix);
    checkMode(subscriptionMode, ["static", "dynamic", "dynamic-private"]);
    const names = { channelPrefix, subscriptionMode, parser: MESSAGE_PACK };
    super(
      outletOver("shard", redisClient, (message, joins) => shardedPublicationOf(message, names, joins), options),
      nsp,
    );
  }
}

function outletOver(
  kind: Kind,
  redisClient: unknown,
  publicationOf: (message: ClusterMessage, recentJoins: RecentJoins) => { channel: string; payload: string | Buffer },
  options: EmitterOptions,
): Outlet {
  const publisher = new RedisPublisher(readClient("redisClient", redisClient, kind === "shard"));
  const recentJoins = new RecentJoins();
  return outletOf("redis", redisClient, options, (message) => {
    const { channel, payload } = publicationOf(message, recentJoins);
    return publisher.publish(kind, channel, payload);
  });
}
