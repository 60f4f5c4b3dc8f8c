/*
 * The entry `roomcast/redis-streams`: the adapter over Redis Streams.
 */
export { createAdapter, type RedisStreamsAdapterOptions } from "../cluster/redis-streams/create-adapter";
export type { LinkedAdapter } from "../cluster/linked-adapter";
export type { LinkOptions } from "../cluster/link-hub";
