/** Broadcast operators, and descriptions of remote sockets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { linkedServers } from "../../support/bus-adapter.js";
import { once, record } from "../../support/client.js";
import { adapters } from "../../support/packages.js";
import { crowd, eventually, fence, joinServer } from "../../support/pairs.js";
import { oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";

/** Which of the clients got an event, as text such as "02". */
async function reached({ clients, sockets }, act) {
  const logs = clients.map((client) => record(client, "e"));
  act();
  await Promise.all(sockets.map((socket, i) => fence(socket, clients[i])));
  return logs.flatMap(({ events }, i) => events.map(() => i)).join("");
}

test("keeps each operator as it is [BRO-1]", async (t) => {
  const server = await crowd(t, 3);
  const { io, sockets } = server;
  sockets.forEach((socket, i) => socket.join(`r${i}`));
  const base = io.to("r0");
  const more = base.to("r1");
  const except = more.except("r0");
  for (const made of [base.volatile, base.compress(false), base.timeout(5), base.local]) assert.notEqual(made, base);
  assert.equal(await reached(server, () => base.emit("e")), "0");
  assert.equal(await reached(server, () => more.emit("e")), "01");
  assert.equal(await reached(server, () => except.emit("e")), "1");
  assert.equal(await reached(server, () => base.emit("e")), "0");
});

test("has all verbs and modifiers [BRO-2, BRO-8, BRO-9]", async (t) => {
  const { io, sockets } = await crowd(t, 2);
  const operator = io.to("a").in("b").to(["c"]).except("d").except(["e"]).compress(true).timeout(10).volatile.local;
  sockets[0].join("a");
  sockets[1].join(["a", "d"]);
  assert.deepEqual(await operator.fetchSockets(), [sockets[0]]);
  assert.deepEqual(
    [operator.socketsJoin("x"), operator.socketsJoin(["y", "z"]), operator.socketsLeave("y"), operator.socketsLeave(["z"])],
    Array(4).fill(undefined),
  );
  assert.deepEqual([[...sockets[0].rooms], sockets[1].rooms.has("x")], [[sockets[0].id, "a", "x"], false]);
  assert.deepEqual(await operator.allSockets(), new Set(sockets.map(({ id }) => id))); // deaf to exceptions
  assert.equal(operator.disconnectSockets(), undefined);
  assert.deepEqual(
    sockets.map(({ connected }) => connected),
    [false, true],
  );
});

test("reaches each socket once, and an exception wins [BRO-3]", async (t) => {
  const server = await crowd(t, 4);
  const { io, sockets } = server;
  sockets[0].join(["a", "b", "c"]);
  sockets[1].join(["a", "x"]);
  sockets[2].join("c");
  assert.equal(await reached(server, () => io.to(["a", "b"]).to("c").emit("e")), "012");
  assert.equal(await reached(server, () => io.to(["a", "b"]).to("c").except(["x", "never"]).emit("e")), "02");
  assert.equal(await reached(server, () => io.except(["a", "c"]).emit("e")), "3");
  assert.equal(await reached(server, () => io.to("a").except("a").emit("e")), "");
});

test("selects all sockets for an empty list of rooms, and none for an undefined room [BRO-4]", async (t) => {
  const server = await crowd(t, 2);
  const { io } = server;
  assert.equal(await reached(server, () => io.to([]).emit("e")), "01");
  assert.equal(await reached(server, () => io.to(undefined).emit("e")), "");
  assert.equal(await reached(server, () => io.except([]).emit("e")), "01");
});

test("hands packet, rooms, exceptions and flags to the adapter [BRO-5, ADP-19]", async (t) => {
  const calls = [];
  class Spy extends adapters.Adapter {
    broadcast(packet, options) {
      calls.push([packet.type, packet.data, [...options.rooms], [...(options.except ?? [])], { ...options.flags }]);
      super.broadcast(packet, options);
    }
  }
  const { io, sockets } = await crowd(t, 1, { adapter: Spy });
  assert.equal(io.to("a").except("x").volatile.compress(false).local.emit("e", 1), true);
  sockets[0].to("a").emit("e", 2);
  assert.deepEqual(calls, [
    [2, ["e", 1], ["a"], ["x"], { volatile: true, compress: false, local: true }],
    [2, ["e", 2], ["a"], [sockets[0].id], { ...calls[1][4] }],
  ]);
});

test("reaches a socket by its id, from anywhere [BRO-6]", async (t) => {
  const server = await crowd(t, 2);
  const { io, sockets } = server;
  assert.equal(await reached(server, () => io.to(sockets[1].id).emit("e")), "1");
  assert.equal(await reached(server, () => sockets[0].to(sockets[1].id).emit("e")), "1");
  assert.equal(await reached(server, () => sockets[0].to([sockets[0].id, sockets[1].id]).emit("e")), "1");
});

test("keeps to this node with local [BRO-7]", async (t) => {
  const [a, b] = await linkedServers(t, 2);
  for (const node of [a, b]) Object.assign(node, await joinServer(t, node));
  assert.deepEqual(await a.io.local.fetchSockets(), [a.socket]);
  a.io.local.socketsJoin("x");
  a.io.socketsJoin("y");
  await eventually(() => b.socket.rooms.has("y"), "the remote socket to join");
  assert.deepEqual([a.socket.rooms.has("x"), b.socket.rooms.has("x")], [true, false]);
  a.io.local.socketsLeave("y");
  const ending = once(a.client, "disconnect");
  a.io.local.disconnectSockets();
  await ending;
  const arrived = once(b.client, "e");
  a.io.to("y").emit("e");
  await arrived;
  assert.deepEqual([a.socket.rooms.has("y"), b.socket.connected], [false, true]);
});

test("rejects when the adapter cannot fetch [BRO-10]", async (t) => {
  class Failing extends adapters.Adapter {
    async fetchSockets() {
      throw new Error("timeout reached");
    }
  }
  const { io } = await crowd(t, 0, { adapter: Failing });
  await assert.rejects(io.in("r").fetchSockets(), /timeout reached/);
});

test("returns sockets of this server, and descriptions of those on others [BRO-10, MEM-6, REM-1]", async (t) => {
  const description = { id: "remote", handshake: { url: "/u" }, rooms: ["remote", "a"], data: { b: 1 } };
  class Mixed extends adapters.Adapter {
    async fetchSockets(options) {
      return [...(await super.fetchSockets(options)), description];
    }
  }
  const { io, sockets } = await crowd(t, 1, { adapter: Mixed });
  const [local, remote] = await io.fetchSockets();
  assert.equal(local, sockets[0]);
  assert.deepEqual([remote.id, remote.handshake, remote.rooms, remote.data], ["remote", { url: "/u" }, new Set(["remote", "a"]), { b: 1 }]);
  for (const member of ["nsp", "conn", "connected", "emitWithAck", "once", "server"]) assert.equal(remote[member], undefined, member);
  assert.deepEqual([remote.join("x"), remote.leave("x")], [undefined, undefined]);
  assert.equal(typeof remote.timeout(10).emit, "function");
  assert.throws(() => remote.emit("connect"), /reserved event name/);
  assert.equal(remote.disconnect(), remote);
});

test("distinguishes them also when a tool has replaced the method of the base class [BRO-10]", async (t) => {
  const { io, sockets } = await crowd(t, 1);
  const { prototype } = adapters.Adapter;
  const original = prototype.fetchSockets;
  t.after(() => (prototype.fetchSockets = original));
  prototype.fetchSockets = async function (options) {
    return [...(await original.call(this, options)), { id: "remote", handshake: {}, rooms: ["a"], data: {} }];
  };
  const [local, remote] = await io.fetchSockets();
  assert.equal(local, sockets[0]);
  assert.deepEqual([remote.id, remote.rooms, typeof remote.emit], ["remote", new Set(["a"]), "function"]);
});

test("sends nothing to a disconnected socket that an adapter still lists [ADP-31]", async (t) => {
  const server = await crowd(t, 3);
  const { io, clients, sockets } = server;
  const { adapter } = io.of("/");
  for (const socket of sockets) socket.join("a");
  assert.equal(await reached(server, () => io.to("a").emit("e")), "012");
  adapter.on("leave-room", (room, id) => {
    if (id !== sockets[0].id || room !== "a") return;
    sockets[0].join("b"); // once more while it leaves
    io.to("b").emit("e");
  });
  sockets[0].disconnect();
  adapter.delAll = () => {};
  sockets[1].disconnect();
  for (const target of [io, io.to("a"), io.to(["a", "b"]), io.except("c")]) assert.deepEqual(await target.fetchSockets(), [sockets[2]]);
  assert.deepEqual(await io.to("b").fetchSockets(), []);
  assert.equal(await reached({ clients: [clients[2]], sockets: [sockets[2]] }, () => io.to(["a", "b"]).emit("e")), "0");
});

test("writes JSON once per broadcast, for any number of recipients [BRO-11]", async (t) => {
  const counts = [];
  for (const size of [1, 4]) {
    const server = await crowd(t, size);
    let calls = 0;
    await reached(server, () => server.io.emit("e", { toJSON: () => (calls += 1) }));
    counts.push(calls);
  }
  assert.ok(counts[0] >= 1 && counts[0] <= 2, `${counts[0]} calls`);
  assert.equal(counts[1], counts[0]);
});

test("shows a remote socket as it was when it was fetched [REM-2]", async (t) => {
  const [a, b] = await linkedServers(t, 2);
  const { socket } = await joinServer(t, b);
  socket.data.n = 1;
  const [remote] = await a.io.fetchSockets();
  remote.data.n = 2;
  remote.rooms.add("x");
  const [again] = await a.io.fetchSockets();
  assert.deepEqual([socket.data, socket.rooms.has("x"), again.data, again.rooms.has("x")], [{ n: 1 }, false, { n: 1 }, false]);
});

test("waits for a remote socket's answer without a limit [REM-3, ACK-28]", oursOnly("its time is over at once"), async (t) => {
  const [a, b] = await linkedServers(t, 2);
  const { client } = await joinServer(t, b);
  client.on("q", (callback) => setTimeout(() => callback("answer"), 50));
  const [remote] = await a.io.fetchSockets();
  const args = await within(new Promise((resolve) => remote.emit("q", (...met) => resolve(met))), "the callback");
  assert.deepEqual(args, [null, "answer"]);
});

test("emits plain values to other servers, as JSON would [SSE-7]", async (t) => {
  const [a, b] = await linkedServers(t, 2);
  const heard = once(b.io.of("/"), "hello");
  a.io.serverSideEmit("hello", new Date(0), { a: [1, null] }, "text");
  assert.deepEqual(await heard, ["1970-01-01T00:00:00.000Z", { a: [1, null] }, "text"]);
});
