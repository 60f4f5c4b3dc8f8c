/** Compressed messages that a WebSocket client must not send, and the memory of connections with compression. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { constants, deflateRawSync } from "node:zlib";
import { assertBounded, openBystander, sessionEnd, shareChild, startChild, WEBSOCKET_PATH } from "../../support/hostile/child.js";
import { oursOnly } from "../../support/target.js";
import { frame, OPCODE, WireSocket } from "../../support/wire-client.js";

const MIB = 1024 * 1024;
const OFFER = { "Sec-WebSocket-Extensions": "permessage-deflate" };
let child;
shareChild({ options: { perMessageDeflate: true } }, (started) => (child = started));

const deflated = (data) => deflateRawSync(data, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);
const compressed = (data) => frame(OPCODE.text, deflated(data), { rsv: 4 });

async function open(t, port, headers = OFFER) {
  const ws = await WireSocket.open(port, WEBSOCKET_PATH, headers);
  t.after(() => ws.abort());
  ws.sid = JSON.parse((await ws.next()).slice(1)).sid;
  ws.send("40");
  await ws.next();
  return ws;
}

test("ends a connection at the first of 200 bombs of 10 MB in 10 kB each [ROB-613]", oursOnly("another receiver"), async (t) => {
  const bomb = compressed(Buffer.alloc(10_000_000, "x"));
  assert.ok(bomb.length < 10_500, `${bomb.length} bytes`);
  const bystander = await openBystander(t, child);
  const before = await child.heldBytes();
  const all = [];
  for (let i = 0; i < 20; i++) all.push(await open(t, child.port));
  for (const ws of all) ws.write(Buffer.concat(Array.from({ length: 200 }, () => bomb)));
  for (const ws of all) assert.equal((await ws.closed()).code, 1009);
  const { reason, description } = await sessionEnd(child, all[0].sid);
  assert.equal(reason, "transport error");
  assert.match(description.message, /Max payload size exceeded/);
  assertBounded(before, await child.heldBytes(), 4 * MIB, "4,000 bombs");
  await bystander.check();
  await child.assertUnharmed();
});

test(
  "serves others while a client sends messages that inflate to just below the limit [ROB-616]",
  oursOnly("another receiver"),
  async (t) => {
    const bystander = await openBystander(t, child);
    const before = await child.heldBytes();
    const ws = await open(t, child.port);
    const large = compressed(`42["nobody listens","${"x".repeat(990_000)}"]`);
    ws.write(Buffer.concat(Array.from({ length: 60 }, () => large)));
    for (let i = 0; i < 10; i++) await bystander.check();
    ws.write(frame(OPCODE.text, `421["echo",1]`));
    await ws.until((message) => message === "431[1]", 20_000);
    assertBounded(before, await child.heldBytes(), 4 * MIB, "60 MB");
    await child.assertUnharmed();
  },
);

const MESSAGE = deflated('42["echo","compressed"]');
for (const [what, payload] of [
  ["truncated data", MESSAGE.subarray(0, 8)],
  ["a whole stream with data behind its end", Buffer.concat([deflateRawSync("2probe"), Buffer.alloc(100_000, 0xff)])],
  ["nothing", Buffer.alloc(0)],
  ["the tail that is left out", Buffer.from([0, 0, 0xff, 0xff])],
  ["a block type that doesn't exist", Buffer.from([0x07, 1, 2, 3])],
  ["a stored block that is longer than the message", Buffer.from([0, 0xff, 0xff, 0, 0])],
]) {
  test(`goes on, or ends the session, after a message of ${what} [ROB-613]`, oursOnly("another receiver"), async (t) => {
    const bystander = await openBystander(t, child);
    const ws = await open(t, child.port);
    ws.write(Buffer.concat([frame(OPCODE.text, payload, { rsv: 4 }), frame(OPCODE.ping, "still here")]));
    const goesOn = ws.controls.next().then(
      () => "goes on",
      () => "closed",
    );
    if ((await goesOn) === "closed") assert.ok([1005, 1007].includes((await ws.closed()).code));
    await bystander.check();
    await child.assertUnharmed();
  });
}

test(
  "counts empty fragments of a compressed message, and drops what is held at the end [ROB-613, ROB-140]",
  oursOnly("another receiver"),
  async (t) => {
    const before = await child.heldBytes();
    const ws = await open(t, child.port);
    ws.write(
      Buffer.concat([
        frame(OPCODE.text, "", { rsv: 4, fin: false }),
        ...Array.from({ length: 16384 }, () => frame(OPCODE.continuation, "", { fin: false })),
      ]),
    );
    assert.equal((await ws.closed()).code, 1008);
    assertBounded(before, await child.heldBytes(), MIB, "fragments");
    await child.assertUnharmed();
  },
);

test(
  "keeps at most 4 KiB more for a connection that has sent and got compressed messages [ROB-612]",
  oursOnly("the original keeps windows"),
  async (t) => {
    const COUNT = 400;
    const text = `431["${Array.from({ length: 400 }, (_, i) => `row ${i}`).join()}"]`;
    const event = text.replace("431[", '421["echo",');
    const own = await startChild(t, { options: { perMessageDeflate: true } });
    const bytes = [];
    for (const headers of [{}, OFFER, {}, OFFER]) {
      const before = await own.heldBytes();
      for (let i = 0; i < COUNT; i++) {
        const ws = await open(t, own.port, headers);
        ws.write(headers === OFFER ? compressed(event) : frame(OPCODE.text, event));
        await ws.next();
        assert.equal(ws.frames.at(-1).rsv, headers === OFFER ? 4 : 0);
      }
      bytes.push(((await own.heldBytes()) - before) / COUNT);
    }
    t.diagnostic(`bytes per connection: ${bytes.map(Math.round).join(" plain, ")} compressed`);
    assert.ok(bytes[3] - bytes[2] < 4096, `${bytes.map(Math.round)} bytes per connection`);
  },
);
