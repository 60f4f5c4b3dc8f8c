import { test } from "node:test";
import assert from "node:assert/strict";
import { connect, once } from "../../support/client.js";
import { startServer } from "../../support/server.js";
import { http, PollingSession, WireSocket } from "../../support/wire-client.js";
import { eventually } from "../../support/pairs.js";
import { oursOnly } from "../../support/target.js";

const OURS = oursOnly("it counts nothing");

/** The counters that are not 0. */
function counted(counters) {
  return Object.fromEntries(Object.entries(counters).filter(([, count]) => count !== 0));
}

/** The keys of all counters. */
function keysOf(counts) {
  return Object.entries(counts).map(([name, counters]) => [name, Object.keys(counters)]);
}

test("counts how sessions and their sockets end, by reason [ROB-710]", async (t) => {
  const { io, port } = await startServer(t);
  io.of("/other");
  const { counts } = io.engine;
  const keys = keysOf(counts);
  const client = await connect(t, port, "/", { transports: ["websocket"] });
  const other = client.io.socket("/other", {});
  await once(other.connect(), "connect");
  other.disconnect();
  await eventually(() => counts.sockets["client namespace disconnect"] === 1, "the socket to leave");
  assert.deepEqual(counted(counts.sessions), {});
  client.io.engine.close();
  await eventually(() => counts.sessions["transport close"] === 1, "the session to end");
  (await connect(t, port), [...io.of("/").sockets.values()][0].disconnect(true));
  await eventually(() => counts.sessions["forced close"] === 1, "the second session to end");
  assert.deepEqual(counted(counts.sockets), {
    "client namespace disconnect": 1,
    "transport close": 1,
    "server namespace disconnect": 1,
  });
  assert.deepEqual(counted(counts.sessions), { "transport close": 1, "forced close": 1 });
  assert.deepEqual(keysOf(counts), keys);
});

test("counts refusals by their number, and causes by their code; what a peer sends is never a key [ROB-710]", async (t) => {
  const { io, port } = await startServer(t, { maxHttpBufferSize: 1000 });
  const { counts } = io.engine;
  const keys = keysOf(counts);
  const path = "/socket.io/?EIO=4&transport=";
  for (const query of ["constructor", "polling&sid=__proto__", "polling&sid=toString"]) await http(port, { path: path + query });
  assert.deepEqual(counted(counts.refusals), { 0: 1, 1: 2 });
  const large = await PollingSession.open(port, "", { path: "/socket.io/" });
  assert.equal((await large.post("4".repeat(1001))).status, 413);
  assert.deepEqual(counted(counts.sessions), { "transport error": 1 });
  const ws = await WireSocket.open(port, `${path}websocket`);
  ws.send("40");
  ws.send("49999");
  await ws.closed();
  assert.deepEqual(counted(counts.codes), { RC_ERR_BODY_BYTES: 1, RC_ERR_PACKET_TYPE: 1 });
  assert.deepEqual(keysOf(counts), keys);
});

test("counts events that are dropped: over the rate, and volatile ones, once for each client [ROB-710, ROB-767]", OURS, async (t) => {
  const limits = { messagesPerSecond: 0.001, rateBurstMs: 3_000_000, overRate: "drop" }; // three messages: the CONNECT and two more
  const { io, port } = await startServer(t, { limits });
  const { counts } = io.engine;
  const keys = keysOf(counts);
  const sessions = [];
  for (let i = 0; i < 2; i++) {
    const session = await PollingSession.open(port, "", { path: "/socket.io/" });
    sessions.push(session);
    await session.post("40");
    await session.poll();
  }
  const [socket] = io.sockets.sockets.values();
  socket.volatile.emit("position", 1); // no poll waits for it
  assert.deepEqual(counted(counts.dropped), { volatile: 1 });
  io.volatile.emit("position", 2);
  io.to(socket.id).volatile.emit("position", 3);
  assert.deepEqual(counted(counts.dropped), { volatile: 4 });
  await sessions[0].post(['42["a"]', '42["b"]', '42["c"]', '42["d"]', '42["e"]'].join("\x1e"));
  assert.deepEqual(counted(counts.dropped), { volatile: 4, overRate: 3 });
  assert.deepEqual(io.stats().counts.dropped, counts.dropped);
  assert.deepEqual(keysOf(counts), keys);
});
