import { test } from "node:test";
import assert from "node:assert/strict";
import { once, record, stopwatch } from "../../../support/client.js";
import { HttpConnection, OPCODE, WireSocket, frame, http, messageFrame, requestBytes } from "../../../support/wire-client.js";
import { ending, messages, openPolling, pollingPair, startEcho } from "../../../support/engine.js";
import { oursOnly } from "../../../support/target.js";

/** A candidate that has its probe answered. */
async function probed(client, options) {
  const ws = await client.candidate(options);
  ws.send("2probe");
  await ws.expect("3probe");
  return ws;
}

async function assertStillPolling(client, session) {
  assert.equal(session.readyState, "open");
  assert.equal(session.transport.name, "polling");
  session.send("still polling");
  assert.deepEqual(await client.poll(), ["4still polling"]);
}

test("moves a session to a WebSocket: 2probe, 3probe, 5 [EIO-10, EIO-80, EIO-81, EIO-83, EIO-139]", async (t) => {
  const { port, engine } = await startEcho(t);
  const { client, session } = await openPolling({ engine, port });
  const ws = await probed(client);
  assert.deepEqual(await client.poll(), ["6"]);
  ws.send("5", "4hello");
  await ws.expect("4hello");
  assert.equal(session.transport.name, "websocket");
  assert.deepEqual([session.upgraded, session.upgrading], [true, false]);
});

test("enters the upgrading state on the probe, with the events in order [EIO-80, ENG-140]", async (t) => {
  const { client, session } = await pollingPair(t);
  const seen = record(session, "upgrading", "upgrade");
  const states = [];
  for (const name of ["upgrading", "upgrade"]) {
    session.on(name, (transport) =>
      states.push([name, transport.name, session.transport === transport, session.upgrading, session.upgraded]),
    );
  }
  const ws = await probed(client);
  ws.send("5");
  await seen.until((events) => events.length === 2);
  assert.deepEqual(states, [
    ["upgrading", "websocket", false, true, false],
    ["upgrade", "websocket", true, false, true],
  ]);
});

test("releases a poll that waited at the time of the probe [EIO-81, EIO-82]", async (t) => {
  const { client, session } = await pollingPair(t);
  const ready = once(session.transport, "ready");
  const get = client.get();
  await ready;
  await probed(client);
  assert.equal((await get).text, "6");
});

test("releases the waiting poll right after 3probe, before any timer [EIO-82]", oursOnly("it waits 100 ms"), async (t) => {
  const { client, session } = await pollingPair(t);
  const ready = once(session.transport, "ready");
  const get = client.get();
  await ready;
  const upgrading = once(session, "upgrading");
  const ws = await client.candidate();
  ws.send("2probe");
  await upgrading;
  assert.equal(session.transport.writable, false);
  assert.equal((await get).text, "6");
});

test("releases later polls too, but not at once [EIO-82, EIO-139]", async (t) => {
  const { client } = await pollingPair(t);
  const ws = await probed(client);
  const elapsed = stopwatch();
  for (let round = 0; round < 4; round++) assert.deepEqual(await client.poll(), ["6"]);
  assert.ok(elapsed() > 150, `four polls took ${elapsed()} ms`);
  ws.abort();
});

test("answers a poll that still waits at the switch with a close packet [EIO-83, EIO-84]", async (t) => {
  const { client, session } = await pollingPair(t);
  const ready = once(session.transport, "ready");
  const get = client.get();
  await ready;
  const ws = await client.candidate();
  ws.send("5");
  assert.equal((await get).text, "1");
  assert.equal(session.readyState, "open");
});

test("accepts 5 without a probe [EIO-84]", async (t) => {
  const { client, session } = await pollingPair(t);
  const upgrade = once(session, "upgrade");
  const ws = await client.candidate();
  ws.send("5");
  await upgrade;
  session.send("on the socket");
  await ws.expect("4on the socket");
});

test("takes probe, switch and message in one write [EIO-81, EIO-83]", async (t) => {
  const { client, session } = await pollingPair(t);
  const data = once(session, "data");
  const ws = await client.candidate();
  ws.send("2probe", "5", "4at once");
  await ws.expect("3probe");
  assert.deepEqual(await data, ["at once"]);
});

test("takes the probe in the same write as the handshake [EIO-81, ENG-120]", async (t) => {
  const { client, session } = await pollingPair(t);
  const upgrade = once(session, "upgrade");
  const ws = await client.candidate({ early: messageFrame("2probe") });
  await ws.expect("3probe");
  ws.send("5");
  await upgrade;
});

for (const packet of ["2", "2x", "2probe2", "4hello", "abc", "", "6", "3probe", "1", Buffer.from([1, 2])]) {
  test(`aborts the upgrade, not the session, on ${JSON.stringify(packet)} [EIO-85]`, async (t) => {
    const { client, session } = await pollingPair(t);
    const seen = messages(session);
    const ws = await client.candidate();
    ws.send(packet);
    await ws.closed();
    assert.equal(session.upgrading, false);
    assert.deepEqual(seen, []);
    await assertStillPolling(client, session);
  });
}

test("aborts the upgrade on a wrong packet after the probe [EIO-85]", async (t) => {
  const { client, session } = await pollingPair(t);
  const ws = await probed(client);
  ws.send("4too early");
  await ws.closed();
  await assertStillPolling(client, session);
});

for (const [name, leave, code] of [
  ["closes", (ws) => ws.close(1000), 1000],
  ["drops its connection", (ws) => ws.abort(), 1006],
  ["resets its connection", (ws) => ws.abort({ reset: true }), 1006],
  ["sends a frame that is too long", (ws) => ws.send("4".repeat(200)), 1009],
  ["sends an invalid frame", (ws) => ws.write(frame(OPCODE.text, "x", { rsv: 3 })), 1002],
]) {
  test(`keeps the session on polling when the candidate ${name} [EIO-86, ENG-120]`, async (t) => {
    const { client, session } = await pollingPair(t, { maxHttpBufferSize: 100 });
    const ws = await probed(client);
    assert.equal(session.upgrading, true);
    leave(ws);
    assert.equal((await ws.closed()).code, code);
    await assertStillPolling(client, session);
    assert.equal(session.upgrading, false);
    const again = await client.upgrade();
    session.send("moved");
    await again.expect("4moved");
  });
}

test("closes a candidate that takes too long, and lets another try [EIO-87, ENG-10]", async (t) => {
  const { client, session } = await pollingPair(t, { upgradeTimeout: 500 });
  const elapsed = stopwatch();
  const ws = await probed(client);
  assert.deepEqual(await ws.closed(), { code: 1005, reason: "", hasFrame: true });
  assert.ok(elapsed() >= 490);
  await assertStillPolling(client, session);
  const again = await client.upgrade();
  session.send("moved");
  await again.expect("4moved");
});

test("closes a candidate that never probes [EIO-87]", async (t) => {
  const { client, session } = await pollingPair(t, { upgradeTimeout: 100 });
  const ws = await client.candidate();
  assert.equal((await ws.closed()).code, 1005);
  await assertStillPolling(client, session);
});

test("keeps working on polling, both ways, while upgrading [EIO-88]", async (t) => {
  const { port, engine } = await startEcho(t);
  const { client } = await openPolling({ engine, port });
  await probed(client);
  assert.equal((await client.post("4echo")).text, "ok");
  const packets = await client.poll();
  assert.ok(packets.includes("4echo"), JSON.stringify(packets));
});

test("sends what is queued while upgrading first on the new transport, in order [EIO-88, EIO-83]", async (t) => {
  const { client, session } = await pollingPair(t);
  const ws = await probed(client);
  session.send("a");
  session.send(Buffer.from([1]));
  session.send("b");
  session.once("upgrade", () => session.send("c"));
  ws.send("5");
  await ws.expect("4a");
  await ws.expect(Buffer.from([1]));
  await ws.expect("4b");
  await ws.expect("4c");
});

test("loses and repeats nothing across the switch [EIO-88]", async (t) => {
  const { client, session } = await pollingPair(t);
  const sent = Array.from({ length: 600 }, (_, i) => `4${i}`);
  const received = [];
  const queue = [...sent];
  const sendSome = () => queue.splice(0, 200).forEach((text) => session.send(text.slice(1)));
  sendSome();
  received.push(...(await client.poll()));
  const ws = await probed(client);
  sendSome();
  const packets = await client.poll();
  received.push(...packets.filter((packet) => packet !== "6"));
  sendSome();
  ws.send("5");
  while (received.length < sent.length) received.push(await ws.next());
  assert.deepEqual(received, sent);
});

test("closes a second candidate at once, and goes on with the first [EIO-89]", async (t) => {
  const { client, session } = await pollingPair(t);
  const first = await probed(client);
  const second = await client.candidate();
  assert.deepEqual(await second.closed(), { code: 1005, reason: "", hasFrame: true });
  first.send("5");
  session.send("on the first");
  await first.expect("4on the first");
});

test("closes every candidate once upgraded, and the WebSocket goes on [EIO-89, EIO-140]", async (t) => {
  const { port, engine } = await startEcho(t);
  const { client } = await openPolling({ engine, port });
  const ws = await client.upgrade();
  ws.send("4a");
  await ws.expect("4a");
  const second = await client.candidate();
  assert.equal((await second.closed()).code, 1005);
  ws.send("4b");
  await ws.expect("4b");
});

test("does not disturb a session that was opened on WebSocket by a second WebSocket with its sid [EIO-80, EIO-89]", async (t) => {
  const { engine, port } = await startEcho(t);
  const ws = await WireSocket.open(port, "/engine.io/?EIO=4&transport=websocket");
  const { sid } = JSON.parse((await ws.next()).slice(1));
  const second = await WireSocket.open(port, `/engine.io/?EIO=4&transport=websocket&sid=${sid}`).catch((error) => error);
  if (second instanceof WireSocket) second.close();
  else assert.equal(second.response.text, "Bad request");
  ws.send("4a");
  await ws.expect("4a");
  assert.equal(engine.clientsCount, 1);
});

for (const method of ["GET", "POST"]) {
  test(`refuses a ${method} by polling after the upgrade, and the WebSocket goes on [EIO-90, EIO-140]`, async (t) => {
    const { port, engine } = await startEcho(t);
    const { client } = await openPolling({ engine, port });
    const ws = await client.upgrade();
    ws.send("4a");
    await ws.expect("4a");
    const refusal = once(engine, "connection_error");
    const response = await http(port, { method, path: client.url(), body: method === "POST" ? "4x" : undefined });
    assert.deepEqual([response.status, response.text], [400, '{"code":3,"message":"Bad request"}']);
    assert.deepEqual((await refusal)[0].context, { name: "TRANSPORT_MISMATCH", transport: "polling", previousTransport: "websocket" });
    ws.send("4b");
    await ws.expect("4b");
  });
}

test("closes the candidate with the session [EIO-91, ENG-151]", async (t) => {
  const { client, session } = await pollingPair(t);
  const end = ending(session);
  const ws = await probed(client);
  await client.post("1");
  assert.equal((await end).reason, "transport close");
  await ws.closed();
});

test("closes the candidate when the session is discarded [EIO-91, ENG-151, ENG-160]", async (t) => {
  const { client, session } = await pollingPair(t);
  const ws = await probed(client);
  session.close(true);
  assert.equal(session.readyState, "closed");
  await ws.closed();
});

test("closes the candidate when the session times out [EIO-91, ENG-151]", async (t) => {
  const { client, session } = await pollingPair(t, { pingInterval: 100, pingTimeout: 100 });
  const end = ending(session);
  const ws = await probed(client);
  assert.equal((await end).reason, "ping timeout");
  await ws.closed();
});

test("lets an upgrade complete after close(), then flushes and closes [ENG-150]", async (t) => {
  const { client, session } = await pollingPair(t);
  const end = ending(session);
  const ws = await probed(client);
  session.send("bye");
  session.close();
  assert.equal(session.readyState, "closing");
  ws.send("5");
  await ws.expect("4bye");
  assert.equal((await ws.closed()).code, 1005);
  assert.deepEqual(await end, { reason: "forced close", description: undefined });
});

test("closes the candidate when the poll side closes first [ENG-150]", async (t) => {
  const { client, session } = await pollingPair(t, { upgradeTimeout: 300 });
  const end = ending(session);
  const ws = await probed(client);
  session.send("bye");
  session.close();
  const polled = [];
  while (polled.at(-1) !== "1" && session.readyState !== "closed") {
    const response = await client.get();
    if (response.status !== 200) break;
    polled.push(...response.text.split("\x1e"));
  }
  assert.equal((await end).reason, "forced close");
  assert.ok(polled.includes("4bye"), JSON.stringify(polled));
  await ws.closed();
});

test("ignores what the retired transport still receives, and how its connections end [ENG-152]", async (t) => {
  const { port, client, session } = await pollingPair(t);
  const seen = messages(session);
  const ready = once(session.transport, "ready");
  const poll = client.get();
  await ready;
  const ws = await client.candidate();
  ws.send("5");
  assert.equal((await poll).text, "1");
  const data = once(session, "data");
  ws.send("4on the socket");
  await data;
  assert.equal((await http(port, { method: "POST", path: client.url(), body: "4too late" })).status, 400);
  assert.deepEqual(seen, ["on the socket"]);
  assert.equal(session.readyState, "open");
});

test("keeps the session when a post is still being received at the switch [ENG-153]", async (t) => {
  const { engine, port, client, session } = await pollingPair(t);
  const seen = messages(session);
  const arrived = new Promise((resolve) =>
    engine.use((req, res, next) => {
      next();
      resolve();
    }),
  );
  const post = await HttpConnection.open(port);
  post.write(requestBytes(port, { method: "POST", path: client.url(), headers: { "Content-Length": "50" }, body: "4half" }));
  await arrived;
  const ws = await client.upgrade();
  session.send("moved");
  await ws.expect("4moved");
  post.write(Buffer.alloc(45, 0x78));
  ws.send("4after");
  await once(session, "data");
  assert.deepEqual(seen, ["after"]);
  assert.equal(session.readyState, "open");
});

test("accepts or refuses a hand-made upgrade when upgrades are not advertised [ENG-154]", async (t) => {
  const { client, session } = await pollingPair(t, { allowUpgrades: false });
  assert.deepEqual(client.handshake.upgrades, []);
  const ws = await client.candidate().catch((error) => error);
  if (!(ws instanceof WireSocket)) return assert.equal(ws.response.text, "Bad request");
  ws.send("2probe");
  await ws.expect("3probe");
  ws.send("5");
  session.send("moved");
  await ws.expect("4moved");
});

test(
  "still declares a silent peer dead when its ping was outstanding at the switch [ENG-155]",
  oursOnly("it forgets the deadline at the switch"),
  async (t) => {
    const { client, session } = await pollingPair(t, { pingInterval: 100, pingTimeout: 300 });
    const end = ending(session);
    assert.deepEqual(await client.poll(), ["2"]);
    const upgrade = once(session, "upgrade");
    await client.upgrade();
    await upgrade;
    const elapsed = stopwatch();
    assert.equal((await end).reason, "ping timeout");
    assert.ok(elapsed() >= 290, `closed ${elapsed()} ms after the switch`);
  },
);

test("flushes a ping that is still queued at the switch to the new transport [ENG-155]", async (t) => {
  const { client, session } = await pollingPair(t, { pingInterval: 100, pingTimeout: 3000 });
  const [packet] = await once(session, "packetCreate");
  assert.equal(packet.type, "ping");
  const ws = await client.upgrade();
  await ws.expect("2");
  ws.send("3");
  await ws.expect("2");
});

test("goes on pinging after an upgrade between two pings [ENG-155, EIO-71]", async (t) => {
  const { client } = await pollingPair(t, { pingInterval: 150, pingTimeout: 2000 });
  const ws = await client.upgrade();
  for (let round = 0; round < 2; round++) {
    await ws.expect("2");
    ws.send("3");
  }
});

test("closes the upgraded session with its WebSocket [EIO-123]", async (t) => {
  const { client, session } = await pollingPair(t);
  const upgrade = once(session, "upgrade");
  const ws = await client.upgrade();
  await upgrade;
  const end = ending(session);
  ws.close(1001);
  assert.equal((await end).reason, "transport close");
});

test("counts one session before, during and after an upgrade [EIO-80, ENG-143]", async (t) => {
  const { engine, client, session } = await pollingPair(t);
  const ws = await probed(client);
  assert.equal(engine.clientsCount, 1);
  const upgrade = once(session, "upgrade");
  ws.send("5");
  await upgrade;
  assert.equal(engine.clientsCount, 1);
  const end = ending(session);
  ws.abort();
  await end;
  assert.equal(engine.clientsCount, 0);
  assert.deepEqual(Object.keys(engine.clients), []);
});
