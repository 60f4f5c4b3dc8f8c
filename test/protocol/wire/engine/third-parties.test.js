import { test } from "node:test";
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { createServer } from "node:http";
import { once, record, connect } from "../../../support/client.js";
import { PollingSession, WireSocket, http } from "../../../support/wire-client.js";
import { startServer } from "../../../support/server.js";
import { Server } from "../../../support/target.js";

const SOCKET_IO = "/socket.io/";

test("offers io.engine as monitoring and session packages use it [ENG-200]", async (t) => {
  const { io, port } = await startServer(t);
  const seen = record(io.engine, "connection", "initial_headers", "headers", "connection_error");
  let id = 0;
  io.engine.generateId = () => `mine-${id++}`;
  const used = [];
  io.engine.use((req, res, next) => {
    used.push(req.method);
    next();
  });
  const client = await PollingSession.open(port, "", { path: SOCKET_IO });
  assert.equal(client.sid, "mine-0");
  assert.equal(io.engine.clientsCount, 1);
  assert.equal(io.engine.opts.pingInterval, 25000);
  await http(port, { path: "/socket.io/?EIO=4&transport=unknown" });
  assert.deepEqual(seen.names, ["initial_headers", "headers", "connection", "connection_error"]);
  assert.deepEqual(used, ["GET", "GET"]);
});

test("offers socket.conn as programs use it [ENG-201]", async (t) => {
  const { io, port } = await startServer(t);
  const connection = once(io, "connection");
  const client = await connect(t, port, "/", { transports: ["polling", "websocket"] });
  const [socket] = await connection;
  const { conn } = socket;
  if (!conn.upgraded) await once(conn, "upgrade");
  assert.equal(conn.transport.name, "websocket");
  assert.deepEqual([conn.protocol, conn.readyState, typeof conn.id], [4, "open", "string"]);
  assert.match(conn.remoteAddress, /127\.0\.0\.1$/);
  assert.equal(conn.request, socket.request);
  const seen = record(conn, "packet", "packetCreate", "drain", "data", "close");
  socket.on("ask", (answer) => answer(1));
  await client.emitWithAck("ask");
  for (const name of ["packet", "packetCreate", "data", "drain"]) assert.ok(seen.names.includes(name), name);
  const end = once(conn, "close");
  conn.close();
  assert.equal((await end)[0], "forced close");
});

test("lets monitors count bytes in both directions [ENG-202]", async (t) => {
  const { io, port } = await startServer(t);
  const counted = { in: 0, out: 0 };
  io.engine.on("connection", (conn) => {
    conn.on("packet", ({ data }) => {
      counted.in += data ? Buffer.byteLength(data) : 0;
    });
    conn.on("packetCreate", ({ data }) => {
      counted.out += data ? Buffer.byteLength(data) : 0;
    });
  });
  const ws = await WireSocket.open(port, `${SOCKET_IO}?EIO=4&transport=websocket`);
  await ws.next();
  io.on("connection", (socket) => socket.emit("hi", Buffer.from([1, 2, 3])));
  ws.send("40");
  const connected = await ws.next();
  const header = await ws.next();
  const binary = await ws.next();
  assert.equal(counted.in, 1);
  assert.equal(counted.out, connected.length - 1 + header.length - 1 + binary.length);
});

/** A session of a foreign engine: nothing but what the contract names. */
class ForeignConnection extends EventEmitter {
  id = "foreign";
  protocol = 4;
  readyState = "open";
  request = { headers: {}, _query: {}, connection: {}, url: "/" };
  remoteAddress = "192.0.2.1";
  transport = { name: "carrier-pigeon", writable: true };
  written = [];

  write(data) {
    this.written.push(data);
    this.emit("test:written");
    return this;
  }

  close() {
    this.readyState = "closed";
    this.emit("close", "forced close");
  }
}

test("binds any engine that keeps the contract [ENG-203]", async (t) => {
  const foreign = Object.assign(new EventEmitter(), { close() {} });
  const io = new Server();
  t.after(() => io.close());
  io.bind(foreign);
  const connection = once(io, "connection");
  const conn = new ForeignConnection();
  foreign.emit("connection", conn);
  conn.emit("data", "0");
  const [socket] = await connection;
  assert.match(conn.written[0], /^0\{"sid":"/);
  const heard = once(socket, "hello");
  conn.emit("data", '2["hello",1]');
  assert.deepEqual(await heard, [1]);
  const written = once(conn, "test:written");
  socket.emit("bye", { a: 1 });
  if (conn.written.length < 2) await written;
  assert.equal(conn.written[1], '2["bye",{"a":1}]');
  const end = once(socket, "disconnect");
  conn.readyState = "closed";
  conn.emit("close", "transport close");
  assert.equal((await end)[0], "transport close");
});

test("lets a foreign connection end with an error [ENG-203]", async (t) => {
  const foreign = Object.assign(new EventEmitter(), { close() {} });
  const io = new Server();
  t.after(() => io.close());
  io.bind(foreign);
  const connection = once(io, "connection");
  const conn = new ForeignConnection();
  foreign.emit("connection", conn);
  conn.emit("data", "0");
  await connection;
  conn.emit("error", new Error("of the foreign engine"));
});

test("puts the sid first in the polling handshake, where load balancers look [ENG-206, ENG-207]", async (t) => {
  const { port } = await startServer(t);
  const response = await http(port, { path: `${SOCKET_IO}?EIO=4&transport=polling` });
  assert.match(response.text, /^0\{"sid":"[A-Za-z0-9_-]{20}",/);
  assert.equal(response.headers["cache-control"], "no-store");
  assert.equal(response.headers["content-length"], String(response.body.length));
});

test("lets a subclass of the engine see its emitted events [ENG-204, ENG-203]", async (t) => {
  const { io, port } = await startServer(t, {}, { http: createServer() });
  const seen = [];
  const { emit } = io.engine;
  io.engine.emit = function (name, ...args) {
    seen.push(name);
    return emit.call(this, name, ...args);
  };
  await PollingSession.open(port, "", { path: SOCKET_IO });
  assert.ok(seen.includes("connection"), String(seen));
});
