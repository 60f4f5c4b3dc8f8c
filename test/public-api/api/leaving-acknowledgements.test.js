/** Acknowledgements of clients that leave before they answer. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { linkedServers } from "../../support/bus-adapter.js";
import { once } from "../../support/client.js";
import { crowd, fence, joinServer, pair } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly, Server } from "../../support/target.js";
import { within } from "../../support/wait.js";

const EARLY = oursOnly("it waits for clients that have left until the time-out");
/** A time-out that no test reaches. */
const LONG_MS = 1_000_000;

/** `[error.code, error.message, responses]` of a broadcast. */
function outcome(target, event = "question") {
  const settled = new Promise((resolve) => target.emit(event, (error, responses) => resolve([error?.code, error?.message, responses])));
  return within(settled, "the callback of the broadcast");
}

/** Why a promise rejects. */
function rejection(promise) {
  return within(
    promise.then(assert.fail, (error) => error),
    "the rejection",
  );
}

for (const [how, leave] of [
  ["the client disconnects", (client) => client.disconnect()],
  ["its connection is cut", (client) => client.io.engine.close()],
  ["the server disconnects it", (client, io) => io.of("/").sockets.get(client.id).disconnect()],
]) {
  test(`fails a broadcast as at its time-out, once all others have acknowledged, when ${how} [ROB-715, ACK-24]`, EARLY, async (t) => {
    const { io, clients, sockets } = await crowd(t, 3);
    let answerLate;
    clients[0].on("question", (answer) => answer("first"));
    clients[1].on("question", (answer) => (answerLate = answer));
    const settled = outcome(io.timeout(LONG_MS));
    await fence(sockets[1], clients[1]);
    const left = once(sockets[2], "disconnect");
    leave(clients[2], io);
    await left;
    answerLate("late");
    assert.deepEqual(await settled, ["RC_ERR_DISCONNECTED", "operation has timed out", ["first", "late"]]);
    assert.deepEqual([sockets[0].acks.size, sockets[1].acks.size, sockets[2].acks.size], [0, 0, 0]);
  });
}

test("settles a broadcast without a time-out as well, with an error that says why [ROB-715]", EARLY, async (t) => {
  const { io, clients, sockets } = await crowd(t, 2);
  clients[0].on("question", (answer) => answer("first"));
  const error = rejection(io.emitWithAck("question"));
  await fence(sockets[0], clients[0]);
  sockets[1].disconnect();
  const { code, message, responses } = await error;
  assert.deepEqual([code, message, responses], ["RC_ERR_DISCONNECTED", "a client disconnected before it answered", ["first"]]);
});

test("does not fail a broadcast for a client that has acknowledged before it leaves [ROB-715]", EARLY, async (t) => {
  const { io, clients, sockets } = await crowd(t, 2);
  let answerLate;
  clients[0].on("question", (answer) => answer("first"));
  clients[1].on("question", (answer) => (answerLate = answer));
  const settled = outcome(io.timeout(LONG_MS));
  await fence(sockets[0], clients[0]);
  await fence(clients[0], sockets[0]);
  sockets[0].disconnect();
  await fence(sockets[1], clients[1]);
  answerLate("last");
  assert.deepEqual(await settled, [undefined, undefined, ["first", "last"]]);
});

test("settles a broadcast of a parent namespace [ROB-715]", EARLY, async (t) => {
  const server = await startServer(t);
  const parent = server.io.of(/^\/room-\d$/);
  const one = await joinServer(t, server, "/room-1");
  const two = await joinServer(t, server, "/room-2");
  one.client.on("question", (answer) => answer("one"));
  const settled = outcome(parent.timeout(LONG_MS));
  await fence(two.socket, two.client);
  two.client.disconnect();
  assert.deepEqual((await settled)[2], ["one"]);
});

test("does not wait for a session that is kept for recovery: its acknowledgements are not [ROB-716]", EARLY, async (t) => {
  const { io, clients, sockets } = await crowd(t, 2, { connectionStateRecovery: true });
  clients[0].on("question", (answer) => answer("first"));
  let answerLate;
  clients[1].on("question", (answer) => (answerLate = answer));
  sockets[1].emit("with an offset");
  const settled = outcome(io.timeout(LONG_MS));
  await fence(sockets[1], clients[1]);
  const [client] = clients.slice(1);
  client.io.engine.close();
  assert.deepEqual(await settled, ["RC_ERR_DISCONNECTED", "operation has timed out", ["first"]]);
  const back = once(io, "connection");
  client.connect();
  const [socket] = await back;
  assert.equal(socket.recovered, true);
  answerLate("after the recovery");
  await fence(client, socket);
  assert.equal(socket.acks.size, 0);
});

test("settles a broadcast over several servers, when a client of another server leaves [ROB-715]", EARLY, async (t) => {
  const servers = await linkedServers(t, 2);
  const here = await joinServer(t, servers[0]);
  const there = await joinServer(t, servers[1]);
  here.client.on("question", (answer) => answer("here"));
  const asked = once(there.client, "question");
  const settled = outcome(servers[0].io.timeout(LONG_MS));
  await asked;
  there.client.disconnect();
  assert.deepEqual(await settled, ["RC_ERR_DISCONNECTED", "operation has timed out", ["here"]]);
  assert.equal(servers[0].io.of("/").adapter.ackRequests.size, 0);
});

test("settles a broadcast over several servers, when another server closes or falls silent [ROB-715]", EARLY, async (t) => {
  const servers = await linkedServers(t, 3, {}, { heartbeatInterval: 50, heartbeatTimeout: 400 });
  const here = await joinServer(t, servers[0]);
  const there = await Promise.all(servers.slice(1).map((server) => joinServer(t, server)));
  here.client.on("question", (answer) => answer("here"));
  const asked = there.map(({ client }) => once(client, "question"));
  const settled = outcome(servers[0].io.timeout(LONG_MS));
  await Promise.all(asked);
  await within(servers[1].io.close(), "the second server to close");
  servers[2].io.of("/").adapter.isMute = true;
  assert.deepEqual(await settled, ["RC_ERR_DISCONNECTED", "operation has timed out", ["here"]]);
});

test("counts no more leaving clients of another server than it has [ROB-715]", EARLY, async (t) => {
  const servers = await linkedServers(t, 2);
  const here = await joinServer(t, servers[0]);
  const { adapter } = servers[0].io.of("/");
  const asked = once(here.client, "question");
  const settled = outcome(servers[0].io.timeout(LONG_MS));
  const [answer] = await asked;
  const [requestId] = adapter.ackRequests.keys();
  const uid = servers[1].io.of("/").adapter.uid;
  await fence(here.client, here.socket);
  for (let i = 0; i < 5; i++) adapter.onResponse({ uid, nsp: "/", type: 14, data: { requestId } });
  answer("here");
  const [code, , responses] = await settled;
  assert.deepEqual([code, responses], [undefined, ["here"]]);
});

test("settles a question to one socket of another server [ROB-715, ACK-28]", EARLY, async (t) => {
  const servers = await linkedServers(t, 2);
  const { client } = await joinServer(t, servers[1]);
  const [remote] = await servers[0].io.fetchSockets();
  const asked = once(client, "question");
  const settled = outcome(remote.timeout(LONG_MS));
  await asked;
  client.disconnect();
  assert.deepEqual(await settled, ["RC_ERR_DISCONNECTED", "operation has timed out", null]);
});

test("leaves what one socket was asked to its time-out by default [ROB-717, DIS-6]", async (t) => {
  const { client, socket } = await pair(t);
  const outcomes = [];
  socket.timeout(200).emit("question", (...args) => outcomes.push(args));
  socket.emit("question", () => assert.fail("called back"));
  socket.emitWithAck("question").then(assert.fail, assert.fail);
  const left = once(socket, "disconnect");
  client.disconnect();
  await left;
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(outcomes, []);
  const [error] = await within(
    new Promise((resolve) => socket.timeout(201).emit("afterwards", (...args) => resolve(args))),
    "the later one",
  );
  assert.equal(error.message, "operation has timed out");
  assert.equal(outcomes[0][0].message, "operation has timed out");
});

test("fails at once what one socket was asked, with acks.onDisconnect [ROB-717]", oursOnly("it has no such option"), async (t) => {
  const { client, socket } = await pair(t, { acks: { onDisconnect: "reject" }, captureRejections: true });
  const order = [];
  socket.on("disconnect", () => order.push("disconnect"));
  const timed = new Promise((resolve) => socket.timeout(LONG_MS).emit("question", (...args) => resolve(args)));
  socket.emit("question", () => assert.fail("a callback without an argument for an error was called"));
  const errors = [
    rejection(socket.timeout(LONG_MS).emitWithAck("question")),
    rejection(socket.emitWithAck("question")).finally(() => order.push("rejected")),
  ];
  client.disconnect();
  const args = await within(timed, "the callback");
  assert.equal(args.length, 1);
  for (const error of [args[0], ...(await Promise.all(errors))]) {
    assert.deepEqual([error.code, error.message], ["RC_ERR_DISCONNECTED", "socket has been disconnected"]);
  }
  assert.deepEqual(order, ["disconnect", "rejected"]);
  assert.equal(socket.acks.size, 0);
  assert.equal((await rejection(socket.emitWithAck("afterwards"))).code, "RC_ERR_DISCONNECTED");
  assert.equal(socket.acks.size, 0);
});

test(
  "fails what was asked in a middleware that then refuses the client, with acks.onDisconnect [ROB-717]",
  oursOnly("it has no such option"),
  async (t) => {
    const server = await startServer(t, { acks: { onDisconnect: "reject" } });
    const error = new Promise((resolve) => {
      server.io.use((socket, next) => {
        resolve(rejection(socket.emitWithAck("question")));
        next(new Error("no"));
      });
    });
    await rejection(joinServer(t, server));
    assert.equal((await error).code, "RC_ERR_DISCONNECTED");
  },
);

test("refuses any other value of acks [ROB-717]", oursOnly("it has no such option"), () => {
  for (const [acks, met] of [
    [{ onDisconnect: "throw" }, /option acks.onDisconnect: expected "reject" or "ignore", met "throw"/],
    ["reject", /option acks: expected an object, met "reject"/],
  ]) {
    assert.throws(
      () => new Server({ acks }),
      (error) => error.code === "RC_ERR_OPTION" && met.test(error.message),
    );
  }
});
