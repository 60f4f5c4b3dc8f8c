// Revision 3 of the protocol (`allowEIO3`): its framing on both transports.
import { test } from "node:test";
import assert from "node:assert/strict";
import { once } from "../../../support/client.js";
import { OPCODE, PollingSession, WireSocket, frame, http } from "../../../support/wire-client.js";
import { ending, messages, openWebSocket, pollingPair, startEcho } from "../../../support/engine.js";
import { startEngine } from "../../../support/server.js";
import { oursOnly } from "../../../support/target.js";

const LEGACY = { allowEIO3: true };
const WEBSOCKET = "/engine.io/?EIO=3&transport=websocket";
const OCTETS = { "Content-Type": "application/octet-stream" };
const bytes = (...values) => Buffer.from(values);
const hex = (text) => Buffer.from(text.replaceAll(" ", ""), "hex");

const legacyPair = (t, query) => pollingPair(t, LEGACY, { eio: 3, query });

async function legacySocket(t, query = "") {
  const { engine, port } = await startEngine(t, LEGACY);
  return openWebSocket({ engine, port }, { path: WEBSOCKET + query });
}

for (const eio of ["EIO=3&", "", "EIO=abc&", "EIO=5&", "EIO=4.0&"]) {
  test(`serves the query "${eio}" as revision 3 when that is allowed [EIO-1, EIO-2]`, async (t) => {
    const { engine, port } = await startEngine(t, LEGACY);
    const connection = once(engine, "connection");
    const { text } = await http(port, { path: `/engine.io/?${eio}transport=polling` });
    assert.match(text, /^118:0\{"sid":"[A-Za-z0-9_-]{20}",/);
    assert.equal((await connection)[0].protocol, 3);
  });
}

test("still serves revision 4 when revision 3 is allowed [EIO-1]", async (t) => {
  const { port } = await startEngine(t, LEGACY);
  assert.match((await http(port, { path: "/engine.io/?EIO=4&transport=polling" })).text, /^0\{/);
});

test("opens with a length before the same five keys [EIO-95, EIO-103, EIO-141]", async (t) => {
  const { client } = await legacyPair(t);
  assert.deepEqual(Object.keys(client.handshake), ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]);
  assert.equal(client.response.headers["content-type"], "text/plain; charset=UTF-8");
});

test("opens a WebSocket with the open packet as text [EIO-92]", async (t) => {
  const { open } = await legacySocket(t);
  assert.match(open, /^0\{"sid":/);
});

test("refuses a later request of revision 4 [EIO-3]", async (t) => {
  const { engine, port, client } = await legacyPair(t);
  const refusal = once(engine, "connection_error");
  const response = await http(port, { path: client.url().replace("EIO=3", "EIO=4") });
  assert.equal(response.text, '{"code":3,"message":"Bad request"}');
  assert.deepEqual((await refusal)[0].context, { name: "PROTOCOL_MISMATCH", protocol: 4, previousProtocol: 3 });
});

test("counts the lengths of a text payload in UTF-16 code units [EIO-95]", async (t) => {
  const { client, session } = await legacyPair(t);
  session.send("hello");
  session.send("€");
  const { body, text } = await client.get();
  assert.equal(text, "6:4hello2:4€");
  assert.equal(body.length, 14);
  session.send("🦊");
  assert.equal((await client.get()).text, "3:4🦊");
});

test("takes a text payload counted in UTF-16 code units [EIO-95, EIO-99]", async (t) => {
  const { client, session } = await legacyPair(t);
  const seen = messages(session);
  assert.equal((await client.post("6:4hello2:4€3:4🦊1:4")).text, "ok");
  assert.deepEqual(seen, ["hello", "€", "🦊", undefined]);
});

test("puts base64 into text payloads of a session with b64 [EIO-96, EIO-4]", async (t) => {
  const { client, session } = await legacyPair(t, "b64=1");
  session.send("hello");
  session.send(bytes(1, 2, 3, 4));
  const response = await client.get();
  assert.equal(response.text, "6:4hello10:b4AQIDBA==");
  assert.equal(response.headers["content-type"], "text/plain; charset=UTF-8");
});

test("takes base64 in text payloads, with a type digit [EIO-93, EIO-96]", async (t) => {
  const { client, session } = await legacyPair(t);
  const seen = messages(session);
  await client.post("10:b4AQIDBA==");
  assert.deepEqual(seen, [bytes(1, 2, 3, 4)]);
});

test("answers with a binary payload when a packet is binary [EIO-97, EIO-98]", async (t) => {
  const { client, session } = await legacyPair(t);
  session.send("€");
  session.send(bytes(1, 2, 3, 4));
  const response = await client.get();
  assert.equal(response.headers["content-type"], "application/octet-stream");
  assert.deepEqual(response.body, hex("00 04 ff 34 e2 82 ac 01 05 ff 04 01 02 03 04"));
});

test("writes the length of a binary payload digit by digit [EIO-97, EIO-98]", async (t) => {
  const { client, session } = await legacyPair(t);
  session.send("x".repeat(11));
  session.send(bytes(9));
  assert.deepEqual((await client.get()).body, Buffer.concat([hex("00 01 02 ff 34"), Buffer.from("x".repeat(11)), hex("01 02 ff 04 09")]));
});

test("replaces a lone surrogate that enters a binary payload [EIO-104]", async (t) => {
  const { client, session } = await legacyPair(t);
  session.send("\ud800");
  session.send(bytes(9));
  assert.deepEqual((await client.get()).body, hex("00 04 ff 34 ef bf bd 01 02 ff 04 09"));
});

test("takes a binary payload, with strings and binary [EIO-97, EIO-99]", async (t) => {
  const { client, session } = await legacyPair(t);
  const seen = messages(session);
  const body = hex("00 04 ff 34 e2 82 ac 01 05 ff 04 01 02 03 04");
  assert.equal((await client.post(body, { headers: OCTETS })).text, "ok");
  assert.deepEqual(seen, ["€", bytes(1, 2, 3, 4)]);
});

test("takes a body with any other content type for text [EIO-99]", async (t) => {
  const { client, session } = await legacyPair(t);
  const seen = messages(session);
  await client.post("6:4hello", { headers: { "Content-Type": "text/plain;charset=UTF-8" } });
  assert.deepEqual(seen, ["hello"]);
});

test("echoes text and binary like the conformance suite wants [EIO-141]", async (t) => {
  const { port } = await startEcho(t, LEGACY);
  const client = await PollingSession.open(port, "", { eio: 3 });
  await client.post("6:4hello10:b4AQIDBA==");
  assert.deepEqual((await client.get()).body, hex("00 06 ff 34 68 65 6c 6c 6f 01 05 ff 04 01 02 03 04"));
  const text = await PollingSession.open(port, "b64=1", { eio: 3 });
  await text.post("6:4hello10:b4AQIDBA==");
  assert.equal((await text.get()).text, "6:4hello10:b4AQIDBA==");
});

for (const [body, delivered] of [
  ["", []],
  [":4a", []],
  ["x:4a", []],
  ["5:4a", []],
  ["2:4a3", ["a"]],
  ["2:4a2:9x2:4b", ["a"]],
  ["abc", []],
]) {
  test(`ends the session at the defect of ${JSON.stringify(body)} [EIO-100]`, async (t) => {
    const { client, session } = await legacyPair(t);
    const seen = messages(session);
    const end = ending(session);
    assert.equal((await client.post(body)).text, "ok");
    assert.equal((await end).reason, "parse error");
    assert.deepEqual(seen, delivered);
  });
}

test("takes the length zero for nothing [EIO-100, EIO-102]", async (t) => {
  const { client, session } = await legacyPair(t);
  const seen = messages(session);
  assert.equal((await client.post("0:")).text, "ok");
  assert.equal((await client.post("0:2:4a")).text, "ok");
  assert.deepEqual(seen, ["a"]);
  assert.equal(session.readyState, "open");
});

for (const [name, body, delivered] of [["no end of the length", hex("00 02"), []]]) {
  test(`ends the session at a binary payload with ${name} [EIO-101]`, async (t) => {
    const { client, session } = await legacyPair(t);
    const seen = messages(session);
    const end = ending(session);
    await client.post(body, { headers: OCTETS });
    assert.equal((await end).reason, "parse error");
    assert.deepEqual(seen, delivered);
  });
}

for (const [name, body, delivered] of [
  ["too many length digits", Buffer.concat([hex("00"), Buffer.alloc(311, 1), hex("ff 34")]), []],
  ["a length beyond its end", hex("00 02 ff 34 61 00 09 ff 34 62"), ["a"]],
  ["a truncated binary packet", hex("01 05 ff 04 01 02"), []],
  ["a string that is not UTF-8", hex("00 03 ff 34 ff fe"), []],
]) {
  test(`ends the session at a binary payload with ${name} [EIO-101]`, oursOnly("it reads past such defects"), async (t) => {
    const { client, session } = await legacyPair(t);
    const seen = messages(session);
    const end = ending(session);
    await client.post(body, { headers: OCTETS });
    assert.equal((await end).reason, "parse error");
    assert.deepEqual(seen, delivered);
  });
}

test("puts the type in front of binary on WebSocket, both ways [EIO-92]", async (t) => {
  const { ws, session } = await legacySocket(t);
  session.send(bytes(7, 8));
  await ws.expect(bytes(4, 7, 8));
  const data = once(session, "data");
  ws.send(bytes(4, 1, 2));
  assert.deepEqual(await data, [bytes(1, 2)]);
});

test("sends base64 with a type digit on a WebSocket with b64 [EIO-92, EIO-93]", async (t) => {
  const { ws, session } = await legacySocket(t, "&b64=1");
  session.send(bytes(7, 8));
  await ws.expect("b4Bwg=");
  const data = once(session, "data");
  ws.send("b4AQID");
  assert.deepEqual(await data, [bytes(1, 2, 3)]);
});

for (const [name, payload] of [
  ["an unknown type byte", bytes(9, 1)],
  ["no byte at all", bytes()],
]) {
  test(`ends the session at a binary frame with ${name} [EIO-94]`, oursOnly("it ignores the packet"), async (t) => {
    const { ws, session } = await legacySocket(t);
    const end = ending(session);
    ws.write(frame(OPCODE.binary, payload));
    assert.equal((await end).reason, "parse error");
  });
}

test("ends the session at malformed text on WebSocket [EIO-13, EIO-63]", async (t) => {
  const { ws, session } = await legacySocket(t);
  const end = ending(session);
  ws.send("abc");
  assert.equal((await end).reason, "parse error");
  await ws.closed();
});

test("serves a WebSocket echo in revision 3 [EIO-92, EIO-141]", async (t) => {
  const { port } = await startEcho(t, LEGACY);
  const ws = await WireSocket.open(port, WEBSOCKET);
  await ws.next();
  ws.send("4hello", bytes(4, 1, 2, 3));
  await ws.expect("4hello");
  await ws.expect(bytes(4, 1, 2, 3));
});
