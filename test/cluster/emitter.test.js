// The official emitters: broadcasts from a process without sockets.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { connect } from "../support/client.js";
import { startBackends } from "./backends.js";
import { discovered, eventually, fence, inboxes, startNodes } from "./cluster.js";
import { closeLater } from "./services.js";

const require = createRequire(import.meta.url);
const { postgresPool, redisClient } = require("./adapters.cjs");
const [redis, postgres] = await startBackends((name) => /adapter with redis$|postgres/.test(name) && !name.includes("streams"));

for (const [title, kinds] of [
  ["on nodes of roomcast", ["roomcast", "roomcast", "roomcast"]],
  ["in a mixed cluster", ["roomcast", "socket.io", "roomcast"]],
]) {
  test(
    `@socket.io/redis-emitter reaches and commands the sockets of all nodes, ${title} [EX-178, MIX-8]`,
    { timeout: 60_000 },
    async (t) => {
      const { servers, sockets, clients, nodes } = await startNodes(t, redis, { kinds });
      const { Emitter } = require("@socket.io/redis-emitter");
      const emitter = new Emitter(await redisClient(redis.connection, closeLater));
      const heard = [];
      for (const io of servers) io.on("hello", (value) => heard.push(value));
      const got = inboxes(clients, "x");

      emitter.in([sockets[1].id, sockets[2].id]).socketsJoin(["r", "s"]);
      await eventually(() => sockets.slice(1).every(({ rooms }) => rooms.has("r") && rooms.has("s")), "the sockets to be in the rooms");
      emitter.to("r").emit("x", "room", Buffer.from([7]));
      emitter.emit("x", "all");
      emitter.except("r").emit("x", "others");
      emitter.serverSideEmit("hello", 1);
      await eventually(() => got.flat().length === 6 && heard.length === 3, "the emitter's messages to arrive");
      for (const io of servers) await fence(io, clients);
      assert.deepEqual(got, [
        [["all"], ["others"]],
        [["room", Buffer.from([7])], ["all"]],
        [["room", Buffer.from([7])], ["all"]],
      ]);
      assert.deepEqual(heard, [1, 1, 1]);

      emitter.socketsLeave("r");
      await eventually(() => sockets.every(({ rooms }) => !rooms.has("r")), "the sockets to be out of the room");
      const gone = new Promise((resolve) => clients[2].once("disconnect", resolve));
      emitter.in(sockets[2].id).disconnectSockets(true);
      assert.equal(await gone, "io server disconnect");

      const chats = servers.slice(0, 2).map((io) => io.of("/chat"));
      await Promise.all(chats.map(({ adapter }) => discovered(adapter, 2)));
      const member = await connect(t, nodes[1].url, "/chat");
      const told = new Promise((resolve) => member.once("m", resolve));
      emitter.of("/chat").emit("m", 1);
      assert.equal(await told, 1);
    },
  );
}

test("@socket.io/postgres-emitter 0.1.1 is heard by no node on @socket.io/postgres-adapter 0.5.0, whose messages name the namespace [MIX-8]", async (t) => {
  const { servers, clients } = await startNodes(t, postgres, { kinds: ["roomcast", "socket.io", "roomcast"] });
  const pool = postgresPool(postgres.connection, closeLater);
  const { Emitter } = require("@socket.io/postgres-emitter");
  const emitter = new Emitter(pool);
  const notified = [];
  const listener = await pool.connect();
  listener.on("notification", ({ payload }) => notified.push(JSON.parse(payload)));
  await listener.query('LISTEN "socket.io#/"');
  const got = inboxes(clients, "x");
  emitter.emit("x", 1);
  await eventually(() => notified.some(({ uid }) => uid === "emitter"), "the emitter's message to be on the wire");
  for (const io of servers) await fence(io, clients); // behind it on the same channel
  listener.release(true);
  assert.deepEqual(got, [[], [], []]);
  assert.equal("nsp" in notified.find(({ uid }) => uid === "emitter"), false);
});
