/** Members that other packages touch: each is used here as they use it. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { once, record } from "../../support/client.js";
import { adapters } from "../../support/packages.js";
import { crowd, fence, joinServer, nextSocket, pair, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";

/** An adapter that does by itself what the base class does, with the members of the contract alone. */
class Foreign extends EventEmitter {
  constructor(nsp) {
    super();
    this.nsp = nsp;
    this.encoder = nsp.server.encoder;
    this.rooms = new Map();
    this.sids = new Map();
  }

  init() {}

  close() {}

  serverCount() {
    return Promise.resolve(1);
  }

  addAll(id, rooms) {
    if (!this.sids.has(id)) this.sids.set(id, new Set());
    for (const room of rooms) {
      this.sids.get(id).add(room);
      if (!this.rooms.has(room)) this.rooms.set(room, new Set());
      this.rooms.get(room).add(id);
    }
  }

  del(id, room) {
    this.sids.get(id)?.delete(room);
    this.rooms.get(room)?.delete(id);
    if (this.rooms.get(room)?.size === 0) this.rooms.delete(room);
  }

  delAll(id) {
    for (const room of [...(this.sids.get(id) ?? [])]) this.del(id, room);
    this.sids.delete(id);
  }

  select({ rooms, except = new Set() }) {
    const isIn = (socket, set) => [...set].some((room) => this.rooms.get(room)?.has(socket.id));
    return [...this.nsp.sockets.values()].filter((socket) => (rooms.size === 0 || isIn(socket, rooms)) && !isIn(socket, except));
  }

  broadcast(packet, options) {
    packet.nsp = this.nsp.name;
    const frames = this.encoder.encode(packet);
    for (const socket of this.select(options)) {
      if (typeof socket.notifyOutgoingListeners === "function") socket.notifyOutgoingListeners(packet);
      socket.client.writeToEngine(frames, { preEncoded: true, volatile: options.flags?.volatile, compress: options.flags?.compress });
    }
  }

  broadcastWithAck(packet, options, clientCountCallback, ack) {
    packet.nsp = this.nsp.name;
    packet.id = this.nsp._ids++;
    const frames = this.encoder.encode(packet);
    const sockets = this.select(options);
    for (const socket of sockets) {
      socket.acks.set(packet.id, ack);
      socket.client.writeToEngine(frames, { preEncoded: true });
    }
    clientCountCallback(sockets.length);
  }

  sockets(rooms) {
    return Promise.resolve(new Set(this.select({ rooms }).map(({ id }) => id)));
  }

  socketRooms(id) {
    return this.sids.get(id);
  }

  fetchSockets(options) {
    return Promise.resolve(this.select(options));
  }

  addSockets(options, rooms) {
    for (const socket of this.select(options)) socket.join(rooms);
  }

  delSockets(options, rooms) {
    for (const socket of this.select(options)) for (const room of rooms) socket.leave(room);
  }

  disconnectSockets(options, close) {
    for (const socket of this.select(options)) socket.disconnect(close);
  }

  serverSideEmit(packet) {
    this.nsp._onServerSideEmit(packet);
  }

  persistSession() {}

  restoreSession() {
    return null;
  }
}

test("works with an adapter that extends none of our classes [MEM-1, MEM-2, MEM-4, NSP-1, ADP-30]", async (t) => {
  const server = await crowd(t, 2, { adapter: Foreign });
  const { io, sockets, clients } = server;
  sockets[0].join("r");
  assert.deepEqual([...sockets[0].rooms], [sockets[0].id, "r"]);
  const seen = [];
  sockets[0].onAnyOutgoing((...args) => seen.push(args));
  const logs = clients.map((client) => record(client, "all", "room"));
  io.emit("all", Buffer.from([1]));
  io.to("r").emit("room");
  await Promise.all(sockets.map((socket, i) => fence(socket, clients[i])));
  assert.deepEqual(
    logs.map(({ events }) => events),
    [[["all", Buffer.from([1])], ["room"]], [["all", Buffer.from([1])]]],
  );
  assert.deepEqual(seen.slice(0, 2), [["all", Buffer.from([1])], ["room"]]);

  for (const [i, client] of clients.entries()) client.on("q", (callback) => callback(i));
  const responses = await within(io.timeout(3000).emitWithAck("q"), "the answers");
  assert.deepEqual([responses.sort(), sockets[0].acks.size], [[0, 1], 0]);

  const heard = once(io.of("/"), "hello");
  io.serverSideEmit("hello", 1);
  assert.deepEqual(await heard, [1]);
  assert.deepEqual(await io.in("r").fetchSockets(), [sockets[0]]);
  io.in("r").socketsJoin("s");
  io.in("s").socketsLeave(["r"]);
  assert.deepEqual([...sockets[0].rooms], [sockets[0].id, "s"]);
  const ending = once(clients[0], "disconnect");
  io.in("s").disconnectSockets(true);
  await ending;
  assert.deepEqual([...(await io.allSockets())], [sockets[1].id]);
});

test("keeps the next id as a number that adapters write [MEM-3]", async (t) => {
  const { io, port } = await startServer(t);
  const peer = await wirePeer(t, port);
  const nsp = io.of("/");
  nsp._ids = 41;
  assert.equal(nsp._ids++, 41);
  nsp.sockets
    .values()
    .next()
    .value.emit("q", () => {});
  await peer.expect('4242["q"]');
  assert.equal(nsp._ids, 43);
});

test("calls handlers that an adapter put in place, once [MEM-4]", async (t) => {
  const { socket, client } = await pair(t);
  client.on("q", (callback) => {
    callback("a", 2);
    callback("again");
  });
  const answers = [];
  socket.acks.set(77, (...args) => answers.push(args));
  socket.client.writeToEngine(['277["q"]'], {});
  await fence(socket, client);
  await fence(client, socket);
  assert.deepEqual([answers, socket.acks.has(77)], [[["a", 2]], false]);
});

test("serves the old ways of writing to a client [ADP-35, MEM-8]", async (t) => {
  const { io, port } = await startServer(t);
  const admitted = nextSocket(io);
  const peer = await wirePeer(t, port);
  const socket = await admitted;
  socket.client._packet(['2["encoded"]'], { preEncoded: true });
  await peer.expect('42["encoded"]');
  socket.client._packet({ type: 2, nsp: "/", data: ["packet", 1] });
  await peer.expect('42["packet",1]');
  socket.packet({ type: 2, data: ["own", 2] });
  await peer.expect('42["own",2]');
});

test("our adapter runs on a stand-in for a namespace [MEM-7]", async () => {
  const written = [];
  const joined = [];
  const standIn = (id) => ({
    id,
    client: { writeToEngine: (frames, options) => written.push([id, frames, options.preEncoded]) },
    join: (rooms) => joined.push([id, "join", rooms]),
    leave: (room) => joined.push([id, "leave", room]),
    disconnect: (close) => joined.push([id, "disconnect", close]),
    acks: new Map(),
  });
  const sockets = new Map(["s1", "s2", "s3"].map((id) => [id, standIn(id)]));
  const encoder = { encode: (packet) => [JSON.stringify(packet.data)] };
  const adapter = new adapters.Adapter({ server: { encoder, opts: {} }, sockets, _ids: 0 });
  adapter.addAll("s1", new Set(["s1", "r"]));
  adapter.addAll("s2", new Set(["s2", "r"]));
  adapter.addAll("s3", new Set(["s3"]));
  adapter.broadcast({ type: 2, data: ["e"] }, { rooms: new Set(["r"]), except: new Set(["s2"]) });
  assert.deepEqual(
    written.map(([id, frames, preEncoded]) => [id, [...frames], preEncoded]),
    [["s1", ['["e"]'], true]],
  );
  adapter.addSockets({ rooms: new Set(["r"]) }, ["x"]);
  adapter.delSockets({ rooms: new Set(["s3"]) }, ["y"]);
  adapter.disconnectSockets({ rooms: new Set(["s1"]) }, true);
  assert.deepEqual(joined, [
    ["s1", "join", ["x"]],
    ["s2", "join", ["x"]],
    ["s3", "leave", "y"],
    ["s1", "disconnect", true],
  ]);
  let count = 0;
  adapter.broadcastWithAck(
    { type: 2, data: ["q"] },
    { rooms: new Set() },
    (n) => (count = n),
    () => {},
  );
  assert.deepEqual([count, sockets.get("s3").acks.size], [3, 1]);
  assert.deepEqual(await adapter.sockets(new Set(["r"])), new Set(["s1", "s2"]));
});

test("keeps the members that are widely used without being documented [MEM-8]", async (t) => {
  const { io, socket } = await pair(t);
  assert.equal(io.eio, io.engine);
  assert.equal(socket.client.sockets.get(socket.id), socket);
  assert.ok(Array.isArray(socket.conn.writeBuffer));
  assert.ok(io.engine.ws);
  assert.equal(typeof socket.conn.transport.socket.on, "function");
  assert.equal(socket.conn.server, io.engine);
  assert.equal(typeof socket.flags, "object");
  assert.ok(Array.isArray(socket.fns));
  for (const name of ["onevent", "ack", "onack", "packet", "dispatch", "_onpacket", "_error", "_onerror", "_onclose", "leaveAll"]) {
    assert.equal(typeof socket[name], "function", `socket.${name}`);
  }
  for (const name of ["ondata", "ondecoded", "_packet", "close", "writeToEngine"])
    assert.equal(typeof socket.client[name], "function", `client.${name}`);
  for (const name of ["decoder", "encoder"]) assert.equal(typeof socket.client[name], "object", `client.${name}`);
});

test("hands every event to onevent, which a program may replace [MEM-8]", async (t) => {
  const { socket, client } = await pair(t);
  const seen = [];
  const { onevent } = socket;
  socket.onevent = function (packet) {
    seen.push({ type: packet.type, nsp: packet.nsp, id: packet.id, data: [...packet.data] });
    onevent.call(this, packet);
  };
  socket.on("ask", (value, callback) => callback(value));
  client.emit("e", 1);
  assert.equal(await client.timeout(2000).emitWithAck("ask", "x"), "x");
  assert.deepEqual(seen, [
    { type: 2, nsp: "/", id: undefined, data: ["e", 1] },
    { type: 2, nsp: "/", id: 0, data: ["ask", "x"] },
  ]);
});

/** Calls that pass through a method of the instance, and what makes them do it. */
const HOOKS = {
  "socket.onack": { at: ({ socket }) => socket, name: "onack", act: ({ socket }) => socket.timeout(2000).emitWithAck("q") },
  "socket.ack": { at: ({ socket }) => socket, name: "ack", act: ({ client }) => client.timeout(2000).emitWithAck("ask") },
  "socket.packet": { at: ({ socket }) => socket, name: "packet", act: ({ socket, client }) => fence(socket, client) },
  "socket.dispatch": { at: ({ socket }) => socket, name: "dispatch", act: ({ socket, client }) => fence(client, socket) },
  "socket._onpacket": { at: ({ socket }) => socket, name: "_onpacket", act: ({ socket, client }) => fence(client, socket) },
  "client._packet": { at: ({ socket }) => socket.client, name: "_packet", act: ({ socket, client }) => fence(socket, client) },
  "conn.write": { at: ({ socket }) => socket.conn, name: "write", act: ({ socket, client }) => fence(socket, client) },
  "conn.write, for a broadcast": {
    at: ({ socket }) => socket.conn,
    name: "write",
    act: ({ io, client }) => Promise.all([once(client, "e"), io.emit("e")]),
  },
  "socket.emit": { at: ({ socket }) => socket, name: "emit", act: ({ socket, client }) => fence(socket, client) },
  "nsp.emit": { at: ({ io }) => io.of("/"), name: "emit", act: ({ io, client }) => Promise.all([once(client, "e"), io.of("/").emit("e")]) },
  "io.emit": { at: ({ io }) => io, name: "emit", act: ({ io, client }) => Promise.all([once(client, "e"), io.emit("e")]) },
  "adapter.broadcast": {
    at: ({ io }) => io.of("/").adapter,
    name: "broadcast",
    act: ({ io, client }) => Promise.all([once(client, "e"), io.emit("e")]),
  },
};

for (const [title, { at, name, act }] of Object.entries(HOOKS)) {
  test(`goes through ${title} of the instance, which a program may replace [MEM-8, MEM-9]`, async (t) => {
    const server = await pair(t);
    server.client.on("q", (callback) => callback());
    server.socket.on("ask", (callback) => callback());
    const target = at(server);
    const original = target[name];
    let calls = 0;
    target[name] = function (...args) {
      calls += 1;
      return original.apply(this, args);
    };
    await act(server);
    assert.ok(calls >= 1, `${calls} calls`);
  });
}

test("goes through conn.emit of the instance in both directions [MEM-9]", async (t) => {
  const { socket, client } = await pair(t);
  const { conn } = socket;
  const { emit } = conn;
  const seen = new Set();
  conn.emit = function (name, ...args) {
    seen.add(name);
    return emit.call(this, name, ...args);
  };
  await fence(client, socket);
  await fence(socket, client);
  await fence(client, socket);
  for (const name of ["packet", "data", "message", "packetCreate", "flush", "drain"])
    assert.ok(seen.has(name), `${name} is not among ${[...seen]}`);
});

test("ends a socket through _onclose of the instance [MEM-8]", async (t) => {
  const { socket, client } = await pair(t);
  const reasons = [];
  const { _onclose: onclose } = socket;
  socket._onclose = function (reason, ...more) {
    reasons.push(reason);
    return onclose.call(this, reason, ...more);
  };
  const ending = once(socket, "disconnect");
  client.disconnect();
  await ending;
  assert.deepEqual(reasons, ["client namespace disconnect"]);
});

test("shows sessions and the HTTP server as sticky balancers use them [SRV-32, MEM-1]", async (t) => {
  const { io, url, httpServer } = await startServer(t);
  const seen = [];
  const closed = new Promise((resolve) => io.engine.on("connection", (session) => session.once("close", () => resolve(session.id))));
  io.httpServer.prependListener("request", (request) => seen.push(request.url));
  assert.equal(io.httpServer, httpServer);
  const { client } = await joinServer(t, { io, url }, "/", { transports: ["polling"] });
  const { id } = client.io.engine;
  assert.match(id, /^[\w-]{20}$/);
  client.disconnect();
  assert.equal(await within(closed, "the session to close"), id);
  assert.ok(seen.length > 0);
});

test("serves a dashboard that watches sockets and rooms [NSP-24, MEM-1]", async (t) => {
  const server = await startServer(t);
  const { io } = server;
  const log = [];
  io._eventBuffer = [];
  for (const name of ["socketsJoin", "socketsLeave", "disconnectSockets", "fetchSockets"]) assert.equal(typeof io[name], "function");
  io._nsps.forEach((nsp) => {
    nsp.adapter.on("join-room", (room, id) => log.push(["join", room === id]));
    nsp.prependListener("connection", (socket) => {
      log.push(["connection", typeof socket.client.id, socket.conn.transport.name]);
      socket.data = new Proxy({}, {});
      socket.onAny((name) => log.push(["in", name]));
      socket.onAnyOutgoing((name) => log.push(["out", name]));
    });
  });
  const sizes = record(io.engine, "connection");
  const { client, socket } = await joinServer(t, server);
  const packets = record(socket.conn, "packet", "packetCreate");
  socket.join("a");
  socket.emit("hello");
  await fence(client, socket);
  assert.deepEqual(log, [
    ["join", true],
    ["connection", "string", "websocket"],
    ["join", false],
    ["out", "hello"],
    ["in", "fence"],
  ]);
  assert.equal(sizes.events.length, 1);
  for (const [, { data }] of packets.events) assert.ok(Buffer.byteLength(data) >= 0);
  assert.equal(io.engine.clientsCount, 1);
});

test("shows no face of a plain WebSocket to frameworks [MEM-1]", async (t) => {
  const { io, socket } = await pair(t);
  assert.notEqual(typeof socket.readyState, "number");
  for (const name of ["addListener", "removeListener", "on", "off", "once"]) assert.equal(typeof socket[name], "function");
  assert.equal(io.sockets.setMaxListeners(100), io.sockets);
});

test("calls methods of the adapter through the instance, where they are replaced [ADP-3, MEM-9]", async (t) => {
  const { io } = await startServer(t);
  const { adapter } = io.of("/");
  let closed = 0;
  const { close } = adapter;
  adapter.close = () => {
    closed += 1;
    return close.call(adapter);
  };
  await io.close();
  assert.equal(closed, 1);
});

test(
  "delivers under a fake clock, and times out by it [MEM-10]",
  oursOnly("it asks for process.nextTick at each use, and stops"),
  async (t) => {
    const { io, port } = await startServer(t);
    const admitted = nextSocket(io);
    const peer = await wirePeer(t, port);
    const socket = await admitted;
    holdTicks(t);
    t.mock.timers.enable({ apis: ["setTimeout", "setInterval", "setImmediate", "Date"] });
    socket.use((event, next) => next());
    socket.on("ask", (callback) => callback("answer"));
    peer.send('421["ask"]');
    await peer.expect('431["answer"]');
    io.emit("all");
    await peer.expect('42["all"]');

    const outcomes = [];
    socket.timeout(60_000).emit("q", (error) => outcomes.push(error.message));
    io.timeout(60_000).emit("q", (error) => outcomes.push(error.message));
    t.mock.timers.tick(59_900);
    assert.deepEqual(outcomes, []);
    for (let ms = 0; ms < 200; ms += 20) t.mock.timers.tick(20); // performance.now() is not faked here, and a little ahead
    assert.deepEqual(outcomes, ["operation has timed out", "operation has timed out"]);
  },
);

/** Replaces `process.nextTick`, as fake clocks do, by one that runs nothing; Node's own streams keep theirs. */
function holdTicks(t) {
  const { nextTick } = process;
  process.nextTick = (...args) => {
    const caller = new Error().stack.split("\n")[2];
    if (caller.includes("node:")) nextTick(...args);
  };
  t.after(() => {
    process.nextTick = nextTick;
  });
}
