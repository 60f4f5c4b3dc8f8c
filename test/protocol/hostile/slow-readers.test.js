/** Clients that stop reading while the server emits; row 33 of the list of known attacks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertBounded, openAttacker, openBystander, sessionEnd, startChild } from "../../support/hostile/child.js";
import { oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { PollingSession } from "../../support/wire-client.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const NO_LIMITS = oursOnly("it buffers without limit");

/** Starts a server with these limits, a bystander, and a client that does not read any more. */
async function openStalled(t, limits) {
  const child = await startChild(t, { app: "sender", options: { limits } });
  const bystander = await openBystander(t, child);
  const ws = await openAttacker(t, child);
  ws.pause();
  return { child, bystander, ws };
}

for (const binary of [false, true]) {
  test(
    `closes a client that stopped reading at once when twice bufferedBytes of ${binary ? "binary" : "text"} wait for it [ENG-162, ROB-441]`,
    NO_LIMITS,
    async (t) => {
      const { child, bystander, ws } = await openStalled(t, { bufferedBytes: 2 * MIB, stalledAfterMs: false });
      const before = await child.heldBytes();
      const count = await child.call("pour", ws.socketId, { bytes: 64 * MIB, size: 64 * KIB, binary });
      assert.ok(count < 1024, "everything was taken");
      const { reason, description } = await sessionEnd(child, ws.sid);
      assert.equal(reason, "transport error");
      assert.equal(description.code, "RC_ERR_BUFFERED_BYTES");
      assert.equal(description.limit, 2 * MIB);
      assert.ok(description.met > 4 * MIB && description.met < 4.5 * MIB, `met ${description.met}`);
      assert.match(description.message, /2097152/);
      assertBounded(before, await child.heldBytes(), 2 * MIB, "after the close");
      await bystander.check();
      await child.untilClients(1);
      await child.assertUnharmed();
    },
  );
}

test("gives the limit to disconnect listeners as description [SIO-60, DIS-30]", NO_LIMITS, async (t) => {
  const { child, ws } = await openStalled(t, { bufferedBytes: MIB });
  await child.call("pour", ws.socketId, { bytes: 64 * MIB, size: 64 * KIB });
  const [, reason, description] = await child.report("disconnect", ws.socketId);
  assert.equal(reason, "transport error");
  assert.deepEqual([description.code, description.limit], ["RC_ERR_BUFFERED_BYTES", MIB]);
});

test(
  "holds at most twice the limit for a client that stopped reading, during broadcasts to all [ENG-162, ROB-441, THREAT-33]",
  NO_LIMITS,
  async (t) => {
    const { child, bystander, ws } = await openStalled(t, { bufferedBytes: 4 * MIB });
    const before = await child.heldBytes();
    const end = sessionEnd(child, ws.sid, 20_000);
    for (let round = 0; round < 48; round++) {
      await child.call("pourToAll", { bytes: MIB, size: 16 * KIB });
      await bystander.check(); // it has read this round
    }
    const { reason, description } = await end;
    assert.deepEqual([reason, description.code], ["transport error", "RC_ERR_BUFFERED_BYTES"]);
    assertBounded(before, await child.heldBytes(), 4 * MIB, "after the broadcasts");
    await child.assertUnharmed();
  },
);

test("closes a client that makes no progress for stalledAfterMs [ENG-162]", NO_LIMITS, async (t) => {
  const { child, bystander, ws } = await openStalled(t, { stalledAfterMs: 300, stalledBytes: 256 * KIB });
  const before = await child.heldBytes();
  await child.call("pour", ws.socketId, { bytes: 32 * MIB, size: 256 * KIB, perTick: 8 });
  const start = performance.now();
  const { reason, description } = await sessionEnd(child, ws.sid);
  assert.equal(reason, "transport error");
  assert.equal(description.code, "RC_ERR_STALLED");
  assert.equal(description.limit, 300);
  assert.ok(description.met >= 300, `met ${description.met}`);
  assert.ok(performance.now() - start < 3000, "closed late");
  assertBounded(before, await child.heldBytes(), 2 * MIB, "after the close");
  await bystander.check();
  await child.untilClients(1);
  await child.assertUnharmed();
});

test("leaves a client alone that is slow but makes progress [ENG-162]", NO_LIMITS, async (t) => {
  const { child, bystander, ws } = await openStalled(t, { stalledAfterMs: 500, stalledBytes: 128 * KIB });
  let read = 0;
  ws.socket.removeAllListeners("data");
  ws.socket.on("data", (chunk) => {
    read += chunk.length;
    ws.pause();
    setTimeout(() => ws.resume(), 5);
  });
  ws.resume();
  const { connected, emitted } = await child.call("keepFull", ws.socketId, { ahead: 2 * MIB, size: 16 * KIB, ms: 2500 });
  assert.equal(connected, true);
  assert.ok(read > MIB && emitted > 2 * MIB, `${read} read, ${emitted} emitted`);
  assert.ok((await child.call("waiting", ws.socketId)) > 128 * KIB, "the client was always behind");
  await bystander.check();
  await child.assertUnharmed();
});

test("leaves a client alone that waits with less than stalledBytes [ENG-162]", NO_LIMITS, async (t) => {
  const child = await startChild(t, { app: "sender", options: { limits: { stalledAfterMs: 50, stalledBytes: 256 * KIB } } });
  const session = await PollingSession.open(child.port, "", { path: "/socket.io/" });
  await session.post("40");
  const [answer] = await session.poll();
  const { sid } = JSON.parse(answer.slice(2));
  assert.equal(await child.call("pour", sid, { bytes: 128 * KIB, size: 16 * KIB }), 8);
  const bystander = await openBystander(t, child);
  const end = performance.now() + 250; // five times the limit
  while (performance.now() < end) await bystander.check();
  assert.equal((await session.poll()).length, 8);
  await child.assertUnharmed();
});

const POLLING = [
  ["twice bufferedBytes wait for it", { bufferedBytes: MIB }, { bytes: 8 * MIB, size: 64 * KIB }, "RC_ERR_BUFFERED_BYTES", MIB],
  [
    "bufferedBytes have waited for it for a while",
    { bufferedBytes: MIB },
    { bytes: 1.5 * MIB, size: 768 * KIB },
    "RC_ERR_BUFFERED_BYTES",
    MIB,
  ],
  ["too many packets wait for it", { bufferedPackets: 1000 }, { bytes: 5000, size: 1 }, "RC_ERR_BUFFERED_PACKETS", 1000],
  [
    "it makes no progress for stalledAfterMs",
    { stalledAfterMs: 200, stalledBytes: 256 * KIB },
    { bytes: MIB, size: 64 * KIB },
    "RC_ERR_STALLED",
    200,
  ],
];
for (const [what, limits, pour, code, limit] of POLLING) {
  test(`closes a client that stopped polling when ${what} [ENG-162, ROB-121, ROB-440]`, NO_LIMITS, async (t) => {
    const child = await startChild(t, { app: "sender", options: { limits } });
    const bystander = await openBystander(t, child);
    const session = await PollingSession.open(child.port, "", { path: "/socket.io/" });
    await session.post("40");
    const [answer] = await session.poll();
    await child.call("pour", JSON.parse(answer.slice(2)).sid, pour);
    const { reason, description } = await sessionEnd(child, session.sid, 20_000);
    assert.deepEqual([reason, description.code, description.limit], ["transport error", code, limit]);
    assert.equal((await session.get()).status, 400);
    await bystander.check();
    await child.assertUnharmed();
  });
}

test("keeps everything for a client that stopped reading, and delivers it, with the limits off [ENG-162]", async (t) => {
  const { child, bystander, ws } = await openStalled(t, { bufferedBytes: false, stalledAfterMs: false });
  const count = await child.call("pour", ws.socketId, { bytes: 24 * MIB, size: 256 * KIB });
  assert.equal(count, 96);
  await bystander.check();
  ws.resume();
  for (let i = 0; i < count; i++) assert.equal((await ws.next(15_000)).length, 256 * KIB + '42["data",""]'.length);
  await bystander.check();
  await child.assertUnharmed();
});

test("delivers a burst far above the stall mark to a client that reads, with the limits as they are [ENG-162]", async (t) => {
  const child = await startChild(t, { app: "sender" });
  const ws = await openAttacker(t, child);
  const pouring = child.call("pour", ws.socketId, { bytes: 32 * MIB, size: MIB, perTick: 32 });
  for (let i = 0; i < 32; i++) assert.equal((await ws.next(15_000)).length, MIB + '42["data",""]'.length);
  assert.equal(await pouring, 32);
  await child.assertUnharmed();
});

test("delivers 200 MiB that were emitted in one tick to a client that reads [ROB-440]", { timeout: 120_000 }, async (t) => {
  const child = await startChild(t, { app: "sender" });
  const ws = await openAttacker(t, child);
  let read = 0;
  let onAll;
  const all = new Promise((resolve) => (onAll = resolve));
  ws.socket.removeAllListeners("data");
  ws.socket.on("data", (chunk) => {
    read += chunk.length;
    if (read >= 200 * (MIB + 12)) onAll();
  });
  const pouring = child.call("pour", ws.socketId, { bytes: 200 * MIB, size: MIB, perTick: 200 });
  await within(all, "all of it to arrive", () => `${read} bytes`, 60_000);
  assert.equal(await pouring, 200);
  await child.assertUnharmed();
});

const BAD_LIMITS = [
  { bufferedBytes: "1" },
  { bufferedBytes: -1 },
  { stalledAfterMs: Number.NaN },
  { unknown: 1 },
  { totalBufferedBytes: "1" },
  { bufferedPackets: -1 },
  { depth: true },
];
for (const limits of BAD_LIMITS) {
  test(`refuses the limits ${JSON.stringify(limits)} when the server is made`, oursOnly("it ignores them"), async (t) => {
    await assert.rejects(startChild(t, { options: { limits } }), /RC_ERR_OPTION|option limits/);
  });
}
