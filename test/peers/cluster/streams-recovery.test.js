// Connection state recovery over Redis Streams: a client that loses its connection to one node comes back to another.
import assert from "node:assert/strict";
import { connect as connectTcp, createServer } from "node:net";
import { createRequire } from "node:module";
import { test } from "node:test";
import { connect, once } from "../../support/client.js";
import { wirePeer } from "../../support/pairs.js";
import { startBackends } from "./backends.js";
import { waitUntil, inboxes, startNodes } from "./cluster.js";
import { closeLater } from "./services.js";

const { redisClient } = createRequire(import.meta.url)("./adapters.cjs");
const backends = await startBackends((name) => /streams-adapter with (io)?redis$/.test(name));
const redis = await redisClient(backends[0].connection, closeLater);
const options = { connectionStateRecovery: {} };

/** What stands between a client and the nodes: one address, whose connections can be cut on the client's side or on both. */
async function startBalancer(t, port) {
  const links = new Set();
  const balancer = { port, url: "", cut };
  const server = createServer((near) => {
    const far = connectTcp(balancer.port, "127.0.0.1");
    links.add({ near, far });
    near.on("data", (chunk) => far.write(chunk));
    far.on("data", (chunk) => !near.destroyed && near.write(chunk));
    for (const socket of [near, far]) socket.on("error", () => {});
    far.on("close", () => near.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    cut({ tellsServer: true });
  });
  balancer.url = `http://127.0.0.1:${server.address().port}`;
  return balancer;

  function cut({ tellsServer }) {
    for (const { near, far } of links) {
      near.destroy();
      if (tellsServer) far.destroy();
    }
  }
}

const sessionCount = async () => (await redis.keys("sio:session:*")).length;

/** A client at the first node, in a room and with data, that has an offset to come back with. */
async function startMember(t, nodes) {
  const balancer = await startBalancer(t, nodes[0].port);
  const admitted = once(nodes[0].io, "connection");
  const client = await connect(t, balancer.url, "/", { transports: ["websocket"] });
  const [socket] = await admitted;
  socket.join("r");
  socket.data.user = "ann";
  const [got] = inboxes([client], "x");
  nodes[1].io.emit("x", "seen");
  await waitUntil(() => got.length === 1, "the first event");
  return { balancer, client, socket, got };
}

for (const backend of backends) {
  for (const [kinds, bases] of [
    [
      ["roomcast", "roomcast"],
      ["own", "own"],
    ],
    [
      ["roomcast", "roomcast"],
      ["ours", "ours"],
    ],
    [
      ["roomcast", "socket.io"],
      ["ours", "own"],
    ],
    [
      ["socket.io", "roomcast"],
      ["own", "ours"],
    ],
  ]) {
    const way = kinds.map((kind, index) => `${kind} (${bases[index]} base)`).join(" to ");
    test(`recovers from one node to another over ${backend.name}, from ${way} [MIX-9, CSR-1]`, { timeout: 60_000 }, async (t) => {
      const { nodes } = await startNodes(t, backend, { kinds, bases, options });
      const { balancer, client, socket, got } = await startMember(t, nodes);
      const { id } = client;
      const before = await sessionCount();
      const endings = [once(socket, "disconnect"), once(client, "disconnect")];
      balancer.cut({ tellsServer: true });
      await Promise.all(endings);
      await waitUntil(async () => (await sessionCount()) === before + 1, "the session to be kept");
      nodes[1].io.to("r").emit("x", "room", Buffer.from([1, 250]));
      nodes[0].io.to("elsewhere").emit("x", "not for it");
      nodes[1].io.emit("x", "all");

      balancer.port = nodes[1].port;
      const admitted = once(nodes[1].io, "connection");
      client.connect();
      const [back] = await admitted;
      assert.deepEqual([back.recovered, back.id, back.rooms.has("r"), back.data], [true, id, true, { user: "ann" }]);
      nodes[0].io.emit("x", "behind");
      await waitUntil(() => got.some(([value]) => value === "behind"), "an event behind the recovery");
      assert.deepEqual([client.recovered, client.id], [true, id]);
      assert.deepEqual(
        got.map(([value]) => value),
        ["seen", "room", "all", "behind"],
      );
      assert.deepEqual(Buffer.from(got[1][1]), Buffer.from([1, 250]));
      assert.equal(await sessionCount(), before);
    });
  }

  test(
    `recovers a client that is back before its node has noticed the loss over ${backend.name} [CSR-14]`,
    { timeout: 60_000 },
    async (t) => {
      const { nodes } = await startNodes(t, backend, { kinds: ["roomcast", "roomcast"], options });
      const { balancer, client, socket, got } = await startMember(t, nodes);
      const { id } = client;
      const gone = once(client, "disconnect");
      balancer.cut({ tellsServer: false });
      await gone;
      nodes[1].io.to("r").emit("x", "missed");
      const ends = [once(socket, "disconnect"), once(nodes[0].io, "connection")];
      client.connect();
      const [[reason], [back]] = await Promise.all(ends);
      assert.deepEqual([reason, back.recovered, back.id], ["ping timeout", true, id]);
      nodes[1].io.emit("x", "behind");
      await waitUntil(() => got.some(([value]) => value === "behind"), "an event behind the recovery");
      assert.deepEqual(
        got.map(([value]) => value),
        ["seen", "missed", "behind"],
      );
    },
  );
}

test("gives no session to a client with an unknown secret, for any offset [CSR-7, CSR-12]", { timeout: 60_000 }, async (t) => {
  const { nodes } = await startNodes(t, backends[0], { kinds: ["roomcast", "roomcast"], options });
  for (const auth of [{ pid: "x" }, { pid: "x", offset: "y" }, { pid: "x", offset: "0-0" }, { pid: "../x", offset: "1-1 + 5" }]) {
    const admitted = once(nodes[0].io, "connection");
    await wirePeer(t, nodes[0].port, { auth });
    assert.equal((await admitted)[0].recovered, false);
  }
});
