/** Namespaces: attributes, admission of a client, namespaces on demand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { client as openClient, once, record } from "../../support/client.js";
import { adapters } from "../../support/packages.js";
import { catchProcess, eventually, fence, joinServer, nextSocket, pair, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly, Server } from "../../support/target.js";
import { within } from "../../support/wait.js";

const WEBSOCKET = { transports: ["websocket"] };

/** One turn of the event loop: what was due in this one has run. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

test("shows what adapters and tools read [NSP-1, MEM-3]", async (t) => {
  const { io, url } = await startServer(t);
  const nsp = io.of("/chat");
  assert.deepEqual([nsp.name, nsp.sockets.size, nsp.server, nsp._ids, nsp._fns.length], ["/chat", 0, io, 0, 0]);
  assert.equal(nsp.adapter.nsp, nsp);
  const pending = new Promise((resolve) => nsp.use((socket, next) => resolve({ socket, next })));
  assert.equal(nsp._fns.length, 1);
  const client = openClient(t, url, "/chat", WEBSOCKET);
  const { socket, next } = await pending;
  assert.deepEqual([nsp._preConnectSockets.has(socket.id), nsp.sockets.size], [true, 0]);
  next();
  await once(client, "connect");
  assert.deepEqual([nsp._preConnectSockets.size, nsp.sockets.get(socket.id)], [0, socket]);
});

test("emits to its own listeners what comes from other servers [NSP-1, NSP-8, SSE-1, MEM-3]", () => {
  const nsp = new Server().of("/chat");
  const heard = [];
  nsp.on("hello", (...args) => heard.push(args));
  nsp._onServerSideEmit(["hello", 1, { a: 2 }]);
  assert.deepEqual(heard, [[1, { a: 2 }]]);
});

test("initialises its adapter, and forgives a rejection but not a throw [NSP-2, ADP-2]", async (t) => {
  const rejections = catchProcess(t, "unhandledRejection");
  class Rejecting extends adapters.Adapter {
    async init() {
      throw new Error("later");
    }
  }
  class Throwing extends adapters.Adapter {
    init() {
      throw new Error("at once");
    }
  }
  new Server({ adapter: Rejecting });
  await turn();
  assert.deepEqual(rejections.caught, []);
  assert.throws(() => new Server({ adapter: Throwing }), /at once/);
  const io = new Server();
  await io.of("/").adapter.init();
  await io.of("/").adapter.init();
});

test("returns itself from use, and a new operator from each modifier [NSP-3, NSP-4, BRO-1]", () => {
  const nsp = new Server().of("/chat");
  assert.equal(
    nsp.use((_, next) => next()),
    nsp,
  );
  const operators = [nsp.to("r"), nsp.in("r"), nsp.except("r"), nsp.compress(false), nsp.timeout(1), nsp.volatile, nsp.local];
  assert.equal(new Set(operators).size, 7);
  for (const operator of operators) assert.equal(operator.emit("e"), true);
  assert.notEqual(nsp.volatile, nsp.volatile);
});

test("emits within itself, and returns true, or itself [NSP-5, NSP-6]", async (t) => {
  const { io, socket, client } = await pair(t, {}, { namespace: "/chat" });
  const nsp = io.of("/chat");
  const log = record(client, "e", "message");
  assert.equal(nsp.emit("e", 1), true);
  assert.equal(nsp.send("a"), nsp);
  assert.equal(nsp.write("b"), nsp);
  await fence(socket, client);
  assert.deepEqual(log.events, [
    ["e", 1],
    ["message", "a"],
    ["message", "b"],
  ]);
});

test("works on all its sockets without a filter [NSP-7, BRO-9]", async (t) => {
  const { io, socket, client } = await pair(t, {}, { namespace: "/chat" });
  const nsp = io.of("/chat");
  nsp.socketsJoin(["a", "b"]);
  nsp.socketsLeave("a");
  assert.deepEqual([...socket.rooms], [socket.id, "b"]);
  assert.deepEqual([await nsp.fetchSockets(), [...(await nsp.allSockets())]], [[socket], [socket.id]]);
  assert.deepEqual([await io.fetchSockets(), (await io.allSockets()).size], [[], 0]);
  const ending = once(client, "disconnect");
  nsp.disconnectSockets();
  assert.equal((await ending)[0], "io server disconnect");
});

test("leaves what a connection listener throws to the process [NSP-9]", async (t) => {
  const exceptions = catchProcess(t, "uncaughtException");
  const rejections = catchProcess(t, "unhandledRejection");
  const server = await startServer(t);
  server.io.once("connection", () => {
    throw new Error("thrown");
  });
  const first = await joinServer(t, server);
  assert.equal((await exceptions.next()).message, "thrown");
  await fence(first.socket, first.client);
  server.io.once("connection", async () => {
    throw new Error("rejected");
  });
  const second = await joinServer(t, server);
  assert.equal((await rejections.next()).message, "rejected");
  await fence(second.socket, second.client);
});

test("admits in order: listed, connected, in its room, answered, announced [NSP-20, NSP-21]", async (t) => {
  const { io, port } = await startServer(t);
  const seen = [];
  const look = (socket) => [socket.connected, io.of("/").sockets.has(socket.id), socket.rooms.has(socket.id)];
  io.use((socket, next) => {
    seen.push(look(socket));
    next();
  });
  io.on("connection", (socket) => {
    seen.push(look(socket));
    socket.emit("first");
  });
  const peer = await wirePeer(t, port, { join: false });
  peer.send("40");
  assert.match(await peer.next(), /^40\{"sid":"[\w-]{20}"\}$/);
  await peer.expect('42["first"]');
  assert.deepEqual(seen, [
    [false, false, false],
    [true, true, true],
  ]);
});

test("makes ids that cannot be guessed, of their own [NSP-22, NSP-23]", async (t) => {
  const server = await startServer(t);
  const ids = new Set();
  for (let i = 0; i < 5; i += 1) {
    const { socket } = await joinServer(t, server);
    assert.match(socket.id, /^[A-Za-z0-9_-]{20}$/);
    ids.add(socket.id).add(socket.conn.id);
  }
  assert.equal(ids.size, 10);
});

test(
  "delivers what a middleware emits when recovery is on, too [NSP-24, CSR-17]",
  oursOnly("it routes the event to a room that has no member yet"),
  async (t) => {
    const { io, url } = await startServer(t, { connectionStateRecovery: {} });
    io.use((socket, next) => {
      socket.emit("early", 1);
      next();
    });
    const client = openClient(t, url, "/", WEBSOCKET);
    const log = record(client, "early", "fence");
    const socket = await nextSocket(io);
    socket.emit("fence");
    await log.until((events) => events.some(([name]) => name === "fence"));
    assert.deepEqual(
      log.events.map(([name, value]) => [name, value]).filter(([name]) => name === "early"),
      [["early", 1]],
    );
  },
);

test("ignores a second CONNECT while the first is pending [NSP-25]", oursOnly("it makes two sockets of it"), async (t) => {
  const { io, port } = await startServer(t);
  const log = record(io, "connection");
  const nexts = [];
  io.use((_, next) => nexts.push(next));
  const peer = await wirePeer(t, port, { join: false });
  peer.send("40", "40", '40{"again":1}');
  await eventually(() => nexts.length > 0, "the middleware to run");
  await turn();
  assert.equal(nexts.length, 1);
  nexts[0]();
  assert.match(await peer.next(), /^40\{/);
  log.events[0][1].emit("only");
  await peer.expect('42["only"]');
  assert.equal(log.events.length, 1);
});

test("closes a connection on a second CONNECT after the first [NSP-25, DIS-27]", async (t) => {
  const { io, port } = await startServer(t);
  const admitted = nextSocket(io);
  const peer = await wirePeer(t, port);
  const ending = once(await admitted, "disconnect");
  peer.send("40");
  assert.equal((await ending)[0], "forced close");
});

test(
  "forgets a client that is gone while a middleware never answers [NSP-26]",
  oursOnly("it keeps the socket and its rooms"),
  async (t) => {
    const { io, port } = await startServer(t);
    const entered = new Promise((resolve) => io.use((socket) => resolve(socket)));
    const peer = await wirePeer(t, port, { join: false });
    peer.send("40");
    const socket = await entered;
    socket.join("room");
    const log = record(socket, "disconnecting", "disconnect");
    const closed = once(socket.conn, "close");
    peer.abort();
    await closed;
    const nsp = io.of("/");
    await eventually(() => nsp.adapter.sids.size === 0 && nsp._preConnectSockets.size === 0, "the socket to be forgotten");
    assert.deepEqual([nsp.adapter.rooms.size, nsp.sockets.size, log.events], [0, 0, []]);
  },
);

test("numbers parents, and keeps them out of the list of namespaces [PAR-1, PAR-12]", async (t) => {
  let constructed = 0;
  const { io } = await startServer(t, {
    adapter: class extends adapters.Adapter {
      constructor(nsp) {
        super(nsp);
        constructed += 1;
      }
    },
  });
  const names = record(io, "new_namespace");
  const parents = [io.of(/a/), io.of(() => {})];
  for (const parent of parents) {
    assert.match(parent.name, /^\/_\d+$/);
    assert.equal(io._nsps.has(parent.name), false);
    assert.equal(parent.adapter.init(), undefined);
    parent.adapter.close();
  }
  assert.notEqual(parents[0].name, parents[1].name);
  assert.deepEqual([names.events.length, constructed], [0, 1]);
});

test("asks parents in order until one allows [PAR-2]", async (t) => {
  const { io, url } = await startServer(t);
  const asked = [];
  io.of((name, auth, next) => setImmediate(() => next(asked.push("error") && new Error("no"), true)));
  io.of((name, auth, next) => next(asked.push("denied") && null, false));
  io.of(/^\/never$/);
  io.of((name, auth, next) => next(asked.push("allowed") && null, true)).on("connection", () => asked.push("connection"));
  io.of((name, auth, next) => next(asked.push("never asked") && null, true));
  await once(openClient(t, url, "/x", WEBSOCKET), "connect");
  assert.deepEqual(asked, ["error", "denied", "allowed", "connection"]);
});

test("uses the namespace that came into existence while a parent deliberated [PAR-3]", async (t) => {
  const { io, url } = await startServer(t);
  const decisions = [];
  io.of((name, auth, next) => decisions.push(() => next(null, true)));
  const clients = [openClient(t, url, "/x", WEBSOCKET), openClient(t, url, "/x", WEBSOCKET)];
  const connected = clients.map((client) => once(client, "connect"));
  await eventually(() => decisions.length === 2, "both clients to ask");
  const named = record(io, "new_namespace");
  for (const decide of decisions) decide();
  await Promise.all(connected);
  assert.equal(named.events.length, 1);
  assert.equal(io.of("/x").sockets.size, 2);
});

test("copies a parent's listeners when a child is opened [PAR-4, PAR-5]", async (t) => {
  const server = await startServer(t);
  const parent = server.io.of(/^\/dyn-\d$/);
  const log = [];
  parent.on("connection", ({ nsp }) => log.push(`first of ${nsp.name}`));
  await joinServer(t, server, "/dyn-1");
  parent.on("connect", ({ nsp }) => log.push(`second of ${nsp.name}`));
  await joinServer(t, server, "/dyn-1");
  await joinServer(t, server, "/dyn-2");
  assert.deepEqual(log, ["first of /dyn-1", "first of /dyn-1", "second of /dyn-2", "first of /dyn-2"]);
});

test("has children hear each of their first clients, at least, through once [PAR-5]", async (t) => {
  const server = await startServer(t);
  const log = [];
  server.io.of(/^\/dyn-\d$/).once("connection", ({ nsp }) => log.push(nsp.name));
  await joinServer(t, server, "/dyn-1");
  await joinServer(t, server, "/dyn-2");
  assert.deepEqual(log, ["/dyn-1", "/dyn-2"]);
});

test("broadcasts from a parent with its modifiers, chained or not [PAR-8]", async (t) => {
  const server = await startServer(t);
  const parent = server.io.of(/^\/dyn-\d$/);
  const pairs = [await joinServer(t, server, "/dyn-1"), await joinServer(t, server, "/dyn-2")];
  pairs[0].socket.join("r");
  const logs = pairs.map(({ client }) => record(client, "in", "out", "chained"));
  parent.in("r").emit("in");
  parent.except("r").compress(false).emit("out");
  const first = parent.to("a");
  assert.notEqual(first, parent.to("b"));
  first.to("r").emit("chained");
  for (const { socket, client } of pairs) await fence(socket, client);
  assert.deepEqual(
    logs.map(({ names }) => names),
    [["in", "chained"], ["out"]],
  );
});

test("gathers answers over all children [PAR-10]", oursOnly("it asks nobody, and calls back at once"), async (t) => {
  const server = await startServer(t);
  const parent = server.io.of(/^\/dyn-\d$/);
  for (const name of ["/dyn-1", "/dyn-2"]) {
    const { client, socket } = await joinServer(t, server, name);
    socket.join("r");
    client.on("q", (callback) => callback(name));
  }
  const call = (operator) =>
    within(new Promise((resolve) => operator.timeout(2000).emit("q", (error, all) => resolve([error, all.sort()]))), "the answers");
  assert.deepEqual(await call(parent), [null, ["/dyn-1", "/dyn-2"]]);
  assert.deepEqual(await call(parent.to("r")), [null, ["/dyn-1", "/dyn-2"]]);
  assert.deepEqual(await call(parent.to("nobody")), [null, []]);
});

test("finds no sockets in a parent [PAR-11]", async (t) => {
  const server = await startServer(t);
  const parent = server.io.of(/^\/dyn-\d$/);
  const { socket, client } = await joinServer(t, server, "/dyn-1");
  assert.deepEqual(await parent.allSockets(), new Set());
  parent.socketsJoin("r");
  parent.socketsLeave(socket.id);
  parent.disconnectSockets();
  await fence(socket, client);
  assert.deepEqual([...socket.rooms], [socket.id]);
});

test("cleans up a child that refused its only client, but no namespace by name [PAR-20, PAR-21]", async (t) => {
  const server = await startServer(t, { cleanupEmptyChildNamespaces: true });
  const { io, url } = server;
  const plain = io.of("/plain");
  io.of(/^\/dyn-\d$/).use((socket, next) => next(socket.handshake.auth.ok ? undefined : new Error("no")));
  await once(openClient(t, url, "/dyn-1", WEBSOCKET), "connect_error");
  await eventually(() => !io._nsps.has("/dyn-1"), "the child to go");

  const child = io.of("/dyn-2");
  for (const [name, nsp] of [
    ["/dyn-2", child],
    ["/plain", plain],
  ]) {
    const { client, socket } = await joinServer(t, server, name, { auth: { ok: true } });
    const ending = once(socket, "disconnect");
    client.disconnect();
    await ending;
    await turn();
    assert.equal(io._nsps.get(name), name === "/plain" ? nsp : undefined);
  }
});

test("keeps a child namespace while a socket is joining it [PAR-23]", oursOnly("it counts connected sockets alone"), async (t) => {
  const server = await startServer(t, { cleanupEmptyChildNamespaces: true });
  const { io, url } = server;
  const nexts = [];
  io.of(/^\/dyn-\d$/).use((socket, next) => nexts.push(next));
  const first = openClient(t, url, "/dyn-1", WEBSOCKET);
  await eventually(() => nexts.length === 1, "the first client to ask");
  const connected = once(first, "connect");
  nexts[0]();
  await connected;
  const second = openClient(t, url, "/dyn-1", WEBSOCKET);
  await eventually(() => nexts.length === 2, "the second client to ask");
  const child = io._nsps.get("/dyn-1");
  const ending = once(child.sockets.values().next().value, "disconnect");
  first.disconnect();
  await ending;
  assert.equal(io._nsps.get("/dyn-1"), child);
  const joined = once(second, "connect");
  nexts[1]();
  await joined;
  const socket = io._nsps.get("/dyn-1").sockets.get(second.id);
  await fence(socket, second);
});

test("shows the children of a parent as a Set [ROB-525]", async (t) => {
  const server = await startServer(t);
  const parent = server.io.of(/^\/child-/);
  await joinServer(t, server, "/child-1");
  await joinServer(t, server, "/child-2");
  assert.ok(parent.children instanceof Set);
  assert.deepEqual(
    [...parent.children].map(({ name }) => name),
    ["/child-1", "/child-2"],
  );
});

test("keeps empty children unless asked [PAR-24, OPT-7]", async (t) => {
  const server = await startServer(t);
  server.io.of(/^\/dyn-\d$/);
  const { client, socket } = await joinServer(t, server, "/dyn-1");
  const ending = once(socket, "disconnect");
  client.disconnect();
  await ending;
  await turn();
  assert.equal(server.io._nsps.get("/dyn-1"), socket.nsp);
});
