import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeServer, settled, warningsDuring } from "./fake-engine.js";

const isReply = (message) => typeof message === "string" && /^0(\/[^,]+,)?\{"sid"/.test(message);

test("connects once when CONNECT is repeated while the first is pending [NSP-25, SIO-53]", async (t) => {
  const { io, open } = fakeServer(t);
  let connections = 0;
  let letIn;
  io.use((socket, next) => (letIn = next));
  io.on("connection", () => connections++);
  const conn = open();
  conn.receive("0", "0");
  letIn();
  const sent = await conn.taken();
  assert.equal(sent.filter(isReply).length, 1);
  assert.equal(connections, 1);
  assert.equal(conn.readyState, "open");
});

test("ignores a CONNECT after events while an earlier one is pending or queued [ROB-112, SIO-53]", async (t) => {
  const { io, join } = fakeServer(t);
  const joined = [];
  for (const name of ["/a", "/b"]) io.of(name).on("connection", () => joined.push(name));
  const { conn } = await join();
  conn.receive("0/a,", '2["x"]', "0/a,", "0/b,", "0/b,");
  const sent = await conn.taken();
  assert.equal(sent.filter(isReply).length, 2);
  assert.deepEqual(joined, ["/a", "/b"]);
  assert.equal(conn.readyState, "open");
});

test("joins again when DISCONNECT, CONNECT and both again arrive in one chunk [ROB-112, SIO-59]", async (t) => {
  const { io, join } = fakeServer(t);
  const { conn, socket } = await join();
  const reasons = [];
  let joined = 0;
  socket.on("disconnect", (reason) => reasons.push(reason));
  io.on("connection", () => joined++);
  conn.receive('2["x"]', "1", "0", "1", "0");
  const sent = await conn.taken();
  assert.equal(sent.filter(isReply).length, 1);
  assert.deepEqual(reasons, ["client namespace disconnect"]);
  assert.equal(joined, 1);
  assert.equal(conn.readyState, "open");
});

test("ends each of 20,000 sockets although every listener of disconnect throws [ROB-113]", async (t) => {
  const { io, join } = fakeServer(t, { limits: { namespaces: false } });
  const { conn } = await join();
  const COUNT = 20_000;
  let ended = 0;
  io.of(/^\/n\d+$/).on("connection", (socket) => {
    socket.on("disconnect", () => {
      ended++;
      throw new Error(`listener ${ended}`);
    });
  });
  conn.receive(...Array.from({ length: COUNT }, (_, i) => `0/n${i},`));
  await settled();
  assert.throws(() => conn.end("transport close"), /listener 20000/);
  assert.equal(ended, COUNT);
});

test("closes the connection on CONNECT for a namespace that was joined [SIO-51, DIS-27]", async (t) => {
  const { join } = fakeServer(t);
  const { conn, socket } = await join();
  const reasons = [];
  socket.on("disconnect", (reason) => reasons.push(reason));
  conn.receive("0");
  assert.deepEqual(reasons, ["forced close"]);
});

test("lets a client leave and join again in one chunk [SIO-59]", async (t) => {
  const { io, join } = fakeServer(t);
  const { conn, socket } = await join();
  const events = [];
  socket.on("disconnect", (reason) => events.push(reason));
  io.on("connection", (again) => events.push(again === socket ? "same" : "new"));
  conn.receive("1", "0");
  assert.equal((await conn.taken()).filter(isReply).length, 1);
  assert.deepEqual(events, ["client namespace disconnect", "new"]);
});

for (const [how, prepare] of [
  ["at once", () => {}],
  ["behind middlewares", (socket) => socket.use((event, next) => next())],
  ["behind catch-all listeners", (socket) => socket.onAny(() => {})],
]) {
  test(`runs a namespace's middlewares after the listeners of events that came before, ${how} [EVT-21, NSP-20]`, async (t) => {
    const { io, join } = fakeServer(t);
    const { conn, socket } = await join();
    prepare(socket);
    const seen = [];
    socket.on("login", () => seen.push("login"));
    io.of("/a").use((joining, next) => {
      seen.push("middleware");
      next();
    });
    conn.receive('2["login"]', "0/a,");
    assert.equal((await conn.taken()).filter(isReply).length, 1);
    assert.deepEqual(seen, ["login", "middleware"]);
  });

  test(`keeps the order of events of two namespaces, the first one's ${how} [EVT-21]`, async (t) => {
    const { join, enter } = fakeServer(t);
    const { conn, socket } = await join();
    const other = await enter(conn, "/a");
    prepare(socket);
    const seen = [];
    socket.on("e", (value) => seen.push(value));
    other.on("e", (value) => seen.push(value));
    conn.receive('2["e",1]', '2/a,["e",2]', '2["e",3]');
    await settled();
    assert.deepEqual(seen, [1, 2, 3]);
  });
}

test("ignores a second next() and a next() after the connection is gone [MID-10, MID-11]", async (t) => {
  const { io, open } = fakeServer(t);
  const events = [];
  let late;
  io.use((socket, next) => {
    socket.on("disconnect", () => events.push("disconnect"));
    if (late === undefined) {
      next();
      next();
      next(new Error("no"));
    }
    late = next;
  });
  io.on("connection", () => events.push("connection"));
  const first = open();
  first.receive("0");
  assert.equal((await first.taken()).length, 1);
  assert.deepEqual(events, ["connection"]);

  const second = open();
  second.receive("0");
  second.end("transport close");
  late();
  assert.deepEqual(await second.taken(), []);
  assert.deepEqual(events, ["connection"]);
});

test("frees what a pending socket held when its connection goes [NSP-26, PAR-23]", async (t) => {
  const { io, open } = fakeServer(t, { cleanupEmptyChildNamespaces: true });
  io.of(/^\/dyn-/).use((socket) => void socket.join("early"));
  const conn = open();
  conn.receive("0/dyn-1,");
  const child = io._nsps.get("/dyn-1");
  assert.equal(child._preConnectSockets.size, 1);
  assert.equal(child.adapter.rooms.has("early"), true);
  conn.end("transport close");
  await settled();
  assert.deepEqual([child._preConnectSockets.size, child.adapter.rooms.size, child.adapter.sids.size], [0, 0, 0]);
  assert.equal(io._nsps.has("/dyn-1"), false);
});

test("keeps a child namespace while a socket is joining it [PAR-20, PAR-23]", async (t) => {
  const { io, open } = fakeServer(t, { cleanupEmptyChildNamespaces: true });
  let letIn;
  io.of(/^\/dyn-/).use((socket, next) => {
    if (letIn === undefined) letIn = next;
    else next(new Error("no"));
  });
  const waiting = open();
  const refused = open();
  waiting.receive("0/dyn-1,");
  refused.receive("0/dyn-1,");
  assert.deepEqual(await refused.taken(), ['4/dyn-1,{"message":"no"}']);
  assert.equal(io._nsps.has("/dyn-1"), true);
  letIn();
  assert.equal((await waiting.taken()).filter(isReply).length, 1);
});

const FAILURES = {
  throws: () => {
    throw new Error("db down");
  },
  rejects: async () => {
    throw new Error("db down");
  },
};
for (const [what, middleware] of Object.entries(FAILURES)) {
  test(`refuses the client with a neutral text, and warns, when a middleware ${what} [MID-9, ROB-410]`, async (t) => {
    const { io, open } = fakeServer(t);
    io.use(middleware);
    const conn = open();
    const warnings = await warningsDuring("ROOMCAST_MIDDLEWARE_FAILED", () => conn.receive("0"));
    assert.deepEqual(await conn.taken(), ['4{"message":"Internal server error"}']);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /"\/".*db down/);
  });
}

const REFUSALS = [
  [new Error("no"), '4{"message":"no"}'],
  [Object.assign(new Error("no"), { data: { a: 1 } }), '4{"message":"no","data":{"a":1}}'],
  ["text", '4{"message":"text"}'],
  [{ code: 401 }, '4{"message":"Not allowed"}'],
  [Object.create(null), '4{"message":"Not allowed"}'],
  [{ toString: () => "own text" }, '4{"message":"own text"}'],
  [{ toString: () => ({}) }, '4{"message":"Not allowed"}'],
  [{ message: 1n }, '4{"message":"Not allowed"}'],
  [{ data: 1 }, '4{"message":"Not allowed","data":1}'],
];
for (const [error, answer] of REFUSALS) {
  test(`answers ${answer} [MID-3, MID-5, ROB-411]`, async (t) => {
    const { io, open } = fakeServer(t);
    let refused;
    io.use((socket, next) => {
      refused = socket;
      socket.join("r");
      next(error);
    });
    const conn = open();
    conn.receive("0");
    assert.deepEqual(await conn.taken(), [answer]);
    assert.equal(refused.join("later"), undefined);
    assert.equal(io.of("/").adapter.rooms.size, 0);
  });
}

test("limits the namespaces one connection may have open or pending [NSP-11]", async (t) => {
  const { io, open } = fakeServer(t, { limits: { namespaces: 2 } });
  io.of(/^\/n/);
  const conn = open();
  conn.receive("0/n1,", "0/n2,", "0/n3,");
  const sent = await conn.taken();
  assert.deepEqual(
    sent.filter((message) => message.startsWith("4")),
    ['4/n3,{"message":"Too many namespaces"}'],
  );
  assert.equal(io._nsps.has("/n3"), false);
  conn.receive("1/n1,");
  await settled();
  conn.receive("0/n3,");
  assert.equal((await conn.taken()).filter(isReply).length, 1);
});

test("closes a connection that joins nothing in time, and no other [CLI-4, DIS-31]", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { open } = fakeServer(t, { connectTimeout: 1000 });
  const idle = open();
  const joined = open();
  joined.receive("0");
  await new Promise((resolve) => process.nextTick(resolve));
  t.mock.timers.tick(1000);
  assert.equal(idle.readyState, "closed");
  assert.equal(joined.readyState, "open");
});
