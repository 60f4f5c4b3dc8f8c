// The official emitter: broadcasts from a process without sockets.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { redisBackends } from "./backends.js";
import { eventually, inboxes, startNodes } from "./cluster.js";
import { closeLater } from "./services.js";

const require = createRequire(import.meta.url);
const { url, backends } = await redisBackends();

test(
  "reaches members of rooms on all nodes through @socket.io/redis-emitter, and commands them [EX-178, MIX-8]",
  { timeout: 60_000 },
  async (t) => {
    const { servers, sockets, clients } = await startNodes(t, backends[0].makeAdapter);
    const client = require("redis").createClient({ url });
    await client.connect();
    closeLater(() => client.close());
    const emitter = new (require("@socket.io/redis-emitter").Emitter)(client);
    const heard = [];
    for (const io of servers) io.on("hello", (value) => heard.push(value));
    const got = inboxes(clients, "x");

    emitter.in(sockets[1].id).socketsJoin("r");
    emitter.in(sockets[2].id).socketsJoin("r");
    await eventually(() => sockets[1].rooms.has("r") && sockets[2].rooms.has("r"), "the sockets to be in the room");
    emitter.to("r").emit("x", Buffer.from([7]));
    emitter.serverSideEmit("hello", 1);
    await eventually(() => got[1].length + got[2].length + heard.length === 5, "the emitter's messages to arrive");
    assert.deepEqual(got[0], []);
    const gone = new Promise((resolve) => clients[2].once("disconnect", resolve));
    emitter.in(sockets[2].id).disconnectSockets(true);
    assert.equal(await gone, "io server disconnect");
  },
);
