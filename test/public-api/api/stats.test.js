/** `io.stats()`: the size of every table, while clients are there and after they have left. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { busAdapter } from "../../support/bus-adapter.js";
import { once } from "../../support/client.js";
import { eventually, joinServer, nextSocket, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { frame, PollingSession, requestBytes, WireSocket, HttpConnection } from "../../support/wire-client.js";

const OURS = oursOnly("it has no stats()");
const path = "/socket.io/";
const EMPTY_NAMESPACE = { sockets: 0, joining: 0, recoverable: 0, acks: 0, adapter: { members: 0, rooms: 0 } };
const EMPTY = {
  sessions: 0,
  transports: { polling: 0, websocket: 0, webtransport: 0 },
  upgrades: 0,
  handshakes: 0,
  requests: { polls: 0, posts: 0 },
  closingConnections: 0,
  admission: { addresses: 0, handshakes: 0, middlewares: 0 },
  outbox: { packets: 0, bytes: 0 },
  heldInput: { messages: 0, packets: 0, bytes: 0 },
  clients: 0,
  joins: 0,
  timedAcks: 0,
  parentNamespaces: 0,
  childNamespaces: 0,
  namespaces: { "/": EMPTY_NAMESPACE },
};

/** The sizes without those of the whole process, which other tests share, and the counters that only grow. */
function sizesOf(io) {
  const { deadlines, counts: _, ...sizes } = io.stats();
  return { ...sizes, deadlines: { ...deadlines, process: undefined } };
}

const emptied = (io, more = {}) =>
  assert.deepEqual(sizesOf(io), { ...EMPTY, deadlines: { heartbeat: 0, connect: 0, stall: 0, process: undefined }, ...more });

test("gives a plain object of zeros for a server without clients, also before it is attached [ROB-790]", OURS, async (t) => {
  const { io } = await startServer(t);
  emptied(io);
  assert.deepEqual(JSON.parse(JSON.stringify(io.stats())), io.stats());
  assert.equal(Number.isInteger(io.stats().deadlines.process), true);
});

test("counts sessions, sockets, rooms, acknowledgements and deadlines, until their clients leave [ROB-790]", OURS, async (t) => {
  const { io, port, url } = await startServer(t, { cleanupEmptyChildNamespaces: true });
  io.of(/^\/room-\d$/);
  const one = await joinServer(t, { io, url });
  const joining = nextSocket(io.of("/"));
  const polling = await PollingSession.open(port, "", { path });
  await polling.post("40");
  await polling.poll();
  const socket = await joining;
  await one.socket.join(["a", "b"]);
  await socket.join("a");
  one.socket.emit("no answer", () => {});
  one.socket.timeout(60_000).emit("no answer", () => {});
  io.timeout(60_000).emit("no answer", () => {});
  await polling.poll();
  const poll = polling.get();
  poll.catch(() => {});
  const dynamic = await wirePeer(t, port, { namespace: "/room-1" });
  const idle = await wirePeer(t, port, { join: false });
  await eventually(() => io.stats().requests.polls === 1, "the poll to wait");

  const stats = io.stats();
  assert.deepEqual(stats.transports, { polling: 1, websocket: 3, webtransport: 0 });
  assert.deepEqual([stats.sessions, stats.clients, stats.timedAcks], [4, 4, 2]);
  assert.deepEqual([stats.parentNamespaces, stats.childNamespaces], [1, 1]);
  assert.equal(stats.deadlines.heartbeat, 4);
  assert.equal(stats.deadlines.connect, 1);
  assert.ok(stats.deadlines.process >= 7);
  // Own rooms, a and b; the acknowledgements of the first client, and of the broadcast to two.
  assert.deepEqual(stats.namespaces["/"], { ...EMPTY_NAMESPACE, sockets: 2, acks: 4, adapter: { members: 2, rooms: 4 } });
  assert.deepEqual(stats.namespaces["/room-1"], { ...EMPTY_NAMESPACE, sockets: 1, adapter: { members: 1, rooms: 1 } });

  one.client.disconnect();
  dynamic.abort();
  idle.abort();
  poll.abort();
  await eventually(() => io.stats().sessions === 0, "the sessions to end");
  assert.equal(io.stats().timedAcks, 1); // the broadcast waits for nobody any more; what one socket was asked waits until its time-out
  await io.close();
  emptied(io, { parentNamespaces: 1 });
});

test("counts incomplete input, upgrades, and what waits to be sent [ROB-790]", OURS, async (t) => {
  const { io, port } = await startServer(t, { perMessageDeflate: false });
  const opened = nextSocket(io.of("/"));
  const peer = await wirePeer(t, port);
  const socket = await opened;
  peer.send('451-["x",{"_placeholder":true,"num":0}]');
  peer.write(frame(1, "half", { fin: false }));
  await eventually(() => io.stats().heldInput.messages === 1, "the fragment");
  const { bytes, ...connections } = io.stats().heldInput;
  assert.deepEqual(connections, { messages: 1, packets: 1 });
  assert.ok(bytes > 40 && bytes < 2000, `${bytes} bytes are held`);

  const polling = await PollingSession.open(port, "", { path });
  const candidate = await polling.candidate();
  candidate.send("2probe");
  await candidate.expect("3probe");
  assert.equal(io.stats().upgrades, 1);
  candidate.abort();
  const connection = await HttpConnection.open(port);
  connection.write(requestBytes(port, { method: "POST", path: polling.url(), body: "4".repeat(100) }).subarray(0, -50));
  await eventually(() => io.stats().requests.posts === 1, "the POST");
  const more = io.stats().heldInput;
  assert.deepEqual([more.messages, more.packets], [2, 1]);
  assert.ok(more.bytes > bytes, "the body is held, too");
  connection.abort();

  peer.pause();
  for (let i = 0; i < 200; i++) socket.emit("much", "x".repeat(100_000));
  await eventually(() => io.stats().outbox.bytes > 1_000_000, "the client to be behind");
  assert.ok(io.stats().outbox.packets > 10);
  peer.abort();
  await eventually(() => io.stats().sessions === 0, "the sessions to end");
  emptied(io);
});

test("counts a connection that is being closed [ROB-790]", OURS, async (t) => {
  const { io, port } = await startServer(t);
  const opened = once(io, "connection");
  const ws = await WireSocket.open(port, `${path}?EIO=4&transport=websocket`);
  t.after(() => ws.abort());
  ws.sentClose = true; // no answer to the Close frame
  ws.send("40");
  const [socket] = await opened;
  socket.disconnect(true);
  await eventually(() => io.stats().closingConnections === 1, "the connection to close");
  assert.equal(io.stats().sessions, 0);
  ws.abort();
  await eventually(() => io.stats().closingConnections === 0, "the connection to be closed");
});

test("counts what adapters keep: recovery, other nodes, and the tables of other packages [ROB-791]", OURS, async (t) => {
  const recovering = await startServer(t, { connectionStateRecovery: {} });
  const { client, socket } = await joinServer(t, recovering);
  recovering.io.emit("missed");
  assert.equal(recovering.io.stats().namespaces["/"].recoverable, 1);
  const gone = once(socket, "disconnect");
  client.io.engine.close();
  await gone;
  const { adapter } = recovering.io.stats().namespaces["/"];
  assert.deepEqual(
    { ...adapter, recoveryBytes: adapter.recoveryBytes > 256 },
    {
      members: 0,
      rooms: 0,
      starts: 0,
      recoverySessions: 1,
      recoveryPackets: 1,
      recoveryBytes: true,
    },
  );

  const bus = new EventEmitter();
  const node = await startServer(t, { adapter: busAdapter(bus) });
  const silent = await startServer(t, { adapter: busAdapter(bus) });
  await eventually(async () => (await node.io.of("/").adapter.serverCount()) === 2, "the nodes to find each other");
  silent.io.of("/").adapter.isMute = true;
  const fetching = assert.rejects(node.io.timeout(300).fetchSockets());
  await eventually(() => node.io.stats().namespaces["/"].adapter.requests === 1, "the request");
  const cluster = { members: 0, rooms: 0, requests: 1, ackRequests: 0, pendingBroadcasts: 0, nodes: 1 };
  assert.deepEqual(node.io.stats().namespaces["/"].adapter, cluster);
  await fetching;
  assert.equal(node.io.stats().namespaces["/"].adapter.requests, 0);

  class Own extends EventEmitter {
    rooms = new Map([["a", new Set(["1", "2"])]]);
    sids = new Map([
      ["1", new Set(["a"])],
      ["2", new Set(["a"])],
    ]);
    init() {}
    close() {}
    addAll() {}
    del() {}
    delAll() {}
    broadcast() {}
  }
  const { io } = await startServer(t, { adapter: Own });
  assert.deepEqual(io.stats().namespaces["/"].adapter, { members: 2, rooms: 1 });
});
