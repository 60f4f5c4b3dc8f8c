/** roomcast/testing: what never becomes quiet is waited for 10 seconds, and then closed nevertheless. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { io as clientIo } from "socket.io-client";
import { requireFromTarget } from "../../support/packages.js";
import { isReference, oursOnly } from "../../support/target.js";

const OURS = oursOnly("it has no such entry");
const { createTestCluster, createTestServer, expectEvent, MemoryBus } = isReference ? {} : requireFromTarget("roomcast/testing");
const timeoutMs = 60_000;

test("closes a server whose program never stops sending, and says so [ROB-962]", OURS, async () => {
  const { io, agent, url, close } = createTestServer();
  io.on("connection", (socket) => socket.on("n", () => socket.emit("n")));
  const own = clientIo(url, { agent, forceNew: true, transports: ["websocket"], reconnection: false });
  own.on("n", () => own.emit("n"));
  await expectEvent(own, "connect", { timeoutMs });
  own.emit("n");
  const gone = expectEvent(own, "disconnect", { timeoutMs });
  await assert.rejects(close(), { message: "settled: something was under way for 10000 ms without a break" });
  await gone;
  assert.equal(io.engine.clientsCount, 0);
});

test("does not wait for ever for servers that never stop talking [ROB-961]", OURS, async (t) => {
  const { nodes, settled, close } = await createTestCluster(2);
  t.after(close);
  for (const { io } of nodes) io.on("n", () => io.serverSideEmit("n"));
  nodes[0].io.serverSideEmit("n");
  await assert.rejects(settled(), { message: "settled: the servers sent each other something for 10000 ms without a break" });
});

test("a cluster whose servers never hear each other rejects, and is closed [ROB-961]", OURS, async (t) => {
  const { link } = MemoryBus.prototype;
  t.after(() => (MemoryBus.prototype.link = link));
  let closed = 0;
  MemoryBus.prototype.link = () => {
    const alone = link.call(new MemoryBus());
    const close = alone.close.bind(alone);
    alone.close = () => (closed++, close());
    return alone;
  };
  await assert.rejects(createTestCluster(2), { message: "createTestCluster: the servers did not know each other within 10000 ms" });
  assert.equal(closed, 2);
});
