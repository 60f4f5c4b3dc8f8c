/** Limits on what the recovery of sessions may cost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";

const NO_LIMIT = oursOnly("it has no such limits");

/** A server, and a client whose connection was cut after it got an event. */
async function interrupted(t, limits) {
  const { io, port } = await startServer(t, { limits, connectionStateRecovery: true });
  const expired = [];
  io.of("/").adapter.on("session-expired", ({ sid }) => expired.push(sid));
  const peer = await wirePeer(t, port);
  io.emit("first");
  const offset = JSON.parse((await peer.next()).slice(2)).at(-1);
  await cut(io, peer);
  return { io, port, expired, pid: peer.payload.pid, sid: peer.payload.sid, offset };
}

async function cut(io, peer) {
  peer.abort();
  await eventually(() => io.of("/").sockets.size === 0);
}

for (const [name, limits, packets, isRecovered] of [
  ["replayedPackets", { replayedPackets: 5 }, 5, true],
  ["replayedPackets", { replayedPackets: 5 }, 6, false],
  ["replayedBytes", { replayedBytes: 10_000 }, 5, true],
  ["replayedBytes", { replayedBytes: 10_000 }, 10, false],
  ["no limit", {}, 500, true],
]) {
  test(`${isRecovered ? "recovers" : "drops"} a session that has missed ${packets} packets, ${name} [ROB-780]`, NO_LIMIT, async (t) => {
    const { io, port, expired, pid, sid, offset } = await interrupted(t, limits);
    for (let i = 0; i < 100; i++) io.to("elsewhere").emit("not missed", "x".repeat(1000));
    for (let i = 0; i < packets; i++) io.emit("missed", "x".repeat(1000));
    const peer = await wirePeer(t, port, { auth: { pid, offset }, join: false });
    peer.send(`40${JSON.stringify({ pid, offset })}`);
    await eventually(() => io.of("/").sockets.size === 1);
    const [socket] = io.of("/").sockets.values();
    assert.deepEqual([socket.recovered, socket.id === sid], [isRecovered, isRecovered]);
    assert.deepEqual(expired, isRecovered ? [] : [sid]);
    assert.equal(io.engine.counts.codes.RC_ERR_REPLAY, isRecovered ? 0 : 1);
    for (let i = 0; isRecovered && i < packets; i++) assert.match(await peer.next(), /^42\["missed"/);
    assert.match(await peer.next(), /^40\{"sid"/);
    assert.equal(io.stats().namespaces["/"].adapter.recoverySessions, 0);
  });
}

test("recovers a session so often a minute, and then gives the client a new one [ROB-781]", NO_LIMIT, async (t) => {
  const { io, port, expired, pid, sid, offset } = await interrupted(t, { recoveriesPerMinute: 3 });
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() });
  const recovered = async () => {
    const peer = await wirePeer(t, port, { auth: { pid, offset } });
    const [socket] = io.of("/").sockets.values();
    const is = socket.recovered && socket.id === sid;
    await cut(io, peer);
    return is;
  };
  for (let i = 0; i < 3; i++) assert.equal(await recovered(), true);
  t.mock.timers.tick(60_000);
  for (let i = 0; i < 3; i++) assert.equal(await recovered(), true, "in another minute");
  assert.equal(await recovered(), false);
  assert.deepEqual(expired, [sid]);
  assert.equal(io.engine.counts.codes.RC_ERR_RECOVERIES, 1);
});
