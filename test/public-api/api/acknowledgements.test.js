/** Acknowledgements: of one client, of many, and late or forged ones. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { once, record } from "../../support/client.js";
import { crowd, fence, nextSocket, pair, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";

/** The arguments with which a callback is called. */
function called(start) {
  return within(new Promise((resolve) => start((...args) => resolve(args))), "the callback");
}

/** A server with a hand-made client: `{ io, socket, peer }`. */
async function byHand(t) {
  const { io, port } = await startServer(t);
  const admitted = nextSocket(io);
  const peer = await wirePeer(t, port);
  return { io, socket: await admitted, peer };
}

test("numbers questions within the namespace, broadcasts too, from 0 [ACK-1, ACK-27, MEM-3]", async (t) => {
  const { io, socket, peer } = await byHand(t);
  socket.emit("a", () => {});
  io.timeout(1000).emit("b", () => {});
  io.of("/")
    .timeout(1000)
    .emitWithAck("c")
    .catch(() => {});
  socket.emit("d", () => {});
  for (const [id, name] of ["a", "b", "c", "d"].entries()) await peer.expect(`42${id}["${name}"]`);
  assert.equal(io.of("/")._ids, 4);
});

test("calls back as the socket, with all values, once [ACK-1, ACK-2]", async (t) => {
  const { socket, peer } = await byHand(t);
  const calls = [];
  socket.emit("q", function (...args) {
    calls.push([this === socket, args]);
  });
  await peer.expect('420["q"]');
  assert.equal(socket.acks.size, 1);
  peer.send('430[1,"two"]', '430["again"]', '4399["forged"]', '42["end"]');
  await once(socket, "end");
  assert.deepEqual(calls, [[true, [1, "two"]]]);
  assert.equal(socket.acks.size, 0);
});

test("counts no time at all as a time [ACK-3]", async (t) => {
  const { socket } = await pair(t);
  const [error] = await called((got) => socket.timeout(0).emit("q", got));
  assert.equal(error.message, "operation has timed out");
});

test("ignores an answer that comes too late [ACK-3, ACK-2]", async (t) => {
  const { socket, peer } = await byHand(t);
  const calls = [];
  await called((got) => socket.timeout(20).emit("q", (...args) => got(calls.push(args))));
  peer.send('430["late"]', '42["end"]');
  await once(socket, "end");
  assert.equal(calls.length, 1);
});

test("rejects a question with a reserved name [ACK-4, EVT-1]", async (t) => {
  const { io, socket } = await pair(t);
  const refusal = { message: '"connect" is a reserved event name' };
  await assert.rejects(socket.emitWithAck("connect"), refusal);
  await assert.rejects(io.timeout(100).emitWithAck("connect"), refusal);
});

test("resolves with undefined when the client answers nothing [ACK-4]", async (t) => {
  const { socket, client } = await pair(t);
  client.on("q", (callback) => callback());
  assert.equal(await within(socket.emitWithAck("q"), "the answer"), undefined);
});

test("answers a client with any values, bytes too, once [ACK-5]", async (t) => {
  const { socket, client } = await pair(t);
  socket.on("q", (callback) => {
    assert.equal(callback(Buffer.from([1]), { a: [Buffer.from([2])] }, null), undefined);
    callback("again");
  });
  const args = await called((got) => client.emit("q", got));
  assert.deepEqual(args, [Buffer.from([1]), { a: [Buffer.from([2])] }, null]);
});

test("takes bytes for an answer [ACK-5, ACK-1]", async (t) => {
  const { socket, client } = await pair(t);
  client.on("q", (callback) => callback(Buffer.from([7]), "text"));
  assert.deepEqual(await called((got) => socket.emit("q", got)), [Buffer.from([7]), "text"]);
});

test("drops an answer to a client that is gone [ACK-6]", async (t) => {
  const { socket, client } = await pair(t);
  const asked = once(socket, "q");
  client.emit("q", () => assert.fail("the client is gone"));
  const [answer] = await asked;
  const ending = once(socket.conn, "close");
  client.io.engine.close();
  await ending;
  assert.equal(answer("late"), undefined);
});

test("gives a listener no callback when the client wants no answer [ACK-7]", async (t) => {
  const { socket, client } = await pair(t);
  const heard = once(socket, "e");
  client.emit("e", 1);
  assert.deepEqual(await heard, [1]);
});

test("asks in a volatile event [ACK-8]", async (t) => {
  const { socket, client } = await pair(t);
  await fence(socket, client);
  await fence(client, socket);
  client.on("q", (callback) => callback("answer"));
  assert.deepEqual(await called((got) => socket.volatile.timeout(2000).emit("q", got)), [null, "answer"]);
  socket.emit("busy");
  const [error] = await called((got) => socket.volatile.timeout(30).emit("q", got));
  assert.equal(error.message, "operation has timed out");
});

test("gathers the first value of each client, as they come, and calls back once [ACK-20]", async (t) => {
  const { io, clients } = await crowd(t, 3);
  const answers = clients.map(() => null);
  const asked = clients.map((client, i) => new Promise((resolve) => client.on("q", (callback) => resolve((answers[i] = callback)))));
  let calls = 0;
  const gathered = called((got) => io.timeout(3000).emit("q", (...args) => got(++calls, ...args)));
  await Promise.all(asked);
  for (const i of [2, 0, 1]) {
    answers[i](i, "ignored");
    const [socket, client] = [[...io.of("/").sockets.values()].find(({ id }) => id === clients[i].id), clients[i]];
    await fence(client, socket);
  }
  assert.deepEqual(await gathered, [1, null, [2, 0, 1]]);
});

test("ignores answers after the time, and keeps nothing to answer to [ACK-21, ACK-27, MEM-5]", async (t) => {
  const { io, socket, peer } = await byHand(t);
  const calls = [];
  await called((got) => io.timeout(20).emit("q", (...args) => got(calls.push(args))));
  await peer.expect('420["q"]');
  peer.send('430["late"]', '42["end"]');
  await once(socket, "end");
  assert.deepEqual([calls.length, calls[0][0].message, calls[0][1]], [1, "operation has timed out", []]);
  assert.equal(socket.acks.size, 0);
});

test("waits without a limit when no time is given [ACK-22]", oursOnly("its time is over at once"), async (t) => {
  const { io, clients } = await crowd(t, 2);
  clients[0].on("q", (callback) => callback(1));
  clients[1].on("q", (callback) => setTimeout(() => callback(2), 60));
  const [error, responses] = await called((got) => io.emit("q", got));
  assert.deepEqual([error, responses], [null, [1, 2]]);
});

test("gives all recipients one id, and keeps a handler for each [ACK-27, ADP-20]", async (t) => {
  const { io, sockets, clients } = await crowd(t, 2);
  const logs = clients.map((client) => record(client.io.engine, "packet"));
  const gathered = called((got) => io.timeout(3000).emit("q", got));
  assert.deepEqual(
    sockets.map(({ acks }) => [...acks.keys()]),
    [[0], [0]],
  );
  clients.forEach((client) => client.on("q", (callback) => callback("ok")));
  assert.deepEqual(await gathered, [null, ["ok", "ok"]]);
  for (const { events } of logs) assert.equal(events.filter(([, { data }]) => data === '20["q"]').length, 1);
});

test("gathers bytes [ACK-20, ACK-25]", async (t) => {
  const { io, clients } = await crowd(t, 2);
  for (const client of clients) client.on("q", (bytes, callback) => callback(Buffer.concat([bytes, Buffer.from([9])])));
  const responses = await within(io.timeout(3000).emitWithAck("q", Buffer.from([1])), "the answers");
  assert.deepEqual(responses, [Buffer.from([1, 9]), Buffer.from([1, 9])]);
});
