import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeServer, settled, warningsDuring } from "./fake-engine.js";

test("collects the answers of all children of a pattern [PAR-10]", async (t) => {
  const { io, open } = fakeServer(t);
  const parent = io.of(/^\/dyn-/);
  const conns = [open(), open()];
  conns[0].receive("0/dyn-1,", "0/dyn-2,");
  conns[1].receive("0/dyn-2,");
  for (const conn of conns) await conn.taken();
  const answers = parent.timeout(1000).emitWithAck("q");
  assert.deepEqual(await conns[0].taken(), ['2/dyn-1,0["q"]', '2/dyn-2,0["q"]']);
  conns[0].receive("3/dyn-1,0[1]", "3/dyn-2,0[2]");
  conns[1].receive("3/dyn-2,0[3]");
  assert.deepEqual(await answers, [1, 2, 3]);
});

test("gives an error and what came until then when a child's client is late, and forgets the rest [PAR-10, MEM-5]", async (t) => {
  const { io, open } = fakeServer(t);
  const parent = io.of(/^\/dyn-/);
  const conn = open();
  conn.receive("0/dyn-1,", "0/dyn-2,");
  await conn.taken();
  const answers = parent.timeout(20).emitWithAck("q");
  conn.receive("3/dyn-1,0[1]");
  await assert.rejects(answers, (error) => error.message === "operation has timed out" && error.responses.length === 1);
  for (const socket of io.of("/dyn-2").sockets.values()) assert.equal(socket.acks.size, 0);
});

test("calls back at once when a pattern has no children [PAR-10, ACK-23]", async (t) => {
  const { io } = fakeServer(t);
  assert.deepEqual(
    await io
      .of(/^\/none/)
      .to("r")
      .timeout(1000)
      .emitWithAck("q"),
    [],
  );
});

test("calls a callback once for each child [PAR-7]", async (t) => {
  const { io, open } = fakeServer(t);
  const parent = io.of(/^\/dyn-/);
  const conn = open();
  conn.receive("0/dyn-1,", "0/dyn-2,");
  await conn.taken();
  const calls = [];
  assert.equal(
    parent.emit("q", (error, responses) => calls.push(responses)),
    true,
  );
  conn.receive("3/dyn-1,0[1]", "3/dyn-2,0[2]");
  await settled();
  assert.deepEqual(calls, [[1], [2]]);
});

test("gives each child a packet of its own [PAR-9]", async (t) => {
  const { io, open } = fakeServer(t, { connectionStateRecovery: {} });
  const parent = io.of(/^\/dyn-/);
  const conn = open();
  conn.receive("0/dyn-1,", "0/dyn-2,");
  await conn.taken();
  parent.except("nobody").emit("x", 1);
  for (const message of await conn.taken()) assert.equal(JSON.parse(message.slice(message.indexOf(",") + 1)).length, 3);
});

test("keeps once for each child [PAR-5]", async (t) => {
  const { io, open } = fakeServer(t);
  const seen = [];
  io.of(/^\/dyn-/).once("connection", (socket) => seen.push(socket.nsp.name));
  for (const name of ["/dyn-1", "/dyn-1", "/dyn-2"]) {
    const conn = open();
    conn.receive(`0${name},`);
    await conn.taken();
  }
  assert.deepEqual(seen, ["/dyn-1", "/dyn-2"]);
});

const DECIDERS = {
  throws: () => {
    throw new Error("broken");
  },
  rejects: async () => {
    throw new Error("broken");
  },
};
for (const [what, decide] of Object.entries(DECIDERS)) {
  test(`tries the next pattern, with a warning, when a function ${what} [PAR-2]`, async (t) => {
    const { io, open } = fakeServer(t);
    io.of(decide);
    io.of((name, auth, next) => next(null, name === "/second"));
    const conn = open();
    const warnings = await warningsDuring("ROOMCAST_MIDDLEWARE_FAILED", () => conn.receive("0/second,", "0/third,"));
    const sent = await conn.taken();
    assert.equal(sent.filter((message) => message.startsWith("0/second,")).length, 1);
    assert.equal(sent.filter((message) => message === '4/third,{"message":"Invalid namespace"}').length, 1);
    assert.equal(warnings.length, 2);
  });
}

test("uses the namespace that came to be while a function deliberated [PAR-3]", async (t) => {
  const { io, open } = fakeServer(t);
  let allow;
  io.of((name, auth, next) => (allow = next));
  const conn = open();
  conn.receive("0/slow,");
  const made = io.of("/slow");
  allow(null, true);
  allow(null, false);
  await settled();
  assert.equal(io.of("/slow"), made);
  assert.equal(made.sockets.size, 1);
});

test("removes a namespace: its sockets go, its adapter closes, its name is free [PAR-22, ADP-3]", async (t) => {
  const { io, join } = fakeServer(t);
  const { conn, socket } = await join("/temp");
  const reasons = [];
  const old = io.of("/temp");
  let isClosed = false;
  old.adapter.close = () => void (isClosed = true);
  socket.on("disconnect", (reason) => reasons.push(reason));
  assert.equal(await io.removeNamespace("temp"), true);
  assert.deepEqual(reasons, ["server namespace disconnect"]);
  assert.equal(isClosed, true);
  conn.receive("0/temp,");
  assert.deepEqual(await conn.taken(), ["1/temp,", '4/temp,{"message":"Invalid namespace"}']);
  assert.equal(await io.removeNamespace("/temp"), false);
  await assert.rejects(io.removeNamespace("/"), { code: "RC_ERR_NAMESPACE" });
  assert.notEqual(io.of("/temp"), old);
});
