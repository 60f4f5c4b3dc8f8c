// Broadcasts of which one client has taken the bytes while they still wait for another.
import { test } from "node:test";
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { startServer } from "../../../support/server.js";
import { oursOnly } from "../../../support/target.js";
import { PollingSession, WireSocket } from "../../../support/wire-client.js";

const PATH = "/socket.io/";
const TEXTS = { ASCII: "x".repeat(1000), "Latin-1": "é".repeat(1000), "other characters": "日本🎉".repeat(300), short: "é" };

async function join(t, node) {
  const ws = await WireSocket.open(node.port, `${PATH}?EIO=4&transport=websocket`);
  t.after(() => ws.abort());
  ws.send("40");
  await ws.until((message) => message.startsWith("40"));
  const polling = await PollingSession.open(node.port, "", { path: PATH });
  await polling.post("40");
  assert.match((await polling.poll())[0], /^40/);
  return { ws, polling };
}

for (const [what, text] of Object.entries(TEXTS)) {
  test(`gives a polling client, which comes later, the same text as a WebSocket: ${what} [ROB-985]`, async (t) => {
    const node = await startServer(t, {});
    const { ws, polling } = await join(t, node);
    const expected = [1, 2].map((number) => `42${JSON.stringify(["x", text, number])}`);
    for (const number of [1, 2]) node.io.emit("x", text, number);
    for (const message of expected) await ws.expect(message);
    assert.deepEqual(await polling.poll(), expected);
  });
}

test("gives it the same bytes, whatever the program does with its Buffer afterwards [ROB-985]", async (t) => {
  const node = await startServer(t, {});
  const { ws, polling } = await join(t, node);
  const bytes = Buffer.alloc(1000, "a");
  node.io.emit("x", bytes);
  const header = '451-["x",{"_placeholder":true,"num":0}]';
  await ws.expect(header);
  assert.deepEqual(await ws.next(), Buffer.alloc(1000, "a"));
  assert.deepEqual(await polling.poll(), [header, `b${Buffer.alloc(1000, "a").toString("base64")}`]);
});

test("shows a program the packets that wait, with their texts [ROB-985]", oursOnly("it has two entries for the packet"), async (t) => {
  const node = await startServer(t, {});
  const { ws } = await join(t, node);
  const [session] = [...Object.values(node.io.engine.clients)].filter(({ transport }) => transport.name === "polling");
  node.io.emit("x", "é");
  await ws.expect('42["x","é"]');
  assert.deepEqual(
    session.writeBuffer.map(({ type, data }) => [type, data]),
    [["message", '2["x","é"]']],
  );
});

test(
  "counts what waits for the clients of two HTTP servers where it was counted first [ROB-122, ROB-985]",
  oursOnly("no such limit"),
  async (t) => {
    const node = await startServer(t, { limits: { totalBufferedBytes: 64 * 1024 } });
    const other = createServer();
    node.io.attach(other);
    other.listen(0, "127.0.0.1");
    await once(other, "listening");
    const sessions = [];
    for (const port of [node.port, other.address().port]) {
      const session = await PollingSession.open(port, "", { path: PATH });
      await session.post("40");
      await session.poll();
      sessions.push(session);
    }
    const text = "x".repeat(1000);
    for (let round = 0; round < 200; round++) {
      node.io.emit("x", text); // waits for both; the first one polls before the second one
      for (const session of sessions) assert.equal((await session.poll()).length, 1);
    }
    assert.equal(node.io.of("/").sockets.size, 2);
  },
);
