// Diagnostics channels over real brokers: broadcasts, the texts of a tracer, and messages between servers.
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { startBackends } from "./backends.js";
import { waitUntil, startNodes } from "./cluster.js";

const ADAPTERS = ["roomcast/redis with redis", "roomcast/redis, sharded, with redis", "roomcast/postgres", "roomcast/nats"];
const OFFICIAL = ["@socket.io/redis-streams-adapter with redis", "@socket.io/postgres-adapter"];

for (const backend of await startBackends((name) => [...ADAPTERS, ...OFFICIAL].includes(name))) {
  const isOfficial = OFFICIAL.includes(backend.name);
  test(`over ${backend.name}${isOfficial ? " on our base" : ""}, a broadcast is published on each server, with the texts of a tracer [ROB-935, ROB-938]`, async (t) => {
    const { servers, clients } = await startNodes(t, backend, { bases: ["ours", "ours", "ours"] });
    const trace = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tracestate: "a=b" };
    const delivered = [];
    const types = new Set();
    const listeners = {
      "roomcast:broadcast:start": (message) => (message.trace = trace),
      "roomcast:broadcast:deliver": (message) => message.event === "news" && delivered.push(message),
      "roomcast:adapter:publish": ({ type }) => types.add(`publish ${type}`),
      "roomcast:adapter:receive": ({ type }) => types.add(`receive ${type}`),
    };
    for (const [name, listener] of Object.entries(listeners)) {
      subscribe(name, listener);
      t.after(() => unsubscribe(name, listener));
    }
    const received = Promise.all(clients.map((client) => once(client, "news")));
    servers[0].emit("news", 1);
    await received;
    await waitUntil(() => delivered.length === servers.length, "all servers to deliver");
    assert.deepEqual(new Set(delivered.map(({ namespace }) => namespace.server)), new Set(servers));
    for (const { receivers, flags } of delivered) assert.deepEqual([receivers, flags.trace], [1, trace]);
    assert.ok(types.has("publish BROADCAST") && types.has("receive BROADCAST"), [...types].join());
  });
}
