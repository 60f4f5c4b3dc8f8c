/** Catalogue of usage examples, section A: creating a server. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import express from "express";
import { client as openClient, connect, once, record } from "../../support/client.js";
import { importTarget } from "../../support/packages.js";
import { joinServer, nextSocket, pair } from "../../support/pairs.js";
import { startHttp, startServer } from "../../support/server.js";
import { engine, Server, target } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { http } from "../../support/wire-client.js";

/** The port of a server that was given a number. */
async function portOf(t, io) {
  t.after(() => io.close());
  if (!io.httpServer.listening) await once(io.httpServer, "listening");
  return io.httpServer.address().port;
}

test("EX-1 is called without new and greets with the id that the client has [MOD-1, SRV-4]", async (t) => {
  const io = target(0);
  io.on("connection", (socket) => socket.emit("welcome", socket.id));
  const client = openClient(t, await portOf(t, io));
  const [id] = await once(client, "welcome");
  assert.equal(id, client.id);
  assert.equal(id.length, 20);
});

test("EX-2 is imported as an ES module and takes a port [MOD-3, SRV-21, OPT-2, HTTP-8]", async (t) => {
  const { Server: Imported } = await importTarget();
  const io = new Imported(0, { serveClient: false });
  const port = await portOf(t, io);
  const bundle = await http(port, { path: "/socket.io/socket.io.js" });
  assert.equal(bundle.status, 400);
  assert.equal(bundle.text, '{"code":0,"message":"Transport unknown"}');
  const outside = await http(port, { path: "/" });
  assert.deepEqual([outside.status, outside.text], [404, ""]);
  await connect(t, port);
});

test("EX-3 shares an existing HTTP server with its own listener [SRV-25]", async (t) => {
  const { port } = await startServer(t, {}, { http: (request, response) => response.end("app") });
  assert.equal((await http(port, { path: "/anything" })).text, "app");
  const handshake = await http(port, { path: "/socket.io/?EIO=4&transport=polling" });
  assert.ok(handshake.text.startsWith('0{"sid":'), handshake.text);
});

test("EX-4 shares an HTTP server with an Express app, and refuses the app itself [SRV-5, EXP-4, HTTP-44]", async (t) => {
  const app = express();
  app.get("/hello", (request, response) => response.send("hi"));
  const { port } = await startServer(t, {}, { http: createServer(app) });
  assert.equal((await http(port, { path: "/hello" })).text, "hi");
  await connect(t, port);
  assert.throws(() => new Server(app), {
    name: "Error",
    message: /^You are trying to attach \S+ to an express request handler function/i,
  });
});

test("EX-5 is attached late [SRV-3, SRV-20]", async (t) => {
  const io = new Server();
  assert.equal(io.engine, undefined);
  const { port } = await startServer(t, {}, { attach: (httpServer) => io.attach(httpServer) });
  assert.ok(io.engine);
  await connect(t, port);
});

test("EX-6 serves HTTPS, and the handshake says so [SOC-13]", async (t) => {
  const { socket } = await pair(t, {}, { host: { https: true } });
  assert.equal(socket.handshake.secure, true);
});

test("EX-7 is reached under its own path alone [OPT-1, HTTP-30]", async (t) => {
  const { io, url } = await startServer(t, { path: "/rt/" }, { http: (request, response) => response.writeHead(404).end() });
  await connect(t, url, "/", { path: "/rt/" });
  const [error] = await once(openClient(t, url), "connect_error");
  assert.ok(error instanceof Error);
  assert.equal(io.path(), "/rt");
});

test("EX-8 takes a port as a string [SRV-20]", async (t) => {
  const io = new Server().listen("0");
  await connect(t, await portOf(t, io));
});

test("EX-9 closes twice, telling sockets, clients and the HTTP server once [SRV-60, SRV-61, SRV-62, DIS-22]", async (t) => {
  const server = await pair(t);
  const { io, httpServer } = server;
  const pairs = [server, await joinServer(t, server)];
  const serverSide = pairs.map(({ socket }) => once(socket, "disconnect"));
  const clientSide = pairs.map(({ client }) => once(client, "disconnect"));
  await within(io.close(), "the first close");
  for (const ending of serverSide) assert.equal((await ending)[0], "server shutting down");
  for (const ending of clientSide) assert.equal((await ending)[0], "transport close");
  assert.equal(httpServer.listening, false);
  await within(io.close(), "the second close");
});

test("EX-10 passes the error of a server that is not running to the callback of close [SRV-62]", async (t) => {
  const { io } = await startServer(t);
  const close = () => within(new Promise((resolve) => io.close((error) => resolve(error))), "the callback");
  assert.equal(await close(), undefined);
  assert.equal((await close()).code, "ERR_SERVER_NOT_RUNNING");
});

test("EX-11 comes back on the same port with a new HTTP server [SRV-65]", async (t) => {
  const { io, port, client } = await pair(t, {}, { client: { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 40 } });
  const away = once(client, "disconnect");
  await io.close();
  await away;
  const httpServer = createServer();
  const back = once(client, "connect");
  io.attach(httpServer);
  httpServer.listen(port, "127.0.0.1");
  t.after(() => io.close());
  await back;
  assert.equal(io.of("/").sockets.size, 1);
});

test("EX-12 lets the user make engine ids, and keeps its own socket ids [LEG-19, NSP-22]", async (t) => {
  const { io, port, url } = await startServer(t);
  let n = 0;
  io.engine.generateId = () => String(++n).padStart(20, "0");
  const { text } = await http(port, { path: "/socket.io/?EIO=4&transport=polling" });
  assert.equal(JSON.parse(text.slice(1)).sid, "00000000000000000001");
  const { client } = await joinServer(t, { io, url });
  assert.equal(client.io.engine.id, "00000000000000000002");
  assert.match(client.id, /^[A-Za-z0-9_-]{20}$/);
  assert.notEqual(client.id, client.io.engine.id);
});

test("EX-14 is bound to an engine that was attached by hand [SRV-26, SRV-63]", async (t) => {
  const io = new Server();
  const httpServer = createServer();
  const bound = new engine.Server();
  bound.attach(httpServer, { path: "/socket.io/" });
  assert.equal(io.bind(bound), io);
  const { port } = await startHttp(t, httpServer, () => io.close());
  await connect(t, port);
  assert.equal(io.engine, bound);
  assert.equal(io.httpServer, undefined);
});

test("EX-15 serves an HTTP/2 server that allows HTTP/1.1 [HTTP-43]", async (t) => {
  const { io, url } = await startServer(t, {}, { http2: true });
  for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
    const admitted = nextSocket(io);
    const client = await connect(t, url, "/", { transports });
    const socket = await admitted;
    const { until } = record(client, "hello");
    socket.emit("hello", transports);
    await until((events) => events.length === 1);
    assert.equal(socket.handshake.secure, true);
  }
});
