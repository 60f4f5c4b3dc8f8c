import { test } from "node:test";
import assert from "node:assert/strict";
import { once, record, stopwatch } from "../../../support/client.js";
import { PollingSession, WireSocket, http } from "../../../support/wire-client.js";
import { POLLING, WEBSOCKET, ending, pollingPair, startEcho, webSocketPair } from "../../../support/engine.js";
import { startEngine } from "../../../support/server.js";
import { pass } from "../../../support/wait.js";

/** Timers may fire a hair early by this clock. */
const EARLY_MS = 8;

test("pings a WebSocket after pingInterval, and again pingInterval after each pong [EIO-70, EIO-71, EIO-75, EIO-137]", async (t) => {
  const elapsed = stopwatch();
  const { ws, session } = await webSocketPair(t, { pingInterval: 100, pingTimeout: 2000 });
  await ws.expect("2");
  assert.ok(elapsed() >= 100 - EARLY_MS, `first ping after ${elapsed()} ms`);
  for (let round = 0; round < 3; round++) {
    await pass(40);
    const sincePong = stopwatch();
    const beat = once(session, "heartbeat");
    ws.send("3");
    await beat;
    await ws.expect("2");
    assert.ok(sincePong() >= 100 - EARLY_MS, `ping ${sincePong()} ms after the pong`);
  }
});

test("pings a polling client, which answers with a POST, three times [EIO-70, EIO-137]", async (t) => {
  const { port } = await startEcho(t, { pingInterval: 100, pingTimeout: 2000 });
  const client = await PollingSession.open(port);
  for (let round = 0; round < 3; round++) {
    assert.deepEqual(await client.poll(), ["2"]);
    assert.equal((await client.post("3")).text, "ok");
  }
});

test("pings while there is other traffic [EIO-75]", async (t) => {
  const { ws, session } = await webSocketPair(t, { pingInterval: 100, pingTimeout: 2000 });
  const ticker = setInterval(() => session.send("busy"), 20);
  t.after(() => clearInterval(ticker));
  await ws.until((message) => message === "2");
});

test("queues the ping for a polling client without a poll, and starts the time-out anyway [EIO-70, EIO-72]", async (t) => {
  const { client, session } = await pollingPair(t, { pingInterval: 100, pingTimeout: 200 });
  const packet = once(session, "packetCreate");
  const end = ending(session);
  assert.equal((await packet)[0].type, "ping");
  const elapsed = stopwatch();
  assert.deepEqual(await end, { reason: "ping timeout", description: undefined });
  assert.ok(elapsed() >= 200 - EARLY_MS, `closed after ${elapsed()} ms`);
  assert.equal((await client.get()).status, 400);
});

test("closes a WebSocket with no code when the pong is late [EIO-72, EIO-74, EIO-137, ENG-162]", async (t) => {
  const { ws, session } = await webSocketPair(t, { pingInterval: 100, pingTimeout: 100 });
  const end = ending(session);
  await ws.expect("2");
  assert.deepEqual(await end, { reason: "ping timeout", description: undefined });
  assert.deepEqual(await ws.closed(), { code: 1005, reason: "", hasFrame: true });
});

test("answers the waiting poll with a close packet when the pong is late [EIO-74, EIO-137]", async (t) => {
  const { client, session } = await pollingPair(t, { pingInterval: 100, pingTimeout: 150 });
  const end = ending(session);
  assert.deepEqual(await client.poll(), ["2"]);
  assert.deepEqual(await client.poll(), ["1"]);
  assert.equal((await end).reason, "ping timeout");
  assert.equal((await client.get()).status, 400);
});

test("closes without flushing when the pong is late [ENG-163]", async (t) => {
  const { client, session } = await pollingPair(t, { pingInterval: 100, pingTimeout: 100 });
  const end = ending(session);
  session.send("never fetched");
  assert.equal((await end).reason, "ping timeout");
  assert.equal((await client.get()).text, '{"code":1,"message":"Session ID unknown"}');
});

test("lets the first other packet put the deadline off by one pingTimeout [EIO-73]", async (t) => {
  const { ws, session } = await webSocketPair(t, { pingInterval: 100, pingTimeout: 300 });
  const end = ending(session);
  await ws.expect("2");
  await pass(150);
  const elapsed = stopwatch();
  const data = once(session, "data");
  ws.send("4still here");
  await data;
  assert.equal((await end).reason, "ping timeout");
  assert.ok(elapsed() >= 300 - EARLY_MS, `closed ${elapsed()} ms after the message`);
});

test("puts the deadline off once only, however much is sent [EIO-73]", async (t) => {
  const { ws, session } = await webSocketPair(t, { pingInterval: 100, pingTimeout: 300 });
  const end = ending(session);
  await ws.expect("2");
  const ticker = setInterval(() => ws.send("4busy"), 30);
  t.after(() => clearInterval(ticker));
  assert.equal((await end).reason, "ping timeout");
});

test("counts packets of every type but pong as a sign of life [EIO-73]", async (t) => {
  const { ws, session } = await webSocketPair(t, { pingInterval: 100, pingTimeout: 300 });
  const end = ending(session);
  await ws.expect("2");
  await pass(150);
  const elapsed = stopwatch();
  const packet = once(session, "packet");
  ws.send("6");
  await packet;
  assert.equal((await end).reason, "ping timeout");
  assert.ok(elapsed() >= 300 - EARLY_MS, `closed ${elapsed()} ms after the packet`);
});

test("keeps a session that answers, for longer than interval and timeout together [EIO-71, EIO-72]", async (t) => {
  const { ws, session } = await webSocketPair(t, { pingInterval: 100, pingTimeout: 300 });
  for (let round = 0; round < 6; round++) {
    await ws.expect("2");
    ws.send("3");
  }
  assert.equal(session.readyState, "open");
});

test("emits heartbeat and a pong packet for every answer [ENG-139, EIO-61]", async (t) => {
  const { ws, session } = await webSocketPair(t, { pingInterval: 100, pingTimeout: 2000 });
  const seen = record(session, "packet", "heartbeat", "data");
  await ws.expect("2");
  ws.send("3");
  await seen.until((events) => events.length === 2);
  assert.deepEqual(seen.names, ["packet", "heartbeat"]);
  assert.equal(seen.events[0][1].type, "pong");
});

test("creates the ping as a packet like every other [ENG-135, EIO-70]", async (t) => {
  const { ws, session } = await webSocketPair(t, { pingInterval: 100, pingTimeout: 2000 });
  const [packet] = await once(session, "packetCreate");
  assert.deepEqual([packet.type, "data" in packet], ["ping", false]);
  await ws.expect("2");
});

test("reads the interval when it is used [ENG-12, EIO-70]", async (t) => {
  const { engine, port } = await startEngine(t, { pingInterval: 60000, pingTimeout: 2000 });
  engine.opts.pingInterval = 100;
  const ws = await WireSocket.open(port, WEBSOCKET);
  assert.match(await ws.next(), /"pingInterval":100,/);
  await ws.expect("2");
});

test("sends no ping and emits nothing once the session is closed [ENG-143]", async (t) => {
  const { client, session } = await pollingPair(t, { pingInterval: 50, pingTimeout: 50 });
  const seen = record(session, "packetCreate", "close");
  session.close(true);
  await pass(200);
  assert.deepEqual(seen.names, ["close"]);
  assert.equal((await client.get()).status, 400);
});

test("applies the time-out to each session by its own pongs [EIO-72]", async (t) => {
  const { engine, port } = await startEngine(t, { pingInterval: 100, pingTimeout: 200 });
  const ends = new Map();
  engine.on("connection", (session) => session.on("close", (reason) => ends.set(session.id, reason)));
  const talking = await WireSocket.open(port, WEBSOCKET);
  const silent = await WireSocket.open(port, WEBSOCKET);
  const { sid } = JSON.parse((await silent.next()).slice(1));
  await talking.next();
  const answering = (async () => {
    for (let round = 0; round < 4; round++) {
      await talking.expect("2");
      talking.send("3");
    }
  })();
  await silent.closed();
  await answering;
  assert.deepEqual([...ends], [[sid, "ping timeout"]]);
  assert.equal((await http(port, { path: POLLING })).status, 200);
});
