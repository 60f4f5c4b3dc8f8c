/** Known attacks and faults that the other files of this family don't send; see test/project/architecture/threats.test.js for all of them. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { assertBounded, openBystander, startChild, WEBSOCKET_PATH } from "../../support/hostile/child.js";
import { oursOnly } from "../../support/target.js";
import { eventually } from "../../support/pairs.js";
import { http, messageFrame, PollingSession, refusedUpgrade, WireSocket } from "../../support/wire-client.js";

const OURS = oursOnly("it has no stats(), and other limits");
const MIB = 1024 * 1024;
const PATH = "/socket.io/";
const POLLING = `${PATH}?EIO=4&transport=polling`;

/** Waits until the process has so many sessions, and nothing else of clients. */
async function untilEmpty(child, sessions) {
  await eventually(async () => {
    const { sessions: met, clients, handshakes, upgrades, requests, heldInput, closingConnections } = await child.call("sizes");
    return (
      met === sessions && clients === sessions && handshakes + upgrades + requests.posts + heldInput.messages + closingConnections === 0
    );
  }, `all but ${sessions} sessions to leave nothing`);
}

test("answers binary POSTs of revision 4 with 400 and keeps nothing of them, two thousand times [ENG-96, THREAT-14]", OURS, async (t) => {
  const child = await startChild(t, { app: "borders" });
  const bystander = await openBystander(t, child);
  const attack = async () => {
    const session = await PollingSession.open(child.port, "", { path: PATH });
    const { status } = await session.post(Buffer.alloc(1000, 0x34), { headers: { "Content-Type": "application/octet-stream" } });
    assert.equal(status, 400);
  };
  for (let i = 0; i < 200; i++) await attack();
  await untilEmpty(child, 1);
  const before = await child.heldBytes();
  for (let i = 0; i < 1800; i++) await attack();
  await untilEmpty(child, 1);
  assertBounded(before, await child.heldBytes(), 4 * MIB, "binary POSTs");
  await bystander.check();
  await child.assertUnharmed();
});

const packet = (text) => [text.length, ...Buffer.from(text)];
for (const sid of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
  test(`closes a WebTransport session that asks for the session ${sid} [ENG-6, THREAT-15]`, OURS, async (t) => {
    const child = await startChild(t, { app: "borders" });
    const bystander = await openBystander(t, child);
    await child.call("webTransport", packet(`0{"sid":"${sid}"}`), "wait");
    await untilEmpty(child, 1);
    await bystander.check();
    await child.assertUnharmed();
  });
}

test(
  "keeps nothing of WebTransport sessions that send nothing, garbage, or end during their handshake [ENG-172, THREAT-16]",
  OURS,
  async (t) => {
    const child = await startChild(t, { app: "borders", options: { upgradeTimeout: 50 } });
    const bystander = await openBystander(t, child);
    const forms = [
      [null, "no stream"],
      [null, "wait"],
      [null, "fail"],
      [null, "reset"],
      [[0xff, 0xff, 0xff], "wait"],
      [packet("9"), "close"],
      [packet("0{"), "wait"],
      [[0x7f, 0, 0], "fail"],
    ];
    const attack = (times) => Promise.all(Array.from({ length: times }, (_, i) => child.call("webTransport", ...forms[i % forms.length])));
    await attack(400);
    await untilEmpty(child, 1);
    const before = await child.heldBytes();
    for (let round = 0; round < 5; round++) await attack(400);
    await untilEmpty(child, 1);
    assertBounded(before, await child.heldBytes(), 4 * MIB, "handshakes");
    await bystander.check();
    await child.assertUnharmed();
  },
);

test("refuses to upgrade a session of revision 4 by revision 3, and keeps it [ENG-40, THREAT-17]", async (t) => {
  const child = await startChild(t, { app: "doors" });
  const bystander = await openBystander(t, child);
  for (let i = 0; i < 50; i++) {
    const session = await PollingSession.open(child.port, "", { path: PATH });
    await session.post("40");
    const early = { early: messageFrame("2probe") };
    const { status } = await refusedUpgrade(child.port, `${PATH}?EIO=3&transport=websocket&sid=${session.sid}`, {}, early);
    assert.equal(status, 400);
    assert.match((await session.poll())[0], /^40/);
    await session.post("1");
  }
  await child.untilClients(1);
  await bystander.check();
  await child.assertUnharmed();
});

test("takes no harm from messages of a bus that nobody of the cluster sent [CLU-4, THREAT-31]", OURS, async (t) => {
  const child = await startChild(t, { app: "borders" });
  const bystander = await openBystander(t, child);
  const opts = { rooms: ["nobody"], except: [], flags: {} }; // to all, it would be a message that a server may send
  const evil = JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}');
  const hostile = [null, 1, "x", [], {}, evil, { type: 3 }, { uid: "a", nsp: "/", type: 3, data: evil }];
  for (let type = -1; type < 15; type++) {
    for (const data of [
      undefined,
      null,
      1,
      [],
      evil,
      { opts },
      { opts: evil, packet: evil },
      { opts, packet: { type: 0, data: [] } },
      { requestId: evil },
    ]) {
      hostile.push({ uid: "a", nsp: "/", type, data }, { uid: evil, nsp: "/", type, data }, { uid: "a", nsp: evil, type, data });
    }
  }
  await child.call("clusterMessages", hostile);
  const before = await child.heldBytes();
  const forged = Array.from({ length: 20_000 }, (_, i) => ({ uid: `forged-${i}`, nsp: "/", type: 2 }));
  await child.call("clusterMessages", forged);
  assertBounded(before, await child.heldBytes(), 4 * MIB, "nodes that don't exist");
  const { namespaces } = await child.call("sizes");
  assert.ok(namespaces["/"].adapter.nodes <= 4096);
  assert.equal((await child.call("state")).isPolluted, false);
  await bystander.check();
  await child.assertUnharmed();
});

test(
  "gives one client a thousand of 100,000 namespaces of a pattern, and takes them down with it [PAR-20, ROB-815, THREAT-36]",
  OURS,
  async (t) => {
    const child = await startChild(t, { app: "borders" });
    const bystander = await openBystander(t, child);
    const before = await child.heldBytes();
    const ws = await WireSocket.open(child.port, WEBSOCKET_PATH);
    await ws.next();
    for (let at = 0; at < 100_000; at += 1000) {
      ws.send(...Array.from({ length: 1000 }, (_, i) => `40/room-${at + i},`));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await ws.until((message) => String(message).includes("/room-99999,"), 60_000);
    const { childNamespaces } = await child.call("sizes");
    assert.equal(childNamespaces, 1000);
    assert.equal((await child.call("state")).codes.RC_ERR_NAMESPACES, 99_000);
    ws.abort();
    await untilEmpty(child, 1);
    assert.equal((await child.call("sizes")).childNamespaces, 0);
    assertBounded(before, await child.heldBytes(), 8 * MIB, "namespaces");
    await bystander.check();
    await child.assertUnharmed();
  },
);

test("ends sessions whose network is silent: a WebSocket, a waiting poll, an upgrade; and keeps nothing [EIO-72, F-7]", OURS, async (t) => {
  const child = await startChild(t, { app: "borders", options: { pingInterval: 100, pingTimeout: 200, upgradeTimeout: 200 } });
  const round = async () => {
    const silent = [];
    for (let i = 0; i < 30; i++) {
      const ws = await WireSocket.open(child.port, WEBSOCKET_PATH);
      ws.send("40");
      ws.sentClose = true; // answers nothing from now on
      ws.pause();
      silent.push(ws);
      const polling = await PollingSession.open(child.port, "", { path: PATH });
      polling.get().catch(() => {});
      const upgrading = await PollingSession.open(child.port, "", { path: PATH });
      const candidate = await upgrading.candidate();
      candidate.send("2probe");
      candidate.pause();
      silent.push(candidate);
    }
    await eventually(async () => (await child.call("sizes")).sessions === 0, "the silent sessions to end");
    for (const ws of silent) ws.abort();
    await untilEmpty(child, 0);
  };
  await round();
  const before = await child.heldBytes();
  for (let i = 0; i < 4; i++) await round();
  assertBounded(before, await child.heldBytes(), 4 * MIB, "silent sessions");
  assert.equal((await http(child.port, { path: POLLING })).status, 200);
  await child.assertUnharmed();
});

test(
  "has every table as before when 500 clients in 10 rooms each have dropped at once, again and again [ROB-795, F-8]",
  { ...OURS, timeout: 240_000 },
  async () => {
    const program = fileURLToPath(new URL("../../../bench/drop.mjs", import.meta.url));
    const child = spawn(process.execPath, [program, "--clients", "500", "--rounds", "6"], { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (text) => (output += text));
    const code = await new Promise((resolve) => child.once("exit", resolve));
    assert.equal(code, 0, output);
  },
);
