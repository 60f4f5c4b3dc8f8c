/** Faults of the program itself: a blocked event loop, listeners that throw, reject and block. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openAttacker, openBystander, sessionEnd, startChild } from "../../support/hostile/child.js";
import { oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { PollingSession } from "../../support/wire-client.js";

const HEARTBEAT = { pingInterval: 150, pingTimeout: 200 };

test(
  "keeps clients that answered their ping while the event loop was blocked, over websocket [EIO-72, ENG-162, F-6]",
  oursOnly("its timers run before the pongs are read"),
  async (t) => {
    const child = await startChild(t, { app: "faulty", options: HEARTBEAT });
    const clients = await Promise.all(Array.from({ length: 10 }, () => openAttacker(t, child)));
    const blocker = await openAttacker(t, child);
    await Promise.all([...clients, blocker].map((ws) => ws.expect("2")));
    blocker.send('42["block",900]');
    await child.report("blocking");
    for (const ws of [...clients, blocker]) ws.send("3");
    await child.report("blocked");
    for (const ws of [...clients, blocker]) {
      ws.send('421["echo",1]');
      assert.equal(await ws.until((message) => message !== "2"), "431[1]");
    }
    await child.assertUnharmed();
  },
);

test(
  "keeps a client that posted its pong while the event loop was blocked, over polling [EIO-72]",
  oursOnly("its timers run before the pongs are read"),
  async (t) => {
    const child = await startChild(t, { app: "faulty", options: HEARTBEAT });
    const blocker = await openBystander(t, child);
    const session = await PollingSession.open(child.port, "", { path: "/socket.io/" });
    await session.post("40");
    await session.poll();
    assert.deepEqual(await session.poll(), ["2"]);
    blocker.ws.send('42["block",900]');
    await child.report("blocking");
    assert.equal((await session.post("3")).text, "ok");
    await child.report("blocked");
    assert.equal((await session.post('427["echo",1]')).text, "ok");
    let packets = await session.poll();
    if (packets.length === 1 && packets[0] === "2") packets = await session.poll();
    assert.ok(packets.includes("437[1]"), packets.join());
    await child.assertUnharmed();
  },
);

test("drops a client that is silent also after the event loop was blocked [EIO-72, ENG-162, F-6]", async (t) => {
  const child = await startChild(t, { app: "faulty", options: HEARTBEAT });
  const silent = await openAttacker(t, child);
  const blocker = await openBystander(t, child);
  await silent.expect("2");
  blocker.ws.send('42["block",900]');
  const { reason } = await sessionEnd(child, silent.sid);
  assert.equal(reason, "ping timeout");
  await child.assertUnharmed();
});

const FAULTS = [
  ["throw", "uncaughtException", "thrown by a listener"],
  ["reject", "unhandledRejection", "rejected by a listener"],
  ["any-throw", "uncaughtException", "thrown by a catch-all listener"],
  ["use-throw", "uncaughtException", "thrown by a middleware"],
  ["ack-throw", "uncaughtException", "thrown by an answer"],
  ["disconnect-throw", "uncaughtException", "thrown at the end"],
];

async function provoke(ws, event) {
  ws.send(`42["${event}"]`);
  if (event === "disconnect-throw") {
    ws.send('428["echo","listening"]');
    await ws.expect('438["listening"]');
    ws.send("41");
  }
  if (event === "ack-throw") {
    const question = await ws.next();
    ws.send(`43${/^42(\d+)/.exec(question)[1]}[]`);
  }
}

for (const [event, kind, message] of FAULTS) {
  test(`still serves all clients when a listener fails by "${event}" and the program handles uncaught errors [EVT-26, NSP-9, ENG-166, F-9]`, async (t) => {
    const child = await startChild(t, { app: "faulty", guarded: true });
    const bystander = await openBystander(t, child);
    const ws = await openAttacker(t, child);
    for (let i = 0; i < 3; i++) {
      await provoke(ws, event);
      assert.deepEqual(await child.report("uncaught"), [kind, message]);
      if (event === "disconnect-throw") {
        ws.send("40");
        assert.match(await ws.next(), /^40\{/);
      }
      ws.send('429["echo","same"]');
      await ws.expect('439["same"]');
      await bystander.check();
    }
    const fresh = await openBystander(t, child);
    await fresh.check();
    ws.abort();
    await sessionEnd(child, ws.sid);
    const { clients, sockets, table } = await child.call("state");
    assert.deepEqual([clients, sockets, table], [2, 2, 2]);
  });

  test(`ends the process as Node does when a listener fails by "${event}" and the program handles no uncaught errors [EVT-26]`, async (t) => {
    const child = await startChild(t, { app: "faulty" });
    const ws = await openAttacker(t, child);
    await provoke(ws, event);
    const { code } = await within(child.exited, "the process to end");
    assert.equal(code, 1);
    assert.match(child.output, new RegExp(message));
  });
}

for (const [how, kind, message] of [
  ["throwing", "uncaughtException", "thrown by a connection listener"],
  ["rejecting", "unhandledRejection", "rejected by a connection listener"],
]) {
  test(`keeps a socket when its connection listener fails by ${how} [NSP-9, EVT-26]`, async (t) => {
    const child = await startChild(t, { app: "faulty", guarded: true });
    const bystander = await openBystander(t, child);
    const ws = await openAttacker(t, child, { join: `40{"${how}":1}` });
    assert.deepEqual(await child.report("uncaught"), [kind, message]);
    ws.send('421["echo",1]');
    await ws.expect("431[1]");
    await bystander.check();
    assert.equal((await child.call("state")).sockets, 2);
  });
}

test("serves what came while a listener blocked for a second, in order [EVT-10, EVT-21, F-9]", async (t) => {
  const child = await startChild(t, { app: "faulty" });
  const bystander = await openBystander(t, child);
  const ws = await openAttacker(t, child);
  ws.send('42["block",1000]');
  await child.report("blocking");
  for (let i = 0; i < 20; i++) ws.send(`42${i}["echo",${i}]`);
  await bystander.check();
  for (let i = 0; i < 20; i++) await ws.expect(`43${i}[${i}]`);
  await child.assertUnharmed();
});
