/** Back-pressure for programs: `bufferedBytes` of sockets, `drained()` of sockets and of targets. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { eventually, fence, joinServer, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { pass, within } from "../../support/wait.js";
import { PollingSession } from "../../support/wire-client.js";
import { openWebTransport } from "../../protocol/webtransport/simulated.js";

const OURS = oursOnly("it has no such methods");
const KIB = 1024;
const MIB = 1024 * KIB;
const chunk = "x".repeat(256 * KIB);

/** The state of a promise that may be pending. */
function track(promise) {
  const tracked = { state: "pending", value: undefined };
  promise.then(
    (value) => Object.assign(tracked, { state: "resolved", value }),
    (error) => Object.assign(tracked, { state: "rejected", value: error }),
  );
  return tracked;
}

/** A client that reads nothing after it has joined, and its socket. */
async function openPaused(t, { io, port }, namespace = "/") {
  const ws = await wirePeer(t, port, { namespace });
  ws.pause();
  return { ws, socket: io.of(namespace).sockets.get(ws.payload.sid) };
}

/** Emits so much that some waits, and gives the number of events. */
async function fill(socket, bytes = 12 * MIB) {
  for (let sent = 0; sent < bytes; sent += chunk.length) socket.emit("chunk", chunk);
  await pass();
  assert.ok(socket.bufferedBytes > 4 * MIB, `${socket.bufferedBytes} wait`);
  return bytes / chunk.length;
}

/** Reads so many events. */
async function readAll(ws, count) {
  ws.resume();
  for (let read = 0; read < count; read += 1) await ws.until((message) => message.startsWith('42["chunk"'), 30_000);
}

test("resolves at once when little waits, also for what was emitted in the same tick [ROB-745, ROB-746]", OURS, async (t) => {
  const server = await startServer(t);
  const { client, socket } = await joinServer(t, server);
  await fence(socket, client);
  assert.equal(socket.bufferedBytes, 0);
  socket.emit("hello");
  assert.equal(socket.bufferedBytes, '42["hello"]'.length);
  await socket.drained();
  await within(socket.drained({ below: 1 }), "nothing to wait");
  assert.equal(socket.bufferedBytes, 0);
});

const READERS = [
  ["WebSocket", {}],
  ["WebSocket read by ws", { options: { receive: "ws" } }],
  ["WebSocket of the package ws", { options: { perMessageDeflate: { threshold: 10 * MIB } } }],
];
for (const [name, { options = {} }] of READERS) {
  test(`resolves many calls, each once less than it asks for waits: ${name} [ROB-746]`, OURS, async (t) => {
    const server = await startServer(t, options);
    const { ws, socket } = await openPaused(t, server);
    const count = await fill(socket);
    const waiting = socket.bufferedBytes;
    const order = [];
    const calls = [4 * MIB, MIB, 64 * KIB, 1].flatMap((below) =>
      Array.from({ length: 100 }, () => socket.drained({ below }).then(() => order.push([below, socket.bufferedBytes]))),
    );
    await pass();
    assert.equal(order.length, 0);
    assert.ok(waiting <= count * (chunk.length + 20), "no more than was emitted");
    await Promise.all([within(Promise.all(calls), "all to resolve", undefined, 30_000), readAll(ws, count)]);
    assert.deepEqual(
      order.map(([below]) => below),
      order.map(([below]) => below).sort((a, b) => b - a),
      "none before one that asks for less",
    );
    for (const [below, bytes] of order) assert.ok(bytes < below, `${bytes} wait, ${below} were asked for`);
  });
}

test("paces a loop of emits to a client over TLS [ROB-746]", OURS, async (t) => {
  const server = await startServer(t, {}, { https: true });
  const { client, socket } = await joinServer(t, server, "/", { transports: ["websocket"] });
  let arrived = 0;
  client.on("chunk", () => arrived++);
  for (let i = 0; i < 40; i += 1) {
    socket.emit("chunk", chunk);
    await within(socket.drained(), "a chunk to leave");
    assert.ok(socket.bufferedBytes < 64 * KIB);
  }
  await fence(socket, client);
  assert.equal(arrived, 40);
});

test("resolves when a poll takes what waits [ROB-746]", OURS, async (t) => {
  const { io, port } = await startServer(t);
  const session = await PollingSession.open(port, "", { path: "/socket.io/" });
  await session.post("40");
  const [answer] = await session.poll();
  const socket = io.sockets.sockets.get(JSON.parse(answer.slice(2)).sid);
  socket.emit("a", chunk);
  await pass();
  const call = track(socket.drained());
  await pass();
  assert.equal(call.state, "pending");
  assert.equal((await session.poll()).length, 1);
  await eventually(() => call.state === "resolved" || session.poll(), "the call to resolve"); // by the next poll if the system was slow
  assert.equal(socket.bufferedBytes, 0);
});

test("resolves when a WebTransport stream takes what waits [ROB-746]", OURS, async (t) => {
  const { io } = await startServer(t, { transports: ["webtransport"] });
  const connection = once(io, "connection");
  const { stream } = await openWebTransport(io.engine);
  await stream.send("40");
  const [socket] = await connection;
  for (let i = 0; i < 8; i += 1) socket.emit("chunk", chunk);
  assert.ok(socket.bufferedBytes >= 8 * chunk.length);
  await within(socket.drained({ below: 1 }), "the stream to take all");
  assert.equal(socket.bufferedBytes, 0);
});

test("counts what waits for the connection, which the sockets of a client share [ROB-745]", OURS, async (t) => {
  const server = await startServer(t);
  server.io.of("/other");
  const { ws, socket } = await openPaused(t, server);
  ws.resume();
  ws.send("40/other,");
  const [other] = await once(server.io.of("/other"), "connection");
  ws.pause();
  await fill(socket);
  assert.equal(other.bufferedBytes, socket.bufferedBytes);
  assert.equal(socket.bufferedBytes, socket.conn.bufferedBytes);
  const call = track(other.drained());
  other.disconnect(); // from its namespace alone
  await pass();
  assert.equal(call.value.code, "RC_ERR_DISCONNECTED");
  assert.equal(track(socket.drained()).state, "pending");
});

test("rejects with RC_ERR_DISCONNECTED when the socket is disconnected, and afterwards [ROB-747]", OURS, async (t) => {
  const server = await startServer(t);
  const { ws, socket } = await openPaused(t, server);
  await fill(socket);
  const calls = Array.from({ length: 3 }, () => assert.rejects(socket.drained(), { code: "RC_ERR_DISCONNECTED" }));
  ws.abort({ reset: true });
  await within(Promise.all(calls), "all to reject");
  await assert.rejects(socket.drained(), { code: "RC_ERR_DISCONNECTED", message: new RegExp(socket.id) });
});

test("rejects with the reason of the signal, and leaves no listener on it [ROB-747]", OURS, async (t) => {
  const server = await startServer(t);
  const { ws, socket } = await openPaused(t, server);
  const controller = new AbortController();
  const { signal } = controller;
  await socket.drained({ signal });
  assert.equal(getEventListeners(signal, "abort").length, 0, "after it resolved at once");
  const count = await fill(socket);
  const first = socket.drained({ signal });
  await Promise.all([readAll(ws, count), first]);
  assert.equal(getEventListeners(signal, "abort").length, 0, "after it resolved");
  ws.pause();
  await fill(socket);
  const reason = new Error("enough");
  const calls = [socket.drained({ signal }), server.io.drained({ signal })].map((call) => assert.rejects(call, reason));
  await pass();
  controller.abort(reason);
  await Promise.all(calls);
  assert.equal(getEventListeners(signal, "abort").length, 0, "after the abort");
  await assert.rejects(socket.drained({ signal }), reason);
});

for (const [given, expected] of [
  [{ below: 0 }, /below to be a number of bytes, at least 1, met 0/],
  [{ below: "1" }, /below to be a number/],
  [{ below: Number.NaN }, /met NaN/],
  [{ signal: {} }, /signal to be an AbortSignal, met object/],
]) {
  test(`rejects the options ${JSON.stringify(given)} with RC_ERR_ARGUMENT [ROB-747]`, OURS, async (t) => {
    const server = await startServer(t);
    const { socket } = await joinServer(t, server);
    for (const target of [socket, server.io, server.io.to("room"), socket.broadcast]) {
      await assert.rejects(target.drained(given), { code: "RC_ERR_ARGUMENT", message: expected });
    }
  });
}

test("waits for all members of a target, but not for those that leave or are disconnected [ROB-748]", OURS, async (t) => {
  const server = await startServer(t);
  const { io } = server;
  const slow = [];
  for (let i = 0; i < 3; i += 1) slow.push(await openPaused(t, server));
  const { client, socket: fast } = await joinServer(t, server);
  const outside = await openPaused(t, server);
  for (const { socket } of slow) socket.join("room");
  fast.join("room");
  const counts = [];
  for (const { socket } of [...slow, outside]) counts.push(await fill(socket));

  const room = track(io.to("room").drained());
  const others = track(slow[0].socket.to("room").drained());
  const all = track(io.drained());
  const none = track(io.to("nobody").drained());
  await fence(fast, client);
  assert.deepEqual([room.state, others.state, all.state, none.state], ["pending", "pending", "pending", "resolved"]);

  slow[1].socket.leave("room");
  slow[2].socket.disconnect(true);
  await eventually(() => others.state === "resolved", "the target without the first");
  assert.deepEqual([room.state, all.state], ["pending", "pending"]);
  await readAll(slow[0].ws, counts[0]);
  await eventually(() => room.state === "resolved", "the room");
  assert.equal(all.state, "pending");
  await readAll(slow[1].ws, counts[1]);
  outside.ws.abort();
  await eventually(() => all.state === "resolved", "all");
});

test("waits for the sockets of all children of a parent namespace [ROB-748]", OURS, async (t) => {
  const server = await startServer(t);
  const parent = server.io.of(/^\/room-/);
  const { ws, socket } = await openPaused(t, server, "/room-1");
  const count = await fill(socket);
  const call = track(parent.drained());
  await pass();
  assert.equal(call.state, "pending");
  ws.resume();
  for (let read = 0; read < count; read += 1) await ws.until((message) => message.startsWith('42/room-1,["chunk"'), 30_000);
  await eventually(() => call.state === "resolved", "the call");
});
