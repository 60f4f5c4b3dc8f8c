/** Broadcasts with acknowledgements over several servers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { linkedServers } from "../../support/bus-adapter.js";
import { joinServer } from "../../support/pairs.js";
import { oursOnly } from "../../support/target.js";

const OURS = oursOnly("it forgets the answers of other servers at once without a time-out");

for (const [name, namespace, of] of [
  ["a namespace", "/", (io) => io.of("/")],
  ["a parent namespace", "/room-1", (io) => io.parent],
]) {
  test(
    `keeps nothing of a broadcast of ${name} without a time-out once clients of all servers have acknowledged it [ROB-451, ACK-22]`,
    OURS,
    async (t) => {
      const servers = await linkedServers(t, 2);
      for (const { io } of servers) {
        io.parent = io.of(/^\/room-\d$/);
        io.of(namespace);
      }
      for (const server of servers) {
        const { client } = await joinServer(t, server, namespace);
        client.on("question", (answer) => answer("yes"));
      }
      const { io } = servers[0];
      for (let i = 0; i < 20; i++) assert.deepEqual(await of(io).emitWithAck("question"), ["yes", "yes"]);
      assert.equal(io.of(namespace).adapter.ackRequests.size, 0);
    },
  );
}
