/**
 * Rows 9 and 33 of the list of known attacks at their full size, with samples of the memory while they run.
 * `FLOOD_SECONDS=60` makes the flood of pings as long as in the list.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openAttacker, openBystander, sessionEnd, startChild } from "../../support/hostile/child.js";
import { oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { frame, OPCODE } from "../../support/wire-client.js";

const NO_LIMITS = oursOnly("it buffers without limit");
const KIB = 1024;
const MIB = 1024 * KIB;
const MB = 1_000_000;
const FLOOD_SECONDS = Number(process.env.FLOOD_SECONDS ?? 4);

const EVENTS = 50_000;
const SIZE = KIB;

/** Counts the bytes that a client gets; `all` is fulfilled when they are at least `expected`. Pings of the server get no answer. */
function countBytes(ws, expected) {
  const counted = { bytes: 0 };
  counted.all = new Promise((resolve) => {
    ws.socket.removeAllListeners("data");
    ws.socket.on("data", (chunk) => {
      counted.bytes += chunk.length;
      if (counted.bytes >= expected) resolve();
    });
  });
  return counted;
}

for (const slowReaders of ["close", "drop-oldest"]) {
  test(
    `holds less than 20 MB more after 50,000 events of 1 KB to ten clients of which one stalls, and the others get all: slowReaders "${slowReaders}" [ROB-440, ROB-750, ROB-985]`,
    { ...NO_LIMITS, timeout: 180_000 },
    async (t) => {
      const child = await startChild(t, { app: "sender", options: { slowReaders, limits: { bufferedBytes: 8 * MIB } } });
      const readers = [];
      for (let i = 0; i < 9; i += 1) readers.push(await openAttacker(t, child));
      const stalled = await openAttacker(t, child);
      stalled.pause();
      const frameBytes = 4 + '42["data",""]'.length + SIZE;
      const counts = readers.map((ws) => countBytes(ws, EVENTS * frameBytes));
      const before = await child.heldBytes();
      let peak = 0;
      for (let sent = 0; sent < EVENTS; sent += 1000) {
        await child.call("flood", { count: 1000, size: SIZE });
        peak = Math.max(peak, (await child.heldBytes()) - before);
      }
      await within(Promise.all(counts.map(({ all }) => all)), "all events to arrive", () => counts.map(({ bytes }) => bytes), 60_000);
      const connected = await child.call("isConnected", stalled.socketId);
      const after = (await child.heldBytes()) - before;
      t.diagnostic(
        `growth ${(after / MB).toFixed(1)} MB, at most ${(peak / MB).toFixed(1)} MB while it ran; stalled client connected: ${connected}`,
      );
      assert.ok(after < 20 * MB, `${after} bytes more`);
      assert.equal(connected, slowReaders === "drop-oldest");
      assert.ok(peak < 20 * MB, `${peak} bytes more while it ran`);
      for (const ws of readers) assert.equal(await child.call("isConnected", ws.socketId), true);
      await child.assertUnharmed();
    },
  );
}

test(
  `holds less than 20 MB more during ${FLOOD_SECONDS} s of pings of clients that never read [ENG-119]`,
  { ...NO_LIMITS, timeout: FLOOD_SECONDS * 2000 + 60_000 },
  async (t) => {
    const child = await startChild(t);
    const bystander = await openBystander(t, child);
    const pings = Buffer.concat(Array(2000).fill(frame(OPCODE.ping, Buffer.alloc(125, "p"))));
    const before = await child.heldBytes();
    const { rss: rssBefore } = await child.call("memory");
    let peak = 0;
    let rss = 0;
    let attackers = 0;
    for (const end = performance.now() + FLOOD_SECONDS * 1000; performance.now() < end; attackers += 1) {
      const ws = await openAttacker(t, child);
      ws.pause();
      const ended = sessionEnd(child, ws.sid, 30_000);
      while (!ws.socket.destroyed) await write(ws, pings);
      assert.equal((await ended).description.code, "RC_ERR_QUEUED_PONGS");
      peak = Math.max(peak, (await child.heldBytes()) - before);
      rss = Math.max(rss, (await child.call("memory")).rss - rssBefore);
      await bystander.check();
    }
    t.diagnostic(`${attackers} clients, growth at most ${(peak / MB).toFixed(1)} MB held, ${(rss / MB).toFixed(1)} MB resident`);
    assert.ok(peak < 20 * MB, `${peak} bytes more`);
    await child.assertUnharmed();
  },
);

/** Writes bytes, and waits until they are taken or the connection has ended. */
function write({ socket }, bytes) {
  return new Promise((resolve) => {
    socket.once("close", resolve);
    socket.write(bytes, () => {
      socket.off("close", resolve);
      setImmediate(resolve);
    });
  });
}
