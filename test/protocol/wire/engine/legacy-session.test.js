// Revision 3 of the protocol (`allowEIO3`): heartbeat, upgrade and close.
import { test } from "node:test";
import assert from "node:assert/strict";
import { once, record, stopwatch } from "../../../support/client.js";
import { http } from "../../../support/wire-client.js";
import { ending, openPolling, openWebSocket, pollingPair, startEcho } from "../../../support/engine.js";
import { startEngine } from "../../../support/server.js";
import { pass } from "../../../support/wait.js";
import { oursOnly } from "../../../support/target.js";

const LEGACY = { allowEIO3: true };
const WEBSOCKET = "/engine.io/?EIO=3&transport=websocket";

const legacyPair = (t, options) => pollingPair(t, { ...LEGACY, ...options }, { eio: 3 });

async function legacySocket(t, options) {
  const { engine, port } = await startEngine(t, { ...LEGACY, ...options });
  return openWebSocket({ engine, port }, { path: WEBSOCKET });
}

for (const ping of ["2", "2probe", "2x"]) {
  test(`answers ${ping} with 3 on an established WebSocket [EIO-76]`, async (t) => {
    const { ws, session } = await legacySocket(t);
    const seen = record(session, "heartbeat");
    ws.send(ping);
    await ws.expect("3");
    assert.deepEqual(seen.names, ["heartbeat"]);
  });
}

test("answers a posted ping with the next poll [EIO-76, EIO-141]", async (t) => {
  const { client } = await legacyPair(t);
  assert.equal((await client.post("1:2")).text, "ok");
  assert.equal((await client.get()).text, "1:3");
});

test("sends no ping of its own, and times a silent client out [EIO-76, EIO-77]", async (t) => {
  const elapsed = stopwatch();
  const { ws, session } = await legacySocket(t, { pingInterval: 100, pingTimeout: 80 });
  assert.equal((await ending(session)).reason, "ping timeout");
  assert.ok(elapsed() >= 172, `closed after ${elapsed()} ms`);
  await ws.closed();
  assert.equal(ws.messages.all.length, 1);
});

test("counts from each ping of the client [EIO-77]", async (t) => {
  const { ws, session } = await legacySocket(t, { pingInterval: 150, pingTimeout: 150 });
  const end = ending(session);
  await pass(200);
  const beat = once(session, "heartbeat");
  ws.send("2");
  await beat;
  const elapsed = stopwatch();
  assert.equal((await end).reason, "ping timeout");
  assert.ok(elapsed() >= 290, `closed ${elapsed()} ms after the ping`);
});

test("ends the session of a client that sends pongs [EIO-78]", async (t) => {
  const { ws, session } = await legacySocket(t);
  const end = ending(session);
  ws.send("3");
  const { reason, description } = await end;
  assert.deepEqual([reason, description.message], ["transport error", "invalid heartbeat direction"]);
});

test("upgrades like revision 4, with its own noop [EIO-81, EIO-103]", async (t) => {
  const { engine, port } = await startEcho(t, LEGACY);
  const { client } = await openPolling({ engine, port }, { eio: 3 });
  const ws = await client.candidate();
  ws.send("2probe");
  await ws.expect("3probe");
  assert.equal((await client.get()).text, "1:6");
  ws.send("5", "4hello");
  await ws.expect("4hello");
  assert.equal((await http(port, { path: client.url() })).text, '{"code":3,"message":"Bad request"}');
});

test("times a silent client out after an upgrade too [ENG-155, EIO-77]", oursOnly("it forgets the deadline at the switch"), async (t) => {
  const { client, session } = await legacyPair(t, { pingInterval: 100, pingTimeout: 100 });
  const end = ending(session);
  await client.upgrade();
  assert.equal((await end).reason, "ping timeout");
});

test("answers the waiting poll when the client closes [EIO-64, EIO-141]", async (t) => {
  const { client, session } = await legacyPair(t);
  const end = ending(session);
  const ready = once(session.transport, "ready");
  const get = client.get();
  await ready;
  assert.equal((await client.post("1:1")).text, "ok");
  assert.equal((await get).text, "1:6");
  assert.equal((await end).reason, "transport close");
  assert.equal((await client.get()).status, 400);
});

test("closes with its own framing when the server closes [EIO-120, EIO-121]", async (t) => {
  const waiting = await legacyPair(t);
  const ready = once(waiting.session.transport, "ready");
  const get = waiting.client.get();
  await ready;
  waiting.session.close();
  assert.equal((await get).text, "1:1");
  const idle = await legacyPair(t);
  idle.session.close();
  assert.ok(["1:61:1", "1:1"].includes((await idle.client.get()).text));
});

test("keeps its limits: a body that is too long [EIO-103, ENG-97]", async (t) => {
  const { client, session } = await legacyPair(t, { maxHttpBufferSize: 10 });
  assert.equal((await client.post("10:4123456789")).status, 413);
  assert.equal(session.readyState, "closed");
});
