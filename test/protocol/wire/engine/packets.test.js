import { test } from "node:test";
import assert from "node:assert/strict";
import { once, record } from "../../../support/client.js";
import { PollingSession, SEPARATOR, WireSocket, messageFrame } from "../../../support/wire-client.js";
import { WEBSOCKET, ending, messages, pollingPair, startEcho, webSocketPair } from "../../../support/engine.js";
import { ours } from "../../../support/target.js";

const bytes = (...values) => Buffer.from(values);

const outgoing = [
  ["a string", "hello", "4hello"],
  ["an empty string", "", "4"],
  ["undefined", undefined, "4"],
  ["null", null, "4"],
  ["zero", 0, "4"],
  ["false", false, "4"],
  ["NaN", NaN, "4"],
  ["a number", 12, "412"],
  ["a plain object", {}, "4[object Object]"],
  ["text beyond ASCII", "€ 🦊", "4€ 🦊"],
];

const outgoingBinary = [
  ["a Buffer", bytes(1, 2, 3), bytes(1, 2, 3)],
  ["an empty Buffer", bytes(), bytes()],
  ["an ArrayBuffer", Uint8Array.from([7, 8]).buffer, bytes(7, 8)],
  ["a Uint16Array", Uint16Array.from([258]), bytes(2, 1)],
  ["a view of the middle of a buffer", new Uint8Array(Uint8Array.from([9, 1, 2, 9]).buffer, 1, 2), bytes(1, 2)],
  ["a DataView", new DataView(Uint8Array.from([9, 1, 2, 9]).buffer, 1, 2), bytes(1, 2)],
  ["a Buffer from the middle of another", bytes(9, 1, 2, 9).subarray(1, 3), bytes(1, 2)],
];

for (const [name, payload, encoded] of outgoing) {
  test(`sends ${name} as ${JSON.stringify(encoded)} on both transports [EIO-11, EIO-14, EIO-20]`, async (t) => {
    const polling = await pollingPair(t);
    polling.session.send(payload);
    assert.equal((await polling.client.get()).text, encoded);
    const { ws, session } = await webSocketPair(t);
    session.send(payload);
    await ws.expect(encoded);
  });
}

for (const [name, payload, encoded] of outgoingBinary) {
  test(`sends ${name} as its own bytes, in base64 on polling [EIO-15, EIO-16, EIO-20, EIO-31]`, async (t) => {
    const polling = await pollingPair(t);
    polling.session.send(payload);
    assert.equal((await polling.client.get()).text, `b${encoded.toString("base64")}`);
    const { ws, session } = await webSocketPair(t);
    session.send(payload);
    await ws.expect(encoded);
    assert.equal(ws.frames.at(-1).opcode, 2);
  });
}

test("writes queued packets as frames of their own, in order [EIO-20]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  session.send("a");
  session.send(bytes(1, 2));
  session.send("b");
  await ws.expect("4a");
  await ws.expect(bytes(1, 2));
  await ws.expect("4b");
  assert.deepEqual(
    ws.frames.map(({ opcode, fin }) => [opcode, fin]),
    [
      [1, true],
      [1, true],
      [2, true],
      [1, true],
    ],
  );
});

test("joins the packets of a payload with one separator [EIO-30, EIO-31]", async (t) => {
  const { client, session } = await pollingPair(t);
  session.send("a");
  session.send("b");
  assert.deepEqual((await client.get()).body, bytes(0x34, 0x61, 0x1e, 0x34, 0x62));
  session.send("hello");
  session.send(bytes(1, 2, 3, 4));
  assert.equal((await client.get()).text, "4hello\x1ebAQIDBA==");
});

test("sends binary as base64 text on a WebSocket opened with b64 [EIO-4, EIO-22]", async (t) => {
  const { ws, session } = await webSocketPair(t, {}, { path: `${WEBSOCKET}&b64=1` });
  session.send(bytes(7, 8));
  await ws.expect("bBwg=");
});

test("sends binary as it is when b64 is empty [EIO-4, EIO-22]", async (t) => {
  const { ws, session } = await webSocketPair(t, {}, { path: `${WEBSOCKET}&b64=` });
  session.send(bytes(7, 8));
  await ws.expect(bytes(7, 8));
});

test("reads b64 from the request that opened the transport [EIO-22]", async (t) => {
  const { client, session } = await pollingPair(t, {}, { query: "b64=1" });
  const ws = await client.upgrade();
  session.send(bytes(7, 8));
  await ws.expect(bytes(7, 8));
  const other = await pollingPair(t);
  const second = await other.client.upgrade({ query: "b64=1" });
  other.session.send(bytes(7, 8));
  await second.expect("bBwg=");
});

const incoming = [
  ["4hello", "hello"],
  ["4€ 🦊", "€ 🦊"],
  ["4", undefined],
  ["bAQID", bytes(1, 2, 3)],
  ["bBwg=", bytes(7, 8)],
  ["b", bytes()],
  ["b!!!", bytes()],
];

for (const [text, payload] of incoming) {
  test(`delivers ${JSON.stringify(text)} on both transports [EIO-12, EIO-16, EIO-23, EIO-60]`, async (t) => {
    const polling = await pollingPair(t);
    const polled = once(polling.session, "data");
    await polling.client.post(text);
    assert.deepEqual(await polled, [payload]);
    const { ws, session } = await webSocketPair(t);
    const framed = once(session, "data");
    ws.send(text);
    assert.deepEqual(await framed, [payload]);
  });
}

for (const payload of [bytes(1, 2, 3, 4), bytes(), bytes(0x34, 0x61), Buffer.alloc(70000, 7)]) {
  test(`delivers a binary frame of ${payload.length} bytes as a Buffer [EIO-16, EIO-21]`, async (t) => {
    const { ws, session } = await webSocketPair(t);
    const data = once(session, "data");
    ws.send(payload);
    const [met] = await data;
    assert.ok(Buffer.isBuffer(met));
    assert.ok(met.equals(payload));
  });
}

test("delivers several frames of one write in order [EIO-20, EIO-60]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  const seen = record(session, "data");
  ws.send("4a", bytes(1), "4b");
  await seen.until((events) => events.length === 3);
  assert.deepEqual(seen.events, [
    ["data", "a"],
    ["data", bytes(1)],
    ["data", "b"],
  ]);
});

test("delivers a message sent in fragments once, whole [EIO-20]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  const data = once(session, "data");
  ws.sendFragments("4hello world", 4);
  assert.deepEqual(await data, ["hello world"]);
});

test("delivers frames that come one byte at a time [EIO-20]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  const data = once(session, "data");
  for (const byte of messageFrame("4slow")) ws.write(Buffer.from([byte]));
  assert.deepEqual(await data, ["slow"]);
});

test("delivers all packets of a payload [EIO-30, EIO-32, EIO-132]", async (t) => {
  const { port } = await startEcho(t);
  const client = await PollingSession.open(port);
  assert.equal((await client.post("4test1\x1e4test2\x1e4test3")).text, "ok");
  assert.equal((await client.get()).text, "4test1\x1e4test2\x1e4test3");
  await client.post("4hello\x1ebAQIDBA==");
  assert.equal((await client.get()).text, "4hello\x1ebAQIDBA==");
});

test("cuts a message at the separator it contains [EIO-33]", async (t) => {
  const { client, session } = await pollingPair(t);
  session.send(`a${SEPARATOR}4b`);
  assert.deepEqual(await client.poll(), ["4a", "4b"]);
});

for (const [body, delivered] of [
  ["abc", []],
  ["", []],
  ["9", []],
  ["7x", []],
  ["4a\x1e", ["a"]],
  ["\x1e4a", []],
  ["4ok\x1eabc\x1e4after", ["ok"]],
]) {
  test(`stops at the malformed piece of ${JSON.stringify(body)} [EIO-13, EIO-32, EIO-63, EIO-133]`, async (t) => {
    const { client, session } = await pollingPair(t);
    const seen = messages(session);
    const end = ending(session);
    assert.equal((await client.post(body)).text, "ok");
    assert.deepEqual(await end, { reason: "parse error", description: undefined });
    assert.deepEqual(seen, delivered);
    assert.equal((await client.get()).text, '{"code":1,"message":"Session ID unknown"}');
  });
}

for (const text of ["abc", "", "9", "é"]) {
  test(`closes the WebSocket on the malformed packet ${JSON.stringify(text)} [EIO-13, EIO-63, EIO-136]`, async (t) => {
    const { ws, session } = await webSocketPair(t);
    const end = ending(session);
    ws.send(text);
    assert.equal((await end).reason, "parse error");
    assert.equal((await ws.closed()).code, 1005);
  });
}

test("shows a malformed packet as an error pseudo packet [EIO-13, ENG-139]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  const packet = once(session, "packet");
  ws.send("abc");
  assert.deepEqual(await packet, [{ type: "error", data: "parser error" }]);
});

test("accepts an unsolicited pong [EIO-61]", async (t) => {
  const { port } = await startEcho(t);
  const client = await PollingSession.open(port);
  await client.post("3\x1e4a");
  assert.deepEqual(await client.poll(), ["4a"]);
  const ws = await WireSocket.open(port, WEBSOCKET);
  await ws.next();
  ws.send("3", "3x", "4b");
  await ws.expect("4b");
});

for (const ping of ["2", "2probe", "2anything"]) {
  test(`ends the session of a client that pings with ${ping} [EIO-10, EIO-62, ENG-162]`, async (t) => {
    const { ws, session } = await webSocketPair(t);
    const end = ending(session);
    ws.send(ping);
    const { reason, description } = await end;
    assert.equal(reason, "transport error");
    assert.ok(description instanceof Error);
    assert.equal(description.message, "invalid heartbeat direction");
    await ws.closed();
  });
}

test("ends a polling session of a client that pings [EIO-62]", async (t) => {
  const { client, session } = await pollingPair(t);
  const end = ending(session);
  await client.post("2probe");
  const { reason, description } = await end;
  assert.deepEqual([reason, description.message], ["transport error", "invalid heartbeat direction"]);
});

test("ends a polling session at its close packet, and drops the rest of the payload [EIO-64, EIO-123, EIO-138]", async (t) => {
  const { client, session } = await pollingPair(t);
  const seen = messages(session);
  const end = ending(session);
  const get = client.get();
  const post = await client.post("4before\x1e1\x1e4after");
  assert.deepEqual([post.status, post.text], [200, "ok"]);
  assert.equal((await get).text, "6");
  assert.deepEqual(await end, { reason: "transport close", description: undefined });
  assert.deepEqual(seen, ["before"]);
  assert.equal((await client.get()).status, 400);
});

test("ends a WebSocket session at its close packet [EIO-65, EIO-66, EIO-138]", async (t) => {
  const { ws, session } = await webSocketPair(t, { pingInterval: 100, pingTimeout: 100 });
  const end = ending(session);
  ws.send("1");
  const { reason } = await end;
  ours("it ignores the packet until the heartbeat fails", () => assert.equal(reason, "transport close"));
  await ws.closed();
});

for (const text of ["0", "5", "6"]) {
  test(`ignores ${text} outside its place, but shows it [EIO-67, ENG-139]`, async (t) => {
    const { ws, session } = await webSocketPair(t);
    const seen = record(session, "packet", "data");
    ws.send(text, "4a");
    await seen.until((events) => events.length === 3);
    const type = { 0: "open", 5: "upgrade", 6: "noop" }[text];
    assert.equal(seen.events[0][1].type, type);
    assert.deepEqual(seen.names, ["packet", "packet", "data"]);
    const polling = await pollingPair(t);
    const polled = once(polling.session, "data");
    await polling.client.post(`${text}\x1e4b`);
    assert.deepEqual(await polled, ["b"]);
  });
}

test("answers ok and drops packets while its close packet waits [EIO-68]", async (t) => {
  const { client, session } = await pollingPair(t);
  const seen = messages(session);
  session.close();
  assert.equal(session.readyState, "closing");
  assert.equal((await client.post("4late")).text, "ok");
  assert.deepEqual(seen, []);
  assert.equal((await client.poll()).at(-1), "1");
});
