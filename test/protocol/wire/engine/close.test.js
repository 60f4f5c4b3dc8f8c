import { test } from "node:test";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { fakeClock, once, record } from "../../../support/client.js";
import { SEPARATOR, WireSocket, http } from "../../../support/wire-client.js";
import { POLLING, WEBSOCKET, ending, openPolling, openWebSocket, pollingPair, webSocketPair } from "../../../support/engine.js";
import { startEngine } from "../../../support/server.js";
import { ours } from "../../../support/target.js";

const UNKNOWN_SID = '{"code":1,"message":"Session ID unknown"}';

/** A poll that the server is known to hold. */
async function waitingPoll(client, session) {
  const ready = once(session.transport, "ready");
  const get = client.get();
  await ready;
  return { get };
}

test("answers the waiting poll with a close packet [EIO-120, ENG-160, ENG-161]", async (t) => {
  const { client, session } = await pollingPair(t);
  const { get } = await waitingPoll(client, session);
  const end = ending(session);
  session.close();
  assert.equal(session.readyState, "closed");
  assert.equal((await get).text, "1");
  assert.deepEqual(await end, { reason: "forced close", description: undefined });
  assert.equal((await client.get()).text, UNKNOWN_SID);
});

test("waits for the next poll to carry the close packet [EIO-120, EIO-121, ENG-161]", async (t) => {
  const { client, session } = await pollingPair(t);
  const end = ending(session);
  session.close();
  assert.equal(session.readyState, "closing");
  const packets = await client.poll();
  assert.equal(packets.at(-1), "1");
  assert.ok(
    packets.slice(0, -1).every((packet) => packet === "6"),
    JSON.stringify(packets),
  );
  assert.equal((await end).reason, "forced close");
  assert.equal((await client.get()).text, UNKNOWN_SID);
});

test("delivers what was queued before the close packet [EIO-120, ENG-160]", async (t) => {
  const { client, session } = await pollingPair(t);
  session.send("bye");
  session.close();
  const first = await client.poll();
  assert.equal(first[0], "4bye");
  if (first.at(-1) !== "1") assert.equal((await client.poll()).at(-1), "1");
  assert.equal(session.readyState, "closed");
});

test("gives up waiting for a poll after 30 s [EIO-120, ENG-161]", async (t) => {
  const clock = fakeClock(t);
  const { session } = await pollingPair(t, { pingInterval: 600000 });
  const seen = record(session, "close");
  session.close();
  await clock.tick(29000);
  assert.equal(session.readyState, "closing");
  await clock.tick(1500);
  assert.deepEqual(
    seen.events.map(([, reason]) => reason),
    ["forced close"],
  );
});

test("closes synchronously on WebSocket when nothing is queued [EIO-122, ENG-161]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  if (!session.transport.writable) await once(session.transport, "ready");
  const seen = record(session, "close");
  session.close();
  assert.equal(session.readyState, "closed");
  assert.deepEqual(
    seen.events.map(([, reason]) => reason),
    ["forced close"],
  );
  assert.equal((await ws.closed()).code, 1005);
});

test("drops the queue and answers the waiting poll when discarding [ENG-160]", async (t) => {
  const { client, session } = await pollingPair(t);
  const { get } = await waitingPoll(client, session);
  session.close(true);
  assert.equal(session.readyState, "closed");
  assert.equal((await get).text, "1");
});

test("sends the packets of a response that has begun, and discards later ones [ENG-160]", async (t) => {
  const { client, session } = await pollingPair(t);
  const { get } = await waitingPoll(client, session);
  session.send("taken");
  session.close(true);
  const packets = (await get).text.split(SEPARATOR);
  assert.equal(packets[0], "4taken");
  ours("the original answers the poll before close() can add the close packet", () => assert.deepEqual(packets, ["4taken", "1"]));
});

test("ends at once when discarding without a waiting poll, and shows what it drops to `close` listeners [ENG-160, ENG-130]", async (t) => {
  const { engine, client, session } = await pollingPair(t);
  const dropped = [];
  session.on("close", () => dropped.push(...session.writeBuffer.map(({ data }) => data)));
  session.send("dropped");
  session.close(true);
  assert.equal(session.readyState, "closed");
  assert.equal(engine.clientsCount, 0);
  assert.deepEqual(dropped, ["dropped"]);
  assert.equal((await client.get()).text, UNKNOWN_SID);
});

test("closes without a wait when discarding a session that is already closing [ENG-160]", async (t) => {
  const { client, session } = await pollingPair(t);
  session.send("dropped");
  session.close();
  assert.equal(session.readyState, "closing");
  session.close(true);
  const response = await client.get();
  assert.ok(response.text === UNKNOWN_SID || response.text.endsWith("1"), response.text);
});

test("emits close exactly once [ENG-162, ENG-165]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  const seen = record(session, "close");
  session.close();
  session.close();
  session.close(true);
  ws.abort();
  await ws.closed();
  assert.equal(seen.events.length, 1);
});

test("does nothing on close() of a closed session [ENG-165]", async (t) => {
  const { client, session } = await pollingPair(t);
  const seen = record(session, "close");
  await client.post("1");
  session.close();
  session.close(true);
  assert.deepEqual(
    seen.events.map(([, reason]) => reason),
    ["transport close"],
  );
  assert.equal(session.readyState, "closed");
});

test("drops what is sent while closing or closed, without callback or error [ENG-134, ENG-137]", async (t) => {
  const { client, session } = await pollingPair(t);
  const called = [];
  const packets = record(session, "packetCreate");
  session.close();
  session.send("while closing", {}, () => called.push("closing"));
  assert.equal((await client.poll()).at(-1), "1");
  session.send("once closed", () => called.push("closed"));
  session.write("once closed");
  assert.deepEqual(called, []);
  assert.deepEqual(packets.events, []);
});

test("never calls back for packets that were dropped by the close [ENG-137, ENG-163]", async (t) => {
  const { session } = await pollingPair(t);
  const called = [];
  session.send("never fetched", () => called.push("sent"));
  session.close(true);
  await new Promise(setImmediate);
  assert.deepEqual(called, []);
});

test("has left the table before close listeners run [ENG-143, ENG-162]", async (t) => {
  const { engine, client, session } = await pollingPair(t);
  const seen = [];
  session.on("close", () => seen.push([engine.clientsCount, session.id in engine.clients, session.readyState]));
  await client.post("1");
  assert.deepEqual(seen, [[0, false, "closed"]]);
});

test("keeps the unsent packets readable inside close listeners, and no longer [ENG-130]", async (t) => {
  const { client, session } = await pollingPair(t);
  session.send("unsent");
  const seen = [];
  session.on("close", () => seen.push(...session.writeBuffer.map(({ type, data }) => [type, data])));
  await client.post("1");
  assert.deepEqual(seen, [["message", "unsent"]]);
  await new Promise(setImmediate);
  assert.equal(session.writeBuffer.length, 0);
});

test("does not flush the queue on a parse error [ENG-163]", async (t) => {
  const { client, session } = await pollingPair(t);
  session.send("unsent");
  await client.post("abc");
  assert.equal((await client.get()).text, UNKNOWN_SID);
});

test("closes every session of the engine with forced close [ENG-164]", async (t) => {
  const { engine, port } = await startEngine(t);
  const polling = await openPolling({ engine, port });
  const socket = await openWebSocket({ engine, port });
  const upgrading = await openPolling({ engine, port });
  const candidate = await upgrading.client.candidate();
  candidate.send("2probe");
  await candidate.expect("3probe");
  const { get } = await waitingPoll(polling.client, polling.session);
  const ends = [polling, socket, upgrading].map(({ session }) => ending(session));
  assert.equal(engine.close(), engine);
  for (const end of ends) assert.deepEqual(await end, { reason: "forced close", description: undefined });
  assert.equal((await get).text, "1");
  await socket.ws.closed();
  await candidate.closed();
  assert.equal(engine.clientsCount, 0);
});

test("does not close the HTTP server with the engine [ENG-164, ENG-111]", async (t) => {
  const { engine, port, httpServer } = await startEngine(t);
  engine.close();
  assert.equal(httpServer.listening, true);
  const response = await http(port, { path: POLLING });
  assert.ok([200, 400, 503].includes(response.status), `status ${response.status}`);
});

test("lets the process exit once engine and HTTP server are closed [ENG-164, ENG-143, ENG-151]", async () => {
  const script = fileURLToPath(new URL("../../../support/fixtures/close-engine-and-exit.mjs", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [script], { timeout: 15000 });
  assert.deepEqual(JSON.parse(stdout), { reasons: Array(5).fill("forced close"), clients: 0 });
});

test("closes with the HTTP server [ENG-69]", async (t) => {
  const { engine, port, httpServer } = await startEngine(t);
  const { session } = await openWebSocket({ engine, port });
  const end = ending(session);
  httpServer.close();
  httpServer.emit("close");
  assert.equal((await end).reason, "forced close");
});

test("leaves the session consistent when a close listener throws [ENG-166]", async (t) => {
  const { engine, session } = await webSocketPair(t);
  if (!session.transport.writable) await once(session.transport, "ready");
  session.on("close", () => {
    throw new Error("the listener's own");
  });
  assert.throws(() => session.close(), /the listener's own/);
  assert.equal(session.readyState, "closed");
  assert.equal(engine.clientsCount, 0);
});

test("lets a session be closed inside its connection listener [ENG-142, ENG-160]", async (t) => {
  const { engine, port } = await startEngine(t);
  engine.on("connection", (session) => session.close());
  const ws = await WireSocket.open(port, WEBSOCKET);
  assert.match(await ws.next(), /^0\{/);
  assert.equal((await ws.closed()).code, 1005);
  const { client } = await openPolling({ engine, port });
  assert.equal((await client.poll()).at(-1), "1");
});

test("lets a session be closed inside a data listener on WebSocket, and stops there [ENG-165]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  const seen = record(session, "data", "close");
  session.on("data", () => session.close());
  ws.send("4a", "4b", "4c");
  await ws.closed();
  assert.deepEqual(seen.names, ["data", "close"]);
});

for (const eio of [4, 3]) {
  test(`answers the next poll with a noop and a close packet when the session was closed while none waited, revision ${eio} [ROB-510, EIO-120]`, async (t) => {
    const { client, session } = await pollingPair(t, { allowEIO3: true }, { eio });
    const end = ending(session);
    session.close();
    assert.equal((await client.get()).text, eio === 4 ? "6\x1e1" : "1:61:1");
    assert.equal((await end).reason, "forced close");
    assert.equal((await client.get()).status, 400);
  });
}

test("sends what was queued first, then a noop and a close packet [ROB-510, EIO-120]", async (t) => {
  const { client, session } = await pollingPair(t);
  session.send("bye");
  session.close();
  assert.equal((await client.get()).text, "4bye");
  assert.equal((await client.get()).text, "6\x1e1");
});
