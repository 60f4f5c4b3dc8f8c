import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once as onceEvent } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { connect, waitFor } from "../support/client.js";
import { assertRoomcast, familyRoot } from "./support/roomcast.js";

/** Starts three workers behind @socket.io/sticky and gives their common URL. */
async function startCluster(t, loadBalancingMethod) {
  assertRoomcast();
  const child = fork(join(familyRoot, "fixtures/sticky-cluster.cjs"), [loadBalancingMethod]);
  t.after(async () => {
    const exited = onceEvent(child, "exit");
    child.disconnect();
    await exited;
  });
  const [{ port }] = await onceEvent(child, "message");
  return `http://127.0.0.1:${port}`;
}

for (const loadBalancingMethod of ["round-robin", "random", "least-connection"]) {
  test(`@socket.io/sticky brings every request of a client to the worker that has its session, ${loadBalancingMethod} [MEM-1]`, async (t) => {
    const url = await startCluster(t, loadBalancingMethod);
    const workers = new Set();
    for (let count = 0; count < 6; count++) {
      const socket = await connect(t, url, "/", { transports: ["polling"] });
      assert.match(socket.io.engine.id, /^[\w-]{20}$/);
      const { pid, loaded } = await socket.emitWithAck("where");
      assert.equal(loaded, "roomcast");
      workers.add(pid);
      for (const value of [1, "two", Buffer.from([3])]) assert.deepEqual(await socket.emitWithAck("echo", value), value);
    }
    if (loadBalancingMethod !== "random") assert.equal(workers.size, 3);
  });
}

test("@socket.io/sticky lets clients upgrade, and connect by WebSocket alone [MEM-1]", async (t) => {
  const url = await startCluster(t, "least-connection");
  const sockets = [];
  for (let count = 0; count < 4; count++) sockets.push(await connect(t, url, "/", { transports: ["polling", "websocket"] }));
  for (const socket of sockets) {
    const { engine } = socket.io;
    if (engine.transport.name !== "websocket") await waitFor(engine, "upgrade", () => true);
    assert.equal(engine.transport.name, "websocket");
    assert.equal((await socket.emitWithAck("where")).loaded, "roomcast");
  }
  const alone = await connect(t, url, "/", { transports: ["websocket"] });
  assert.equal(await alone.emitWithAck("echo", "hello"), "hello");
});
