// Emitters: orders from a process without sockets, from a package or in another language.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once as onceEvent } from "node:events";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { connect } from "../../support/client.js";
import { startBackends } from "./backends.js";
import { waitUntil, fence, inboxes, startNodes } from "./cluster.js";
import { startProcesses } from "./processes.js";
import { closeLater, startRedis } from "./services.js";

const require = createRequire(import.meta.url);
const { adapters, emitters, postgresPool, redisClient } = require("./adapters.cjs");
const { NatsEmitter, PostgresEmitter, RedisEmitter } = require("../../../dist/public/emitter.js");

/** The adapters that speak the same bytes as one of the official ones. */
const alike = (name) => Object.keys(adapters).filter((each) => each === name || adapters[each].official === name);
const speakers = new Set(Object.values(emitters).flatMap(({ speaks }) => alike(speaks)));
const backends = new Map((await startBackends((name) => speakers.has(name))).map((one) => [one.name, one]));
const bytes = Buffer.from([1, 2, 250]);
const timeout = 60_000;

/** Three nodes, and a client of each. `run(index, program, ...args)` runs a program in a node. */
async function startMembers(t, backend, nodes) {
  const processes = await startProcesses(t, backend, nodes);
  for (const node of processes) {
    const isCounted = async () => (await node.run(({ io }) => io.of("/").adapter.serverCount())) === nodes.length;
    await waitUntil(isCounted, "all nodes to know each other");
  }
  const clients = [];
  for (const { url } of processes) clients.push(await connect(t, url, "/", { transports: ["websocket"] }));
  for (const node of processes)
    await node.run(({ io, kept }) => {
      kept.heard = [];
      io.on("hello", (value) => kept.heard.push(value));
    });
  const run = (index, ...args) => processes[index].run(...args);
  const rooms = async () => {
    const each = clients.map(({ id }, index) =>
      run(index, ({ io }, id) => [...(io.sockets.sockets.get(id)?.rooms ?? [])].slice(1).sort(), id),
    );
    return Promise.all(each);
  };
  const heard = async () => Promise.all(processes.map((node) => node.run(({ kept }) => kept.heard)));
  return { processes, clients, run, rooms, heard, got: inboxes(clients, "x") };
}

/** Gives every order by an emitter to members, and sees that they obey. */
async function giveOrders({ clients, rooms, heard, got }, emitter) {
  emitter.join(clients[1].id, ["r", "s"]);
  emitter.join(clients[2].id, ["r"]);
  await waitUntil(async () => (await rooms()).flat().length === 3, "the sockets to be in the rooms", 20_000);
  assert.deepEqual(await rooms(), [[], ["r", "s"], ["r"]]);
  emitter.emit(["r"], "room");
  emitter.emit(["s", "t"], "rooms");
  emitter.emit([], "all", { deep: ["é"] });
  emitter.bytes(["r"]);
  emitter.except(["r"], "others");
  emitter.tell("hello", 1);
  await waitUntil(async () => got.flat().length >= 9 && (await heard()).flat().length >= 3, "the orders to arrive");
  const text = (list) => list.map(([value]) => (Buffer.isBuffer(value) ? value.toString("hex") : value)).sort();
  assert.deepEqual(got.map(text), [
    ["all", "others"],
    ["0102fa", "all", "room", "rooms"],
    ["0102fa", "all", "room"],
  ]);
  assert.deepEqual(await heard(), [[1], [1], [1]]);
  emitter.leave(["r"]);
  await waitUntil(async () => (await rooms()).flat().length === 1, "the sockets to be out of the room");
  const gone = new Promise((resolve) => clients[2].once("disconnect", resolve));
  emitter.disconnect(clients[2].id);
  assert.equal(await gone, "io server disconnect");
  assert.deepEqual([clients[0].connected, clients[1].connected], [true, true]);
}

/** The orders as methods of the official emitters. */
const byPackage = (emitter) => ({
  emit: (rooms, ...args) => emitter.to(rooms).emit("x", ...args),
  bytes: (rooms) => emitter.to(rooms).emit("x", bytes),
  except: (rooms, ...args) => emitter.except(rooms).emit("x", ...args),
  join: (room, rooms) => emitter.in(room).socketsJoin(rooms),
  leave: (rooms) => emitter.socketsLeave(rooms),
  disconnect: (room) => emitter.in(room).disconnectSockets(true),
  tell: (...args) => emitter.serverSideEmit(...args),
});

/** The orders as lines for a program in Python. */
function byPython(t, ...args) {
  const program = spawn("/usr/bin/python3", [fileURLToPath(new URL("python/emitter.py", import.meta.url)), ...args], {
    stdio: ["pipe", "inherit", "inherit"],
  });
  t.after(() => program.kill());
  const order =
    (act) =>
    (...args) =>
      program.stdin.write(`${JSON.stringify([act, ...args])}\n`);
  const acts = ["emit", "bytes", "except", "join", "leave", "disconnect", "tell"];
  return Object.fromEntries(acts.map((act) => [act, order(act)]));
}

/** The clusters that hear an emitter: of one kind, and mixed with the original. */
function* clustersOf(speaks, isHeardByOfficial = true) {
  for (const name of alike(speaks)) {
    const isOurs = name.startsWith("roomcast/");
    if (!isOurs && !isHeardByOfficial) continue;
    const own = { server: "roomcast", base: isOurs ? "ours" : "own", adapter: name };
    yield [name, "on nodes of roomcast", [own, own, own]];
    if (isHeardByOfficial) yield [name, "in a mixed cluster", [own, { server: "socket.io", base: "own", adapter: speaks }, own]];
  }
}

for (const [package_, { speaks, make, isHeardByOfficial }] of Object.entries(emitters)) {
  for (const [name, where, nodes] of clustersOf(speaks, isHeardByOfficial)) {
    const backend = backends.get(name);
    test(`${package_} reaches and commands the sockets of all nodes with ${name}, ${where} [EX-178, MIX-8]`, { timeout }, async (t) => {
      const members = await startMembers(t, backend, nodes);
      const emitter = await make(backend.connection, closeLater);
      await giveOrders(members, byPackage(emitter));

      const { processes, run } = members;
      for (const index of [0, 1]) await run(index, ({ io }) => void io.of("/chat"));
      await waitUntil(() => run(0, async ({ io }) => (await io.of("/chat").adapter.serverCount()) === 2), "the namespace to be known");
      const member = await connect(t, processes[1].url, "/chat");
      const told = new Promise((resolve) => member.once("m", resolve));
      emitter.of("/chat").emit("m", 1);
      assert.equal(await told, 1);
    });
  }
}

const lastWords = {
  "roomcast/redis with redis": async (url) => {
    const client = await redisClient(url, closeLater);
    return { emitter: new RedisEmitter(client), end: () => client.close() };
  },
  "roomcast/postgres": async (connection) => {
    const pool = postgresPool(connection, () => {});
    return { emitter: new PostgresEmitter(pool), end: () => pool.end() };
  },
  "roomcast/nats": async (servers) => {
    const connection = await require("@nats-io/transport-node").connect({ servers });
    return { emitter: new NatsEmitter(connection), end: () => connection.drain() };
  },
};

for (const [name, make] of Object.entries(lastWords)) {
  test(
    `what an emitter is given right before its connection is ended arrives, in order, with ${name} [ROB-918]`,
    { timeout },
    async (t) => {
      const backend = backends.get(name);
      const { clients } = await startNodes(t, backend, { kinds: ["roomcast"], bases: ["ours"] });
      const [got] = inboxes(clients, "x");
      const { emitter, end } = await make(backend.connection);
      const values = Array.from({ length: 20 }, (_, index) => (index % 5 === 0 ? [index, bytes, "x".repeat(8000)] : [index]));
      for (const value of values) emitter.emit("x", ...value);
      await end();
      await waitUntil(() => got.length >= values.length, "the last words to arrive");
      assert.deepEqual(
        got.map(([index]) => index),
        values.map(([index]) => index),
      );
    },
  );
}

test("orders that are given while Redis is away arrive later, and the process goes on [ROB-917]", { timeout }, async (t) => {
  const service = await startRedis();
  const told = new Set();
  const client = new (require("ioredis").Redis)(service.connection, { lazyConnect: true, maxRetriesPerRequest: null });
  t.after(() => client.disconnect());
  const emitter = new RedisEmitter(client, { onError: ({ message }) => told.add(message) });
  emitter.emit("x", 0); // connects
  await service.kill();
  emitter.emit("x", 1);
  await waitUntil(() => told.size > 0, "the interruption to be told");
  assert.match([...told].join(), /ECONNREFUSED|ECONNRESET|Connection is closed|EPIPE/);
  const listener = new (require("ioredis").Redis)(service.connection, { lazyConnect: true, maxRetriesPerRequest: null });
  listener.on("error", () => {});
  t.after(() => listener.disconnect());
  const heard = new Promise((resolve) => listener.once("messageBuffer", resolve));
  await service.start();
  await listener.subscribe("socket.io#/#");
  emitter.emit("x", 2);
  assert.equal(String(await heard), "socket.io#/#");
});

const { speaks } = emitters["@socket.io/redis-emitter"];
for (const [name, where, nodes] of clustersOf(speaks)) {
  const backend = backends.get(name);
  test(
    `a program in Python reaches and commands the sockets of all nodes with ${name}, ${where} [RED-3, RED-6, RED-22]`,
    { timeout },
    async (t) => {
      const members = await startMembers(t, backend, nodes);
      await giveOrders(members, byPython(t, backend.connection, "socket.io"));
    },
  );

  test(
    `the Redis manager of python-socketio, which speaks to servers in Python alone, does no harm to nodes with ${name}, ${where} [RED-20]`,
    { timeout },
    async (t) => {
      const { processes, clients, run, got } = await startMembers(t, backend, nodes);
      const channels = [
        "socketio",
        ...(adapters[name].official === undefined || where.includes("mixed") ? [] : ["socket.io#/#", "socket.io-request#/#"]),
      ];
      for (const channel of channels) {
        const args = [fileURLToPath(new URL("python/stranger.py", import.meta.url)), backend.connection, channel];
        const [code] = await onceEvent(spawn("/usr/bin/python3", args, { stdio: ["ignore", "ignore", "inherit"] }), "exit");
        assert.equal(code, 0);
      }
      for (const client of clients) client.on("behind", (answer) => answer());
      for (const index of processes.keys()) assert.equal((await run(index, ({ io }) => io.timeout(5000).emitWithAck("behind"))).length, 3);
      assert.deepEqual(got, [[], [], []]);
    },
  );
}

test(
  "no node with @socket.io/postgres-adapter 0.5.0, whose messages name the namespace, receives messages of @socket.io/postgres-emitter 0.1.1 [MIX-8]",
  { timeout },
  async (t) => {
    const { speaks, make } = emitters["@socket.io/postgres-emitter"];
    const postgres = backends.get(speaks);
    const { servers, clients } = await startNodes(t, postgres, { kinds: ["roomcast", "socket.io", "roomcast"] });
    const emitter = await make(postgres.connection, closeLater);
    const notified = [];
    const listener = await postgresPool(postgres.connection, closeLater).connect();
    listener.on("notification", ({ payload }) => notified.push(JSON.parse(payload)));
    await listener.query('LISTEN "socket.io#/"');
    const got = inboxes(clients, "x");
    emitter.emit("x", 1);
    await waitUntil(() => notified.some(({ uid }) => uid === "emitter"), "the emitter's message to be on the wire");
    for (const io of servers) await fence(io, clients); // behind it on the same channel
    listener.release(true);
    assert.deepEqual(got, [[], [], []]);
    assert.equal("nsp" in notified.find(({ uid }) => uid === "emitter"), false);
  },
);
