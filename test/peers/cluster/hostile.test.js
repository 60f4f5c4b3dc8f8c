// A stranger who can write to the bus: real adapters, our base class, messages that no node would send.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { startBackends } from "./backends.js";
import { fence, inboxes, startNodes } from "./cluster.js";
import { closeLater } from "./services.js";

const require = createRequire(import.meta.url);
const { postgresPool, redisClient } = require("./adapters.cjs");
const { encode } = require("@msgpack/msgpack");

const SHARDED = "@socket.io/redis-adapter, sharded, with redis";
const STREAMS = "@socket.io/redis-streams-adapter with redis";
const POSTGRES = "@socket.io/postgres-adapter";
const backends = new Map((await startBackends((name) => [SHARDED, STREAMS, POSTGRES].includes(name))).map((one) => [one.name, one]));
const redis = await redisClient(backends.get(SHARDED).connection, closeLater);
const pool = postgresPool(backends.get(POSTGRES).connection, closeLater);

/** Ways onto the bus, by name; each takes the JSON of a message. */
const ways = {
  "the channel of the namespace": { name: SHARDED, send: (json) => redis.sPublish("socket.io#/#", json) },
  "the stream": {
    name: STREAMS,
    send: (json) => {
      const { uid, nsp, type, data } = JSON.parse(json);
      const fields = { type: String(type) };
      for (const [name, value] of Object.entries({ uid, nsp })) if (typeof value === "string") fields[name] = value;
      if (data !== undefined) fields.data = typeof data === "object" ? (/"data":(.*)\}$/s.exec(json)?.[1] ?? "{}") : String(data);
      return redis.xAdd("socket.io", "*", fields);
    },
  },
  "the channel beside the stream": { name: STREAMS, send: (json) => redis.publish("socket.io#/#", Buffer.from(encode(JSON.parse(json)))) },
  "the channel of the database": { name: POSTGRES, send: (json) => pool.query("SELECT pg_notify($1, $2)", ["socket.io#/", json]) },
  "its table": {
    name: POSTGRES,
    send: async (json) => {
      const payload = Buffer.from(encode(JSON.parse(json)));
      const { rows } = await pool.query("INSERT INTO socket_io_attachments (payload) VALUES ($1) RETURNING id", [payload]);
      await pool.query("SELECT pg_notify($1, $2)", ["socket.io#/", JSON.stringify({ uid: "stranger", type: 3, attachmentId: rows[0].id })]);
    },
  },
};

/** JSON of messages that break one rule each. `room` is a room with members. */
function hostileMessages(room) {
  const opts = { rooms: [], except: [], flags: {} };
  const bodies = [];
  for (let type = 0; type <= 14; type++) {
    for (const data of [null, 1, "x", [], {}, { opts: null }, { opts: { rooms: "x" } }, { opts: { rooms: { length: 1e9 } } }])
      bodies.push({ type, data });
  }
  const packets = [
    null,
    "x",
    {},
    { type: 2 },
    { type: 2, data: {} },
    { type: 2, data: [] },
    { type: 2, data: [null] },
    { type: 2, data: [{ toString: "x" }] },
  ];
  for (const type of [0, 1, 3, 4, 5, 6, 99, "2", null]) packets.push({ type, data: ["x"] });
  for (const packet of packets) bodies.push({ type: 3, data: { opts, packet } }, { type: 3, data: { opts, packet, requestId: "r" } });
  const event = { type: 2, data: ["x", "forged"] };
  for (const requestId of [1, {}, [], "", "x".repeat(300)])
    bodies.push({ type: 3, data: { opts, packet: event, requestId } }, { type: 7, data: { opts, requestId } });
  for (const rooms of ["x", null, [null], [{}], { length: 5 }])
    bodies.push({ type: 4, data: { opts, rooms } }, { type: 5, data: { opts, rooms } });
  for (const name of ["connection", "connect", "new_namespace", "newListener", "removeListener", "error"])
    bodies.push({ type: 9, data: { packet: [name, {}] } });
  for (const packet of [{}, "x", [1], [null], [{}]])
    bodies.push({ type: 9, data: { packet } }, { type: 9, data: { packet, requestId: "r" } });
  for (const requestId of ["unknown", "__proto__", "constructor", "toString"]) {
    for (const type of [8, 10, 11, 12]) bodies.push({ type, data: { requestId, sockets: [null, {}], packet: [], clientCount: -1 } });
  }
  const envelopes = [{ uid: "stranger", nsp: "/" }];
  const messages = bodies.map((body) => ({ ...envelopes[0], type: body.type, data: body.data }));
  for (const uid of [null, 1, {}, "", "x".repeat(300)]) messages.push({ uid, nsp: "/", type: 3, data: { opts, packet: event } });
  for (const nsp of [null, {}, "/unknown", "__proto__", "constructor"])
    messages.push({ uid: "stranger", nsp, type: 3, data: { opts, packet: event } });
  return [
    ...messages.map((message) => JSON.stringify(message)),
    '{"uid":"stranger","nsp":"/","type":4,"data":{"__proto__":{"isPolluted":true},"opts":{"rooms":[],"except":[],"__proto__":{"isPolluted":true}},"rooms":null}}',
    `{"uid":"stranger","nsp":"/","type":3,"data":{"opts":{"rooms":["${room}"],"flags":{"__proto__":{"isPolluted":true}}},"packet":{"__proto__":{"type":2,"data":["x"]}}}}`,
    `{"uid":"stranger","nsp":"/","type":5,"data":{"constructor":{"prototype":{"isPolluted":true}},"opts":{"rooms":"${room}"},"rooms":["${room}"]}}`,
  ];
}

for (const [way, { name, send }] of Object.entries(ways)) {
  test(`ignores malformed messages on ${way} of ${name}, and keeps running [CLU-4, MIX-1]`, { timeout: 60_000 }, async (t) => {
    const { servers, sockets, clients } = await startNodes(t, backends.get(name), {
      kinds: ["roomcast", "roomcast"],
      bases: ["ours", "ours"],
      client: { transports: ["websocket"] },
    });
    for (const socket of sockets) socket.join("r");
    const got = inboxes(clients, "x");
    const told = inboxes(servers, "connection");
    for (const io of servers) io.on("new_namespace", () => assert.fail("no peer makes a namespace"));
    for (const client of clients) client.on("disconnect", (reason) => assert.notEqual(reason, "io server disconnect"));
    for (const json of hostileMessages("r")) await send(json);

    // What comes behind it all has arrived, so it was read.
    for (const io of servers) await fence(io, clients);
    for (const socket of sockets) assert.deepEqual([...socket.rooms].sort(), [socket.id, "r"].sort());
    assert.deepEqual([...got, ...told], [[], [], [], []]);
    assert.equal({}.isPolluted, undefined);
    assert.deepEqual((await servers[0].fetchSockets()).map(({ id }) => id).sort(), sockets.map(({ id }) => id).sort());
    const heard = once(servers[1], "hello");
    servers[0].serverSideEmit("hello", 1);
    assert.deepEqual(await heard, [1]);
  });
}
