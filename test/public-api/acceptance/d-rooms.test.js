/** Catalogue of usage examples, section D: rooms. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { once, record } from "../../support/client.js";
import { crowd, fence, joinServer, pair } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";

/** The events that each client got, after everything on its way has arrived. */
async function deliveries({ clients, sockets }, names, act) {
  const logs = clients.map((client) => record(client, ...names));
  await act();
  await Promise.all(sockets.map((socket, i) => fence(socket, clients[i])));
  return logs.map((log) => log.events);
}

test("EX-70 joins and leaves rooms, and returns nothing [ROOM-1, SOC-3]", async (t) => {
  const { socket } = await pair(t);
  assert.equal(socket.join("a"), undefined);
  assert.equal(await socket.join(["b", "c"]), undefined);
  assert.deepEqual([...socket.rooms], [socket.id, "a", "b", "c"]);
  assert.equal(socket.leave("b"), undefined);
  assert.deepEqual([...socket.rooms], [socket.id, "a", "c"]);
});

test("EX-71 still has its rooms while disconnecting, and none when disconnected [ROOM-4, DIS-4]", async (t) => {
  const { socket, client } = await pair(t);
  socket.join("a");
  const seen = [];
  socket.on("disconnecting", () => seen.push([...socket.rooms]));
  socket.on("disconnect", () => seen.push(socket.rooms.size));
  const ending = once(socket, "disconnect");
  client.disconnect();
  await ending;
  assert.deepEqual(seen, [[socket.id, "a"], 0]);
});

test("EX-72 notifies each room when a socket leaves [ROOM-4]", async (t) => {
  const { clients, sockets } = await crowd(t, 3);
  const [leaver, ...others] = sockets;
  leaver.join(["a", "b"]);
  others[0].join(["a", "b"]);
  others[1].join("b");
  leaver.on("disconnecting", () => leaver.rooms.forEach((room) => leaver.to(room).emit("left", leaver.id, room)));
  const met = await deliveries({ clients: clients.slice(1), sockets: others }, ["left"], async () => {
    const ending = once(leaver, "disconnect");
    clients[0].disconnect();
    await ending;
  });
  const left = (room) => ["left", leaver.id, room];
  assert.deepEqual(met, [[left("a"), left("b")], [left("b")]]);
});

test("EX-73 keeps a room exactly while it has members [ADP-11, ROOM-3]", async (t) => {
  const { io, sockets } = await crowd(t, 2);
  const { rooms } = io.of("/").adapter;
  for (const socket of sockets) socket.join("a");
  assert.equal(rooms.get("a").size, 2);
  sockets[0].leave("a");
  sockets[0].leave("never joined");
  assert.equal(rooms.get("a").size, 1);
  sockets[1].leave("a");
  assert.equal(rooms.has("a"), false);
});

test("EX-74 emits the events of rooms in order [ADP-40, ADP-41, ADP-42, ADP-43, ADP-44, ROOM-4]", async (t) => {
  const { io, socket, client } = await pair(t);
  const { adapter } = io.of("/");
  const log = [];
  const nameOf = (room) => (room === socket.id ? "sid" : room);
  for (const name of ["create-room", "join-room", "leave-room", "delete-room"]) {
    adapter.on(name, (room, id) => {
      log.push(`${name.slice(0, -5)} ${nameOf(room)}`);
      if (name === "join-room" || name === "leave-room") assert.equal(id, socket.id);
      if (name === "create-room") assert.deepEqual([adapter.rooms.has(room), adapter.sids.get(socket.id).has(room)], [true, true]);
      if (name === "leave-room") assert.ok(!adapter.rooms.get(room)?.has(id));
    });
  }
  socket.on("disconnecting", () => log.push("disconnecting"));
  const ending = once(socket, "disconnect");
  socket.on("disconnect", () => log.push("disconnect"));
  socket.join("a");
  socket.join(["a", "b"]);
  socket.leave("b");
  client.disconnect();
  await ending;
  assert.deepEqual(log, [
    "create a",
    "join a",
    "create b",
    "join b",
    "leave b",
    "delete b",
    "disconnecting",
    "leave sid",
    "delete sid",
    "leave a",
    "delete a",
    "disconnect",
  ]);
});

test("EX-75 reaches all tabs of a user through a room joined in a middleware [MID-6, MID-7]", async (t) => {
  const server = await startServer(t);
  server.io.use((socket, next) => {
    socket.join(`user:${socket.handshake.auth.id}`);
    next();
  });
  const pairs = [];
  for (const id of [1, 1, 2]) pairs.push(await joinServer(t, server, "/", { auth: { id } }));
  const ends = { clients: pairs.map(({ client }) => client), sockets: pairs.map(({ socket }) => socket) };
  const met = await deliveries(ends, ["n"], () => server.io.to("user:1").emit("n", "hello"));
  assert.deepEqual(met, [[["n", "hello"]], [["n", "hello"]], []]);
  assert.deepEqual([...pairs[0].socket.rooms], ["user:1", pairs[0].socket.id]);
});

test("EX-76 moves sockets between rooms by their rooms [NSP-7, BRO-8]", async (t) => {
  const server = await crowd(t, 3);
  const { io, sockets } = server;
  sockets[0].join("a");
  sockets[1].join("a");
  const met = await deliveries(server, ["in", "out"], () => {
    assert.equal(io.in("a").socketsJoin(["b"]), undefined);
    io.to("b").emit("in");
    assert.equal(io.socketsLeave("b"), undefined);
    io.to("b").emit("out");
  });
  assert.deepEqual(met, [[["in"]], [["in"]], []]);
});

test("EX-77 disconnects a room, with or without its connections [DIS-2, DIS-3, DIS-21, BRO-8]", async (t) => {
  const server = await startServer(t);
  const { io } = server;
  io.of("/other");
  const { client, socket } = await joinServer(t, server);
  const other = client.io.socket("/other");
  const connected = once(other, "connect");
  await connected;
  const otherSocket = io.of("/other").sockets.get(other.id);
  socket.join("a");
  const ending = once(client, "disconnect");
  assert.equal(io.in("a").disconnectSockets(), undefined);
  assert.equal((await ending)[0], "io server disconnect");
  await fence(otherSocket, other);

  const endings = [once(otherSocket, "disconnect"), once(other, "disconnect"), once(otherSocket.conn, "close")];
  io.of("/other").disconnectSockets(true);
  const [[serverReason], [clientReason]] = await Promise.all(endings);
  assert.deepEqual([serverReason, clientReason], ["server namespace disconnect", "io server disconnect"]);
});

test("EX-78 fetches the sockets of a room themselves [BRO-10, SOC-2]", async (t) => {
  const { io, socket } = await pair(t, {}, { client: { auth: { token: "t" } } });
  socket.join("a");
  socket.data.name = "alice";
  const fetched = await io.in("a").fetchSockets();
  assert.equal(fetched.length, 1);
  assert.equal(fetched[0], socket);
  assert.deepEqual([fetched[0].data, fetched[0].handshake.auth, fetched[0].rooms.has("a")], [{ name: "alice" }, { token: "t" }, true]);
});

test("EX-79 lists all ids [BRO-9, NSP-7]", async (t) => {
  const { io, sockets } = await crowd(t, 2);
  const ids = await io.allSockets();
  assert.ok(ids instanceof Set);
  assert.deepEqual([...ids].sort(), sockets.map(({ id }) => id).sort());
});

test("EX-80 takes room names as they are given [ROOM-2, LEG-17]", async (t) => {
  const server = await crowd(t, 1);
  server.sockets[0].join(1);
  const met = await deliveries(server, ["x"], () => {
    server.io.to("1").emit("x", "text");
    server.io.to(1).emit("x", "number");
  });
  assert.deepEqual(met, [[["x", "number"]]]);
});

test("EX-81 joins nothing after the end [ROOM-5]", async (t) => {
  const { io, socket } = await pair(t);
  socket.disconnect();
  assert.equal(socket.join("x"), undefined);
  const { adapter } = io.of("/");
  assert.deepEqual([adapter.rooms.has("x"), adapter.rooms.size, adapter.sids.size], [false, 0, 0]);
});

test("EX-82 reaches all sockets with an empty list of rooms [BRO-4]", async (t) => {
  const server = await crowd(t, 2);
  server.sockets[0].join("a");
  assert.deepEqual(await deliveries(server, ["x"], () => server.io.to([]).emit("x")), [[["x"]], [["x"]]]);
});
