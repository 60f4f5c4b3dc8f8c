/** roomcast/testing: servers and clients in memory, waiting for events, networks that fail, several servers. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { createServer, get } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import { test } from "node:test";
import { io as clientIo } from "socket.io-client";
import { client, once } from "../../support/client.js";
import { requireFromTarget } from "../../support/packages.js";
import { startServer } from "../../support/server.js";
import { isReference, oursOnly } from "../../support/target.js";

const OURS = oursOnly("it has no such entry");
const { createTestCluster, createTestServer, expectEvent, expectNoEvent } = isReference ? {} : requireFromTarget("roomcast/testing");
const { Server } = isReference ? {} : requireFromTarget("roomcast");
const timeoutMs = 20_000;

/** A test server that is closed when the test ends. */
function serve(t, ...args) {
  const server = createTestServer(...args);
  t.after(() => server.close());
  return server;
}

for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
  test(`connects clients of socket.io-client in memory over ${transports.join(" and ")}, without a port [ROB-955]`, OURS, async (t) => {
    const { io, httpServer, connect, network } = serve(t);
    io.of("/chat").on("connection", (socket) => socket.on("echo", (value, answer) => answer(value, socket.handshake.auth)));
    const client = await connect("/chat", { transports, auth: { user: "ann" } });
    assert.equal(httpServer.listening, false);
    const answer = new Promise((resolve) => client.emit("echo", Buffer.from([1, 250]), (...args) => resolve(args)));
    const [raw, auth] = await answer;
    assert.deepEqual([Buffer.from(raw), auth], [Buffer.from([1, 250]), { user: "ann" }]);
    await network.settled();
    assert.equal(client.io.engine.transport.name, transports.at(-1));
    assert.equal(io.engine.clientsCount, 1);
  });
}

test("rejects with the error of a middleware, and for a namespace that does not exist [ROB-956]", OURS, async (t) => {
  const { io, connect } = serve(t);
  io.use((socket, next) =>
    next(socket.handshake.auth.token === "good" ? undefined : Object.assign(new Error("no"), { data: { code: 7 } })),
  );
  await assert.rejects(connect("/", { auth: { token: "bad" } }), { message: "no", data: { code: 7 } });
  await assert.rejects(connect("/missing"), { message: "Invalid namespace" });
  assert.equal((await connect("/", { auth: { token: "good" } })).connected, true);
});

test("takes the server of a program, with its HTTP routes, and clients that a program makes [ROB-957]", OURS, async (t) => {
  const httpServer = createServer((_request, response) => response.end("a page"));
  const { io, connect, agent, url } = serve(t, new Server(httpServer, { path: "/live" }), { client: clientIo });
  assert.equal((await connect()).connected, true);
  const page = await new Promise((resolve, reject) => get(`${url}/`, { agent }, resolve).on("error", reject));
  assert.equal((await page.setEncoding("utf8").toArray()).join(""), "a page");
  const own = clientIo(url, { agent, path: "/live", forceNew: true, transports: ["websocket"] });
  t.after(() => own.disconnect());
  await expectEvent(own, "connect", { timeoutMs });
  assert.equal(io.engine.clientsCount, 2);
});

test("says what was received instead of the event, and that it came too early [ROB-958]", OURS, async (t) => {
  const { io, connect, network } = serve(t);
  const client = await connect();
  const missed = expectEvent(client, "news", { timeoutMs: 2_000 });
  io.emit("other", 1, { deep: "x" });
  await assert.rejects(missed, { message: `expected the event "news" within 2000 ms; received instead: other(1, { deep: 'x' })` });
  io.emit("news", 1);
  await network.settled();
  await assert.rejects(
    expectEvent(client, "news", { timeoutMs: 1 }),
    /received nothing\. It came [\d.]+ ms before it was expected: news\(1\)$/,
  );
  const second = expectEvent(client, "news", { where: (value) => value === 2, timeoutMs });
  io.emit("news", 1);
  io.emit("news", 2);
  assert.deepEqual(await second, [2]);
  assert.equal(client.listeners("news").length, 0);
});

test("expects that an event does not come [ROB-958]", OURS, async (t) => {
  const { io, connect, network } = serve(t);
  const client = await connect();
  io.to("others").emit("secret");
  await expectNoEvent(client, "secret", network.settled());
  io.emit("secret", 1);
  await assert.rejects(expectNoEvent(client, "secret", network.settled()), { message: 'expected no event "secret", received secret(1)' });
});

test("cuts the network of one client and restores it: the client reconnects and recovers [ROB-959]", OURS, async (t) => {
  const { io, connect, network } = serve(t, { connectionStateRecovery: {} });
  const [client, other] = [await connect(), await connect()];
  io.emit("first");
  await network.settled();
  const gone = expectEvent(client, "disconnect", { timeoutMs });
  network.cut(client);
  assert.equal((await gone)[0], "transport close");
  await expectEvent(client.io, "reconnect_error", { timeoutMs });
  io.emit("missed", 1);
  const missed = expectEvent(client, "missed", { timeoutMs });
  network.restore(client);
  assert.equal((await missed)[0], 1);
  assert.equal(client.recovered, true);
  assert.equal(other.connected, true);
});

test("a silent network is noticed by heartbeats alone, under the clock of node:test [ROB-959, ROB-960]", OURS, async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  const { io, connect, network } = serve(t);
  const client = await connect();
  const [socket] = io.sockets.sockets.values();
  network.silence(client);
  const gone = expectEvent(socket, "disconnect", { timeoutMs });
  t.mock.timers.tick(25_000);
  t.mock.timers.tick(19_999);
  await expectNoEvent(socket, "disconnect", network.settled());
  t.mock.timers.tick(1);
  assert.equal((await gone)[0], "ping timeout");
  network.restore();
});

test("acknowledgements time out by a fake clock, and deliveries need none [ROB-960]", OURS, async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval", "setImmediate", "Date"] });
  const { io, connect } = serve(t);
  const client = await connect();
  client.on("ask", (answer) => answer("yes"));
  assert.deepEqual(await io.timeout(1_000).emitWithAck("ask"), ["yes"]);
  client.off("ask");
  const late = assert.rejects(io.timeout(60_000).emitWithAck("ask"), { message: "operation has timed out" });
  t.mock.timers.tick(60_000);
  await late;
});

test("a client that leaves while the network is silent is gone for the server once it is restored [ROB-959]", OURS, async (t) => {
  const { io, connect, network } = serve(t);
  const client = await connect();
  const [socket] = io.sockets.sockets.values();
  network.silence(client);
  client.disconnect();
  await expectNoEvent(socket, "disconnect", network.settled());
  const gone = expectEvent(socket, "disconnect", { timeoutMs });
  network.restore(client);
  await gone;
});

test("a network that is cut after a client has left it in silence ends the server's side, too [ROB-959]", OURS, async (t) => {
  const { io, connect, network } = serve(t);
  const client = await connect();
  const [socket] = io.sockets.sockets.values();
  network.silence(client);
  client.disconnect();
  await network.settled();
  const gone = expectEvent(socket, "disconnect", { timeoutMs });
  network.cut(client);
  assert.equal((await gone)[0], "transport close");
});

test("a client that gives up before a silent network lets it through leaves nothing under way [ROB-959, ROB-962]", OURS, async (t) => {
  const { io, agent, url, network } = serve(t);
  network.silence();
  const own = clientIo(url, { agent, forceNew: true, transports: ["websocket"] });
  await network.settled();
  own.disconnect();
  await network.settled();
  network.restore();
  await network.settled();
  assert.equal(io.engine.clientsCount, 0);
});

test("a slow client makes the server's buffer grow, and gets everything later [ROB-959]", OURS, async (t) => {
  const { io, connect, network } = serve(t);
  const client = await connect();
  const [socket] = io.sockets.sockets.values();
  network.slow(client);
  for (let index = 0; index < 100; index++) socket.emit("n", index, "x".repeat(10_000));
  await network.settled();
  assert.ok(socket.bufferedBytes > 900_000, `${socket.bufferedBytes} bytes`);
  const heard = expectEvent(socket, "still here", { timeoutMs });
  client.emit("still here");
  await heard;
  const got = [];
  client.on("n", (index) => got.push(index));
  const last = expectEvent(client, "n", { where: (index) => index === 99, timeoutMs });
  network.restore(client);
  await last;
  assert.equal(got.length, 100);
});

test("rejects with the error of where, which the emitter does not get [ROB-958]", OURS, async () => {
  const emitter = new EventEmitter();
  const heard = expectEvent(emitter, "news", {
    where() {
      throw new Error("no such member");
    },
    timeoutMs,
  });
  emitter.emit("news", 1);
  await assert.rejects(heard, { message: "no such member" });
  assert.equal(emitter.listenerCount("news"), 0);
});

test("an event that is late while the test waits for something else is no unhandled rejection [ROB-958]", OURS, async () => {
  const emitter = new EventEmitter();
  const late = expectEvent(emitter, "first", { timeoutMs: 1 });
  await assert.rejects(expectEvent(emitter, "second", { timeoutMs: 100 }), /the event "second" within 100 ms/);
  await assert.rejects(late, /the event "first" within 1 ms/);
});

test("several servers behave as one; their bus can be cut and restored [ROB-961]", OURS, async (t) => {
  const { nodes, bus, settled, close } = await createTestCluster(3);
  t.after(close);
  const clients = [];
  for (const node of nodes) clients.push(await node.connect());
  const heard = clients.map((client) => expectEvent(client, "news", { timeoutMs }));
  nodes[0].io.emit("news", 1);
  assert.deepEqual(await Promise.all(heard), [[1], [1], [1]]);
  assert.equal((await nodes[1].io.fetchSockets()).length, 3);
  bus.cut();
  nodes[0].io.emit("news", 2);
  await expectNoEvent(clients[2], "news", settled());
  bus.restore();
  const again = expectEvent(clients[2], "news", { timeoutMs });
  nodes[0].io.emit("news", 3);
  assert.deepEqual(await again, [3]);
});

test("leaves nothing behind that keeps a process alive [ROB-962]", OURS, async () => {
  const { io, connect, close } = createTestServer();
  const client = await connect("/", { transports: ["polling", "websocket"] });
  await close();
  assert.equal(client.connected, false);
  assert.equal(io.engine.clientsCount, 0);
  await assert.rejects(connect(), { code: "RC_ERR_ARGUMENT", message: "connect: this test server is closed" });
});

test("a client that still connects is told at once that the server was closed [ROB-962]", OURS, async () => {
  const { io, connect, close } = createTestServer();
  io.use(() => {});
  const refused = assert.rejects(connect(), { code: "RC_ERR_ARGUMENT", message: "connect: this test server was closed meanwhile" });
  await close();
  await refused;
});

test("says at once what it cannot use [ROB-963]", OURS, async (t) => {
  const { connect, network } = serve(t);
  const swapped = /expected a namespace like "\/chat", met \[Object\]; options are the second argument/;
  await assert.rejects(connect({ auth: { token: "good" } }), { code: "RC_ERR_ARGUMENT", message: swapped });
  await assert.rejects(connect("chat"), { code: "RC_ERR_ARGUMENT", message: 'connect: expected a namespace like "/chat", met "chat"' });
  for (const [value, met] of [
    [{}, "{}"],
    [null, "null"],
    [clientIo("http://127.0.0.1:1", { autoConnect: false }), "[Socket]"],
  ])
    assert.throws(() => network.cut(value), {
      code: "RC_ERR_ARGUMENT",
      message: `network: expected a client that connect() of this server has given, met ${met}`,
    });
  await assert.rejects(serve(t, {}, { client: 1 }).connect(), { message: "client: expected io of socket.io-client, met number" });
  assert.throws(() => expectEvent(undefined, "x"), {
    code: "RC_ERR_ARGUMENT",
    message: "expectEvent: expected an emitter of events, met undefined",
  });
  const emitter = new EventEmitter();
  for (const [args, message] of [
    [[undefined], "the name of an event, met undefined"],
    [["x", 500], "options like { timeoutMs: 500 }, met 500"],
    [["x", null], "options like { timeoutMs: 500 }, met null"],
    [["x", { timeoutMs: NaN }], "timeoutMs above 0 and up to 2147483647, met NaN"],
    [["x", { timeoutMs: Infinity }], "timeoutMs above 0 and up to 2147483647, met Infinity"],
    [["x", { timeoutMs: "1" }], "timeoutMs above 0 and up to 2147483647, met '1'"],
    [["x", { where: 1 }], "a function as where, met 1"],
  ])
    assert.throws(() => expectEvent(emitter, ...args), { code: "RC_ERR_ARGUMENT", message: `expectEvent: expected ${message}` });
  for (const [args, message] of [
    [["x"], "a promise, like network.settled(), met undefined"],
    [["x", network.settled], "a promise, like network.settled(), met [Function: settled]"],
    [[1, network.settled()], "the name of an event, met 1"],
  ])
    await assert.rejects(expectNoEvent(emitter, ...args), { code: "RC_ERR_ARGUMENT", message: `expectNoEvent: expected ${message}` });
  assert.deepEqual(emitter.eventNames(), []);
  for (const [server, message] of [
    [3000, "options or a server, met 3000"],
    [null, "options or a server, met null"],
    [new Server(createHttpsServer()), "an HTTP server of node:http, met one with TLS"],
    [createHttpsServer(), "an HTTP server of node:http, met one with TLS"],
    [new Server(createHttp2Server()), "an HTTP server of node:http, met Http2Server"],
  ])
    assert.throws(() => createTestServer(server), { code: "RC_ERR_ARGUMENT", message: `createTestServer: expected ${message}` });
  for (const count of [0, 65, 1.5, "2"])
    await assert.rejects(createTestCluster(count), { code: "RC_ERR_ARGUMENT", message: /expected a number of servers from 1 to 64, met/ });
});

for (const transport of ["websocket", "polling"]) {
  test(`connect rejects as over a port when a middleware of the engine answers the handshake itself, ${transport} [ROB-956, ENG-73]`, async (t) => {
    const { io, connect, close } = createTestServer();
    t.after(close);
    io.engine.use((req, res) => res.writeHead(403).end("no"));
    const seen = await connect("/", { transports: [transport] }).catch((error) => error);
    const listening = await startServer(t);
    listening.io.engine.use((req, res) => res.writeHead(403).end("no"));
    const overPort = client(t, listening.port, "/", { transports: [transport] });
    const [expected] = await once(overPort, "connect_error");
    assert.equal(seen.message, expected.message);
    assert.equal(seen.message, transport === "polling" ? "xhr poll error" : "websocket error");
  });
}
