/** Limits on the rooms of a socket, on the acknowledgements that it owes, and on the namespaces of a pattern. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, once } from "../../support/client.js";
import { eventually, pair, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { PollingSession } from "../../support/wire-client.js";

const NO_LIMIT = oursOnly("it has no such limits");

test("socket.join throws above limits.roomsPerSocket and joins none of the rooms [ROB-776]", NO_LIMIT, async (t) => {
  const { io, socket } = await pair(t, { limits: { roomsPerSocket: 3 } });
  void socket.join(["a", "b"]);
  void socket.join(["a", "b", socket.id]); // no further room
  assert.throws(() => socket.join(["c", "d"]), { code: "RC_ERR_ROOMS", limit: 3, met: 4 });
  assert.deepEqual([...socket.rooms], [socket.id, "a", "b"]);
  void socket.join("c");
  void socket.leave("a");
  void socket.join("d");
  assert.throws(() => socket.join("e"), { code: "RC_ERR_ROOMS" });
  assert.equal(io.engine.counts.codes.RC_ERR_ROOMS, 2);
});

for (const transport of ["websocket", "polling"]) {
  test(`a client that chooses rooms gets no further than the limit, ${transport} [ROB-776]`, NO_LIMIT, async (t) => {
    const { io, url } = await startServer(t, { limits: { roomsPerSocket: 10 }, captureRejections: true });
    const errors = [];
    io.on("listener_error", (error) => errors.push(error.code));
    io.on("connection", (socket) => socket.on("join", (room) => socket.join(room)));
    const client = await connect(t, url, "/", { transports: [transport] });
    for (let i = 0; i < 30; i++) client.emit("join", `room-${i}`);
    await eventually(() => errors.length === 20);
    assert.deepEqual(new Set(errors), new Set(["RC_ERR_ROOMS"]));
    assert.equal(io.of("/").adapter.rooms.size, 11);
  });
}

test("socketsJoin passes over a socket that has too many rooms, and the others join [ROB-776]", NO_LIMIT, async (t) => {
  const { io, url } = await startServer(t, { limits: { roomsPerSocket: 1 } });
  const clients = [];
  for (let i = 0; i < 3; i++) clients.push(await connect(t, url, "/", { transports: ["websocket"] }));
  void io.of("/").sockets.get(clients[1].id).join("own");
  io.socketsJoin("all");
  assert.deepEqual([...io.of("/").adapter.rooms.get("all")], [clients[0].id, clients[2].id]);
});

test("restores the rooms of a recovered session [ROB-776]", NO_LIMIT, async (t) => {
  const { io, port } = await startServer(t, { limits: { roomsPerSocket: 2 }, connectionStateRecovery: true });
  const first = await wirePeer(t, port);
  void io.of("/").sockets.get(first.payload.sid).join(["a", "b"]);
  io.emit("news");
  const offset = JSON.parse((await first.next()).slice(2)).at(-1);
  first.abort();
  await eventually(() => io.of("/").sockets.size === 0);
  await wirePeer(t, port, { auth: { pid: first.payload.pid, offset } });
  const [socket] = io.of("/").sockets.values();
  assert.equal(socket.recovered, true);
  assert.deepEqual(new Set(socket.rooms), new Set([socket.id, "a", "b"]));
});

/** Sends CONNECTs and gives the answers. */
const joiners = {
  async websocket(t, port) {
    const ws = await wirePeer(t, port, { join: false });
    return async (name) => (ws.send(`40${name},`), ws.next());
  },
  async polling(t, port) {
    const session = await PollingSession.open(port, "", { path: "/socket.io/" });
    return async (name) => (await session.post(`40${name},`), (await session.poll())[0]);
  },
};

for (const [transport, open] of Object.entries(joiners)) {
  test(`a pattern opens no more than limits.childNamespaces, over all connections, ${transport} [ROB-777]`, NO_LIMIT, async (t) => {
    const { io, port } = await startServer(t, { limits: { childNamespaces: 2, emptyNamespaceMs: 200 } });
    io.of(/^\/room-/);
    const first = await open(t, port);
    const second = await open(t, port);
    assert.match(await first("/room-1"), /^40\/room-1,/);
    assert.match(await second("/room-2"), /^40\/room-2,/);
    assert.equal(await first("/room-3"), '44/room-3,{"message":"Invalid namespace"}');
    assert.match(await first("/room-2"), /^40\/room-2,/, "an open one may be joined");
    assert.equal(io.engine.counts.codes.RC_ERR_CHILD_NAMESPACES, 1);
    io.of("/room-1").disconnectSockets();
    await eventually(() => !io._nsps.has("/room-1"));
    assert.ok(io._nsps.has("/room-2"), "it has sockets");
    const third = await open(t, port);
    assert.match(await third("/room-3"), /^40\/room-3,/);
  });
}

test("a namespace that is empty for a moment stays open, with emptyNamespaceMs [ROB-777]", NO_LIMIT, async (t) => {
  const { io, url } = await startServer(t, { limits: { emptyNamespaceMs: 100 } });
  const parent = io.of(/^\/room-/);
  const other = await connect(t, url, "/room-1", { transports: ["websocket"] });
  const opened = io.of("/room-1");
  other.disconnect();
  await eventually(() => opened.sockets.size === 0);
  const client = await connect(t, url, "/room-1", { transports: ["websocket"], forceNew: true });
  const watched = await connect(t, url, "/room-2", { transports: ["websocket"], forceNew: true });
  const gone = once(watched, "disconnect");
  watched.disconnect();
  await gone;
  await eventually(() => !io._nsps.has("/room-2")); // later than /room-1 would have been
  assert.equal(io._nsps.get("/room-1"), opened);
  assert.equal(client.connected, true);
  assert.equal(parent.children.size, 1);
});

for (const transport of ["websocket", "polling"]) {
  test(`closes a client that owes more than limits.pendingAcks, ${transport} [ROB-778]`, NO_LIMIT, async (t) => {
    const { io, socket, client } = await pair(t, { limits: { pendingAcks: 5 } }, { client: { transports: [transport] } });
    client.on("ask", (answer) => answer("well"));
    for (let i = 0; i < 20; i++) assert.equal(await socket.emitWithAck("ask"), "well"); // answered ones don't count
    const end = once(socket, "disconnect");
    for (let i = 0; i < 5; i++) socket.emit("silence", () => {});
    assert.equal(socket.connected, true);
    socket.emit("silence", () => {});
    const [reason, description] = await end;
    assert.deepEqual([reason, description.code, description.limit, description.met], ["transport error", "RC_ERR_PENDING_ACKS", 5, 6]);
    assert.equal(io.engine.counts.codes.RC_ERR_PENDING_ACKS, 1);
  });
}
