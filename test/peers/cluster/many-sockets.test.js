// fetchSockets over more sockets than fit into one message, with each of our adapters.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { WireSocket } from "../../support/wire-client.js";
import { startBackends } from "./backends.js";
import { waitUntil } from "./cluster.js";
import { startProcesses } from "./processes.js";

const { adapters } = createRequire(import.meta.url)("./adapters.cjs");

const SOCKETS = 1100;
/** Adapters that differ in how they encode what they send. */
const NAMES = [
  "roomcast/redis with redis",
  "roomcast/redis, sharded, with redis",
  "roomcast/redis-streams with redis",
  "roomcast/postgres",
  "roomcast/nats",
  "roomcast/cluster",
];

for (const backend of await startBackends((name) => NAMES.includes(name))) {
  test(`finds ${SOCKETS} sockets of another server, with rooms and data: ${backend.name} [ROB-988]`, { timeout: 60_000 }, async (t) => {
    const node = { server: "roomcast", base: "ours", adapter: backend.name };
    const processes = await startProcesses(t, backend, [node, node]);
    for (const each of processes) {
      const isCounted = () => each.run(async ({ io }) => (await io.of("/").adapter.serverCount()) === 2);
      await waitUntil(isCounted, "the nodes to know each other", 20_000);
    }
    await processes[1].run(({ io }) => {
      io.on("connection", (socket) => {
        socket.data = { name: "é", list: [1, null] };
        socket.join("r");
      });
    });
    const port = Number(new URL(processes[1].url).port);
    const clients = await Promise.all(
      Array.from({ length: SOCKETS }, async () => {
        const ws = await WireSocket.open(port, "/socket.io/?EIO=4&transport=websocket");
        t.after(() => ws.abort());
        ws.send("40");
        return JSON.parse((await ws.until((message) => message.startsWith("40"))).slice(2)).sid;
      }),
    );
    const found = await processes[0].run(async ({ io }) =>
      (await io.timeout(20_000).fetchSockets()).map(({ id, rooms, data }) => [id, [...rooms].sort(), data]),
    );
    const expected = clients.map((id) => [id, [id, "r"].sort(), { name: "é", list: [1, null] }]);
    const byId = ([a], [b]) => (a < b ? -1 : 1);
    assert.deepEqual(found.sort(byId), expected.sort(byId));
  });
}

test("knows the adapters by their names [ROB-988]", () => {
  for (const name of NAMES) assert.ok(name in adapters, name);
});
