/** The official adapters, each with its backend; `(index) => adapter factory` of a node. */
import { createRequire } from "node:module";
import { closeLater, startPostgres, startRedis } from "./services.js";

const require = createRequire(import.meta.url);

async function redisClient(url) {
  const client = require("redis").createClient({ url });
  client.on("error", () => {}); // the server ends before its clients do
  await client.connect();
  closeLater(() => client.close());
  return client;
}

function ioredisClient(url) {
  const { Redis } = require("ioredis");
  const client = new Redis(url, { lazyConnect: false });
  client.on("error", () => {});
  closeLater(() => client.disconnect());
  return client;
}

/** Starts Redis; gives the adapters on it. */
export async function redisBackends() {
  const url = await startRedis();
  const redis = require("@socket.io/redis-adapter");
  const streams = require("@socket.io/redis-streams-adapter");
  return {
    url,
    backends: [
      {
        name: "@socket.io/redis-adapter with redis",
        makeAdapter: async () => redis.createAdapter(await redisClient(url), await redisClient(url)),
      },
      {
        name: "@socket.io/redis-adapter with ioredis",
        makeAdapter: async () => redis.createAdapter(ioredisClient(url), ioredisClient(url), { key: "io" }),
      },
      {
        name: "@socket.io/redis-adapter, sharded",
        makeAdapter: async () => redis.createShardedAdapter(await redisClient(url), await redisClient(url)),
      },
      {
        name: "@socket.io/redis-streams-adapter",
        makeAdapter: async () => streams.createAdapter(await redisClient(url), { blockTimeInMs: 200 }),
      },
    ],
  };
}

/** Starts PostgreSQL; gives the adapter on it. */
export async function postgresBackend() {
  const connection = await startPostgres();
  const { Pool } = require("pg");
  const pool = () => {
    const made = new Pool(connection);
    made.on("error", () => {});
    closeLater(() => made.end());
    return made;
  };
  await pool().query("CREATE TABLE socket_io_attachments (id bigserial UNIQUE, created_at timestamptz DEFAULT NOW(), payload bytea)");
  const { createAdapter } = require("@socket.io/postgres-adapter");
  return { name: "@socket.io/postgres-adapter", makeAdapter: () => createAdapter(pool(), { errorHandler: () => {} }) };
}
