import assert from "node:assert/strict";
import { test } from "node:test";
import wildcard from "socketio-wildcard";
import { client, connect, once, record } from "../../support/client.js";
import { assertRoomcast, startServer } from "./support/roomcast.js";

test("socketio-wildcard hands every event to the listeners of `*`, and to their own [MEM-1, MEM-8]", async (t) => {
  assertRoomcast();
  const { io, url } = await startServer(t);
  io.use(wildcard());
  const seen = [];
  io.on("connection", (socket) => {
    socket.on("*", (packet) => seen.push(packet.data.filter((value) => typeof value !== "function")));
    socket.on("sum", (first, second, acknowledge) => acknowledge(first + second));
  });

  const socket = await connect(t, url);
  socket.emit("foo", "bar", Buffer.from([1, 2]));
  assert.equal(await socket.emitWithAck("sum", 20, 22), 42);
  assert.deepEqual(seen, [
    ["foo", "bar", Buffer.from([1, 2])],
    ["sum", 20, 22],
  ]);
});

test("socketio-wildcard lets a listener of `*` acknowledge [MEM-1, MEM-8]", async (t) => {
  assertRoomcast();
  const { io, url } = await startServer(t);
  io.of("/admin").use(wildcard());
  io.of("/admin").on("connection", (socket) => {
    socket.on("*", ({ data: [name, value, acknowledge] }) => acknowledge(name, value));
  });

  const socket = await connect(t, url, "/admin");
  const answered = new Promise((resolve) => socket.emit("anything", 1, (...values) => resolve(values)));
  assert.deepEqual(await answered, ["anything", 1]);
});

test("socketio-wildcard on the client sees what roomcast sends [MEM-1]", async (t) => {
  assertRoomcast();
  const { io, url } = await startServer(t);
  io.on("connection", (socket) => socket.emit("welcome", socket.id, Buffer.from([7])));
  const socket = client(t, url);
  wildcard(socket.io.constructor)(socket);
  const packets = record(socket, "*");
  await once(socket, "connect");
  const [[, packet]] = await packets.until((events) => events.length > 0);
  assert.deepEqual(packet.data, ["welcome", socket.id, Buffer.from([7])]);
});
