/** An event loop that is late all the time, and peers that are silent. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openAttacker, openBystander, startChild, WEBSOCKET_PATH } from "../../support/hostile/child.js";
import { oursOnly } from "../../support/target.js";
import { PollingSession, WireSocket } from "../../support/wire-client.js";

/** No delay below is a multiple of it, so that each deadline is late by 200 ms. */
const LAG_MS = 400;
const HEARTBEAT = { pingInterval: 400, pingTimeout: 600, allowEIO3: true };
const PATIENCE_MS = 15_000;

const SILENT_PEERS = {
  websocket: async (t, child) => (await openAttacker(t, child)).sid,
  polling: async (t, child) => (await PollingSession.open(child.port, "", { path: "/socket.io/" })).sid,
  "websocket, revision 3": async (t, child) => {
    const ws = await WireSocket.open(child.port, WEBSOCKET_PATH.replace("EIO=4", "EIO=3"));
    t.after(() => ws.abort());
    return JSON.parse((await ws.next()).slice(1)).sid;
  },
};

for (const [kind, open] of Object.entries(SILENT_PEERS)) {
  test(`ends a silent client while every turn of the event loop is late: ${kind} [ROB-130, EIO-72, EIO-77]`, async (t) => {
    const child = await startChild(t, { app: "lagging", options: HEARTBEAT });
    const bystander = await openBystander(t, child);
    await child.call("lag", LAG_MS);
    const sid = await open(t, child);
    const [, reason, afterMs] = await child.report("end", sid, PATIENCE_MS);
    await child.call("lag", 0);
    assert.equal(reason, "ping timeout");
    const limitMs = (kind.endsWith("3") ? HEARTBEAT.pingInterval : 0) + 2 * HEARTBEAT.pingTimeout;
    assert.ok(afterMs < 2 * limitMs, `ended after ${afterMs} ms`); // twice what is promised, for busy machines
    await bystander.check();
    await child.assertUnharmed();
  });
}

test("keeps clients that answer while every turn of the event loop is late [ROB-130, EIO-71]", async (t) => {
  const child = await startChild(t, { app: "lagging", options: HEARTBEAT });
  const ws = await openAttacker(t, child);
  await child.call("lag", LAG_MS);
  for (let round = 0; round < 5; round++) {
    await ws.expect("2", PATIENCE_MS);
    ws.send("3");
  }
  await child.call("lag", 0);
  await child.assertUnharmed();
});

test(
  "answers a client that returns for its session while its old connection is silent and the event loop late [ROB-131, CSR-14]",
  oursOnly("the original asks nobody"),
  async (t) => {
    const child = await startChild(t, { app: "lagging", options: { pingInterval: 60_000, connectionStateRecovery: {} } });
    const ws = await WireSocket.open(child.port, WEBSOCKET_PATH);
    t.after(() => ws.abort());
    await ws.next();
    ws.send("40");
    const { sid, pid } = JSON.parse((await ws.next()).slice(2));
    await child.call("emit", "seen");
    const offset = JSON.parse((await ws.next()).slice(2)).at(-1);
    await child.call("lag", LAG_MS);
    const back = await WireSocket.open(child.port, WEBSOCKET_PATH);
    t.after(() => back.abort());
    await back.next();
    back.send(`40${JSON.stringify({ pid, offset })}`);
    const answer = await back.next(PATIENCE_MS);
    await child.call("lag", 0);
    assert.equal(JSON.parse(answer.slice(2)).sid, sid);
  },
);

test(
  "asks a silent connection once, however many clients return for its session, and adds listeners once [ROB-209, CSR-14]",
  oursOnly("the original asks nobody"),
  async (t) => {
    const child = await startChild(t, { app: "lagging", options: { pingInterval: 60_000, connectionStateRecovery: {} } });
    const ws = await WireSocket.open(child.port, WEBSOCKET_PATH);
    t.after(() => ws.abort());
    const engineId = JSON.parse((await ws.next()).slice(1)).sid;
    ws.send("40");
    const { sid, pid } = JSON.parse((await ws.next()).slice(2));
    await child.call("emit", "seen");
    const offset = JSON.parse((await ws.next()).slice(2)).at(-1);
    const before = await child.call("probeListeners", engineId);
    const returning = [];
    for (let count = 0; count < 20; count++) {
      const back = await WireSocket.open(child.port, WEBSOCKET_PATH);
      t.after(() => back.abort());
      await back.next();
      returning.push(back);
    }
    for (const back of returning) back.send(`40${JSON.stringify({ pid, offset })}`);
    await ws.expect("2");
    const during = await child.call("probeListeners", engineId);
    const sids = await Promise.all(returning.map(answerOf));
    assert.deepEqual(
      during,
      before.map((count) => count + 1),
    );
    assert.equal(ws.messages.all.filter((message) => message === "2").length, 1);
    assert.equal(sids.filter((other) => other === sid).length, 1);
    assert.doesNotMatch(child.output, /MaxListeners/);
  },
);

/** The id that a client gets which answers the pings on the way. */
async function answerOf(ws) {
  const sid = ws.until((message) => {
    if (message === "2") ws.send("3");
    return message.startsWith("40");
  });
  const id = JSON.parse((await sid).slice(2)).sid;
  void ws.until((message) => void (message === "2" && ws.send("3")), 60_000).catch(() => {});
  return id;
}
