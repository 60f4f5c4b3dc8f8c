/** Broadcasts to clients that negotiated compression with different windows, and to others: each gets its bytes, compressed once for all. */
import { deflates } from "./fixtures/count-deflates.mjs"; // first: it counts what the package calls
import assert from "node:assert/strict";
import { test } from "node:test";
import { startServer } from "../../../support/server.js";
import { oursOnly } from "../../../support/target.js";
import { inflated, PollingSession, WireSocket } from "../../../support/wire-client.js";

const WEBSOCKET = "/socket.io/?EIO=4&transport=websocket";
const OURS = oursOnly("it compresses for each client, in a window of its own");
const offer = (parameters) => ({ "Sec-WebSocket-Extensions": `permessage-deflate${parameters}` });

const MARK = "a text that is there twice, far apart: a window of 512 bytes does not reach from one to the other";
const document = (size) => [
  MARK,
  ...Array.from({ length: size }, (_, i) => ({ id: (i * 7919) % 10_007, name: `entry ${(i * 31) % 211}`, isOpen: i % 3 === 0 })),
  MARK,
];
const SMALL = document(2);
const MEDIUM = document(60);
const LARGE = document(4000);

async function join(t, port, headers, windowBits) {
  const ws = await WireSocket.open(port, WEBSOCKET, headers, { windowBits });
  t.after(() => ws.abort());
  await ws.next();
  ws.send("40");
  await ws.next();
  return ws;
}

/** Two clients of each kind, and one that polls: `{ io, wide, narrow, plain, polling }`. */
async function open(t, options) {
  const { io, port } = await startServer(t, { perMessageDeflate: true, httpCompression: false, ...options });
  const pairOf = async (headers, bits) => [await join(t, port, headers, bits), await join(t, port, headers, bits)];
  const wide = await pairOf(offer(""), 15);
  const narrow = await pairOf(offer("; server_max_window_bits=9"), 9);
  const plain = await pairOf({}, 15);
  const polling = await PollingSession.open(port, "", { path: "/socket.io/" });
  await polling.post("40");
  await polling.poll();
  io.emit("first", MEDIUM); // the compressors are made now
  for (const ws of [...wide, ...narrow, ...plain]) await ws.next();
  await polling.poll();
  deflates.length = 0;
  return { io, wide, narrow, plain, polling };
}

const last = ({ frames }) => frames.at(-1);

for (const [what, value] of [
  ["2 KB", MEDIUM],
  ["200 KB", LARGE],
]) {
  test(`compresses a broadcast of ${what} once for each window size, whatever the number of clients [ROB-655]`, OURS, async (t) => {
    const { io, wide, narrow, plain, polling } = await open(t);
    io.emit("item", value);
    const text = `42${JSON.stringify(["item", value])}`;
    for (const ws of [...wide, ...narrow, ...plain]) await ws.expect(text);
    assert.deepEqual(await polling.poll(), [text]);
    assert.deepEqual(deflates, [text.length, text.length]);
    for (const [first, second] of [wide, narrow]) {
      assert.equal(last(first).rsv, 4);
      assert.ok(last(first).payload.length < text.length / 2);
      assert.ok(last(first).payload.equals(last(second).payload), "both got the same bytes");
    }
    assert.throws(() => inflated(last(wide[0]).payload, 9), /too far back/, "the wide window was used");
    for (const ws of plain) assert.equal(last(ws).rsv, 0);
  });
}

test(
  "keeps the order of broadcasts and emits of every size, in one tick and over several, for clients of every kind [ROB-655]",
  OURS,
  async (t) => {
    const { io, wide, narrow, plain } = await open(t);
    const all = [...wide, ...narrow, ...plain];
    const texts = [];
    const emit = (target, ...event) => {
      target.emit(...event);
      texts.push(`42${JSON.stringify(event)}`);
    };
    for (let round = 0; round < 20; round++) {
      emit(io, "small", round, SMALL);
      emit(io, "medium", round, MEDIUM);
      for (const socket of io.of("/").sockets.values()) socket.emit("own", round, MEDIUM);
      texts.push(`42${JSON.stringify(["own", round, MEDIUM])}`);
      if (round % 3 === 0) emit(io, "large", round, LARGE);
      emit(io.compress(false), "plain", round, MEDIUM);
      for (const socket of io.of("/").sockets.values()) socket.emit("own small", round);
      texts.push(`42${JSON.stringify(["own small", round])}`);
      if (round % 4 === 3) await new Promise(setImmediate);
    }
    for (const ws of all) for (const text of texts) await ws.expect(text);
  },
);

test(
  "sends plain frames for small messages, for compress(false), and where compression makes nothing smaller [ROB-655, EVT-8]",
  OURS,
  async (t) => {
    const { io, wide, narrow } = await open(t);
    const noise = Buffer.from(Array.from({ length: 3000 }, (_, i) => ((i * i * 31 + i * 17) % 251) ^ ((i * 7919) % 256)));
    io.emit("small", SMALL);
    io.compress(false).emit("medium", MEDIUM);
    for (const ws of [...wide, ...narrow]) {
      await ws.expect(`42${JSON.stringify(["small", SMALL])}`);
      await ws.expect(`42${JSON.stringify(["medium", MEDIUM])}`);
      assert.deepEqual(
        ws.frames.slice(-2).map(({ rsv }) => rsv),
        [0, 0],
      );
    }
    assert.deepEqual(deflates, []);
    io.emit("noise", noise);
    for (const ws of wide) {
      await ws.expect('451-["noise",{"_placeholder":true,"num":0}]');
      await ws.expect(noise);
      assert.ok(last(ws).payload.length <= noise.length);
    }
  },
);

test("never repeats text of one client in what another one gets: each message is compressed by itself [ROB-655]", OURS, async (t) => {
  const { io, wide } = await open(t);
  const secret = `secret-${"0123456789abcdef".repeat(4)}`;
  const [a, b] = [...io.of("/").sockets.values()];
  a.emit("own", secret, MEDIUM);
  await wide[0].next();
  const before = last(wide[0]).payload.length;
  b.emit("own", secret, MEDIUM);
  b.emit("own", secret, MEDIUM);
  await wide[1].next();
  await wide[1].next();
  assert.deepEqual(
    wide[1].frames.slice(-2).map(({ payload }) => payload.length),
    [before, before],
  );
});
