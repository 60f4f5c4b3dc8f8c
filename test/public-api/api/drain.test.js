/** `io.close({ drain })`: clients are moved to another server at a pace, and lose nothing. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { connect, once, record, waitFor } from "../../support/client.js";
import { crowd, eventually, pair } from "../../support/pairs.js";
import { adapters } from "../../support/packages.js";
import { startServer } from "../../support/server.js";
import { oursOnly, Server } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { http, HttpConnection, PollingSession, refusedUpgrade, WireSocket } from "../../support/wire-client.js";

const OURS = oursOnly("it has no drain");
const POLLING = "/socket.io/?EIO=4&transport=polling";
const WEBSOCKET = "/socket.io/?EIO=4&transport=websocket";
/** Much longer than a drain without clients that are busy. */
const LONG_MS = 60_000;
const SOON = { jitterMs: 0, perSecond: 1e6 };

for (const transport of ["polling", "websocket"]) {
  test(
    `an official client over ${transport} is told, sees the end, and connects to the next server by itself [ROB-727, ROB-728]`,
    OURS,
    async (t) => {
      const first = await startServer(t, {}, {});
      const next = await startServer(t, {}, {});
      const socket = await connect(t, first.url, "/", { transports: [transport], reconnection: true, reconnectionDelay: 10 });
      const seen = record(socket, "moving", "disconnect");
      socket.once("disconnect", () => (socket.io.uri = next.url));
      const [onServer] = first.io.sockets.sockets.values();
      const left = once(onServer, "disconnect");
      const back = waitFor(socket, "connect", () => true); // may be back before the first server has closed
      const result = await first.io.close({ drain: { ...SOON, message: { event: "moving", data: { to: "next" } } } });
      assert.deepEqual((await left)[0], "server shutting down");
      await back;
      assert.equal(next.io.sockets.sockets.has(socket.id), true);
      const [[, data], [, reason, details]] = seen.events;
      assert.deepEqual(seen.names, ["moving", "disconnect"]);
      assert.deepEqual(data, { to: "next" });
      assert.equal(reason, "transport close");
      if (transport === "websocket") assert.deepEqual([details.context.code, details.context.reason], [1012, "server is restarting"]);
      const { durationMs, ...counts } = result;
      assert.deepEqual(counts, { clients: 1, moved: 1, left: 0, cut: 0 });
      assert.equal(Number.isInteger(durationMs), true);
      if (first.httpServer !== undefined) assert.equal(first.httpServer.listening, false);
    },
  );
}

for (const host of [undefined, { https: true }, { http2: true }]) {
  const name = Object.keys(host ?? {})[0] ?? "http";
  test(`from its first moment new sessions are refused with 503 and Retry-After, over ${name} [ROB-725, ROB-726]`, OURS, async (t) => {
    const { io, url, port } = await startServer(t, {}, host);
    const socket = await connect(t, url, "/", { transports: ["websocket"] });
    const [onServer] = io.sockets.sockets.values();
    onServer.on("hold", () => {}); // never answered: holds the drain
    await new Promise(
      (resolve) => (socket.emit("hold", () => {}), socket.emit("next", resolve), onServer.on("next", (answer) => answer())),
    );
    const refusals = record(io.engine, "connection_error");
    assert.equal(io.isDraining, false);
    const closing = io.close({ drain: { ...SOON, timeoutMs: LONG_MS } });
    assert.equal(io.isDraining, true);
    const polled = await http(port, { path: POLLING, tls: host !== undefined });
    assert.equal(polled.status, 503);
    assert.equal(polled.headers["retry-after"], "1");
    assert.deepEqual(JSON.parse(polled.text), { code: 3, message: "Server is draining" });
    const upgraded = await refusedUpgrade(port, WEBSOCKET, {}, { tls: host !== undefined });
    assert.equal(upgraded.status, 503);
    assert.equal(upgraded.headers["retry-after"], "1");
    assert.deepEqual(
      refusals.events.map(([, { code, context }]) => [code, context.name]),
      [
        [3, "SERVER_DRAINING"],
        [3, "SERVER_DRAINING"],
      ],
    );
    await io.close();
    await closing;
    assert.equal(io.isDraining, false);
  });
}

test("until its turn a client goes on working: events both ways, rooms, further namespaces [ROB-729]", OURS, async (t) => {
  const { io, socket: server, client: socket } = await pair(t, {}, { client: { transports: ["websocket"] } });
  io.of("/late");
  server.on("hold", (answer) => (server.answer = answer));
  server.on("work", (value, answer) => answer(value + 1));
  const held = socket.emitWithAck("hold");
  await socket.emitWithAck("work", 0);
  const closing = io.close({ drain: { ...SOON, timeoutMs: LONG_MS } });
  assert.equal(await socket.emitWithAck("work", 1), 2);
  server.join("room");
  const news = once(socket, "news");
  io.to("room").emit("news", 1);
  assert.deepEqual(await news, [1]);
  const late = socket.io.socket("/late");
  await once(late, "connect");
  const gone = Promise.all([once(socket, "disconnect"), once(late, "disconnect")]);
  server.answer("done");
  assert.equal(await held, "done");
  await gone;
  assert.deepEqual((({ moved, cut }) => ({ moved, cut }))(await closing), { moved: 1, cut: 0 });
});

test("an acknowledgement that the server waits for comes before the end [ROB-729]", OURS, async (t) => {
  const { io, socket: server, client: socket } = await pair(t);
  const asked = once(socket, "question");
  const answer = server.emitWithAck("question");
  const [reply] = await asked;
  const closing = io.close({ drain: { ...SOON, timeoutMs: LONG_MS } });
  const refused = await http(new URL(socket.io.uri).port, { path: POLLING });
  assert.equal(refused.status, 503);
  assert.equal(socket.connected, true);
  reply("yes");
  assert.equal(await answer, "yes");
  assert.equal((await closing).moved, 1);
});

test(
  "a POST that is being read is delivered and answered before the end, with the acknowledgement in the next polls [ROB-729]",
  OURS,
  async (t) => {
    const { io, port } = await startServer(t);
    io.on("connection", (socket) => socket.on("work", (answer) => answer("done")));
    const session = await PollingSession.open(port, "", { path: "/socket.io/" });
    await session.post("40");
    await session.poll();
    const connection = await HttpConnection.open(port);
    const body = '420["work"]';
    connection.write(`POST ${session.url()} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 4)}`);
    const [conn] = Object.values(io.engine.clients);
    while (conn.transport.dataReq === null) await http(port, { path: "/socket.io/?EIO=4&transport=none" });
    const closing = io.close({ drain: { ...SOON, timeoutMs: LONG_MS } });
    await http(port, { path: POLLING });
    assert.equal(conn.readyState, "open");
    connection.write(body.slice(4));
    const texts = [];
    while (!texts.includes("1")) texts.push(...(await session.poll()));
    assert.match(connection.received.toString(), /200 OK[^]*ok$/);
    assert.deepEqual(
      texts.filter((text) => text !== "6"),
      ['430["done"]', "1"],
    );
    assert.equal((await closing).moved, 1);
  },
);

test("a client whose upgrade is under way keeps its session until that has ended [ROB-729]", OURS, async (t) => {
  const { io, port } = await startServer(t);
  const session = await PollingSession.open(port, "", { path: "/socket.io/" });
  const ws = await WireSocket.open(port, `${WEBSOCKET}&sid=${session.sid}`);
  ws.send("2probe");
  assert.equal(await ws.next(), "3probe");
  const closing = io.close({ drain: { ...SOON, timeoutMs: LONG_MS } });
  await http(port, { path: POLLING });
  assert.equal(io.engine.clients[session.sid].readyState, "open");
  ws.send("5");
  assert.equal((await ws.end).code, 1012);
  assert.equal((await closing).moved, 1);
});

test("clients leave at the configured pace, the oldest first, and a blocked event loop is no burst [ROB-730]", OURS, async (t) => {
  const { io, sockets } = await crowd(t, 12);
  const order = [];
  let inThisTurn = 0;
  let mostInOneTurn = 0;
  for (const [index, socket] of sockets.entries()) {
    socket.on("disconnect", () => {
      order.push(index);
      mostInOneTurn = Math.max(mostInOneTurn, ++inThisTurn);
      setImmediate(() => (inThisTurn = 0));
    });
  }
  const closing = io.close({ drain: { perSecond: 20, jitterMs: 0 } });
  await once(sockets[1], "disconnect");
  const blockedUntil = performance.now() + 300; // six clients of the pace
  while (performance.now() < blockedUntil);
  const { clients, moved, cut } = await closing;
  assert.deepEqual({ clients, moved, cut }, { clients: 12, moved: 12, cut: 0 });
  assert.deepEqual(
    order,
    sockets.map((_, index) => index),
  );
  assert.ok(mostInOneTurn <= 2, `${mostInOneTurn} clients at once behind the pause`);
});

test("at timeoutMs the clients that are left are told and closed, and the HTTP server with them [ROB-730]", OURS, async (t) => {
  const { io, socket: server, client: socket } = await pair(t, {}, { client: { transports: ["websocket"] } });
  server.on("hold", () => {});
  server.on("next", (answer) => answer());
  socket.emit("hold", () => {});
  await socket.emitWithAck("next");
  const seen = record(socket, "moving", "disconnect");
  const { moved, cut } = await io.close({ drain: { ...SOON, timeoutMs: 50, message: { event: "moving" } } });
  assert.deepEqual({ moved, cut }, { moved: 0, cut: 1 });
  await seen.until(({ length }) => length === 2);
  assert.deepEqual(seen.names, ["moving", "disconnect"]);
  assert.equal(seen.events[1][2].context.code, 1012);
});

for (const transport of ["polling", "websocket"]) {
  test(`a client over ${transport} that always waits for some answer gets all that it is owed [ROB-995]`, OURS, async (t) => {
    const { io, socket: server, client: socket } = await pair(t, {}, { client: { transports: [transport] } });
    const [heard, answered, noted] = [[], [], []];
    let latest = () => {};
    server.on("work", (number, answer) => {
      heard.push(number);
      latest(); // each waits for the next one, or for a while
      latest = answer;
      setTimeout(answer, 100);
    });
    server.on("note", (number) => noted.push(number));
    let sent = 0;
    const ask = () => {
      if (!socket.connected) return;
      const number = ++sent;
      socket.emit("note", number);
      socket.emit("work", number, () => {
        answered.push(number);
        ask();
      });
    };
    const gone = once(socket, "disconnect", LONG_MS);
    for (let inFlight = 0; inFlight < 3; inFlight++) ask();
    await eventually(() => answered.length > 5, "answers", answered);
    const { moved, cut } = await io.close({ drain: { ...SOON, timeoutMs: 1500 } });
    assert.deepEqual({ moved, cut }, { moved: 1, cut: 0 });
    await gone;
    assert.deepEqual(answered, heard);
    const unheard = noted.filter((number) => !heard.includes(number));
    assert.ok(unheard.length > 0, "what wants no answer was passed on until the end");
    assert.ok(unheard[0] > heard.at(-1), "nothing was dropped before");
  });
}

test("close() cuts a drain short, and a second drain gets the result of the first [ROB-731]", OURS, async (t) => {
  const { io, client: socket } = await pair(t);
  const gone = once(socket, "disconnect");
  const first = io.close({ drain: { perSecond: 0.001, jitterMs: LONG_MS, timeoutMs: LONG_MS } });
  const second = io.close({ drain: true });
  await within(io.close(), "io.close()");
  assert.deepEqual(await first, await second);
  assert.deepEqual((({ moved, cut }) => ({ moved, cut }))(await first), { moved: 0, cut: 1 });
  await gone;
});

test("a client that leaves by itself during a drain is counted as such [ROB-727]", OURS, async (t) => {
  const { io, clients } = await crowd(t, 2);
  const closing = io.close({ drain: { perSecond: 0.001, jitterMs: LONG_MS, timeoutMs: LONG_MS } });
  for (const socket of clients) socket.disconnect();
  const { clients: count, left: leftCount, moved, cut } = await within(closing, "the drain");
  assert.deepEqual({ count, leftCount, moved, cut }, { count: 2, leftCount: 2, moved: 0, cut: 0 });
});

test(
  "a drain covers every HTTP server and sessions that joined no namespace, and leaves the server ready to be attached again [ROB-727]",
  OURS,
  async (t) => {
    const first = await startServer(t, {}, {});
    const second = await startServer(t, {}, { attach: (httpServer) => first.io.attach(httpServer) });
    const socket = await connect(t, second.url, "/", { transports: ["websocket"] });
    const ws = await WireSocket.open(first.port, WEBSOCKET);
    await ws.next();
    const gone = once(socket, "disconnect");
    const { clients, moved } = await first.io.close({ drain: SOON });
    assert.deepEqual({ clients, moved }, { clients: 2, moved: 2 });
    assert.equal((await ws.end).code, 1012);
    await gone;
    const again = await startServer(t, {}, { attach: (httpServer) => first.io.attach(httpServer) });
    await connect(t, again.url);
  },
);

test("adapters with a method `drain` are told at the start, and one that fails gives a warning [ROB-732]", OURS, async (t) => {
  const told = [];
  class Told extends adapters.Adapter {
    drain() {
      told.push(this.nsp.name);
      return Promise.reject(new Error("not reachable"));
    }
  }
  const { io } = await startServer(t, { adapter: Told });
  io.of("/other");
  const warning = once(process, "warning");
  await io.close({ drain: SOON });
  assert.deepEqual(told, ["/", "/other"]);
  assert.equal((await warning)[0].code, "ROOMCAST_CALLBACK_FAILED");
});

test("sessions that an engine of another package opens during a drain are closed [ROB-726]", OURS, async (t) => {
  const engine = Object.assign(new EventEmitter(), { close() {} });
  const io = new Server();
  t.after(() => io.close());
  io.bind(engine);
  const closing = io.close({ drain: SOON });
  const late = { on() {}, close: () => void (late.isClosed = true) };
  engine.emit("connection", late);
  assert.equal(late.isClosed, true);
  assert.equal((await closing).clients, 0);
});

test("options of a drain that cannot work are refused before anything is closed [ROB-733]", OURS, async (t) => {
  const { io, client: socket, socket: server } = await pair(t);
  for (const [drain, text] of [
    [1, "drain: expected true or an object, met 1"],
    [{ perSecnd: 1 }, "drain: expected one of timeoutMs, perSecond, jitterMs, message, met 'perSecnd'"],
    [{ timeoutMs: "1s" }, "drain.timeoutMs: expected a number of milliseconds, met '1s'"],
    [{ perSecond: 0 }, "drain.perSecond: expected a positive number, met 0"],
    [{ jitterMs: -1 }, "drain.jitterMs: expected a number of milliseconds, met -1"],
    [{ message: "bye" }, "drain.message: expected an object with a text `event`, met 'bye'"],
  ]) {
    await assert.rejects(io.close({ drain }), { code: "RC_ERR_ARGUMENT", message: text });
  }
  await assert.rejects(io.close({ drain: { message: { event: "disconnect" } } }), { code: "RC_ERR_RESERVED_EVENT" });
  await assert.rejects(io.close({ drain: { message: { event: "a", data: 1n } } }), { code: "RC_ERR_ENCODING" });
  assert.equal(io.isDraining, false);
  server.on("work", (answer) => answer(1));
  assert.equal(await socket.emitWithAck("work"), 1);
});
