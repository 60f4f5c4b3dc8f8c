/**
 * The official adapters, by name, on either base class: what npm installs (`own`), or `roomcast/adapter` in the place of
 * `socket.io-adapter` (`ours`), as an alias or `overrides` in a package.json would have it.
 */
const Module = require("node:module");
const { resolve } = require("node:path");

const ourBase = resolve(__dirname, "../../dist/public/adapter.js");
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

async function redisClient(url, closeLater) {
  const client = require("redis").createClient({ url });
  client.on("error", () => {}); // the server ends before its clients do
  await client.connect();
  closeLater(() => client.isOpen && client.close()); // after what the adapter still has to say
  return client;
}

async function ioredisClient(url, closeLater) {
  const { Redis } = require("ioredis");
  const client = new Redis(url);
  client.on("error", () => {});
  closeLater(() => client.quit());
  return client;
}

function postgresPool(connection, closeLater) {
  const pool = new (require("pg").Pool)(connection);
  pool.on("error", () => {});
  closeLater(() => pool.end());
  return pool;
}

/** Two clients, one to publish and one to subscribe, as the documentation has it. */
const pair = async (make, ...args) => [await make(...args), await make(...args)];

const REDIS = "@socket.io/redis-adapter";
const STREAMS = "@socket.io/redis-streams-adapter";
const POSTGRES = "@socket.io/postgres-adapter";
const streamOptions = { blockTimeInMs: 200 }; // how long a closed reader lingers

/** For each adapter the service it needs, and `make(connection, base, closeLater)`, which gives what `io.adapter()` takes. */
const adapters = {
  [`${REDIS} with redis`]: {
    service: "redis",
    make: async (url, wanted, closeLater) => load(REDIS, wanted).createAdapter(...(await pair(redisClient, url, closeLater))),
  },
  [`${REDIS} with ioredis`]: {
    service: "redis",
    make: async (url, wanted, closeLater) =>
      load(REDIS, wanted).createAdapter(...(await pair(ioredisClient, url, closeLater)), {
        key: "io",
        publishOnSpecificResponseChannel: true,
      }),
  },
  [`${REDIS}, sharded, with redis`]: {
    service: "redis",
    make: async (url, wanted, closeLater) => load(REDIS, wanted).createShardedAdapter(...(await pair(redisClient, url, closeLater))),
  },
  [`${REDIS}, sharded, with ioredis`]: {
    service: "redis",
    make: async (url, wanted, closeLater) =>
      load(REDIS, wanted).createShardedAdapter(...(await pair(ioredisClient, url, closeLater)), {
        channelPrefix: "private",
        subscriptionMode: "dynamic-private",
      }),
  },
  [`${STREAMS} with redis`]: {
    service: "redis",
    make: async (url, wanted, closeLater) => load(STREAMS, wanted).createAdapter(await redisClient(url, closeLater), streamOptions),
  },
  [`${STREAMS} with ioredis`]: {
    service: "redis",
    make: async (url, wanted, closeLater) =>
      load(STREAMS, wanted).createAdapter(await ioredisClient(url, closeLater), {
        ...streamOptions,
        streamName: "io",
        channelPrefix: "io",
      }),
  },
  [POSTGRES]: {
    service: "postgres",
    make: async (connection, wanted, closeLater) =>
      load(POSTGRES, wanted).createAdapter(postgresPool(connection, closeLater), {
        errorHandler: () => {},
        heartbeatInterval: 500,
        heartbeatTimeout: 2000,
      }),
  },
};

module.exports = { adapters, baseClass, load, postgresPool, redisClient };
