/** Sessions without sticky sessions: each request of a client may reach any server. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { Bus, BusLink, linkedNodes } from "../../support/bus-link.js";
import { connect } from "../../support/client.js";
import { adapters } from "../../support/packages.js";
import { eventually } from "../../support/pairs.js";
import { startRoundRobin } from "../../support/round-robin.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { frame, http, OPCODE, PollingSession, WireSocket } from "../../support/wire-client.js";

const OURS = oursOnly("it needs sticky sessions");
const PATH = "/socket.io/";
const presence = { heartbeatInterval: 50, heartbeatTimeout: 400, carrySessions: true };

async function start(t, count, options = {}) {
  const cluster = await linkedNodes(t, count, { options, presence });
  for (const { io } of cluster.nodes) {
    io.on("connection", (socket) => {
      socket.on("echo", (value, answer) => answer(value));
      socket.on("push", (times) => {
        for (let i = 0; i < times; i++) socket.emit("pushed", i, Buffer.from([i]));
      });
    });
  }
  const proxy = await startRoundRobin(
    t,
    cluster.nodes.map(({ url }) => Number(new URL(url).port)),
  );
  return { ...cluster, servers: cluster.nodes.map(({ io }) => io), proxy };
}

for (const [how, transports] of [
  ["polling", ["polling"]],
  ["an upgrade", ["polling", "websocket"]],
  ["websocket", ["websocket"]],
]) {
  test(`serves clients over ${how} whose requests reach three servers in turn, both ways, and loses nothing [ROB-890]`, OURS, async (t) => {
    const { servers, proxy } = await start(t, 3);
    const clients = await Promise.all(Array.from({ length: 6 }, () => connect(t, proxy.url, "/", { transports })));
    if (how === "an upgrade")
      await eventually(() => clients.every(({ io }) => io.engine.transport.name === "websocket"), "all clients to upgrade");
    for (const client of clients) {
      const pushed = [];
      client.on("pushed", (i, bytes) => pushed.push([i, bytes[0]]));
      client.emit("push", 20);
      for (let i = 0; i < 20; i++)
        assert.deepEqual(await client.timeout(10_000).emitWithAck("echo", { i, raw: Buffer.from([i]) }), { i, raw: Buffer.from([i]) });
      await eventually(() => pushed.length === 20, "what was pushed");
      assert.deepEqual(
        pushed,
        Array.from({ length: 20 }, (_, i) => [i, i]),
      );
    }
    assert.ok(proxy.counts.every((count) => count > 0));
    assert.equal(await servers[0].count(), 6);
    for (const client of clients) client.close();
    for (const io of servers) await eventually(() => io.engine.clientsCount === 0, "the sessions to end");
    for (const io of servers) await eventually(() => io.of("/").adapter.tableSizes().carried === 0, "nothing to be carried");
  });
}

test("names its process in the id of a session, and carries to no other [ROB-891]", OURS, async (t) => {
  const { nodes } = await start(t, 2);
  const ports = nodes.map(({ url }) => Number(new URL(url).port));
  const session = await PollingSession.open(ports[0], "", { path: PATH });
  const other = await PollingSession.open(ports[0], "", { path: PATH });
  assert.match(session.sid, /^[\w-]{20}$/);
  assert.equal(session.sid.slice(0, 4), other.sid.slice(0, 4));
  for (const sid of ["x".repeat(20), session.sid.slice(1), `${session.sid.slice(0, 4)}${"x".repeat(16)}`, "__proto__"]) {
    for (const port of ports) {
      const { status, body } = await http(port, { path: `${PATH}?EIO=4&transport=polling&sid=${sid}` });
      assert.deepEqual([status, JSON.parse(body).code], [400, 1]);
    }
  }
});

test(
  "carries to the HTTP server that has the session, of several of one process, and counts the sessions of all [ROB-890, SRV-28]",
  OURS,
  async (t) => {
    const { nodes, servers } = await start(t, 2);
    const [port, wrongPort] = nodes.map(({ url }) => Number(new URL(url).port));
    const second = createServer();
    servers[0].attach(second);
    await new Promise((resolve) => second.listen(0, "127.0.0.1", resolve));
    for (const owner of [port, second.address().port]) {
      const session = await PollingSession.open(owner, "", { path: PATH });
      session.port = wrongPort;
      await session.post("40");
      assert.match((await session.poll())[0], /^40\{"sid"/);
      await session.post('420["echo",1]');
      assert.deepEqual(await session.poll(), ["430[1]"]);
      const ws = await session.candidate();
      t.after(() => ws.abort());
      ws.send("2probe");
      assert.equal(await ws.next(), "3probe");
    }
    await eventually(async () => (await servers[1].nodes()).find(({ isSelf }) => !isSelf).clients === 2, "the sessions to be told");
    assert.equal((await servers[0].nodes())[0].clients, 2);
  },
);

test("ends a session whose packets were lost with the server that carried its poll, and no other one [ROB-922]", OURS, async (t) => {
  const { nodes, bus } = await start(t, 2);
  const [ownerPort, carrierPort] = nodes.map(({ url }) => Number(new URL(url).port));
  const { io } = nodes[0];
  const carried = () => io.of("/").adapter.tableSizes().carried;
  const kept = await PollingSession.open(ownerPort, "", { path: PATH });
  const lost = await PollingSession.open(ownerPort, "", { path: PATH });

  const polled = http(carrierPort, { path: kept.url() });
  await eventually(() => carried() === 1, "the poll to be there");
  io.engine.clients[kept.sid].send("kept");
  assert.equal((await polled).text, "4kept");
  await eventually(() => carried() === 0, "the carrier to confirm it");

  const { send } = bus;
  const RESPONSE_TO_CARRIER = 0x82;
  bus.send = (frame) =>
    frame.channel.startsWith("direct") && frame.message[1] === RESPONSE_TO_CARRIER ? Promise.resolve() : send.call(bus, frame);
  http(carrierPort, { path: lost.url() }).catch(() => {});
  await eventually(() => carried() === 1, "the other poll to be there");
  io.engine.clients[lost.sid].send("lost");
  const closed = once(io.engine.clients[lost.sid], "close");
  await nodes[1].io.close();
  assert.equal((await closed)[0], "transport error");
  assert.deepEqual(Object.keys(io.engine.clients), [kept.sid]);
  assert.equal(carried(), 0);
});

test("ends a session whose packets were lost with a carrier also when a proxy has repeated the poll [ROB-922]", OURS, async (t) => {
  const { nodes, bus } = await start(t, 2);
  const [ownerPort, carrierPort] = nodes.map(({ url }) => Number(new URL(url).port));
  const { io } = nodes[0];
  const session = await PollingSession.open(ownerPort, "", { path: PATH });
  const isPolled = () => io.engine.clients[session.sid].transport.isPolled;
  const { send } = bus;
  const RESPONSE_TO_CARRIER = 0x82;
  bus.send = (frame) =>
    frame.channel.startsWith("direct") && frame.message[1] === RESPONSE_TO_CARRIER ? Promise.resolve() : send.call(bus, frame);
  http(carrierPort, { path: session.url() }).catch(() => {});
  await eventually(isPolled, "the poll to be there");
  io.engine.clients[session.sid].send("lost");
  await eventually(() => !isPolled(), "the poll to be answered");
  http(ownerPort, { path: session.url() }).catch(() => {});
  await eventually(isPolled, "the repeated poll to be there");
  const closed = once(io.engine.clients[session.sid], "close");
  await nodes[1].io.close();
  assert.equal((await closed)[0], "transport error");
});

test("begins no session and refuses none until it and the others know each other [ROB-929]", OURS, async (t) => {
  const bus = new Bus();
  let isHeld = false;
  const held = [];
  const startOne = () =>
    startServer(t, {
      adapter: adapters.linkedAdapter(() => {
        const link = new BusLink(bus);
        const send = link.sendPulse.bind(link);
        link.sendPulse = async (text) => (isHeld ? held.push(() => send(text)) : send(text));
        return link;
      }, presence),
    });
  const first = await startOne();
  const session = await PollingSession.open(first.port, "", { path: PATH });
  const upgrading = [await PollingSession.open(first.port, "", { path: PATH }), await PollingSession.open(first.port, "", { path: PATH })];
  isHeld = true;
  const second = await startOne();
  const poll = http(second.port, { path: session.url() });
  const opening = PollingSession.open(second.port, "", { path: PATH });
  const probe = frame(OPCODE.text, Buffer.from("2probe"));
  const candidates = await Promise.all(
    [probe, undefined].map((early, i) => WireSocket.open(second.port, upgrading[i].url("websocket"), {}, { early })),
  );
  for (const candidate of candidates) t.after(() => candidate.abort());
  candidates[1].send("2probe");
  await eventually(() => held.length > 0, "the greeting");
  isHeld = false;
  for (const release of held) void release();
  await post(first.port, session.url(), "40");
  assert.deepEqual([(await poll).status, String((await poll).body).slice(0, 8)], [200, '40{"sid"']);
  const other = await opening;
  assert.deepEqual(await post(first.port, other.url(), "40"), [200, "ok"]);
  for (const candidate of candidates) await candidate.expect("3probe");
  const unknown = await http(second.port, { path: `${PATH}?EIO=4&transport=polling&sid=${"x".repeat(20)}` });
  assert.equal(unknown.status, 400);
});

test("answers a carried POST when the owner has taken it, and refuses one that is too large [ROB-892]", OURS, async (t) => {
  const { nodes } = await start(t, 2, { maxHttpBufferSize: 1000 });
  const [owner, carrier] = nodes.map(({ url }) => Number(new URL(url).port));
  const session = await PollingSession.open(owner, "", { path: PATH });
  const path = session.url();
  assert.deepEqual(await post(carrier, path, "40"), [200, "ok"]);
  const poll = await http(carrier, { path });
  assert.match(String(poll.body), /^40\{"sid"/);
  assert.equal((await post(carrier, path, "4".repeat(2000)))[0], 413);
  assert.deepEqual(await post(carrier, path, "42[]"), [200, "ok"]); // the owner takes it, and ends the session
});

test("gives a second poll that overlaps the answer that it would get from the owner [ROB-892]", OURS, async (t) => {
  const { nodes } = await start(t, 2);
  const [owner, carrier] = nodes.map(({ url }) => Number(new URL(url).port));
  const session = await PollingSession.open(owner, "", { path: PATH });
  const path = session.url();
  const first = http(owner, { path });
  await eventually(() => nodes[0].io.engine.clients[session.sid]?.transport.isPolled !== false, "the first poll");
  const { status } = await http(carrier, { path });
  assert.equal(status, 400);
  await first.catch(() => {});
});

test("ends what it carries when the owner is gone, and what was carried when the carrier is gone [ROB-893]", OURS, async (t) => {
  const { nodes, servers, links } = await start(t, 2);
  const [owner, carrier] = nodes.map(({ url }) => Number(new URL(url).port));
  const session = await PollingSession.open(owner, "", { path: PATH });
  const path = session.url();
  await post(carrier, path, "40");
  await http(carrier, { path });
  const ws = await WireSocket.open(carrier, `${path}`.replace("polling", "websocket"));
  ws.send("2probe");
  assert.equal(String(await ws.next()), "3probe");
  const poll = http(carrier, { path });
  links[0].sendPulse = async () => {}; // the owner dies without a word
  links[0].sendDirect = async () => {};
  const { status, body } = await poll;
  assert.deepEqual([status, JSON.parse(body).code], [400, 1]);
  await ws.closed();
  await eventually(() => servers[1].of("/").adapter.tableSizes().carried === 0, "nothing to be carried");
});

test("names the likely cause in the refusal of an unknown session when sessions are not carried [ROB-894]", OURS, async (t) => {
  const { nodes } = await linkedNodes(t, 2);
  const [owner, other] = nodes.map(({ url }) => Number(new URL(url).port));
  const session = await PollingSession.open(owner, "", { path: PATH });
  const { status, body } = await http(other, { path: session.url() });
  const { code, message, hint } = JSON.parse(body);
  assert.deepEqual([status, code, message], [400, 1, "Session ID unknown"]);
  assert.match(hint, /sticky sessions.*carrySessions/);
  const { io, port } = await startServer(t);
  const alone = await http(port ?? io.httpServer.address().port, { path: `${PATH}?EIO=4&transport=polling&sid=x` });
  assert.equal(String(alone.body), '{"code":1,"message":"Session ID unknown"}');
});

async function post(port, path, body) {
  const { status, body: answer } = await http(port, { method: "POST", path, body, headers: { "Content-Type": "text/plain" } });
  return [status, String(answer)];
}
