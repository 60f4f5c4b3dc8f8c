import { test } from "node:test";
import assert from "node:assert/strict";
import { openPolling, openWebSocket, pollingPair, webSocketPair } from "../../../support/engine.js";
import { startEngine } from "../../../support/server.js";

/** The frame a server writes for a short text, in two pieces. */
function preEncoded(text) {
  const payload = Buffer.from(text);
  return [Buffer.from([0x81, payload.length]), payload];
}

test("writes a pre-encoded frame, or its data, to a WebSocket: the same bytes [ENG-117]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  session.send("pre", { wsPreEncodedFrame: preEncoded("4pre") });
  await ws.expect("4pre");
  assert.deepEqual({ ...ws.frames.at(-1) }, { fin: true, rsv: 0, opcode: 1, masked: false, payload: Buffer.from("4pre") });
});

test("sends the data of a packet with a pre-encoded frame to a poller [ENG-117]", async (t) => {
  const { client, session } = await pollingPair(t);
  session.send("pre", { wsPreEncodedFrame: preEncoded("4pre") });
  session.send("plain");
  assert.deepEqual(await client.poll(), ["4pre", "4plain"]);
});

test("keeps the order among pre-encoded and plain packets [ENG-117, ENG-115]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  session.send("a");
  session.send("b", { wsPreEncodedFrame: preEncoded("4b") });
  session.send(Buffer.from([1]));
  session.send("c", { wsPreEncodedFrame: preEncoded("4c") });
  await ws.expect("4a");
  await ws.expect("4b");
  await ws.expect(Buffer.from([1]));
  await ws.expect("4c");
});

test("shares one frame among many sessions, in flight or upgraded since [ENG-117]", async (t) => {
  const { engine, port } = await startEngine(t);
  const direct = [];
  for (let i = 0; i < 5; i++) direct.push(await openWebSocket({ engine, port }));
  const { client, session } = await openPolling({ engine, port });
  const options = { wsPreEncodedFrame: preEncoded("4all") };
  for (const one of [...direct.map(({ session: each }) => each), session]) one.send("all", options);
  for (const { ws } of direct) await ws.expect("4all");
  const upgraded = await client.upgrade();
  await upgraded.expect("4all");
});

test("sends a valid frame to a peer that negotiated compression [ENG-117]", async (t) => {
  const headers = { "Sec-WebSocket-Extensions": "permessage-deflate" };
  const { ws, session } = await webSocketPair(t, { perMessageDeflate: true }, { headers });
  session.send("pre", { wsPreEncodedFrame: preEncoded("4pre") });
  await ws.next();
  const { payload, rsv, fin } = ws.frames.at(-1);
  assert.equal(fin, true);
  if (rsv === 0) assert.equal(payload.toString(), "4pre");
});

test("takes the older text form, which carries its data too [ENG-117, ENG-133]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  session.send("pre", { wsPreEncoded: "4pre" });
  await ws.expect("4pre");
});

test("calls back for a pre-encoded packet like for every other [ENG-117, ENG-137]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  const sent = new Promise((resolve) => session.send("pre", { wsPreEncodedFrame: preEncoded("4pre") }, resolve));
  await ws.expect("4pre");
  assert.equal(await sent, session.transport);
});
