import {
  type BroadcastOperator,
  type Emitter,
  NatsEmitter,
  PostgresEmitter,
  type PostgresEmitterOptions,
  RedisEmitter,
  RedisStreamsEmitter,
  RESERVED_EVENTS,
  ShardedRedisEmitter,
} from "socket.io/emitter";

declare function expectType<T>(value: T): void;
declare const client: { publish(): void };
declare const pool: ConstructorParameters<typeof PostgresEmitter>[0];

interface ToClients {
  news: (title: string, count: number) => void;
}
interface ToServers {
  reload: (configuration: number) => void;
}

export function emitters() {
  const emitter = new RedisEmitter<ToClients, ToServers>(
    client,
    { key: "io", onError: (error) => expectType<string>(error.message) },
    "/chat",
  );
  expectType<true>(emitter.emit("news", "hello", 1));
  expectType<BroadcastOperator<ToClients>>(emitter.to("a").in(["b"]).except("c").compress(false).volatile);
  emitter.of("/admin").to("a").emit("news", "hello", 1);
  emitter.of("/admin").serverSideEmit("reload", 1);
  expectType<string>(emitter.nsp);
  expectType<void>(emitter.in("a").socketsJoin(["b"]));
  emitter.in("a").socketsLeave("b");
  emitter.in("a").disconnectSockets(true, { reason: "closed" });
  const any: Emitter<ToClients, ToServers> = emitter;
  expectType<boolean>(RESERVED_EVENTS.has(any.nsp));
  // @ts-expect-error no such event
  emitter.emit("reload", 1);
  // @ts-expect-error no number
  emitter.to("a").emit("news", "hello", "1");
  // @ts-expect-error no such event for servers
  emitter.serverSideEmit("news", "hello", 1);
  // @ts-expect-error a target is no emitter
  emitter.to("a").serverSideEmit("reload", 1);

  const untyped = new ShardedRedisEmitter(client, { channelPrefix: "io", subscriptionMode: "static" });
  untyped.emit("anything", 1, "two");
  untyped.serverSideEmit("anything", Buffer.from("x"));
  // @ts-expect-error no such mode
  new ShardedRedisEmitter(client, { subscriptionMode: "some" });
  const options: PostgresEmitterOptions = { channelPrefix: "io", tableName: "attachments", payloadThreshold: 1000 };
  new PostgresEmitter<ToClients>(pool, "/chat", options).to("a").emit("news", "hello", 1);
  new RedisStreamsEmitter(client, { streamName: "io", streamCount: 2, maxLen: 1000 }, "/chat").emit("news");
  new NatsEmitter(client, { key: "chat" }, "/chat").emit("news");
}
