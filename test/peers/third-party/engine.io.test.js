/** The server of the npm package `engine.io` in place of our engine. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { Server as EngineServer } from "engine.io";
import { connect, once, record } from "../../support/client.js";
import { startHttp } from "../../support/server.js";
import { Server } from "../../support/target.js";

async function start(t, options = {}, engineOptions = {}) {
  const io = new Server(options);
  const httpServer = createServer((_request, response) => response.writeHead(404).end());
  const engine = new EngineServer(engineOptions);
  engine.attach(httpServer, { path: "/socket.io/" });
  io.bind(engine);
  const { url } = await startHttp(t, httpServer, () => io.close());
  const join = async (clientOptions) => {
    const client = await connect(t, url, "/", clientOptions);
    return { client, socket: io.sockets.sockets.get(client.id) };
  };
  return { io, engine, url, join };
}

for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
  test(`serves clients of engine.io over ${transports.join(" and ")} [SRV-26, ENG-203]`, async (t) => {
    const { io, engine, join } = await start(t);
    const [a, b] = [await join({ transports }), await join({ transports })];
    assert.equal(io.engine, engine);
    assert.equal(a.socket.conn.constructor.name, "Socket");
    assert.notEqual(a.socket.conn.server, undefined);
    if (transports.length === 2 && a.client.io.engine.transport.name === "polling") await once(a.client.io.engine, "upgrade");
    a.socket.on("echo", (value, answer) => answer(value));
    assert.equal(await a.client.emitWithAck("echo", "text"), "text");
    assert.deepEqual(Buffer.from(await a.client.emitWithAck("echo", Buffer.from([1, 2, 3]))), Buffer.from([1, 2, 3]));
    const arrived = [once(a.client, "all"), once(b.client, "all")];
    io.emit("all", { some: Buffer.from([9]) });
    for (const [{ some }] of await Promise.all(arrived)) assert.deepEqual(Buffer.from(some), Buffer.from([9]));
    b.socket.join("room");
    const burst = record(b.client, "n");
    for (let i = 0; i < 200; i++) io.to("room").emit("n", i);
    const events = await burst.until(({ length }) => length === 200);
    assert.deepEqual(
      events.map(([, i]) => i),
      Array.from({ length: 200 }, (_, i) => i),
    );
    b.client.on("question", (answer) => answer("yes"));
    a.client.on("question", (answer) => answer("no"));
    assert.deepEqual((await io.timeout(2000).emitWithAck("question")).sort(), ["no", "yes"]);
    const left = once(b.socket, "disconnect");
    b.client.disconnect();
    assert.match((await left)[0], /^(client namespace disconnect|transport close)$/);
    const end = once(a.client, "disconnect");
    a.socket.disconnect(transports.includes("websocket")); // over polling that engine would wait half a minute for its client
    assert.equal((await end)[0], "io server disconnect");
    a.client.io.engine.close();
    assert.equal(io.sockets.sockets.size, 0);
  });
}

test("drops volatile packets of a client of engine.io that can't take them [ENG-203, EVT-9]", async (t) => {
  const { join } = await start(t);
  const { client, socket } = await join({ transports: ["websocket"] });
  const log = record(client, "n", "last");
  for (let i = 0; i < 100; i++) socket.volatile.emit("n", i);
  socket.emit("last");
  const events = await log.until((all) => all.at(-1)?.[0] === "last");
  assert.ok(events.length < 101, `${events.length - 1} of 100 arrived`);
});

test("takes single connections of engine.io by onconnection [SRV-27]", async (t) => {
  const io = new Server();
  const httpServer = createServer();
  const engine = new EngineServer();
  engine.attach(httpServer, { path: "/socket.io/" });
  engine.on("connection", (conn) => io.onconnection(conn));
  const { url } = await startHttp(t, httpServer, () => engine.close());
  const client = await connect(t, url, "/", { transports: ["websocket"] });
  const ending = once(client, "disconnect");
  io.disconnectSockets(true);
  await ending;
});

test("closes engine.io's server with its clients [SRV-28, SRV-63]", async (t) => {
  const { io, engine, join } = await start(t);
  const { client, socket } = await join({ transports: ["websocket"] });
  const log = record(socket, "disconnect");
  const gone = once(client, "disconnect");
  await io.close();
  await gone;
  assert.equal(log.events[0][1], "server shutting down");
  assert.equal(engine.clientsCount, 0);
});

test("recovers a client of engine.io [ENG-203, CSR-1]", async (t) => {
  const { io, join } = await start(t, { connectionStateRecovery: {} });
  const { client, socket } = await join({ transports: ["websocket"], reconnection: true, reconnectionDelay: 10 });
  socket.emit("offset");
  await once(client, "offset");
  const missed = once(client, "missed");
  const returned = once(client, "connect");
  const left = once(socket, "disconnect");
  client.io.engine.close();
  await left;
  io.emit("missed", 1);
  await returned;
  assert.deepEqual([client.recovered, client.id], [true, socket.id]);
  await missed;
});
