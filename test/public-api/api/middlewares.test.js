/** Namespace middlewares: what they see, how they refuse, what happens when they misbehave. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { client as openClient, once, record } from "../../support/client.js";
import { fence, joinServer, nextSocket, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";

const WEBSOCKET = { transports: ["websocket"] };

test("runs once per namespace, with the list as it was at the start [MID-1]", async (t) => {
  const server = await startServer(t);
  const { io } = server;
  const log = [];
  for (const name of ["/", "/other"]) {
    io.of(name).use((socket, next) => {
      log.push(socket.nsp.name);
      if (name === "/") io.use((_, pass) => pass(log.push("added meanwhile") && undefined));
      next();
    });
  }
  const { client } = await joinServer(t, server, "/", { transports: ["polling"] });
  const other = client.io.socket("/other");
  await once(other, "connect");
  assert.deepEqual(log, ["/", "/other"]);
});

test("refuses a client, and leaves its connection to other namespaces [MID-3]", async (t) => {
  const { io, url } = await startServer(t);
  const later = [];
  let refused;
  io.use((socket, next) => {
    refused = socket;
    socket.join("room");
    next(new Error("no"));
  });
  io.use((_, next) => next(later.push("ran")));
  const client = openClient(t, url, "/", WEBSOCKET);
  const [error] = await once(client, "connect_error");
  assert.deepEqual([error.message, client.active, later], ["no", false, []]);
  assert.equal(refused.join("again"), undefined);
  assert.deepEqual([io.of("/").adapter.rooms.size, io.of("/").sockets.size, refused.connected], [0, 0, false]);
  io.of("/open");
  const other = client.io.socket("/open");
  await once(other, "connect");
  assert.equal(io.engine.clientsCount, 1);
});

test("puts message and data of the error on the wire [MID-3]", async (t) => {
  const { io, port } = await startServer(t);
  const errors = [new Error("plain"), Object.assign(new Error("more"), { data: { code: 1 } })];
  io.use((_, next) => next(errors.shift()));
  const peer = await wirePeer(t, port, { join: false });
  peer.send("40");
  await peer.expect('44{"message":"plain"}');
  peer.send("40");
  await peer.expect('44{"message":"more","data":{"code":1}}');
});

test("takes anything for an error, and says what it was [MID-5]", oursOnly("its message is missing"), async (t) => {
  const { io, url } = await startServer(t);
  const reasons = ["not today", 42];
  io.use((_, next) => next(reasons.shift()));
  for (const text of ["not today", "42"]) {
    const [error] = await once(openClient(t, url, "/", WEBSOCKET), "connect_error");
    assert.equal(error.message, text);
  }
});

test("shows a socket that is about to connect [MID-6, MID-7]", async (t) => {
  const server = await startServer(t);
  const seen = [];
  server.io.use((socket, next) => {
    socket.data.mark = 1;
    socket.join("early");
    seen.push(socket.connected, socket.id.length, socket.handshake.auth.token, socket.request.method, socket.conn.transport.name, [
      ...socket.rooms,
    ]);
    assert.equal(socket.disconnect(), socket); // refuses nothing
    next();
  });
  const { socket, client } = await joinServer(t, server, "/", { auth: { token: "t" } });
  assert.deepEqual(seen, [false, 20, "t", "GET", "websocket", ["early"]]);
  assert.deepEqual([[...socket.rooms], socket.data], [["early", socket.id], { mark: 1 }]);
  await fence(socket, client);
});

test("admits a socket once, however often next is called [MID-10]", oursOnly("it admits the socket again"), async (t) => {
  const server = await startServer(t);
  const log = record(server.io, "connection");
  server.io.use((_, next) => {
    next();
    next();
    next(new Error("too late"));
  });
  const { socket, client } = await joinServer(t, server);
  await fence(socket, client);
  assert.equal(log.events.length, 1);
});

test("ignores an answer that comes after the end of the connection [MID-11]", async (t) => {
  const { io, port } = await startServer(t);
  const log = record(io, "connection");
  const entered = new Promise((resolve) => io.use((socket, next) => resolve({ socket, next })));
  const peer = await wirePeer(t, port, { join: false });
  peer.send("40");
  const { socket, next } = await entered;
  const endings = record(socket, "disconnecting", "disconnect");
  const closed = once(socket.conn, "close");
  peer.abort();
  await closed;
  next();
  await new Promise((resolve) => setImmediate(resolve)); // admission comes one tick after next
  assert.deepEqual([log.events, endings.events], [[], []]);
});

test("does not await a returned promise, but accepts one [MID-12]", async (t) => {
  const { io, url } = await startServer(t);
  io.use(async (socket, next) => {
    await null;
    next();
    await new Promise(() => {}); // what follows next holds nobody up
  });
  const admitted = nextSocket(io);
  const client = openClient(t, url, "/", WEBSOCKET);
  await once(client, "connect");
  await fence(await admitted, client);
});
