// roomcast/postgres: its bytes beside those of the official adapter, names, limits, faults, and what it leaves behind.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { catchProcess, catchWarnings, eventually, joinServer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { sorted } from "./cluster.js";
import { startPostgres } from "./services.js";

const require = createRequire(import.meta.url);
const pg = require("pg");
const { decode } = require("@msgpack/msgpack");
const { createAdapter } = require("../../../dist/public/postgres.js");
const official = require("@socket.io/postgres-adapter");
const { Server: OriginalServer } = require("socket.io");

const service = await startPostgres();
const bytes = Buffer.from([1, 2, 250]);
const FAST = { heartbeatInterval: 100, heartbeatTimeout: 1000 };
let prefixes = 0;

/** Options that nothing else uses: each test has its own channels, on one table. */
const own = (more) => ({ ...FAST, channelPrefix: `t${++prefixes}`, ...more });

function makePool(t, more) {
  const pool = new pg.Pool({ ...service.connection, ...more });
  pool.on("error", () => {});
  t.after(() => void pool.end()); // it ends when the servers have given back their connections
  return pool;
}

async function startNode(t, options, { pool = makePool(t), server } = {}) {
  const node = await startServer(t, { adapter: createAdapter(pool, options), ...server });
  return { ...node, pool, adapter: node.io.of("/").adapter };
}

async function startOfficial(t, options) {
  const adapter = official.createAdapter(makePool(t), { errorHandler: () => {}, ...options });
  const node = await startServer(t, { adapter }, { attach: (httpServer, given) => new OriginalServer(httpServer, given) });
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

/** All that is notified on a channel, decoded, with attachments in their places. */
async function listen(t, channel) {
  const pool = makePool(t);
  const client = await pool.connect();
  t.after(() => client.release(true));
  await client.query(`LISTEN "${channel.replaceAll('"', '""')}"`);
  const heard = [];
  client.on("notification", (notification) => heard.push(JSON.parse(notification.payload)));
  const read = async (id) => {
    const { rows } = await pool.query("SELECT payload FROM socket_io_attachments WHERE id = $1", [id]);
    return decode(rows[0].payload);
  };
  return { heard, read, pool };
}

test("makes the table of attachments unless it is there [PG-1]", async (t) => {
  const [{ pool, adapter }] = await startNodes(t, 1, own({ tableName: "app_attachments" }));
  const columns = async () =>
    (
      await pool.query(
        "SELECT column_name, data_type, column_default FROM information_schema.columns WHERE table_name = 'app_attachments' ORDER BY 1",
      )
    ).rows;
  await eventually(async () => (await columns()).length === 3, "the table");
  assert.deepEqual(
    (await columns()).map(({ column_name, data_type }) => [column_name, data_type]),
    [
      ["created_at", "timestamp with time zone"],
      ["id", "bigint"],
      ["payload", "bytea"],
    ],
  );
  assert.equal(adapter.status, "ok");
  await startNodes(t, 1, own({ tableName: "app_attachments" }));
});

test("says what to run if it may not make the table, and goes on with small messages [PG-1, ROB-843]", async (t) => {
  const admin = makePool(t);
  await admin.query("CREATE ROLE guest LOGIN");
  const options = own({ tableName: "not_there" });
  const pool = makePool(t, { user: "guest" });
  const warned = catchWarnings(t).next(({ code, message }) => code === "ROOMCAST_CLUSTER_LINK" && message.includes("not_there"));
  const nodes = await startNodes(t, 2, options, { pool });
  assert.match((await warned).message, /CREATE TABLE IF NOT EXISTS not_there \(id bigserial UNIQUE, .*permission denied/);
  const { client } = await joinServer(t, nodes[1]);
  const heard = once(client, "x");
  nodes[0].io.emit("x", 1);
  assert.deepEqual(await heard, [1]);
});

test("writes the bytes of the official adapter, and reads them [PG-2, PG-3, PG-4, PG-11, ENC-5]", async (t) => {
  const options = own();
  const seen = {};
  for (const [kind, start] of [
    ["ours", startNode],
    ["official", startOfficial],
  ]) {
    const { heard, read } = await listen(t, `${options.channelPrefix}#/`);
    const node = await start(t, options);
    const partner = await startOfficial(t, options);
    await know([node, partner]);
    const { io } = node;
    heard.length = 0;
    io.to(["a", "b"])
      .except("c")
      .volatile.compress(false)
      .emit("x", 1, { at: new Date(0), nothing: undefined });
    io.emit("x", bytes);
    io.emit("x", "y".repeat(9000));
    io.in("r").socketsJoin(["s"]);
    io.in("r").socketsLeave(["s"]);
    io.in("r").disconnectSockets(true);
    io.serverSideEmit("hello", 1);
    io.serverSideEmit("hello", bytes);
    await io.fetchSockets();
    await eventually(() => heard.filter(({ type }) => type > 2).length >= 10, "all messages");
    const messages = [];
    for (const message of heard.filter(({ type, uid }) => type > 2 && (uid === heard.find((each) => each.type === 3).uid || type === 8))) {
      const { uid, attachmentId, ...rest } = message;
      assert.match(uid, /^[0-9a-f]{16}$/);
      if (attachmentId === undefined) messages.push(rest);
      else {
        assert.equal(typeof attachmentId, "string");
        messages.push({ attached: { ...(await read(attachmentId)), uid: undefined } });
      }
    }
    for (const { data } of messages) {
      if (data?.requestId === undefined) continue;
      assert.match(data.requestId, /^[0-9a-f]{16}$/);
      delete data.requestId; // ours asks to be told when it is done, too
    }
    seen[kind] = messages.map((message) => JSON.stringify(sorted(message))).sort();
    await Promise.all([node.io.close(), partner.io.close()]);
  }
  assert.equal(seen.ours.length, 10);
  assert.deepEqual(seen.ours, seen.official);
});

test("carries namespaces with quotes, and with names that LISTEN would cut [PG-2, ROB-840]", async (t) => {
  const [first, second] = await startNodes(t, 2);
  for (const name of ['/a"b', "/x'; --", `/${"n".repeat(100)}`, `/${"n".repeat(101)}`, `/${"é".repeat(31)}`]) {
    const namespaces = [first, second].map(({ io }) => io.of(name));
    await eventually(async () => (await namespaces[0].adapter.serverCount()) === 2, `both to have ${name}`);
    const { client } = await joinServer(t, second, name);
    const heard = once(client, "x");
    namespaces[0].emit("x", name);
    assert.deepEqual(await heard, [name]);
  }
});

test("names the namespace in the header of an attachment, and does not read its own [PG-5]", async (t) => {
  const options = own();
  const { heard } = await listen(t, `${options.channelPrefix}#/`);
  const statements = [];
  const pool = makePool(t);
  pool.on("connect", (client) => {
    const { query } = client;
    client.query = function (statement, ...more) {
      statements.push(statement.text ?? statement);
      return query.call(this, statement, ...more);
    };
  });
  const sender = await startNode(t, options, { pool });
  const receiver = await startNode(t, options);
  await know([sender, receiver]);
  const { client } = await joinServer(t, receiver);
  const got = once(client, "x");
  sender.io.emit("x", bytes);
  assert.deepEqual(Buffer.from((await got)[0]), bytes);
  const header = heard.find(({ attachmentId }) => attachmentId !== undefined);
  assert.deepEqual([header.nsp, header.type], ["/", 3]);
  await sender.io.fetchSockets(); // behind it
  assert.deepEqual(
    statements.filter((text) => /SELECT .* payload FROM/.test(text)),
    [],
  );
});

test("brings bytes in the data of remote sockets whole, and takes what the official adapter makes of them [PG-7]", async (t) => {
  const options = own();
  const nodes = [await startNode(t, options), await startNode(t, options), await startOfficial(t, options)];
  await know(nodes);
  const found = [];
  for (const node of nodes.slice(1)) {
    const { socket, client } = await joinServer(t, node);
    socket.data.raw = bytes;
    const [remote] = await nodes[0].io.in(socket.id).fetchSockets();
    found.push(remote.data.raw);
    client.disconnect();
  }
  assert.deepEqual(found, [bytes, { type: "Buffer", data: [...bytes] }]);
});

test("keeps the order of small messages, large ones and bytes of a node [PG-8]", async (t) => {
  const [first, second] = await startNodes(t, 2);
  const { client } = await joinServer(t, second);
  const got = [];
  client.on("x", (index) => got.push(index));
  for (let index = 0; index < 100; index++) first.io.emit("x", index, index % 7 === 0 ? bytes : index % 11 === 0 ? "y".repeat(9000) : "");
  await eventually(
    () => got.length === 100,
    "all events",
    () => got.length,
  );
  assert.deepEqual(
    got,
    Array.from({ length: 100 }, (_, index) => index),
  );
});

test("brings each of many equal events of a tick [ROB-842]", async (t) => {
  const [first, second] = await startNodes(t, 2);
  const { client } = await joinServer(t, second);
  let count = 0;
  client.on("refresh", () => count++);
  for (let index = 0; index < 300; index++) first.io.emit("refresh");
  const big = "y".repeat(7850);
  client.on("big", () => count++);
  for (let index = 0; index < 60; index++) first.io.emit("big", big);
  const end = once(client, "end");
  first.io.emit("end");
  await end;
  assert.equal(count, 360);
});

test("deletes attachments that are older than cleanupInterval [PG-9]", async (t) => {
  const [{ io, pool }] = await startNodes(t, 1, own({ tableName: "short_lived", cleanupInterval: 200 }));
  const count = async () => Number((await pool.query("SELECT count(*) FROM short_lived")).rows[0].count);
  await eventually(async () => (await pool.query("SELECT to_regclass('short_lived') AS found")).rows[0].found !== null, "the table");
  io.emit("x", bytes);
  await eventually(async () => (await count()) === 1, "the attachment");
  await eventually(async () => (await count()) === 0, "the attachment to be gone");
});

test("reaches nodes by messages that name no namespace [PG-14]", async (t) => {
  const options = own();
  const [node] = await startNodes(t, 1, options);
  node.io.of("/chat");
  const { Emitter } = require("@socket.io/postgres-emitter");
  const pool = makePool(t);
  const isTableThere = async () => (await pool.query("SELECT to_regclass($1) AS found", ["socket_io_attachments"])).rows[0].found !== null;
  await eventually(isTableThere, "the table that the node makes");
  for (const name of ["/", "/chat"]) {
    const { client, socket } = await joinServer(t, node, name);
    const emitter = new Emitter(pool, name, options);
    const heard = once(client, "x");
    emitter.in(socket.id).socketsJoin("r");
    emitter.to("r").emit("x", bytes);
    assert.deepEqual(Buffer.from((await heard)[0]), bytes);
    assert.equal(await node.adapter.serverCount(), 1); // ENC-6
  }
});

test("drops what makes no sense, counts it, and reads on [ROB-844]", async (t) => {
  const options = own();
  const [node] = await startNodes(t, 1, options);
  const { client } = await joinServer(t, node);
  const channel = `${options.channelPrefix}#/`;
  const send = (payload) => node.pool.query("SELECT pg_notify($1, $2)", [channel, payload]);
  const { malformed } = node.adapter.counters;
  const attach = async (payload) => {
    const { rows } = await node.pool.query("INSERT INTO socket_io_attachments (payload) VALUES ($1) RETURNING id", [payload]);
    return JSON.stringify({ uid: "x", type: 3, attachmentId: rows[0].id });
  };
  const payloads = ["{", "null", "[]", "1", '"x"', "", '{"attachmentId":"x"}', '{"attachmentId":"999999999"}', '{"attachmentId":{}}'];
  payloads.push(await attach(Buffer.from([0xc1])), await attach(null), await attach(Buffer.alloc(2000, 0x91)));
  for (const payload of payloads) await send(payload);
  await node.pool.query("SELECT pg_notify($1, $2)", [`${options.channelPrefix}#roomcast`, '{"attachmentId":"999999999"}']);
  const heard = once(client, "x");
  const message = { uid: "x", type: 3, data: { opts: { rooms: [] }, packet: { type: 2, data: ["x", 1] } } };
  await send(JSON.stringify(message));
  assert.deepEqual(await heard, [1]);
  await eventually(
    () => node.adapter.counters.malformed >= malformed + payloads.length - 1,
    "all to be counted",
    () => node.adapter.counters,
  );
});

test("an error of a listener for other servers is uncaught, is not counted as malformed, and messages go on to arrive [ROB-834]", async (t) => {
  const errors = catchProcess(t, "uncaughtException");
  const [one, two] = await startNodes(t, 2);
  two.io.on("fail", (where) => {
    throw new Error(where);
  });
  one.io.serverSideEmit("fail", "small");
  assert.equal((await errors.next()).message, "small");
  one.io.serverSideEmit("fail", "by the table", bytes);
  assert.equal((await errors.next()).message, "by the table");
  const heard = once(two.io, "end");
  one.io.serverSideEmit("end");
  await heard;
  assert.equal(two.adapter.counters.malformed, 0);
});

test("sends pulses that are larger than a notification [ROB-881, PG-4]", async (t) => {
  const options = own();
  const nodes = await startNodes(t, 2, options);
  for (let index = 0; index < 150; index++) nodes[0].io.of(`/${"n".repeat(80)}${index}`);
  const last = nodes[1].io.of(`/${"n".repeat(80)}149`);
  await eventually(async () => (await last.adapter.serverCount()) === 2, "the namespace to be known");
});

test("serves its own clients while a connection is terminated, and is whole again [PG-10, ROB-885]", async (t) => {
  const options = own();
  const nodes = await startNodes(t, 2, options);
  const clients = [];
  for (const node of nodes) clients.push((await joinServer(t, node)).client);
  const [{ io, adapter }] = nodes;
  const degraded = once(adapter, "degraded");
  const restored = nodes.map((node) => once(node.adapter, "restored"));
  await makePool(t).query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%LISTEN%' OR query LIKE '%pg_notify%' AND pid <> pg_backend_pid()",
  );
  assert.match(String((await degraded)[0]), /terminat/);
  const heard = once(clients[0], "x");
  io.emit("x", 1);
  assert.deepEqual(await heard, [1]);
  await Promise.all(restored);
  await eventually(async () => (await io.nodes()).length === 2, "the nodes to find each other");
  const all = Promise.all(clients.map((client) => once(client, "y")));
  io.emit("y", 2);
  assert.deepEqual(await all, [[2], [2]]);
});

test("tells what to do about wrong arguments [ROB-843]", async (t) => {
  const pool = makePool(t);
  for (const [given, met] of [
    [undefined, "undefined"],
    [null, "null"],
    [{}, "object"],
    [new pg.Client(), "a single client"],
    [Promise.resolve(pool), "a promise: await it"],
  ])
    assert.throws(() => createAdapter(given), {
      code: "RC_ERR_ARGUMENT",
      message: new RegExp(`expected a Pool of the package pg, met ${met}`),
    });
  for (const [options, text] of [
    [[], /options as an object, met an array/],
    [{ channelPrefix: "" }, /channelPrefix: expected a text/],
    [{ tableName: "x; DROP TABLE y" }, /tableName: expected a name in SQL/],
    [{ payloadThreshold: 8001 }, /payloadThreshold: expected 1 to 8000/],
    [{ cleanupInterval: 0 }, /cleanupInterval: expected a number of milliseconds/],
    [{ heartbeatTimeout: "x" }, /heartbeatTimeout/],
    [{ errorHandler: 1 }, /errorHandler: expected a function/],
    [{ carrySessions: true }, /carrySessions: expected false/],
  ])
    assert.throws(() => createAdapter(pool, options), { code: "RC_ERR_OPTION", message: text });
  for (const tableName of ["a", "schema.table", '"My Table"', 'app."x""y"']) createAdapter(pool, { tableName });
});

test("serves its clients and warns once when the database cannot be reached, or refuses [ROB-843]", async (t) => {
  for (const [connection, reason] of [
    [{ port: 1 }, /ECONNREFUSED/],
    [{ user: "nobody_of_this_name" }, /nobody_of_this_name/],
  ]) {
    const warned = catchWarnings(t).next(({ message }) => message.startsWith("postgres: this server doesn't reach the others"));
    const node = await startNode(t, own(), { pool: makePool(t, connection) });
    assert.match((await warned).message, reason);
    assert.equal(node.adapter.status, "degraded");
    const { client } = await joinServer(t, node);
    const heard = once(client, "x");
    node.io.emit("x", 1);
    assert.deepEqual(await heard, [1]);
    assert.ok(node.adapter.counters.lost > 0);
    await node.io.close();
  }
});

test("leaves nothing behind when it is closed [ROB-845]", async (t) => {
  const pool = makePool(t);
  const options = own();
  const nodes = await startNodes(t, 2, options, { pool });
  nodes[0].io.of("/chat");
  await nodes[0].io.close();
  await eventually(async () => (await nodes[1].adapter.serverCount()) === 1, "the goodbye");
  await nodes[1].io.close();
  assert.deepEqual([pool.totalCount, pool.idleCount, pool.waitingCount], [0, 0, 0]);
});

test("is whole again after the database was killed and started again [ROB-885]", async (t) => {
  const nodes = await startNodes(t, 2);
  const { client } = await joinServer(t, nodes[1]);
  const ends = nodes.flatMap(({ adapter }) => [once(adapter, "degraded"), once(adapter, "restored")]);
  await service.restart();
  await Promise.all(ends);
  await know(nodes);
  const heard = once(client, "x");
  nodes[0].io.emit("x", bytes);
  assert.deepEqual(Buffer.from((await heard)[0]), bytes);
});

test("gives up a connection that does not answer: nothing waits, and nothing old is sent later [ROB-841]", async (t) => {
  const nodes = await startNodes(t, 2, own({ answerTimeout: 1500 }));
  const { client } = await joinServer(t, nodes[0]);
  const there = (await joinServer(t, nodes[1])).client;
  const late = [];
  there.on("x", (index) => late.push(index));
  const degraded = nodes.map(({ adapter }) => once(adapter, "degraded", 20_000));
  service.stop();
  t.after(() => service.cont());
  nodes[0].io.emit("x", 0); // this one is with the system, and may arrive
  const heard = once(client, "x", 20_000);
  await heard;
  nodes[0].io.emit("x", 1);
  await assert.rejects(nodes[0].io.timeout(30_000).fetchSockets(), { code: "RC_ERR_CLUSTER_LINK" });
  await Promise.all(degraded);
  assert.ok(nodes[0].adapter.counters.lost > 0);
  const restored = nodes.map(({ adapter }) => once(adapter, "restored", 20_000));
  service.cont();
  await Promise.all(restored);
  await know(nodes);
  const arrived = once(there, "y");
  nodes[0].io.emit("y");
  await arrived;
  assert.ok(!late.includes(1));
});
