/** `io.detach()`: HTTP servers are left as they were, and another server can take over. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { connect, once } from "../../support/client.js";
import { startHttp, startServer } from "../../support/server.js";
import { oursOnly, Server } from "../../support/target.js";
import { http, PollingSession, refusedUpgrade, WireSocket } from "../../support/wire-client.js";

const OURS = oursOnly("it has no detach");
const POLLING = "/socket.io/?EIO=4&transport=polling";
const WEBSOCKET = "/socket.io/?EIO=4&transport=websocket";

/** All listeners of an emitter, by event, in their order. */
const listenersOf = (emitter) => Object.fromEntries(emitter.eventNames().map((name) => [String(name), emitter.rawListeners(name)]));

for (const host of [{}, { https: true }, { http2: true }]) {
  const name = Object.keys(host)[0] ?? "http";
  test(`detach() leaves an HTTP server with the listeners that it had, in their order, over ${name} [ROB-735]`, OURS, async (t) => {
    let before;
    const answer = (_request, response) => response.end("app");
    const { io, port, url, httpServer } = await startServer(
      t,
      {},
      {
        ...host,
        attach: (server) => {
          server.on("request", answer);
          server.once("request", () => {});
          server.on("upgrade", () => {});
          before = listenersOf(server);
          return new Server(server);
        },
      },
    );
    const tls = host.https || host.http2;
    const added = (_request, response) => response.finished || response.end();
    httpServer.on("request", added);
    const socket = await connect(t, url, "/", { transports: ["websocket"] });
    const polling = await PollingSession.open(port, "", { path: "/socket.io/", tls });
    const gone = once(socket, "disconnect");
    const { clients, cut } = await io.detach();
    const after = listenersOf(httpServer);
    assert.deepEqual({ clients, cut }, { clients: 2, cut: 2 });
    assert.equal((await gone)[1].context.code, 1012);
    assert.equal((await polling.get()).text, "app");
    assert.deepEqual(after.request.at(-1), added);
    after.request.pop();
    after.connection.pop(); // that of the test's own clean-up
    for (const event of Object.keys(before)) assert.deepEqual(after[event] ?? [], before[event], event);
    assert.deepEqual(after.connect ?? [], []);
    assert.equal(io.httpServer, undefined);
    assert.equal(httpServer.listening, true);
    for (const path of [POLLING, "/socket.io/socket.io.js"]) assert.equal((await http(port, { path, tls })).text, "app");
  });
}

test("another server takes over the path, and the one that was detached can be attached elsewhere [ROB-735]", OURS, async (t) => {
  const { io, url, httpServer } = await startServer(t, {}, {});
  await io.detach();
  const next = new Server(httpServer);
  t.after(() => next.close());
  next.on("connection", (socket) => socket.on("who", (answer) => answer("next")));
  const socket = await connect(t, url, "/", { transports: ["websocket"] });
  assert.equal(await socket.emitWithAck("who"), "next");
  const elsewhere = await startServer(t, {}, { attach: (server) => io.attach(server) });
  const other = await connect(t, elsewhere.url);
  assert.equal(io.sockets.sockets.has(other.id), true);
  await io.close();
  assert.equal(httpServer.listening, true);
});

test("a server that another one stands in front of can be detached first [ROB-735, ROB-736]", OURS, async (t) => {
  const answer = (_request, response) => response.end("app");
  const { io, port, httpServer } = await startServer(t, {}, { http: answer });
  const front = new Server(httpServer, { path: "/front" });
  await io.detach();
  assert.equal((await http(port, { path: POLLING })).text, "app");
  assert.equal((await http(port, { path: POLLING.replace("socket.io", "front") })).status, 200);
  await front.detach();
  assert.deepEqual(httpServer.rawListeners("request"), [answer]);
});

test("detach({ drain }) moves the clients at a pace before [ROB-735, ROB-727]", OURS, async (t) => {
  const { io, port, url } = await startServer(t, {}, { http: (_request, response) => response.end("app") });
  let release;
  const isHeld = new Promise((resolve) => io.on("connection", (one) => one.on("hold", (answer) => resolve((release = answer)))));
  const socket = await connect(t, url, "/", { transports: ["websocket"] });
  const seen = once(socket, "moving");
  socket.emit("hold", () => {});
  await isHeld;
  const detaching = io.detach({ drain: { perSecond: 1e6, jitterMs: 0, timeoutMs: 60_000, message: { event: "moving" } } });
  assert.equal(io.isDraining, true);
  assert.equal((await refusedUpgrade(port, WEBSOCKET)).status, 503);
  release();
  await seen;
  assert.equal((await detaching).moved, 1);
  assert.equal((await http(port, { path: POLLING })).text, "app");
});

test("detach() closes a server that was made for a port, and adapters stay open [ROB-735]", OURS, async (t) => {
  const io = new Server(0);
  t.after(() => io.close());
  const { httpServer } = io;
  await once(httpServer, "listening");
  let isClosed = false;
  io.of("/").adapter.close = () => void (isClosed = true);
  const closed = once(httpServer, "close");
  await io.detach();
  await closed;
  assert.equal(isClosed, false);
});

test("an engine that was bound stays as it is, without its clients [ROB-735]", OURS, async (t) => {
  const { io, port, httpServer } = await startServer(t, {}, {});
  const { engine } = io;
  const bound = new Server();
  bound.bind(engine);
  const ws = await WireSocket.open(port, WEBSOCKET);
  await ws.next();
  await bound.detach();
  assert.equal((await ws.end).code, 1012);
  assert.equal(engine.listenerCount("connection"), 1);
  assert.equal(httpServer.listening, true);
  assert.equal((await http(port, { path: POLLING })).status, 200);
});

test("an HTTP server without listeners answers nothing of ours afterwards [ROB-735]", OURS, async (t) => {
  const io = new Server();
  const { httpServer, port } = await startHttp(t, createServer());
  io.attach(httpServer);
  await io.detach();
  httpServer.on("request", (_request, response) => response.end("late"));
  assert.equal((await http(port, { path: POLLING })).text, "late");
});
