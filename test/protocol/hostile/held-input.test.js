/** Input that isn't complete, and what is kept of input that is: it holds about its own bytes; row 41 of the list of known attacks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertBounded, openAttacker, openBystander, startChild } from "../../support/hostile/child.js";
import { oursOnly } from "../../support/target.js";
import { frame, OPCODE, PollingSession } from "../../support/wire-client.js";

const MIB = 1024 * 1024;
const PIECES = 400;
const PINNED = oursOnly("a small part keeps its chunk, or its message, in memory");

/** Waits until the server has read all that was sent before: it answers pings in their turn. */
async function settle(ws) {
  ws.ping("read?");
  await ws.controls.next(30_000);
}

/** 64 KiB of frames that mean nothing. */
const padding = Buffer.concat(Array.from({ length: 500 }, () => frame(OPCODE.pong, Buffer.alloc(125))));

test("holds the bytes of one-byte fragments and not their received chunks, and releases them at the end [ROB-140]", PINNED, async (t) => {
  const child = await startChild(t);
  const bystander = await openBystander(t, child);
  const ws = await openAttacker(t, child);
  const before = await child.heldBytes();
  for (let i = 0; i < PIECES; i++) {
    ws.write(frame(i === 0 ? OPCODE.text : OPCODE.continuation, "4", { fin: false }));
    ws.write(padding);
    if (i % 20 === 0) await settle(ws);
  }
  await settle(ws);
  assertBounded(before, await child.heldBytes(), 4 * MIB, `${PIECES} fragments in ${PIECES} chunks`);
  await bystander.check();
  ws.abort();
  await child.untilClients(1);
  assertBounded(before, await child.heldBytes(), 2 * MIB, "after the end");
  await child.assertUnharmed();
});

test("holds the bytes of small attachments that wait, and not the message in front of them [ROB-140]", PINNED, async (t) => {
  const child = await startChild(t);
  const header = `4510-["m"${Array.from({ length: 10 }, (_, num) => `,{"_placeholder":true,"num":${num}}`).join("")}]`;
  const attachments = Array.from({ length: 9 }, () => Buffer.from([1]));
  const peers = [];
  for (let i = 0; i < 20; i++) peers.push(await openAttacker(t, child));
  const before = await child.heldBytes();
  for (const ws of peers) {
    ws.send(`42["large","${"x".repeat(900_000)}"]`, header, ...attachments);
    await settle(ws);
  }
  assertBounded(before, await child.heldBytes(), 6 * MIB, "180 attachments of one byte");
  for (const ws of peers) ws.abort();
  await child.untilClients(0);
  assertBounded(before, await child.heldBytes(), 2 * MIB, "after the end");
  await child.assertUnharmed();
});

test("holds the text of a payload that waits for its attachment, and not the values in it [ROB-144]", PINNED, async (t) => {
  const child = await startChild(t);
  const peers = [];
  for (let i = 0; i < 20; i++) peers.push(await openAttacker(t, child));
  const before = await child.heldBytes();
  for (const ws of peers) {
    ws.send(`451-["m",{"_placeholder":true,"num":0}${",[]".repeat(9000)},[${"[],".repeat(290_000)}0]]`);
    await settle(ws);
  }
  assertBounded(before, await child.heldBytes(), 40 * MIB, "20 payloads of 900 kB");
  for (const ws of peers) ws.abort();
  await child.untilClients(0);
  await child.assertUnharmed();
});

for (const eio of [4, 3]) {
  test(`holds the name of a namespace and not the body that it came in, revision ${eio} [ROB-142]`, PINNED, async (t) => {
    const child = await startChild(t, { app: "doors" });
    const session = await PollingSession.open(child.port, "", { path: "/socket.io/", eio });
    const post = (...packets) =>
      session.post(eio === 4 ? packets.join("\x1e") : packets.map((packet) => `${packet.length}:${packet}`).join(""));
    if (eio === 4) await post("40");
    await session.get();
    const before = await child.heldBytes();
    for (let i = 0; i < 40; i++) {
      await post(`40/room-${i}-with-a-long-name${eio === 3 ? "?token=with-a-long-value" : ""},`, `42["large","${"x".repeat(900_000)}"]`);
      await session.get();
    }
    assertBounded(before, await child.heldBytes(), 10 * MIB, "40 namespaces");
    await post("1");
    await child.untilClients(0);
    await child.assertUnharmed();
  });
}

for (const [how, options, app] of [
  ["as the option says", { perMessageDeflate: true, receive: "ws" }, "plain"],
  ["once a program has asked for the WebSocket", {}, "conn"],
]) {
  test(`takes at most 1,024 fragments for a message where ws reads, ${how} [ROB-141]`, oursOnly("ws allows more"), async (t) => {
    const child = await startChild(t, { options, app });
    const ws = await openAttacker(t, child);
    if (app === "conn") await child.call("look", ws.socketId);
    const fragments = (count) =>
      Buffer.concat(
        Array.from({ length: count }, (_, i) => frame(i === 0 ? OPCODE.text : OPCODE.continuation, i === 0 ? "3" : "", { fin: false })),
      );
    ws.write(Buffer.concat([fragments(1023), frame(OPCODE.continuation, "", { fin: true })]));
    await settle(ws);
    ws.write(fragments(1025));
    const { code } = await ws.closed();
    assert.equal(code, 1008);
    await child.assertUnharmed();
  });
}
