/** Incomplete input of many connections at a time: `limits.totalHeldBytes`; row 41 of the list of known attacks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { getHeapStatistics } from "node:v8";
import { assertBounded, openAttacker, openBystander, sessionEnd, startChild } from "../../support/hostile/child.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { frame, HttpConnection, OPCODE, PollingSession } from "../../support/wire-client.js";

const MIB = 1024 * 1024;
const LIMIT = 4 * MIB;
const PEERS = 16;
const PART = 500_000;
const OURS = oursOnly("it has no limit on all connections together");
const IS_UWS = process.env.TEST_HOST === "uws";
const NATIVE = { skip: IS_UWS ? "the library holds parts of messages" : OURS.skip };

const part = (bytes) => "x".repeat(bytes);

/** Ways to send most of something; each gives the id of the session. The first peer of a test sends more than the others. */
const ways = {
  "parts of frames": {
    options: NATIVE,
    async send(t, child, bytes) {
      const ws = await openAttacker(t, child);
      ws.write(frame(OPCODE.text, `42["m","${part(900_000)}"]`).subarray(0, bytes));
      return ws.sid;
    },
  },
  fragments: {
    options: NATIVE,
    async send(t, child, bytes) {
      const ws = await openAttacker(t, child);
      ws.write(
        frame(OPCODE.text, `42["m","${part(bytes / 2)}`, { fin: false }),
        frame(OPCODE.continuation, part(bytes / 2), { fin: false }),
      );
      return ws.sid;
    },
  },
  "packets that wait for attachments": {
    options: OURS,
    async send(t, child, bytes) {
      const ws = await openAttacker(t, child);
      ws.send('452-["m",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', Buffer.alloc(bytes));
      return ws.sid;
    },
  },
  "messages that wait because of a rate": {
    options: OURS,
    limits: { bytesPerSecond: 1000 },
    async send(t, child, bytes) {
      const ws = await openAttacker(t, child);
      ws.send(`42["m","${part(1000)}"]`, `42["m","${part(bytes)}"]`);
      return ws.sid;
    },
  },
  "bodies with a length": {
    options: OURS,
    async send(t, child, bytes) {
      const session = await PollingSession.open(child.port, "", { path: "/socket.io/" });
      const connection = await HttpConnection.open(child.port);
      t.after(() => connection.abort());
      connection.write(`POST ${session.url()} HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n4${part(bytes)}`);
      return session.sid;
    },
  },
  "bodies without a length": {
    options: { skip: IS_UWS ? "it answers 411" : OURS.skip },
    async send(t, child, bytes) {
      const session = await PollingSession.open(child.port, "", { path: "/socket.io/" });
      const connection = await HttpConnection.open(child.port);
      t.after(() => connection.abort());
      connection.write(`POST ${session.url()} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffff0\r\n4${part(bytes)}`);
      return session.sid;
    },
  },
};

for (const [what, { options, limits, send }] of Object.entries(ways)) {
  test(`bounds what all connections hold together of ${what}, and closes those that hold most [ROB-814, THREAT-41]`, options, async (t) => {
    const child = await startChild(t, { options: { limits: { totalHeldBytes: LIMIT, ...limits }, pingInterval: 60_000 } });
    const bystander = await openBystander(t, child);
    const before = await child.heldBytes();
    const largest = await send(t, child, 1.5 * PART);
    for (let i = 1; i < PEERS; i++) await send(t, child, PART);
    const { reason, description } = await sessionEnd(child, largest);
    assert.equal(reason, "transport error");
    assert.equal(description.code, "RC_ERR_TOTAL_HELD_BYTES");
    assert.equal(description.limit, LIMIT);
    assert.ok(description.met > LIMIT, `met ${description.met}`);
    await bystander.check();
    const { codes, clients } = await child.call("state");
    assert.ok(codes.RC_ERR_TOTAL_HELD_BYTES >= 1 && clients >= 4, `${codes.RC_ERR_TOTAL_HELD_BYTES} closed, ${clients} left`);
    assertBounded(before, await child.heldBytes(), LIMIT * 2, `${PEERS} peers`);
    await child.assertUnharmed();
  });
}

test("holds what comes with `false`, and nothing that is complete counts [ROB-814]", NATIVE, async (t) => {
  const send = ways["parts of frames"].send;
  const off = await startChild(t, { options: { limits: { totalHeldBytes: false } } });
  for (let i = 0; i < PEERS; i++) await send(t, off, PART);
  await (await openBystander(t, off)).check();
  assert.equal((await off.call("state")).clients, PEERS + 1);

  const small = await startChild(t, { options: { limits: { totalHeldBytes: MIB } } });
  const ws = await openAttacker(t, small);
  for (let i = 0; i < 20; i++) {
    ws.send(`42${i}["echo","${part(PART)}"]`, `451-${i}["echo",{"_placeholder":true,"num":0}]`, Buffer.alloc(PART));
    for (let answers = 0; answers < 3;) if ((await ws.next()) !== "2") answers++;
  }
  assert.equal((await small.call("state")).codes.RC_ERR_TOTAL_HELD_BYTES, 0);
  await small.assertUnharmed();
});

test("has a default that leaves room for sixteen of the largest messages [ROB-814]", OURS, async (t) => {
  const byDefault = await startServer(t);
  const partOfHeap = Math.floor(getHeapStatistics().heap_size_limit / 4);
  assert.equal(byDefault.io.engine.limits.totalHeldBytes, Math.max(partOfHeap, 16_000_000));
  const large = await startServer(t, { maxHttpBufferSize: 1e9 });
  assert.equal(large.io.engine.limits.totalHeldBytes, Math.max(partOfHeap, 16e9));
});
