import assert from "node:assert/strict";
import { test } from "node:test";
import { startServer } from "../../../support/server.js";
import { ours, oursOnly } from "../../../support/target.js";
import { Inbox } from "../../../support/wait.js";
import { PollingSession, WireSocket } from "../../../support/wire-client.js";
import { joinedPeer, journal, nextSocket } from "./peer.js";

const hole = (num) => `{"_placeholder":true,"num":${num}}`;
const options = { allowEIO3: true };

/** A WebSocket of revision 3, its open packet read: `ws.sid`. */
async function openLegacy(t, port, query = "") {
  const ws = await WireSocket.open(port, `/socket.io/?EIO=3&transport=websocket${query && `&${query}`}`);
  t.after(() => ws.abort());
  ws.sid = JSON.parse((await ws.next()).slice(1)).sid;
  return ws;
}

/** The same, with the CONNECT of `/` read too. */
async function joinedLegacy(t, port) {
  const ws = await openLegacy(t, port);
  await ws.expect("40");
  return ws;
}

test("connects a client of revision 3 to / by itself, without payload, over websocket [SIO-70, SIO-71, EIO3-2]", async (t) => {
  const { io, port } = await startServer(t, options);
  const joined = nextSocket(io);
  const ws = await openLegacy(t, port);
  await ws.expect("40");
  const socket = await joined;
  assert.equal(socket.id, ws.sid);
  assert.equal(socket.conn.protocol, 3);
  assert.deepEqual({ ...socket.handshake.auth }, {});
});

test("connects a client of revision 3 to / by itself, over polling [SIO-70, EIO-95]", async (t) => {
  const { port } = await startServer(t, options);
  const session = await PollingSession.open(port, "", { path: "/socket.io/", eio: 3 });
  if (!session.response.text.endsWith("2:40")) assert.equal((await session.get()).text, "2:40");
});

test("answers CONNECT of another namespace without payload, with ids made of namespace and session id [SIO-71, EIO3-3]", async (t) => {
  const { io, port } = await startServer(t, options);
  const joined = nextSocket(io.of("/admin"));
  const ws = await joinedLegacy(t, port);
  ws.send("40/admin");
  await ws.expect("40/admin,");
  assert.equal((await joined).id, `/admin#${ws.sid}`);
});

test("takes the query of a namespace as auth and ignores it in the name, for every type of packet [SIO-72, EIO3-4]", async (t) => {
  const { io, port } = await startServer(t, options);
  const entries = journal(io, "/admin");
  const joined = nextSocket(io.of("/admin"));
  io.of("/admin").on("connection", (socket) => {
    socket.on("x", (answer) => answer());
    socket.on("q", () => socket.emit("q", (value) => socket.emit("r", value)));
  });
  const ws = await joinedLegacy(t, port);
  ws.send("40/admin?token=abc&x=1&x=2");
  await ws.expect("40/admin,");
  assert.deepEqual({ ...(await joined).handshake.auth }, { token: "abc", x: "2" });
  ws.send('42/admin?token=abc,7["x"]');
  await ws.expect("43/admin,7[]");
  ws.send('42/admin?token=abc,["q"]');
  await ws.expect('42/admin,0["q"]');
  ws.send('43/admin?token=abc,0["v"]');
  await ws.expect('42/admin,["r","v"]');
  ws.send("41/admin?token=abc");
  assert.deepEqual(await entries.next(), ["/admin", "disconnect", "client namespace disconnect"]);
});

test("keeps hostile names in the query of a namespace as plain data [SIO-72, EIO3-4]", async (t) => {
  const { io, port } = await startServer(t, options);
  const joined = nextSocket(io.of("/admin"));
  const ws = await joinedLegacy(t, port);
  ws.send("40/admin?__proto__=x&constructor=y&toString=z");
  await ws.expect("40/admin,");
  const { auth } = (await joined).handshake;
  assert.equal({}.x, undefined);
  assert.equal(Object.prototype.toString.call({}), "[object Object]");
  assert.deepEqual([auth.constructor, auth.toString], ["y", "z"]);
  ours("it loses the name __proto__", () => assert.equal(Object.getOwnPropertyDescriptor(auth, "__proto__")?.value, "x"));
});

const REFUSALS = [
  ["data", Object.assign(new Error("m"), { data: { a: 1 } }), '{"a":1}'],
  ["text data", Object.assign(new Error("m"), { data: "d" }), '"d"'],
  ["only a message", new Error("plain"), '"plain"'],
  ["falsy data", Object.assign(new Error("plain"), { data: 0 }), '"plain"'],
];
for (const [what, error, payload] of REFUSALS) {
  test(`sends CONNECT_ERROR for a middleware error with ${what} [SIO-74, MID-4, EIO3-5]`, async (t) => {
    const { io, port } = await startServer(t, options);
    io.of("/admin").use((socket, next) => next(error));
    const ws = await joinedLegacy(t, port);
    ws.send("40/admin");
    await ws.expect(`44/admin,${payload}`);
  });
}

test("refuses / by CONNECT_ERROR when its middleware fails, then closes as nothing is joined [SIO-70, SIO-54]", async (t) => {
  const { io, port } = await startServer(t, { ...options, connectTimeout: 100 });
  io.use((socket, next) => next(new Error("no")));
  const ws = await openLegacy(t, port);
  await ws.expect('44"no"');
  await ws.closed();
});

test("refuses an unknown namespace by an object [SIO-75, EIO3-5]", async (t) => {
  const { port } = await startServer(t, options);
  const ws = await joinedLegacy(t, port);
  ws.send("40/unknown");
  await ws.expect('44/unknown,{"message":"Invalid namespace"}');
});

const STRANGE_NAMESPACES = ["/a/../b", "//x", "//", "//:0", "/%", "/%zz", "/é", "/?", "/ x", "/a?%"];
for (const name of STRANGE_NAMESPACES) {
  test(`survives a CONNECT for ${name} [SIO-73]`, async (t) => {
    const { port } = await startServer(t, options);
    const good = await joinedLegacy(t, port);
    const ws = await joinedLegacy(t, port);
    ws.send(`40${name},`);
    const answer = await ws.next().catch(() => ws.closed()); // closed, when the name is normalised to the one that is joined already
    if (typeof answer === "string") assert.match(answer, /^44.*\{"message":"Invalid namespace"\}$/);
    good.send("2");
    await good.expect("3");
  });
}

test(
  "finds a namespace by its verbatim name, and by its normalised form if that is unknown [SIO-73]",
  oursOnly("it percent-encodes what it is asked for"),
  async (t) => {
    const { io, port } = await startServer(t, options);
    io.of("/é");
    io.of("/b");
    const ws = await joinedLegacy(t, port);
    ws.send("40/é?x=1,");
    await ws.expect("40/é,");
    ws.send("40/a/../b,");
    await ws.expect("40/b,");
  },
);

test("closes a session that asks for / again [SIO-76, SIO-51]", async (t) => {
  const { io, port } = await startServer(t, options);
  const entries = journal(io);
  const ws = await joinedLegacy(t, port);
  ws.send("40");
  assert.deepEqual(await entries.next(), ["/", "disconnect", "forced close"]);
  await ws.closed();
});

test("accepts packets of a namespace without comma, and sends its own with it [SIO-77, SIO-23]", async (t) => {
  const { io, port } = await startServer(t, options);
  const joined = nextSocket(io.of("/admin"));
  const entries = journal(io, "/admin");
  const ws = await joinedLegacy(t, port);
  ws.send("40/admin");
  await ws.expect("40/admin,");
  ws.send("41/admin");
  assert.deepEqual(await entries.next(), ["/admin", "disconnect", "client namespace disconnect"]);
  ws.send("40/admin");
  await ws.expect("40/admin,");
  (await joined).nsp.emit("x");
  await ws.expect('42/admin,["x"]');
  (await joined).nsp.disconnectSockets();
  await ws.expect("41/admin,");
});

test("carries binary events and acknowledgements with the framing of revision 3, over websocket [SIO-78, EIO-92]", async (t) => {
  const { io, port } = await startServer(t, options);
  io.on("connection", (socket) => {
    socket.on("message", (...args) => socket.emit("message-back", ...args));
    socket.on("ack", (bytes, answer) => answer(bytes));
  });
  const ws = await joinedLegacy(t, port);
  ws.send(`452-["message",${hole(0)},${hole(1)}]`, Buffer.from([4, 1, 2]), Buffer.from([4, 3]));
  await ws.expect(`452-["message-back",${hole(0)},${hole(1)}]`);
  await ws.expect(Buffer.from([4, 1, 2]));
  await ws.expect(Buffer.from([4, 3]));
  ws.send(`451-12["ack",${hole(0)}]`, Buffer.from([4, 9]));
  await ws.expect(`461-12[${hole(0)}]`);
  await ws.expect(Buffer.from([4, 9]));
});

test("carries binary events with the framing of revision 3, over polling [SIO-78, EIO-97]", async (t) => {
  const { io, port } = await startServer(t, options);
  io.on("connection", (socket) => socket.on("go", () => socket.emit("x", Buffer.from([1, 2, 3]))));
  const session = await PollingSession.open(port, "", { path: "/socket.io/", eio: 3 });
  if (!session.response.text.endsWith("2:40")) assert.equal((await session.get()).text, "2:40");
  assert.equal((await session.post('8:42["go"]')).text, "ok");
  const chunks = [];
  const head = `451-["x",${hole(0)}]`;
  const digits = [...String(head.length)].map(Number);
  const whole = Buffer.concat([Buffer.from([0, ...digits, 0xff]), Buffer.from(head), Buffer.from([1, 4, 0xff, 4, 1, 2, 3])]);
  while (Buffer.concat(chunks).length < whole.length) {
    const response = await session.get();
    assert.equal(response.headers["content-type"], "application/octet-stream");
    chunks.push(response.body);
  }
  assert.deepEqual(Buffer.concat(chunks), whole);
});

test("refuses more attachments than it takes, from a client of revision 3 too [SIO-78, SIO-27]", async (t) => {
  const { io, port } = await startServer(t, options);
  const entries = journal(io);
  const ws = await joinedLegacy(t, port);
  ws.send('4511-["x"]');
  assert.deepEqual(await entries.next(), ["/", "error", "too many attachments"]);
  await ws.closed();
});

test("offers no recovery to a client of revision 3 and answers its pings [SIO-79, EIO3-7, EIO-76]", async (t) => {
  const { io, port } = await startServer(t, { ...options, connectionStateRecovery: {}, pingInterval: 200, pingTimeout: 100 });
  const entries = journal(io);
  const ws = await joinedLegacy(t, port);
  ws.send("2");
  await ws.expect("3");
  assert.deepEqual(await entries.next(), ["/", "disconnect", "ping timeout"]); // it is the client who has to go on
  assert.deepEqual(ws.messages.drain(), []);
});

test("reaches clients of both revisions with one broadcast [SIO-80, EIO3-6]", async (t) => {
  const { io, port } = await startServer(t, options);
  const old = await joinedLegacy(t, port);
  const peer = await joinedPeer(t, port);
  io.emit("x", 1, Buffer.from([7]));
  io.timeout(1000).emit("q", () => {});
  for (const each of [old, peer]) assert.equal(await each.next(), `451-["x",1,${hole(0)}]`);
  await old.expect(Buffer.from([4, 7]));
  await peer.expect(Buffer.from([7]));
  for (const each of [old, peer]) assert.equal(await each.next(), '420["q"]');
});

test("refuses revision 3 unless it is allowed [EIO3-1]", async (t) => {
  const { port } = await startServer(t);
  await assert.rejects(PollingSession.open(port, "", { path: "/socket.io/", eio: 3 }), ({ response }) => {
    assert.equal(response.status, 400);
    assert.equal(response.text, '{"code":5,"message":"Unsupported protocol version"}');
    return true;
  });
});

test("keeps the disconnect reasons for clients of revision 3 [SIO-60, SIO-59]", async (t) => {
  const { io, port } = await startServer(t, options);
  const ends = new Inbox("an end");
  io.on("connection", (socket) => socket.on("disconnect", (reason) => ends.push(reason)));
  const cut = await joinedLegacy(t, port);
  cut.abort();
  assert.equal(await ends.next(), "transport close");
  const bad = await joinedLegacy(t, port);
  bad.send("4abc");
  assert.equal(await ends.next(), "forced close");
});
