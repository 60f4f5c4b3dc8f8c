// The services that the other files of this family start and hurt.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { test } from "node:test";
import { startHaproxy, startNats, startNginx, startPostgres, startRedis, startRedisCluster, startRedisSentinel } from "./services.js";

const starters = {
  Redis: startRedis,
  "a Redis Cluster": startRedisCluster,
  "Redis with sentinels": startRedisSentinel,
  PostgreSQL: startPostgres,
  NATS: startNats,
  nginx: () => startNginx((port) => `server { listen 127.0.0.1:${port}; }`),
  HAProxy: () =>
    startHaproxy(
      (port) =>
        `defaults\n  mode http\n  timeout client 9s\n  timeout server 9s\n  timeout connect 9s\nfrontend f\n  bind 127.0.0.1:${port}\n`,
    ),
};

for (const [name, start] of Object.entries(starters)) {
  test(`starts ${name}, stops and continues it, kills it, and starts it on the same ports`, { timeout: 60_000 }, async () => {
    const service = await start();
    const ports = (service.members ?? [service]).map(({ port }) => port);
    const knock = async (port) => {
      const socket = connectTcp(port, "127.0.0.1");
      await once(socket, "connect");
      socket.destroy();
    };
    service.stop();
    service.cont();
    for (const port of ports) await knock(port);
    await service.kill();
    for (const port of ports) await assert.rejects(knock(port), { code: "ECONNREFUSED" });
    await service.restart();
    for (const port of ports) await knock(port);
  });
}
