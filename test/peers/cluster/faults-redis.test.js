// Faults of Redis under a stream of broadcasts, by adapter.
import { spawnSync } from "node:child_process";
import { declareFault, pause } from "./faults.js";

const redisCli = (port, ...args) => spawnSync("redis-cli", ["-p", port, ...args].map(String), { encoding: "utf8" });

declareFault("Redis is killed, and back after 5 seconds", "RED-19", "redis", async (redis, stream) => {
  stream.hurt();
  await redis.kill();
  await pause(5000);
  await redis.start();
  stream.heal();
});

declareFault("Redis is away for 14 seconds", "RED-19", "redis", async (redis, stream) => {
  stream.hurt();
  await redis.kill();
  await pause(14_000);
  await redis.start();
  stream.heal();
});

declareFault("Redis is stopped for 8 seconds and continued", "RED-19", "redis", async (redis, stream) => {
  stream.hurt();
  redis.stop();
  await pause(8000);
  redis.cont();
  stream.heal();
});

declareFault(
  "Redis closes the connections of subscribers",
  "RED-19",
  "redis",
  async (redis, stream) => {
    stream.hurt();
    redisCli(redis.port, "client", "kill", "type", "pubsub");
    stream.heal();
  },
  { mustSee: false }, // streams are read without subscribing
);

declareFault(
  "Redis closes the connection of a subscriber that doesn't read, for the size of its output buffer",
  "RED-19",
  "redis",
  async (redis, stream) => {
    redisCli(redis.port, "config", "set", "client-output-buffer-limit", "pubsub 2mb 1mb 1");
    stream.hurt();
    const [first, second] = stream.nodes;
    const blocked = second.run(() => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500));
    await first.run(({ io }) => {
      for (let count = 0; count < 150; count++) io.emit("large", "x".repeat(100_000));
    });
    await blocked;
    stream.heal();
  },
  { mustSee: false },
);

declareFault("Redis is killed while requests are under way, and back after 3 seconds", "RED-14, RED-19", "redis", async (redis, stream) => {
  const [first, second] = stream.nodes;
  await second.run(({ io }) => void io.on("ask", (answer) => answer(1)));
  stream.clients[1].on("ask", (answer) => answer(1));
  const asked = first
    .run(async ({ io }) => {
      const requests = { answered: 0, refused: 0, unsettled: 0 };
      const ask = (promise) => {
        requests.unsettled++;
        const settle = (outcome) => () => (requests.unsettled--, requests[outcome]++);
        promise.then(settle("answered"), settle("refused"));
      };
      for (let count = 0; count < 100; count++) {
        ask(io.fetchSockets());
        ask(io.serverSideEmitWithAck("ask"));
        ask(io.timeout(1000).emitWithAck("ask"));
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      await new Promise((resolve) => setTimeout(resolve, 12_000));
      return { requests };
    })
    .catch(() => ({ requests: "the node has ended" }));
  await pause(500);
  stream.hurt();
  await redis.kill();
  await pause(3000);
  await redis.start();
  stream.heal();
  return asked;
});
