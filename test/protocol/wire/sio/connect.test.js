import assert from "node:assert/strict";
import { test } from "node:test";
import { startServer } from "../../../support/server.js";
import { ours, oursOnly } from "../../../support/target.js";
import { Inbox } from "../../../support/wait.js";
import { PollingSession } from "../../../support/wire-client.js";
import { join, joinedPeer, journal, nextSocket, openPeer, TRANSPORTS } from "./peer.js";

const ID = "[A-Za-z0-9_-]{20}";

for (const transport of TRANSPORTS) {
  test(`sends nothing after the engine handshake and joins nothing by itself, over ${transport} [SIO-45]`, async (t) => {
    const { io, port } = await startServer(t, { pingInterval: 60 });
    const peer = await openPeer(t, port, transport);
    await peer.expect("2"); // the first thing to come is the engine's ping
    assert.equal(io.of("/").sockets.size, 0);
    peer.send("3", "40");
    assert.match(await peer.next(), new RegExp(`^40\\{"sid":"${ID}"\\}$`));
  });

  test(`answers CONNECT with a session id of its own for each namespace, over ${transport} [SIO-46, SIO-90]`, async (t) => {
    const { io, port } = await startServer(t);
    io.of("/admin");
    const peer = await openPeer(t, port, transport);
    peer.send("40");
    const main = await peer.next();
    assert.match(main, new RegExp(`^40\\{"sid":"${ID}"\\}$`));
    peer.send("40/admin,");
    const admin = await peer.next();
    assert.match(admin, new RegExp(`^40/admin,\\{"sid":"${ID}"\\}$`));
    const sids = new Set([peer.sid, JSON.parse(main.slice(2)).sid, JSON.parse(admin.slice(9)).sid]);
    assert.equal(sids.size, 3);
  });

  test(`refuses an unknown namespace and stays open, over ${transport} [SIO-48, SIO-91, NSP-11]`, async (t) => {
    const { port } = await startServer(t);
    const peer = await openPeer(t, port, transport);
    peer.send("40/unknown,");
    await peer.expect('44/unknown,{"message":"Invalid namespace"}');
    peer.send("40/random");
    await peer.expect('44/random,{"message":"Invalid namespace"}');
    await join(peer);
  });

  test(`closes a session that joined nothing within connectTimeout, refusals notwithstanding, over ${transport} [SIO-54, SIO-92, DIS-31]`, async (t) => {
    const { io, port } = await startServer(t, { connectTimeout: 150 });
    const reasons = new Inbox("a close reason");
    io.engine.on("connection", (session) => session.on("close", (reason) => reasons.push(reason)));
    const peer = await openPeer(t, port, transport);
    peer.send("40/unknown,");
    await peer.expect('44/unknown,{"message":"Invalid namespace"}');
    await peer.closed();
    assert.equal(await reasons.next(), "forced close");
  });

  test(`keeps a session open that left every namespace after joining one, over ${transport} [SIO-54, SIO-59]`, async (t) => {
    const { io, port } = await startServer(t, { connectTimeout: 150, pingInterval: 400 });
    const entries = journal(io);
    const peer = await joinedPeer(t, port, transport);
    peer.send("41");
    assert.deepEqual(await entries.next(), ["/", "disconnect", "client namespace disconnect"]);
    await peer.expect("2"); // the engine's ping comes long after connectTimeout
    peer.send("3");
    await join(peer);
  });

  test(`closes the session when the first message is not a packet, over ${transport} [SIO-92]`, async (t) => {
    const { port } = await startServer(t);
    const peer = await openPeer(t, port, transport);
    peer.send("4abc");
    await peer.closed();
  });
}

test("sends pid with the answer exactly when recovery is on [SIO-46, NSP-23]", async (t) => {
  const { port } = await startServer(t, { connectionStateRecovery: {} });
  const peer = await openPeer(t, port);
  peer.send("40");
  assert.match(await peer.next(), new RegExp(`^40\\{"sid":"${ID}","pid":"${ID}"\\}$`));
});

const AUTH_CASES = [
  ["40", {}],
  ["40{}", {}],
  ['40{"token":"123"}', { token: "123" }],
  ["40/custom,", {}],
  ['40/custom,{"token":"abc"}', { token: "abc" }],
  ['40/custom,{"nested":{"a":[1,null]}}', { nested: { a: [1, null] } }],
];
for (const [packet, auth] of AUTH_CASES) {
  test(`gives the payload of ${packet} as handshake.auth [SIO-47, SIO-90, SOC-15]`, async (t) => {
    const { io, port } = await startServer(t);
    for (const namespace of [io, io.of("/custom")]) {
      namespace.on("connection", (socket) => socket.emit("auth", socket.handshake.auth));
    }
    const prefix = packet.includes("/custom") ? "/custom," : "";
    const peer = await openPeer(t, port);
    peer.send(packet);
    assert.match(await peer.next(), new RegExp(`^40${prefix}\\{"sid":"${ID}"\\}$`));
    await peer.expect(`42${prefix}["auth",${JSON.stringify(auth)}]`);
  });
}

const REFUSALS = [
  ["an error with data", Object.assign(new Error("nope"), { data: { a: 1 } }), '44/admin,{"message":"nope","data":{"a":1}}'],
  ["an error without data", new Error("nope"), '44/admin,{"message":"nope"}'],
  ["an error with null as data", Object.assign(new Error("nope"), { data: null }), '44/admin,{"message":"nope","data":null}'],
];
for (const [what, error, answer] of REFUSALS) {
  test(`sends CONNECT_ERROR for ${what} of a middleware and stays open [SIO-48, MID-3]`, async (t) => {
    const { io, port } = await startServer(t);
    io.of("/admin").use((socket, next) => next(error));
    const peer = await openPeer(t, port);
    peer.send("40/admin,");
    await peer.expect(answer);
    await join(peer);
  });
}

test("matches namespaces verbatim, query string included [SIO-49]", async (t) => {
  const { io, port } = await startServer(t);
  io.of("/admin");
  io.of("/shop?x=1");
  const peer = await openPeer(t, port);
  peer.send("40/admin?x=1,");
  await peer.expect('44/admin?x=1,{"message":"Invalid namespace"}');
  await join(peer, "/shop?x=1");
});

test("closes the session when an event follows CONNECT without waiting for the answer [SIO-53, SIO-51]", async (t) => {
  const { io, port } = await startServer(t);
  io.of("/admin");
  const peer = await joinedPeer(t, port);
  peer.send("40/admin,", '42/admin,["x"]');
  await peer.closed();
});

test(
  "ignores a CONNECT repeated while the first is pending: one socket, one answer [SIO-53, NSP-25]",
  oursOnly("it makes two sockets and answers twice"),
  async (t) => {
    const { io, port } = await startServer(t);
    const sockets = [];
    io.of("/slow").use((socket, next) => setTimeout(next, 30));
    io.of("/slow").on("connection", (socket) => {
      sockets.push(socket);
      socket.on("echo", (value) => socket.emit("echo", value));
    });
    const peer = await openPeer(t, port);
    peer.send("40/slow,", "40/slow,");
    assert.match(await peer.next(), new RegExp(`^40/slow,\\{"sid":"${ID}"\\}$`));
    peer.send('42/slow,["echo",1]');
    await peer.expect('42/slow,["echo",1]');
    assert.equal(sockets.length, 1);
    peer.send("40/slow,"); // once admitted, it is a state error
    await peer.closed();
  },
);

test("answers CONNECT before anything that a connection listener emits [SIO-46, NSP-21]", async (t) => {
  const { io, port } = await startServer(t);
  io.on("connection", (socket) => socket.emit("welcome"));
  const peer = await openPeer(t, port);
  peer.send("40");
  assert.match(await peer.next(), /^40\{/);
  await peer.expect('42["welcome"]');
});

test("runs the sample session: polling, then WebSocket [SIO-45, SIO-46, SIO-97]", async (t) => {
  const { io, port } = await startServer(t);
  const heard = new Inbox("an event");
  io.on("connection", (socket) => socket.onAny((...event) => heard.push(event)));
  io.of("/admin").on("connection", (socket) => socket.on("tellme", (answer) => answer(Buffer.from([7]))));
  const session = await PollingSession.open(port, "", { path: "/socket.io/" });
  assert.deepEqual(session.handshake.upgrades, ["websocket"]);
  assert.equal((await session.post("40")).text, "ok");
  assert.match((await session.poll())[0], new RegExp(`^40\\{"sid":"${ID}"\\}$`));
  assert.equal((await session.post('42["hello"]\x1e42["world"]')).text, "ok");
  assert.deepEqual([await heard.next(), await heard.next()], [["hello"], ["world"]]);
  const ws = await session.upgrade();
  ws.send("40/admin,");
  assert.match(await ws.next(), new RegExp(`^40/admin,\\{"sid":"${ID}"\\}$`));
  ws.send('42/admin,1["tellme"]');
  await ws.expect('461-/admin,1[{"_placeholder":true,"num":0}]');
  await ws.expect(Buffer.from([7]));
});

test("clears the connect timer with the first namespace that was joined [SIO-54, CLI-4]", async (t) => {
  const { io, port } = await startServer(t, { connectTimeout: 100, pingInterval: 300 });
  const joined = nextSocket(io);
  const peer = await joinedPeer(t, port);
  const socket = await joined;
  await peer.expect("2");
  assert.equal(socket.connected, true);
});

test("sends the same answer as the original when a middleware refuses with a string [SIO-48, MID-5]", async (t) => {
  const { io, port } = await startServer(t);
  io.of("/admin").use((socket, next) => next("nope"));
  const peer = await openPeer(t, port);
  peer.send("40/admin,");
  const answer = await peer.next();
  assert.match(answer, /^44\/admin,\{/);
  ours("it reads `message` from the string and sends none", () => assert.equal(answer, '44/admin,{"message":"nope"}'));
});
