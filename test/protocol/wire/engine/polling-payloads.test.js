/** How many packets a response brings, and when it leaves. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ending, pollingPair } from "../../../support/engine.js";
import { startEngine } from "../../../support/server.js";
import { within } from "../../../support/wait.js";
import { PollingSession } from "../../../support/wire-client.js";

const isUws = process.env.TEST_HOST === "uws";
const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => `4${from + i}`);

/** Waits for a poll, then sends so many messages in one tick. */
async function burst(pair, count) {
  const ready = new Promise((resolve) => pair.session.transport.once("ready", resolve));
  const poll = pair.client.poll();
  await ready;
  for (let i = 0; i < count; i++) pair.session.send(String(i));
  return poll;
}

for (const count of [16, 17, 18, 40]) {
  test(`splits a burst of ${count} into responses of 16 packets, one poll after the other [ROB-460]`, async (t) => {
    const pair = await pollingPair(t);
    assert.deepEqual(await burst(pair, count), numbers(0, Math.min(16, count)));
    for (let at = 16; at < count; at += 16) assert.deepEqual(await pair.client.poll(), numbers(at, Math.min(at + 16, count)));
  });
}

test("splits what waited while there was no poll, also in revision 3 [ROB-460, EIO-51]", async (t) => {
  const { client, session } = await pollingPair(t, { allowEIO3: true }, { eio: 3 });
  for (let i = 0; i < 20; i++) session.send("a");
  assert.equal((await client.get()).text, "2:4a".repeat(16));
  assert.equal((await client.get()).text, "2:4a".repeat(4));
});

test("splits what is observed, with callbacks, in order [ROB-460]", async (t) => {
  const pair = await pollingPair(t);
  const called = [];
  pair.session.on("flush", () => {});
  for (let i = 0; i < 20; i++) pair.session.send(String(i), () => called.push(i));
  assert.deepEqual(await pair.client.poll(), numbers(0, 16));
  assert.deepEqual(called.length, 16);
  assert.deepEqual(await pair.client.poll(), numbers(16, 20));
  assert.deepEqual(called, [...Array(20).keys()]);
});

test("sends all of a long queue before the close packet [ROB-460, ROB-510]", async (t) => {
  const { client, session } = await pollingPair(t);
  for (let i = 0; i < 20; i++) session.send(String(i));
  const end = ending(session);
  session.close();
  assert.deepEqual(await client.poll(), numbers(0, 16));
  assert.deepEqual(await client.poll(), numbers(16, 20));
  assert.deepEqual(await client.poll(), ["6", "1"]);
  assert.equal((await end).reason, "forced close");
});

test("takes the rest of a long queue along to the WebSocket [ROB-460]", async (t) => {
  const { client, session } = await pollingPair(t);
  for (let i = 0; i < 40; i++) session.send(String(i));
  assert.deepEqual(await client.poll(), numbers(0, 16));
  const ws = await client.upgrade();
  for (const packet of numbers(16, 40)) await ws.expect(packet);
});

for (const [limit, sizes] of [
  [1, [1, 1, 1]],
  [2, [2, 1]],
  [Infinity, [3]],
]) {
  test(`puts at most ${limit} packets into a response when asked to [ROB-460]`, async (t) => {
    const pair = await pollingPair(t, { maxPacketsPerPayload: limit });
    const met = [(await burst(pair, 3)).length];
    while (met.length < sizes.length) met.push((await pair.client.poll()).length);
    assert.deepEqual(met, sizes);
  });
}

test("refuses a limit of packets that cannot work [ROB-460]", async (t) => {
  for (const maxPacketsPerPayload of [0, -1, NaN, "16"]) {
    await assert.rejects(startEngine(t, { maxPacketsPerPayload }), { code: "RC_ERR_OPTION" });
  }
});

test("answers a waiting poll within the send with flush: immediate, the rest with the next [ROB-350]", async (t) => {
  const pair = await pollingPair(t, { flush: "immediate" });
  assert.deepEqual(await burst(pair, 3), ["40"]);
  assert.deepEqual(await pair.client.poll(), ["41", "42"]);
});

const HOSTS = isUws ? ["uws"] : ["http", "https"];
for (const host of HOSTS) {
  for (const size of [10, 5000]) {
    test(`lets an emit of ${size} bytes leave before synchronous work with flush: immediate, on ${host} [ROB-350]`, async (t) => {
      const child = fork(fileURLToPath(new URL("./fixtures/busy-after-emit.mjs", import.meta.url)), [host, String(size)]);
      t.after(() => child.disconnect());
      const reports = [];
      const report = (kind) =>
        within(
          new Promise((resolve) => {
            child.on("message", (message) => message[kind] !== undefined && resolve(message[kind]));
          }),
          kind,
          () => reports,
          20_000,
        );
      const worked = report("worked");
      const { port, flag } = await report("listening");
      const client = await PollingSession.open(port, "", { tls: host === "https" });
      const poll = client.get({ headers: { "Accept-Encoding": "gzip" } });
      void poll.then(() => writeFileSync(flag, ""));
      await client.post("4go");
      assert.equal(await worked, "seen", "the server worked to the end of its patience before the client had the answer");
      assert.equal((await poll).status, 200);
    });
  }
}
