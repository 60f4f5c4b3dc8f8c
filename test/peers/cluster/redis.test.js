// roomcast/redis: the bytes on the wire, who is subscribed to what, and what a stranger or a fault does to it.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { connect, once } from "../../support/client.js";
import { startServer } from "../../support/server.js";
import { Server } from "../../support/target.js";
import { http, PollingSession } from "../../support/wire-client.js";
import { startBackends } from "./backends.js";
import { discovered, waitUntil, fence, inboxes, startNodes } from "./cluster.js";
import { startRelay } from "./relay.js";
import { closeLater } from "./services.js";

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL("../../..", import.meta.url));
const notepack = require("notepack.io");
const { ioredisClient, redis4Client, redisClient } = require("./adapters.cjs");
const ours = require("../../../dist/public/redis.js");
const streams = require("../../../dist/public/redis-streams.js");

const CLASSIC = "roomcast/redis with redis";
const SHARDED = "roomcast/redis, sharded, with redis";
const OFFICIAL = { [CLASSIC]: "@socket.io/redis-adapter with redis", [SHARDED]: "@socket.io/redis-adapter, sharded, with redis" };
const wanted = [CLASSIC, SHARDED, ...Object.values(OFFICIAL)];
const backends = new Map((await startBackends((name) => wanted.includes(name))).map((one) => [one.name, one]));
const { connection, service } = backends.get(CLASSIC);
const admin = await redisClient(connection, closeLater);
const TWO = { kinds: ["roomcast", "roomcast"], bases: ["ours", "ours"] };

/** Publishes a request in the place of a node, and gives the responses that come on the shared channel. */
async function askClassic(request, count = 1) {
  const watcher = await redisClient(connection, closeLater);
  const got = [];
  await watcher.subscribe("socket.io-response#/#", (message) => got.push(JSON.parse(message)));
  await admin.publish("socket.io-request#/#", JSON.stringify(request));
  await waitUntil(() => got.length >= count, "the responses");
  await watcher.close();
  return got;
}

/** What two nodes publish for each operation, with names for the ids of nodes and requests. */
async function record(t, name, kinds) {
  const official = kinds[0] === "socket.io";
  const { servers, sockets, clients } = await startNodes(t, backends.get(official ? OFFICIAL[name] : name), {
    kinds,
    bases: official ? ["own", "own"] : ["ours", "ours"],
  });
  const watcher = await redisClient(connection, closeLater);
  const log = [];
  // Not a subscription: nodes would wait for its answers.
  await watcher.monitor((line) => {
    const [command, channel, payload] = wordsOf(line);
    if (!/^s?publish$/i.test(command) || channel.includes("-roomcast#")) return; // pulses
    const isText = payload[0] === 0x7b;
    const value = isText ? JSON.parse(payload) : notepack.decode(payload);
    if (!isText) assert.deepEqual(notepack.encode(value), payload, "the shortest form of each value");
    if (value.type === 16) return; // official nodes ignore it
    log.push({ channel: anonymous(channel.toString()), form: isText ? "JSON" : "MessagePack", value: readable(value) });
  });
  const [io, other] = servers;
  const run = async (what, count, act) => {
    const before = log.length;
    await act();
    await waitUntil(() => log.length >= before + count, `${what}: ${JSON.stringify(log.slice(before))}`);
    await fence(other, clients);
    return log.splice(before).filter(({ value }) => !JSON.stringify(value).includes("fence"));
  };
  sockets[1].join("r");
  await waitUntil(
    async () => (await admin.sendCommand(["PUBSUB", name === CLASSIC ? "CHANNELS" : "SHARDCHANNELS"])).length > 3,
    "the rooms",
  );
  other.on("ask", (value, answer) => answer([value, new Date(0)]));
  clients[1].on("question", (answer) => answer(1));
  const values = [1, undefined, { left: undefined, out() {} }, new Date(5), [1.5, -1, 2 ** 40, "é".repeat(40)]];
  const recorded = {
    room: await run("a room", 1, () =>
      io
        .to("r")
        .except("z")
        .emit("x", ...values),
    ),
    longRoom: await run("a room like an id", 1, () => io.to("x".repeat(20)).emit("x")),
    bytes: await run("bytes", 1, () => io.to("r").emit("x", Buffer.from([1]), new Uint8Array([2]), new Uint8Array([3]).buffer)),
    rooms: await run("two rooms", 1, () => io.to("r").to("s").volatile.compress(false).emit("x", 1)),
    join: await run("join", 1, () => void io.in("nobody").except("q").socketsJoin(["a", "b"])),
    leave: await run("leave", 1, () => void io.in("nobody").socketsLeave("a")),
    disconnect: await run("disconnect", 1, () => void io.in("nobody").disconnectSockets(true)),
    fetch: await run("fetch", name === CLASSIC ? 2 : 1, () => io.in("nobody").fetchSockets()),
    tell: await run("tell", 1, () => io.serverSideEmit("nothing", 1, Buffer.from("x"))),
    ask: await run("ask", name === CLASSIC ? 2 : 1, () => io.serverSideEmitWithAck("ask", 1)),
    acks: await run("acks", name === CLASSIC ? 3 : 1, () => io.in(sockets[1].id).timeout(5000).emitWithAck("question")),
  };
  await watcher.close();
  return JSON.parse(JSON.stringify(recorded).replaceAll(sockets[1].id, "<id>"));
}

async function recordBoth(t, name) {
  const records = [];
  for (const kind of ["socket.io", "roomcast"])
    await t.test(kind, { timeout: 60_000 }, async (inner) => void records.push(await record(inner, name, [kind, kind])));
  return records;
}

/** The words of a line of MONITOR, as bytes. */
function wordsOf(line) {
  const words = line.slice(line.indexOf("]") + 1).match(/"(?:[^"\\]|\\.)*"/g);
  const named = { n: 10, r: 13, t: 9, a: 7, b: 8 };
  return words.map((word) => {
    const bytes = word
      .slice(1, -1)
      .replace(/\\(?:x(..)|(.))/g, (_, hex, char) => String.fromCharCode(hex ? parseInt(hex, 16) : (named[char] ?? char.charCodeAt(0))));
    return Buffer.from(bytes, "latin1");
  });
}

const ID = /^([0-9a-f]{16}|[\w-]{6})$/;
const anonymous = (channel) => channel.replace(/#([0-9a-f]{16}|[\w-]{6})#$/, "#<uid>#");

/** The value with ids named, and without what official nodes ignore: ids of requests that they don't answer, and of nodes in responses. */
function readable(value) {
  if (Array.isArray(value)) return ["<uid>", ...value.slice(1)];
  const copy = { ...value, data: value.data };
  for (const key of ["uid", "requestId"]) if (ID.test(copy[key])) copy[key] = `<${key}>`;
  const { data } = copy;
  if (typeof data === "object" && data !== null && !Array.isArray(data)) {
    copy.data = { ...data };
    if (ID.test(data.requestId)) copy.data.requestId = "<requestId>";
    if ([4, 5, 6].includes(copy.type)) delete copy.data.requestId;
  } else if ([2, 3, 4].includes(copy.type)) delete copy.requestId;
  if (copy.sockets !== undefined || copy.clientCount !== undefined || "packet" in copy || (copy.type === 6 && !Array.isArray(copy.data)))
    if (copy.type !== 7) delete copy.uid;
  if (copy.type === 6 && copy.requestId !== undefined && Array.isArray(copy.data) && copy.data[0] !== "ask") delete copy.uid;
  return copy;
}

test("publishes the bytes that official nodes publish, classic [RED-3, RED-6, RED-10, RED-11, ENC-1, ENC-2, ENC-5, ENC-7]", async (t) => {
  const [expected, met] = await recordBoth(t, CLASSIC);
  const shared = (messages) => messages.map((message) => ({ ...message, channel: message.channel.replace("#<uid>#", "#") }));
  for (const [what, messages] of Object.entries(expected)) assert.deepEqual(shared(met[what]), messages, what);
  assert.equal(met.room[0].form, "MessagePack");
  const responses = met.acks.filter(({ channel }) => channel.includes("-response"));
  assert.ok(responses.length >= 2 && responses.every(({ channel }) => channel === "socket.io-response#/#<uid>#"));
});

test("publishes the bytes that official nodes publish, sharded [SHR-1, SHR-4, SHR-5, SHR-8, SHR-9, ENC-1]", async (t) => {
  const [expected, met] = await recordBoth(t, SHARDED);
  for (const [what, messages] of Object.entries(expected)) assert.deepEqual(met[what], messages, what);
  assert.equal(met.bytes[0].form, "MessagePack");
  assert.equal(met.room[0].form, "JSON");
  assert.equal(met.room[0].channel, "socket.io#/#r#");
  assert.equal(met.longRoom[0].channel, "socket.io#/#");
});

const channels = async () => (await admin.sendCommand(["PUBSUB", "CHANNELS", "socket.io*"])).sort();
const shardChannels = async () => (await admin.sendCommand(["PUBSUB", "SHARDCHANNELS", "socket.io*"])).sort();

test("subscribes to the rooms of its sockets and to no others, in the end to what is wanted, and to nothing after the close [RED-2, RED-20, ROB-830]", async (t) => {
  const [pub, sub] = [await redisClient(connection, closeLater), await redisClient(connection, closeLater)];
  const listeners = () => [pub, sub].map((client) => client.eventNames().map((name) => [name, client.listenerCount(name)]));
  const before = listeners();
  const node = await startServer(t, { adapter: ours.createAdapter(pub, sub) });
  const admitted = once(node.io, "connection");
  await connect(t, node.url);
  const [socket] = await admitted;
  const rooms = async () => (await channels()).filter((name) => name.startsWith("socket.io#/#") && name !== "socket.io#/#");
  assert.deepEqual(await rooms(), []);
  await socket.join(["a", "b", "x".repeat(20), `${"x".repeat(18)}é`, "é".repeat(20)]);
  assert.deepEqual(await rooms(), ["a", "b", "é".repeat(20)].map((room) => `socket.io#/#${room}#`).sort());
  socket.leave("a");
  void socket.join("a");
  socket.leave("b");
  void socket.join("c");
  socket.leave("c");
  void socket.join("c");
  await socket.join("d");
  await waitUntil(
    async () =>
      (await rooms()).join() ===
      ["a", "c", "d", "é".repeat(20)]
        .map((room) => `socket.io#/#${room}#`)
        .sort()
        .join(),
    "the rooms",
  );
  for (let i = 0; i < 200; i++) {
    if (Math.random() < 0.5) void socket.join(`room ${i % 5}`);
    else socket.leave(`room ${i % 5}`);
    if (Math.random() < 0.3) await new Promise((resolve) => setImmediate(resolve));
  }
  const left = [...socket.rooms].filter((room) => room.startsWith("room ")).map((room) => `socket.io#/#${room}#`);
  await waitUntil(
    async () => (await rooms()).filter((name) => name.includes("room ")).join() === left.sort().join(),
    "the rooms of many changes",
  );
  const uid = (await node.io.nodes())[0].id;
  const all = await channels();
  for (const name of [
    "socket.io-request#/#",
    "socket.io-response#/#",
    `socket.io-response#/#${uid}#`,
    "socket.io-roomcast#",
    "socket.io#/#",
  ])
    assert.ok(all.includes(name), name);
  assert.equal(await admin.sendCommand(["PUBSUB", "NUMPAT"]), 1);
  await node.io.close();
  assert.deepEqual(await channels(), []);
  assert.equal(await admin.sendCommand(["PUBSUB", "NUMPAT"]), 0);
  assert.deepEqual(listeners(), before);
});

test("subscribes as the mode says, sharded, and to nothing after the close [SHR-2, SHR-3, SHR-6, SHR-7, SHR-12, SHR-13]", async (t) => {
  for (const [subscriptionMode, expected] of [
    ["static", () => []],
    ["dynamic", () => ["a"]],
    ["dynamic-private", (id) => ["a", "x".repeat(20), id]],
  ]) {
    const [pub, sub] = [await redisClient(connection, closeLater), await redisClient(connection, closeLater)];
    const node = await startServer(t, { adapter: ours.createShardedAdapter(pub, sub, { subscriptionMode }) });
    const admitted = once(node.io, "connection");
    const client = await connect(t, node.url);
    const [socket] = await admitted;
    await socket.join(["a", "x".repeat(20)]);
    const uid = (await node.io.nodes())[0].id;
    const names = [
      ...expected(socket.id).map((room) => `socket.io#/#${room}#`),
      "socket.io#/#",
      `socket.io#/#${uid}#`,
      "socket.io-roomcast#",
      `socket.io-roomcast#${uid}#`,
    ];
    await waitUntil(async () => (await shardChannels()).join() === names.sort().join(), `${subscriptionMode}: ${await shardChannels()}`);
    client.disconnect();
    await waitUntil(async () => (await shardChannels()).length === 4, "the rooms to be gone");
    await node.io.close();
    assert.deepEqual(await shardChannels(), []);
  }
});

for (const name of [CLASSIC, SHARDED])
  test(`reaches sockets that were made to join right before, and rooms whose names are numbers or look like patterns, over ${name} [ROB-831, RED-4]`, async (t) => {
    const { servers, sockets, clients } = await startNodes(t, backends.get(name), TWO);
    const got = inboxes(clients, "x");
    for (let i = 0; i < 20; i++) {
      void servers[0].in(sockets[1].id).socketsJoin(`r${i}`);
      servers[0].to(`r${i}`).emit("x", i);
    }
    await sockets[1].join([5, "a*[b]?", "#", "é".repeat(10)]);
    for (const room of [5, "a*[b]?", "#", "é".repeat(10), sockets[1].id]) servers[0].to(room).emit("x", room);
    await waitUntil(() => got[1].length >= 25, "all to arrive");
    for (const io of servers) await fence(io, clients);
    assert.deepEqual(got[1].flat(), [...Array(20).keys(), 5, "a*[b]?", "#", "é".repeat(10), sockets[1].id]);
    assert.deepEqual(got[0], []);
    await servers[0].in(sockets[1].id).socketsJoin("awaited");
    servers[0].to("awaited").emit("x", "last");
    await waitUntil(() => got[1].length === 26, "the last to arrive");
  });

test("answers what old and official nodes ask for, and does what emitters order [RED-1, RED-10, RED-12, RED-17, RED-22, RED-23, ENC-6]", async (t) => {
  const { servers, sockets } = await startNodes(t, backends.get(CLASSIC), { kinds: ["roomcast"], bases: ["ours"] });
  const [socket] = sockets;
  await socket.join("r");
  assert.deepEqual(await askClassic({ type: 0, uid: "abcdef", requestId: "a", rooms: ["r"] }), [{ requestId: "a", sockets: [socket.id] }]);
  assert.deepEqual(await askClassic({ type: 0, requestId: "a", rooms: ["other"] }), [{ requestId: "a", sockets: [] }]);
  const [{ requestId, rooms }] = await askClassic({ type: 1, uid: "abcdef", requestId: "b" });
  assert.deepEqual([requestId, rooms.sort()], ["b", [socket.id, "r"].sort()]);
  assert.deepEqual(await askClassic({ type: 2, requestId: "c", sid: socket.id, room: "old" }), [{ requestId: "c" }]);
  assert.ok(socket.rooms.has("old"));
  assert.deepEqual(await askClassic({ type: 3, requestId: "d", sid: socket.id, room: "old" }), [{ requestId: "d" }]);
  assert.ok(!socket.rooms.has("old"));
  await admin.publish("socket.io-request#/#", JSON.stringify({ type: 2, opts: { rooms: ["r"], except: [] }, rooms: ["new"] }));
  await waitUntil(() => socket.rooms.has("new"), "the order of an emitter");
  assert.deepEqual([...(await servers[0].of("/").adapter.allRooms())].sort(), ["new", "r"]);
  servers[0].on("ask", (value, answer) => answer(value));
  assert.deepEqual(await askClassic({ type: 6, uid: "abcdef", requestId: "e", data: ["ask", 7] }), [{ type: 6, requestId: "e", data: 7 }]);
  assert.deepEqual(await askClassic({ type: 4, requestId: "f", sid: socket.id, close: true }), [{ requestId: "f" }]);
  assert.equal(socket.connected, false);
});

test("counts and drops what makes no sense, however large, and goes on [RED-20, ROB-832]", async (t) => {
  for (const name of [CLASSIC, SHARDED]) {
    const { servers, clients } = await startNodes(t, backends.get(name), TWO);
    const { adapter } = servers[0].of("/");
    const pack = (value) => Buffer.from(notepack.encode(value));
    const uid = "abcdef";
    const deep = Buffer.concat([Buffer.alloc(200_000, 0x91), Buffer.from([0xc0])]);
    const bodies = [
      "",
      "{",
      "[]",
      "null",
      "{}",
      "\x93",
      deep,
      Buffer.alloc(3_000_000, 0xff),
      pack([]),
      pack([uid]),
      pack([uid, null, null]),
      pack([uid, {}, {}]),
    ];
    bodies.push(
      pack([uid, { type: 2, data: "x" }, { rooms: 1 }]),
      pack([1, { type: 2, data: ["x"] }, { rooms: [] }]),
      pack({ type: 7, uid }),
      pack({ type: 9 }),
    );
    for (let type = -1; type < 20; type++)
      for (const more of [
        {},
        { requestId: {} },
        { opts: 1 },
        { opts: { rooms: {} } },
        { sid: {} },
        { data: 5 },
        { packet: [] },
        { uid: [] },
      ])
        bodies.push(JSON.stringify({ type, uid, ...more }), JSON.stringify({ type, ...more, nsp: "/" }));
    const lost = adapter.counters.malformed;
    for (const body of bodies) {
      if (name === SHARDED) await admin.sPublish("socket.io#/#", body);
      else
        for (const channel of ["socket.io#/#", `socket.io#/#${"x".repeat(20)}#`, "socket.io-request#/#", "socket.io-response#/#"])
          await admin.publish(channel, body);
    }
    for (const io of servers) await fence(io, clients);
    assert.ok(adapter.counters.malformed - lost >= 5);
    assert.equal((await servers[0].fetchSockets()).length, 2);
    assert.equal(adapter.status, "ok");
  }
});

test("waits for no one who only listens [RED-18]", async (t) => {
  const { servers, clients } = await startNodes(t, backends.get(CLASSIC), TWO);
  const watcher = await redisClient(connection, closeLater);
  await watcher.pSubscribe("*", () => {});
  assert.equal((await servers[0].fetchSockets()).length, 2);
  for (const io of servers) await fence(io, clients);
});

for (const [name, create] of [
  ["createAdapter", ours.createAdapter],
  ["createShardedAdapter", ours.createShardedAdapter],
])
  test(`counts by Redis who has to answer, and gives up after requestsTimeout, with ${name} [RED-13, RED-14, RED-18, SHR-10, SHR-11]`, async (t) => {
    const [pub, sub, silent] = await Promise.all([1, 2, 3].map(() => redisClient(connection, closeLater)));
    t.after(() => silent.isOpen && silent.destroy()); // or the next tests would count it
    const node = await startServer(t, { adapter: create(pub, sub, { requestsTimeout: 1_000 }) });
    const { adapter } = node.io.of("/");
    await waitUntil(async () => (await adapter.serverCount()) === 1, "the server to count itself");
    assert.deepEqual(await node.io.fetchSockets(), []);
    if (name === "createAdapter") await silent.subscribe("socket.io-request#/#", () => {});
    else await silent.sSubscribe("socket.io#/#", () => {});
    assert.equal(await adapter.serverCount(), 2);
    const late = { code: "RC_ERR_TIMEOUT", message: "timeout reached: only 0 responses received out of 1" };
    await assert.rejects(node.io.fetchSockets(), late);
    await assert.rejects(node.io.serverSideEmitWithAck("ask"), late);
    await silent.destroy();
    await waitUntil(async () => (await adapter.serverCount()) === 1, "the connection to be gone");
  });

test("an error of a listener for other servers is uncaught, and messages go on to arrive [ROB-834]", async () => {
  const program = `
    const { Server } = require("./dist/index.js");
    const { createAdapter } = require("./dist/public/redis.js");
    const { createClient } = require("./test/peers/cluster/node_modules/redis");
    process.on("uncaughtException", ({ message }) => console.log("uncaught", message));
    const start = async () => {
      const clients = [createClient({ url: "${connection}" }), createClient({ url: "${connection}" })];
      for (const client of clients) await client.connect();
      const io = new Server({ adapter: createAdapter(...clients, { key: "throws" }) });
      while ((await io.of("/").adapter.serverCount()) === 0) await new Promise(setImmediate);
      return io;
    };
    (async () => {
      const [one, two] = [await start(), await start()];
      while ((await one.of("/").adapter.serverCount()) < 2) await new Promise(setImmediate);
      two.on("fail", () => { throw new Error("of the program"); });
      two.on("end", () => { console.log("heard"); setImmediate(process.exit); });
      one.serverSideEmit("fail");
      one.serverSideEmit("end");
    })();`;
  const { stdout } = await promisify(execFile)(process.execPath, ["-e", program], { cwd: root, timeout: 30_000 });
  assert.deepEqual(stdout.trim().split("\n").sort(), ["heard", "uncaught of the program"]);
});

test("hears again after its connections were cut, and after Redis was away [RED-19, ROB-833]", async (t) => {
  for (const name of [CLASSIC, SHARDED]) {
    const { servers, sockets, clients } = await startNodes(t, backends.get(name), TWO);
    const { adapter } = servers[1].of("/");
    await sockets[1].join("r");
    const reaches = async (room) => {
      const got = inboxes([clients[1]], "x")[0];
      await waitUntil(
        () => {
          servers[0].to(room).emit("x", 1);
          return got.length > 0;
        },
        `a broadcast to ${room} to arrive`,
        15_000,
      );
      clients[1].off("x");
    };
    for (const type of ["pubsub", "normal"]) {
      await admin.sendCommand(["CLIENT", "KILL", "TYPE", type, "SKIPME", "yes"]);
      await reaches("r");
    }
    const own = once(clients[1], "own");
    const degraded = adapter.status === "ok" ? once(adapter, "degraded") : null; // the cuts above may not be over yet
    await service.kill();
    await degraded;
    servers[1].emit("own", 1);
    await own;
    await assert.rejects(servers[1].fetchSockets(), ({ code, responses }) => code === "RC_ERR_CLUSTER_LINK" && responses.length === 1);
    assert.ok(adapter.counters.lost > 0);
    void sockets[1].join("meanwhile");
    sockets[1].leave("r");
    void sockets[1].join("r");
    await service.start();
    await reaches("r");
    await waitUntil(() => adapter.status === "ok", "the link to be whole", 15_000);
    await discovered(adapter, 2);
    const heard = once(clients[1], "m");
    servers[0].to("meanwhile").emit("m"); // what is ok has all its subscriptions
    await heard;
  }
});

test("goes on with clients of its own when the driver does not connect again [ROB-833]", { timeout: 60_000 }, async (t) => {
  const { createClient } = require("redis");
  const clients = [1, 2].map(() => createClient({ url: connection, socket: { reconnectStrategy: () => 15_000 } }));
  for (const client of clients) await client.on("error", () => {}).connect();
  t.after(() => clients.forEach((client) => client.destroy())); // after the servers
  const options = { key: "stuck", heartbeatInterval: 200 };
  const stuck = await startServer(t, { adapter: ours.createAdapter(...clients, options) });
  const closers = [];
  const others = await Promise.all([1, 2].map(() => redisClient(connection, (close) => closers.push(close))));
  t.after(() => Promise.all(closers.map((close) => close())));
  const other = await startServer(t, { adapter: ours.createAdapter(...others, options) });
  const { adapter } = stuck.io.of("/");
  await Promise.all([discovered(adapter, 2), discovered(other.io.of("/").adapter, 2)]);
  const [here, there] = [await connect(t, stuck.url), await connect(t, other.url)];
  const [degraded, restored] = ["degraded", "restored"].map((event) => once(adapter, event, 30_000));
  await service.kill();
  await degraded;
  await service.start();
  await restored;
  const heard = Promise.all([once(here, "from there"), once(there, "from here")]);
  other.io.emit("from there");
  stuck.io.emit("from here");
  await heard;
});

const rooms = {
  classic: { create: ours.createAdapter, names: "CHANNELS" },
  sharded: { create: ours.createShardedAdapter, names: "SHARDCHANNELS" },
};
for (const [kind, { create, names }] of Object.entries(rooms)) {
  test(`a room that Redis refuses degrades the server, and takes no other room with it, ${kind} [ROB-992]`, async (t) => {
    const closers = [];
    t.after(() => Promise.all(closers.map((close) => close())));
    const admin = await redisClient(connection, (close) => closers.push(close));
    const user = `limited-${kind}`;
    await admin.sendCommand(["ACL", "SETUSER", user, "on", ">x", "allkeys", "allchannels", "+@all"]);
    const clientsAs = (url) => Promise.all([1, 2].map(() => redisClient(url, (close) => closers.push(close))));
    const options = { key: user, channelPrefix: user };
    const startAs = async (url) => startServer(t, { adapter: create(...(await clientsAs(url)), options) });
    const limited = await startAs(connection.replace("redis://", `redis://${user}:x@`));
    const free = await startAs(connection);
    const { adapter } = limited.io.of("/");
    await Promise.all([discovered(adapter, 2), discovered(free.io.of("/").adapter, 2)]);
    const got = [];
    const client = await connect(t, limited.url);
    client.onAny((event) => got.push(event));
    const held = await admin.sendCommand(["PUBSUB", names, `${user}*`]);
    const patterns = [...held, `${user}#/#allowed#`].flatMap((name) => `&${name}`);
    await admin.sendCommand(["ACL", "SETUSER", user, "resetchannels", `&${user}#/#????????????????????#`, ...patterns]);

    const degraded = once(adapter, "degraded");
    limited.io.socketsJoin(["allowed", "refused"]);
    assert.match((await degraded)[0].message, /NOPERM/);
    assert.equal(adapter.status, "degraded");
    await waitUntil(() => {
      free.io.to("allowed").emit("to the allowed room");
      return got.length > 0;
    }, "what goes to the room that was joined with it");
    assert.equal(adapter.status, "degraded");

    const restored = once(adapter, "restored");
    await admin.sendCommand(["ACL", "SETUSER", user, "allchannels"]);
    await restored;
    const heard = once(client, "to the refused room");
    free.io.to("refused").emit("to the refused room");
    await heard;
  });
}

const classic = ([pub, sub]) => ours.createAdapter(pub, sub, { key: "twice" });
const overDrivers = [
  ["roomcast/redis with redis", classic, redisClient],
  ["roomcast/redis with redis 4", classic, redis4Client],
  ["roomcast/redis with ioredis", classic, ioredisClient],
  ["roomcast/redis, sharded, with ioredis", ([pub, sub]) => ours.createShardedAdapter(pub, sub, { channelPrefix: "twice" }), ioredisClient],
  [
    "roomcast/redis-streams with ioredis",
    ([pub]) => streams.createAdapter(pub, { streamName: "twice", channelPrefix: "twice" }),
    ioredisClient,
  ],
];
for (const [name, adapterOver, makeClient] of overDrivers) {
  test(`what Redis passed on without an answer doesn't come twice, with ${name} [RED-19, ROB-991]`, async (t) => {
    const relay = await startRelay(connection, closeLater);
    const closers = [];
    const clientsOf = (url) => Promise.all([1, 2].map(() => makeClient(url, (close) => closers.push(close))));
    const attach = { attach: (httpServer, options) => new Server(httpServer, options) };
    const near = await startServer(t, { adapter: adapterOver(await clientsOf(relay.url)) }, attach);
    const far = await startServer(t, { adapter: adapterOver(await clientsOf(connection)) }, attach);
    t.after(() => Promise.all(closers.map((close) => close()))); // after the servers
    const { adapter } = near.io.of("/");
    await Promise.all([discovered(adapter, 2), discovered(far.io.of("/").adapter, 2)]);
    const client = await connect(t, far.url);
    const got = [];
    client.onAny((event) => got.push(event));
    near.io.emit("answered");
    await waitUntil(() => got.includes("answered"), "the first broadcast");
    relay.isMute = true;
    near.io.emit("unanswered");
    await waitUntil(() => got.includes("unanswered"), "the broadcast without an answer");
    const degraded = once(adapter, "degraded");
    const restored = once(adapter, "restored");
    relay.isMute = false;
    relay.cut();
    await degraded;
    await restored;
    near.io.emit("after");
    await waitUntil(() => got.includes("after"), "the broadcast after the cut");
    assert.deepEqual(got, ["answered", "unanswered", "after"]);
  });
}

test("the connection that a server adds with ioredis ends with the server, or with the client of the program [ROB-991]", async () => {
  const program = `
    const { Server } = require("./dist/index.js");
    const { createAdapter } = require("./dist/public/redis.js");
    const { Redis } = require("./test/peers/cluster/node_modules/ioredis");
    const clientName = "roomcast-adds-one";
    const start = async (options) => {
      const pub = new Redis("${connection}", { connectionName: clientName, ...options });
      const sub = pub.duplicate();
      const io = new Server({ adapter: createAdapter(pub, sub, { key: clientName }) });
      while ((await io.of("/").adapter.serverCount()) === 0) await new Promise(setImmediate);
      return { io, clients: [pub, sub] };
    };
    const count = async ({ clients: [pub] }) => (await pub.client("LIST")).split(clientName).length - 1;
    (async () => {
      const one = await start({ maxRetriesPerRequest: 0 });
      console.log(await count(one));
      const two = await start();
      while ((await count(one)) < 5) await new Promise(setImmediate);
      await two.io.close();
      while ((await count(one)) > 4) await new Promise(setImmediate);
      const three = await start();
      for (const { clients } of [one, two, three]) for (const client of clients) await client.quit();
      console.log("the end");
    })();`;
  const { stdout } = await promisify(execFile)(process.execPath, ["-e", program], { cwd: root, timeout: 30_000 });
  assert.deepEqual(stdout.trim().split("\n"), ["2", "the end"]);
});

test("carries the requests of a session to the server that has it [ROB-890]", async (t) => {
  for (const create of [ours.createAdapter, ours.createShardedAdapter]) {
    const ports = [];
    const servers = [];
    for (const _ of TWO.kinds) {
      const [pub, sub] = await Promise.all([1, 2].map(() => redisClient(connection, closeLater)));
      const node = await startServer(t, { adapter: create(pub, sub, { carrySessions: true, heartbeatInterval: 200 }) });
      ports.push(Number(new URL(node.url).port));
      servers.push(node.io);
    }
    for (const io of servers) await waitUntil(async () => (await io.nodes()).length === 2, "the servers to know each other");
    const path = (await PollingSession.open(ports[0], "", { path: "/socket.io/" })).url();
    const { status } = await http(ports[1], { method: "POST", path, body: "40" });
    assert.equal(status, 200);
    assert.match(String((await http(ports[1], { path })).body), /^40\{"sid"/);
    await Promise.all(servers.map((io) => io.close()));
  }
});
