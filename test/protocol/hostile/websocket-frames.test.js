/** Frames that a WebSocket client must not send; rows 1, 2, 6, 7, 8, 9 and 11 of the list of known attacks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  assertBounded,
  openAttacker,
  openBystander,
  sessionEnd,
  shareChild,
  startChild,
  WEBSOCKET_PATH,
} from "../../support/hostile/child.js";
import { oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { frame, OPCODE, PollingSession, WireSocket } from "../../support/wire-client.js";

const MIB = 1024 * 1024;
let child;
shareChild({ app: "conn" }, (started) => (child = started));

const HEADERS = [
  ["256 MiB", Buffer.from("82ff0000000010000000" + "01020304", "hex")],
  ["2^53 - 1 bytes", Buffer.from("82ff001fffffffffffff" + "01020304", "hex")],
  ["2^63 bytes", Buffer.from("82ff8000000000000000" + "01020304", "hex")],
  ["one byte too many", frame(OPCODE.binary, "", { length: 1_000_001 })],
  ["256 MiB of text", Buffer.from("81ff0000000010000000" + "01020304", "hex")],
];
for (const [what, bytes] of HEADERS) {
  test(`closes 1009 from the header alone when a frame announces ${what} [ENG-114, EIO-124, THREAT-1]`, async (t) => {
    const bystander = await openBystander(t, child);
    const before = await child.heldBytes();
    const ws = await openAttacker(t, child);
    ws.write(bytes);
    assert.equal((await ws.closed()).code, 1009);
    const { reason, description } = await sessionEnd(child, ws.sid);
    assert.equal(reason, "transport error");
    if (!what.startsWith("2^")) assert.match(description.message, /Max payload size exceeded/);
    assertBounded(before, await child.heldBytes(), 2 * MIB, "after a header");
    await bystander.check();
    await child.assertUnharmed();
  });
}

test("closes 1009 when fragments add up to more than a message may have [ENG-114]", async (t) => {
  const bystander = await openBystander(t, child);
  const ws = await openAttacker(t, child);
  ws.write(frame(OPCODE.text, Buffer.alloc(600_000, "x"), { fin: false }));
  ws.write(frame(OPCODE.continuation, Buffer.alloc(600_000, "x"), { fin: false }));
  assert.equal((await ws.closed()).code, 1009);
  assert.equal((await sessionEnd(child, ws.sid)).reason, "transport error");
  await bystander.check();
  await child.assertUnharmed();
});

test("echoes exactly the bytes of a ping, also bytes that look like a number [ENG-119, THREAT-2]", async (t) => {
  const ws = await openAttacker(t, child);
  for (const payload of ["", "0", "100000000", "1e9", "x".repeat(125)]) {
    ws.ping(payload);
    const pong = await ws.controls.next();
    assert.equal(pong.opcode, OPCODE.pong);
    assert.equal(pong.payload.toString(), payload);
  }
  await child.assertUnharmed();
});

test("sends a number as its digits, and never allocates from it [EIO-14, THREAT-2]", async (t) => {
  const ws = await openAttacker(t, child);
  await child.call("send", ws.socketId, 100_000_000);
  await ws.expect("4100000000");
  await child.assertUnharmed();
});

for (const kind of ["Buffer", "Uint8Array", "Uint16Array", "DataView"]) {
  test(`sends only the bytes of a ${kind} that a program gives as close reason, or refuses it [THREAT-6]`, async (t) => {
    const ws = await openAttacker(t, child);
    const outcome = await child.call("closeWithView", ws.socketId, kind);
    const { code, reason } = await ws.closed();
    if (outcome === "closed") assert.equal(code, 1000);
    else assert.equal(outcome, "threw TypeError");
    assert.ok("visible!".startsWith(reason), `reason ${JSON.stringify(reason)}`);
    const received = Buffer.concat(ws.frames.map(({ payload }) => payload)).toString("latin1");
    assert.ok(!received.includes("secret"));
    await child.assertUnharmed();
  });
}

const FRAGMENTS = [
  ["one-byte text fragments without end", OPCODE.text, "x", 20_000],
  ["empty fragments without end", OPCODE.text, "", 20_000],
  ["empty binary fragments without end", OPCODE.binary, "", 131_000],
];
for (const [what, opcode, payload, count] of FRAGMENTS) {
  test(`closes 1008 on ${what} [EIO-124, THREAT-7, THREAT-8]`, async (t) => {
    const bystander = await openBystander(t, child);
    const before = await child.heldBytes();
    const ws = await openAttacker(t, child);
    const fragment = frame(OPCODE.continuation, payload, { fin: false });
    ws.write(Buffer.concat([frame(opcode, payload, { fin: false }), ...Array(count).fill(fragment)]));
    assert.equal((await ws.closed()).code, 1008);
    assert.equal((await sessionEnd(child, ws.sid)).reason, "transport error");
    assertBounded(before, await child.heldBytes(), 4 * MIB, "after the fragments");
    await bystander.check();
    await child.assertUnharmed();
  });
}

test("holds little for a message that trickles in byte by byte, and delivers it [EIO-124]", async (t) => {
  const bystander = await openBystander(t, child);
  const ws = await openAttacker(t, child);
  const before = await child.heldBytes();
  const bytes = frame(OPCODE.text, `421["echo","${"x".repeat(3000)}"]`);
  for (const byte of bytes.subarray(0, -1)) {
    ws.write(Buffer.from([byte]));
    await new Promise(setImmediate);
  }
  assertBounded(before, await child.heldBytes(), 8 * MIB, "before the last byte");
  ws.write(bytes.subarray(-1));
  assert.match(await ws.next(), /^431\["x+"\]$/);
  await bystander.check();
  await child.assertUnharmed();
});

test(
  "limits the waiting pongs of a client that never reads [ENG-119, THREAT-9]",
  oursOnly("its WebSocket library keeps every pong"),
  async (t) => {
    const limited = await startChild(t, { options: { limits: { queuedPongs: 20 } } });
    const bystander = await openBystander(t, limited);
    const before = await limited.heldBytes();
    const ws = await openAttacker(t, limited);
    ws.pause();
    const pings = Buffer.concat(Array(2000).fill(frame(OPCODE.ping, Buffer.alloc(125, "p"))));
    let isOpen = true;
    const end = sessionEnd(limited, ws.sid, 30_000).finally(() => (isOpen = false));
    for (let i = 0; i < 200 && isOpen; i++) await write(ws, pings); // at most 52 MB
    const { reason, description } = await end;
    assert.equal(reason, "transport error");
    assert.equal(description.code, "RC_ERR_QUEUED_PONGS");
    assert.equal(description.limit, 20);
    assert.ok(description.met > 20, `met ${description.met}`);
    assertBounded(before, await limited.heldBytes(), 8 * MIB, "after the pings");
    await bystander.check();
    await limited.assertUnharmed();
  },
);

test("answers any number of pings to a client that reads", async (t) => {
  const ws = await openAttacker(t, child);
  const pings = Buffer.concat(Array(500).fill(frame(OPCODE.ping, "p")));
  for (let i = 0; i < 10; i++) {
    ws.write(pings);
    for (let k = 0; k < 500; k++) assert.equal((await ws.controls.next()).payload.toString(), "p");
  }
  await child.assertUnharmed();
});

const RESERVED_BITS = Buffer.from([0xb1, 0x81, 1, 2, 3, 4, 0x79]);
for (const app of ["plain", "hesitant"]) {
  test(`closes 1002 on reserved bits in the same write as the handshake, ${app === "hesitant" ? "with" : "without"} an asynchronous allowRequest [ENG-120, EIO-124, THREAT-11]`, async (t) => {
    const own = await startChild(t, { app });
    const bystander = await openBystander(t, own);
    for (let i = 0; i < 5; i++) {
      const ws = await WireSocket.open(own.port, WEBSOCKET_PATH, {}, { early: RESERVED_BITS });
      assert.equal((await ws.closed()).code, 1002);
    }
    await bystander.check();
    await own.untilClients(1);
    await own.assertUnharmed();
  });
}

test("closes a candidate 1002 on reserved bits in the same write as its handshake, and keeps the session [ENG-120, EIO-86]", async (t) => {
  const bystander = await openBystander(t, child);
  const session = await PollingSession.open(child.port, "", { path: "/socket.io/" });
  const ws = await session.candidate({ early: RESERVED_BITS });
  assert.equal((await ws.closed()).code, 1002);
  assert.equal((await session.post("40")).text, "ok");
  assert.match((await session.poll())[0], /^40\{/);
  await bystander.check();
  await child.assertUnharmed();
});

const BROKEN = [
  ["an unmasked frame", frame(OPCODE.text, "x", { mask: false }), 1002],
  ["an unknown opcode", frame(3, "x"), 1002],
  ["a continuation of nothing", frame(OPCODE.continuation, "x"), 1002],
  ["a fragmented ping", frame(OPCODE.ping, "x", { fin: false }), 1002],
  ["a ping of 126 bytes", frame(OPCODE.ping, Buffer.alloc(126)), 1002],
  ["a close code that nobody may send", frame(OPCODE.close, Buffer.from([0x03, 0xed])), 1002],
  ["a close frame of one byte", frame(OPCODE.close, Buffer.from([3])), 1002],
  ["text that is not UTF-8", frame(OPCODE.text, Buffer.from([0x34, 0xff, 0xfe])), 1007],
  ["compression that was not agreed", frame(OPCODE.text, "x", { rsv: 4 }), 1002],
];
for (const [what, bytes, code] of BROKEN) {
  test(`closes ${code} on ${what} [EIO-124]`, async (t) => {
    const bystander = await openBystander(t, child);
    const ws = await openAttacker(t, child);
    ws.write(bytes);
    assert.equal((await ws.closed()).code, code);
    assert.equal((await sessionEnd(child, ws.sid)).reason, "transport error");
    await bystander.check();
    await child.assertUnharmed();
  });
}

/** Writes and waits until the bytes are on their way, or until nobody takes them any more. */
function write(ws, bytes) {
  const { socket } = ws;
  return within(
    new Promise((resolve) => {
      socket.once("close", resolve);
      socket.write(bytes, () => (socket.off("close", resolve), resolve()));
      setTimeout(resolve, 2000).unref(); // the server stopped reading: that is an answer too
    }),
    "the write",
  );
}
