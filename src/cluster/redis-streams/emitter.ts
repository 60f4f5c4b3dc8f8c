// The emitter over Redis Streams, for servers with the adapter of `create-adapter.ts` or of `@socket.io/redis-streams-adapter`.
import type { DefaultEventsMap, EventsMap } from "../../server/events";
import { Emitter, type EmitterOptions, type Outlet, outletOf } from "../emitter";
import { expectOptions } from "../option-checks";
import { RedisPublisher } from "../redis/bus";
import { type Kind, readClient } from "../redis/client";
import { appendCommand, encodeMessage, isEphemeral, requestsOf, streamOf, toFields } from "./codec";
import { checkStreamOptions, type RedisStreamsAdapterOptions } from "./create-adapter";

/** Options of `RedisStreamsEmitter`; all but `onError` have to be those of the servers. */
export interface RedisStreamsEmitterOptions
  extends
    EmitterOptions,
    Pick<RedisStreamsAdapterOptions, "streamName" | "streamCount" | "channelPrefix" | "useShardedPubSub" | "maxLen" | "onlyPlaintext"> {}

/**
 * Gives orders to servers with `createAdapter` of `roomcast/redis-streams`, or with `@socket.io/redis-streams-adapter` 0.3. What it emits is in the
 * stream: a server that can't read for a while gets it afterwards, and so does a client that recovers its session.
 *
 * While Redis is away, the driver decides whether orders wait; at most 64 MiB do.
 */
export class RedisStreamsEmitter<
  EmitEvents extends EventsMap = DefaultEventsMap,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
> extends Emitter<EmitEvents, ServerSideEvents> {
  /**
   * @param redisClient  a client of `redis` 4 or 5 or of `ioredis` 5, also of a cluster. It stays open
   * @param nsp          the namespace. Default `"/"`
   * @throws UsageError RC_ERR_ARGUMENT, RC_ERR_OPTION on a client or an option that cannot be used
   * @example
   * const emitter = new RedisStreamsEmitter(await createClient({ url: "redis://localhost:6379" }).connect());
   * emitter.to("room-1").emit("news", "hello");
   */
  constructor(redisClient: unknown, options: RedisStreamsEmitterOptions = {}, nsp: string = "/") {
    expectOptions(options);
    super(outletOver(redisClient, options), nsp);
  }
}

function outletOver(redisClient: unknown, options: RedisStreamsEmitterOptions): Outlet {
  const { streamName, streamCount, channelPrefix, useShardedPubSub, maxLen, onlyPlaintext } = checkStreamOptions(options);
  const kind: Kind = useShardedPubSub ? "shard" : "channel";
  const publisher = new RedisPublisher(readClient("redisClient", redisClient, useShardedPubSub));
  return outletOf("redis-streams", redisClient, options, (message) => {
    const { nsp } = message;
    if (isEphemeral(message)) return publisher.publish(kind, requestsOf(channelPrefix, nsp), encodeMessage(message));
    const stream = streamOf(nsp, streamName, streamCount);
    return publisher.command(stream, appendCommand(stream, maxLen, toFields(message, onlyPlaintext)));
  });
}
