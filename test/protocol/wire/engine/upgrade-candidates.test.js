/** Candidates of an upgrade that send more than a candidate has to say. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openPolling, pollingPair, startEcho } from "../../../support/engine.js";
import { oursOnly } from "../../../support/target.js";

const DIFFERS = oursOnly("it answers every probe");

test("answers one probe, and ends the attempt at the second; the session stays [ROB-180, EIO-85]", DIFFERS, async (t) => {
  const { client, session } = await pollingPair(t);
  const ws = await client.candidate();
  ws.send("2probe", "2probe", "2probe", "5");
  await ws.expect("3probe");
  await ws.closed();
  assert.deepEqual([session.readyState, session.transport.name, session.upgrading], ["open", "polling", false]);
  assert.equal(ws.frames.filter(({ opcode }) => opcode === 1).length, 1);
  await client.upgrade(); // the next attempt is as good as the first
});

test("answers one probe of a revision 3 client, and ends the attempt at the second [ROB-180, EIO-85]", DIFFERS, async (t) => {
  const { engine, port } = await startEcho(t, { allowEIO3: true });
  const { client, session } = await openPolling({ engine, port }, { eio: 3 });
  const ws = await client.candidate();
  ws.send("2probe", "2probe");
  await ws.expect("3probe");
  await ws.closed();
  assert.deepEqual([session.readyState, session.transport.name, session.upgrading], ["open", "polling", false]);
});
