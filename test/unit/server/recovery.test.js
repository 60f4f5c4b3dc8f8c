import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeServer, settled } from "./fake-engine.js";

/** A client that has seen one event and was cut off; `credentials` is what it sends when it comes back. */
async function cutOff(t, options) {
  const server = fakeServer(t, { connectionStateRecovery: options });
  const conn = server.open();
  conn.receive("0");
  const [reply] = await conn.taken();
  const { sid, pid } = JSON.parse(reply.slice(1));
  server.io.emit("seen");
  const [seen] = await conn.taken();
  conn.end("transport close");
  const offset = JSON.parse(seen.slice(1)).at(-1);
  return { ...server, sid, credentials: `0${JSON.stringify({ pid, offset })}` };
}

const eventNames = (messages) => messages.map((message) => (message.startsWith("0") ? "reply" : JSON.parse(message.slice(1))[0]));

test("replays events that are sent while middlewares run [CSR-8, CSR-9]", async (t) => {
  const { io, open, credentials, sid } = await cutOff(t, { skipMiddlewares: false });
  let letIn;
  io.use((socket, next) => (letIn = next));
  io.emit("before");
  const conn = open();
  conn.receive(credentials);
  io.emit("meanwhile");
  letIn();
  const sent = await conn.taken();
  assert.deepEqual(eventNames(sent), ["before", "meanwhile", "reply"]);
  assert.equal(JSON.parse(sent.at(-1).slice(1)).sid, sid);
});

test("keeps a session for the next attempt when the connection goes before admission [CSR-8, NSP-26]", async (t) => {
  const { io, open, credentials, sid } = await cutOff(t, { skipMiddlewares: false });
  let letIn;
  io.use((socket, next) => (letIn = next));
  io.emit("missed");
  const first = open();
  first.receive(credentials);
  first.end("transport close");
  letIn();
  assert.deepEqual(await first.taken(), []);

  const second = open();
  second.receive(credentials);
  letIn();
  assert.deepEqual(eventNames(await second.taken()), ["missed", "reply"]);
  assert.equal(io.of("/").sockets.get(sid).recovered, true);
});

test("gives a session to one client, however many ask for it [CSR-14]", async (t) => {
  const { io, open, credentials, sid } = await cutOff(t, {});
  const conns = [open(), open()];
  for (const conn of conns) conn.receive(credentials);
  const sids = [];
  for (const conn of conns) sids.push(JSON.parse((await conn.taken()).at(-1).slice(1)).sid);
  await settled();
  assert.equal(sids[0], sid);
  assert.notEqual(sids[1], sid);
  assert.equal(io.of("/").sockets.size, 2);
});

test("writes events of middlewares before the answer, with recovery as well [NSP-24]", async (t) => {
  const { io, open } = fakeServer(t, { connectionStateRecovery: {} });
  io.use((socket, next) => {
    socket.emit("early");
    next();
  });
  const conn = open();
  conn.receive("0");
  assert.deepEqual(eventNames(await conn.taken()), ["early", "reply"]);
});
