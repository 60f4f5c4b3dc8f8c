// The adapter over NATS: its subjects and bytes, what it does while NATS is away, and what it leaves behind.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { connect, once } from "../../support/client.js";
import { catchProcess, joinServer } from "../../support/pairs.js";
import { requireFromTarget } from "../../support/packages.js";
import { startServer } from "../../support/server.js";
import { http, PollingSession, WireSocket } from "../../support/wire-client.js";
import { waitUntil, inboxes } from "./cluster.js";
import { startNats } from "./services.js";

const require = createRequire(import.meta.url);
const { connect: dial } = require("@nats-io/transport-node");
const { createAdapter } = requireFromTarget("roomcast/nats");

const PATH = "/socket.io/";
const service = await startNats();

/** A connection that ends with the test. */
async function dialed(t) {
  const connection = await dial({ servers: service.connection, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  t.after(() => connection.close());
  return connection;
}

/** Servers that know each other, each with a client: `{ servers, sockets, clients, connections, ports, key }`. */
async function start(t, count, { options = {}, server = {} } = {}) {
  const key = `test.${Math.random().toString(36).slice(2)}`;
  const connections = [];
  const nodes = [];
  for (let i = 0; i < count; i++) {
    connections.push(await dialed(t));
    const adapter = createAdapter(connections[i], { key, heartbeatInterval: 100, heartbeatTimeout: 1000, ...options });
    nodes.push(await startServer(t, { adapter, ...server }));
  }
  const servers = nodes.map(({ io }) => io);
  for (const io of servers) await waitUntil(async () => (await io.nodes()).length === count, "the servers to find each other", 20_000);
  const peers = [];
  for (const node of nodes) peers.push(await joinServer(t, node));
  return {
    key,
    connections,
    servers,
    sockets: peers.map(({ socket }) => socket),
    clients: peers.map(({ client }) => client),
    ports: nodes.map(({ url }) => Number(new URL(url).port)),
  };
}

/** Everything that is published under a key but pulses, as `[subject, bytes]`. */
async function wiretap(t, key) {
  const connection = await dialed(t);
  const seen = [];
  connection.subscribe(`${key}.>`, {
    callback: (_, { subject, data }) => subject !== `${key}.pulse` && seen.push([subject, Buffer.from(data)]),
  });
  await connection.flush();
  return { connection, seen, subjects: () => seen.map(([subject]) => subject.slice(key.length + 1)) };
}

/** A broadcast to everyone behind others: what has not arrived by then was not sent. */
async function fence(io, clients) {
  const name = `fence ${Math.random()}`;
  const all = Promise.all(clients.map((client) => once(client, name)));
  io.emit(name);
  await all;
}

test("sends a broadcast to one room to the servers that have it, and all else to all servers of the namespace [ROB-850]", async (t) => {
  const { key, servers, sockets, clients } = await start(t, 3);
  const { subjects } = await wiretap(t, key);
  await sockets[1].join("lobby");
  const [, got] = inboxes(clients, "news");
  const before = servers.map((io) => io.of("/").adapter.counters.received);
  for (let i = 0; i < 10; i++) servers[0].to("lobby").emit("news", i);
  await fence(servers[0], clients);
  assert.deepEqual(
    got,
    Array.from({ length: 10 }, (_, i) => [i]),
  );
  assert.deepEqual(subjects(), [...Array(10).fill("room.=.lobby"), "all.="]);
  assert.equal(servers[2].of("/").adapter.counters.received - before[2], 1); // the fence alone
  servers[0].to(["lobby", "else"]).emit("news", 10);
  servers[0].to(sockets[1].id).emit("news", 11);
  servers[0].except("else").emit("news", 12);
  await fence(servers[0], clients);
  assert.deepEqual(got.slice(10), [[10], [11], [12]]);
  assert.deepEqual(subjects().slice(11), Array(4).fill("all.="));
});

test("reaches rooms and namespaces of every name, and rooms that sockets were just made to join [ROB-850, ROB-851]", async (t) => {
  const names = [
    "",
    " ",
    "a b",
    "a.b",
    "*",
    ">",
    "$SYS",
    "=",
    "#",
    "é",
    "\r\nPUB x 0\r\n",
    "x".repeat(81),
    "é".repeat(5000),
    "x".repeat(20),
    7,
  ];
  const { key, servers, sockets, clients } = await start(t, 2);
  const { subjects } = await wiretap(t, key);
  const [, got] = inboxes(clients, "x");
  await Promise.all(names.map((name) => sockets[1].join(name)));
  for (const name of names) servers[0].to(name).emit("x", name);
  await fence(servers[0], clients);
  assert.deepEqual(
    got.map(([name]) => name),
    names,
  );
  for (const subject of subjects()) assert.match(subject, /^[a-z]+(\.[=#]?[\w-]*)+$/);
  for (let i = 0; i < 20; i++) {
    servers[0].in(sockets[1].id).socketsJoin(`new ${i}`);
    servers[0].to(`new ${i}`).emit("x", i);
  }
  await fence(servers[0], clients);
  assert.deepEqual(
    got.slice(names.length).map(([i]) => i),
    Array.from({ length: 20 }, (_, i) => i),
  );
  for (const io of servers) io.of("/Ünï code.*>");
  const child = await connect(t, `http://127.0.0.1:${servers[1].httpServer.address().port}`, "/Ünï code.*>");
  const heard = once(child, "y");
  await waitUntil(async () => (await servers[0].of("/Ünï code.*>").adapter.serverCount()) === 2, "both servers to have the namespace");
  servers[0].of("/Ünï code.*>").emit("y");
  await heard;
});

test("reaches a socket by an id of another form, as clients of version 2 have it [ROB-850]", async (t) => {
  const { servers, ports, clients } = await start(t, 2, { server: { allowEIO3: true } });
  for (const io of servers) io.of("/chat");
  const admitted = once(servers[1].of("/chat"), "connection");
  const ws = await WireSocket.open(ports[1], `${PATH}?EIO=3&transport=websocket`);
  t.after(() => ws.abort());
  ws.send("40/chat");
  const [socket] = await admitted;
  assert.match(socket.id, /^\/chat#/);
  await fence(servers[1], clients);
  servers[0].of("/chat").to(socket.id).emit("x", 1);
  await ws.until((message) => message === '42/chat,["x",1]');
});

test("forgets a room that is known by a number and by its digits when both are left [ROB-850]", async (t) => {
  const { servers, sockets, clients } = await start(t, 2);
  const [, got] = inboxes(clients, "x");
  await sockets[1].join([7, "7"]);
  sockets[1].leave(7);
  servers[0].to("7").emit("x", "digits");
  servers[0].to(7).emit("x", "number");
  await fence(servers[0], clients);
  assert.deepEqual(got, [["digits"]]);
});

test("cuts what is above max_payload into parts, and drops parts that don't fit together [ROB-852]", async (t) => {
  const { key, servers, sockets, clients, connections } = await start(t, 2);
  const { connection, seen } = await wiretap(t, key);
  const bytes = Buffer.alloc(3_000_000, "x");
  sockets[1].data = { bytes };
  const heard = once(clients[1], "large");
  servers[0].emit("large", bytes);
  servers[0].emit("small");
  assert.ok((await heard)[0].equals(bytes));
  const [other] = (await servers[0].fetchSockets()).filter(({ id }) => id === sockets[1].id);
  assert.ok(other.data.bytes.equals(bytes));
  assert.ok(seen.every(([, { length }]) => length <= connections[0].info.max_payload));
  const parts = seen.filter(([subject, data]) => subject.endsWith(".all.=") && data[1] === 1).map(([, data]) => data);
  assert.equal(parts.length, 3);
  const { counters } = servers[1].of("/").adapter;
  const [, late] = inboxes(clients, "large");
  for (const order of [[1], [0, 2], [0, 0], [2, 1, 0]]) {
    const before = counters.malformed;
    const id = Buffer.from(String(Math.random()).slice(2, 10).padEnd(8));
    for (const index of order) {
      const part = Buffer.from(parts[index]);
      id.copy(part, 2);
      connection.publish(`${key}.all.=`, part);
    }
    await waitUntil(() => counters.malformed > before, "the parts to be dropped");
  }
  await connection.flush();
  await fence(servers[0], clients);
  assert.deepEqual(late, []);
});

test("drops and counts what makes no sense on any subject, and goes on [ROB-853]", async (t) => {
  const { key, servers, sockets, clients } = await start(t, 2);
  const { connection } = await wiretap(t, key);
  await sockets[1].join("room");
  const { id } = (await servers[1].nodes())[0];
  const { counters } = servers[1].of("/").adapter;
  const uid = Buffer.from("\x10ffffffffffffffff", "latin1");
  const bodies = ["", "\0", "\x01", "\x02\0\0", "\x01\0\0", "\x01\0\xff", "\x01\x05\0", "\x01\x01xxxxxxxxxxxxxxxxxxxxxx", "{}", "\x01\0"];
  const frames = bodies.map((body) => Buffer.from(body, "latin1"));
  for (const tail of [[], [0, 0, 0, 0], [0, 0, 0, 0, 0xc1], [0xff, 0xff, 0xff, 0xff, 0], [0, 0, 0, 1, 0xc0, 0xc0], [0, 0, 0, 0, 0x80]])
    frames.push(Buffer.concat([Buffer.from([1, 0]), uid, Buffer.from(tail)]));
  const before = counters.malformed;
  for (const subject of ["pulse", `node.${id}`, "all.=", "room.=.room"])
    for (const frame of frames) connection.publish(`${key}.${subject}`, frame);
  for (const end of ["x", "-1", "0"]) connection.publish(`${key}.nobody.${id}.${end}`, "x");
  await connection.flush();
  await waitUntil(() => counters.malformed - before >= 4 * (frames.length - 1), "all to be dropped");
  await fence(servers[0], clients);
  assert.equal((await servers[0].fetchSockets()).length, 2);
});

test("an error of a listener for other servers is uncaught, is not counted as malformed, and messages go on to arrive [ROB-834]", async (t) => {
  const errors = catchProcess(t, "uncaughtException");
  for (const more of [{}, { options: { jetstream: true }, server: { connectionStateRecovery: {} } }]) {
    const { servers } = await start(t, 2, more);
    servers[1].on("fail", () => {
      throw new Error("of the program");
    });
    servers[0].serverSideEmit("fail");
    assert.equal((await errors.next()).message, "of the program");
    const heard = once(servers[1], "end");
    servers[0].serverSideEmit("end");
    await heard;
    assert.equal(servers[1].of("/").adapter.counters.malformed, 0);
  }
});

test("serves its own clients while NATS is away, and the others again when it is back [ROB-854]", async (t) => {
  const { servers, sockets, clients } = await start(t, 2);
  await sockets[1].join("room");
  const { adapter } = servers[0].of("/");
  const degraded = Promise.all(servers.map((io) => once(io.of("/").adapter, "degraded")));
  await service.kill();
  t.after(() => service.isRunning || service.start());
  await degraded;
  const heard = once(clients[0], "news");
  const [, others] = inboxes(clients, "news");
  servers[0].emit("news", 1);
  assert.deepEqual(await heard, [1]);
  assert.equal(adapter.status, "degraded");
  assert.ok(adapter.counters.lost > 0);
  await assert.rejects(servers[0].fetchSockets(), { code: "RC_ERR_CLUSTER_LINK" });
  const restored = Promise.all(servers.map((io) => once(io.of("/").adapter, "restored", 20_000)));
  await service.start();
  await restored;
  await waitUntil(async () => (await servers[0].nodes()).length === 2, "the servers to find each other again", 20_000);
  const news = once(clients[1], "news");
  servers[0].to("room").emit("news", 2);
  assert.deepEqual(await news, [2]);
  assert.deepEqual(others, [[2]]); // the driver has queued nothing
});

test("notices that a stopped NATS brings nothing, and works again when it goes on [ROB-854]", async (t) => {
  const { servers, clients } = await start(t, 2);
  const degraded = once(servers[0].of("/").adapter, "degraded", 20_000);
  service.stop();
  t.after(() => service.cont());
  await degraded;
  const restored = once(servers[0].of("/").adapter, "restored", 20_000);
  service.cont();
  await restored;
  await waitUntil(async () => (await servers[0].nodes()).length === 2, "the servers to find each other again", 20_000);
  await fence(servers[0], clients);
});

test("carries sessions, and refuses those of a server that is gone at once [ROB-855, ROB-890]", async (t) => {
  const { key, servers, ports, connections } = await start(t, 2, { options: { carrySessions: true, heartbeatTimeout: 60_000 } });
  const [owner, carrier] = ports;
  const { id } = (await servers[0].nodes())[0];
  servers[0].on("connection", (socket) => socket.on("echo", (value, answer) => answer(value)));
  const session = await PollingSession.open(owner, "", { path: PATH });
  const path = session.url();
  const post = async (body) => (await http(carrier, { method: "POST", path, body, headers: { "Content-Type": "text/plain" } })).status;
  assert.equal(await post("40"), 200);
  assert.match(String((await http(carrier, { path })).body), /^40\{"sid"/);
  assert.equal(await post('421["echo","hi"]'), 200);
  assert.equal(String((await http(carrier, { path })).body), '431["hi"]');
  await connections[0].close(); // it is gone without a word: only NATS knows
  const isUnknown = (error) => /no responders/i.test(error.message);
  await waitUntil(() => connections[1].request(`${key}.node.${id}`, "", { timeout: 1000 }).then(() => false, isUnknown), "NATS to know");
  assert.equal((await http(carrier, { path })).status, 400);
});

test("leaves no subscription behind when the server is closed, and leaves the connection open [ROB-856]", async (t) => {
  const { key, servers, sockets, connections } = await start(t, 1);
  await sockets[0].join("room");
  const { id } = (await servers[0].nodes())[0];
  const other = await dialed(t);
  await servers[0].close();
  assert.equal(connections[0].isClosed(), false);
  for (const subject of ["pulse", `node.${id}`, "all.=", "room.=.room"])
    await assert.rejects(other.request(`${key}.${subject}`, "", { timeout: 5000 }), /no responders/i);
});

test("tells what is wrong with a connection or an option when the adapter is made [ROB-857]", async (t) => {
  const connection = await dialed(t);
  for (const [args, code, text] of [
    [[], "RC_ERR_ARGUMENT", /^connection: expected a connection of @nats-io\/transport-node 3 or nats 2, met undefined$/],
    [[Promise.resolve(connection)], "RC_ERR_ARGUMENT", /met a promise \(await it\)$/],
    [["nats://x"], "RC_ERR_ARGUMENT", /met a text \(pass a connection, not its address\)$/],
    [[new Map()], "RC_ERR_ARGUMENT", /met an object of Map$/],
    [[connection, { key: "a b" }], "RC_ERR_OPTION", /^option key: expected letters, .*, met a b$/],
    [[connection, { key: "a..b" }], "RC_ERR_OPTION", /^option key/],
    [[connection, { key: 1 }], "RC_ERR_OPTION", /^option key/],
    [
      [connection, { heartbeatInterval: 0 }],
      "RC_ERR_OPTION",
      /^option heartbeatInterval: expected a positive number of milliseconds, met 0$/,
    ],
    [
      [connection, { requestsTimeout: "5" }],
      "RC_ERR_OPTION",
      /^option requestsTimeout: expected a positive number of milliseconds, met 5$/,
    ],
    [[connection, null], "RC_ERR_ARGUMENT", /^options: expected an object, met null$/],
    [[connection, { carrySessions: "yes" }], "RC_ERR_OPTION", /^option carrySessions: expected a boolean, met yes$/],
  ])
    assert.throws(() => createAdapter(...args), { code, message: text });
});

test("serves its own clients with a connection that is closed already [ROB-854, ROB-857]", async (t) => {
  const connection = await dialed(t);
  await connection.close();
  const { io, url } = await startServer(t, { adapter: createAdapter(connection) });
  const client = await connect(t, url);
  const { adapter } = io.of("/");
  await waitUntil(() => adapter.status === "degraded", "the adapter to tell");
  const heard = once(client, "x");
  io.emit("x");
  await heard;
});
