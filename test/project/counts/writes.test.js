// System calls that write to sockets, per unit of work: numbers that don't depend on the machine's speed. Each ceiling stands a little
// above what is true today; whoever lowers a number lowers its ceiling.
import assert from "node:assert/strict";
import { test } from "node:test";
import { textFrame } from "../../../bench/load/client.mjs";
import { PollingClient } from "../../../bench/load/polling.mjs";
import { receive, startCountedServer } from "./support/server.js";

function assertAtMost(t, actual, ceiling, what) {
  t.diagnostic(`${actual.toFixed(3)} ${what}`);
  assert.ok(actual > 0, `${what}: nothing was counted`);
  assert.ok(actual <= ceiling, `${what}: ${actual.toFixed(3)}, at most ${ceiling}`);
}

const echoFrames = (count) => Buffer.concat(Array.from({ length: count }, (_, i) => textFrame(`42${i}["echo","hello"]`)));

for (const { inFlight, ceiling } of [
  { inFlight: 1, ceiling: 1.01 },
  { inFlight: 8, ceiling: 0.13 },
]) {
  test(`answers ${inFlight} event${inFlight > 1 ? "s that come together" : ""} with one write`, async (t) => {
    const server = await startCountedServer(t);
    const [client] = await server.open(1);
    const rounds = 200;
    const { writes } = await server.count(async () => {
      const frames = echoFrames(inFlight);
      const all = receive(client, rounds * inFlight, (seen) => {
        if (seen % inFlight === 0 && seen < rounds * inFlight) client.socket.write(frames);
      });
      client.socket.write(frames);
      await all;
    });
    assertAtMost(t, writes / (rounds * inFlight), ceiling, "writes per message");
  });
}

test("writes a burst of 20 events to one client once", async (t) => {
  const server = await startCountedServer(t);
  const [client] = await server.open(1);
  const bursts = 100;
  const { writes } = await server.count(async () => {
    const ask = textFrame('42["burst",20,"hello"]');
    const all = receive(client, bursts * 20, (seen) => seen % 20 === 0 && seen < bursts * 20 && client.socket.write(ask));
    client.socket.write(ask);
    await all;
  });
  assertAtMost(t, writes / bursts, 1.01, "writes per burst");
});

for (const perTick of [1, 5]) {
  test(`writes ${perTick} broadcast${perTick > 1 ? "s" : ""} of a tick once to each client`, async (t) => {
    const server = await startCountedServer(t);
    const clients = await server.open(50);
    const ticks = 20;
    const { writes } = await server.count(async () => {
      const all = Promise.all(clients.map((client) => receive(client, ticks * perTick)));
      await server.command("broadcast", { ticks, perTick });
      await all;
    });
    assertAtMost(t, writes / (ticks * clients.length), 1.01, "writes per client and tick");
  });
}

test("opens a WebSocket session and joins a namespace in few writes", async (t) => {
  const server = await startCountedServer(t);
  await server.open(1);
  const { writes } = await server.count(() => server.open(50));
  assertAtMost(t, writes / 50, 2.02, "writes per connection");
});

test("answers a long-polling cycle with one write per response", async (t) => {
  const server = await startCountedServer(t);
  const client = await new PollingClient({ port: server.port }).open();
  t.after(() => client.close());
  const cycles = 100;
  const { writes } = await server.count(async () => {
    for (let i = 0; i < cycles; i++) assert.equal(await client.echo(i), `43${i}["hello world"]`);
  });
  assertAtMost(t, writes / cycles, 2.01, "writes per cycle");
});
