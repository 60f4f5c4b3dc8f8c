/** How a socket ends, and what its owner hears of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { once, record } from "../../support/client.js";
import { catchProcess, fence, joinServer, nextSocket, pair, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { ours } from "../../support/target.js";

test("returns itself from disconnect, again and again [DIS-1, DIS-5]", async (t) => {
  const { socket } = await pair(t);
  const log = record(socket, "disconnecting", "disconnect");
  assert.equal(socket.disconnect(), socket);
  assert.equal(socket.disconnect(true), socket);
  assert.deepEqual(log.names, ["disconnecting", "disconnect"]);
});

test("sends DISCONNECT for each namespace before it closes the connection [DIS-2, DIS-3]", async (t) => {
  const { io, port } = await startServer(t);
  io.of("/a");
  const admitted = nextSocket(io);
  const peer = await wirePeer(t, port);
  peer.send("40/a,");
  await peer.until((message) => message.startsWith("40/a,"));
  const a = io.of("/a").sockets.values().next().value;
  const endings = [once(await admitted, "disconnect"), once(a, "disconnect"), once(a.conn, "close")];
  a.disconnect(true);
  assert.deepEqual([await peer.next(), await peer.next()].sort(), ["41", "41/a,"]);
  await peer.closed();
  assert.deepEqual(
    (await Promise.all(endings)).map(([reason]) => reason),
    ["server namespace disconnect", "server namespace disconnect", "forced close"],
  );
});

test("is out of every list when disconnect fires, in order [DIS-4, ROOM-4, CLI-5]", async (t) => {
  const { io, socket, client } = await pair(t);
  const { adapter } = io.of("/");
  const log = [];
  socket.on("disconnecting", () => log.push(["disconnecting", socket.connected, io.of("/").sockets.has(socket.id), socket.rooms.size]));
  adapter.on("leave-room", () => log.push(["leave-room", socket.connected, io.of("/").sockets.has(socket.id)]));
  socket.on("disconnect", () => log.push(["disconnect", socket.connected, io.of("/").sockets.has(socket.id), socket.rooms.size]));
  const ending = once(socket, "disconnect");
  client.io.engine.close();
  await ending;
  assert.deepEqual(log, [
    ["disconnecting", true, true, 1],
    ["leave-room", true, true],
    ["disconnect", false, false, 0],
  ]);
  assert.equal(socket.client.sockets.size, 0);
});

test("calls no plain callback at the end, and a timed one at its time [DIS-6]", async (t) => {
  const { socket, client } = await pair(t);
  const plain = [];
  socket.emit("q", (...args) => plain.push(args));
  const timed = new Promise((resolve) => socket.timeout(60).emit("q", (...args) => resolve(args)));
  const ending = once(socket, "disconnect");
  client.disconnect();
  await ending;
  const args = await timed;
  assert.deepEqual([args.length, args[0].message, plain], [1, "operation has timed out", []]);
});

test("ends with forced server close when packets are unsent at a violation of the protocol [DIS-28, DIS-27]", async (t) => {
  const { io, port } = await startServer(t);
  const admitted = nextSocket(io);
  const peer = await wirePeer(t, port);
  const socket = await admitted;
  const ending = once(socket, "disconnect");
  peer.pause();
  for (let i = 0; i < 2; i += 1) socket.emit("big", "x".repeat(8_000_000)); // more than the system takes at once
  peer.send("40");
  assert.equal((await ending)[0], "forced server close");
});

test("emits a decoding error on every socket of the connection [DIS-29]", async (t) => {
  const { io, port } = await startServer(t);
  const log = [];
  for (const name of ["/", "/a"]) {
    io.of(name).on("connection", (socket) => {
      socket.on("error", (error) => log.push([name, "error", error instanceof Error]));
      socket.on("disconnect", (reason) => log.push([name, reason]));
    });
  }
  const peer = await wirePeer(t, port);
  peer.send("40/a,");
  await peer.until((message) => message.startsWith("40/a,"));
  const closed = once(io.of("/").sockets.values().next().value.conn, "close");
  peer.send("42{}");
  await closed;
  assert.deepEqual(log, [
    ["/", "error", true],
    ["/a", "error", true],
    ["/", "forced close"],
    ["/a", "forced close"],
  ]);
});

test("passes on what the engine knows of the end [DIS-30, DIS-25, ROB-711]", async (t) => {
  const { io, port } = await startServer(t, { maxHttpBufferSize: 1000 });
  let admitted = nextSocket(io);
  let peer = await wirePeer(t, port);
  const large = once(await admitted, "disconnect");
  peer.send(`42["x","${"x".repeat(2000)}"]`);
  const [reason, description] = await large;
  assert.equal(reason, "transport error");
  assert.ok(description instanceof Error);

  admitted = nextSocket(io);
  peer = await wirePeer(t, port);
  const left = once(await admitted, "disconnect");
  peer.send("41");
  const [cause, details] = await left;
  assert.equal(cause, "client namespace disconnect");
  assert.equal(
    details?.code,
    ours("it gives no description", () => "CLIENT_NAMESPACE_DISCONNECT"),
  ); // ROB-711
});

test("leaves what a disconnect listener throws to the process, and ends all the same [DIS-4, EVT-26]", async (t) => {
  const exceptions = catchProcess(t, "uncaughtException");
  const server = await pair(t);
  const { io, socket, client } = server;
  socket.on("disconnect", () => {
    throw new Error("from the listener");
  });
  const away = once(client, "disconnect");
  client.disconnect();
  await away;
  assert.equal((await exceptions.next()).message, "from the listener");
  const next = await joinServer(t, server);
  await fence(next.socket, next.client);
  assert.deepEqual([...io.of("/").sockets.keys()], [next.socket.id]);
});

test("may be disconnected, and may disconnect others, when it is disconnected [DIS-5, ADP-32]", async (t) => {
  const server = await startServer(t);
  const pairs = [];
  for (let i = 0; i < 3; i += 1) pairs.push(await joinServer(t, server));
  const log = [];
  for (const [i, { socket }] of pairs.entries()) {
    socket.join("r");
    socket.on("disconnect", () => {
      log.push(i);
      server.io.in("r").disconnectSockets();
    });
  }
  const endings = pairs.map(({ client }) => once(client, "disconnect"));
  server.io.in("r").disconnectSockets();
  for (const [reason] of await Promise.all(endings)) assert.equal(reason, "io server disconnect");
  assert.deepEqual(log.sort(), [0, 1, 2]);
});
