/** The socket: attributes, emitting, receiving, catch-all listeners, rooms. */
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { test } from "node:test";
import { once, record } from "../../support/client.js";
import { catchProcess, crowd, fence, joinServer, nextSocket, pair, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { ours, oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";

/** One more namespace over the connection of a client: `{ client, socket }`. */
async function alongside(io, client, namespace, auth) {
  io.of(namespace);
  const other = client.io.socket(namespace, { auth });
  const connected = once(other, "connect");
  await connected;
  return { client: other, socket: io.of(namespace).sockets.get(other.id) };
}

test("shows its surroundings [SOC-1, SOC-4, CLI-1, CLI-2]", async (t) => {
  const { io, socket, client } = await pair(t);
  assert.equal(socket.id, client.id);
  assert.deepEqual([socket.nsp, socket.server, socket.adapter], [io.of("/"), io, io.of("/").adapter]);
  assert.deepEqual([socket.connected, socket.disconnected, socket.recovered], [true, false, false]);
  assert.equal(socket.client.conn, socket.conn);
  assert.deepEqual([socket.request, socket.client.request], [socket.conn.request, socket.conn.request]);
  assert.ok(socket.acks instanceof Map);
  assert.deepEqual([socket.conn.protocol, socket.conn.transport.name, socket.conn.id], [4, "websocket", client.io.engine.id]);
  assert.match(socket.conn.remoteAddress, /127\.0\.0\.1/);
});

test("joins with an empty handshake when a program deleted the request of the connection [ROB-520]", async (t) => {
  const { io, url } = await startServer(t);
  io.engine.on("connection", (conn) => delete conn.request);
  const { socket } = await joinServer(t, { io, url }, "/", { query: { a: "b" } });
  const { headers, query, secure, url: target, address } = socket.handshake;
  assert.deepEqual(
    { headers: { ...headers }, query: { ...query }, secure, target },
    { headers: {}, query: {}, secure: true, target: undefined },
  );
  assert.match(address, /127\.0\.0\.1$/);
  assert.deepEqual([socket.request, socket.client.request], [undefined, undefined]);
});

test("sends ArrayBuffers and views of any kind, alone, broadcast, and with recovery [ROB-530]", async (t) => {
  const { io, socket, client } = await pair(t, { connectionStateRecovery: {} });
  const bytes = Uint8Array.of(1, 2, 3, 4);
  const values = [bytes.buffer, bytes.subarray(1, 3), Uint16Array.of(513, 1027), new DataView(bytes.buffer, 2), Buffer.from("ab")];
  const received = record(client, "binary");
  socket.emit("binary", ...values);
  io.emit("binary", ...values);
  for (const [, ...got] of await received.until((events) => events.length === 2)) {
    assert.deepEqual(
      got.slice(0, 5).map((each) => [...Buffer.from(each)]),
      [
        [1, 2, 3, 4],
        [2, 3],
        [1, 2, 3, 4],
        [3, 4],
        [97, 98],
      ],
    );
  }
});

test("carries data of the user, which may be replaced [SOC-2, SOC-5]", async (t) => {
  const { io, socket } = await pair(t);
  assert.deepEqual(socket.data, {});
  socket.data.a = 1;
  socket.data = { b: 2 };
  socket.userId = "u";
  const [fetched] = await io.fetchSockets();
  assert.deepEqual([fetched.data, fetched.userId], [{ b: 2 }, "u"]);
});

test("has a live Set of rooms, empty after the disconnection [SOC-3]", async (t) => {
  const { socket, client } = await pair(t);
  const { rooms } = socket;
  assert.ok(rooms instanceof Set);
  socket.join("a");
  assert.deepEqual([...socket.rooms], [socket.id, "a"]);
  const ending = once(socket, "disconnect");
  client.disconnect();
  await ending;
  assert.ok(socket.rooms instanceof Set);
  assert.equal(socket.rooms.size, 0);
});

test("keeps the request of the handshake through an upgrade [SOC-4]", async (t) => {
  const { io, url } = await startServer(t);
  const admitted = nextSocket(io);
  const joining = joinServer(t, { io, url }, "/", { transports: ["polling", "websocket"] });
  const socket = await admitted;
  const upgraded = once(socket.conn, "upgrade");
  const { request } = socket;
  await Promise.all([joining, upgraded]);
  assert.equal(socket.conn.transport.name, "websocket");
  assert.equal(socket.request, request);
  assert.match(request.url, /transport=polling/);
});

test("emits packet, drain and close on its connection [SOC-4]", async (t) => {
  const { socket, client } = await pair(t);
  const log = record(socket.conn, "packet", "packetCreate", "drain", "close");
  socket.on("hello", () => socket.emit("world"));
  client.emit("hello");
  await once(client, "world");
  await fence(client, socket);
  client.io.engine.close();
  await log.until((events) => events.some(([name]) => name === "close"));
  const find = (name) => log.events.find(([met]) => met === name);
  assert.deepEqual([find("packet")[1].type, find("packet")[1].data], ["message", '2["hello"]']);
  assert.deepEqual([find("packetCreate")[1].type, find("packetCreate")[1].data], ["message", '2["world"]']);
  assert.ok(find("drain"));
  assert.equal(find("close")[1], "transport close");
});

test("emits heartbeat on its connection for each answered ping [SOC-4]", async (t) => {
  const { io, url } = await startServer(t, { pingInterval: 40 });
  const { socket } = await joinServer(t, { io, url });
  await once(socket.conn, "heartbeat");
});

test("takes the handshake of each namespace when it is joined, and the query of the connection [SOC-11, SOC-13, SOC-14, SOC-15, LEG-10]", async (t) => {
  const server = await startServer(t);
  const { client, socket } = await joinServer(t, server, "/", {
    query: { room: "q" },
    auth: { a: 1 },
    extraHeaders: { origin: "https://elsewhere.example" },
  });
  const other = await alongside(server.io, client, "/other", { b: 2 });
  assert.deepEqual([socket.handshake.auth, other.socket.handshake.auth], [{ a: 1 }, { b: 2 }]);
  assert.deepEqual([socket.handshake.query.room, other.socket.handshake.query.room], ["q", "q"]);
  assert.ok(other.socket.handshake.issued >= socket.handshake.issued);
  assert.equal(socket.handshake.time, new Date(socket.handshake.issued).toString());
  assert.equal(socket.handshake.xdomain, true);
  const bare = await alongside(server.io, client, "/bare");
  assert.deepEqual(bare.socket.handshake.auth, {});
});

test("takes the callback from the end of the arguments [EVT-3, ACK-1]", async (t) => {
  const { socket, client } = await pair(t);
  client.on("e", (...args) => args.at(-1)(args.length));
  assert.equal(await within(new Promise((resolve) => socket.emit("e", 1, 2, resolve)), "the answer"), 3);
});

test("writes functions and undefined within arrays as null [EVT-2]", async (t) => {
  const { socket, client } = await pair(t);
  const arrived = once(client, "e");
  socket.emit("e", [() => {}, undefined, NaN], new Set([1]), new Uint8Array([1, 2]), new Uint8Array([3]).buffer, 0);
  const [list, set, view, buffer] = await arrived;
  assert.deepEqual([list, set], [[null, null, null], {}]);
  assert.deepEqual([Buffer.from(view), Buffer.from(buffer)], [Buffer.from([1, 2]), Buffer.from([3])]);
});

test("drops what is emitted after it was disconnected [EVT-4]", async (t) => {
  const { io, port } = await startServer(t);
  io.of("/other");
  const admitted = nextSocket(io);
  const peer = await wirePeer(t, port);
  const socket = await admitted;
  socket.disconnect();
  assert.equal(socket.emit("late"), true);
  await peer.expect("41");
  await ours("it writes the event", async () => {
    peer.send("40/other,");
    assert.match(await peer.next(), /^40\/other,\{/);
  });
});

test("keeps a flag until the next emission [EVT-6]", async (t) => {
  const { socket } = await pair(t);
  const created = [];
  socket.conn.on("packetCreate", ({ options }) => created.push(options.compress));
  assert.equal(socket.compress(false), socket);
  assert.equal(socket.timeout(1000), socket);
  assert.equal(socket.volatile, socket);
  socket.emit("first");
  socket.emit("second");
  socket.compress(false);
  socket.broadcast.emit("takes the flag over, to nobody");
  socket.emit("third");
  assert.deepEqual(created, [false, true, true]);
});

test("excludes the sender from every operator it makes, and hands its flags over [EVT-7, BRO-6]", async (t) => {
  const server = await crowd(t, 3);
  const { sockets, clients } = server;
  for (const socket of sockets) socket.join("r");
  sockets[2].join("x");
  const logs = clients.map((client) => record(client, "broadcast", "to", "in", "except", "local"));
  sockets[0].broadcast.emit("broadcast");
  sockets[0].to("r").emit("to");
  sockets[0].in(["r", "x"]).emit("in");
  sockets[0].except("x").emit("except");
  sockets[0].local.emit("local");
  await Promise.all(sockets.map((socket, i) => fence(socket, clients[i])));
  assert.deepEqual(
    logs.map(({ names }) => names),
    [[], ["broadcast", "to", "in", "except", "local"], ["broadcast", "to", "in", "local"]],
  );
});

test("keeps or drops all frames of a volatile event with bytes [EVT-9]", async (t) => {
  const { socket, client } = await pair(t);
  const log = record(client, "first", "bytes");
  socket.emit("first");
  socket.volatile.emit("bytes", Buffer.from([1]), Buffer.from([2]));
  await fence(socket, client);
  await fence(client, socket);
  socket.volatile.emit("bytes", Buffer.from([3]), Buffer.from([4]));
  await log.until((events) => events.length === 2);
  assert.deepEqual(log.events, [["first"], ["bytes", Buffer.from([3]), Buffer.from([4])]]);
});

test("keeps the order of events to one socket, however they are sent [EVT-10]", async (t) => {
  const { io, socket, client } = await pair(t);
  socket.join("r");
  const log = record(client, "e");
  socket.emit("e", 0);
  io.emit("e", 1, Buffer.from("x"));
  io.to("r").emit("e", 2);
  socket.emit("e", 3, Buffer.from("y"));
  io.to(socket.id).emit("e", 4);
  await fence(socket, client);
  assert.deepEqual(
    log.events.map(([, n]) => n),
    [0, 1, 2, 3, 4],
  );
});

test("runs catch-all listeners, then middlewares, then the listeners in the next tick [EVT-20, EVT-31, EVT-30]", async (t) => {
  const { socket, client } = await pair(t);
  const log = [];
  socket.onAny((name) => {
    log.push(`any ${name}`);
    process.nextTick(() => log.push("tick"));
  });
  socket.use(([name], next) => {
    log.push(`use ${name}`);
    next();
    log.push("after next");
  });
  socket.on("e", () => log.push("listener"));
  const heard = once(socket, "e");
  client.emit("e");
  await heard;
  assert.deepEqual(log.slice(0, 3), ["any e", "use e", "after next"]);
  assert.ok(log.includes("listener"));
});

test("keeps the order between namespaces of one connection [EVT-21]", async (t) => {
  const { io, client, socket } = await pair(t);
  const other = await alongside(io, client, "/other");
  const log = [];
  socket.on("e", (n) => log.push(n));
  other.socket.on("e", (n) => log.push(n));
  for (let n = 0; n < 6; n += 1) (n % 2 ? other.client : client).emit("e", n);
  await fence(client, socket);
  assert.deepEqual(log, [0, 1, 2, 3, 4, 5]);
});

test("ignores events without a listener, and does not acknowledge them [EVT-23]", async (t) => {
  const { socket, client } = await pair(t);
  const answers = [];
  client.emit("unheard", 1, (...args) => answers.push(args));
  await fence(client, socket);
  await fence(socket, client);
  assert.deepEqual(answers, []);
});

test("looks listeners up by the name on the wire, a number too [EVT-24]", async (t) => {
  const { io, port } = await startServer(t);
  const admitted = nextSocket(io);
  const peer = await wirePeer(t, port);
  const socket = await admitted;
  const heard = record(socket, "5");
  const any = [];
  socket.onAny((name) => any.push(name));
  peer.send('42[5,"a"]', '42["__proto__"]', '42["constructor",1]', '42["end"]');
  await once(socket, "end");
  assert.deepEqual(heard.events, [["5", "a"]]);
  assert.deepEqual(any, [5, "__proto__", "constructor", "end"]);
});

test("leaves what a listener throws to the process, and keeps the connection [EVT-26]", async (t) => {
  const { socket, client } = await pair(t);
  const exceptions = catchProcess(t, "uncaughtException");
  socket.on("e", () => {
    throw new Error("from the listener");
  });
  client.emit("e");
  assert.equal((await exceptions.next()).message, "from the listener");
  await fence(client, socket);
});

test("sends what listeners emitted though one of them throws [EVT-26]", async (t) => {
  const { io, port } = await startServer(t);
  const exceptions = catchProcess(t, "uncaughtException");
  io.on("connection", (socket) =>
    socket.on("n", (n) => {
      socket.emit("before", n);
      if (n === 2) throw new Error("from the listener");
      socket.emit("after", n);
    }),
  );
  const peer = await wirePeer(t, port);
  peer.send('42["n",1]', '42["n",2]', '42["n",3]');
  const texts = [];
  for (let i = 0; i < 5; i++) texts.push(await peer.next());
  assert.deepEqual(texts, ['42["before",1]', '42["after",1]', '42["before",2]', '42["before",3]', '42["after",3]']);
  assert.equal((await exceptions.next()).message, "from the listener");
});

test("runs socket middlewares for events alone [EVT-31]", async (t) => {
  const { socket, client } = await pair(t);
  const seen = [];
  assert.equal(
    socket.use(([name, ...args], next) => seen.push([name, args.length]) && next()),
    socket,
  );
  client.on("q", (callback) => callback("answer"));
  assert.equal(await socket.timeout(2000).emitWithAck("q"), "answer");
  client.emit("e", 1, () => {});
  await fence(client, socket);
  const ending = once(socket, "disconnect");
  client.disconnect();
  await ending;
  assert.deepEqual(seen, [
    ["e", 2],
    ["fence", 0],
  ]);
});

test("sends nothing to a client when its event is refused, and skips the other middlewares and listeners [EVT-32]", async (t) => {
  const { socket, client } = await pair(t);
  const later = [];
  socket.use(([name], next) => next(name === "bad" ? Object.assign(new Error("no"), { data: 1 }) : undefined));
  socket.use(([name], next) => next(later.push(name) && undefined));
  const packets = record(client.io.engine, "packet");
  const answers = [];
  const failed = once(socket, "error");
  client.emit("bad", (...args) => answers.push(args));
  assert.deepEqual([(await failed)[0].message, (await failed)[0].data], ["no", 1]);
  await fence(socket, client);
  assert.deepEqual([answers, later, packets.events.length], [[], [], 1]);
});

test("holds no packet back while a socket middleware deliberates [EVT-33]", async (t) => {
  const { socket, client } = await pair(t);
  const log = record(socket, "slow", "fast");
  let release;
  socket.use(([name], next) => (name === "slow" ? (release = next) : next()));
  client.emit("slow");
  client.emit("fast");
  await log.until((events) => events.length === 1);
  release();
  await log.until((events) => events.length === 2);
  assert.deepEqual(log.names, ["fast", "slow"]);
});

test(
  "answers, and times out, in the context that asked [EVT-34]",
  oursOnly("an answer runs in the context of the connection"),
  async (t) => {
    const { socket, client } = await pair(t);
    const storage = new AsyncLocalStorage();
    client.on("q", (callback) => callback());
    const ask = (name, target, event) =>
      within(new Promise((resolve) => storage.run(name, () => target.emit(event, () => resolve(storage.getStore())))), "the callback");
    assert.equal(await ask("asking", socket, "q"), "asking");
    assert.equal(await ask("timed", socket.timeout(3000), "q"), "timed");
    assert.equal(await ask("late", socket.timeout(20), "silence"), "late");
  },
);

test("reacts to a missing pong in no client's context [EVT-34]", oursOnly("its timers run where they were started"), async (t) => {
  const { io, port } = await startServer(t, { pingInterval: 100, pingTimeout: 100 });
  const storage = new AsyncLocalStorage();
  io.engine.use((request, response, next) => storage.run("a client", next));
  const admitted = nextSocket(io);
  await wirePeer(t, port);
  const socket = await admitted;
  const met = await within(new Promise((resolve) => socket.on("disconnect", (reason) => resolve([reason, storage.getStore()]))), "the end");
  assert.deepEqual(met, ["ping timeout", undefined]);
});

test("runs the listeners of one connection in the context of no other [EVT-34]", async (t) => {
  const { sockets, clients } = await crowd(t, 2);
  const storage = new AsyncLocalStorage();
  clients[1].on("poke", () => clients[1].emit("poked"));
  const poked = new Promise((resolve) => sockets[1].on("poked", () => resolve(storage.getStore())));
  sockets[0].on("start", () => storage.run("the first", () => sockets[0].broadcast.emit("poke")));
  clients[0].emit("start");
  assert.equal(await within(poked, "the event"), undefined);
});

test("leaves no context of a listener on its connection [EVT-34]", async (t) => {
  const { socket, client } = await pair(t);
  const storage = new AsyncLocalStorage();
  socket.on("enter", () => storage.enterWith("the listener's"));
  const seen = [];
  socket.on("look", () => seen.push(storage.getStore()));
  for (let round = 0; round < 2; round += 1) {
    client.emit("enter");
    await fence(client, socket);
    client.emit("look");
    await fence(client, socket);
  }
  assert.deepEqual(seen, [undefined, undefined]);
});

test("writes what a listener emitted in no listener's context [EVT-34]", oursOnly("it writes in the listener's"), async (t) => {
  const { io, port } = await startServer(t);
  const storage = new AsyncLocalStorage();
  const drained = new Promise((resolve) => {
    io.on("connection", (socket) =>
      socket.on("go", () => {
        storage.enterWith("the listener's");
        socket.emit("first"); // passes through the connection's events at once
        socket.emit("second");
        socket.conn.on("drain", () => resolve(storage.getStore()));
      }),
    );
  });
  const peer = await wirePeer(t, port);
  peer.send('42["go"]');
  assert.equal(await within(drained, "the end of the write"), undefined);
});

test("returns itself from the mutators of catch-all listeners, and lists them [ANY-1, ANY-3]", async (t) => {
  const { socket } = await pair(t);
  for (const suffix of ["Any", "AnyOutgoing"]) {
    const f = () => {};
    const g = () => {};
    assert.deepEqual(socket[`listeners${suffix}`](), []);
    for (const method of [`on${suffix}`, `prepend${suffix}`]) assert.equal(socket[method](f), socket);
    socket[`on${suffix}`](g);
    assert.deepEqual(socket[`listeners${suffix}`](), [f, f, g]);
    assert.equal(socket[`off${suffix}`](f), socket);
    assert.deepEqual(socket[`listeners${suffix}`](), [f, g]);
    assert.equal(socket[`off${suffix}`](), socket);
    assert.deepEqual(socket[`listeners${suffix}`](), []);
  }
});

test("hands events to catch-all listeners that a middleware refuses, and an ack to answer with [ANY-2]", async (t) => {
  const { socket, client } = await pair(t);
  socket.use(([name], next) => next(name === "bad" ? new Error("no") : undefined));
  const seen = [];
  socket.onAny((name, ...args) => {
    seen.push(name);
    if (typeof args.at(-1) === "function") args.at(-1)("from onAny");
  });
  assert.equal(await client.timeout(2000).emitWithAck("bad"), "from onAny");
  client.on("q", (callback) => callback());
  await socket.timeout(2000).emitWithAck("q");
  assert.deepEqual(seen, ["bad"]);
});

test("shows outgoing events that are dropped later [ANY-4]", async (t) => {
  const { socket, client } = await pair(t);
  const seen = [];
  socket.onAnyOutgoing((...args) => seen.push(args));
  socket.emit("a");
  socket.volatile.emit("dropped", 1);
  const ending = once(socket.conn, "close");
  client.disconnect();
  await ending;
  socket.emit("after the end", 2);
  assert.deepEqual(seen, [["a"], ["dropped", 1], ["after the end", 2]]);
});

test("runs the catch-all listeners that there were when the event came [ANY-6]", async (t) => {
  const { socket, client } = await pair(t);
  const log = [];
  const second = () => log.push("second");
  socket.onAny((name) => {
    log.push(name);
    socket.offAny(second);
    socket.onAny(() => log.push("added"));
  });
  socket.onAny(second);
  const heard = once(socket, "e");
  client.emit("e");
  await heard;
  assert.deepEqual(log, ["e", "second"]);
});

test("joins twice as once, and leaves what it never joined, and its own room [ROOM-3]", async (t) => {
  const { io, socket } = await pair(t);
  socket.join("a");
  socket.join(["a", "a"]);
  socket.leave("never");
  assert.deepEqual([...socket.rooms], [socket.id, "a"]);
  assert.equal(io.of("/").adapter.rooms.get("a").size, 1);
  socket.leave(socket.id);
  assert.deepEqual([...socket.rooms], ["a"]);
});

test("gives a client no way into a room [ROOM-6]", async (t) => {
  const { socket, client } = await pair(t);
  for (const name of ["join", "leave", "rooms", "subscribe"]) client.emit(name, "a");
  await fence(client, socket);
  assert.deepEqual([...socket.rooms], [socket.id]);
});
