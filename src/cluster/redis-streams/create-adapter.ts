// The adapter over Redis Streams as programs create it: arguments and options, checked.
import { UsageError } from "../../errors";
import type { LinkOptions } from "../link-hub";
import { type LinkedAdapter, linkedAdapter } from "../linked-adapter";
import { checkLinkOptions, checkText, misuse } from "../option-checks";
import { readClient } from "../redis/client";
import { StreamsLink } from "./streams-link";

/** Options of the adapter over Redis Streams. All servers of a cluster need the same ones, other than times and `readCount`. */
export interface RedisStreamsAdapterOptions extends LinkOptions {
  /** Name of the stream; of several, what their names begin with. Default `"socket.io"`. */
  streamName?: string;
  /** Number of streams; a namespace belongs to one of them. Default 1. */
  streamCount?: number;
  /** What the names of all channels of pub/sub begin with. Default `"socket.io"`. */
  channelPrefix?: string;
  /** Sharded pub/sub (Redis 7) instead of the classic one. Default `false`. */
  useShardedPubSub?: boolean;
  /** Entries that a stream keeps, about. With `connectionStateRecovery`, clients that missed more get a new session. Default 10,000. */
  maxLen?: number;
  /** Entries that are read at once, at most. Default 100. */
  readCount?: number;
  /** Time for which a read waits for entries, in milliseconds. Default 5,000. */
  blockTimeInMs?: number;
  /** What the keys of sessions begin with, with `connectionStateRecovery`. Default `"sio:session:"`. */
  sessionKeyPrefix?: string;
  /** Never look for binary values, since the program sends none: less work per message. Default `false`. */
  onlyPlaintext?: boolean;
}

export type CheckedOptions = Required<Omit<RedisStreamsAdapterOptions, keyof LinkOptions>>;

/**
 * Makes the value of the option `adapter` for several servers over Redis Streams, with `connectionStateRecovery` if the servers have that option.
 * Servers with `@socket.io/redis-streams-adapter` 0.3 and the same options may be in the same cluster.
 *
 * What is published while a server can't reach Redis for a while is read afterwards, as far as the stream has it.
 * @param redisClient  a connected client of `redis` 4 or 5 or of `ioredis` 5 (also of a cluster), which writes; it is duplicated for what reads
 * @throws UsageError RC_ERR_ARGUMENT, RC_ERR_OPTION on a client or an option that cannot be used. A Redis that cannot be reached doesn't throw:
 * the server serves its own clients, `adapter.status` is `"degraded"`, and a process warning tells why
 * @example
 * const redisClient = createClient({ url: "redis://localhost:6379" });
 * await redisClient.connect();
 * const io = new Server({ adapter: createAdapter(redisClient), connectionStateRecovery: {} });
 */
export function createAdapter(redisClient: unknown, options: RedisStreamsAdapterOptions = {}): (nsp: any) => LinkedAdapter {
  checkLinkOptions(options);
  const checked = checkStreamOptions(options);
  const client = readClient("redisClient", redisClient, checked.useShardedPubSub);
  if (!client.canDuplicate)
    throw new UsageError(
      "RC_ERR_ARGUMENT",
      "redisClient: expected a client that can be duplicated, met a sentinel client of redis 5, which cannot",
    );
  return linkedAdapter(
    (server) => new StreamsLink(readClient("redisClient", redisClient, checked.useShardedPubSub), checked, server),
    options,
  );
}

/** The options with their defaults. @throws UsageError RC_ERR_OPTION */
export function checkStreamOptions(options: RedisStreamsAdapterOptions): CheckedOptions {
  const {
    streamName = "socket.io",
    streamCount = 1,
    channelPrefix = "socket.io",
    useShardedPubSub = false,
    maxLen = 10_000,
    readCount = 100,
    blockTimeInMs = 5_000,
    sessionKeyPrefix = "sio:session:",
    onlyPlaintext = false,
  } = options;
  for (const [name, value] of Object.entries({ streamName, channelPrefix, sessionKeyPrefix })) checkText(name, value);
  for (const [name, value] of Object.entries({ streamCount, maxLen, readCount, blockTimeInMs }))
    if (!Number.isInteger(value) || value < 1 || value >= 2 ** 31) throw misuse(name, "a positive whole number", value);
  for (const [name, value] of Object.entries({ useShardedPubSub, onlyPlaintext }))
    if (typeof value !== "boolean") throw misuse(name, "a boolean", value);
  return { streamName, streamCount, channelPrefix, useShardedPubSub, maxLen, readCount, blockTimeInMs, sessionKeyPrefix, onlyPlaintext };
}
