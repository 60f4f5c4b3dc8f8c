/** The server object: construction, options, attaching, delegation, close. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { once, record } from "../../support/client.js";
import { adapters } from "../../support/packages.js";
import { fence, joinServer, nextSocket, pair, wirePeer } from "../../support/pairs.js";
import { startHttp, startServer } from "../../support/server.js";
import { engine, ours, oursOnly, Server } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { http } from "../../support/wire-client.js";

const HANDSHAKE = "?EIO=4&transport=polling";
const EXPRESS_ERROR = {
  name: "Error",
  message: /^You are trying to attach \S+ to an express request handler function/i,
};

/** An engine session of a foreign engine, as far as a server needs it. */
class ForeignConnection extends EventEmitter {
  constructor(more = {}) {
    super();
    this.id = "foreign";
    this.protocol = 4;
    this.readyState = "open";
    this.transport = { name: "foreign", writable: true };
    this.remoteAddress = "10.0.0.1";
    this.written = [];
    Object.assign(this, more);
  }

  write(data) {
    this.written.push(data);
    this.emit("written");
  }

  close() {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.emit("close", "forced close");
  }
}

/** The port of a server that listens by itself. */
async function portOf(t, io) {
  t.after(() => io.close());
  if (!io.httpServer.listening) await once(io.httpServer, "listening");
  return io.httpServer.address().port;
}

test("distinguishes options from servers and ports [SRV-1, SRV-2, SRV-3, SRV-4, HTTP-45, HTTP-47]", async (t) => {
  for (const nothing of [undefined, null, ""]) assert.equal(new Server(nothing, { path: "/p" }).path(), "/p");
  const unattached = new Server({ path: "/o" });
  assert.deepEqual([unattached.path(), unattached.engine, unattached.httpServer], ["/o", undefined, undefined]);
  for (const port of [0, "0"]) {
    const io = new Server(port, { path: "/p" });
    assert.ok(io.engine);
    assert.equal((await http(await portOf(t, io), { path: `/p/${HANDSHAKE}` })).status, 200);
  }
  const { io, httpServer } = await startServer(t);
  assert.equal(io.httpServer, httpServer);
});

test("refuses a request listener wherever a server is attached [SRV-5, HTTP-44, ROB-600]", () => {
  const app = () => {};
  assert.throws(() => new Server(app), EXPRESS_ERROR);
  assert.throws(() => new Server().attach(app), EXPRESS_ERROR);
  assert.throws(() => new Server().listen(app), EXPRESS_ERROR);
});

test("makes the main namespace, with its adapter, while it is constructed [SRV-6, ADP-5, ADP-6]", () => {
  const log = [];
  const io = new Server({
    adapter: class extends adapters.Adapter {
      constructor(namespace) {
        super(namespace);
        const { encoder, opts, _nsps: namespaces } = namespace.server;
        log.push(["constructor", namespace.name, typeof encoder.encode, typeof opts, namespaces instanceof Map]);
      }

      init() {
        log.push(["init"]);
      }
    },
  });
  assert.deepEqual(log, [["constructor", "/", "function", "object", true], ["init"]]);
  assert.equal(io.of("/").name, "/");
});

test("keeps the options it was given [SRV-7]", () => {
  const options = { pingInterval: 1234, connectionStateRecovery: { skipMiddlewares: false } };
  const io = new Server(options);
  assert.equal(io._opts, options);
  assert.equal(io.opts, options);
  assert.equal(io.opts.cleanupEmptyChildNamespaces, false);
  assert.deepEqual(
    [io.opts.connectionStateRecovery.maxDisconnectionDuration, io.opts.connectionStateRecovery.skipMiddlewares],
    [120000, false],
  );
});

test("stores a path without its last slash [OPT-1, SRV-10]", async (t) => {
  const io = new Server();
  assert.equal(io.path(), "/socket.io");
  assert.equal(new Server({ path: "" }).path(), "/socket.io");
  assert.equal(io.path("/foo/"), io);
  assert.equal(io.path(), "/foo");
  const { port } = await startServer(
    t,
    {},
    { attach: (httpServer) => io.attach(httpServer), http: (_, response) => response.writeHead(404).end() },
  );
  io.path("/moved");
  assert.equal((await http(port, { path: `/foo/${HANDSHAKE}` })).status, 200);
  assert.equal((await http(port, { path: `/moved/${HANDSHAKE}` })).status, 404);
});

test("matches nothing with a path that has no slash in front [HTTP-34]", async (t) => {
  const http404 = (_, response) => response.writeHead(404).end("app");
  const { io, port } = await startServer(t, { path: "rt" }, { http: http404 });
  assert.equal(io.path(), "rt");
  for (const path of [`/rt/${HANDSHAKE}`, "/rt/socket.io.js", `/socket.io/${HANDSHAKE}`])
    assert.equal((await http(port, { path })).text, "app", path);
});

test("serves the client unless the option is exactly false [OPT-2, SRV-11, HTTP-8]", async (t) => {
  assert.equal(new Server().serveClient(), true);
  assert.equal(new Server({ serveClient: 0 }).serveClient(), true);
  assert.equal(new Server({ serveClient: false }).serveClient(), false);
  const io = new Server();
  assert.equal(io.serveClient(false), io);
  assert.equal(io.serveClient(), false);
  const { port } = await startServer(t, {}, { attach: (httpServer) => io.attach(httpServer) });
  io.serveClient(true); // too late
  assert.equal((await http(port, { path: "/socket.io/socket.io.js" })).status, 400);
});

test("sets the time to join for clients that come afterwards [OPT-5, SRV-12]", async (t) => {
  const { io, port } = await startServer(t, { connectTimeout: 0 });
  assert.equal(io.connectTimeout(), 45000);
  assert.equal(io.connectTimeout(50), io);
  assert.equal(io.connectTimeout(), 50);
  const peer = await wirePeer(t, port, { join: false });
  await peer.closed();
});

test("rebuilds the adapters of all namespaces when a new one is set [SRV-13, SRV-14]", async () => {
  const log = [];
  const io = new Server();
  io.of("/other");
  class Mine extends adapters.Adapter {
    init() {
      log.push(this.nsp.name);
    }
  }
  assert.equal(io.adapter(Mine), io);
  assert.equal(io.adapter(), Mine);
  assert.deepEqual(log, ["/", "/other"]);
  assert.ok(io.of("/").adapter instanceof Mine);
  assert.ok(io.of("/later").adapter instanceof Mine);
});

test(
  "closes a replaced adapter, and moves the sockets over with their rooms [SRV-13]",
  oursOnly("it leaves both to the old adapter"),
  async (t) => {
    const { io, socket, client } = await pair(t);
    socket.join("r");
    let closed = 0;
    io.of("/").adapter.close = () => void (closed += 1);
    io.adapter(class extends adapters.Adapter {});
    const arrived = once(client, "x");
    io.to("r").emit("x", 1);
    assert.deepEqual(await arrived, [1]);
    socket.join("s");
    assert.deepEqual([...socket.rooms].sort(), [socket.id, "r", "s"].sort());
    assert.equal(closed, 1);
  },
);

test("prefers the constructor's options to those of attach [SRV-20, SRV-22, HTTP-35]", async (t) => {
  const io = new Server({ pingInterval: 111 });
  const options = { pingInterval: 222, pingTimeout: 333 };
  const { port } = await startServer(t, options, { attach: (httpServer) => io.listen(httpServer, options) });
  assert.deepEqual([io.engine.opts.pingInterval, io.engine.opts.pingTimeout], [111, 333]);
  const { text } = await http(port, { path: `/socket.io/${HANDSHAKE}` });
  assert.deepEqual([JSON.parse(text.slice(1)).pingInterval, JSON.parse(text.slice(1)).pingTimeout], [111, 333]);
  ours("it merges into the object it was given", () => assert.deepEqual(options, { pingInterval: 222, pingTimeout: 333 }));
});

test("returns itself when attached, to a server or a port [SRV-20, SRV-21]", async (t) => {
  const io = new Server();
  assert.equal(io.attach(0), io);
  const port = await portOf(t, io);
  const { status, text } = await http(port, { path: "/outside" });
  assert.deepEqual([status, text], [404, ""]);
});

test("takes the path of attach when the constructor gave none [SRV-23]", async (t) => {
  const io = new Server();
  const { port } = await startServer(t, {}, { attach: (httpServer) => io.attach(httpServer, { path: "/x/" }) });
  assert.equal((await http(port, { path: `/x/${HANDSHAKE}` })).status, 200);
  const mine = new Server({ path: "/mine" });
  const second = await startServer(t, {}, { attach: (httpServer) => mine.attach(httpServer, { path: "/x/" }) });
  assert.equal((await http(second.port, { path: `/mine/${HANDSHAKE}` })).status, 200);
});

test("puts its own handling in front of earlier request listeners, in their order [SRV-24, SRV-25, HTTP-40, HTTP-41, HTTP-42]", async (t) => {
  const log = [];
  const httpServer = createServer();
  httpServer.on("request", function (request) {
    log.push(["first", request.url, this === httpServer]);
  });
  httpServer.on("request", (request, response) => {
    log.push(["second", request.url]);
    response.end("app");
  });
  const { port } = await startServer(t, {}, { http: httpServer });
  httpServer.on("request", (request) => log.push(["late", request.url.split("?")[0]]));
  await http(port, { path: "/app" });
  await http(port, { path: `/socket.io/${HANDSHAKE}` });
  await http(port, { path: "/socket.io/socket.io.js" });
  assert.deepEqual(log, [
    ["first", "/app", true],
    ["second", "/app"],
    ["late", "/app"],
    ["late", "/socket.io/"],
    ["late", "/socket.io/socket.io.js"],
  ]);
});

test("serves sessions of any engine that it is bound to [SRV-26, SRV-27, SOC-16, ENG-203]", async () => {
  const io = new Server();
  const foreign = Object.assign(new EventEmitter(), { close() {} });
  assert.equal(io.bind(foreign), io);
  assert.equal(io.engine, foreign);
  const conn = new ForeignConnection();
  const admitted = nextSocket(io);
  foreign.emit("connection", conn);
  conn.emit("data", '0{"token":1}');
  const socket = await admitted;
  assert.deepEqual(conn.written, [`0{"sid":"${socket.id}"}`]);
  const { headers, query, secure, xdomain, url, auth, address } = socket.handshake;
  assert.deepEqual(
    { headers, query, secure, xdomain, url, auth, address },
    { headers: {}, query: {}, secure: true, xdomain: false, url: undefined, auth: { token: 1 }, address: "10.0.0.1" },
  );
  const heard = once(socket, "e");
  conn.emit("data", '2["e",1]');
  assert.deepEqual(await heard, [1]);
  const ending = once(socket, "disconnect");
  conn.close();
  assert.equal((await ending)[0], "forced close");
});

test("takes single sessions by hand, and joins those of revision 3 at once [SRV-27, EIO3-2]", async () => {
  const io = new Server();
  const current = new ForeignConnection();
  assert.equal(io.onconnection(current), io);
  const old = new ForeignConnection({ protocol: 3, id: "old" });
  const admitted = nextSocket(io);
  io.onconnection(old);
  const socket = await admitted;
  assert.equal(socket.conn, old);
  assert.deepEqual([old.written, current.written], [["0"], []]);
  for (const conn of [old, current]) conn.close();
});

test("sees the connections of both HTTP servers it is attached to [SRV-28]", async (t) => {
  const io = new Server();
  const first = await startHttp(t, createServer());
  const second = await startHttp(t, createServer());
  t.after(() => io.close());
  io.attach(first.httpServer);
  const { engine: firstEngine } = io;
  t.after(() => firstEngine.close());
  io.attach(second.httpServer);
  assert.equal(io.httpServer, second.httpServer);
  assert.notEqual(io.engine, firstEngine);
  for (const { url } of [first, second]) await joinServer(t, { io, url });
  assert.equal(io.of("/").sockets.size, 2);
  await ours("it closes the last one alone", async () => {
    await within(io.close(), "the server to close");
    assert.deepEqual([first.httpServer.listening, second.httpServer.listening, firstEngine.clientsCount], [false, false, 0]);
  });
});

test("shows the parts that others look for [SRV-30, SRV-31, SRV-32, SRV-33, SRV-34]", async (t) => {
  const { io, httpServer, client } = await pair(t);
  io.of("/named");
  io.of(/parent/);
  assert.equal(io.httpServer, httpServer);
  assert.deepEqual([...io._nsps.keys()], ["/", "/named"]);
  assert.equal(io._nsps.get("/"), io.sockets);
  assert.deepEqual(io.encoder.encode({ type: 2, nsp: "/", data: ["e"] }), ['2["e"]']);
  assert.equal(typeof io._parser.Decoder, "function");
  const other = client.io.socket("/named");
  await once(other, "connect");
  assert.equal(io.engine.clientsCount, 1);
});

test("is an emitter through its main namespace [SRV-40, SRV-42]", () => {
  const io = new Server();
  const main = io.sockets;
  const listener = () => {};
  for (const method of ["on", "addListener", "prependListener", "once", "prependOnceListener"]) {
    assert.equal(io[method]("event", listener), main, method);
  }
  assert.equal(main.listenerCount("event"), 5);
  assert.deepEqual(
    [io.listenerCount("event"), io.listeners("event").length, io.rawListeners("event").length, io.eventNames()],
    [5, 5, 5, ["event"]],
  );
  for (const method of ["removeListener", "off", "removeAllListeners"]) assert.equal(io[method]("event", listener), main, method);
  assert.equal(main.listenerCount("event"), 0);
  assert.equal(io.setMaxListeners(20), main);
  assert.deepEqual([io.getMaxListeners(), main.getMaxListeners()], [20, 20]);
  io.on("news", () => assert.fail("a broadcast reaches no listener of the server"));
  assert.equal(io.emit("news"), true);
});

test("hands the rest to its main namespace as well [SRV-41]", async (t) => {
  const { io, socket, client } = await pair(t);
  socket.join("r");
  assert.equal(
    io.use((_, next) => next()),
    io,
  );
  assert.equal(io.send(1), io);
  assert.equal(io.write(2), io);
  const log = record(client, "e", "message");
  for (const operator of [io.to("r"), io.in("r"), io.except("x"), io.compress(true), io.local, io.timeout(10)]) {
    assert.equal(operator.emit("e"), true);
  }
  assert.equal(typeof io.volatile.emit, "function");
  await fence(socket, client);
  assert.equal(log.names.filter((name) => name === "e").length, 6);
  assert.deepEqual([...(await io.allSockets())], [socket.id]);
  assert.deepEqual(await io.fetchSockets(), [socket]);
  for (const verb of ["socketsJoin", "socketsLeave"]) assert.equal(io[verb]("z"), undefined);
  t.mock.method(console, "warn", () => {});
  assert.equal(io.serverSideEmit("x"), true);
  assert.ok(io.serverSideEmitWithAck("x") instanceof Promise);
  const ending = once(client, "disconnect");
  assert.equal(io.disconnectSockets(), undefined);
  await ending;
});

test("emitWithAck waits for all clients, without a time-out [SRV-43, ACK-22]", oursOnly("it has no emitWithAck there"), async (t) => {
  const server = await pair(t);
  const { io, client } = server;
  const other = await joinServer(t, server);
  client.on("q", (callback) => setTimeout(() => callback(1), 30));
  other.client.on("q", (callback) => callback(2));
  for (const target of [io, io.of("/")]) {
    assert.deepEqual((await within(target.emitWithAck("q"), "the answers")).sort(), [1, 2]);
  }
  assert.deepEqual(await within(io.timeout(1000).emitWithAck("q"), "the answers"), [2, 1]);
});

test("registers a listener given with the name of a namespace, also as a parent [SRV-51, SRV-52, SRV-53, NSP-9]", async (t) => {
  const server = await startServer(t);
  const { io } = server;
  const named = [];
  io.on("new_namespace", ({ name }) => named.push(name));
  const log = [];
  const admin = io.of("/admin", (socket) => log.push(socket.nsp.name));
  assert.equal(io.of("/admin"), admin);
  assert.notEqual(io.of(/^\/a/), io.of(/^\/a/));
  io.of(/^\/dyn/, (socket) => log.push(socket.nsp.name));
  await joinServer(t, server, "/admin");
  await joinServer(t, server, "/dyn");
  assert.deepEqual(log, ["/admin", "/dyn"]);
  assert.deepEqual(named, ["/admin", "/dyn"]);
});

test("emits connect, then connection, with the socket [SRV-70, SRV-71, NSP-21]", async (t) => {
  const server = await startServer(t);
  const log = [];
  server.io.on("connection", (socket) => log.push("connection", socket.id));
  server.io.on("connect", (socket) => log.push("connect", socket.id));
  const { client } = await joinServer(t, server);
  assert.deepEqual(log, ["connect", client.id, "connection", client.id]);
});

test("sends no DISCONNECT when it closes, and survives a failing adapter [SRV-60, SRV-61]", async (t) => {
  const closed = [];
  class Failing extends adapters.Adapter {
    async close() {
      closed.push(this.nsp.name);
      throw new Error("cannot close");
    }
  }
  const { io, port, httpServer } = await startServer(t, { adapter: Failing });
  io.of("/other");
  const admitted = nextSocket(io);
  const peer = await wirePeer(t, port);
  const log = record(await admitted, "disconnecting", "disconnect");
  const engineEnding = once(io.of("/").sockets.values().next().value.conn, "close");
  await within(io.close(), "the server to close");
  await peer.closed();
  assert.deepEqual(
    peer.messages.drain().filter((message) => message.startsWith("41")),
    [],
  );
  assert.deepEqual(
    log.events.map(([name, reason]) => [name, reason]),
    [
      ["disconnecting", "server shutting down"],
      ["disconnect", "server shutting down"],
    ],
  );
  assert.equal((await engineEnding)[0], "forced close");
  assert.deepEqual([closed, httpServer.listening], [["/", "/other"], false]);
});

test("calls back without an argument when there is no HTTP server to close [SRV-63]", async () => {
  const io = new Server();
  io.bind(new engine.Server());
  const args = await within(new Promise((resolve) => void io.close((...met) => resolve(met))), "the callback");
  assert.equal(args[0], undefined);
});

test("closes without ever having been attached [SRV-64]", oursOnly("it rejects with a TypeError"), async () => {
  const args = await within(new Promise((resolve) => void new Server().close((...met) => resolve(met))), "the callback");
  assert.equal(args[0], undefined);
  await within(new Server().close(), "the server to close");
});

test("persists sessions when it shuts down [SRV-66, CSR-6]", async (t) => {
  const persisted = [];
  class Recording extends adapters.SessionAwareAdapter {
    persistSession(session) {
      persisted.push(["persist", session.sid]);
      super.persistSession(session);
    }

    close() {
      persisted.push(["close"]);
      return super.close();
    }
  }
  const { io, socket } = await pair(t, { connectionStateRecovery: {}, adapter: Recording });
  await io.close();
  assert.deepEqual(persisted, [["persist", socket.id], ["close"]]);
});

test("passes on the engine's options, and ignores unknown names [OPT-9]", async (t) => {
  const { io, port } = await startServer(t, { maxHttpBufferSize: 5000, transports: ["polling"], nobodyKnows: true });
  assert.deepEqual([io.engine.opts.maxHttpBufferSize, io.engine.opts.transports], [5000, ["polling"]]);
  const { text } = await http(port, { path: `/socket.io/${HANDSHAKE}` });
  assert.deepEqual([JSON.parse(text.slice(1)).maxPayload, JSON.parse(text.slice(1)).upgrades], [5000, []]);
});

test("switches recovery on by any truthy value [OPT-6]", async (t) => {
  const { port } = await startServer(t, { connectionStateRecovery: true });
  assert.deepEqual(Object.keys((await wirePeer(t, port)).payload), ["sid", "pid"]);
});

test("uses the cors option for the client files too [OPT-8, HTTP-20]", async (t) => {
  const { port } = await startServer(t, { cors: { origin: "https://good.example" } });
  const { status, headers } = await http(port, { path: "/socket.io/socket.io.js", headers: { Origin: "https://good.example" } });
  assert.deepEqual([status, headers["access-control-allow-origin"]], [200, "https://good.example"]);
});

test("uses one encoder for the server, and one decoder per client [OPT-4]", async (t) => {
  const made = { encoders: 0, decoders: 0 };
  const io = new Server();
  const { Encoder, Decoder } = io._parser;
  const parser = {
    Encoder: class extends Encoder {
      constructor(...args) {
        super(...args);
        made.encoders += 1;
      }
    },
    Decoder: class extends Decoder {
      constructor(...args) {
        super(...args);
        made.decoders += 1;
      }
    },
  };
  const server = await startServer(t, { parser });
  for (let i = 0; i < 2; i += 1) {
    const { client, socket } = await joinServer(t, server);
    await fence(socket, client);
    await fence(client, socket);
  }
  assert.deepEqual(made, { encoders: 1, decoders: 2 });
  assert.ok(server.io.encoder instanceof parser.Encoder);
});
