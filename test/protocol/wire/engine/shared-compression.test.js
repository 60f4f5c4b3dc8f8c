/** Broadcasts to many long-polling clients: their responses are compressed once per encoding, and shared. */
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { test } from "node:test";
import { connect, once, record } from "../../../support/client.js";
import { catchProcess, eventually, fence } from "../../../support/pairs.js";
import { startServer } from "../../../support/server.js";
import { oursOnly } from "../../../support/target.js";
import { PollingSession } from "../../../support/wire-client.js";

const zlib = createRequire(import.meta.url)("node:zlib"); // the object on which the server finds `gzip` and `deflate`
const { gunzipSync, inflateSync } = zlib;
const TEXT = "a text that is long enough to be compressed ".repeat(40);
const ALONE = oursOnly("it compresses each response by itself");

/** Counts compressions by encoding until the test ends. With `mayRun` (a promise) they begin when it is fulfilled. */
function watchCompressions(t, mayRun = null) {
  const counts = { gzip: 0, deflate: 0 };
  for (const name of ["gzip", "deflate"]) {
    for (const method of [name, `${name}Sync`]) {
      const original = zlib[method];
      zlib[method] = (...args) => {
        counts[name]++;
        return mayRun === null || method !== name ? original(...args) : void mayRun.then(() => original(...args));
      };
      t.after(() => (zlib[method] = original));
    }
  }
  return counts;
}

/** A polling client that has joined `/`; `nextPoll()` sends a poll and resolves with its response, once the server has the poll. */
async function joinByPolling({ io, port }, { encoding = "gzip", eio = 4, query = "" } = {}) {
  const joined = once(io, "connection");
  const session = await PollingSession.open(port, query, { path: "/socket.io/", eio });
  if (eio === 4) {
    await session.post(query === "" ? "40" : "d=40", { query });
    await session.get({ query });
  }
  const [socket] = await joined;
  const nextPoll = async () => {
    const response = session.get({ query, headers: { "Accept-Encoding": encoding } });
    response.catch(() => {});
    await eventually(() => socket.conn.transport.writable, "the poll");
    return { response };
  };
  if (eio === 3) await session.get();
  return { socket, session, encoding, nextPoll };
}

function decoded({ headers, body }) {
  if (headers["content-encoding"] === "gzip") return gunzipSync(body).toString();
  if (headers["content-encoding"] === "deflate") return inflateSync(body).toString();
  return body.toString();
}

/** Polls with all clients, lets `emit` run, and gives all responses. */
async function pollAll(clients, emit) {
  const polls = [];
  for (const client of clients) polls.push(await client.nextPoll());
  emit();
  return Promise.all(polls.map(({ response }) => response));
}

for (const flush of ["tick", "immediate"]) {
  test(`compresses a broadcast once per encoding for all polling clients, flush: ${flush} [ROB-640]`, ALONE, async (t) => {
    const server = await startServer(t, { flush });
    const encodings = ["gzip", "deflate", "br", "identity", "gzip;q=0.5, deflate", "gzip, deflate, br, zstd", "*"];
    const clients = [];
    for (let i = 0; i < 21; i++) clients.push(await joinByPolling(server, { encoding: encodings[i % 7] }));
    const counts = watchCompressions(t);
    for (let n = 1; n <= 3; n++) {
      const responses = await pollAll(clients, () => server.io.emit("n", n, TEXT));
      assert.deepEqual(counts, { gzip: n, deflate: n });
      for (const [i, response] of responses.entries()) {
        const expected = ["gzip", "deflate", undefined, undefined, "deflate", "gzip", "gzip"][i % 7];
        assert.equal(response.headers["content-encoding"], expected);
        assert.equal(response.headers["content-length"], String(response.body.length));
        assert.equal(decoded(response), `42["n",${n},${JSON.stringify(TEXT)}]`);
        const first = responses.find(({ headers }) => headers["content-encoding"] === expected);
        assert.deepEqual(response.body, first.body);
      }
    }
  });
}

test("shares what is compressed already with clients that poll later [ROB-640]", ALONE, async (t) => {
  const server = await startServer(t);
  const clients = [await joinByPolling(server), await joinByPolling(server), await joinByPolling(server)];
  const counts = watchCompressions(t);
  const { response } = await clients[0].nextPoll();
  server.io.emit("n", TEXT);
  const { body } = await response;
  for (const { session } of clients.slice(1)) {
    assert.deepEqual((await session.get({ headers: { "Accept-Encoding": "gzip" } })).body, body);
  }
  assert.equal(counts.gzip, 1);
});

test("compresses responses that differ between clients one by one [ROB-640, ENG-100]", ALONE, async (t) => {
  const server = await startServer(t, { allowEIO3: true, jsonp: true });
  const plain = [await joinByPolling(server), await joinByPolling(server)];
  const legacy = [await joinByPolling(server, { eio: 3 }), await joinByPolling(server, { eio: 3 })];
  const scripts = [await joinByPolling(server, { query: "j=0" }), await joinByPolling(server, { query: "j=1" })];
  const clients = [...plain, ...legacy, ...scripts];
  const counts = watchCompressions(t);
  const packet = `42["n",${JSON.stringify(TEXT)}]`;
  const expected = [packet, packet, `${packet.length}:${packet}`, `${packet.length}:${packet}`];
  const responses = await pollAll(clients, () => server.io.emit("n", TEXT));
  for (const [i, text] of expected.entries()) assert.equal(decoded(responses[i]), text);
  for (const i of [4, 5]) assert.equal(decoded(responses[i]), `___eio[${i - 4}](${JSON.stringify(packet)});`);
  assert.equal(counts.gzip, 1 + 2 + 2);

  const mixed = await pollAll(clients, () => {
    server.io.emit("n", TEXT);
    plain[1].socket.emit("own");
  });
  assert.equal(decoded(mixed[0]), packet);
  assert.equal(decoded(mixed[1]), `${packet}\x1e42["own"]`);
  assert.equal(counts.gzip, 5 + 6);

  await pollAll(clients, () => {
    for (const { socket } of clients) socket.emit("n", TEXT);
  });
  assert.equal(counts.gzip, 11 + 6);
});

test("compresses no broadcast that is short or sent with compress(false) [ROB-640, ENG-100, EVT-8]", ALONE, async (t) => {
  const server = await startServer(t);
  const clients = [await joinByPolling(server), await joinByPolling(server)];
  const counts = watchCompressions(t);
  for (const emit of [() => server.io.emit("short"), () => server.io.compress(false).emit("n", TEXT)]) {
    for (const { headers } of await pollAll(clients, emit)) assert.equal(headers["content-encoding"], undefined);
  }
  const binary = await pollAll(clients, () => server.io.emit("n", Buffer.from(TEXT))); // two packets
  for (const response of binary) {
    const [head, bytes] = decoded(response).split("\x1e");
    assert.equal(head, '451-["n",{"_placeholder":true,"num":0}]');
    assert.equal(Buffer.from(bytes.slice(1), "base64").toString(), TEXT);
  }
  assert.equal(counts.gzip, 2);
});

test("keeps the order when broadcasts follow while one is being compressed, and clients of all transports get all [ROB-640, ENG-87]", async (t) => {
  const server = await startServer(t);
  const clients = [];
  for (const transports of [["polling"], ["websocket"], ["polling", "websocket"], ["polling"]]) {
    clients.push(await connect(t, server.port, "/", { transports }));
  }
  const heard = clients.map((client) => record(client, "n"));
  const sockets = clients.map(({ id }) => server.io.sockets.sockets.get(id));
  const expected = clients.map(() => []);
  for (let n = 0; n < 40; n++) {
    server.io.emit("n", n, TEXT);
    expected.forEach((list) => list.push(n));
    if (n % 3 === 0) {
      sockets[n % 4].emit("n", n + 0.5, TEXT);
      expected[n % 4].push(n + 0.5);
    }
    await new Promise(setImmediate);
  }
  for (const [i, client] of clients.entries()) await fence(sockets[i], client);
  assert.deepEqual(
    heard.map(({ events }) => events.map(([, n, text]) => (text === TEXT ? n : text))),
    expected,
  );
});

test(
  "drops a client that leaves while its response is compressed; the others get it, in no client's async context [ROB-640, ENG-87, EVT-34]",
  ALONE,
  async (t) => {
    const contexts = new AsyncLocalStorage();
    const server = await startServer(t);
    const clients = [];
    for (let i = 0; i < 4; i++) clients.push(await joinByPolling(server));
    const seen = [];
    for (const { socket } of clients) socket.conn.transport.on("headers", () => seen.push(contexts.getStore()));
    let run;
    const counts = watchCompressions(t, new Promise((resolve) => (run = resolve)));
    const polls = [];
    for (const client of clients) polls.push(await client.nextPoll());
    contexts.run("one client's", () => server.io.emit("n", TEXT));
    await eventually(() => counts.gzip === 1, "the compression");
    for (const i of [0, 2]) {
      const ended = once(clients[i].socket, "disconnect");
      polls[i].response.abort();
      assert.equal((await ended)[0], "transport error");
    }
    run();
    for (const i of [1, 3]) assert.equal(decoded(await polls[i].response), `42["n",${JSON.stringify(TEXT)}]`);
    assert.deepEqual(counts, { gzip: 1, deflate: 0 });
    assert.deepEqual(seen, [undefined, undefined]);
  },
);

test("answers each client although a listener of another throws [ROB-640]", ALONE, async (t) => {
  const server = await startServer(t);
  const clients = [await joinByPolling(server), await joinByPolling(server)];
  const thrown = catchProcess(t, "uncaughtException");
  clients[0].socket.conn.transport.on("headers", () => {
    throw new Error("of a listener");
  });
  const responses = await pollAll(clients, () => server.io.emit("n", TEXT));
  assert.deepEqual(
    responses.map(({ status }) => status),
    [500, 200],
  );
  assert.equal((await thrown.next()).message, "of a listener");
});

test("counts the compressed bytes of a response that is not read [ROB-641]", oursOnly("it has no bufferedBytes"), async (t) => {
  const server = await startServer(t, { httpCompression: { level: 1 } }, {}); // on uWebSockets.js nobody knows it
  const { socket, nextPoll } = await joinByPolling(server);
  const { response } = await nextPoll();
  response.connection.socket.pause();
  server.io.emit("n", randomBytes(4e6).toString("base64") + "x".repeat(4e6)); // 9.3 MB, of which more than 4 MB remain
  await eventually(() => socket.conn.transport.bufferedBytes > 0, "a response that is not read");
  assert.ok(socket.conn.bufferedBytes < 5e6, `${socket.conn.bufferedBytes}`);
  response.abort();
});
