/** The life time of acknowledgements without a time-out, and broadcasts to clients that owe many. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { linkedServers } from "../../support/bus-adapter.js";
import { once } from "../../support/client.js";
import { crowd, eventually, fence, joinServer, pair } from "../../support/pairs.js";
import { oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";

const NO_LIMIT = oursOnly("it has no such limits");
const LIFETIME = { limits: { ackLifetimeMs: 50 } };

function rejection(promise) {
  return within(
    promise.then(assert.fail, (error) => error),
    "the rejection",
  );
}

for (const transport of ["websocket", "polling"]) {
  test(`forgets what a client was asked without a time-out after limits.ackLifetimeMs, ${transport} [ROB-779]`, NO_LIMIT, async (t) => {
    const { io, socket, client } = await pair(t, LIFETIME, { client: { transports: [transport] } });
    const called = [];
    client.on("silence", (answer) => client.once("now", answer));
    socket.emit("silence", (...values) => called.push(values));
    const { code, limit, met } = await rejection(socket.emitWithAck("silence"));
    assert.deepEqual([code, limit, met], ["RC_ERR_ACK_LIFETIME", 50, 50]);
    assert.equal(io.engine.counts.codes.RC_ERR_ACK_LIFETIME, 2);
    const { timedAcks, namespaces } = io.stats();
    assert.deepEqual([timedAcks, namespaces["/"].acks], [0, 0]);
    socket.emit("now"); // the late answers are ignored
    await fence(socket, client);
    assert.deepEqual(called, []);
    assert.equal(socket.connected, true);
  });
}

test("answers in time come as without the limit, and timeout() is not changed by it [ROB-779]", NO_LIMIT, async (t) => {
  const { io, socket, client } = await pair(t, { limits: { ackLifetimeMs: 600_000 } });
  client.on("ask", (answer) => answer("one", "two"));
  assert.equal(await socket.emitWithAck("ask"), "one");
  assert.deepEqual(await new Promise((resolve) => socket.emit("ask", (...values) => resolve(values))), ["one", "two"]);
  assert.deepEqual(await io.emitWithAck("ask"), ["one"]);
  assert.deepEqual(await new Promise((resolve) => io.emit("ask", (...values) => resolve(values))), [null, ["one"]]);
  assert.equal((await rejection(socket.timeout(5).emitWithAck("silence"))).code, "RC_ERR_TIMEOUT");
  assert.equal((await rejection(io.timeout(5).emitWithAck("silence"))).code, "RC_ERR_TIMEOUT");
  assert.equal(io.engine.counts.codes.RC_ERR_ACK_LIFETIME, 0);
  assert.equal(io.stats().timedAcks, 0);
});

test("a broadcast ends with the answers so far after limits.ackLifetimeMs [ROB-779]", NO_LIMIT, async (t) => {
  const { io, clients, sockets } = await crowd(t, 3, LIFETIME);
  clients[0].on("ask", (answer) => answer("first"));
  const { code, responses } = await rejection(io.emitWithAck("ask"));
  assert.deepEqual([code, responses], ["RC_ERR_ACK_LIFETIME", ["first"]]);
  const [error, answers] = await new Promise((resolve) => io.emit("ask", (...values) => resolve(values)));
  assert.deepEqual([error.code, answers], ["RC_ERR_ACK_LIFETIME", ["first"]]);
  assert.equal(io.engine.counts.codes.RC_ERR_ACK_LIFETIME, 2);
  for (const socket of sockets) assert.deepEqual([socket.acks.size, socket.connected], [0, true]);
});

test("other servers forget a broadcast after the life time, too [ROB-779]", NO_LIMIT, async (t) => {
  const servers = await linkedServers(t, 2, LIFETIME);
  const { socket } = await joinServer(t, servers[1]);
  assert.equal((await rejection(servers[0].io.emitWithAck("ask"))).code, "RC_ERR_ACK_LIFETIME");
  await eventually(() => socket.acks.size === 0);
  assert.equal(servers[0].io.of("/").adapter.ackRequests.size, 0);
});

test("io.close() settles promises that have a life time, which leave no timer [ROB-779, ROB-450]", NO_LIMIT, async (t) => {
  const { io, socket } = await pair(t, { limits: { ackLifetimeMs: 600_000 } });
  const errors = [rejection(socket.emitWithAck("silence")), rejection(io.emitWithAck("silence"))];
  await io.close();
  for (const { code } of await Promise.all(errors)) assert.match(code, /^RC_ERR_(CLOSED|DISCONNECTED)$/);
  assert.equal(io.stats().timedAcks, 0);
});

test("rejects at once when the client leaves, with acks.onDisconnect [ROB-779, ROB-717]", NO_LIMIT, async (t) => {
  const { io, socket, client } = await pair(t, { limits: { ackLifetimeMs: 600_000 }, acks: { onDisconnect: "reject" } });
  const error = rejection(socket.emitWithAck("silence"));
  client.disconnect();
  assert.equal((await error).code, "RC_ERR_DISCONNECTED");
  assert.equal(io.stats().timedAcks, 0);
});

test("a broadcast closes the receivers that owe too many, after it was written to all [ROB-778, ROB-715]", NO_LIMIT, async (t) => {
  const { io, clients, sockets } = await crowd(t, 3, { limits: { pendingAcks: 3 } });
  const got = [0, 0, 0];
  clients.forEach((client, i) => client.on("ask", (answer) => (got[i]++, i !== 1 && answer(i))));
  const ends = once(sockets[1], "disconnect");
  const settled = [];
  for (let i = 0; i < 4; i++) {
    settled.push(rejection(io.emitWithAck("ask")));
    await fence(sockets[0], clients[0]);
    await fence(sockets[2], clients[2]);
  }
  const [reason, { code, limit, met }] = await ends;
  assert.deepEqual([reason, code, limit, met], ["transport error", "RC_ERR_PENDING_ACKS", 3, 4]);
  for (const { code, responses } of await Promise.all(settled)) assert.deepEqual([code, responses.sort()], ["RC_ERR_DISCONNECTED", [0, 2]]);
  assert.deepEqual([got[0], got[2], sockets[0].connected, sockets[2].connected], [4, 4, true, true]);
});
