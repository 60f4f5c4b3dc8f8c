/** The programs that the public documentation shows, run as they stand there. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { connect, once, record } from "../../support/client.js";
import { crowd, fence, joinServer, pair } from "../../support/pairs.js";
import { startHttp, startServer } from "../../support/server.js";
import { engine, Server } from "../../support/target.js";
import { http } from "../../support/wire-client.js";

const HANDSHAKE = "/socket.io/?EIO=4&transport=polling";

test("shares an HTTP server with a plain WebSocket server, by handleUpgrade [HTTP-50, ENG-208]", async (t) => {
  const httpServer = createServer();
  const wss = new WebSocketServer({ noServer: true });
  const io = new Server(httpServer);
  httpServer.removeAllListeners("upgrade");
  httpServer.on("upgrade", (request, socket, head) => {
    if (request.url === "/") wss.handleUpgrade(request, socket, head, (ws) => wss.emit("connection", ws, request));
    else if (request.url.startsWith("/socket.io/")) io.engine.handleUpgrade(request, socket, head);
    else socket.destroy();
  });
  wss.on("connection", (ws) => ws.send("plain"));
  const { port, url } = await startHttp(t, httpServer, () => io.close());

  const plain = new WebSocket(`ws://127.0.0.1:${port}/`);
  const [message] = await once(plain, "message");
  assert.equal(String(message), "plain");
  plain.terminate();
  const elsewhere = new WebSocket(`ws://127.0.0.1:${port}/elsewhere`);
  await once(elsewhere, "error");
  for (const transports of [["websocket"], ["polling", "websocket"]]) {
    const { client, socket } = await joinServer(t, { io, url }, "/", { transports });
    await fence(client, socket);
  }
});

test("binds an engine that was attached by hand, beside an application's own answers [SRV-26]", async (t) => {
  const httpServer = createServer((request, response) => response.writeHead(404).end());
  const bound = new engine.Server();
  bound.attach(httpServer, { path: "/socket.io/" });
  const io = new Server();
  io.bind(bound);
  const { port, url } = await startHttp(t, httpServer, () => io.close());
  assert.equal((await http(port, { path: "/other" })).status, 404);
  await connect(t, url);
});

test("takes the sessions of an engine one by one [SRV-27]", async (t) => {
  const httpServer = createServer();
  const own = new engine.Server();
  own.attach(httpServer, { path: "/socket.io/" });
  const io = new Server();
  own.on("connection", (session) => io.onconnection(session));
  const { url } = await startHttp(t, httpServer, () => own.close());
  const { client, socket } = await joinServer(t, { io, url });
  await fence(socket, client);
});

test("frees its port when it is closed, for the same server again [SRV-62, SRV-65]", async (t) => {
  const io = new Server(0);
  if (!io.httpServer.listening) await once(io.httpServer, "listening");
  const { port } = io.httpServer.address();
  io.close();
  const closed = once(io.httpServer, "close");
  await closed;
  const httpServer = createServer();
  httpServer.listen(port, "127.0.0.1");
  io.attach(httpServer);
  t.after(() => io.close());
  await connect(t, port);
});

test("does without the request that opened the connection [SOC-4]", async (t) => {
  const { io, url } = await startServer(t);
  io.on("connection", (socket) => {
    delete socket.conn.request;
  });
  for (const transports of [["websocket"], ["polling"]]) {
    const { client, socket } = await joinServer(t, { io, url }, "/", { transports });
    await fence(client, socket);
    await fence(socket, client);
    assert.equal(socket.handshake.query.EIO, "4");
  }
});

test("has emptied the rooms when an asynchronous disconnecting listener goes on [ROOM-4]", async (t) => {
  const { socket, client } = await pair(t);
  socket.join("a");
  const seen = new Promise((resolve) =>
    socket.on("disconnecting", async () => {
      const rooms = new Set(socket.rooms);
      await once(socket, "disconnect");
      resolve([socket.rooms.size, [...rooms]]);
    }),
  );
  client.disconnect();
  assert.deepEqual(await seen, [0, [socket.id, "a"]]);
});

test("passes a private message on by id [BRO-6]", async (t) => {
  const { sockets, clients } = await crowd(t, 3);
  for (const socket of sockets) socket.on("say to someone", (id, text) => socket.to(id).emit("my message", text));
  const logs = clients.map((client) => record(client, "my message"));
  clients[0].emit("say to someone", clients[2].id, "psst");
  await fence(clients[0], sockets[0]);
  await Promise.all(sockets.map((socket, i) => fence(socket, clients[i])));
  assert.deepEqual(
    logs.map(({ events }) => events),
    [[], [], [["my message", "psst"]]],
  );
});

test("looks a session up in an asynchronous allowRequest, and sets its cookie [OPT-9]", async (t) => {
  const { io, port } = await startServer(t, {
    allowRequest: async (request, callback) => {
      request.session = await Promise.resolve({ id: "s1" });
      callback(null, true);
    },
  });
  io.engine.on("initial_headers", (headers, request) => {
    if (request.session) headers["set-cookie"] = `sid=${request.session.id}; SameSite=Strict`;
  });
  const { headers } = await http(port, { path: HANDSHAKE });
  assert.equal(headers["set-cookie"], "sid=s1; SameSite=Strict");
});

test("lets a program disconnect a client when a middleware has refused its event [EVT-32, DIS-2]", async (t) => {
  const { socket, client } = await pair(t);
  socket.use(([event], next) => (event === "forbidden" ? next(new Error("unauthorized event")) : next()));
  socket.on("error", (error) => {
    if (error?.message === "unauthorized event") socket.disconnect();
  });
  const ending = once(client, "disconnect");
  client.emit("forbidden");
  assert.equal((await ending)[0], "io server disconnect");
});

test("reports when the last tab of a user is closed [BRO-10, ROOM-4]", async (t) => {
  const server = await startServer(t);
  const { io } = server;
  const gone = [];
  let resolveGone;
  const isGone = new Promise((resolve) => (resolveGone = resolve));
  io.on("connection", (socket) => {
    const { userId } = socket.handshake.auth;
    socket.join(userId);
    socket.on("disconnect", async () => {
      const sockets = await io.in(userId).fetchSockets();
      gone.push(sockets.length);
      if (gone.length === 2) resolveGone();
    });
  });
  const tabs = [await joinServer(t, server, "/", { auth: { userId: "u" } }), await joinServer(t, server, "/", { auth: { userId: "u" } })];
  for (const { client, socket } of tabs) {
    const ending = once(socket, "disconnect");
    client.disconnect();
    await ending;
  }
  await isGone;
  assert.deepEqual(gone, [1, 0]);
});

test("serves the client bundle for browsers, in each form it is documented in [HTTP-1, SRV-11]", async (t) => {
  const { port } = await startServer(t);
  for (const name of ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"]) {
    const { status, headers, text } = await http(port, { path: `/socket.io/${name}` });
    assert.deepEqual([status, headers["content-type"]], [200, "application/javascript; charset=utf-8"]);
    assert.ok(text.startsWith("/*!"), name);
  }
});
