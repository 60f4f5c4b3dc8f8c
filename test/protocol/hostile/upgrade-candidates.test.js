/** A connection that has nothing but the id of a session, and never reads. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertBounded, openBystander, startChild } from "../../support/hostile/child.js";
import { oursOnly } from "../../support/target.js";
import { PollingSession, messageFrame } from "../../support/wire-client.js";

const PROBES = 2_000_000;
const PROBE = messageFrame("2probe");
const CEILING = 20 * 1024 * 1024;

test("holds little for a candidate that repeats its probe and reads nothing [ROB-180]", oursOnly("it answers every probe"), async (t) => {
  const child = await startChild(t);
  const bystander = await openBystander(t, child);
  const session = await PollingSession.open(child.port, "", { path: "/socket.io/" });
  const before = await child.heldBytes();
  const candidate = await session.candidate();
  t.after(() => candidate.abort());
  candidate.pause();
  const sent = new Promise((resolve) => candidate.socket.write(Buffer.alloc(PROBES * PROBE.length, PROBE), resolve));
  await Promise.race([sent, candidate.end]);
  await bystander.check();
  assertBounded(before, await child.heldBytes(), CEILING, `${PROBES} probes`);
  assert.equal((await session.post("40")).text, "ok");
  await child.assertUnharmed();
});
