/** What `io.close()` waits for, and for how long. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { http, HttpConnection, PollingSession, WireSocket } from "../../support/wire-client.js";
import { once } from "../../support/client.js";
import { oursOnly } from "../../support/target.js";
import { startServer } from "../../support/server.js";
import { within } from "../../support/wait.js";

const PATH = "/socket.io/?EIO=4&transport=websocket";
const BOUNDED = oursOnly("it waits for every peer");
const CLOSE_MS = 200;
/** Far less than any peer would be waited for without the bound. */
const LIMIT_MS = 4000;

async function silentTcp(t, port) {
  const socket = connect(port, "127.0.0.1");
  t.after(() => socket.destroy());
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** Peers that do nothing when the server closes. */
const SILENT_PEERS = {
  "a WebSocket that never answers the Close frame": async (t, port) => {
    const ws = await WireSocket.open(port, PATH);
    t.after(() => ws.abort());
    ws.pause();
  },
  "a polling client in the middle of a POST": async (t, port) => {
    const session = await PollingSession.open(port, "", { path: "/socket.io/" });
    const connection = await HttpConnection.open(port);
    t.after(() => connection.abort());
    connection.write(`POST ${session.url()} HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n4`);
  },
  "a connection that sends nothing": silentTcp,
  "a connection in the middle of a request's head": async (t, port) => void (await silentTcp(t, port)).write("GET / HTTP/1.1\r\nHost:"),
  "an upgrade request for another path": async (t, port) => {
    const socket = await silentTcp(t, port);
    socket.write("GET /other HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  },
};

for (const [kind, open] of Object.entries(SILENT_PEERS)) {
  test(`io.close() ends within closeTimeout although there is ${kind} [ROB-162, SRV-62]`, BOUNDED, async (t) => {
    const { io, port, httpServer } = await startServer(t, { closeTimeout: CLOSE_MS, destroyUpgradeTimeout: 50 }, {});
    await open(t, port);
    await http(port, { path: "/socket.io/?EIO=4&transport=polling" }); // the peer's bytes were read before
    await within(io.close(), "io.close()", undefined, LIMIT_MS);
    assert.equal(httpServer.listening, false);
  });
}

for (const host of [{ https: true }, { http2: true }]) {
  test(`io.close() ends within closeTimeout although a client is silent, over ${Object.keys(host)[0]} [ROB-162]`, BOUNDED, async (t) => {
    const { io, port } = await startServer(t, { closeTimeout: CLOSE_MS }, host);
    await silentTcp(t, port);
    const ws = await WireSocket.open(port, PATH, {}, { tls: true });
    t.after(() => ws.abort());
    ws.pause();
    await within(io.close(), "io.close()", undefined, LIMIT_MS);
  });
}

test("io.close() waits for an adapter no longer than closeTimeout [ROB-163, SRV-61]", BOUNDED, async (t) => {
  const { io, httpServer } = await startServer(t, { closeTimeout: CLOSE_MS }, {});
  io.of("/").adapter.close = () => new Promise(() => {});
  await within(io.close(), "io.close()", undefined, LIMIT_MS);
  assert.equal(httpServer.listening, false);
});

test("refuses a closeTimeout that cannot work [ROB-162, OPT-1]", oursOnly("it has no such option"), async (t) => {
  for (const closeTimeout of [-1, NaN, "5", null]) {
    await assert.rejects(startServer(t, { closeTimeout }), { code: "RC_ERR_OPTION" });
  }
});

/** A server whose adapter closes when told to, so that there is a time between the first moment of `io.close()` and the last. */
async function closingServer(t, options = {}) {
  const server = await startServer(t, options, {});
  let finish;
  const closed = new Promise((resolve) => (finish = resolve));
  server.io.of("/").adapter.close = () => closed;
  return { ...server, finish: () => finish() };
}

test("io.close() refuses new sessions from its first moment, on polling and WebSocket [ROB-207]", BOUNDED, async (t) => {
  const { io, port, finish } = await closingServer(t);
  const closing = io.close();
  assert.equal((await http(port, { path: "/socket.io/?EIO=4&transport=polling" })).status, 503);
  await assert.rejects(WireSocket.open(port, PATH), ({ response }) => response.status === 503);
  assert.equal(io.engine.clientsCount, 0);
  finish();
  await closing;
});

test("io.close() refuses sessions that wait in allowRequest [ROB-207]", BOUNDED, async (t) => {
  const waiting = [];
  const { io, port, finish } = await closingServer(t, { allowRequest: (request, answer) => waiting.push(answer) });
  const answers = [
    http(port, { path: "/socket.io/?EIO=4&transport=polling" }).then(({ status }) => status),
    WireSocket.open(port, PATH).catch(({ response }) => response.status),
  ];
  while (waiting.length < 2) await new Promise((resolve) => setImmediate(resolve));
  const closing = io.close();
  for (const answer of waiting) answer(null, true);
  assert.deepEqual(await Promise.all(answers), [503, 503]);
  finish();
  await closing;
});

test("no client joins a namespace during io.close() [ROB-207]", BOUNDED, async (t) => {
  const { io, port, finish } = await closingServer(t);
  let joined = 0;
  io.of("/other").on("connection", () => joined++);
  let letIn;
  io.of("/slow").use((socket, next) => (letIn = next));
  io.of("/slow").on("connection", () => joined++);
  const ws = await WireSocket.open(port, PATH);
  await ws.next();
  ws.send("40/slow,");
  while (letIn === undefined) await new Promise((resolve) => setImmediate(resolve));
  const closing = io.close();
  ws.send("40/other,");
  letIn();
  await http(port, { path: "/socket.io/?EIO=4&transport=polling" });
  finish();
  await closing;
  await ws.closed();
  assert.equal(joined, 0);
});

test("a server that was closed takes clients again once it listens again [ROB-207, SRV-65]", async (t) => {
  const { io, httpServer } = await startServer(t, {}, {});
  await io.close();
  await new Promise((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
  const ws = await WireSocket.open(httpServer.address().port, PATH);
  await ws.next();
  ws.send("40");
  assert.match(await ws.next(), /^40\{/);
  ws.abort();
  await io.close();
});

test(
  "io.close() settles acknowledgements with a time-out, of clients that are there and that have left [ROB-450]",
  oursOnly("they run out later"),
  async (t) => {
    const { io, port } = await startServer(t, {}, {});
    const connection = once(io, "connection");
    const ws = await WireSocket.open(port, PATH);
    await ws.next();
    ws.send("40");
    const [socket] = await connection;
    const left = once(io, "connection");
    const gone = await WireSocket.open(port, PATH);
    await gone.next();
    gone.send("40");
    const [other] = await left;
    const outcomes = [];
    const note = (name) => (error) => outcomes.push([name, error.code]);
    other.timeout(600_000).emit("q", note("left"));
    const end = once(other, "disconnect");
    gone.abort();
    await end;
    socket.timeout(600_000).emit("q", note("callback"));
    const promise = socket.timeout(600_000).emitWithAck("q").catch(note("promise"));
    const broadcast = io.timeout(600_000).emitWithAck("q").catch(note("broadcast"));
    ws.socket.on("close", () => {});
    await io.close();
    await Promise.all([promise, broadcast]);
    assert.deepEqual(
      outcomes.sort(),
      ["broadcast", "callback", "left", "promise"].map((name) => [name, "RC_ERR_CLOSED"]),
    );
  },
);
