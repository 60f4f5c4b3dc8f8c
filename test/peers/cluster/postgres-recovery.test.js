// roomcast/postgres: connection state recovery, in tables of its own.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { catchWarnings, eventually, joinServer, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { expectEachOnce } from "./recovery.js";
import { startPostgres } from "./services.js";

const require = createRequire(import.meta.url);
const pg = require("pg");
const { createAdapter } = require("../../../dist/public/postgres.js");

const service = await startPostgres();
const bytes = Buffer.from([1, 2, 250]);
let prefixes = 0;

function makePool(t, more) {
  const pool = new pg.Pool({ ...service.connection, ...more });
  pool.on("error", () => {});
  t.after(() => void pool.end()); // it ends when the servers have given back their connections
  return pool;
}

/** Options that nothing else uses: each test has its own channels and tables. */
const own = (more) => {
  const name = `t${++prefixes}`;
  const tables = { packetTableName: `${name}_packets`, sessionTableName: `${name}_sessions` };
  return { heartbeatInterval: 100, heartbeatTimeout: 1000, channelPrefix: name, ...tables, ...more };
};

async function startNodes(t, count, options = own(), { pool, recovery = {} } = {}) {
  const nodes = [];
  for (let index = 0; index < count; index++) {
    const adapter = createAdapter(pool ?? makePool(t), options);
    const node = await startServer(t, { adapter, ...(recovery && { connectionStateRecovery: recovery }) });
    nodes.push({ ...node, adapter: node.io.of("/").adapter });
  }
  for (const { adapter } of nodes) await eventually(async () => (await adapter.serverCount()) === count, "the nodes to know each other");
  return nodes;
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
  // Until the tables are there, packets have no offset
  await eventually(async () => {
    const heard = once(client, "ready");
    nodes[0].io.emit("ready");
    return /^\d+$/.test((await heard).at(-1));
  }, "an offset");
  return { client, socket, got };
}

test("gives packets that can be recovered an offset, and others no further argument [PG-12, CLU-11, CLU-12]", async (t) => {
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

test("brings each event once and in one order while clients leave and come back, and several servers broadcast [ROB-846]", async (t) => {
  const nodes = await startNodes(t, 3);
  const members = [];
  for (let index = 0; index < 6; index++) members.push(await startMember(t, nodes, index % 3));
  await expectEachOnce(
    nodes,
    members,
    (round) => (round % 10 === 0 ? bytes : round % 13 === 0 ? "y".repeat(9000) : ""),
    (a, b) => BigInt(a) < BigInt(b),
  );
});

test("leaves out rooms that the session was not in, and those that are excepted [ROB-846, CSR-11]", async (t) => {
  const nodes = await startNodes(t, 2);
  const { client, socket, got } = await startMember(t, nodes);
  socket.join("r");
  const gone = once(socket, "disconnect");
  client.io.reconnection(false);
  client.io.engine.close();
  await gone;
  const { io } = nodes[1];
  io.to("r").emit("x", "room");
  io.to("s").emit("x", "other room");
  io.except("r").emit("x", "others");
  io.emit("x", "all");
  await new Promise((resolve) => setImmediate(resolve));
  await nodes[0].io.fetchSockets();
  client.connect();
  await once(client, "connect");
  assert.equal(client.recovered, true);
  await eventually(() => got.length >= 2, "what was missed");
  assert.deepEqual(
    got.map(([value]) => value),
    ["room", "all"],
  );
});

test("gives a session once, and none for unknown secrets, forged offsets and deleted packets [ROB-847, CSR-7, CSR-12, CSR-14]", async (t) => {
  const options = own({ maxPackets: 5, cleanupInterval: 100 });
  const nodes = await startNodes(t, 2, options);
  const pool = makePool(t);
  const join = async (auth) => {
    const admitted = once(nodes[1].io, "connection");
    await wirePeer(t, nodes[1].port, { auth });
    return (await admitted)[0].recovered;
  };
  const leave = async () => {
    const { client, socket } = await startMember(t, nodes);
    const auth = { pid: client._pid, offset: client._lastOffset };
    const gone = once(socket, "disconnect");
    client.disconnect();
    client.io.engine.close();
    await gone;
    return auth;
  };
  const persist = async () => {
    const { client, socket } = await startMember(t, nodes);
    const auth = { pid: client._pid, offset: client._lastOffset };
    const gone = once(socket, "disconnect");
    client.io.reconnection(false);
    client.io.engine.close();
    await gone;
    await eventually(
      async () => (await pool.query(`SELECT 1 FROM ${options.sessionTableName} WHERE pid = $1`, [auth.pid])).rows.length === 1,
      "the session",
    );
    return auth;
  };
  const auth = await persist();
  for (const forged of [{ pid: "x" }, { pid: "x", offset: "1" }, { pid: "x", offset: "1; DROP TABLE y" }, { pid: auth.pid, offset: "-1" }])
    assert.equal(await join(forged), false);
  assert.equal(await join({ ...auth, offset: "999999999999" }), false);
  assert.equal(await join(auth), false, "it was taken by the attempt before");
  const second = await persist();
  assert.equal(await join(second), true);
  const third = await persist();
  for (let index = 0; index < 20; index++) nodes[0].io.emit("y");
  const newest = async () => Number((await pool.query(`SELECT max(id) FROM ${options.packetTableName}`)).rows[0].max);
  await eventually(async () => (await newest()) >= Number(third.offset) + 20, "the packets");
  await eventually(
    async () => Number((await pool.query(`SELECT count(*) FROM ${options.packetTableName}`)).rows[0].count) <= 6,
    "packets to be deleted",
  );
  assert.equal(await join(third), false);
  assert.equal(await join(await leave()), false, "a client that said goodbye has no session");
});

test("deletes sessions after maxDisconnectionDuration [ROB-847]", async (t) => {
  const options = own({ cleanupInterval: 100 });
  const nodes = await startNodes(t, 1, options, { recovery: { maxDisconnectionDuration: 300 } });
  const pool = makePool(t);
  const { client } = await startMember(t, nodes);
  client.io.reconnection(false);
  client.io.engine.close();
  const count = async () => Number((await pool.query(`SELECT count(*) FROM ${options.sessionTableName}`)).rows[0].count);
  await eventually(async () => (await count()) === 1, "the session");
  await eventually(async () => (await count()) === 0, "the session to be deleted");
});

test("says what to run if it may not make the tables, and goes on without recovery [ROB-843]", async (t) => {
  const admin = makePool(t);
  await admin.query("CREATE ROLE guest LOGIN");
  await admin.query(
    "CREATE TABLE IF NOT EXISTS socket_io_attachments (id bigserial UNIQUE, created_at timestamptz DEFAULT now(), payload bytea)",
  );
  await admin.query("GRANT ALL ON socket_io_attachments TO guest");
  const warned = catchWarnings(t).next(({ message }) => message.includes("clients cannot recover their sessions"));
  const nodes = await startNodes(t, 2, own(), { pool: makePool(t, { user: "guest" }) });
  assert.match((await warned).message, /CREATE TABLE IF NOT EXISTS t\d+_packets \(.*permission denied/);
  const { client } = await joinServer(t, nodes[1]);
  const heard = once(client, "x");
  nodes[0].io.emit("x", 1);
  assert.deepEqual(await heard, [1]);
});
