/** Several servers over a link of this package's adapters: questions, partial answers, presence, and a link that fails. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { deserialize } from "node:v8";
import { linkedNodes } from "../../support/bus-link.js";
import { once } from "../../support/client.js";
import { eventually, joinServer } from "../../support/pairs.js";
import { oursOnly } from "../../support/target.js";
import { WireSocket } from "../../support/wire-client.js";

const OURS = oursOnly("it has no links");

async function start(t, count, more) {
  const { bus, links, nodes } = await linkedNodes(t, count, more);
  const peers = [];
  for (const node of nodes) peers.push(await joinServer(t, node));
  return {
    bus,
    links,
    servers: nodes.map(({ io }) => io),
    sockets: peers.map(({ socket }) => socket),
    clients: peers.map(({ client }) => client),
  };
}

test("counts sockets, finds one and names rooms over all servers, without moving their data [ROB-880]", OURS, async (t) => {
  const { servers, sockets } = await start(t, 3);
  sockets[0].join(["a", "b"]);
  sockets[1].join("b");
  for (const socket of sockets) socket.data.secret = () => {}; // could not be sent
  for (const io of servers) {
    assert.equal(await io.count(), 3);
    assert.equal(await io.in("b").count(), 2);
    assert.equal(await io.in("b").except("a").count(), 1);
    assert.equal(await io.local.count(), 1);
    assert.equal(await io.in("b").has(sockets[1].id), true);
    assert.equal(await io.in("a").has(sockets[1].id), false);
    assert.deepEqual([...(await io.rooms())].sort(), ["a", "b"]);
  }
});

test("describes all servers, and one that has said goodbye no more [ROB-881]", OURS, async (t) => {
  const { servers } = await start(t, 3);
  const [self, ...others] = await servers[0].nodes();
  assert.equal(self.isSelf, true);
  assert.equal(others.length, 2);
  assert.equal(new Set([self, ...others].map(({ id }) => id)).size, 3);
  for (const node of [self, ...others]) {
    assert.match(node.address, new RegExp(`:${process.pid}$`));
    assert.match(node.version, /^\d+\.\d+\.\d+/);
    assert.ok(node.since <= Date.now() && node.lag >= 0);
  }
  await eventually(async () => (await servers[0].nodes()).every(({ clients }) => clients === 1), "the clients to be told");
  await servers[2].close();
  await eventually(async () => (await servers[0].nodes()).length === 2, "the server to be gone");
});

test("resolves socketsJoin, socketsLeave and disconnectSockets when all servers have done it [ROB-882]", OURS, async (t) => {
  const { servers, sockets } = await start(t, 3);
  await servers[0].socketsJoin("room");
  for (const socket of sockets) assert.ok(socket.rooms.has("room"));
  await servers[1].in("room").socketsLeave("room");
  for (const socket of sockets) assert.ok(!socket.rooms.has("room"));
  await servers[2].disconnectSockets();
  for (const socket of sockets) assert.equal(socket.connected, false);
});

test("orders also what servers of other software hear, when it knows none of its own [ROB-882]", OURS, async (t) => {
  const { bus, servers } = await start(t, 1);
  const frames = [];
  bus.on("frame", (bytes) => frames.push(deserialize(bytes).message));
  await servers[0].in("a").socketsJoin("b");
  await eventually(() => frames.some(({ type, data }) => type === 4 && data.rooms[0] === "b"), "the order to be on the bus");
});

test("gives what has arrived and who was silent when a server does not answer [ROB-883]", OURS, async (t) => {
  const { servers, sockets } = await start(t, 3, { presence: { heartbeatInterval: 50, heartbeatTimeout: 60_000 } });
  const ids = sockets.map(({ id }) => id);
  const silent = (await servers[2].nodes())[0].id;
  servers[2].of("/").adapter._node.onMessage = () => {}; // it lives, and does not answer
  const { sockets: found, silent: missing } = await servers[0].timeout(200).fetchSockets({ partial: true });
  assert.deepEqual(found.map(({ id }) => id).sort(), ids.slice(0, 2).sort());
  assert.deepEqual(missing, [silent]);
  await assert.rejects(servers[0].timeout(200).fetchSockets(), (error) => {
    assert.equal(error.code, "RC_ERR_TIMEOUT");
    assert.deepEqual(error.responses.map(({ id }) => id).sort(), ids.slice(0, 2).sort());
    assert.equal(typeof error.responses.find(({ id }) => id === ids[1]).emit, "function");
    assert.deepEqual(error.silent, [silent]);
    return true;
  });
  await assert.rejects(servers[0].timeout(200).emitWithAck("question"), ({ responses, silent: nodes }) => {
    assert.deepEqual(responses, []);
    assert.deepEqual(nodes, [silent]);
    return true;
  });
  servers[1].on("ping", (answer) => answer("pong"));
  await assert.rejects(servers[0].serverSideEmitWithAck("ping"), ({ responses, silent: nodes }) => {
    assert.deepEqual(responses, ["pong"]);
    assert.deepEqual(nodes, [silent]);
    return true;
  });
  await assert.rejects(servers[0].timeout(200).socketsJoin("x"), { code: "RC_ERR_TIMEOUT" });
});

/** Lets `count` clients join a server. */
async function openMany(t, { port }, count) {
  const all = await Promise.all(
    Array.from({ length: count }, async () => {
      const ws = await WireSocket.open(port, "/socket.io/?EIO=4&transport=websocket");
      ws.send("40");
      await ws.until((message) => message.startsWith("40"));
      return ws;
    }),
  );
  t.after(() => all.forEach((ws) => ws.abort()));
}

test("answers for many sockets in parts, so that no server is busy for long, and misses none [ROB-988]", OURS, async (t) => {
  const presence = { heartbeatInterval: 50, heartbeatTimeout: 60_000 };
  const { bus, nodes } = await linkedNodes(t, 2, { presence });
  await openMany(t, nodes[1], 1200);
  const [first, second] = nodes.map(({ io }) => io);
  const [named] = second.sockets.sockets.values();
  named.data.name = "ann";
  const parts = [];
  bus.on("frame", (bytes) => {
    const { type, data } = deserialize(bytes).message ?? {};
    if (type === 16) parts.push(data.value.sockets.length);
  });
  const found = await first.timeout(30_000).fetchSockets();
  assert.deepEqual(parts, [500, 500, 200]);
  assert.deepEqual(found.map(({ id }) => id).sort(), [...second.sockets.sockets.keys()].sort());
  assert.deepEqual(found.find(({ id }) => id === named.id).data, { name: "ann" });

  const send = bus.send.bind(bus);
  let count = 0;
  bus.send = (frame) => (frame.message?.type === 16 && ++count === 2 ? Promise.resolve() : send(frame)); // the second part is lost
  const [{ id }] = await second.nodes();
  await assert.rejects(first.timeout(500).fetchSockets(), ({ code, responses, silent }) => {
    assert.deepEqual([code, responses.length, silent], ["RC_ERR_TIMEOUT", 700, [id]]);
    return true;
  });
});

test("does not wait for a server that has died without a word [ROB-884]", OURS, async (t) => {
  const { servers, sockets, links } = await start(t, 3);
  links[2].sendPulse = async () => {}; // dead: it tells nothing and answers nothing
  servers[2].of("/").adapter._node.onMessage = () => {};
  const found = await servers[0].timeout(30_000).fetchSockets();
  assert.deepEqual(found.map(({ id }) => id).sort(), [sockets[0].id, sockets[1].id].sort());
  assert.equal((await servers[0].nodes()).length, 2);
});

test("serves its own clients while the link is cut, counts what was lost, and tells [ROB-885]", OURS, async (t) => {
  const { bus, servers, clients } = await start(t, 2);
  const { adapter } = servers[0].of("/");
  const degraded = once(adapter, "degraded");
  bus.set("cut");
  const [reason] = await degraded;
  assert.match(reason.message, /cut/);
  assert.equal(adapter.status, "degraded");
  const heard = once(clients[0], "news");
  servers[0].emit("news", 1);
  assert.deepEqual(await heard, [1]);
  assert.ok(adapter.counters.lost > 0);
  await assert.rejects(servers[0].fetchSockets(), ({ code, responses }) => {
    assert.equal(code, "RC_ERR_CLUSTER_LINK");
    assert.equal(responses.length, 1);
    return true;
  });
  void servers[0].socketsJoin("x"); // not awaited: no unhandled rejection
  const restored = once(adapter, "restored");
  bus.set("up");
  await restored;
  assert.equal(adapter.status, "ok");
  await eventually(async () => (await servers[0].nodes()).length === 2, "the nodes to find each other again");
  const news = once(clients[1], "news");
  servers[0].emit("news", 2);
  assert.deepEqual(await news, [2]);
});

test("notices that it hears nothing, not even itself, and subscribes again [ROB-886]", OURS, async (t) => {
  const { bus, servers, links } = await start(t, 2);
  const { adapter } = servers[0].of("/");
  const degraded = once(adapter, "degraded");
  bus.set("stall");
  await degraded;
  assert.ok(links[0].renewals > 0);
  // The others may live: they are asked, and missed
  await assert.rejects(servers[0].timeout(100).fetchSockets(), ({ silent }) => silent.length === 1);
  const restored = once(adapter, "restored");
  bus.set("up");
  await restored;
});

test("ignores pulses that make no sense, and those above its limits [ROB-887]", OURS, async (t) => {
  const { bus, servers } = await start(t, 2);
  const good = { kind: "beat", id: "x", address: "a:1", clients: 0, lag: 0, version: "1.0.0", since: 1, namespaces: ["/"] };
  const pulses = ["{", "null", "[]", '"x"', JSON.stringify({ ...good, kind: "x" }), JSON.stringify({ ...good, id: "x".repeat(1000) })];
  for (const change of [{ clients: -1 }, { clients: "1" }, { lag: null }, { namespaces: "x" }, { namespaces: [1] }, { id: 1 }])
    pulses.push(JSON.stringify({ ...good, ...change }));
  for (const message of [...pulses, 1, null, undefined, {}]) await bus.send({ channel: "pulse", message });
  for (let i = 0; i < 5000; i++) await bus.send({ channel: "pulse", message: JSON.stringify({ ...good, id: `node ${i}` }) });
  const { counters } = servers[0].of("/").adapter;
  await eventually(() => counters.malformed >= pulses.length + 4, "all to be read");
  assert.ok((await servers[0].nodes()).length <= 4098);
});
