import { Server } from "socket.io";
import { createAdapter, type LinkedAdapter, type RedisStreamsAdapterOptions } from "socket.io/redis-streams";

declare function expectType<T>(value: T): void;
declare const redisClient: { sendCommand(): void };

export function redis_streams_adapter() {
  const options: RedisStreamsAdapterOptions = {
    streamName: "io",
    streamCount: 2,
    maxLen: 1000,
    requestsTimeout: 1000,
    carrySessions: true,
  };
  const io = new Server({ adapter: createAdapter(redisClient, options), connectionStateRecovery: {} });
  io.adapter(createAdapter(redisClient));
  expectType<"ok" | "degraded">((io.of("/").adapter as unknown as LinkedAdapter).status);
  // @ts-expect-error no such type
  createAdapter(redisClient, { onlyPlaintext: "yes" });
  // @ts-expect-error no such option
  createAdapter(redisClient, { key: "x" });
}
