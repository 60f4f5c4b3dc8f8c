/*
 * The entry `roomcast/emitter`: orders to the servers of a cluster from a process without sockets.
 */
export { Emitter, EmitterTarget as BroadcastOperator, type EmitterOptions } from "../cluster/emitter";
export { RedisEmitter, ShardedRedisEmitter, type RedisEmitterOptions, type ShardedRedisEmitterOptions } from "../cluster/redis/emitter";
export { RedisStreamsEmitter, type RedisStreamsEmitterOptions } from "../cluster/redis-streams/emitter";
export { PostgresEmitter, type PostgresEmitterOptions } from "../cluster/postgres/emitter";
export { NatsEmitter, type NatsEmitterOptions } from "../cluster/nats/emitter";
export { RESERVED_EVENTS } from "../server/reserved-events";
