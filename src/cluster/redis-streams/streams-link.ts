// The link over Redis Streams. Pub/sub, and all that concerns it, is that of `redis/`.
import type { LinkListener, LinkServer, Receiver } from "../link";
import type { ServerId } from "../messages";
import type { Kind, RedisClient } from "../redis/client";
import { RedisBus } from "../redis/bus";
import { RedisLink } from "../redis/redis-link";
import { StreamsChannel } from "./channel";
import type { CheckedOptions } from "./create-adapter";
import { StreamReader } from "./reader";

/** One connection per stream reads, one subscribes; both are duplicates of the client of the program, which writes (STR-1). */
export class StreamsLink extends RedisLink {
  override readonly name = "redis-streams";
  protected override readonly advice =
    "redisClient is not connected: check the address and the credentials, and connect it before createAdapter()";
  readonly options: CheckedOptions;
  /** With connection state recovery. */
  readonly hasLog: boolean;
  /** By the name of their stream. */
  readonly readers = new Map<string, StreamReader>();
  private readonly client: RedisClient;
  private readonly channels = new Map<string, StreamsChannel>();

  constructor(client: RedisClient, options: CheckedOptions, { recoveryMs }: LinkServer) {
    const kind: Kind = options.useShardedPubSub ? "shard" : "channel";
    const bus = new RedisBus(client, client.duplicate());
    super(bus, kind, `${options.channelPrefix}-roomcast-streams#`, (receiver, onMalformed) => {
      const channel = new StreamsChannel({ link: this, bus, kind, receiver, onMalformed });
      this.channels.set(receiver.namespace, channel);
      return channel;
    });
    this.client = client;
    this.options = options;
    this.hasLog = recoveryMs !== null;
  }

  override open(listener: LinkListener, uid: ServerId): Promise<void> {
    const { streamName, streamCount } = this.options;
    const names = streamCount === 1 ? [streamName] : Array.from({ length: streamCount }, (_, index) => `${streamName}-${index}`);
    for (const name of names) {
      const reader = new StreamReader(name, this.client, this.options, {
        onEntry: (id, fields) => this.channels.get(fields.get("nsp") ?? "")?.onEntry(id, fields) ?? false, // STR-5
        onGap: () => {
          listener.onLost(1);
          listener.onProblem(
            `entries of the stream ${name} are gone, perhaps unread: raise maxLen, and let Redis keep its data`,
            undefined,
          );
        },
      });
      this.readers.set(name, reader);
      void reader.run();
    }
    return super.open(listener, uid);
  }

  /** The namespace was closed. */
  forget({ namespace }: Receiver): void {
    this.channels.delete(namespace);
  }

  override async close(): Promise<void> {
    for (const reader of this.readers.values()) reader.close();
    await super.close();
  }
}
