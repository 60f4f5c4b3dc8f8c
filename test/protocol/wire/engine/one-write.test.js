// One write per connection and tick: what leaves, when, and in how many writes of the server's socket.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { once } from "../../../support/client.js";
import { openWebSocket, webSocketPair } from "../../../support/engine.js";
import { startEngine } from "../../../support/server.js";
import { oursOnly } from "../../../support/target.js";
import { WireSocket } from "../../../support/wire-client.js";
import { within } from "../../../support/wait.js";

const coalesces = oursOnly("it writes each packet by itself");

/** An engine whose accepted sockets count their writes; empty ones, which only wait, are left out. */
async function countingPair(t, options) {
  const started = await startEngine(t, options);
  const writes = countWrites(started.httpServer, "connection", { empty: false });
  return { ...started, ...(await openWebSocket(started)), writes };
}

/** The lengths of what is written to the sockets that a server accepts. */
function countWrites(httpServer, event, { empty }) {
  const writes = [];
  httpServer.on(event, (socket) => {
    const { write } = socket;
    socket.write = function (chunk, ...rest) {
      if (empty || chunk.length > 0) writes.push(chunk.length);
      return write.call(this, chunk, ...rest);
    };
  });
  return writes;
}

test("writes everything that one tick sends at once, in order [ENG-115]", coalesces, async (t) => {
  const { session, ws, writes } = await countingPair(t);
  writes.length = 0;
  const sent = Array.from({ length: 20 }, (_, i) => (i % 5 === 4 ? `é${i}` : `m${i}`));
  for (const text of sent) session.send(text);
  session.send(Buffer.from([1, 2]));
  for (const text of sent) assert.equal(await ws.next(), `4${text}`);
  assert.deepEqual(await ws.next(), Buffer.from([1, 2]));
  assert.equal(writes.length, 1);
});

test("answers all messages of one chunk in one write [ENG-115]", coalesces, async (t) => {
  const { session, ws, writes } = await countingPair(t);
  session.on("data", (data) => session.send(data));
  writes.length = 0;
  ws.send("4a", "4b", "4c");
  for (const text of ["4a", "4b", "4c"]) assert.equal(await ws.next(), text);
  assert.equal(writes.length, 1);
});

test("writes no empty TLS record to learn when the others were taken [ENG-115]", coalesces, async (t) => {
  const { engine, httpServer, port } = await startEngine(t, {}, { https: true });
  const writes = countWrites(httpServer, "secureConnection", { empty: true });
  const connected = once(engine, "connection");
  const ws = await WireSocket.open(port, "/engine.io/?EIO=4&transport=websocket", {}, { tls: true });
  const [session] = await connected;
  await ws.next();
  writes.length = 0;
  for (let i = 0; i < 20; i++) {
    const drained = once(session, "drain");
    session.send(`message ${i}`);
    await ws.expect(`4message ${i}`);
    await drained;
  }
  assert.equal(writes.length, 20);
  assert.ok(!writes.includes(0));
});

test("with flush: immediate, the first packet is written before send returns, the others at the end of the tick", coalesces, async (t) => {
  const { session, ws, writes } = await countingPair(t, { flush: "immediate" });
  writes.length = 0;
  session.send("first");
  assert.equal(writes.length, 1);
  for (let i = 0; i < 5; i++) session.send(`later ${i}`);
  for (const text of ["first", "later 0", "later 1", "later 2", "later 3", "later 4"]) assert.equal(await ws.next(), `4${text}`);
  assert.equal(writes.length, 2);
});

for (const flush of ["tick", "immediate"]) {
  test(`is not writable for the rest of a tick in which it sent, with flush: ${flush} [SIO-62, EVT-9]`, coalesces, async (t) => {
    const { session, ws } = await webSocketPair(t, { flush });
    assert.equal(session.transport.writable, true);
    session.send("a");
    assert.equal(session.transport.writable, false);
    await ws.expect("4a");
    if (!session.transport.writable) await once(session.transport, "ready");
    assert.equal(session.transport.writable, true);
  });
}

test("delivers what was sent right before process.exit()", coalesces, async () => {
  const script = `
    const { listen } = require(${JSON.stringify(fileURLToPath(new URL("../../../../dist/public/engine.js", import.meta.url)))});
    const engine = listen(0, () => process.send(engine.httpServer.address().port));
    engine.on("connection", (session) => session.on("data", () => {
      for (let i = 0; i < 20; i++) session.send("last " + i);
      process.exit();
    }));`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const port = await new Promise((resolve) => child.once("message", resolve));
  const exited = new Promise((resolve) => child.once("exit", resolve));
  const ws = await WireSocket.open(port, "/engine.io/?EIO=4&transport=websocket");
  await ws.next();
  ws.send("4go");
  for (let i = 0; i < 20; i++) await ws.expect(`4last ${i}`);
  await within(exited, "the process to exit");
});

test("keeps frames whole when pings come while a large message is on its way [ENG-119]", coalesces, async (t) => {
  const { session, ws } = await webSocketPair(t);
  const large = "x".repeat(12_000_000);
  ws.pause();
  session.send(large);
  session.send("behind");
  ws.ping("p1");
  ws.ping("p2");
  ws.resume();
  assert.equal((await ws.next(30_000)).length, large.length + 1); // 12 MB, perhaps on a busy machine
  await ws.expect("4behind");
});
