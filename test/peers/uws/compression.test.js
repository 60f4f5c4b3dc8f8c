/** permessage-deflate on uWebSockets.js: its shared compressor, switched on by `perMessageDeflate` or by `compression`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import { connect, once, record } from "../../support/client.js";
import { ending, openWebSocket, WEBSOCKET, webSocketPair } from "../../support/engine.js";
import { fence } from "../../support/pairs.js";
import { startEngine, startServer } from "../../support/server.js";
import { WireSocket } from "../../support/wire-client.js";
import { loadUws } from "./app.js";

const onUws = { uws: true };
const OFFER = { "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits" };
const TEXT = "some text that repeats itself ".repeat(100);
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);

const acceptedBy = ({ response }) => response.headers["sec-websocket-extensions"];

/** The message of a frame, and whether it was compressed. */
function contentOf({ rsv, payload }) {
  const bytes = rsv === 4 ? inflateRawSync(Buffer.concat([payload, TAIL]), { finishFlush: constants.Z_SYNC_FLUSH }) : payload;
  return { isCompressed: rsv === 4, bytes };
}

/** A final, masked frame with RSV1, with a mask of zeros. */
function compressedFrame(opcode, bytes) {
  const payload = deflateRawSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);
  const head = Buffer.alloc(8);
  head.set([0xc0 | opcode, 0xfe]);
  head.writeUInt16BE(payload.length, 2);
  return Buffer.concat([head, payload]);
}

async function deflatePair(t, options = { perMessageDeflate: true }) {
  return webSocketPair(t, options, { headers: OFFER, host: onUws });
}

/** The next frame that the peer gets. */
async function nextFrame(ws, cause) {
  const count = ws.frames.length;
  cause();
  while (ws.frames.length === count) await new Promise(setImmediate);
  return contentOf(ws.frames[count]);
}

for (const [title, options, isNegotiated] of [
  ["perMessageDeflate: true", { perMessageDeflate: true }, true],
  ["perMessageDeflate with settings", { perMessageDeflate: { threshold: 10 } }, true],
  ["compression alone", () => ({ compression: loadUws().SHARED_COMPRESSOR }), true],
  ["perMessageDeflate, and compression: DISABLED", () => ({ perMessageDeflate: true, compression: loadUws().DISABLED }), false],
  ["neither", {}, false],
]) {
  test(`negotiates ${isNegotiated ? "a connection without context" : "nothing"} with ${title} [ROB-642, ENG-180]`, async (t) => {
    const { engine, port } = await startEngine(t, typeof options === "function" ? options() : options, onUws);
    for (const offer of [
      "permessage-deflate",
      "permessage-deflate; client_max_window_bits",
      "permessage-deflate; client_no_context_takeover",
    ]) {
      const { ws } = await openWebSocket({ engine, port }, { headers: { "Sec-WebSocket-Extensions": offer } });
      const accepted = acceptedBy(ws)?.split(/;\s*/).sort();
      assert.deepEqual(
        accepted,
        isNegotiated ? ["client_no_context_takeover", "permessage-deflate", "server_no_context_takeover"] : undefined,
      );
    }
    const { ws } = await openWebSocket({ engine, port });
    assert.equal(acceptedBy(ws), undefined);
  });
}

test("compresses messages of the threshold and more, text and bytes, but for compress(false) [ROB-642, EVT-8]", async (t) => {
  const { ws, session } = await deflatePair(t);
  const sent = [
    ["x".repeat(1023), undefined, true], // with the character of its type it has 1,024 bytes
    ["x".repeat(1022), undefined, false],
    [TEXT, { compress: false }, false],
    [TEXT, undefined, true],
    [Buffer.from(TEXT), undefined, true],
    [Buffer.from(TEXT), { compress: false }, false],
  ];
  for (const [data, options, isCompressed] of sent) {
    const content = await nextFrame(ws, () => session.send(data, options));
    assert.equal(content.isCompressed, isCompressed);
    assert.deepEqual(content.bytes, typeof data === "string" ? Buffer.from(`4${data}`) : data);
  }
});

test("takes its threshold from the option, and sends plain to a client that offers nothing [ROB-642]", async (t) => {
  const { engine, port, ws, session } = await deflatePair(t, { perMessageDeflate: { threshold: 100 } });
  assert.equal((await nextFrame(ws, () => session.send("x".repeat(99)))).isCompressed, true);
  assert.equal((await nextFrame(ws, () => session.send("x".repeat(98)))).isCompressed, false);
  const plain = await openWebSocket({ engine, port });
  plain.session.send(TEXT);
  assert.equal(await plain.ws.next(), `4${TEXT}`);
});

test("carries large messages both ways, in order, with small and binary ones between them [ROB-642]", async (t) => {
  const { port, io } = await startServer(t, { perMessageDeflate: true }, onUws);
  io.on("connection", (socket) => socket.on("n", (...args) => socket.emit("n", ...args)));
  const client = await connect(t, port, "/", { transports: ["websocket"] });
  const heard = record(client, "n");
  const sent = [];
  for (let n = 0; n < 60; n++) {
    const payload = [TEXT.repeat(1 + n), "small", Buffer.from(TEXT), Buffer.from([n]), `${Math.random()}`.repeat(20_000)][n % 5];
    sent.push(["n", n, payload]);
    client.compress(n % 7 > 0).emit("n", n, payload);
    if (n % 4 === 0) await new Promise(setImmediate);
  }
  await heard.until((events) => events.length === sent.length);
  assert.deepEqual(heard.events, sent);
});

test("publishes broadcasts compressed, to clients that negotiated it alone [ROB-642, ENG-189]", async (t) => {
  const { port, io, app } = await startServer(t, { perMessageDeflate: true }, onUws);
  let published = 0;
  const { publish } = app;
  app.publish = (...args) => {
    published++;
    return publish.apply(app, args);
  };
  const clients = [];
  for (let i = 0; i < 8; i++) clients.push(await connect(t, port, "/", { transports: ["websocket"], perMessageDeflate: i % 2 === 0 }));
  const raw = await WireSocket.open(port, WEBSOCKET.replace("engine.io", "socket.io"), OFFER);
  t.after(() => raw.abort());
  const joined = once(io, "connection");
  raw.send("40");
  await joined;
  const heard = clients.map((client) => record(client, "n"));
  const expected = [];
  for (let n = 0; n < 30; n++) {
    const [target, text] = [
      [io, TEXT],
      [io.compress(false), TEXT],
      [io, "small"],
    ][n % 3];
    target.emit("n", n, text);
    expected.push(["n", n, text]);
    await new Promise(setImmediate);
  }
  const sockets = clients.map(({ id }) => io.sockets.sockets.get(id));
  for (const [i, client] of clients.entries()) await fence(sockets[i], client);
  for (const { events } of heard) assert.deepEqual(events, expected);
  assert.ok(published > 20, `${published}`);
  while (raw.frames.length < 32) await new Promise(setImmediate);
  const contents = raw.frames.slice(2).map(contentOf);
  assert.deepEqual(
    contents.map(({ bytes }) => JSON.parse(bytes.subarray(2))),
    expected,
  );
  assert.deepEqual(
    contents.map(({ isCompressed }) => isCompressed),
    expected.map((_, n) => n % 3 === 0),
  );
});

test("closes a connection whose message inflates to more than maxHttpBufferSize, and delivers one that does not [ROB-643]", async (t) => {
  const { engine, port, ws, session } = await deflatePair(t, { perMessageDeflate: true, maxHttpBufferSize: 100_000 });
  const heard = once(session, "data");
  ws.write(compressedFrame(1, `4${"x".repeat(99_999)}`));
  assert.equal((await heard)[0].length, 99_999);
  for (const [opcode, bytes, reason] of [
    [1, `4${"x".repeat(100_000)}`, "transport error"], // refused with 1009
    [2, Buffer.alloc(10e6), "transport close"], // by the library, which doesn't inflate all of it
  ]) {
    const peer = await openWebSocket({ engine, port }, { headers: OFFER });
    const ended = ending(peer.session);
    const delivered = record(peer.session, "data");
    peer.ws.write(compressedFrame(opcode, bytes));
    assert.equal((await ended).reason, reason);
    assert.deepEqual(delivered.events, []);
  }
  assert.equal((await nextFrame(ws, () => session.send("still here"))).bytes.toString(), "4still here");
});

test("closes connections that send what is no deflate data, or RSV1 where nothing was negotiated [ROB-643]", async (t) => {
  const { engine, port } = await startEngine(t, { perMessageDeflate: true }, onUws);
  for (const [headers, frame] of [
    [OFFER, Buffer.from([0xc1, 0x84, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])],
    [{}, compressedFrame(1, `4${TEXT}`)],
  ]) {
    const peer = await openWebSocket({ engine, port }, { headers });
    const ended = ending(peer.session);
    const delivered = record(peer.session, "data");
    peer.ws.write(frame);
    assert.equal((await ended).reason, "transport close");
    assert.deepEqual(delivered.events, []);
  }
});
