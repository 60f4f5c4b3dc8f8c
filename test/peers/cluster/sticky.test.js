// @socket.io/sticky: one port, many workers, and every request of a session at the worker that has it.
import assert from "node:assert/strict";
import cluster from "node:cluster";
import { createRequire } from "node:module";
import { request } from "node:http";
import { connect as connectTcp } from "node:net";
import { test } from "node:test";
import { client, connect, once, waitFor } from "../../support/client.js";
import { startServer } from "../../support/server.js";
import { ALL_OURS, waitUntil, inboxes } from "./cluster.js";
import { connectToEach, startWorkers, workerOf } from "./node-cluster.js";

const require = createRequire(import.meta.url);
const { setupWorker } = require("@socket.io/sticky");
const timeout = 60_000;
const handshakePath = "/socket.io/?EIO=4&transport=polling";

/** One HTTP request: `{ status, headers, body }`. */
function ask(url, path, { method = "GET", headers = {}, chunks = [] } = {}) {
  return new Promise((resolve, reject) => {
    const outgoing = request(`${url}${path}`, { method, headers, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text) => (body += text));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body }));
    });
    outgoing.on("error", reject);
    for (const chunk of chunks) outgoing.write(chunk);
    outgoing.end();
  });
}

/** A session opened by hand: its sid. */
async function open({ url }) {
  const { status, body } = await ask(url, handshakePath);
  assert.equal(status, 200);
  return JSON.parse(body.slice(1)).sid;
}

for (const method of ["round-robin", "least-connection", "random"]) {
  test(`brings every request of a client to the worker that has its session, ${method} [STK-1, STK-2, STK-3]`, { timeout }, async (t) => {
    const workers = await startWorkers(t, { kinds: ALL_OURS, method });
    const counts = [0, 0, 0];
    for (let count = 0; count < 6; count++) {
      const socket = await connect(t, workers.url, "/", { transports: ["polling"] });
      assert.match(socket.io.engine.id, /^[\w-]{20}$/);
      counts[workerOf(workers, socket)]++;
      for (const value of [1, "two", Buffer.from([3])]) assert.deepEqual(await socket.emitWithAck("echo", value), value);
    }
    if (method !== "random") assert.deepEqual(counts, [2, 2, 2]);
  });
}

test("lets clients upgrade, and connect by WebSocket alone [STK-3]", { timeout }, async (t) => {
  const workers = await startWorkers(t, { kinds: ALL_OURS });
  for (const transports of [["polling", "websocket"], ["websocket"]]) {
    const socket = client(t, workers.url, "/", { transports });
    await once(socket, "connect");
    if (socket.io.engine.transport.name !== "websocket") await waitFor(socket.io.engine, "upgrade", () => true);
    assert.equal(socket.io.engine.transport.name, "websocket");
    assert.equal(await socket.emitWithAck("echo", "hello"), "hello");
  }
});

test("refuses to be set up in the wrong process [STK-1]", { timeout }, async (t) => {
  assert.equal(cluster.isPrimary, true);
  const { io } = await startServer(t);
  assert.throws(() => setupWorker(io), { message: "not worker" });
  const workers = await startWorkers(t, { kinds: ["roomcast"] });
  const message = await workers.call(0, ({ io, require }) => {
    try {
      return require("@socket.io/sticky").setupMaster(io.httpServer);
    } catch (error) {
      return error.message;
    }
  });
  assert.equal(message, "not primary");
});

test("takes bodies of any size that the primary relays, whole or in chunks [STK-4, STK-6]", { timeout }, async (t) => {
  const workers = await startWorkers(t, { kinds: ["roomcast", "roomcast"] });
  const long = "é".repeat(300_000);
  const socket = await connect(t, workers.url, "/", { transports: ["polling"] });
  assert.equal(await socket.emitWithAck("echo", long), long);

  const sid = await open(workers);
  const post = (chunks, headers) => ask(workers.url, `${handshakePath}&sid=${sid}`, { method: "POST", chunks, headers });
  assert.deepEqual(await post(["40"], { "content-length": 2 }).then(({ status, body }) => [status, body]), [200, "ok"]);
  const admitted = await ask(workers.url, `${handshakePath}&sid=${sid}`);
  assert.match(admitted.body, /^40\{"sid":/);
  const event = Buffer.from(`420["echo","${"é".repeat(50_000)}"]`);
  const chunks = [event.subarray(0, 21), event.subarray(21, 70_000), event.subarray(70_000)];
  assert.equal((await post(chunks, { "transfer-encoding": "chunked" })).status, 200);
  assert.equal((await ask(workers.url, `${handshakePath}&sid=${sid}`)).body, `430["${"é".repeat(50_000)}"]`);
});

test("knows the client's address though the handshake was relayed [STK-6]", { timeout }, async (t) => {
  const workers = await startWorkers(t, { kinds: ["roomcast"] });
  const known = once(workers.news, "sticky:connection");
  const { status } = await ask(workers.url, handshakePath, { headers: { "content-length": 1 }, chunks: ["x"] });
  assert.equal(status, 200);
  const [{ sid }] = await known;
  const address = await workers.call(0, ({ io }, sid) => io.engine.clients[sid].remoteAddress, sid);
  assert.match(address, /127\.0\.0\.1$/);
});

test("closes the session of a client that disconnects in the middle of a body, and keeps running [STK-4]", { timeout }, async (t) => {
  const workers = await startWorkers(t, { kinds: ["roomcast"] });
  const sid = await open(workers);
  const { port } = new URL(workers.url);
  await workers.call(0, ({ io, kept }) => {
    kept.begun = new Promise((resolve) => io.httpServer.once("request", () => resolve()));
  });
  const gone = once(workers.news, "sticky:disconnection");
  const raw = connectTcp(Number(port), "127.0.0.1");
  raw.write(`POST ${handshakePath}&sid=${sid} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n`);
  await workers.call(0, ({ kept }) => kept.begun);
  raw.destroy();
  const [{ sid: ended }] = await gone;
  assert.equal(ended, sid);
  const socket = await connect(t, workers.url, "/", { transports: ["polling"] });
  assert.equal(await socket.emitWithAck("echo", 1), 1);
});

test("notifies the primary of the start and end of every session, and keeps no connection open [STK-5]", { timeout }, async (t) => {
  const workers = await startWorkers(t, { kinds: ALL_OURS });
  const clients = await connectToEach(t, workers, ALL_OURS);
  const sids = clients.map(({ io }) => io.engine.id);
  assert.deepEqual(
    sids.map((sid) => workers.sessions.get(sid)),
    [0, 1, 2],
  );
  for (const path of [handshakePath, `${handshakePath}&sid=${sids[1]}`, "/socket.io/?EIO=9&transport=polling"]) {
    const answer = ask(workers.url, path, { headers: { connection: "keep-alive" } });
    assert.equal((await answer).headers.connection, "close");
  }
  const ended = inboxes([workers.news], "sticky:disconnection")[0];
  clients[2].disconnect();
  while (!ended.some(([{ sid }]) => sid === sids[2])) await once(workers.news, "sticky:disconnection");
});

test("answers 503 without workers, and forgets the sessions of a worker that ends [STK-7]", { timeout }, async (t) => {
  const none = await startWorkers(t, { kinds: [] });
  assert.equal((await ask(none.url, handshakePath)).status, 503);

  const workers = await startWorkers(t, { kinds: ["roomcast", "roomcast"] });
  const socket = client(t, workers.url, "/", { transports: ["polling"], reconnection: true, reconnectionDelay: 1 });
  await once(socket, "connect");
  const sid = socket.io.engine.id;
  const first = workerOf(workers, socket);
  const over = once(workers.news, "exit");
  const back = waitFor(socket, "connect", () => true);
  // A connection that is on its way to a worker while that ends is lost.
  await waitUntil(() => workers.call(first, ({ io }, sid) => io.engine.clients[sid].transport.writable, sid), "the poll to be waiting");
  process.kill(await workers.call(first, ({ require }) => require("node:process").pid), "SIGKILL");
  await over;
  await back;
  assert.notEqual(workerOf(workers, socket), first);
  const { status, body } = await ask(`http://127.0.0.1:${workers.port}`, `${handshakePath}&sid=${sid}`);
  const { hint, ...refusal } = JSON.parse(body);
  assert.deepEqual([status, refusal], [400, { code: 1, message: "Session ID unknown" }]);
  assert.match(hint, /sticky sessions/); // ROB-894
});

test("WebSocket alone needs no stickiness: workers that share a port, the cluster adapter between them [STK-8]", { timeout }, async (t) => {
  const workers = await startWorkers(t, { kinds: ALL_OURS, isSticky: false });
  const clients = [];
  for (let count = 0; count < 6; count++) clients.push(await connect(t, workers.url, "/", { transports: ["websocket"] }));
  const counts = await Promise.all([0, 1, 2].map((index) => workers.call(index, ({ io }) => io.engine.clientsCount)));
  assert.deepEqual(counts, [2, 2, 2]);
  const heard = Promise.all(clients.map((socket) => once(socket, "news")));
  await workers.call(0, ({ io }) => void io.emit("news", 1));
  assert.deepEqual(await heard, Array(6).fill([1]));
});

test("without sticky sessions, a request that reaches another server is refused [STK-9]", async (t) => {
  const [one, other] = [await startServer(t), await startServer(t)];
  const sid = await open(one);
  for (const method of ["GET", "POST"]) {
    const { status, body } = await ask(other.url, `${handshakePath}&sid=${sid}`, { method });
    assert.deepEqual([status, body], [400, '{"code":1,"message":"Session ID unknown"}']);
  }
});
