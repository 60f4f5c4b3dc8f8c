/*
 * The entry `roomcast/redis`: adapters over pub/sub of Redis, classic and sharded.
 */
export {
  createAdapter,
  createShardedAdapter,
  type RedisAdapterOptions,
  type ShardedRedisAdapterOptions,
} from "../cluster/redis/redis-adapter";
export type { Parser } from "../cluster/redis/classic-codec";
export type { LinkedAdapter } from "../cluster/linked-adapter";
export type { LinkOptions } from "../cluster/link-hub";
