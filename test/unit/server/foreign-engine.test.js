import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { fakeServer, FakeConnection, settled } from "./fake-engine.js";

test("serves the connections of an engine that keeps the bare contract [SRV-26, ENG-203, NSP-23]", async (t) => {
  const { io, open } = fakeServer(t);
  io.on("connection", (socket) => socket.emit("hello", 1));
  const conn = open();
  conn.receive("0");
  const [reply, hello] = await conn.taken();
  assert.match(reply, /^0\{"sid":"[A-Za-z0-9_-]{20}"\}$/);
  assert.equal(hello, '2["hello",1]');
  assert.equal(io.httpServer, undefined);
});

test("takes single connections by onconnection [SRV-27]", async (t) => {
  const { io } = fakeServer(t);
  const conn = new FakeConnection();
  assert.equal(io.onconnection(conn), io);
  conn.receive("0");
  assert.equal((await conn.taken()).length, 1);
});

test("writes the frames of a broadcast to connections of another engine [ADP-30, CLI-3]", async (t) => {
  const { io, join } = fakeServer(t);
  const { conn } = await join();
  io.compress(false).emit("x", Buffer.from([1]));
  assert.deepEqual(await conn.taken(), ['51-["x",{"_placeholder":true,"num":0}]', Buffer.from([1])]);
  assert.deepEqual(
    conn.options.map(({ compress }) => compress),
    [false, false],
  );
});

test("drops a volatile packet whole when the transport cannot take it [SIO-62, EVT-9, CLI-3]", async (t) => {
  const { io, join } = fakeServer(t);
  const { conn, socket } = await join();
  conn.transport.writable = false;
  socket.volatile.emit("x", Buffer.from([1]));
  io.volatile.emit("y", Buffer.from([1]));
  socket.client.writeToEngine(['2["z"]'], { volatile: true });
  socket.emit("kept");
  assert.deepEqual(await conn.taken(), ['2["kept"]']);
});

test("passes what adapters have encoded through to the connection [CLI-3, ADP-33, ADP-35]", async (t) => {
  const { join } = fakeServer(t);
  const { conn, socket } = await join();
  const frame = [Buffer.from([0x81, 4]), Buffer.from('4["')];
  socket.client.writeToEngine(['2["a"]', Buffer.from([7])], { preEncoded: true, compress: true, wsPreEncodedFrame: frame });
  socket.client._packet(['2["b"]'], { preEncoded: true });
  assert.deepEqual(await conn.taken(), ['2["a"]', Buffer.from([7]), '2["b"]']);
  assert.equal(conn.options[0].wsPreEncodedFrame, frame);
});

test("treats an error of the connection like one of decoding [DIS-29, ENG-203]", async (t) => {
  const { join } = fakeServer(t);
  const { conn, socket } = await join();
  const seen = [];
  socket.on("error", (error) => seen.push(error.message));
  socket.on("disconnect", (reason) => seen.push(reason));
  conn.emit("error", new Error("broken"));
  assert.deepEqual(seen, ["broken", "forced close"]);
});

test("gives a connection without a request a handshake with nothing in it [SOC-16]", async (t) => {
  const { io } = fakeServer(t);
  const conn = new FakeConnection();
  conn.request = undefined;
  io.onconnection(conn);
  const [handshake] = await Promise.all([
    new Promise((resolve) => io.on("connection", (socket) => resolve(socket.handshake))),
    conn.receive("0"),
  ]);
  const { headers, query, secure, xdomain, url } = handshake;
  assert.deepEqual({ headers, query, secure, xdomain, url }, { headers: {}, query: {}, secure: true, xdomain: false, url: undefined });
});

test("closes every engine it has bound [SRV-28, SRV-63]", async (t) => {
  const { io } = fakeServer(t);
  const closed = [];
  for (const name of ["a", "b"]) io.bind(Object.assign(new EventEmitter(), { close: () => closed.push(name) }));
  const outcome = [];
  await io.close((...args) => outcome.push(args));
  assert.deepEqual(closed, ["a", "b"]);
  assert.deepEqual(outcome, [[]]);
});

test("keeps nothing of a closed connection [CLI-5, NSP-26]", async (t) => {
  const { io, join } = fakeServer(t);
  const { conn, socket } = await join();
  socket.join("room");
  conn.end("transport close");
  await settled();
  const { sockets, adapter } = io.of("/");
  assert.deepEqual([sockets.size, adapter.rooms.size, adapter.sids.size], [0, 0, 0]);
  assert.deepEqual([socket.client.sockets.size, socket.client.nsps.size], [0, 0]);
});
