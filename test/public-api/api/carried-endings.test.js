/** Servers that end while they carry requests and WebSockets for others, or have the sessions that others carry. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { linkedNodes } from "../../support/bus-link.js";
import { connect, once } from "../../support/client.js";
import { requireFromTarget } from "../../support/packages.js";
import { eventually } from "../../support/pairs.js";
import { startRoundRobin } from "../../support/round-robin.js";
import { startServer } from "../../support/server.js";
import { isReference, oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { http, PollingSession, WireSocket } from "../../support/wire-client.js";

const OURS = oursOnly("it needs sticky sessions");
const { createAdapter } = isReference ? {} : requireFromTarget("roomcast/cluster");
const presence = { heartbeatInterval: 50, heartbeatTimeout: 10_000, carrySessions: true };
const drain = { timeoutMs: 5000, jitterMs: 50 };
const RESTART = 1012;

/** How servers are linked. Each gives `count` servers that know each other. */
const links = {
  "a bus": async (t, count) => (await linkedNodes(t, count, { presence })).nodes,
  "unix sockets": async (t, count) => {
    const directory = mkdtempSync(join(tmpdir(), "rc-"));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const nodes = [];
    for (let i = 0; i < count; i++) nodes.push(await startServer(t, { adapter: createAdapter({ directory, ...presence }) }));
    for (const { io } of nodes) await eventually(async () => (await io.nodes()).length === count, "the servers to find each other");
    return nodes;
  },
};

async function start(t, link, count) {
  const nodes = await links[link](t, count);
  for (const { io } of nodes) io.on("connection", (socket) => socket.on("echo", (value, answer) => answer(value)));
  return { servers: nodes.map(({ io }) => io), ports: nodes.map(({ io }) => io.httpServer.address().port) };
}

const carried = (io) => io.of("/").adapter.tableSizes().carried;

/** A session of `owner` whose WebSocket is at `carrier`, joined to "/". */
async function carriedWebSocket(owner, carrier) {
  const session = await PollingSession.open(owner, "", { path: "/socket.io/" });
  await session.post("40");
  await session.poll();
  const ws = await WireSocket.open(carrier, session.url("websocket"));
  ws.send("2probe");
  await ws.expect("3probe");
  ws.send("5");
  return { ws, sid: session.sid };
}

for (const link of Object.keys(links)) {
  test(`drains without an error at any client behind a round robin, over ${link} [ROB-925, ROB-926, ROB-928]`, OURS, async (t) => {
    const { servers, ports } = await start(t, link, 3);
    const proxy = await startRoundRobin(t, ports);
    const reasons = [];
    const clients = [];
    for (let i = 0; i < 12; i++) {
      const transports = i % 3 === 0 ? ["polling", "websocket"] : ["polling"];
      const client = await connect(t, proxy.url, "/", { transports, reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 50 });
      client.on("disconnect", (reason, details) => reasons.push({ reason, details }));
      client.upgrades = transports.length > 1;
      clients.push(client);
    }
    await eventually(
      () => clients.every(({ io, upgrades }) => !upgrades || io.engine.transport.name === "websocket"),
      "the clients to upgrade",
    );
    const isOurs = clients.map(({ id }) => servers[0].of("/").sockets.has(id));
    let isOver = false;
    let answers = 0;
    const talking = clients.map(async (client) => {
      while (!isOver) {
        if (!client.connected) await once(client, "connect");
        await client
          .timeout(10_000)
          .emitWithAck("echo", 1)
          .then(
            () => answers++,
            () => {},
          );
      }
    });
    const result = await servers[0].close({ drain: { ...drain, timeoutMs: 60_000 } });
    assert.equal(result.cut, 0);
    const after = answers;
    await eventually(() => clients.every(({ connected }) => connected) && answers > after + 100, "all clients to go on");
    isOver = true;
    await within(Promise.all(talking), "the last answers");
    for (const { reason, details } of reasons) assert.equal(reason, "transport close", inspect(details));
    const moved = isOurs.filter(Boolean).length;
    const upgraded = clients.filter(({ upgrades }, i) => upgrades && !isOurs[i]).length;
    assert.ok(reasons.length >= moved && reasons.length <= moved + upgraded, `${reasons.length} of ${moved} to ${moved + upgraded}`);
  });

  test(`answers the polls that it carries, takes the POSTs, and moves the WebSockets, over ${link} [ROB-925]`, OURS, async (t) => {
    const { servers, ports } = await start(t, link, 2);
    const [owner, carrier] = ports;
    const session = await PollingSession.open(owner, "", { path: "/socket.io/" });
    await session.post("40");
    await session.poll();
    const poll = http(carrier, { path: session.url() });
    const { ws, sid } = await carriedWebSocket(owner, carrier);
    await eventually(() => carried(servers[1]) === 2, "the poll and the WebSocket to be carried");
    const [, socket] = [...servers[0].of("/").sockets.values()];
    const gone = once(socket, "disconnect");
    const result = await servers[1].close({ drain });
    assert.deepEqual([result.clients, result.moved, result.cut], [1, 1, 0]);
    const answer = await poll;
    assert.deepEqual([answer.status, answer.text, answer.headers.connection], [200, "6", "close"]);
    assert.equal((await ws.closed()).code, RESTART);
    assert.equal((await gone)[0], "server shutting down");
    assert.ok(sid in servers[0].engine.clients === false);
    const next = http(owner, { path: session.url() });
    servers[0].emit("news");
    assert.equal((await next).text, '42["news"]');
  });

  test(`waits for a carried client that is busy, and no longer than the drain may take, over ${link} [ROB-925]`, OURS, async (t) => {
    const { servers, ports } = await start(t, link, 2);
    const { ws } = await carriedWebSocket(...ports);
    await eventually(() => servers[0].of("/").sockets.size === 1, "the socket");
    const [socket] = servers[0].of("/").sockets.values();
    await eventually(() => socket.conn.transport.name === "websocket", "the upgrade");
    socket.emit("ask", () => {});
    await ws.expect('420["ask"]');
    const closing = servers[1].close({ drain: { timeoutMs: 2000, message: { event: "moving", data: { bytes: Buffer.from([1]) } } } });
    await ws.expect('451-["moving",{"bytes":{"_placeholder":true,"num":0}}]');
    await closing;
    assert.deepEqual(await ws.next(), Buffer.from([1]));
    assert.equal((await ws.closed()).code, RESTART);
  });

  test(`ends what it carries in order also without a drain, over ${link} [ROB-926]`, OURS, async (t) => {
    const { servers, ports } = await start(t, link, 3);
    const [owner, carrier] = ports;
    const session = await PollingSession.open(owner, "", { path: "/socket.io/" });
    await session.post("40");
    await session.poll();
    const poll = http(carrier, { path: session.url() });
    const { ws } = await carriedWebSocket(owner, carrier);
    await eventually(() => carried(servers[1]) === 2, "the poll and the WebSocket to be carried");
    await servers[1].close();
    assert.deepEqual([(await poll).status, (await poll).text], [200, "6"]);
    assert.equal((await ws.closed()).code, RESTART);
    // The owner ends: its sessions end with it, as for clients of its own.
    const last = http(ports[2], { path: session.url() });
    const other = await carriedWebSocket(owner, ports[2]);
    await eventually(() => carried(servers[2]) === 2, "the poll and the WebSocket to be carried");
    await servers[0].close();
    assert.deepEqual([(await last).status, (await last).text], [200, "1"]);
    assert.equal((await other.ws.closed()).code, 1005);
    assert.equal(carried(servers[2]), 0);
  });

  test(`moves the clients that others carry, over ${link} [ROB-927]`, OURS, async (t) => {
    const { servers, ports } = await start(t, link, 2);
    const [owner, carrier] = ports;
    const session = await PollingSession.open(owner, "", { path: "/socket.io/" });
    await session.post("40");
    await session.poll();
    const poll = http(carrier, { path: session.url() });
    const { ws } = await carriedWebSocket(owner, carrier);
    await eventually(() => carried(servers[1]) === 2, "the poll and the WebSocket to be carried");
    servers[0].httpServer.closeAllConnections(); // no connection of a client is left here
    const result = await servers[0].close({ drain });
    assert.deepEqual([result.clients, result.moved, result.cut], [2, 2, 0]);
    assert.deepEqual([(await poll).status, (await poll).text], [200, "1"]);
    assert.equal((await ws.closed()).code, RESTART);
    await eventually(() => carried(servers[1]) === 0, "nothing to be carried");
  });
}
