// roomcast/nats: connection state recovery, in a stream of JetStream.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { catchWarnings, eventually, joinServer, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { expectEachOnce } from "./recovery.js";
import { startNats } from "./services.js";

const require = createRequire(import.meta.url);
const { decode } = require("@msgpack/msgpack");
const { connect: dial, headers: makeHeaders } = require("@nats-io/transport-node");
const { createAdapter } = require("../../../dist/public/nats.js");

const service = await startNats();
const bytes = Buffer.from([1, 2, 250]);
const OFFSET = /^[0-9a-z]+-\d+$/;
let keys = 0;

async function dialed(t, servers = service.connection) {
  const connection = await dial({ servers, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  t.after(() => connection.close());
  return connection;
}

/** Options that nothing else uses: each test has its own stream. */
const own = (more) => ({ key: `recovery.t${++keys}`, jetstream: true, heartbeatInterval: 100, heartbeatTimeout: 5000, ...more });

async function startNodes(t, count, options = own(), { recovery = {}, servers } = {}) {
  const nodes = [];
  for (let index = 0; index < count; index++) {
    const adapter = createAdapter(await dialed(t, servers), options);
    const node = await startServer(t, { adapter, ...(recovery && { connectionStateRecovery: recovery }) });
    nodes.push({ ...node, adapter: node.io.of("/").adapter });
  }
  for (const { adapter } of nodes) await eventually(async () => (await adapter.serverCount()) === count, "the nodes to know each other");
  return nodes;
}

/** Waits until packets of all nodes have offsets: until a node has the stream, its packets have none. */
async function logged(nodes, client) {
  for (const { io } of nodes)
    await eventually(async () => {
      const heard = once(client, "ready");
      io.emit("ready");
      return OFFSET.test((await heard).at(-1));
    }, "an offset");
}

/** A client that has received an offset, and all that it got. */
async function startMember(t, nodes, index = 0) {
  const { client, socket } = await joinServer(t, nodes[index], "/", {
    reconnection: true,
    reconnectionDelay: 10,
    reconnectionDelayMax: 10,
  });
  const got = [];
  client.on("x", (...args) => got.push(args));
  await logged(nodes, client);
  return { client, socket, got };
}

/** Cuts the connection of a member, which stays away. */
async function cut({ client, socket }) {
  const gone = once(socket, "disconnect");
  client.io.reconnection(false);
  client.io.engine.close();
  await gone;
}

test("gives packets that can be recovered an offset, and others no further argument [ROB-905]", async (t) => {
  const nodes = await startNodes(t, 2);
  const { got } = await startMember(t, nodes, 1);
  nodes[0].io.emit("x", 1);
  nodes[0].io.emit("x", bytes);
  nodes[1].io.emit("x", 2);
  await eventually(() => got.length === 3, "all events");
  nodes[0].io.volatile.emit("x", 3);
  await eventually(() => got.length === 4, "the volatile event");
  assert.deepEqual(got.map(({ length }) => length).sort(), [1, 2, 2, 2]);
  const [without] = await startNodes(t, 1, own(), { recovery: null });
  const peer = await joinServer(t, without);
  const plain = once(peer.client, "x");
  without.io.emit("x", 1);
  assert.deepEqual(await plain, [1]);
});

test("brings each event once and in one order while clients leave and come back, and several servers broadcast [ROB-905]", async (t) => {
  const nodes = await startNodes(t, 3);
  const members = [];
  for (let index = 0; index < 6; index++) members.push(await startMember(t, nodes, index % 3));
  await expectEachOnce(
    nodes,
    members,
    (round) => (round % 10 === 0 ? bytes : round === 50 ? "y".repeat(1_200_000) : ""),
    (a, b) => Number(a.split("-")[1]) < Number(b.split("-")[1]),
  );
});

test("brings what NATS sends on out of order in the order of the stream, and does not wait for long for what is lost [ROB-996]", async (t) => {
  const options = own();
  const [node] = await startNodes(t, 1, options);
  const raw = await dialed(t);
  let stored; // the last message of the namespace that NATS has sent on
  raw.subscribe(`${options.key}.>`, {
    callback: (_, message) => {
      if (message.headers?.get("Nats-Last-Sequence")) stored = message;
    },
  });
  await raw.flush();
  const { got } = await startMember(t, [node]);
  const ofOther = own();
  const [other] = await startNodes(t, 1, ofOther);
  const messages = [];
  raw.subscribe(`${ofOther.key}.>`, { callback: (_, { subject, data, headers }) => headers && messages.push({ subject, data }) });
  await raw.flush();
  const peer = await joinServer(t, other);
  await logged([other], peer.client);
  messages.length = 0;
  for (let i = 1; i <= 6; i++) other.io.emit("x", i);
  await eventually(() => messages.length >= 6, "what the other server has published");
  const byNumber = messages.filter(({ subject }) => subject === messages.at(-1).subject).slice(-6);

  await eventually(() => stored !== undefined, "a message of this server");
  const last = Number(stored.headers.get("Nats-Sequence"));
  const { subject } = stored;
  const sendOn = (number, before = number - 1) => {
    const headers = makeHeaders();
    headers.set("Nats-Sequence", String(last + number));
    headers.set("Nats-Last-Sequence", String(last + before));
    raw.publish(subject, byNumber[number - 1].data, { headers });
  };
  for (const number of [1, 4, 3, 2]) sendOn(number);
  await eventually(
    () => got.length === 4,
    "what came out of order",
    () => got,
  );
  sendOn(6); // the one before never comes
  await eventually(
    () => got.length === 5,
    "what came behind a lost one",
    () => got,
  );
  sendOn(5); // it does, but late
  await eventually(
    () => got.length === 6,
    "what came late",
    () => got,
  );
  assert.deepEqual(
    got.map(([number]) => number),
    [1, 2, 3, 4, 6, 5],
  );
  const positions = got.map((args) => Number(args.at(-1).split("-")[1]) - last);
  assert.deepEqual(positions, [1, 2, 3, 4, 6, 5]);
});

test("keeps the order of broadcasts and of what disconnects their receivers [ROB-905]", async (t) => {
  const nodes = await startNodes(t, 2);
  const { client, got } = await startMember(t, nodes, 1);
  const gone = once(client, "disconnect");
  for (let i = 0; i < 50; i++) nodes[0].io.emit("x", i);
  nodes[0].io.timeout(10_000).emit("x", 50, () => {});
  nodes[0].io.disconnectSockets();
  await gone;
  assert.deepEqual(
    got.map(([value]) => value),
    Array.from({ length: 51 }, (_, i) => i),
  );
});

test("leaves out rooms that the session was not in, and those that are excepted [ROB-905, CSR-11]", async (t) => {
  const nodes = await startNodes(t, 2);
  const member = await startMember(t, nodes);
  await member.socket.join("r");
  await cut(member);
  const { io } = nodes[1];
  io.to("r").emit("x", "room");
  io.to("s").emit("x", "other room");
  io.except("r").emit("x", "others");
  io.emit("x", "all");
  io.to("r").emit("x", "z".repeat(3_000_000));
  member.client.connect();
  await once(member.client, "connect");
  assert.equal(member.client.recovered, true);
  await eventually(() => member.got.length >= 3, "what was missed");
  assert.deepEqual(
    member.got.map(([value]) => value.slice(0, 4)),
    ["room", "all", "zzzz"],
  );
});

test("gives a session once, and none for unknown secrets, forged offsets and deleted packets [ROB-906, CSR-7, CSR-12, CSR-14]", async (t) => {
  const nodes = await startNodes(t, 2, own({ jetstream: { maxBytes: 100_000, storage: "memory" } }));
  const join = async (auth, node = nodes[1]) => {
    const admitted = once(node.io, "connection");
    await wirePeer(t, node.port, { auth });
    return (await admitted)[0].recovered;
  };
  const leave = async () => {
    const member = await startMember(t, nodes);
    const auth = { pid: member.client._pid, offset: member.client._lastOffset };
    await cut(member);
    return auth;
  };
  const first = await leave();
  const [epoch, position] = first.offset.split("-");
  for (const offset of [undefined, "", "1", "x-y", `${epoch}-`, `${epoch}--1`, `${epoch}-${position};`, `0-${position}`])
    assert.equal(await join({ pid: "x", offset }), false);
  for (const offset of [`0-${position}`, `${epoch}-99999999`, `${epoch}-999999999999999999999`, "1"]) {
    const { pid } = await leave();
    assert.equal(await join({ pid, offset }), false);
  }
  assert.equal(await join(first), true);
  assert.equal(await join(first, nodes[0]), false, "it was taken");
  const second = await leave();
  for (let index = 0; index < 20; index++) nodes[0].io.emit("y", "y".repeat(10_000));
  const third = await leave();
  assert.equal(await join(second), false);
  assert.equal(await join(third), true);
});

test("gives no session after maxDisconnectionDuration [ROB-906]", async (t) => {
  const options = own();
  const nodes = await startNodes(t, 1, options, { recovery: { maxDisconnectionDuration: 1 } });
  const member = await startMember(t, nodes);
  const stored = [];
  const watcher = await dialed(t);
  watcher.subscribe(`${options.key}.session.*`, { callback: (_, { data }) => stored.push(decode(data)) });
  await watcher.flush();
  await cut(member);
  await eventually(() => stored.length === 1 && Date.now() > stored[0][1], "the session to be stored, and its time to be over");
  member.client.connect();
  await once(member.client, "connect");
  assert.equal(member.client.recovered, false);
});

test("counts a session that cannot be stored as lost, and goes on [ROB-906]", async (t) => {
  const nodes = await startNodes(t, 1);
  const member = await startMember(t, nodes);
  const { lost } = nodes[0].adapter.counters;
  member.socket.data.self = member.socket.data;
  await cut(member);
  await eventually(() => nodes[0].adapter.counters.lost === lost + 1, "the session to be counted");
  member.client.connect();
  await once(member.client, "connect");
  assert.equal(member.client.recovered, false);
});

test("recovers sessions when NATS was killed and started again meanwhile [ROB-907]", async (t) => {
  const nodes = await startNodes(t, 2);
  const member = await startMember(t, nodes);
  const staying = await startMember(t, nodes);
  await cut(member);
  nodes[1].io.emit("x", "before");
  await eventually(() => staying.got.length === 1, "what is sent before");
  const ups = nodes.map(({ adapter }) => once(adapter, "restored"));
  await service.kill();
  nodes[0].io.emit("x", "meanwhile"); // to the clients of this server
  await eventually(() => staying.got.length === 2, "what is sent here meanwhile");
  await service.start();
  await Promise.all(ups);
  await logged(nodes, staying.client);
  nodes[1].io.emit("x", "behind");
  member.client.connect();
  await once(member.client, "connect");
  assert.equal(member.client.recovered, true);
  await eventually(() => member.got.length >= 2, "what was missed");
  assert.deepEqual(
    member.got.map(([value]) => value),
    ["before", "behind"],
  );
});

test("says what to do where NATS has no JetStream, and goes on without recovery [ROB-908]", async (t) => {
  const plain = await startNats({ jetstream: false });
  t.after(() => plain.kill());
  const warned = catchWarnings(t).next(({ message }) => message.includes("clients cannot recover their sessions"));
  const nodes = await startNodes(t, 2, own(), { servers: plain.connection });
  assert.match((await warned).message, /this NATS server has no JetStream: start it with -js/);
  const { client } = await joinServer(t, nodes[1]);
  const heard = once(client, "x");
  nodes[0].io.emit("x", 1);
  assert.deepEqual(await heard, [1]);
});

test("tells what is wrong with the limits of the stream [ROB-908]", async (t) => {
  const connection = await dialed(t);
  const met = (jetstream) =>
    assert.throws(() => createAdapter(connection, { jetstream }), { code: "RC_ERR_OPTION", message: /^option jetstream/ });
  for (const jetstream of [
    "yes",
    1,
    null,
    { maxbytes: 1000 },
    { maxBytes: 0 },
    { maxBytes: "1" },
    { replicas: 0 },
    { replicas: 6 },
    { storage: "disk" },
  ])
    met(jetstream);
});
