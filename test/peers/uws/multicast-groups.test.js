/** Repeated broadcasts to the same sockets leave as one publish; what clients receive is the same. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { test } from "node:test";
import { connect, record } from "../../support/client.js";
import { eventually, fence } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { within } from "../../support/wait.js";
import { WireSocket } from "../../support/wire-client.js";
import { createApp } from "./app.js";
import { join, joinedPeer } from "../../protocol/wire/sio/peer.js";

const onUws = { uws: true };
const turn = () => new Promise(setImmediate);

/** A server, `count` of its clients with their sockets, and what was published through its app. */
async function crowd(t, count, { options = {}, transports = () => ["websocket"] } = {}) {
  const server = await startServer(t, options, onUws);
  const published = [];
  const { publish } = server.app;
  server.app.publish = function (...args) {
    published.push(args);
    return publish.apply(this, args);
  };
  const clients = [];
  for (let i = 0; i < count; i++) clients.push(await connect(t, server.port, "/", { transports: transports(i) }));
  const sockets = clients.map(({ id }) => server.io.sockets.sockets.get(id));
  return { ...server, published, clients, sockets };
}

/** Broadcasts often enough for the same sockets to be known. */
async function warmUp(target) {
  for (let i = 0; i < 3; i++) {
    target.emit("warm-up");
    await turn();
  }
}

async function fenceAll(sockets, clients) {
  await Promise.all(sockets.map((socket, i) => (socket.connected ? fence(socket, clients[i]) : null)));
}

test("publishes a broadcast once for all sockets that got the last ones, in order with packets for single sockets [ENG-189, SRV-29]", async (t) => {
  const { io, published, clients, sockets } = await crowd(t, 10);
  const heard = clients.map((client) => record(client, "n"));
  await warmUp(io);
  published.length = 0;
  for (let n = 0; n < 5; n++) {
    io.emit("n", n);
    sockets[3].emit("n", `own ${n}`);
    io.emit("n", n + 100);
    await turn();
  }
  io.emit("n", Buffer.from("bytes"));
  await fenceAll(sockets, clients);
  assert.equal(published.length, 12);
  const common = [0, 1, 2, 3, 4].flatMap((n) => [n, n + 100]);
  heard.forEach(({ events }, i) => {
    const values = events.map(([, value]) => value);
    assert.equal(values.pop().toString(), "bytes");
    const expected = i === 3 ? [0, 1, 2, 3, 4].flatMap((n) => [n, `own ${n}`, n + 100]) : common;
    assert.deepEqual(values, expected);
  });
});

test("sends the same packets as individual writes, with random changes between broadcasts [ENG-189, BRO-1]", async (t) => {
  const COUNT = 14;
  const { io, published, clients, sockets } = await crowd(t, COUNT, { transports: (i) => (i % 7 === 6 ? ["polling"] : ["websocket"]) });
  const heard = clients.map((client) => record(client, "n"));
  const expected = clients.map(() => []);
  let seed = 20_261_128;
  const random = (below) => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) % below;
  const outgoing = [];
  let last = 0;
  const expectFor = (isReceiver) => {
    last++;
    sockets.forEach((socket, i) => socket.connected && isReceiver(socket) && expected[i].push(last));
    return last;
  };
  const payload = (n) => (n % 5 === 0 ? [n, Buffer.from(String(n))] : [n, "x".repeat(n % 700)]);
  const emitTo = (target, isReceiver) => target.emit("n", ...payload(expectFor(isReceiver)));
  const one = () => sockets[random(COUNT)];
  const room = () => "ab"[random(2)];
  const isIn = (name) => (socket) => socket.rooms.has(name);
  const listener = (...args) => outgoing.push(args);
  const steps = [
    () => emitTo(io, () => true),
    () => emitTo(io, () => true),
    () => emitTo(io, () => true),
    () => {
      const name = room();
      emitTo(io.to(name), isIn(name));
    },
    () => {
      const name = room();
      emitTo(io.to(name), isIn(name));
    },
    () => {
      const sender = one();
      if (sender.connected) emitTo(sender.broadcast, (socket) => socket !== sender);
    },
    () => {
      const receiver = one();
      if (receiver.connected) emitTo(receiver, (socket) => socket === receiver);
    },
    () => emitTo(io.to("a").to("b"), (socket) => isIn("a")(socket) || isIn("b")(socket)),
    () => emitTo(io.compress(false), () => true),
    () => void (random(4) === 0 && one().join(room())),
    () => void (random(4) === 0 && one().leave(room())),
    () => void (random(6) === 0 && one().onAnyOutgoing(listener)),
    () => void (random(3) === 0 && one().offAnyOutgoing()),
    () => void (random(8) === 0 && one().conn.once("flush", () => {})),
    () => void (random(100) === 0 && one().disconnect(true)),
  ];
  for (const [i, socket] of sockets.entries()) socket.join(i % 2 === 0 ? "a" : "b");
  for (let tick = 0; tick < 900; tick++) {
    for (let i = random(4); i >= 0; i--) steps[random(steps.length)]();
    if (random(3) === 0) await turn();
    else await null;
  }
  sockets.find((socket) => socket.connected).disconnect(); // of the namespace: its connection stays
  emitTo(io, () => true);
  const connected = sockets.filter((socket) => socket.connected).length;
  assert.ok(connected > 4 && connected < COUNT, `${connected} are left`);
  await fenceAll(sockets, clients);
  await eventually(() => heard.every(({ events }, i) => events.length >= expected[i].length), "all broadcasts to arrive");
  heard.forEach(({ events }, i) =>
    assert.deepEqual(
      events.map(([, n]) => n),
      expected[i],
      `client ${i}`,
    ),
  );
  assert.ok(published.length > 100, `published ${published.length} of ${last}`);
  assert.ok(outgoing.length > 0);
});

test("drops volatile packets after a broadcast in the same tick, as on Node's HTTP server [BRO-1, ENG-187]", async (t) => {
  const { io, published, clients, sockets } = await crowd(t, 4);
  const heard = clients.map((client) => record(client, "n"));
  await warmUp(io);
  published.length = 0;
  io.emit("n", 1);
  io.volatile.emit("n", 2);
  sockets[0].volatile.emit("n", 3);
  await turn();
  await turn();
  io.volatile.emit("n", 4);
  await fenceAll(sockets, clients);
  assert.equal(published.length, 1);
  for (const { events } of heard)
    assert.deepEqual(events, [
      ["n", 1],
      ["n", 4],
    ]);
});

test("sends nothing to a client that is leaving its namespace while its connection stays open [ENG-189, DIS-20]", async (t) => {
  const { io, port } = await crowd(t, 4);
  io.on("connection", (socket) => socket.on("disconnecting", () => io.emit("left")));
  io.of("/other");
  const peer = await joinedPeer(t, port);
  await join(peer, "/other");
  await warmUp(io);
  peer.send("41");
  await eventually(() => io.sockets.sockets.size === 4, "the client to leave");
  io.of("/other").emit("done");
  for (let i = 0; i < 3; i++) assert.equal(await peer.next(), '42["warm-up"]');
  assert.equal(await peer.next(), '42/other,["done"]');
});

for (const isVolatile of [false, true]) {
  test(`keeps what one client doesn't read, within its limit, and the others are served${isVolatile ? "; not what is volatile" : ""} [ENG-162, ENG-189]`, async (t) => {
    const limits = { bufferedBytes: 8 * 2 ** 20, stalledAfterMs: false };
    const { io, port, published, clients, sockets } = await crowd(t, 8, { options: { limits } });
    const slow = await WireSocket.open(port, "/socket.io/?EIO=4&transport=websocket");
    t.after(() => slow.abort());
    await slow.next();
    const joined = new Promise((resolve) => io.once("connection", resolve));
    slow.send("40");
    const socket = await within(joined, "the slow client");
    await slow.until((message) => message.startsWith("40"));
    await warmUp(io);
    for (let i = 0; i < 3; i++) assert.equal(await slow.next(), '42["warm-up"]');
    slow.pause();
    const size = 7_000;
    let held = 0;
    let count = 0;
    while (socket.conn.bufferedBytes < 4 * 2 ** 20 && count < 5000) {
      if (isVolatile && socket.conn.transport.bufferedBytes > 0) socket.volatile.emit("lost");
      for (let i = 0; i < 3; i++) io.emit("n", `${count++}`.padEnd(size));
      const waiting = socket.conn.transport.bufferedBytes;
      if (waiting > 0) socket.emit("n", `${count++}`);
      held = Math.max(held, socket.conn.transport.bufferedBytes);
      await turn();
      await turn();
    }
    assert.ok(socket.conn.bufferedBytes >= 4 * 2 ** 20, "it read on");
    assert.ok(held < 1.5 * 2 ** 20, `the library held ${held} bytes`);
    published.length = 0;
    io.emit("n", `${count++}`.padEnd(size));
    assert.equal(published.length, 1); // for the others
    assert.equal(socket.connected, true);
    slow.resume();
    await fenceAll(sockets, clients);
    let next = 0;
    const prefix = '42["n","';
    while (next < count) {
      const message = await slow.next();
      assert.ok(message.startsWith(prefix), message);
      assert.equal(Number(message.slice(prefix.length, -2)), next++);
    }
  });
}

test("ends a client that doesn't read at its limit [ENG-162]", async (t) => {
  const limits = { bufferedBytes: 2 ** 20, stalledAfterMs: false };
  const { io, published, clients, sockets } = await crowd(t, 8, { options: { limits } });
  await warmUp(io);
  const ended = new Promise((resolve) => sockets[5].once("disconnect", (reason, description) => resolve([reason, description.code])));
  clients[5].io.engine.transport.ws._socket.pause();
  published.length = 0;
  let isOver = false;
  void ended.then(() => (isOver = true));
  for (let i = 0; i < 5000 && !isOver; i++) {
    io.emit("n", "x".repeat(50_000));
    await turn();
  }
  assert.deepEqual(await within(ended, "the end"), ["transport error", "RC_ERR_BUFFERED_BYTES"]);
  assert.ok(published.length > 20, `published ${published.length}`);
});

test("writes each packet by itself with flush: immediate, and to clients that are watched [ENG-189]", async (t) => {
  const immediate = await crowd(t, 4, { options: { flush: "immediate" } });
  await warmUp(immediate.io);
  assert.equal(immediate.published.length, 0);
  const { io, published, sockets, clients } = await crowd(t, 4);
  await warmUp(io);
  published.length = 0;
  const flushed = [];
  for (const { conn } of sockets) conn.on("flush", (packets) => flushed.push(packets.length));
  io.emit("n");
  await fenceAll(sockets, clients);
  assert.equal(published.length, 0);
  assert.ok(flushed.length >= 4);
});

test("reaches the clients of each app that it is attached to [ENG-189, SRV-29]", async (t) => {
  const { io, published, clients, sockets } = await crowd(t, 5);
  const second = await createApp();
  io.attachApp(second.app);
  const port = await second.listen(t);
  for (let i = 0; i < 3; i++) clients.push(await connect(t, port, "/", { transports: ["websocket"] }));
  for (const { id } of clients.slice(5)) sockets.push(io.sockets.sockets.get(id));
  const heard = clients.map((client) => record(client, "n"));
  await warmUp(io);
  published.length = 0;
  for (let n = 0; n < 3; n++) io.emit("n", n);
  await fenceAll(sockets, clients);
  assert.equal(published.length, 3);
  for (const { events } of heard)
    assert.deepEqual(events, [
      ["n", 0],
      ["n", 1],
      ["n", 2],
    ]);
});

test("publishes what can be recovered [ENG-189]", async (t) => {
  const { io, published, clients, sockets } = await crowd(t, 4, { options: { connectionStateRecovery: {} } });
  const heard = clients.map((client) => record(client, "n"));
  await warmUp(io);
  published.length = 0;
  io.emit("n", 1);
  await fenceAll(sockets, clients);
  assert.equal(published.length, 1);
  for (const { events } of heard) assert.equal(events[0][1], 1);
});

test("delivers a broadcast of the last tick before the process exits [ENG-115, ENG-189]", async () => {
  const child = fork(new URL("./fixtures/broadcast-and-exit.mjs", import.meta.url), { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const port = await within(new Promise((resolve) => child.once("message", resolve)), "the child to listen");
  const peers = [];
  for (let i = 0; i < 4; i++) {
    const ws = await WireSocket.open(port, "/socket.io/?EIO=4&transport=websocket");
    ws.send("40");
    peers.push(ws);
  }
  for (const ws of peers) await ws.until((message) => message === '42["last"]');
  await within(new Promise((resolve) => (child.exitCode === null ? child.once("exit", resolve) : resolve())), "the child to exit");
  assert.equal(child.exitCode, 0, "it was not published");
});
