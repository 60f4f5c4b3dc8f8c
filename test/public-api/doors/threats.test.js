/** Hostile inputs at the doors of the engine and of the namespaces that open on demand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { ending, messages, POLLING, pollingPair, startEcho } from "../../support/engine.js";
import { catchProcess, eventually, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { http, messageFrame, PollingSession, refusedUpgrade, WireSocket } from "../../support/wire-client.js";

test("answers a binary POST of revision 4 with 400, ends its session and frees the connection, a hundred times [ENG-96, EIO-99]", async (t) => {
  const { engine, port } = await startEcho(t);
  for (let round = 0; round < 100; round++) {
    const connection = once(engine, "connection");
    const client = await PollingSession.open(port);
    const [session] = await connection;
    const end = ending(session);
    const waiting = client.get().catch(() => ({ status: 0 }));
    const { status } = await client.post(Buffer.from([0x34, 0x78]), { headers: { "Content-Type": "application/octet-stream" } });
    assert.equal(status, 400);
    assert.match((await end).reason, /^transport (close|error)$/);
    await waiting;
  }
  assert.equal(engine.clientsCount, 0);
  assert.equal((await http(port, { path: POLLING })).status, 200);
});

for (const eio of ["3", "5", "", "4x", "__proto__"]) {
  test(`refuses to upgrade a session of revision 4 by EIO=${eio} and 2probe, and keeps it [ENG-40, EIO-80]`, async (t) => {
    const { engine, port, client, session } = await pollingPair(t, { allowEIO3: true });
    const refused = once(engine, "connection_error");
    const early = { early: messageFrame("2probe") };
    const response = await refusedUpgrade(port, `/engine.io/?EIO=${eio}&transport=websocket&sid=${client.sid}`, {}, early);
    assert.equal(response.status, 400);
    assert.equal((await refused)[0].context.name, "PROTOCOL_MISMATCH");
    session.send("still here");
    assert.deepEqual(await client.poll(), ["4still here"]);
    assert.equal(session.upgrading, false);
  });
}

test("keeps hostile names in the query and in the auth of an old client as plain data [SOC-11, EIO3-3, EIO-5]", async (t) => {
  const { io, port } = await startServer(t, { allowEIO3: true });
  const joined = once(io, "connection");
  const ws = await WireSocket.open(port, "/socket.io/?EIO=3&transport=websocket&__proto__=x&constructor=y&hasOwnProperty=z");
  t.after(() => ws.abort());
  const [socket] = await joined;
  const { query } = socket.handshake;
  assert.deepEqual([Object.getOwnPropertyDescriptor(query, "__proto__")?.value, query.constructor, query.hasOwnProperty], ["x", "y", "z"]);
  io.of("/chat");
  const inChat = once(io.of("/chat"), "connection");
  ws.send("40/chat?__proto__=a&constructor=b&token=c,");
  const [{ handshake }] = await inChat;
  assert.equal(handshake.auth.token, "c");
  assert.equal({}.a, undefined);
  assert.equal({}.polluted, undefined);
  assert.notEqual(handshake.auth.polluted, "x");
});

for (const payload of ['{"__proto__":{"admin":true}}', '{"constructor":{"prototype":{"admin":true}}}']) {
  test(`takes the auth ${payload} for data, not for a prototype [SOC-13, SIO-32]`, async (t) => {
    const { io, port } = await startServer(t);
    const joined = once(io, "connection");
    const ws = await WireSocket.open(port, "/socket.io/?EIO=4&transport=websocket");
    t.after(() => ws.abort());
    ws.send(`40${payload}`);
    const [socket] = await joined;
    assert.equal(socket.handshake.auth.admin, undefined);
    assert.equal({}.admin, undefined);
  });
}

test(
  "gives one client a thousand of the 100,000 namespaces it asks for, and takes them down with it [PAR-1, PAR-20]",
  oursOnly("it opens them all"),
  async (t) => {
    const { io, port } = await startServer(t, { cleanupEmptyChildNamespaces: true });
    io.of(/^\/room-\d+$/);
    const peer = await wirePeer(t, port, { join: false });
    const COUNT = 100_000;
    let opened = 0;
    let refused = 0;
    const answered = (async () => {
      while (opened + refused < COUNT) {
        const message = await peer.next(30_000);
        if (message.startsWith("40/")) opened++;
        else if (message.startsWith("44/")) refused++;
      }
    })();
    for (let at = 0; at < COUNT; at += 1000) {
      peer.send(...Array.from({ length: 1000 }, (_, i) => `40/room-${at + i},`));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await answered;
    assert.deepEqual([opened, refused], [1000, COUNT - 1000]);
    assert.ok(io._nsps.size <= 1002);
    peer.abort();
    await eventually(() => io._nsps.size === 1, "the namespaces to go");
  },
);

test(
  "opens no namespace for a client that leaves while the program still decides [PAR-1, PAR-20]",
  oursOnly("it opens them"),
  async (t) => {
    const { io, port } = await startServer(t, { cleanupEmptyChildNamespaces: true });
    const waiting = [];
    io.of((_name, _auth, next) => waiting.push(next));
    const peer = await wirePeer(t, port, { join: false });
    peer.send(...Array.from({ length: 500 }, (_, i) => `40/n${i},`));
    await eventually(() => waiting.length === 500, "the program to be asked");
    peer.abort();
    await eventually(() => io.engine.clientsCount === 0, "the client to go");
    for (const next of waiting) next(null, true);
    await eventually(() => io._nsps.size === 1, "the namespaces to go");
  },
);

test("never lets a refused upgrade end the process [ENG-48]", async (t) => {
  const { port } = await startEcho(t);
  const process = catchProcess(t, "uncaughtException");
  for (const path of [
    "/engine.io/?EIO=4&transport=websocket&sid=x",
    "/engine.io/?EIO=4&transport=webtransport",
    "/engine.io/?EIO=4&transport=foo",
  ]) {
    assert.equal((await refusedUpgrade(port, path)).status, 400);
  }
  assert.deepEqual(process.caught, []);
});

test("refuses webtransport as a transport of HTTP [ENG-40]", async (t) => {
  const { engine, port } = await startEcho(t, { transports: ["polling", "websocket", "webtransport"] });
  const seen = [];
  engine.on("connection", (session) => seen.push(messages(session)));
  const { status, text } = await http(port, { path: "/engine.io/?EIO=4&transport=webtransport" });
  assert.deepEqual([status, JSON.parse(text).code], [400, 0]);
  assert.deepEqual(seen, []);
});
