import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { fakeServer, settled } from "./fake-engine.js";

test("has one listener of error from the start, by whichever way one looks [SOC-6]", async (t) => {
  const { join } = fakeServer(t);
  const { socket } = await join();
  const { socket: other } = await join();
  assert.equal(socket.listenerCount("error"), 1);
  assert.deepEqual(socket.eventNames(), ["error"]);
  EventEmitter.prototype.on.call(socket, "x", () => {});
  assert.deepEqual(socket.eventNames(), ["error", "x"]);
  assert.deepEqual(other.eventNames(), ["error"]);
  socket.removeAllListeners();
  assert.equal(socket.listenerCount("error"), 0);
});

test("survives a client's error event without a listener [SOC-6, EVT-25]", async (t) => {
  const { join } = fakeServer(t);
  const { conn, socket } = await join();
  socket.removeAllListeners();
  conn.receive('2["error","x"]', "9");
  await settled();
  assert.equal(socket.connected, false);
});

test("emits disconnecting and disconnect once, also when a listener disconnects the socket [DIS-4, DIS-5, ROOM-4]", async (t) => {
  const { io, join } = fakeServer(t);
  const { conn, socket } = await join();
  const seen = [];
  socket.join("r");
  socket.on("disconnecting", (reason) => {
    seen.push(["disconnecting", reason, socket.connected, [...socket.rooms].length]);
    socket.disconnect(true);
  });
  socket.on("disconnect", (reason) => seen.push(["disconnect", reason, socket.connected, socket.rooms.size, io.of("/").sockets.size]));
  conn.end("transport close");
  assert.deepEqual(seen, [
    ["disconnecting", "transport close", true, 2],
    ["disconnect", "transport close", false, 0, 0],
  ]);
  assert.equal(socket.join("later"), undefined);
  assert.equal(io.of("/").adapter.rooms.size, 0);
});

test("ends all sockets of a connection though a listener throws [DIS-4, EVT-26]", async (t) => {
  const { io, enter, open } = fakeServer(t);
  io.of("/a");
  io.of("/b");
  const conn = open();
  const sockets = [await enter(conn, "/a"), await enter(conn, "/b")];
  const seen = [];
  sockets[0].on("disconnecting", () => {
    throw new Error("in listener");
  });
  for (const socket of sockets) socket.on("disconnect", () => seen.push(socket.nsp.name));
  assert.throws(() => conn.end("transport close"), { message: "in listener" });
  assert.deepEqual(seen, ["/a", "/b"]);
  assert.deepEqual([io.of("/a").sockets.size, io.of("/b").sockets.size], [0, 0]);
});

test("drops events emitted after the client has left, but passes them to onAnyOutgoing [EVT-4, ANY-4]", async (t) => {
  const { join } = fakeServer(t);
  const { conn, socket } = await join();
  const shown = [];
  socket.onAnyOutgoing((event) => shown.push(event));
  const answer = socket.ack(3);
  socket.disconnect();
  assert.equal(socket.emit("late"), true);
  answer(1);
  assert.deepEqual(await conn.taken(), ["1"]);
  assert.deepEqual(shown, ["late"]);
});

test("sends nothing and expects nothing when encoding throws [SIO-11, ACK-1]", async (t) => {
  const { join } = fakeServer(t);
  const { conn, socket } = await join();
  assert.throws(() => socket.timeout(5).emit("x", 1n, () => assert.fail("called")), TypeError);
  assert.equal(socket.acks.size, 0);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(await conn.taken(), []);
});

test("keeps flags for one emission [EVT-6, EVT-7]", async (t) => {
  const { join } = fakeServer(t);
  const { conn, socket } = await join();
  assert.equal(socket.volatile, socket);
  assert.deepEqual(socket.flags, { volatile: true });
  conn.transport.writable = false;
  socket.compress(false).emit("dropped");
  socket.emit("kept");
  assert.deepEqual(await conn.taken(), ['2["kept"]']);
  assert.deepEqual(conn.options, [{ compress: true }]);
  socket.timeout(5).to("r");
  assert.deepEqual(socket.flags, {});
});

test("writes through packet of the instance and of the client [MEM-8, MEM-9]", async (t) => {
  const { join } = fakeServer(t);
  const { conn, socket } = await join();
  const seen = [];
  for (const [target, name] of [
    [socket, "packet"],
    [socket.client, "_packet"],
  ]) {
    const original = target[name];
    target[name] = function (packet, ...rest) {
      seen.push([name, packet.type, packet.nsp, packet.data]);
      original.call(this, packet, ...rest);
    };
  }
  socket.emit("x");
  assert.deepEqual(seen, [
    ["packet", 2, "/", ["x"]],
    ["_packet", 2, "/", ["x"]],
  ]);
  assert.deepEqual(await conn.taken(), ['2["x"]']);
});

test("keeps data, acks, rooms and handshake as programs know them [SOC-1, SOC-2, SOC-3]", async (t) => {
  const { join } = fakeServer(t);
  const { conn, socket } = await join("/", { token: "a" });
  assert.deepEqual(socket.data, {});
  socket.data = { user: 1 };
  assert.deepEqual(socket.data, { user: 1 });
  assert.ok(socket.acks instanceof Map);
  assert.deepEqual(socket.rooms, new Set([socket.id]));
  assert.equal(socket.handshake, socket.handshake);
  assert.deepEqual(socket.handshake.auth, { token: "a" });
  assert.equal(socket.handshake.headers, conn.request.headers);
  assert.deepEqual([...socket.client.sockets.keys()], [socket.id]);
  assert.deepEqual([...socket.client.nsps.keys()], ["/"]);
});

test("calls foreign acknowledgement handlers and forgets them [MEM-4, ACK-2]", async (t) => {
  const { join } = fakeServer(t);
  const { conn, socket } = await join();
  const seen = [];
  socket.acks.set(41, (...values) => seen.push(values));
  conn.receive("341[1,2]", "341[3]");
  await settled();
  assert.deepEqual(seen, [[1, 2]]);
});
