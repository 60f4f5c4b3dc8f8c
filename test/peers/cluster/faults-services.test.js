// Faults of PostgreSQL, NATS, Redis with sentinels, Redis Cluster and the network under a stream of broadcasts, by adapter.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { waitUntil } from "./cluster.js";
import { declareFault, pause } from "./faults.js";
import { cannotMakeNetwork, startRedisInNetwork } from "./network.js";

const { Client } = createRequire(import.meta.url)("pg");

const killed = (ms) => async (service, stream) => {
  stream.hurt();
  await service.kill();
  await pause(ms);
  await service.start();
  stream.heal();
};

const stopped = (ms) => async (service, stream) => {
  stream.hurt();
  service.stop();
  await pause(ms);
  service.cont();
  stream.heal();
};

declareFault("PostgreSQL is killed, and back after 5 seconds", "PG-10", "postgres", killed(5000));
declareFault("PostgreSQL is stopped for 5 seconds and continued", "PG-10, ROB-841", "postgres", stopped(5500), {
  mustSee: false,
  check: ({ lost }) => assert.deepEqual(lost, [0], "what waits arrives"),
});
declareFault("PostgreSQL ends all connections, the listening ones included", "PG-10", "postgres", async (postgres, stream) => {
  const client = new Client(postgres.connection);
  await client.connect();
  stream.hurt();
  await client.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
  );
  stream.heal();
  await client.end();
});

declareFault("NATS is killed, and back after 5 seconds", "MIX-1", "nats", killed(5000));
declareFault("NATS is stopped for 8 seconds and continued", "MIX-1, ROB-909", "nats", stopped(8000), {
  check: ({ lost }) => assert.deepEqual(lost, [0], "what waits arrives"),
});

declareFault("sentinels replace the master of Redis that was killed", "RED-19", "redis-sentinel", async (redis, stream) => {
  const before = redis.master();
  stream.hurt();
  await before.kill();
  await waitUntil(() => redis.master() !== before, "the sentinels to name another master", 30_000);
  stream.heal();
});

declareFault(
  "replicas of a Redis Cluster take the place of its masters, which are killed one after the other",
  "RED-19, ROB-895",
  "redis-cluster",
  async (redis, stream) => {
    const info = (port) => spawnSync("redis-cli", ["-p", port, "cluster", "nodes"].map(String), { encoding: "utf8" }).stdout;
    const mastersBut = (dead, text) =>
      text.split("\n").filter((line) => /master/.test(line) && !/fail/.test(line) && !line.includes(`:${dead.port}@`));
    const whole = [];
    for (const dead of redis.members.slice(0, 3)) {
      stream.hurt();
      await dead.kill();
      const others = redis.members.filter(({ isRunning }) => isRunning);
      await waitUntil(
        () => others.every(({ port }) => mastersBut(dead, info(port)).length === 3),
        "the replica to become a master",
        30_000,
      );
      stream.heal();
      whole.push(await stream.untilWhole());
    }
    return { "until whole, by master, ms": whole };
  },
  // A node may have no connection to a member. A subscription that moves to another member may bring a message again, for each of the masters.
  { mustSee: false, repeatedMax: 9, atOnce: 3 },
);

declareFault(
  "the network to Redis is silent for 30 seconds",
  "RED-19",
  "redis",
  async (redis, stream) => {
    stream.hurt();
    redis.cut();
    await pause(30_000);
    redis.mend();
    stream.heal();
  },
  { start: startRedisInNetwork, skip: cannotMakeNetwork },
);
