/** The policy for clients that read too slowly: which events are dropped, and which never. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { catchWarnings, eventually, fence, joinServer, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly, Server } from "../../support/target.js";
import { pass } from "../../support/wait.js";
import { PollingSession } from "../../support/wire-client.js";

const OURS = oursOnly("it keeps everything");
const KIB = 1024;
const MIB = 1024 * KIB;
const text = "x".repeat(64 * KIB);
const DROP = { slowReaders: "drop-oldest", limits: { slowReaderBytes: MIB } };

/** A client that has joined and reads nothing, with a queue: what is emitted now waits. */
async function openSlow(t, { io, port }, namespace = "/") {
  const ws = await wirePeer(t, port, { namespace });
  ws.pause();
  const socket = io.of(namespace).sockets.get(ws.payload.sid);
  while (socket.conn.writeBuffer.length === 0) {
    assert.ok(socket.connected);
    socket.emit("filler", text);
    await pass();
  }
  return { ws, socket };
}

/** Emits numbered positions, one per tick. */
async function emitPositions(target, from, to) {
  for (let number = from; number <= to; number += 1) {
    target.emit("position", number, text);
    if (number % 8 === 0) await pass();
  }
}

/** Everything that arrives until an event named `end`, as packets without the long text. */
async function readToEnd(ws) {
  ws.resume();
  const received = [];
  for (;;) {
    const message = await ws.next(30_000);
    if (typeof message !== "string") received.push(message);
    else if (message.includes('["end"]')) return received;
    else if (!message.includes('"filler"')) received.push(message.replace(`,"${text}"`, ""));
  }
}

const numbersIn = (received) =>
  received.flatMap((message) => [...String(message).matchAll(/\["position",(\d+)/g)].map(([, number]) => Number(number)));
const isRising = (numbers) => numbers.every((number, i) => i === 0 || number > numbers[i - 1]);

test("drops the oldest events for a client that doesn't read, and keeps the newest in order [ROB-750, ROB-710]", OURS, async (t) => {
  const server = await startServer(t, DROP);
  const { ws, socket } = await openSlow(t, server);
  const { client, socket: fast } = await joinServer(t, server);
  const seen = [];
  client.on("position", (number) => seen.push(number));
  const counts = [];
  socket.conn.on("dropped", (count) => counts.push(count));
  for (let number = 1; number <= 400; number += 1) {
    server.io.emit("position", number, text);
    assert.ok(socket.bufferedBytes < 2 * MIB, `${socket.bufferedBytes} wait`);
    if (number % 4 === 0) await fence(fast, client);
  }
  assert.equal(seen.length, 400, "the fast reader got all");
  assert.equal(fast.conn.droppedEvents, 0);
  const dropped = socket.conn.droppedEvents;
  assert.ok(dropped > 300, `${dropped} dropped`);
  assert.equal(server.io.engine.counts.dropped.slowReader, dropped);
  await pass();
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    dropped,
  );
  socket.emit("end");
  const numbers = numbersIn(await readToEnd(ws));
  assert.ok(isRising(numbers), "in order");
  assert.equal(numbers.at(-1), 400);
  assert.ok(numbers.length >= 8 && numbers.length <= 400 - dropped + 64, `${numbers.length} arrived`);
  assert.equal(socket.connected, true);
});

test("leaves a queue alone by default, and drops nothing in a burst that the client reads [ROB-750]", OURS, async (t) => {
  const byDefault = await startServer(t, { limits: { slowReaderBytes: 64 * KIB } });
  const slow = await openSlow(t, byDefault);
  await emitPositions(slow.socket, 1, 64);
  assert.equal(slow.socket.conn.droppedEvents, 0);
  slow.socket.emit("end");
  assert.equal(numbersIn(await readToEnd(slow.ws)).length, 64);
  const server = await startServer(t, { slowReaders: "drop-oldest" });
  const { client, socket } = await joinServer(t, server);
  let arrived = 0;
  client.on("position", () => arrived++);
  for (let number = 0; number < 12; number += 1) socket.emit("position", number, text);
  await fence(socket, client);
  assert.equal(arrived, 12);
});

test("never drops acknowledgements, events that expect one, connects and disconnects, nor the newest event [ROB-751]", OURS, async (t) => {
  const server = await startServer(t, DROP);
  server.io.of("/other").on("connection", (other) => other.emit("late", 1));
  const { ws, socket } = await openSlow(t, server);
  socket.on("ask", (answer) => answer("answer"));
  ws.send('421["ask"]', "40/other,");
  await once(server.io.of("/other"), "connection");
  socket.emit("question", () => {});
  server.io.emit("question to all", () => {});
  await emitPositions(socket, 1, 64);
  [...server.io.of("/other").sockets.values()][0].disconnect();
  await emitPositions(socket, 65, 128);
  socket.emit("newest", "y".repeat(4 * MIB));
  assert.ok(socket.conn.droppedEvents > 64);
  socket.emit("end");
  const received = await readToEnd(ws);
  for (const kept of [
    /^431\["answer"\]/,
    /^42\d+\["question"\]/,
    /^42\d+\["question to all"\]/,
    /^40\/other,\{/,
    /^41\/other,/,
    /^42\["newest"/,
  ]) {
    assert.ok(
      received.some((message) => kept.test(message)),
      `${kept}`,
    );
  }
  assert.ok(isRising(numbersIn(received)));
});

test("drops an event with all of its attachments, or with none [ROB-751]", OURS, async (t) => {
  const server = await startServer(t, DROP);
  const { ws, socket } = await openSlow(t, server);
  for (let number = 1; number <= 200; number += 1) {
    const part = (index) => Buffer.alloc(16 * KIB, `${number}.${index} `);
    const target = number % 2 === 0 ? socket : server.io; // broadcasts are shared
    target.emit("position", number, part(0), part(1), part(2));
    if (number % 8 === 0) await pass();
  }
  assert.ok(socket.conn.droppedEvents > 50);
  socket.emit("end");
  const received = await readToEnd(ws);
  const numbers = [];
  for (let at = 0; at < received.length; at += 4) {
    const [, number] = /^453-\["position",(\d+)/.exec(received[at]);
    numbers.push(Number(number));
    for (let index = 0; index < 3; index += 1) {
      assert.ok(received[at + 1 + index].toString().startsWith(`${number}.${index} `), `attachment ${index} of ${number}`);
    }
  }
  assert.ok(isRising(numbers));
  assert.equal(numbers.at(-1), 200);
});

test("drops for a client that polls slowly, and keeps its session [ROB-750]", OURS, async (t) => {
  const { io, port } = await startServer(t, { ...DROP, maxPacketsPerPayload: 4 });
  const session = await PollingSession.open(port, "", { path: "/socket.io/" });
  await session.post("40");
  const [answer] = await session.poll();
  const socket = io.sockets.sockets.get(JSON.parse(answer.slice(2)).sid);
  await emitPositions(socket, 1, 100);
  assert.ok(socket.conn.droppedEvents > 50);
  const numbers = [];
  while (numbers.at(-1) !== 100) numbers.push(...numbersIn(await session.poll()));
  assert.ok(isRising(numbers) && numbers.length <= 20, `${numbers}`);
});

test("drops for a client of revision 3 [ROB-750]", OURS, async (t) => {
  const { io, port } = await startServer(t, { ...DROP, allowEIO3: true });
  const connection = once(io, "connection");
  const session = await PollingSession.open(port, "", { path: "/socket.io/", eio: 3 });
  const [socket] = await connection;
  await emitPositions(socket, 1, 100);
  assert.ok(socket.conn.droppedEvents > 50);
  const numbers = [];
  while (numbers.at(-1) !== 100) numbers.push(...numbersIn(await session.poll()));
  assert.ok(isRising(numbers));
});

test("takes the policy of a namespace, which children of a parent namespace share [ROB-752]", OURS, async (t) => {
  const server = await startServer(t, { limits: { slowReaderBytes: MIB } });
  const parent = server.io.of(/^\/map-/);
  parent.slowReaders = "drop-oldest";
  assert.equal(server.io.of("/").slowReaders, "close");
  const { ws, socket } = await openSlow(t, server);
  ws.send("40/map-1,");
  const [onMap] = await once(server.io.of("/map-1"), "connection").catch(() => once(parent, "connection"));
  assert.equal(onMap.nsp.slowReaders, "drop-oldest");
  for (let number = 1; number <= 100; number += 1) {
    onMap.emit("place", number, text);
    socket.emit("position", number, text);
  }
  assert.ok(socket.conn.droppedEvents > 50);
  socket.emit("end");
  const received = await readToEnd(ws);
  assert.equal(numbersIn(received).length, 100, "all of the other namespace");
});

test("asks a function for each socket, and drops nothing if it fails or gives something else [ROB-752]", OURS, async (t) => {
  const { warnings } = catchWarnings(t);
  const infos = [];
  let decide = () => "close";
  const slowReaders = (socket, info) => {
    infos.push([socket.id, info]);
    return decide(socket);
  };
  const server = await startServer(t, { slowReaders, limits: { slowReaderBytes: MIB } });
  const { socket } = await openSlow(t, server);
  await emitPositions(socket, 1, 32);
  assert.ok(infos.length >= 1 && infos.length < 16, `asked ${infos.length} times`);
  const [id, info] = infos[0];
  assert.equal(id, socket.id);
  assert.ok(info.bufferedBytes > MIB && info.bufferedPackets > 10 && info.droppedEvents === 0);
  decide = () => {
    throw new Error("broken");
  };
  await emitPositions(socket, 33, 64);
  decide = () => "drop";
  await emitPositions(socket, 65, 96);
  assert.equal(socket.conn.droppedEvents, 0);
  await eventually(
    () => warnings.some(({ message }) => message.includes("broken")) && warnings.some(({ message }) => message.includes('gave "drop"')),
    "warnings",
  );
  decide = (asked) => (asked.data.isMap ? "drop-oldest" : "close");
  socket.data.isMap = true;
  await emitPositions(socket, 97, 128);
  assert.ok(socket.conn.droppedEvents > 50);
});

test("survives a function that emits, or disconnects the socket [ROB-752]", OURS, async (t) => {
  const server = await startServer(t, {
    limits: { slowReaderBytes: MIB },
    slowReaders(socket) {
      socket.emit("you are slow", text);
      if (socket.conn.droppedEvents > 100) socket.disconnect(true);
      return "drop-oldest";
    },
  });
  const { socket } = await openSlow(t, server);
  const left = once(socket, "disconnect");
  await emitPositions(socket, 1, 400);
  const [reason] = await left;
  assert.equal(reason, "server namespace disconnect");
});

test("doesn't recover a session that lost events, and recovers others [ROB-753]", OURS, async (t) => {
  const server = await startServer(t, { ...DROP, connectionStateRecovery: true });
  for (const isSlow of [false, true]) {
    const { ws, socket } = await openSlow(t, server);
    if (isSlow) await emitPositions(socket, 1, 64);
    else socket.emit("position", 1);
    assert.equal(socket.conn.droppedEvents > 0, isSlow);
    const { pid } = ws.payload;
    const gone = once(socket, "disconnect");
    ws.abort();
    await gone;
    const connection = once(server.io, "connection");
    await wirePeer(t, server.port, { auth: { pid } });
    const [again] = await connection;
    assert.equal(again.recovered, !isSlow);
    assert.equal(again.id === socket.id, !isSlow);
  }
});

test("excuses a missing pong of a slow client as long as it takes bytes [ROB-754]", OURS, async (t) => {
  const server = await startServer(t, { ...DROP, pingInterval: 100, pingTimeout: 4000 });
  const { ws, socket } = await openSlow(t, server);
  await emitPositions(socket, 1, 64);
  assert.ok(socket.conn.droppedEvents > 0);
  server.io.engine.opts.pingTimeout = 2000; // for all pings but one that is under way
  const ended = once(socket, "disconnect", 30_000);
  let isReading = true;
  let taken = 0;
  ws.socket.removeAllListeners("data");
  ws.socket.on("data", (chunk) => {
    taken += chunk.length;
    ws.pause();
    if (isReading) setTimeout(() => ws.resume(), 20);
  });
  ws.resume();
  const start = performance.now();
  let number = 64;
  while (performance.now() - start < 9000) {
    socket.emit("position", (number += 1), text);
    await pass(1);
  }
  assert.equal(socket.connected, true, `after ${taken} bytes`);
  isReading = false;
  const [reason] = await ended;
  assert.equal(reason, "ping timeout");
});

for (const [options, expected] of [
  [{ slowReaders: "drop" }, /option slowReaders: expected "close", "drop-oldest" or a function, met "drop"/],
  [{ slowReaders: 1 }, /met number/],
  [{ limits: { slowReaderBytes: -1 } }, /limits.slowReaderBytes/],
]) {
  test(`refuses the options ${JSON.stringify(options)} [ROB-752]`, OURS, () => {
    assert.throws(() => new Server(options), { code: "RC_ERR_OPTION", message: expected });
  });
}

test("refuses a policy of a namespace that is none [ROB-752]", OURS, () => {
  const io = new Server();
  assert.throws(() => (io.of("/a").slowReaders = "drop"), { code: "RC_ERR_ARGUMENT", message: /namespace\.slowReaders: expected/ });
});
