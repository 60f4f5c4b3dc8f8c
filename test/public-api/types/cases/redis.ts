import { Server } from "socket.io";
import { createAdapter, createShardedAdapter, type LinkedAdapter, type RedisAdapterOptions } from "socket.io/redis";

declare function expectType<T>(value: T): void;
declare const pubClient: { publish(): void };

export function redis_adapters() {
  const options: RedisAdapterOptions = { key: "io", subscriptionMode: "static", requestsTimeout: 1000 };
  const io = new Server({ adapter: createAdapter(pubClient, pubClient, options) });
  io.adapter(createShardedAdapter(pubClient, pubClient, { subscriptionMode: "dynamic-private", heartbeatInterval: 1000 }));
  const adapter = io.of("/").adapter as unknown as LinkedAdapter;
  expectType<"ok" | "degraded">(adapter.status);
  expectType<number>(adapter.counters.lost);
  expectType<Promise<Set<string>>>(adapter.allRooms());
  // @ts-expect-error no such mode
  createAdapter(pubClient, pubClient, { subscriptionMode: "dynamic-private" });
  // @ts-expect-error no such option
  createShardedAdapter(pubClient, pubClient, { key: "x" });
}
