/** Engines that are not ours: one that keeps the bare contract, over TCP lines, and WebSocket servers of another make. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { createServer as createTcpServer, connect as connectTcp } from "node:net";
import { test } from "node:test";
import { WebSocketServer } from "ws";
import { connect, once, record } from "../../support/client.js";
import { crowd, nextSocket, pair } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { Server } from "../../support/target.js";
import { Inbox, within } from "../../support/wait.js";

// -- an engine of the test's own ------------------------------------------------------------------

/** The members of ENG-203, and what an EventEmitter uses of itself. */
const CONTRACT = new Set([
  "id",
  "protocol",
  "readyState",
  "request",
  "remoteAddress",
  "transport",
  "write",
  "close",
  "on",
  "removeListener",
  "constructor",
]);

/** An engine of one session per TCP connection, one JSON string per line. `asked` holds whatever else was asked of its sessions. */
class LineEngine extends EventEmitter {
  constructor() {
    super();
    this.sessions = new Set();
    this.asked = new Set();
    this.isClosed = false;
    this.tcp = createTcpServer((socket) => {
      const session = new LineSession(socket, () => this.sessions.delete(session));
      this.sessions.add(session);
      this.emit("connection", this.#guard(session));
    });
  }

  async listen(t) {
    await new Promise((resolve) => this.tcp.listen(0, "127.0.0.1", resolve));
    t.after(() => this.tcp.close());
    return this.tcp.address().port;
  }

  close() {
    this.isClosed = true;
    for (const session of [...this.sessions]) session.close();
  }

  /** Gives the session with a record of what is used of it. */
  #guard(session) {
    const note = (name) => typeof name === "string" && !name.startsWith("_") && !CONTRACT.has(name) && this.asked.add(name);
    return new Proxy(session, {
      get: (target, name) => {
        note(name);
        const value = target[name];
        return typeof value === "function" ? value.bind(target) : value;
      },
      set: (target, name, value) => {
        note(name);
        return Reflect.set(target, name, value, target);
      },
    });
  }
}

class LineSession extends EventEmitter {
  static count = 0;

  constructor(socket, onEnd) {
    super();
    this.id = `line-${++LineSession.count}`;
    this.protocol = 4;
    this.readyState = "open";
    this.request = { headers: { "x-made-by": "the test" }, url: "/?a=1", _query: { a: "1" }, socket: {}, connection: {} };
    this.remoteAddress = socket.remoteAddress;
    this.transport = { name: "lines", writable: true };
    this.socket = socket;
    this.onEnd = onEnd;
    let rest = "";
    socket.setEncoding("utf8").on("data", (chunk) => {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop();
      for (const line of lines) this.emit("data", decodeLine(line));
    });
    socket.on("error", () => {});
    socket.on("close", () => this.end("transport close"));
  }

  write(data) {
    this.socket.write(encodeLine(data));
  }

  close() {
    this.socket.destroy();
    this.end("forced close");
  }

  end(reason) {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.onEnd();
    this.emit("close", reason);
  }
}

const encodeLine = (data) => `${JSON.stringify(typeof data === "string" ? data : { binary: Buffer.from(data).toString("base64") })}\n`;
const decodeLine = (line) => {
  const value = JSON.parse(line);
  return typeof value === "string" ? value : Buffer.from(value.binary, "base64");
};

class LineClient {
  constructor(t, port) {
    this.received = new Inbox("a line");
    this.socket = connectTcp(port, "127.0.0.1");
    let rest = "";
    this.socket.setEncoding("utf8").on("data", (chunk) => {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop();
      for (const line of lines) this.received.push(decodeLine(line));
    });
    this.closed = new Promise((resolve) => this.socket.on("close", resolve));
    this.socket.on("error", () => {});
    t.after(() => this.socket.destroy());
  }

  send(...messages) {
    this.socket.write(messages.map(encodeLine).join(""));
  }

  async expect(message) {
    assert.deepEqual(await this.received.next(), message);
  }
}

async function startLines(t, options) {
  const engine = new LineEngine();
  const io = new Server(options);
  io.bind(engine);
  const port = await engine.listen(t);
  t.after(() => io.close());
  const join = async (payload = "0") => {
    const arriving = nextSocket(io);
    const client = new LineClient(t, port);
    client.send(payload);
    const socket = await arriving;
    await client.expect(`0{"sid":"${socket.id}"}`);
    return { client, socket };
  };
  return { io, engine, port, join };
}

test("runs rooms, binary, answers, broadcasts and disconnections on an engine that keeps the contract and no more [ENG-203, SRV-26]", async (t) => {
  const { io, engine, join } = await startLines(t);
  const [a, b] = [await join(), await join('0{"who":"b"}')];
  assert.deepEqual(
    [b.socket.handshake.auth, b.socket.handshake.query.a, b.socket.handshake.headers["x-made-by"]],
    [{ who: "b" }, "1", "the test"],
  );
  a.socket.on("echo", (value, answer) => answer(value));
  a.client.send('20["echo",{"deep":[1]}]', '51-1["echo",{"_placeholder":true,"num":0}]', Buffer.from([7, 8]));
  await a.client.expect('30[{"deep":[1]}]');
  await a.client.expect('61-1[{"_placeholder":true,"num":0}]');
  await a.client.expect(Buffer.from([7, 8]));
  b.socket.join("room");
  io.to("room").emit("to room", 1);
  await b.client.expect('2["to room",1]');
  a.socket.broadcast.emit("to others", Buffer.from([1]));
  await b.client.expect('51-["to others",{"_placeholder":true,"num":0}]');
  await b.client.expect(Buffer.from([1]));
  const answers = io.timeout(2000).emitWithAck("question");
  for (const { client } of [a, b]) {
    const [, id] = /^2(\d+)\["question"\]$/.exec(await client.received.next());
    client.send(`3${id}["yes"]`);
  }
  assert.deepEqual(await answers, ["yes", "yes"]);
  assert.deepEqual((await io.fetchSockets()).map(({ id }) => id).sort(), [a.socket.id, b.socket.id].sort());
  const left = once(a.socket, "disconnect");
  a.client.send("1");
  assert.deepEqual((await left)[0], "client namespace disconnect");
  b.socket.disconnect(true);
  await within(b.client.closed, "the connection to close");
  assert.deepEqual([...engine.asked], [], "members beyond the contract were used");
});

test("joins several namespaces over one connection of such an engine [ENG-203, NSP-1]", async (t) => {
  const { io, join } = await startLines(t);
  const inChat = nextSocket(io.of("/chat"));
  const { client, socket } = await join();
  client.send("0/chat,");
  const chat = await inChat;
  await client.expect(`0/chat,{"sid":"${chat.id}"}`);
  assert.equal(chat.conn, socket.conn);
  const events = record(socket, "disconnect");
  const left = once(chat, "disconnect");
  client.socket.destroy();
  assert.equal((await left)[0], "transport close");
  assert.deepEqual(events.events, [["disconnect", "transport close", undefined]]);
});

test("ends a session of such an engine on what can't be decoded, and refuses reserved events [ENG-203, EVT-24, DIS-29]", async (t) => {
  const { join } = await startLines(t);
  for (const message of ["nonsense", '2["disconnect","forged"]', "2{}"]) {
    const { client, socket } = await join();
    const left = once(socket, "disconnect");
    client.send(message);
    assert.equal((await left)[0], "forced close");
    await within(client.closed, "the connection to close");
  }
});

test("closes a session that joins nothing in time, and every session with the server [ENG-203, SRV-63, OPT-3]", async (t) => {
  const { io, engine, port, join } = await startLines(t, { connectTimeout: 30 });
  const idle = new LineClient(t, port);
  await within(idle.closed, "the idle connection to close");
  const { client, socket } = await join();
  const left = once(socket, "disconnect");
  await io.close();
  assert.equal((await left)[0], "server shutting down");
  await within(client.closed, "the connection to close");
  assert.deepEqual([engine.isClosed, engine.sessions.size], [true, 0]);
});

test("recovers sockets of such an engine [ENG-203, CSR-1]", async (t) => {
  const { io, engine, port } = await startLines(t, { connectionStateRecovery: {} });
  const client = new LineClient(t, port);
  const arriving = nextSocket(io);
  client.send("0");
  const socket = await arriving;
  const { pid } = JSON.parse((await client.received.next()).slice(1));
  socket.join("room");
  socket.emit("first");
  const [, offset] = JSON.parse((await client.received.next()).slice(1));
  const left = once(socket, "disconnect");
  client.socket.destroy();
  await left;
  io.to("room").emit("missed");
  const again = new LineClient(t, port);
  const returning = nextSocket(io);
  again.send(`0${JSON.stringify({ pid, offset })}`);
  const restored = await returning;
  assert.deepEqual([restored.recovered, restored.id], [true, socket.id]);
  assert.match(await again.received.next(), /^2\["missed"/);
  assert.deepEqual([...engine.asked], []);
});

// -- WebSocket servers of another make ------------------------------------------------------------

/** A subclass, as programs use it to watch what passes. */
class Watching extends WebSocketServer {
  static upgrades = 0;

  handleUpgrade(request, socket, head, done) {
    Watching.upgrades++;
    return super.handleUpgrade(request, socket, head, done);
  }
}

/** Another class around it, with nothing but what the contract names. */
class Wrapping {
  constructor(options) {
    this.inner = new WebSocketServer(options);
  }

  on(event, listener) {
    this.inner.on(event, listener);
  }

  handleUpgrade(request, socket, head, done) {
    this.inner.handleUpgrade(request, socket, head, (ws) => done(new WrappedSocket(ws)));
  }

  close() {
    this.inner.close();
  }
}

class WrappedSocket extends EventEmitter {
  #ws;

  constructor(ws) {
    super();
    this.#ws = ws;
    for (const event of ["message", "close", "error"]) ws.on(event, (...args) => this.emit(event, ...args));
  }

  send(data, options, callback) {
    this.#ws.send(data, options, callback);
  }

  close() {
    this.#ws.close();
  }
}

for (const [name, wsEngine] of Object.entries({ "a subclass of ws": Watching, "a wrapper with the bare interface": Wrapping })) {
  test(`serves clients through ${name} given as wsEngine [ENG-110, OPT-9]`, async (t) => {
    const { io, clients, sockets } = await crowd(t, 3, { wsEngine });
    sockets[0].on("echo", (value, answer) => answer(value));
    assert.equal(await clients[0].emitWithAck("echo", "text"), "text");
    assert.deepEqual(Buffer.from(await clients[0].emitWithAck("echo", Buffer.from([1, 2]))), Buffer.from([1, 2]));
    const arrived = clients.map((client) => once(client, "all"));
    io.emit("all", 1);
    assert.deepEqual(await Promise.all(arrived), [[1], [1], [1]]);
    const burst = record(clients[1], "n");
    for (let i = 0; i < 500; i++) sockets[1].emit("n", i);
    const events = await burst.until(({ length }) => length === 500);
    assert.deepEqual(
      events.map(([, i]) => i),
      Array.from({ length: 500 }, (_, i) => i),
    );
    const left = once(sockets[2], "disconnect");
    clients[2].io.engine.close();
    assert.equal((await left)[0], "transport close");
    const end = once(clients[0], "disconnect");
    sockets[0].disconnect(true);
    await end;
  });

  test(`upgrades, decorates and refuses through ${name} given as wsEngine [ENG-74, ENG-110, EIO-80]`, async (t) => {
    const { io, url } = await startServer(t, { wsEngine });
    const seen = [];
    io.engine.on("headers", (headers, request) => seen.push(request._query.transport));
    const client = await connect(t, url, "/", { transports: ["polling", "websocket"] });
    if (client.io.engine.transport.name === "polling") await once(client.io.engine, "upgrade");
    assert.ok(seen.includes("websocket"));
  });
}

test("hands every WebSocket handshake to the given wsEngine [ENG-110]", async (t) => {
  const before = Watching.upgrades;
  await pair(t, { wsEngine: Watching });
  assert.equal(Watching.upgrades, before + 1);
});
