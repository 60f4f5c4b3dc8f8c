// `roomcast/cluster` with the protocol of @socket.io/cluster-adapter, in a primary of ours: beside workers of the original, and message by message.
import assert from "node:assert/strict";
import cluster from "node:cluster";
import { once } from "node:events";
import { createRequire } from "node:module";
import { test } from "node:test";
import { declareContractOf } from "./backends.js";
import { waitUntil } from "./cluster.js";
import { startProcesses } from "./processes.js";

const require = createRequire(import.meta.url);
const { setupPrimary } = require("../../../dist/public/cluster.js");
setupPrimary();
setupPrimary(); // changes nothing

const OURS = "roomcast/cluster over IPC";
const OFFICIAL = "@socket.io/cluster-adapter";
const backend = { name: `${OURS} in a primary of ours`, connection: null, isReusable: false, lacks: { recovery: "not offered" } };
const ours = { server: "roomcast", base: "ours", adapter: OURS };
const official = { server: "socket.io", base: "own", adapter: OFFICIAL };

declareContractOf(backend, [ours, official, ours]);

/** What adapters send to the primary from now on, by worker. */
function record(t) {
  const messages = [];
  const onMessage = ({ id }, message) => message.source === "_sio_adapter" && messages.push({ id, message });
  cluster.on("message", onMessage);
  t.after(() => cluster.off("message", onMessage));
  return messages;
}

async function meet(nodes, count = nodes.length) {
  for (const node of nodes)
    await waitUntil(async () => (await node.run(({ io }) => io.of("/").adapter.serverCount())) === count, "the workers to meet", 20_000);
}

/** A message as text, the same for any order of its members; ids by what they are. */
const textOf = (message, names) =>
  JSON.stringify(message, (key, value) => {
    if (typeof value === "string") return names.get(value) ?? value;
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([one], [other]) => one.localeCompare(other)));
  });

test("sends the messages that the original sends [IPC-1, IPC-2, IPC-3]", { timeout: 60_000 }, async (t) => {
  const sent = [];
  for (const kind of [official, ours]) {
    const messages = record(t);
    const nodes = await startProcesses(t, backend, [kind, kind]);
    await meet(nodes);
    const begun = messages.length;
    await nodes[1].run(({ io }) => void io.on("ask", (value, answer) => answer([value])));
    await nodes[0].run(async ({ io }) => {
      io.emit("plain", 1, "x", null);
      io.to("a").except("b").volatile.emit("rooms");
      io.in("a").socketsJoin(["c"]);
      io.in("a").socketsLeave("c");
      io.in("a").disconnectSockets(true);
      await io.fetchSockets();
      await io
        .timeout(5000)
        .emitWithAck?.("acks")
        .catch(() => {});
      await new Promise((resolve) => io.timeout(500).emit("acks", resolve));
      io.serverSideEmit("tell", 1);
      await io.serverSideEmitWithAck("ask", 2);
    });
    await waitUntil(() => messages.some(({ message }) => message.type === 10), "the answer to pass");
    const names = new Map();
    for (const { message } of messages) {
      names.set(message.uid, "a node");
      if (message.data?.requestId !== undefined) names.set(message.data.requestId, "a request");
    }
    for (const id of names.keys()) assert.match(id, /^[0-9a-f]{16}$/);
    sent.push(
      messages
        .slice(begun)
        .filter(({ message: { type } }) => type > 2 && type !== 13)
        .map(({ message }) => textOf(message, names))
        .sort(),
    );
    for (const node of nodes) await node.kill();
  }
  assert.ok(sent[0].length >= 10);
  assert.deepEqual(sent[1], sent[0]);
});

test("passes responses to the worker that has asked alone, everything else to all others [IPC-3]", { timeout: 60_000 }, async (t) => {
  const nodes = await startProcesses(t, backend, [ours, ours, ours]);
  await meet(nodes);
  for (const node of nodes) {
    await node.run(({ kept }) => {
      kept.types = [];
      process.on("message", ({ source, type }) => source === "_sio_adapter" && type > 2 && kept.types.push(type));
    });
  }
  await nodes[0].run(async ({ io }) => void (await io.fetchSockets()));
  await nodes[0].run(({ io }) => new Promise((resolve) => io.timeout(500).emit("acks", resolve)));
  const types = await Promise.all(nodes.map((node) => node.run(({ kept }) => kept.types.sort((a, b) => a - b))));
  assert.deepEqual(types, [
    [8, 8, 11, 11],
    [3, 7],
    [3, 7],
  ]);
});

test("ignores messages without its mark, and those of other namespaces [IPC-4]", { timeout: 60_000 }, async (t) => {
  const messages = record(t);
  const nodes = await startProcesses(t, backend, [ours, ours]);
  await meet(nodes);
  await nodes[0].run(({ io, kept }) => {
    kept.heard = [];
    io.on("tell", (value) => kept.heard.push(value));
  });
  await nodes[1].run(({ io }) => io.serverSideEmit("tell", 1));
  await waitUntil(() => messages.some(({ message }) => message.type === 9), "the message to pass");
  const { message } = messages.find(({ message: { type } }) => type === 9);
  const worker = nodes[0].worker;
  for (const change of [{ source: "x" }, { source: undefined }, { nsp: "/other" }, { uid: 1 }, { data: null }, { type: 99 }])
    worker.send({ ...message, ...change });
  for (const junk of [{ source: "_sio_adapter" }, "text", 1, null, []]) worker.send(junk ?? "null");
  worker.send({ ...message, data: { packet: ["tell", 2] } });
  const heard = () => nodes[0].run(({ kept }) => kept.heard);
  await waitUntil(async () => (await heard()).includes(2), "the last message to arrive");
  assert.deepEqual(await heard(), [1, 2]);
});

test("forgets a worker that closes at once, one that has died after the time-out [IPC-6]", { timeout: 60_000 }, async (t) => {
  const nodes = await startProcesses(t, backend, [ours, official, ours]);
  await meet(nodes);
  await nodes[2].close();
  await meet(nodes.slice(0, 2), 2);
  await nodes[1].kill();
  await meet(nodes.slice(0, 1), 1);
});

test(
  "listens once for all namespaces, and no more when all are closed; a primary that is gone does no harm [IPC-7, IPC-8]",
  { timeout: 60_000 },
  async (t) => {
    const [node] = await startProcesses(t, backend, [ours]);
    const counts = await node.run(async ({ io }) => {
      const before = process.listenerCount("message");
      for (let i = 0; i < 20; i++) io.of(`/${i}`);
      return [before, process.listenerCount("message")];
    });
    assert.equal(counts[1], counts[0]);
    await node.close();
    assert.equal(await node.run(() => process.listenerCount("message")), counts[0] - 1);

    const [orphan] = await startProcesses(t, backend, [ours]);
    await orphan.run(({ io }) => {
      process.removeAllListeners("disconnect");
      process.on("disconnect", async () => {
        io.emit("news");
        await io.fetchSockets().catch(() => {});
        await io.close();
        process.exit(7);
      });
    });
    orphan.worker.disconnect();
    const [code] = await once(orphan.worker, "exit");
    assert.equal(code, 7);
  },
);

test('binary needs the serialization "advanced" of node:cluster: JSON makes objects of it [IPC-5]', { timeout: 60_000 }, async (t) => {
  cluster.setupPrimary({ serialization: "json" });
  t.after(() => cluster.setupPrimary({ serialization: "advanced" }));
  const nodes = await startProcesses(t, backend, [ours, ours]);
  await meet(nodes);
  await nodes[0].run(({ io, kept }) => void io.on("tell", (value) => (kept.value = value)));
  await nodes[1].run(({ io }) => io.serverSideEmit("tell", Buffer.from([1, 2])));
  await waitUntil(() => nodes[0].run(({ kept }) => kept.value !== undefined), "the value to arrive");
  assert.deepEqual(await nodes[0].run(({ kept }) => kept.value), { type: "Buffer", data: [1, 2] });
});

test("refuses setupPrimary() in a worker [ROB-866]", { timeout: 60_000 }, async (t) => {
  const [node] = await startProcesses(t, backend, [ours]);
  const code = await node.run(({ require }) => {
    try {
      require("../../../../dist/public/cluster.js").setupPrimary();
    } catch (error) {
      return error.code;
    }
  });
  assert.equal(code, "RC_ERR_ARGUMENT");
});
