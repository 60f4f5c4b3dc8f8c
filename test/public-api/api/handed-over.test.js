/** Upgrades that reach another worker than that of the session: the connection itself goes to the right one. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { eventually } from "../../support/pairs.js";
import { oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { frame, http, OPCODE, PollingSession, WireSocket } from "../../support/wire-client.js";

const OURS = oursOnly("it has no link between workers");
const PATH = "/socket.io/";
const primary = new URL("../../support/fixtures/primary.cjs", import.meta.url);

/** Two workers, or those and a process that isn't one of them, which know each other. */
async function start(t, ...args) {
  const child = fork(primary, args);
  const ended = once(child, "exit");
  t.after(() => {
    if (child.connected) child.disconnect();
    return ended;
  });
  const answer = async () => (await within(once(child, "message"), "an answer of the primary"))[0];
  const { pids, ports } = await answer();
  const ask = (to, what) => {
    child.send({ to, ask: what });
    return answer();
  };
  for (let i = 0; i < ports.length; i++) await eventually(async () => (await ask(i, "nodes")) === ports.length, "the processes to meet");
  return { pids, ports, ask };
}

/** A session with a socket at one process. */
async function open(port, tls) {
  const session = await PollingSession.open(port, "", { path: PATH, ...(tls && { tls: true }) });
  await session.post("40");
  assert.match((await session.poll())[0], /^40/);
  return session;
}

/** Upgrades a session at a process. */
async function upgrade(t, session, port, more = "") {
  const ws = await WireSocket.open(port, session.url("websocket"), {}, { tls: session.tls });
  t.after(() => ws.abort());
  ws.send("2probe");
  await ws.expect("3probe");
  ws.send(`5${more}`);
  return ws;
}

async function echoes(ws) {
  ws.send('421["echo","hello"]');
  await ws.expect('431["hello"]');
}

test("gives the connection to the worker that has the session: the other one has no part in it [ROB-986]", OURS, async (t) => {
  const { pids, ports, ask } = await start(t);
  const session = await open(ports[0]);
  const ws = await upgrade(t, session, ports[1]);
  await echoes(ws);
  assert.deepEqual(await ask(0, "state"), { transports: ["websocket"], carried: 0, upgrades: 1, uncaught: "" });
  assert.deepEqual(await ask(1, "state"), { transports: [], carried: 0, upgrades: 0, uncaught: "" });
  assert.equal(await ask(1, "connections"), 0);
  process.kill(pids[1], "SIGKILL");
  await eventually(async () => (await ask(0, "nodes")) === 1, "the other worker to be gone");
  await echoes(ws);
});

test("hands over many at a time, and none is lost [ROB-986]", OURS, async (t) => {
  const { ports, ask } = await start(t);
  const sessions = await Promise.all(Array.from({ length: 100 }, (_, i) => open(ports[i % 2])));
  const all = await Promise.all(sessions.map((session, i) => upgrade(t, session, ports[(i + 1) % 2])));
  await Promise.all(all.map(echoes));
  for (const worker of [0, 1]) {
    const { transports, carried, uncaught } = await ask(worker, "state");
    assert.deepEqual([transports.length, carried, uncaught], [50, 0, ""]);
    assert.ok(transports.every((name) => name === "websocket"));
  }
});

test("hands over what a client has sent behind its request [ROB-986]", OURS, async (t) => {
  const { ports } = await start(t);
  const session = await open(ports[0]);
  const ws = await WireSocket.open(ports[1], session.url("websocket"), {}, { early: frame(OPCODE.text, Buffer.from("2probe")) });
  t.after(() => ws.abort());
  await ws.expect("3probe");
  ws.send("5");
  await echoes(ws);
});

for (const [what, args, index] of [
  ["of a process that is no worker of the primary", ["outsider"], 2],
  ["over TLS", ["tls"], 0],
]) {
  test(`carries the messages of a session ${what} [ROB-986, ROB-890]`, OURS, async (t) => {
    const { ports, ask } = await start(t, ...args);
    const session = await open(ports[index], args[0] === "tls");
    const ws = await upgrade(t, session, ports[1]);
    await echoes(ws);
    assert.deepEqual((await ask(1, "state")).carried, 1);
    assert.equal((await ask(1, "state")).uncaught, "");
  });
}

test("carries the messages of a session whose worker has left the primary, and goes on [ROB-986, ROB-890]", OURS, async (t) => {
  const { pids, ports, ask } = await start(t);
  t.after(() => process.kill(pids[0], "SIGKILL"));
  const session = await open(ports[0]);
  assert.equal(await ask(0, "disconnect"), "disconnecting");
  await eventually(async () => (await ask("primary")).workers === 1, "the primary to know");
  const ws = await upgrade(t, session, ports[1]);
  await echoes(ws);
  assert.equal((await ask(1, "state")).carried, 1);
});

test("refuses the upgrade of a session that has ended, at either worker [ROB-986, ENG-4]", OURS, async (t) => {
  const { ports, ask } = await start(t);
  const session = await open(ports[0]);
  await session.post("1");
  for (const port of ports) {
    const { status } = await http(port, {
      path: session.url("websocket"),
      headers: {
        Connection: "Upgrade",
        Upgrade: "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
      },
    });
    assert.equal(status, 400);
  }
  for (const worker of [0, 1]) assert.equal((await ask(worker, "state")).uncaught, "");
});

test(
  "leaves a client with polling when the worker of its session doesn't answer, and is unharmed when that one dies [ROB-987]",
  OURS,
  async (t) => {
    const { pids, ports, ask } = await start(t);
    const sessions = await Promise.all(Array.from({ length: 20 }, () => open(ports[0])));
    process.kill(pids[0], "SIGSTOP");
    const candidates = sessions.map((session) => WireSocket.open(ports[1], session.url("websocket"), {}).catch((error) => error));
    const other = await open(ports[1]);
    await eventually(async () => (await ask(1, "connections")) <= 2, "the connections to be handed over");
    process.kill(pids[0], "SIGKILL");
    for (const candidate of candidates) {
      const { message } = await within(candidate, "the end of a candidate");
      assert.doesNotMatch(message, /waited/); // it was closed
    }
    await eventually(async () => (await ask("primary")).connections === 0, "the primary to have closed its connections");
    await eventually(async () => (await ask(1, "nodes")) === 1, "the other worker to be gone");
    const ws = await upgrade(t, other, ports[1]);
    await echoes(ws);
    assert.equal((await ask(1, "state")).uncaught, "");
  },
);
