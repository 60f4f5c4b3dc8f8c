/** What clients that negotiated compression may do to a server; rows 1, 3, 4, 7, 8, 9, 33, 39 and 41 of the list of known attacks, compressed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertBounded, openAttacker, openBystander, sessionEnd, startChild, WEBSOCKET_PATH } from "../../support/hostile/child.js";
import { oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { compressedFrame, deflated, frame, OFFERS_DEFLATE, OPCODE, WireSocket } from "../../support/wire-client.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const OURS = oursOnly("it keeps a window for each client, and buffers without limit");

/** A server that compresses without context, a bystander that negotiated it, too, and one client to be used badly. */
async function open(t, { app = "plain", deflate = {}, ...options } = {}) {
  const child = await startChild(t, { app, options: { perMessageDeflate: { ...deflate }, pingInterval: 60_000, ...options } });
  const bystander = await openBystander(t, child, OFFERS_DEFLATE);
  const ws = await openAttacker(t, child, { headers: OFFERS_DEFLATE });
  return { child, bystander, ws };
}

async function assertEnd({ child, bystander, ws }, code, message) {
  assert.equal((await ws.closed()).code, code);
  const { reason, description } = await sessionEnd(child, ws.sid);
  assert.equal(reason, "transport error");
  if (message) assert.match(description.message, message);
  await bystander.check();
  await child.untilClients(1);
  await child.assertUnharmed();
}

const tenMegabytes = `42["m","${"x".repeat(10 * MIB)}"]`;
const bomb = deflated(tenMegabytes);
const below = compressedFrame(`42["m","${"x".repeat(900_000)}"]`);
const fragments = (payloads, first = OPCODE.text) =>
  Buffer.concat(
    payloads.map((payload, i) =>
      frame(i === 0 ? first : OPCODE.continuation, payload, { fin: i === payloads.length - 1, rsv: i === 0 ? 4 : 0 }),
    ),
  );

const BOMBS = [
  ["10 MB in 10 kB", [frame(OPCODE.text, bomb, { rsv: 4 })]],
  ["10 MB of binary in 10 kB", [compressedFrame(Buffer.alloc(10 * MIB))]],
  ["200 of them in one write", Array(200).fill(frame(OPCODE.text, bomb, { rsv: 4 }))],
  [
    "10 MB in fragments of 100 bytes",
    [fragments(Array.from({ length: Math.ceil(bomb.length / 100) }, (_, i) => bomb.subarray(i * 100, i * 100 + 100)))],
  ],
  ["one byte more than a message may have", [compressedFrame(`4${"x".repeat(1_000_000)}`)]],
];
for (const [what, frames] of BOMBS) {
  test(`closes 1009 on ${what}, and holds little [ROB-613, ENG-114]`, OURS, async (t) => {
    const opened = await open(t);
    assert.ok(frames[0].length < 32 * KIB);
    const before = await opened.child.heldBytes();
    opened.ws.write(Buffer.concat(frames));
    await assertEnd(opened, 1009, /Max payload size exceeded/);
    assertBounded(before, await opened.child.heldBytes(), 2 * MIB, "after the bomb");
  });
}

test("closes 1009 from the header alone when a compressed frame announces too much [ROB-613, ENG-114]", OURS, async (t) => {
  for (const length of [1_000_001, 2 ** 31, 2 ** 40]) {
    const opened = await open(t);
    opened.ws.write(frame(OPCODE.text, "", { rsv: 4, length }));
    await assertEnd(opened, 1009, /Max payload size exceeded/);
  }
});

test("takes a message of exactly the size that is allowed, compressed [ROB-613]", OURS, async (t) => {
  const { child, ws } = await open(t);
  const head = '421["echo","';
  ws.write(compressedFrame(`${head}${"x".repeat(1_000_000 - head.length - 2)}"]`));
  assert.equal((await ws.next()).length, 1_000_000 - head.length - 2 + '431[""]'.length);
  await child.assertUnharmed();
});

test("serves others while a client sends two hundred messages that inflate to almost too much [ROB-616]", OURS, async (t) => {
  const { child, bystander, ws } = await open(t);
  const before = await child.heldBytes();
  let isDone = false;
  ws.write(Buffer.concat([...Array(200).fill(below), compressedFrame('421["echo","done"]')]));
  const answered = ws.expect('431["done"]', 60_000).then(() => (isDone = true));
  for (let i = 0; i < 5; i++) {
    await bystander.check(60_000);
    assert.equal(isDone, false, "the bystander was served before the bombs were through");
  }
  assertBounded(before, await child.heldBytes(), 24 * MIB, "meanwhile");
  await answered;
  assertBounded(before, await child.heldBytes(), 4 * MIB, "at the end");
  await child.assertUnharmed();
});

test("serves others while thirty clients do so at the same time, and some of them leave [ROB-616]", OURS, async (t) => {
  const { child, bystander } = await open(t);
  const attackers = [];
  for (let i = 0; i < 30; i++) attackers.push(await openAttacker(t, child, { headers: OFFERS_DEFLATE }));
  const before = await child.heldBytes();
  const bombs = Buffer.concat([...Array(5).fill(below), compressedFrame('421["echo","done"]')]);
  for (const ws of attackers) ws.write(bombs);
  for (const ws of attackers.slice(15)) ws.abort({ reset: true });
  await bystander.check(60_000);
  assertBounded(before, await child.heldBytes(), 60 * MIB, "meanwhile");
  for (const ws of attackers.slice(0, 15)) await ws.expect('431["done"]', 60_000);
  for (const ws of attackers) ws.abort();
  await child.untilClients(2, 20_000);
  assertBounded(before, await child.heldBytes(), 4 * MIB, "at the end");
  await child.assertUnharmed();
});

test("reads a hundred thousand tiny compressed messages in order, and serves others meanwhile [ROB-613]", OURS, async (t) => {
  const { child, bystander, ws } = await open(t);
  const before = await child.heldBytes();
  const tiny = compressedFrame('42["m"]');
  const chunk = Buffer.concat(Array(1000).fill(tiny));
  for (let i = 0; i < 100; i++) ws.write(chunk);
  ws.write(compressedFrame('421["echo","done"]'));
  await bystander.check(60_000);
  await ws.expect('431["done"]', 60_000);
  assertBounded(before, await child.heldBytes(), 4 * MIB, "at the end");
  await child.assertUnharmed();
});

const ENDLESS = [
  ["one-byte fragments of a compressed message without end", Array(20_000).fill(Buffer.from([0x4a]))],
  ["empty fragments of a compressed message without end", Array(131_000).fill(Buffer.alloc(0))],
];
for (const [what, payloads] of ENDLESS) {
  test(`closes 1008 on ${what} [EIO-124]`, OURS, async (t) => {
    const opened = await open(t);
    const before = await opened.child.heldBytes();
    opened.ws.write(fragments([...payloads, Buffer.alloc(0)]).subarray(0, -6)); // the last one never comes
    await assertEnd(opened, 1008);
    assertBounded(before, await opened.child.heldBytes(), 4 * MIB, "after the fragments");
  });
}

test("takes any number of empty compressed messages and blocks [ROB-613]", OURS, async (t) => {
  const { child, bystander, ws } = await open(t);
  const emptyBlocks = Buffer.concat(Array(1000).fill(Buffer.from([0, 0, 0, 0xff, 0xff]))); // stored blocks without content
  const message = deflated('421["echo",1]');
  for (let i = 0; i < 20; i++) {
    ws.write(frame(OPCODE.text, Buffer.concat([emptyBlocks, message]), { rsv: 4 }));
    await ws.expect("431[1]");
  }
  await bystander.check();
  await child.assertUnharmed();
});

test("keeps of fragments that wait the compressed bytes, and lets go of them at the end [ROB-140]", OURS, async (t) => {
  const { child, bystander, ws } = await open(t);
  const padding = Buffer.concat(Array.from({ length: 500 }, () => frame(OPCODE.pong, Buffer.alloc(125))));
  const before = await child.heldBytes();
  for (let i = 0; i < 400; i++) {
    ws.write(frame(i === 0 ? OPCODE.text : OPCODE.continuation, Buffer.from([0x4a]), { fin: false, rsv: i === 0 ? 4 : 0 }));
    ws.write(padding);
    if (i % 20 === 19) await settle(ws);
  }
  assertBounded(before, await child.heldBytes(), 4 * MIB, "400 fragments in 400 chunks");
  ws.abort();
  await child.untilClients(1);
  assertBounded(before, await child.heldBytes(), 2 * MIB, "after the end");
  await bystander.check();
  await child.assertUnharmed();
});

const good = deflated('42["m","value"]');
const BROKEN = [
  ["RSV1 on a ping", frame(OPCODE.ping, "x", { rsv: 4 }), 1002],
  ["RSV1 on a pong", frame(OPCODE.pong, "x", { rsv: 4 }), 1002],
  ["RSV1 on a Close frame", frame(OPCODE.close, Buffer.from([3, 232]), { rsv: 4 }), 1002],
  ["RSV1 on a continuation", Buffer.concat([frame(OPCODE.text, "4a", { fin: false }), frame(OPCODE.continuation, "b", { rsv: 4 })]), 1002],
  [
    "RSV1 on a continuation of a compressed message",
    Buffer.concat([
      frame(OPCODE.text, good.subarray(0, 4), { fin: false, rsv: 4 }),
      frame(OPCODE.continuation, good.subarray(4), { rsv: 4 }),
    ]),
    1002,
  ],
  ["RSV2", frame(OPCODE.text, "4a", { rsv: 2 }), 1002],
  ["RSV1 and RSV3", frame(OPCODE.text, good, { rsv: 5 }), 1002],
  ["data that no compressor makes", frame(OPCODE.text, Buffer.from([0xff, 0xff, 0xff]), { rsv: 4 }), 1007],
  ["a stored block with a wrong length", frame(OPCODE.text, Buffer.from([0, 5, 0, 5, 0]), { rsv: 4 }), 1007],
  [
    "a distance before the start of the message",
    frame(OPCODE.text, deflated('42["m","value"]', { dictionary: Buffer.from('42["m","value"]') }), { rsv: 4 }),
    1007,
  ],
  ["compressed text that is not UTF-8", frame(OPCODE.text, deflated(Buffer.from([0x34, 0xff, 0xfe])), { rsv: 4 }), 1007],
];
for (const [what, bytes, code] of BROKEN) {
  test(`closes ${code} on ${what} [ROB-613, EIO-124]`, OURS, async (t) => {
    const opened = await open(t);
    opened.ws.write(bytes);
    await assertEnd(opened, code);
  });
}

test("ends for a client that never negotiated compression and sends RSV1, while others compress [ROB-613]", OURS, async (t) => {
  const { child, bystander } = await open(t);
  const ws = await openAttacker(t, child);
  ws.write(compressedFrame('42["m"]'));
  assert.equal((await ws.closed()).code, 1002);
  await bystander.check();
  await child.assertUnharmed();
});

const OFFERS = [
  "constructor, __proto__, permessage-deflate; __proto__; constructor=1",
  "__proto__; __proto__=1, permessage-deflate",
  "permessage-deflate; toString; valueOf=1",
  `permessage-deflate; a${" ".repeat(7000)}b`,
  `permessage-deflate${" ".repeat(7000)}; client_max_window_bits${" ".repeat(500)}=${" ".repeat(500)}x`,
  Array(500).fill("permessage-deflate").join(", "),
  Array(300).fill("permessage-deflate; x").join(", "),
  `permessage-deflate; client_max_window_bits="${"\\9".repeat(2000)}"`,
];
test("answers hostile offers, or refuses them, in little time, and keeps nothing of them [ROB-610]", OURS, async (t) => {
  const { child, bystander } = await open(t);
  const before = await child.call("cpu");
  for (let round = 0; round < 20; round++) {
    for (const header of OFFERS) {
      try {
        const ws = await WireSocket.open(child.port, WEBSOCKET_PATH, { "Sec-WebSocket-Extensions": header });
        assert.doesNotMatch(ws.response.headers["sec-websocket-extensions"] ?? "", /proto|constructor|toString/);
        ws.abort();
      } catch (error) {
        assert.equal(error.response?.status, 400, error.message);
      }
    }
  }
  assert.ok((await child.call("cpu")) - before < 5000, "processor time");
  assert.equal((await child.call("state")).isPolluted, false);
  await bystander.check();
  await child.untilClients(2);
  await child.assertUnharmed();
});

for (const deflate of [{}, { threshold: 0 }]) {
  test(
    `stops reading from a client that asks for compressed replies and never reads, threshold ${deflate.threshold ?? 1024} [ROB-123]`,
    OURS,
    async (t) => {
      const { child, bystander, ws } = await open(t, { app: "answering", deflate });
      const before = await child.heldBytes();
      ws.pause();
      const ask = compressedFrame('420["ask",2000]');
      const chunk = Buffer.concat(Array(1000).fill(ask));
      for (let i = 0; i < 20; i++) ws.write(chunk);
      await bystander.check(60_000);
      assertBounded(before, await child.heldBytes(), 16 * MIB, "while it doesn't read");
      ws.resume();
      for (let i = 0; i < 20_000; i++) assert.equal((await ws.next(60_000)).length, 2007);
      assert.equal(await child.call("answered"), 20_000);
      await bystander.check();
      await child.assertUnharmed();
    },
  );
}

for (const size of [16, 128]) {
  test(
    `closes a client that reads no compressed broadcasts of ${size} KiB when too much waits, and holds little [ROB-441, ENG-162]`,
    OURS,
    async (t) => {
      const { child, bystander, ws } = await open(t, { app: "sender", limits: { bufferedBytes: 2 * MIB, stalledAfterMs: false } });
      ws.pause();
      const before = await child.heldBytes();
      const end = sessionEnd(child, ws.sid, 60_000);
      let isOver = false;
      void end.then(() => (isOver = true));
      for (let round = 0; round < 48 && !isOver; round++) {
        await child.call("pourToAll", { bytes: MIB, size: size * KIB, isNoise: true });
        await bystander.check(20_000);
        assertBounded(before, await child.heldBytes(), 48 * MIB, "while it doesn't read"); // texts, frames and the compressor's chunks; 32.0 at most on Node.js 26
      }
      const { reason, description } = await end;
      assert.deepEqual([reason, description.code, description.limit], ["transport error", "RC_ERR_BUFFERED_BYTES", 2 * MIB]);
      assertBounded(before, await child.heldBytes(), 4 * MIB, "after the end");
      await child.untilClients(1);
      await child.assertUnharmed();
    },
  );
}

test("closes a client at once when twice bufferedBytes wait for it, while they are compressed [ROB-441]", OURS, async (t) => {
  const { child, bystander, ws } = await open(t, { app: "sender", limits: { bufferedBytes: 2 * MIB, stalledAfterMs: false } });
  ws.pause();
  const before = await child.heldBytes();
  const count = await child.call("pour", ws.socketId, { bytes: 64 * MIB, size: 256 * KIB, isNoise: true, perTick: 100 });
  assert.ok(count < 100, `${count} messages were taken`);
  assert.equal((await sessionEnd(child, ws.sid)).description.code, "RC_ERR_BUFFERED_BYTES");
  await bystander.check(20_000);
  await child.untilClients(1);
  await bystander.check(20_000);
  assertBounded(before, await child.heldBytes(), 4 * MIB, "after the end");
  await child.assertUnharmed();
});

test("delivers 100 messages of 256 KiB that were emitted in one tick, in order [ROB-615]", OURS, async (t) => {
  const { child, ws, bystander } = await open(t, { app: "sender" });
  const pouring = child.call("pour", ws.socketId, { bytes: 25 * MIB, size: 256 * KIB, isNoise: true, perTick: 100 });
  await bystander.check(60_000);
  for (let i = 0; i < 100; i++) assert.equal((await ws.next(60_000)).length, 256 * KIB + '42["data",""]'.length);
  assert.equal(await pouring, 100);
  await child.assertUnharmed();
});

test("answers pings of a compressing client that never reads up to the limit [ENG-119]", OURS, async (t) => {
  const { child, bystander, ws } = await open(t, { limits: { queuedPongs: 20 } });
  ws.pause();
  const pings = Buffer.concat(Array(2000).fill(frame(OPCODE.ping, Buffer.alloc(125, "p"))));
  let isOpen = true;
  const end = sessionEnd(child, ws.sid, 30_000).finally(() => (isOpen = false));
  for (let i = 0; i < 200 && isOpen; i++) {
    await within(
      new Promise((resolve) => (ws.socket.write(pings, resolve), ws.socket.once("error", resolve), end.then(resolve))),
      "the pings",
    );
  }
  assert.equal((await end).description.code, "RC_ERR_QUEUED_PONGS");
  await bystander.check();
  await child.assertUnharmed();
});

/** Waits until the server has read all that was sent before: it answers pings in their turn. */
async function settle(ws) {
  ws.ping("read?");
  await ws.controls.next(30_000);
}
