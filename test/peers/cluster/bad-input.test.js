/** What is wrong at the start of a server with one of our adapters: one error or one warning that says what to do, and the server serves its own clients. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect, once } from "../../support/client.js";
import { startServer } from "../../support/server.js";
import { waitUntil } from "./cluster.js";
import { closeLater, freePort, startNats, startPostgres, startRedis } from "./services.js";

const require = createRequire(import.meta.url);
const ours = Object.fromEntries(["cluster", "nats", "postgres", "redis"].map((name) => [name, require(`../../../dist/public/${name}.js`)]));
const { createClient } = require("redis");
const { Redis } = require("ioredis");
const { Pool } = require("pg");
const natsDriver = require("@nats-io/transport-node");
const timeout = 60_000;
const times = { heartbeatInterval: 500, heartbeatTimeout: 1000 };
/** Without false alarms on a slow machine. */
const patient = { heartbeatInterval: 500, heartbeatTimeout: 20_000 };

const [redis, postgres, nats] = await Promise.all([startRedis(), startPostgres(), startNats()]);

/** The process warnings of a test. */
function warningsOf(t) {
  const warnings = [];
  const note = ({ code, message }) => String(code).startsWith("ROOMCAST_") && warnings.push({ code, message });
  process.on("warning", note);
  t.after(() => process.off("warning", note));
  return warnings;
}

/** Two clients as a careless program makes them: it doesn't wait for them, and doesn't listen to their errors. */
const nodeRedis = (options) => (t) =>
  [1, 2].map(() => {
    const client = createClient(options);
    client.connect().catch(() => {});
    t.after(() => client.destroy());
    return client;
  });
const ioredis = (options) => (t) =>
  [1, 2].map(() => {
    const client = new Redis(options);
    t.after(() => client.disconnect());
    return client;
  });
const pool = (options) => (t) => {
  const made = new Pool(options);
  made.on("error", () => {});
  t.after(() => void made.end()); // it waits for the server, which is closed next
  return [made];
};

/** A port where nobody listens. */
const nowhere = await freePort();

// The right to subscribe alone, the right to publish alone, and no right at all.
const admin = createClient({ url: redis.connection });
await admin.connect();
closeLater(() => admin.close());
await admin.sendCommand([
  "ACL",
  "SETUSER",
  "deaf",
  "on",
  ">x",
  "allkeys",
  "allchannels",
  "+@all",
  "-subscribe",
  "-psubscribe",
  "-ssubscribe",
]);
await admin.sendCommand(["ACL", "SETUSER", "mute", "on", ">x", "allkeys", "allchannels", "+@all", "-publish", "-spublish"]);
const redisAs = (name) => ({ url: redis.connection.replace("redis://", `redis://${name}:x@`) });

const cases = {
  "Redis that cannot be reached, redis": [
    "redis",
    "createAdapter",
    nodeRedis({ url: `redis://127.0.0.1:${nowhere}` }),
    /pubClient or subClient is not connected: check the address and the credentials/,
  ],
  "Redis that cannot be reached, ioredis": [
    "redis",
    "createAdapter",
    ioredis({ port: nowhere }),
    /pubClient or subClient is not connected: check the address and the credentials/,
  ],
  "Redis that cannot be reached, sharded": [
    "redis",
    "createShardedAdapter",
    nodeRedis({ url: `redis://127.0.0.1:${nowhere}` }),
    /pubClient or subClient is not connected: check the address and the credentials/,
  ],
  "Redis with a wrong password, redis": [
    "redis",
    "createAdapter",
    nodeRedis(redisAs("nobody")),
    /is not connected: check the address and the cred/,
  ],
  "Redis with a wrong password, ioredis": [
    "redis",
    "createAdapter",
    ioredis({ port: redis.port, username: "nobody", password: "x" }),
    /subClient cannot subscribe|is not connected: check the address and the credentials|WRONGPASS/,
  ],
  "Redis without the right to subscribe": [
    "redis",
    "createAdapter",
    nodeRedis(redisAs("deaf")),
    /subClient cannot subscribe \(.*NOPERM.*check its cred/,
  ],
  "Redis without the right to subscribe, sharded": [
    "redis",
    "createShardedAdapter",
    nodeRedis(redisAs("deaf")),
    /subClient cannot subscribe \(.*NOPERM.*check its credentials and their rights/,
  ],
  "Redis without the right to publish": ["redis", "createAdapter", nodeRedis(redisAs("mute")), /NOPERM.*publish/],
  "PostgreSQL that cannot be reached": [
    "postgres",
    "createAdapter",
    pool({ host: "127.0.0.1", port: nowhere }),
    /connect ECONNREFUSED 127\.0\.0\.1/,
  ],
  "PostgreSQL with a wrong user": [
    "postgres",
    "createAdapter",
    pool({ ...postgres.connection, user: "nobody" }),
    /role "nobody" does not exist/,
  ],
  "PostgreSQL with a wrong database": [
    "postgres",
    "createAdapter",
    pool({ ...postgres.connection, database: "nothing" }),
    /database "nothing" does not exist/,
  ],
  "a connection to NATS that is closed": [
    "nats",
    "createAdapter",
    async () => {
      const connection = await natsDriver.connect({ servers: nats.connection });
      await connection.close();
      return [connection];
    },
    /the connection is closed: make another one, with maxReconnectAttempts: -1/,
  ],
};

for (const [title, [backend, method, makeArguments, message]] of Object.entries(cases)) {
  test(`${title}: one warning, and the server serves its own clients [ROB-920, ROB-885]`, { timeout }, async (t) => {
    const warnings = warningsOf(t);
    const adapter = ours[backend][method](...(await makeArguments(t)), times);
    const { io, url } = await startServer(t, { adapter });
    const client = await connect(t, url);
    const heard = once(client, "x");
    io.emit("x", 1);
    assert.deepEqual(await heard, [1]);
    await waitUntil(() => warnings.length > 0 && io.of("/").adapter.status === "degraded", "a warning", 15_000);
    assert.equal(warnings.length, 1, JSON.stringify(warnings));
    assert.equal(warnings[0].code, "ROOMCAST_CLUSTER_LINK");
    assert.match(warnings[0].message, /^\w+: this server doesn't reach the others, its own clients are served: /);
    assert.match(warnings[0].message, message);
  });
}

test("a client of another backend is an error that says what is expected [ROB-920]", { timeout }, async (t) => {
  const [client] = nodeRedis({ url: redis.connection })(t);
  const [made] = pool(postgres.connection)(t);
  const connection = await natsDriver.connect({ servers: nats.connection });
  t.after(() => connection.close());
  const creators = {
    redis: (one) => ours.redis.createAdapter(one, one),
    sharded: (one) => ours.redis.createShardedAdapter(one, one),
    postgres: (one) => ours.postgres.createAdapter(one),
    nats: (one) => ours.nats.createAdapter(one),
  };
  const strangers = { redis: [made, connection], sharded: [made, connection], postgres: [client, connection], nats: [client, made] };
  for (const [name, create] of Object.entries(creators)) {
    for (const one of [...strangers[name], undefined, null, 5, "redis://localhost", {}, Promise.resolve(client)])
      assert.throws(() => create(one), { code: "RC_ERR_ARGUMENT", message: /expected a .*, met / }, name);
  }
  assert.throws(() => ours.cluster.createAdapter(null), { code: "RC_ERR_ARGUMENT", message: /expected an object, met null/ });
  assert.throws(() => ours.cluster.createAdapter({ key: "x" }), { code: "RC_ERR_OPTION", message: /option key: expected one of/ });
});

/** Two servers whose adapters are made by functions. */
async function startPair(t, ...adapters) {
  const nodes = [];
  for (const adapter of adapters) nodes.push((await startServer(t, { adapter })).io);
  return nodes;
}

async function clientsOfRedis(t) {
  const clients = nodeRedis({ url: redis.connection })(t);
  for (const client of clients) while (!client.isReady) await new Promise((resolve) => setImmediate(resolve));
  return clients;
}

const differences = {
  "sharded, with subscriptionMode": [
    async (t, subscriptionMode) => ours.redis.createShardedAdapter(...(await clientsOfRedis(t)), { ...patient, subscriptionMode }),
    ["dynamic", "static"],
    /^redis: option subscriptionMode: this server has (dynamic, another one of its cluster "static"|static, .* "dynamic"): give all the same value$/,
  ],
  "PostgreSQL, with tableName": [
    async (t, tableName) => ours.postgres.createAdapter(...pool(postgres.connection)(t), { ...patient, tableName }),
    ["one", "two"],
    /^postgres: option tableName: this server has (one, another one of its cluster "two"|two, .* "one"): give all the same value$/,
  ],
  "NATS, with carrySessions": [
    async (t, carrySessions) => {
      const connection = await natsDriver.connect({ servers: nats.connection });
      t.after(() => connection.close());
      return ours.nats.createAdapter(connection, { ...patient, carrySessions });
    },
    [true, false],
    /^nats: option carrySessions: this server has (true, another one of its cluster "false"|false, .* "true"): give all the same value$/,
  ],
};

for (const [title, [make, values, message]] of Object.entries(differences)) {
  test(`two servers over ${title} of different values say so once each [ROB-921]`, { timeout }, async (t) => {
    const warnings = warningsOf(t);
    const servers = await startPair(t, await make(t, values[0]), await make(t, values[1]), await make(t, values[1]));
    for (const io of servers) await waitUntil(async () => (await io.nodes()).length === 3, "the servers to know each other", 15_000);
    assert.deepEqual(
      warnings.map(({ code }) => code),
      ["ROOMCAST_CLUSTER_MIXED", "ROOMCAST_CLUSTER_MIXED", "ROOMCAST_CLUSTER_MIXED"],
      JSON.stringify(warnings),
    );
    for (const warning of warnings) assert.match(warning.message, message);
  });
}

test("a server of another version is told of once, and so is a format that is not known [ROB-921]", { timeout }, async (t) => {
  const warnings = warningsOf(t);
  const [first] = await startPair(t, ours.redis.createAdapter(...(await clientsOfRedis(t)), { ...patient, key: "versions" }));
  const pulse = {
    kind: "beat",
    address: "10.0.0.1",
    clients: 0,
    lag: 0,
    version: "9.9.9",
    since: 1,
    namespaces: ["/"],
    tag: "",
    settings: { x: 5 },
  };
  const tellOf = (id) => admin.publish("versions-roomcast#", JSON.stringify({ ...pulse, id: id.repeat(16) }));
  await waitUntil(
    async () => {
      await Promise.all(["a", "b"].map(tellOf));
      return (await first.nodes()).length === 3;
    },
    "the servers of another version to be known",
    15_000,
  );
  const own = require("../../../package.json").version;
  const [{ code, message }] = warnings.splice(0);
  assert.equal(code, "ROOMCAST_CLUSTER_MIXED");
  assert.equal(
    message,
    `redis: this server runs roomcast ${own}, another one of its cluster "9.9.9": replace the older ones soon, they ignore what they don't know`,
  );

  const connection = await natsDriver.connect({ servers: nats.connection });
  t.after(() => connection.close());
  const [second] = await startPair(t, ours.nats.createAdapter(connection, { ...patient, key: "versions" }));
  await waitUntil(async () => second.of("/").adapter.counters.received >= 0 && second.of("/").adapter.status === "ok", "the server");
  for (let i = 0; i < 3; i++) connection.publish("versions.pulse", Buffer.from([7, 0, 0, 0]));
  await waitUntil(() => second.of("/").adapter.counters.malformed === 3, "the messages to be counted", 15_000);
  assert.equal(warnings.length, 1, JSON.stringify(warnings));
  assert.equal(
    warnings.splice(0)[0].message,
    "nats: another server sends format version 7, this one knows 1: run the same version of roomcast on all servers, or give them another key",
  );

  const directory = mkdtempSync(join(tmpdir(), "roomcast-versions-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const [third] = await startPair(t, ours.cluster.createAdapter({ directory }));
  const socketOf = () => readdirSync(directory).find((name) => /^[0-9a-f]{16}$/.test(name));
  await waitUntil(() => socketOf() !== undefined, "the server to listen", 15_000);
  for (let i = 0; i < 2; i++) connectTcp(join(directory, socketOf())).end(Buffer.from([0x52, 0x43, 0x57, 9]));
  await waitUntil(() => third.of("/").adapter.counters.malformed === 2, "the streams to be counted", 15_000);
  assert.equal(warnings.length, 1, JSON.stringify(warnings));
  assert.match(
    warnings[0].message,
    /^cluster: run the same version of roomcast in all workers of a directory: expected version 1 of the protocol/,
  );
});

test("servers with different keys are different clusters, and io.nodes() shows it [ROB-921]", { timeout }, async (t) => {
  const warnings = warningsOf(t);
  const make = async (key) => ours.redis.createAdapter(...(await clientsOfRedis(t)), { ...patient, key });
  const servers = await startPair(t, await make("a"), await make("b"), await make("b"));
  for (const [index, count] of [1, 2, 2].entries())
    await waitUntil(async () => (await servers[index].nodes()).length === count, "the servers of each cluster to know each other", 15_000);
  assert.deepEqual(warnings, []);
});
