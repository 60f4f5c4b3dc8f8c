// Bytes of the heap: what an idle connection keeps, and what a message allocates. They don't depend on the machine's speed, but a little on
// the version of Node.js: each ceiling stands above the versions that are supported.
import assert from "node:assert/strict";
import { test } from "node:test";
import { textFrame } from "../../../bench/load/client.mjs";
import { receive, startCountedServer } from "./support/server.js";

test("keeps few bytes of heap for an idle connection", async (t) => {
  const server = await startCountedServer(t);
  await server.open(500); // tables grow in steps; the first clients also pay for what is loaded late
  const { heap: before } = await server.command("start");
  await server.open(2000);
  const { heap: after } = await server.command("start");
  const bytes = (after - before) / 2000;
  t.diagnostic(`${bytes.toFixed(0)} bytes per connection`);
  assert.ok(bytes < 3800, `${bytes.toFixed(0)} bytes per connection`);
});

test("keeps nothing of rooms that are gone", async (t) => {
  const server = await startCountedServer(t);
  await server.open(1);
  await server.command("visit", { from: 0, count: 5000 });
  const { heap: before } = await server.command("start");
  await server.command("visit", { from: 5000, count: 100_000 });
  const { heap: after } = await server.command("start");
  t.diagnostic(`${after - before} bytes more after 100,000 rooms`);
  assert.ok(after - before < 400_000, `${after - before} bytes more after 100,000 rooms`);
});

/** Measures until no collection disturbed: the young generation holds a whole run, but an old one may be due. */
async function allocatedPerUnit(server, units, work) {
  for (let i = 0; i < 3; i++) await work(); // the compiler allocates too
  for (let i = 0; i < 5; i++) {
    const { allocated, collections } = await server.count(work);
    if (collections === 0) return allocated / units;
  }
  throw new Error("every run was disturbed by a garbage collection");
}

test("allocates little for an event with acknowledgement", async (t) => {
  const server = await startCountedServer(t);
  const clients = await server.open(20);
  const rounds = 200;
  const bytes = await allocatedPerUnit(server, clients.length * rounds * 8, async () => {
    const frames = Buffer.concat(Array.from({ length: 8 }, (_, i) => textFrame(`42${i}["echo","hello"]`)));
    const all = clients.map((client) =>
      receive(client, rounds * 8, (seen) => seen % 8 === 0 && seen < rounds * 8 && client.socket.write(frames)),
    );
    for (const client of clients) client.socket.write(frames);
    await Promise.all(all);
  });
  t.diagnostic(`${bytes.toFixed(0)} bytes per message`);
  assert.ok(bytes < 1600, `${bytes.toFixed(0)} bytes per message`);
});

test("allocates little for an event without acknowledgement", async (t) => {
  const server = await startCountedServer(t);
  const [client] = await server.open(1);
  const bytes = await allocatedPerUnit(server, 20 * 500, async () => {
    const chunk = Buffer.concat(Array.from({ length: 20 }, () => textFrame('42["ingest",{"a":1,"b":"hello"}]')));
    const done = receive(client, 1);
    for (let i = 0; i < 500; i++) client.socket.write(chunk);
    client.socket.write(textFrame('420["echo",1]'));
    await done;
  });
  t.diagnostic(`${bytes.toFixed(0)} bytes per message`);
  assert.ok(bytes < 540, `${bytes.toFixed(0)} bytes per message`);
});

test("allocates little for each event of a burst", async (t) => {
  const server = await startCountedServer(t);
  const [client] = await server.open(1);
  const bursts = 300;
  const bytes = await allocatedPerUnit(server, bursts * 20, async () => {
    const ask = textFrame('42["burst",20,"hello"]');
    const all = receive(client, bursts * 20, (seen) => seen % 20 === 0 && seen < bursts * 20 && client.socket.write(ask));
    client.socket.write(ask);
    await all;
  });
  t.diagnostic(`${bytes.toFixed(0)} bytes per message`);
  assert.ok(bytes < 950, `${bytes.toFixed(0)} bytes per message`);
});

test("allocates little for each receiver of a broadcast", async (t) => {
  const server = await startCountedServer(t);
  const clients = await server.open(100);
  const ticks = 50;
  const bytes = await allocatedPerUnit(server, ticks * clients.length, async () => {
    const all = Promise.all(clients.map((client) => receive(client, ticks)));
    await server.command("broadcast", { ticks, perTick: 1 });
    await all;
  });
  t.diagnostic(`${bytes.toFixed(0)} bytes per receiver`);
  assert.ok(bytes < 200, `${bytes.toFixed(0)} bytes per receiver`);
});
