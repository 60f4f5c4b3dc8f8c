/**
 * The official adapters, by name, on either base class: what npm installs (`own`), or `roomcast/adapter` in the place of
 * `socket.io-adapter` (`ours`), as an alias or `overrides` in a package.json would have it.
 */
const Module = require("node:module");
const { EventEmitter } = require("node:events");
const { resolve } = require("node:path");

const ourBase = resolve(__dirname, "../../../dist/public/adapter.js");
const loadModule = Module._load;
let base = "own";
Module._load = function (request, ...rest) {
  return loadModule.call(this, request === "socket.io-adapter" && base === "ours" ? ourBase : request, ...rest);
};

const loaded = new Map();

/** The package `name`, an instance of its own for each base. */
function load(name, wanted) {
  const key = `${wanted} ${name}`;
  if (!loaded.has(key)) {
    const directory = resolve(__dirname, "node_modules", name);
    for (const file of Object.keys(require.cache)) if (file.startsWith(directory)) delete require.cache[file];
    base = wanted;
    try {
      loaded.set(key, require(name));
    } finally {
      base = "own";
    }
  }
  return loaded.get(key);
}

/** The class that every adapter on a base extends. */
const baseClass = (wanted) => require(wanted === "ours" ? ourBase : "socket.io-adapter").Adapter;

/** Emits `notice` with the name of what a client tells about its connection. */
const notices = new EventEmitter();

/** Listens to a client; without a listener of `error` the process would end. */
function noticing(client) {
  for (const event of ["error", "end", "close", "reconnecting"]) client.on(event, () => notices.emit("notice", event));
  return client;
}

const redisClient = (url, closeLater) => clientOf("redis", url, closeLater);
const redis4Client = (url, closeLater) => clientOf("redis-4", url, closeLater);

async function clientOf(driver, url, closeLater) {
  const client = require(driver).createClient({ url });
  noticing(client); // the server ends before its clients do
  await client.connect();
  // After what the adapter still has to say; one that is not connected would wait for it.
  closeLater(() => client.isOpen && (client.isReady ? (client.close ?? client.quit) : (client.destroy ?? client.disconnect)).call(client));
  return client;
}

async function ioredisClient(url, closeLater) {
  const { Redis } = require("ioredis");
  const client = new Redis(url);
  noticing(client);
  closeLater(() => client.quit());
  return client;
}

const redisCluster = (nodes, closeLater) => clusterOf("redis", nodes, closeLater);
const redis4Cluster = (nodes, closeLater) => clusterOf("redis-4", nodes, closeLater);

async function clusterOf(driver, nodes, closeLater) {
  const client = require(driver).createCluster({ rootNodes: nodes.map(({ host, port }) => ({ url: `redis://${host}:${port}` })) });
  noticing(client);
  await client.connect();
  closeLater(() => client.isOpen && (client.close ?? client.disconnect).call(client));
  return client;
}

async function ioredisCluster(nodes, closeLater) {
  const { Cluster } = require("ioredis");
  const client = new Cluster(nodes, { shardedSubscribers: true });
  noticing(client);
  closeLater(() => client.quit());
  return client;
}

async function ioredisSentinel({ name, sentinels }, closeLater) {
  const { Redis } = require("ioredis");
  const client = new Redis({ name, sentinels });
  noticing(client);
  closeLater(() => client.quit());
  return client;
}

function postgresPool(connection, closeLater) {
  const pool = new (require("pg").Pool)(connection);
  noticing(pool);
  closeLater(() => pool.end());
  return pool;
}

async function natsConnection(driver, servers, closeLater) {
  const connection = await require(driver).connect({ servers, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
  closeLater(() => connection.close());
  return connection;
}

/** Two clients, one to publish and one to subscribe, as the documentation has it. */
const pair = async (make, ...args) => [await make(...args), await make(...args)];

const REDIS = "@socket.io/redis-adapter";
const STREAMS = "@socket.io/redis-streams-adapter";
const POSTGRES = "@socket.io/postgres-adapter";
const CLUSTER = "@socket.io/cluster-adapter";
const streamOptions = { blockTimeInMs: 200 }; // how long a closed reader lingers

/** An entry of roomcast. */
const ours = (name) => require(`../../../dist/public/${name}.js`);

const noRecovery = { recovery: "not offered" };
const ofRedisCluster = { ...noRecovery, order: "a channel belongs to a node of the cluster, and each node has a connection" };

/** An official adapter of Redis; `make` gives a client. */
const classic = (service, make, options, lacks = noRecovery) => ({
  service,
  lacks,
  make: async (connection, wanted, closeLater) => load(REDIS, wanted).createAdapter(...(await pair(make, connection, closeLater)), options),
});
const sharded = (service, make, options, lacks = noRecovery) => ({
  service,
  lacks,
  make: async (connection, wanted, closeLater) =>
    load(REDIS, wanted).createShardedAdapter(...(await pair(make, connection, closeLater)), options),
});

/** `roomcast/redis`; `method` makes the adapter. */
const redis = (method, official, service, make, options, lacks = noRecovery) => ({
  service,
  lacks,
  official,
  make: async (connection, _, closeLater) =>
    ours("redis")[method](...(await pair(make, connection, closeLater)), { heartbeatInterval: 500, heartbeatTimeout: 2000, ...options }),
});
const streams = (service, make, options) => ({
  service,
  make: async (connection, wanted, closeLater) =>
    load(STREAMS, wanted).createAdapter(await make(connection, closeLater), { ...streamOptions, ...options }),
});

/** `roomcast/redis-streams`; `make` gives a client. */
const ourStreams = (official, service, make, options) => ({
  service,
  official,
  make: async (connection, _, closeLater) =>
    ours("redis-streams").createAdapter(await make(connection, closeLater), {
      ...streamOptions,
      heartbeatInterval: 500,
      heartbeatTimeout: 2000,
      ...options,
    }),
});

/** `roomcast/nats`; `driver` makes the connection. */
const nats = (driver, { lacks = noRecovery, ...options } = {}) => ({
  service: "nats",
  lacks,
  make: async (connection, _, closeLater) =>
    ours("nats").createAdapter(await natsConnection(driver, connection, closeLater), {
      heartbeatInterval: 500,
      heartbeatTimeout: 2000,
      ...options,
    }),
});

/**
 * For each adapter:
 * - `service`: what it needs, one of `starters` in backends.js
 * - `make(connection, base, closeLater)`: gives what `io.adapter()` takes
 * - `lacks`: the tests of contract.js that it doesn't pass, with the reason
 * - `official`: only for ours, the name of the adapter that speaks the same bytes
 */
const adapters = {
  [`${REDIS} with redis`]: classic("redis", redisClient),
  [`${REDIS} with ioredis`]: classic("redis", ioredisClient, { key: "io", publishOnSpecificResponseChannel: true }),
  [`${REDIS} with a cluster of ioredis`]: classic("redis-cluster", ioredisCluster, {}, ofRedisCluster),
  [`${REDIS} with sentinels of ioredis`]: classic("redis-sentinel", ioredisSentinel),
  [`${REDIS}, sharded, with redis`]: sharded("redis", redisClient),
  [`${REDIS}, sharded, with ioredis`]: sharded("redis", ioredisClient, { channelPrefix: "private", subscriptionMode: "dynamic-private" }),
  [`${REDIS}, sharded, with a cluster of ioredis`]: sharded("redis-cluster", ioredisCluster, {}, ofRedisCluster),
  "roomcast/redis with redis": redis("createAdapter", `${REDIS} with redis`, "redis", redisClient),
  "roomcast/redis with redis 4": redis("createAdapter", `${REDIS} with redis`, "redis", redis4Client),
  "roomcast/redis with ioredis": redis("createAdapter", `${REDIS} with ioredis`, "redis", ioredisClient, {
    key: "io",
    publishOnSpecificResponseChannel: true,
    subscriptionMode: "static",
  }),
  "roomcast/redis, sharded, with redis": redis("createShardedAdapter", `${REDIS}, sharded, with redis`, "redis", redisClient),
  "roomcast/redis, sharded, with ioredis": redis("createShardedAdapter", `${REDIS}, sharded, with ioredis`, "redis", ioredisClient, {
    channelPrefix: "private",
    subscriptionMode: "dynamic-private",
  }),
  "roomcast/redis with a cluster of redis": redis("createAdapter", undefined, "redis-cluster", redisCluster, {}, ofRedisCluster),
  "roomcast/redis with a cluster of redis 4": redis("createAdapter", undefined, "redis-cluster", redis4Cluster, {}, ofRedisCluster),
  "roomcast/redis with a cluster of ioredis": redis("createAdapter", undefined, "redis-cluster", ioredisCluster, {}, ofRedisCluster),
  "roomcast/redis, sharded, with a cluster of redis": redis(
    "createShardedAdapter",
    undefined,
    "redis-cluster",
    redisCluster,
    {},
    ofRedisCluster,
  ),
  "roomcast/redis, sharded, with a cluster of ioredis": redis(
    "createShardedAdapter",
    undefined,
    "redis-cluster",
    ioredisCluster,
    {},
    ofRedisCluster,
  ),
  "roomcast/redis with sentinels of ioredis": redis("createAdapter", undefined, "redis-sentinel", ioredisSentinel),
  [`${STREAMS} with redis`]: streams("redis", redisClient),
  [`${STREAMS} with ioredis`]: streams("redis", ioredisClient, { streamName: "io", channelPrefix: "io" }),
  "roomcast/redis-streams with redis": ourStreams(`${STREAMS} with redis`, "redis", redisClient),
  "roomcast/redis-streams with redis 4": ourStreams(undefined, "redis", redis4Client, { streamName: "r4", channelPrefix: "r4" }),
  "roomcast/redis-streams with ioredis": ourStreams(`${STREAMS} with ioredis`, "redis", ioredisClient, {
    streamName: "io",
    channelPrefix: "io",
  }),
  "roomcast/redis-streams with a cluster of redis": ourStreams(undefined, "redis-cluster", redisCluster),
  "roomcast/redis-streams with a cluster of ioredis": ourStreams(undefined, "redis-cluster", ioredisCluster),
  [POSTGRES]: {
    service: "postgres",
    lacks: {
      ...noRecovery,
      order: "attachments take longer than notifications, PG-8",
      sizes: "a notification of exactly 8,000 bytes is lost, PG-6",
    },
    make: async (connection, wanted, closeLater) =>
      load(POSTGRES, wanted).createAdapter(postgresPool(connection, closeLater), {
        errorHandler: () => {},
        heartbeatInterval: 500,
        heartbeatTimeout: 2000,
      }),
  },
  "roomcast/postgres": {
    service: "postgres",
    official: POSTGRES,
    make: async (connection, _wanted, closeLater) =>
      require("../../../dist/public/postgres.js").createAdapter(postgresPool(connection, closeLater), {
        heartbeatInterval: 500,
        heartbeatTimeout: 2000,
      }),
  },
  [CLUSTER]: {
    service: "node:cluster",
    lacks: noRecovery,
    make: async (connection, wanted) => load(CLUSTER, wanted).createAdapter({ heartbeatInterval: 500, heartbeatTimeout: 2000 }),
  },
  "roomcast/cluster": { service: "node:cluster", lacks: noRecovery, make: async () => ours("cluster").createAdapter() },
  "roomcast/cluster over IPC": {
    service: "node:cluster",
    lacks: noRecovery,
    official: CLUSTER,
    make: async () => ours("cluster").createAdapter({ protocol: "ipc", heartbeatInterval: 500, heartbeatTimeout: 2000 }),
  },
  "roomcast/nats": nats("@nats-io/transport-node"),
  "roomcast/nats with nats 2": nats("nats"),
  "roomcast/nats with JetStream": nats("@nats-io/transport-node", { lacks: {}, key: "logged", jetstream: true }),
};

/**
 * For each emitter:
 * - `speaks`: the adapter whose nodes it reaches, and those of ours that name it as `official`
 * - `isHeardByOfficial`: false where only ours hear it
 * - `make(connection, closeLater)`: gives the emitter
 */
const emitters = {
  "@socket.io/redis-emitter": {
    speaks: `${REDIS} with redis`,
    make: async (url, closeLater) => new (require("@socket.io/redis-emitter").Emitter)(await redisClient(url, closeLater)),
  },
  "@socket.io/postgres-emitter": {
    speaks: POSTGRES,
    isHeardByOfficial: false, // PG-14
    make: async (connection, closeLater) => new (require("@socket.io/postgres-emitter").Emitter)(postgresPool(connection, closeLater)),
  },
  "RedisEmitter of roomcast with redis": {
    speaks: `${REDIS} with redis`,
    make: async (url, closeLater) => new (ours("emitter").RedisEmitter)(await redisClient(url, closeLater)),
  },
  "RedisEmitter of roomcast with ioredis": {
    speaks: `${REDIS} with ioredis`,
    make: async (url, closeLater) => new (ours("emitter").RedisEmitter)(await ioredisClient(url, closeLater), { key: "io" }),
  },
  "ShardedRedisEmitter of roomcast with redis": {
    speaks: `${REDIS}, sharded, with redis`,
    make: async (url, closeLater) => new (ours("emitter").ShardedRedisEmitter)(await redisClient(url, closeLater)),
  },
  "RedisStreamsEmitter of roomcast with redis": {
    speaks: `${STREAMS} with redis`,
    make: async (url, closeLater) => new (ours("emitter").RedisStreamsEmitter)(await redisClient(url, closeLater)),
  },
  "RedisStreamsEmitter of roomcast with ioredis": {
    speaks: `${STREAMS} with ioredis`,
    make: async (url, closeLater) =>
      new (ours("emitter").RedisStreamsEmitter)(await ioredisClient(url, closeLater), { streamName: "io", channelPrefix: "io" }),
  },
  "PostgresEmitter of roomcast": {
    speaks: POSTGRES,
    make: async (connection, closeLater) => new (ours("emitter").PostgresEmitter)(postgresPool(connection, closeLater)),
  },
  "NatsEmitter of roomcast": {
    speaks: "roomcast/nats",
    isHeardByOfficial: false, // there is none
    make: async (servers, closeLater) =>
      new (ours("emitter").NatsEmitter)(await natsConnection("@nats-io/transport-node", servers, closeLater)),
  },
};

let isPrimary = false;

/** Makes this process the primary of a node:cluster whose workers have any of the adapters. */
function setUpPrimary() {
  if (isPrimary) return; // twice, and each message would be passed on twice
  isPrimary = true;
  require(CLUSTER).setupPrimary();
  require("../../../dist/cluster/workers/directory.js").makeDirectory();
}

module.exports = { adapters, baseClass, emitters, ioredisClient, load, notices, postgresPool, redis4Client, redisClient, setUpPrimary };
