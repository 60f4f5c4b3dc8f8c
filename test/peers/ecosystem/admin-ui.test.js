import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { instrument } from "@socket.io/admin-ui";
import { client, connect, once, record } from "../../support/client.js";
import { act, ask } from "../../support/dashboard.js";
import { assertRoomcast, startServer } from "./support/roomcast.js";

const require = createRequire(import.meta.url);

/** An instrumented server and one client of it, whose every command is an event of its own name. */
async function startInstrumented(t, options) {
  assertRoomcast("@socket.io/admin-ui");
  const server = await startServer(t, { cors: { origin: true, credentials: true } });
  instrument(server.io, options);
  server.io.on("connection", (socket) => {
    socket.on("enter", (room, acknowledge) => {
      socket.join(room);
      acknowledge();
    });
    socket.on("leave", (room, acknowledge) => {
      socket.leave(room);
      acknowledge();
    });
    socket.on("ping back", () => socket.emit("pong back", "payload"));
  });
  return server;
}

/** An admin, listening before anything can arrive. */
function connectAdmin(t, url, options) {
  const admin = client(t, url, "/admin", options);
  const seen = record(
    admin,
    ...["session", "config", "all_sockets", "server_stats", "socket_connected", "socket_updated", "socket_disconnected"],
    ...["room_joined", "room_left", "event_received", "event_sent"],
  );
  const find = (name, isWanted = () => true) =>
    seen
      .until((events) => events.some(([event, ...args]) => event === name && isWanted(...args)))
      .then((events) => events.find(([event, ...args]) => event === name && isWanted(...args)).slice(1));
  return { admin, seen, find };
}

for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
  test(`@socket.io/admin-ui in development mode reports all actions of clients, ${transports.join(" then ")} [MEM-1, EX-197, NSP-24]`, async (t) => {
    const { io, url } = await startInstrumented(t, { auth: false, mode: "development", serverId: "node-1" });
    const before = await connect(t, url, "/", { transports });
    const { find } = connectAdmin(t, url, { transports });
    const [{ supportedFeatures }] = await find("config");
    for (const feature of ["EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT", "ALL_EVENTS"]) {
      assert.ok(supportedFeatures.includes(feature), `${feature} in ${supportedFeatures}`);
    }
    const [sockets] = await find("all_sockets");
    assert.ok(sockets.some(({ id, nsp }) => id === before.id && nsp === "/"));
    const [stats] = await find("server_stats");
    assert.equal(stats.serverId, "node-1");
    assert.equal(stats.clientsCount, io.engine.clientsCount);

    const socket = await connect(t, url, "/", { transports, query: { from: "test" } });
    const [description] = await find("socket_connected", ({ id }) => id === socket.id);
    assert.equal(description.nsp, "/");
    assert.ok(transports.includes(description.transport));
    assert.equal(description.handshake.query.from, "test");
    assert.deepEqual(description.rooms, [socket.id]);

    await socket.emitWithAck("enter", "room1");
    assert.deepEqual((await find("room_joined", (nsp, room) => room === "room1")).slice(0, 3), ["/", "room1", socket.id]);
    const [nsp, id, args] = await find("event_received", (_nsp, from, [event]) => from === socket.id && event === "enter");
    assert.deepEqual([nsp, id, args.slice(0, 2)], ["/", socket.id, ["enter", "room1"]]);
    await socket.emitWithAck("leave", "room1");
    assert.deepEqual((await find("room_left", (_nsp, room) => room === "room1")).slice(0, 3), ["/", "room1", socket.id]);
    socket.emit("ping back");
    const sent = await find("event_sent", (_nsp, _id, [event]) => event === "pong back");
    assert.deepEqual(sent.slice(0, 3), ["/", socket.id, ["pong back", "payload"]]);

    const connected = [...io.sockets.sockets.values()].find((candidate) => candidate.id === socket.id);
    connected.data.name = "changed";
    const [updated] = await find("socket_updated", ({ id: updatedId, data }) => updatedId === socket.id && data?.name === "changed");
    assert.equal(updated.nsp, "/");
    const leavingId = socket.id;
    socket.disconnect();
    const left = await find("socket_disconnected", (_nsp, leftId) => leftId === leavingId);
    assert.deepEqual(left.slice(0, 3), ["/", leavingId, "client namespace disconnect"]);
  });
}

test("@socket.io/admin-ui reports when a client upgrades from polling to websocket [MEM-1, EX-197]", async (t) => {
  const { url } = await startInstrumented(t, { auth: false, mode: "development" });
  const { admin, find } = connectAdmin(t, url);
  await once(admin, "connect");
  const socket = await connect(t, url);
  await find("socket_updated", ({ id, transport }) => id === socket.id && transport === "websocket");
});

test("the commands of an admin of @socket.io/admin-ui act on sockets [MEM-1, EX-197]", async (t) => {
  const { io, url } = await startInstrumented(t, { auth: false, mode: "development" });
  const [first, second] = [await connect(t, url), await connect(t, url)];
  const { admin, find } = connectAdmin(t, url);
  await find("all_sockets");

  admin.emit("join", "/", "club", first.id);
  await find("room_joined", (_nsp, room, id) => room === "club" && id === first.id);
  assert.deepEqual([...io.of("/").adapter.rooms.get("club")], [first.id]);
  const news = once(first, "news");
  admin.emit("emit", "/", "club", "news", "for the club");
  assert.deepEqual(await news, ["for the club"]);
  admin.emit("leave", "/", "club", first.id);
  await find("room_left", (_nsp, room, id) => room === "club" && id === first.id);

  const disconnected = once(first, "disconnect");
  admin.emit("_disconnect", "/", false, first.id);
  assert.equal((await disconnected)[0], "io server disconnect");
  assert.equal(second.connected, true);
});

test("a read-only @socket.io/admin-ui ignores commands [MEM-1, EX-197]", async (t) => {
  const { io, url } = await startInstrumented(t, { auth: false, mode: "development", readonly: true });
  const socket = await connect(t, url);
  const { admin, find } = connectAdmin(t, url);
  const [{ supportedFeatures }] = await find("config");
  assert.equal(supportedFeatures.includes("JOIN"), false);
  admin.emit("join", "/", "club", socket.id);
  admin.emit("_disconnect", "/", false, socket.id);
  // On the same connection, so it is read after those commands.
  await admin.io.socket("/").connect().emitWithAck("enter", "elsewhere");
  assert.equal(io.of("/").adapter.rooms.has("club"), false);
  assert.equal(socket.connected, true);
});

test("@socket.io/admin-ui in production mode reports only totals [MEM-1, EX-197]", async (t) => {
  const { io, url } = await startInstrumented(t, { auth: false, mode: "production" });
  const { seen, find } = connectAdmin(t, url);
  const [{ supportedFeatures }] = await find("config");
  assert.ok(supportedFeatures.includes("AGGREGATED_EVENTS"));
  assert.equal(supportedFeatures.includes("ALL_EVENTS"), false);

  const socket = await connect(t, url, "/", { transports: ["websocket"] });
  await socket.emitWithAck("enter", "room1");
  // One connection of the admin, one of the client.
  const [stats] = await find("server_stats", ({ clientsCount }) => clientsCount === 2);
  assert.equal(stats.clientsCount, io.engine.clientsCount);
  const isCount = (type, subType) => (event) => event.type === type && (subType === undefined || event.subType === subType);
  const total = (wanted) =>
    seen.events.filter(([name]) => name === "server_stats").flatMap(([, { aggregatedEvents = [] }]) => aggregatedEvents.filter(wanted));
  await find("server_stats", () => total(isCount("packetsIn")).length > 0 && total(isCount("rawConnection")).length > 0);
  await find("server_stats", () => total(isCount("bytesOut")).length > 0);
  const names = new Set(seen.names);
  for (const name of ["all_sockets", "socket_connected", "room_joined", "event_received"]) assert.equal(names.has(name), false, name);
});

test("@socket.io/admin-ui asks for a password, then gives a session that replaces it [MEM-1, EX-197, NSP-24]", async (t) => {
  const password = require("bcryptjs").hashSync("changeit", 4);
  const { url } = await startInstrumented(t, { auth: { type: "basic", username: "admin", password }, mode: "development" });
  const stranger = client(t, url, "/admin", { auth: { username: "admin", password: "guess" } });
  const [error] = await once(stranger, "connect_error");
  assert.equal(error.message, "invalid credentials");

  const { find } = connectAdmin(t, url, { auth: { username: "admin", password: "changeit" } });
  const [sessionId] = await find("session");
  await find("all_sockets");
  const again = connectAdmin(t, url, { auth: { sessionId } });
  await again.find("config");
});

test("@socket.io/admin-ui sees namespaces that are made later [MEM-1, EX-197]", async (t) => {
  const { io, url } = await startInstrumented(t, { auth: false, mode: "development" });
  const { find } = connectAdmin(t, url);
  await find("all_sockets");
  io.of("/late").on("connection", () => {});
  io.of(/^\/dynamic-\d+$/).on("connection", () => {});
  for (const namespace of ["/late", "/dynamic-7"]) {
    const socket = await connect(t, url, namespace);
    await find("socket_connected", ({ id, nsp }) => id === socket.id && nsp === namespace);
  }
});

test("@socket.io/admin-ui works beside the dashboard of roomcast, and each sees the same sockets [MEM-1, ROB-970]", async (t) => {
  const { io, port, url } = await startInstrumented(t, { auth: false, mode: "development" });
  require("socket.io/dashboard").dashboard(io, { allow: ["join"], intervalMs: 100 });
  const { find } = connectAdmin(t, url);
  await find("all_sockets");
  const socket = await connect(t, url, "/", { transports: ["websocket"] });
  await find("socket_connected", ({ id }) => id === socket.id);
  const { rows } = (await ask(port, "/api/sockets")).json();
  assert.deepEqual(rows.map(({ namespace, id }) => [namespace, id === socket.id]).sort(), [
    ["/", true],
    ["/admin", false],
  ]);
  assert.deepEqual((await act(port, { action: "join", namespace: "/", target: socket.id, room: "seen" })).json(), { sockets: 1 });
  await find("room_joined", (_namespace, room, id) => room === "seen" && id === socket.id);
});
