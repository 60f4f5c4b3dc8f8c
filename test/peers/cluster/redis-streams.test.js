// roomcast/redis-streams: its entries beside those of the official adapter, recovery, faults, and what it leaves behind.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { catchProcess, catchWarnings, eventually, joinServer, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { sorted } from "./cluster.js";
import { expectEachOnce } from "./recovery.js";
import { closeLater, startRedis } from "./services.js";

const require = createRequire(import.meta.url);
const { decode, encode } = require("@msgpack/msgpack");
const { ioredisClient, redisClient } = require("./adapters.cjs");
const { createAdapter } = require("../../../dist/public/redis-streams.js");
const { RedisStreamsEmitter } = require("../../../dist/public/emitter.js");
const official = require("@socket.io/redis-streams-adapter");
const { Server: OriginalServer } = require("socket.io");

const service = await startRedis();
const admin = await redisClient(service.connection, closeLater);
const bytes = Buffer.from([1, 2, 250]);
let prefixes = 0;

/** Options that nothing else uses: each test has its own streams, channels and sessions. */
const own = (more) => {
  const name = `t${++prefixes}`;
  return { streamName: name, channelPrefix: name, sessionKeyPrefix: `${name}:session:`, blockTimeInMs: 200, ...more };
};
const FAST = { heartbeatInterval: 100, heartbeatTimeout: 1000 };

/** Ended with the file: a server of the original writes sessions while it closes. */
const makeClient = () => redisClient(service.connection, closeLater);

async function startNode(t, options, { recovery } = {}) {
  const client = await makeClient();
  const adapter = createAdapter(client, { ...FAST, ...options });
  const node = await startServer(t, { adapter, connectionStateRecovery: recovery });
  return { ...node, redis: client, adapter: node.io.of("/").adapter };
}

async function startOfficial(t, options, { recovery } = {}) {
  const adapter = official.createAdapter(await makeClient(), options);
  const attach = (httpServer, given) => new OriginalServer(httpServer, given);
  const node = await startServer(t, { adapter, connectionStateRecovery: recovery }, { attach });
  return { ...node, adapter: node.io.of("/").adapter };
}

const know = (nodes) =>
  eventually(
    async () => (await Promise.all(nodes.map(({ adapter }) => adapter.serverCount()))).every((count) => count === nodes.length),
    "the nodes to know each other",
  );

async function startNodes(t, count, options = own(), more) {
  const nodes = [];
  for (let index = 0; index < count; index++) nodes.push(await startNode(t, options, more));
  await know(nodes);
  return nodes;
}

const entriesOf = async (stream) => (await admin.xRange(stream, "-", "+")).map(({ id, message }) => ({ id, ...message }));

/** Adds an entry as another program would. */
const add = (stream, fields) => admin.xAdd(stream, "*", fields);

test("writes the entries and messages of the official adapter [STR-1, STR-2, STR-3, STR-4, STR-13, ENC-2]", async (t) => {
  const seen = {};
  for (const [kind, start] of [
    ["ours", startNode],
    ["official", startOfficial],
  ]) {
    const options = own();
    const node = await start(t, options);
    const partner = await startOfficial(t, options);
    const watcher = await makeClient();
    const heard = [];
    await watcher.monitor((line) => {
      if (/"s?publish"/i.test(line) && line.includes(`${options.channelPrefix}#/#`)) heard.push(line);
    });
    await know([node, partner]);
    const { io } = node;
    partner.io.on("ask", (value, answer) => answer(value));
    io.to(["a", "b"])
      .except("c")
      .volatile.compress(false)
      .emit("x", 1, { at: new Date(0) });
    io.emit("x", bytes, "é");
    io.in("r").socketsJoin(["s"]);
    io.in("r").socketsLeave(["s"]);
    io.in("r").disconnectSockets(true);
    await io.fetchSockets();
    await io.serverSideEmitWithAck("ask", bytes);
    await eventually(async () => (await entriesOf(options.streamName)).length === 5, "the entries");
    await eventually(() => heard.length === 4, "the messages", heard);
    const entries = await entriesOf(options.streamName);
    for (const { uid, nsp } of entries) assert.deepEqual([/^[0-9a-f]{16}$/.test(uid), nsp], [true, "/"]);
    seen[kind] = entries.map(({ type, data }) => {
      const value = data.startsWith("{") ? JSON.parse(data) : decode(Buffer.from(data, "base64"));
      delete value.requestId; // ours asks to be told when it is done, too
      return JSON.stringify([type, data.startsWith("{"), sorted(value)]);
    });
    await Promise.all([node.io.close(), partner.io.close()]);
  }
  assert.deepEqual(seen.ours, seen.official);
});

test("begins at the end of the stream, and passes over namespaces that it does not have [STR-5, STR-14]", async (t) => {
  const options = own();
  const broadcast = (value, nsp = "/") => ({
    uid: "emitter",
    nsp,
    type: "3",
    data: JSON.stringify({ opts: { rooms: [], except: [], flags: {} }, packet: { type: 2, data: ["x", value], nsp } }),
  });
  await add(options.streamName, broadcast("old"));
  const [node] = await startNodes(t, 1, options);
  const { client } = await joinServer(t, node);
  const got = [];
  client.on("x", (value) => got.push(value));
  await add(options.streamName, broadcast("elsewhere", "/unknown"));
  await add(options.streamName, broadcast("new"));
  await eventually(() => got.length > 0, "an event");
  assert.deepEqual(got, ["new"]);
  assert.equal(await node.adapter.serverCount(), 1);
});

test("takes all types of messages from the stream [STR-13, STR-14]", async (t) => {
  const options = own();
  const [node] = await startNodes(t, 1, options);
  const { client, socket } = await joinServer(t, node);
  const opts = { rooms: [], except: [], flags: {} };
  const send = (type, data) => add(options.streamName, { uid: "emitter", nsp: "/", type: String(type), data: JSON.stringify(data) });
  await send(4, { opts, rooms: ["r"] });
  await eventually(() => socket.rooms.has("r"), "the socket to be in the room");
  await send(5, { opts, rooms: ["r"] });
  await eventually(() => !socket.rooms.has("r"), "the socket to be out of the room");
  const heard = once(node.io, "hello");
  await send(9, { packet: ["hello", 1] });
  assert.deepEqual(await heard, [1]);
  const watcher = await makeClient();
  const answers = [];
  await watcher.subscribe(`${options.channelPrefix}#/#old#`, (payload) => answers.push(decode(payload)), true);
  await add(options.streamName, { uid: "old", nsp: "/", type: "7", data: JSON.stringify({ opts, requestId: "q" }) });
  await eventually(() => answers.length === 1, "an answer");
  assert.deepEqual([answers[0].type, answers[0].data.requestId, answers[0].data.sockets[0].id], [8, "q", socket.id]);
  const gone = once(client, "disconnect");
  await send(6, { opts, close: true });
  await gone;
});

test("drops what makes no sense, counts it, and reads on [ROB-896]", async (t) => {
  const options = own();
  const [node] = await startNodes(t, 1, options);
  const { client } = await joinServer(t, node);
  for (const data of ["{", "x", "", Buffer.from([0xc1]).toString("base64")])
    await add(options.streamName, { uid: "x", nsp: "/", type: "3", data });
  await add(options.streamName, { nsp: "/" });
  for (const payload of ["", "x", "\xc1"]) await admin.publish(`${options.channelPrefix}#/#`, payload);
  const heard = once(client, "x");
  const data = JSON.stringify({ opts: { rooms: [] }, packet: { type: 2, data: ["x", 1] } });
  await add(options.streamName, { uid: "x", nsp: "/", type: "3", data });
  assert.deepEqual(await heard, [1]);
  assert.ok(node.adapter.counters.malformed >= 4);
});

test("spreads namespaces over streams that all nodes read [STR-8]", async (t) => {
  const options = own({ streamCount: 3 });
  const nodes = [await startNode(t, options), await startNode(t, options)];
  for (let index = 0; index < 12; index++) {
    const name = `/namespace-${index}`;
    const namespaces = nodes.map(({ io }) => io.of(name));
    await eventually(async () => (await namespaces[0].adapter.serverCount()) === 2, "both to have it");
    const { client } = await joinServer(t, nodes[1], name);
    const heard = once(client, "x");
    namespaces[0].emit("x", name);
    assert.deepEqual(await heard, [name]);
  }
  const streams = (await admin.keys(`${options.streamName}-*`)).sort();
  assert.deepEqual(
    streams,
    [0, 1, 2].map((index) => `${options.streamName}-${index}`),
  );
});

test("delivers to its own clients at once, however long Redis takes [STR-7, ROB-885]", async (t) => {
  const [node] = await startNodes(t, 1);
  const { client } = await joinServer(t, node);
  service.stop();
  t.after(() => service.cont());
  const heard = once(client, "x");
  node.io.emit("x", 1);
  assert.deepEqual(await heard, [1]);
  service.cont();
});

test("gives clients the id of the entry as offset, with recovery alone [STR-6, CLU-11]", async (t) => {
  const options = own();
  const nodes = await startNodes(t, 2, options, { recovery: {} });
  for (const node of nodes) {
    const { client } = await joinServer(t, node);
    const heard = once(client, "x");
    nodes[0].io.emit("x", bytes);
    const offset = (await heard)[1];
    assert.equal(offset, (await entriesOf(options.streamName)).at(-1).id);
  }
});

/** A client that has received an offset and whose connection has broken, and what it needs to come back. */
async function leave(t, node) {
  const { client, socket } = await joinServer(t, node);
  const heard = once(client, "ready");
  node.io.emit("ready");
  await heard;
  socket.join("r");
  socket.data.user = "ann";
  const auth = { pid: client._pid, offset: client._lastOffset };
  const gone = once(socket, "disconnect");
  client.io.engine.close();
  await gone;
  return { auth, id: socket.id };
}

/** Connects with a session to recover; the peer has still to read what comes before the answer, as missed packets do (CSR-8). */
const join = async (t, node, auth) => {
  const admitted = once(node.io, "connection");
  const peer = await wirePeer(t, node.port, { join: false });
  peer.send(`40${JSON.stringify(auth)}`);
  return { peer, socket: (await admitted)[0] };
};

const isEvent = (text) => String(text).startsWith("42");

test("keeps sessions in keys, gives them once, with what was missed [STR-9, STR-11, STR-12, CSR-11]", async (t) => {
  const options = own();
  const nodes = await startNodes(t, 2, options, { recovery: { maxDisconnectionDuration: 60_000 } });
  const { auth, id } = await leave(t, nodes[0]);
  const key = options.sessionKeyPrefix + auth.pid;
  await eventually(async () => (await admin.exists(key)) === 1, "the session");
  assert.deepEqual(decode(Buffer.from(await admin.get(key), "base64")), {
    sid: id,
    pid: auth.pid,
    rooms: [id, "r"],
    data: { user: "ann" },
  });
  const ttl = await admin.pTTL(key);
  assert.ok(ttl > 50_000 && ttl <= 60_000);
  nodes[0].io.emit("x", "own node");
  nodes[1].io.to("r").emit("x", "room");
  nodes[1].io.to("s").emit("x", "other room");
  nodes[1].io.except("r").emit("x", "others");
  nodes[1].io.volatile.emit("x", "volatile");
  nodes[1].io.of("/other").emit("x", "other namespace");
  await eventually(async () => (await entriesOf(options.streamName)).length >= 7, "the entries");
  const { peer, socket } = await join(t, nodes[1], auth);
  assert.deepEqual([socket.recovered, socket.id, socket.rooms.has("r"), socket.data], [true, id, true, { user: "ann" }]);
  nodes[0].io.emit("x", "behind");
  const got = [];
  while (got.at(-1) !== "behind") got.push(JSON.parse((await peer.until(isEvent)).slice(2))[1]);
  assert.deepEqual(got, ["own node", "room", "behind"]);
  assert.equal(await admin.exists(key), 0);
  assert.equal((await join(t, nodes[0], auth)).socket.recovered, false);
});

test("gives a new session for offsets that are none, or were trimmed, and for unknown secrets [STR-10, CSR-7, CSR-12]", async (t) => {
  const options = own();
  const nodes = await startNodes(t, 1, options, { recovery: {} });
  for (const change of [{ offset: "x" }, { offset: "1-1 + 5" }, { offset: "1-1" }, { offset: undefined }, { pid: "x" }, { pid: "*" }]) {
    const { auth } = await leave(t, nodes[0]);
    assert.equal((await join(t, nodes[0], { ...auth, ...change })).socket.recovered, false);
  }
  const { auth } = await leave(t, nodes[0]);
  await admin.xTrim(options.streamName, "MAXLEN", 0);
  assert.equal((await join(t, nodes[0], auth)).socket.recovered, false);
  const last = await leave(t, nodes[0]);
  await admin.set(options.sessionKeyPrefix + last.auth.pid, Buffer.from(encode({ sid: 1, pid: "y" })).toString("base64"));
  assert.equal((await join(t, nodes[0], last.auth)).socket.recovered, false);
});

test("recovers from and to a node of the original [MIX-9]", async (t) => {
  const options = own();
  const nodes = [await startNode(t, options, { recovery: {} }), await startOfficial(t, options, { recovery: {} })];
  await know(nodes);
  for (const [from, to] of [nodes, [nodes[1], nodes[0]]]) {
    const { auth, id } = await leave(t, from);
    await eventually(async () => (await admin.exists(options.sessionKeyPrefix + auth.pid)) === 1, "the session");
    from.io.emit("x", "missed");
    await eventually(async () => (await entriesOf(options.streamName)).some(({ data }) => data?.includes("missed")), "the entry");
    const { socket, peer } = await join(t, to, auth);
    assert.deepEqual([socket.recovered, socket.id], [true, id]);
    assert.match(await peer.until(isEvent), /missed/);
    await admin.del(options.streamName);
  }
});

test("gives a client that recovers what an emitter has sent meanwhile [ROB-915]", async (t) => {
  const options = own();
  const nodes = await startNodes(t, 2, options, { recovery: {} });
  const { streamName, channelPrefix } = options;
  const emitter = new RedisStreamsEmitter(await makeClient(), { streamName, channelPrefix });
  const { auth, id } = await leave(t, nodes[0]);
  await eventually(async () => (await admin.exists(options.sessionKeyPrefix + auth.pid)) === 1, "the session");
  emitter.to("r").emit("x", "missed", bytes);
  emitter.to("s").emit("x", "other room");
  emitter.emit("x", "missed, too");
  await eventually(async () => (await entriesOf(streamName)).some(({ data }) => data?.includes("missed, too")), "the entries");
  const { socket, peer } = await join(t, nodes[1], auth);
  assert.deepEqual([socket.recovered, socket.id], [true, id]);
  assert.match(await peer.until((text) => String(text).startsWith("45")), /"missed"/);
  assert.match(await peer.until(isEvent), /"missed, too"/);
});

test("brings each event once and in one order while clients leave and come back, and several servers broadcast [ROB-897]", async (t) => {
  const nodes = await startNodes(t, 3, own(), { recovery: {} });
  const members = [];
  for (let index = 0; index < 6; index++) {
    const { client } = await joinServer(t, nodes[index % 3], "/", { reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 10 });
    const got = [];
    client.on("x", (...args) => got.push(args));
    members.push({ client, got });
  }
  const ready = Promise.all(members.map(({ client }) => once(client, "ready")));
  nodes[0].io.emit("ready");
  await ready;
  const position = (offset) => offset.split("-").map(BigInt);
  const isEarlier = (a, b) => {
    const [[ms, sequence], [otherMs, otherSequence]] = [position(a), position(b)];
    return ms < otherMs || (ms === otherMs && sequence < otherSequence);
  };
  await expectEachOnce(nodes, members, (round) => (round % 10 === 0 ? bytes : ""), isEarlier);
});

test("reads what came while its connections were cut, and goes on [STR-5, ROB-896]", async (t) => {
  const options = own();
  const nodes = await startNodes(t, 2, options);
  const { client } = await joinServer(t, nodes[1]);
  const got = [];
  client.on("x", (value) => got.push(value));
  const addresses = (await admin.clientList()).filter(({ cmd }) => cmd === "xread");
  for (const { id } of addresses) await admin.sendCommand(["CLIENT", "KILL", "ID", String(id)]);
  for (let index = 0; index < 10; index++) nodes[0].io.emit("x", index);
  await eventually(() => got.length === 10, "all events");
  assert.deepEqual(got, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

const readersOf = async () => (await admin.clientList()).filter(({ cmd }) => cmd === "xread").map(({ id }) => String(id));

for (const [name, connect] of [
  ["node-redis", makeClient],
  ["ioredis", () => ioredisClient(service.connection, closeLater)],
])
  test(`counts and tells when entries were trimmed before they could be read, with ${name} [ROB-896]`, async (t) => {
    const warned = catchWarnings(t);
    const options = own();
    const before = new Set(await readersOf());
    const node = await startServer(t, { adapter: createAdapter(await connect(), { ...FAST, ...options }) });
    const { adapter } = node.io.of("/");
    const { client } = await joinServer(t, node);
    const broadcast = (value) => ({
      uid: "another",
      nsp: "/",
      type: "3",
      data: JSON.stringify({ opts: { rooms: [] }, packet: { type: 2, data: ["x", value], nsp: "/" } }),
    });
    const got = [];
    client.on("x", (value) => got.push(value));
    await eventually(async () => {
      await add(options.streamName, broadcast("first")); // until the reader knows the end of the stream, it reads nothing
      return got.length > 0;
    }, "the reader to be there");
    const { lost } = adapter.counters;
    let reader;
    await eventually(async () => (reader = (await readersOf()).find((id) => !before.has(id))) !== undefined, "the reader to wait");
    await admin
      .multi()
      .addCommand(["CLIENT", "KILL", "ID", reader])
      .xAdd(options.streamName, "*", broadcast("missed"))
      .xTrim(options.streamName, "MAXLEN", 0)
      .execAsPipeline();
    const { code, message } = await warned.next(({ message }) => message.includes(`the stream ${options.streamName} `));
    assert.deepEqual([code, adapter.counters.lost], ["ROOMCAST_CLUSTER_LINK", lost + 1]);
    assert.match(message, /^redis-streams: entries of the stream \S+ are gone, perhaps unread: raise maxLen/);
    await add(options.streamName, broadcast("behind"));
    await eventually(() => got.at(-1) === "behind", "what comes behind");
    assert.deepEqual([got.includes("missed"), adapter.counters.lost], [false, lost + 1]);
  });

test("an error of a listener for other servers is uncaught, is not counted as malformed, and messages go on to arrive [ROB-834]", async (t) => {
  const errors = catchProcess(t, "uncaughtException");
  const options = own();
  const [one, two] = await startNodes(t, 2, options);
  two.io.on("fail", (where) => {
    throw new Error(where);
  });
  const order = { uid: "another", nsp: "/", type: "9", data: JSON.stringify({ packet: ["fail", "by the stream"] }) };
  const heard = once(two.io, "end");
  await admin
    .multi()
    .xAdd(options.streamName, "*", order)
    .xAdd(options.streamName, "*", { ...order, data: '{"packet":["end"]}' })
    .exec();
  await heard;
  assert.equal((await errors.next()).message, "by the stream");
  one.io.serverSideEmit("fail", "by pub/sub");
  assert.equal((await errors.next()).message, "by pub/sub");
  const again = once(two.io, "end");
  one.io.serverSideEmit("end");
  await again;
  assert.equal(two.adapter.counters.malformed, 0);
});

test("closes the connections that it has made, and no other [STR-1, STR-15, ROB-896]", async (t) => {
  const before = new Set((await admin.clientList()).map(({ id }) => id));
  const made = async () => (await admin.clientList()).filter(({ id }) => !before.has(id)).length;
  const options = own({ streamCount: 2 });
  const client = await makeClient();
  const node = await startServer(t, { adapter: createAdapter(client, { ...FAST, ...options }) });
  node.io.of("/chat");
  await eventually(async () => (await made()) === 4, "a reader per stream, a subscriber, and the given client");
  await node.io.close();
  await eventually(async () => (await made()) === 1, "the duplicates to be closed");
  assert.equal(client.isReady, true);
  assert.equal(await client.ping(), "PONG");
});

test("is whole again after Redis was killed and started again [ROB-885, ROB-896]", async (t) => {
  const nodes = await startNodes(t, 2, own());
  const { client } = await joinServer(t, nodes[1]);
  const ends = nodes.flatMap(({ adapter }) => [once(adapter, "degraded"), once(adapter, "restored")]);
  await service.restart();
  await Promise.all(ends);
  await know(nodes);
  let hasHeard = false;
  client.on("x", () => (hasHeard = true));
  await eventually(async () => {
    nodes[0].io.emit("x", bytes); // the readers connect anew after delays of their own
    await new Promise((resolve) => setImmediate(resolve));
    return hasHeard;
  }, "an event");
});

test("tells what to do about wrong arguments [ROB-896]", async () => {
  const client = await makeClient();
  for (const given of [undefined, {}, "redis://localhost", Promise.resolve(client)])
    assert.throws(() => createAdapter(given), { code: "RC_ERR_ARGUMENT", message: /redisClient: expected/ });
  for (const [options, text] of [
    [{ streamName: "" }, /streamName: expected a text/],
    [{ streamCount: 0 }, /streamCount: expected a positive whole number/],
    [{ maxLen: 1.5 }, /maxLen/],
    [{ blockTimeInMs: "x" }, /blockTimeInMs/],
    [{ onlyPlaintext: 1 }, /onlyPlaintext: expected a boolean/],
    [{ heartbeatTimeout: 0 }, /heartbeatTimeout/],
    [{ carrySessions: 1 }, /carrySessions: expected a boolean/],
  ])
    assert.throws(() => createAdapter(client, options), { code: "RC_ERR_OPTION", message: text });
  assert.throws(() => createAdapter(client, null), { code: "RC_ERR_ARGUMENT", message: /^options: expected an object, met null$/ });
});
