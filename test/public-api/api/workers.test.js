/** The link between workers of one machine: who finds whom, who gets what, and workers that die, stall or talk nonsense. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect as connectTo, createServer as createPipe } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { once } from "../../support/client.js";
import { requireFromTarget } from "../../support/packages.js";
import { eventually, joinServer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { isReference, oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { http, PollingSession, WireSocket } from "../../support/wire-client.js";

const OURS = oursOnly("it has no link between workers");
const { createAdapter } = isReference ? {} : requireFromTarget("roomcast/cluster");
const presence = { heartbeatInterval: 100, heartbeatTimeout: 60_000 };
const program = new URL("../../support/fixtures/worker.cjs", import.meta.url);

function directoryFor(t) {
  const directory = mkdtempSync(join(tmpdir(), "rc-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Servers that know each other, each with a client. */
async function start(t, count, options = {}, serverOptions = {}) {
  const directory = directoryFor(t);
  const nodes = [];
  for (let i = 0; i < count; i++)
    nodes.push(await startServer(t, { adapter: createAdapter({ directory, ...presence, ...options }), ...serverOptions }));
  await meet(nodes, count);
  const peers = [];
  for (const node of nodes) peers.push(await joinServer(t, node));
  const servers = nodes.map(({ io }) => io);
  return { directory, servers, sockets: peers.map(({ socket }) => socket), clients: peers.map(({ client }) => client) };
}

async function meet(nodes, count) {
  for (const { io } of nodes) await eventually(async () => (await io.nodes()).length === count, "the workers to find each other");
}

const received = (io) => io.of("/").adapter.counters.received;

/** What is on the way between the workers has arrived: answers come behind it. */
const settled = (servers) => Promise.all(servers.map((io) => io.count()));

/** A broadcast to all, behind all others, has arrived. */
async function fence(io, clients) {
  const arrived = Promise.all(clients.map((client) => once(client, "fence")));
  io.emit("fence");
  await arrived;
}

test("sends what concerns a room only to workers that have it [ROB-861]", OURS, async (t) => {
  const { servers, sockets, clients } = await start(t, 3);
  sockets[1].join("a");
  sockets[2].join(["a", "b"]);
  await settled(servers);
  const before = servers.map(received);
  const heard = [once(clients[1], "x"), once(clients[2], "x"), once(clients[2], "y")];
  servers[0].to("a").emit("x", 1);
  servers[0].to(["b", "nowhere"]).emit("y", 2);
  servers[0].to("nowhere").emit("z", 3);
  assert.deepEqual(await Promise.all(heard), [[1], [1], [2]]);
  assert.deepEqual(
    servers.map((io, i) => received(io) - before[i]),
    [0, 1, 2],
  );
  sockets[2].leave("a");
  await settled(servers);
  const after = servers.map(received);
  servers[0].to("a").emit("x", 4);
  await fence(servers[0], clients);
  assert.deepEqual(
    servers.map((io, i) => received(io) - after[i]),
    [0, 2, 1],
  );
});

test("finds sockets of other workers by their ids, whatever form these have [ROB-861]", OURS, async (t) => {
  const { servers, sockets, clients } = await start(t, 2, {}, { allowEIO3: true });
  const heard = once(clients[1], "x");
  servers[0].to(sockets[1].id).emit("x", 1);
  assert.deepEqual(await heard, [1]);
  const { adapter } = servers[1].of("/");
  adapter.addAll("an id of another form", new Set(["an id of another form"]));
  await settled(servers);
  const before = received(servers[1]);
  servers[0].to("an id of another form").emit("y");
  await eventually(() => received(servers[1]) === before + 1, "the broadcast to arrive");
});

test("knows tens of thousands of rooms, and forgets them [ROB-861]", OURS, async (t) => {
  const { servers, sockets, clients } = await start(t, 2);
  const names = Array.from({ length: 20_000 }, (_, i) => `room ${i}`);
  sockets[1].join(names);
  await settled(servers);
  for (const name of ["room 0", "room 19999"]) {
    const heard = once(clients[1], "x");
    servers[0].to(name).emit("x", name);
    assert.deepEqual(await heard, [name]);
  }
  for (const name of names) sockets[1].leave(name);
  await settled(servers);
  const before = received(servers[1]);
  for (const name of names.slice(0, 100)) servers[0].to(name).emit("x", name);
  await fence(servers[0], clients);
  assert.equal(received(servers[1]), before + 1);
});

test("keeps values of every kind, and the order of what one worker sends [ROB-862]", OURS, async (t) => {
  const { servers, sockets, clients } = await start(t, 2);
  sockets[1].join("room");
  await settled(servers);
  const got = [];
  clients[1].onAny((event, ...args) => got.push([event, ...args]));
  const big = "é".repeat(300_000);
  const done = once(clients[1], "done");
  servers[0].emit("all", Buffer.from([1, 2, 250]), undefined, null, 1.5, "é");
  servers[0].to("room").emit("room", { deep: [{ bytes: new Uint8Array([7]) }] });
  servers[0].emit("big", big);
  servers[0].emit("done", new Date(0));
  await done;
  assert.deepEqual(got, [
    ["all", Buffer.from([1, 2, 250]), null, null, 1.5, "é"],
    ["room", { deep: [{ bytes: Buffer.from([7]) }] }],
    ["big", big],
    ["done", "1970-01-01T00:00:00.000Z"],
  ]);
});

test("has no other workers outside of a cluster, and says what a worker without a directory lacks [ROB-866]", OURS, async (t) => {
  const { io } = await startServer(t, { adapter: createAdapter() });
  assert.equal(await io.of("/").adapter.serverCount(), 1);
  assert.equal((await io.fetchSockets()).length, 0);
  const env = { ...process.env };
  delete env.RC_CLUSTER_DIRECTORY;
  const thread = new Worker(program, { env, workerData: {} });
  const [error] = await once(thread, "error");
  assert.equal(error.code, "RC_ERR_OPTION");
  assert.match(error.message, /setupPrimary\(\) of roomcast\/cluster/);
});

test("refuses options that make no sense, and directories that others may write to [ROB-860, ROB-866]", OURS, (t) => {
  const directory = directoryFor(t);
  chmodSync(directory, 0o755);
  const file = join(directory, "file");
  writeFileSync(file, "");
  const cases = [
    [{ directory }, /directory: expected a directory that belongs to this user/],
    [{ directory: file }, /directory: expected a directory, met/],
    [{ directory: join(directory, "x".repeat(100)) }, /directory: expected a path of at most 85 bytes/],
    [{ directory: join(directory, "no", "where") }, /directory: it cannot be made/],
    [{ directory: 1 }, /directory: expected a path, met number/],
    [{ carrySessions: 1 }, /carrySessions: expected a boolean, met 1/],
    [{ carrySessions: true, protocol: "ipc" }, /carrySessions: expected protocol "unix", met "ipc"/],
    [{ protocol: "tcp" }, /protocol: expected "unix" or "ipc", met 'tcp'/],
    [{ maxQueuedBytes: 0 }, /maxQueuedBytes: expected a number above 0, met 0/],
    [{ heartbeatInterval: "1" }, /heartbeatInterval: expected a positive number of milliseconds/],
    [{ dir: "x" }, /expected one of protocol, directory/],
  ];
  for (const [options, message] of cases) assert.throws(() => createAdapter(options), { code: "RC_ERR_OPTION", message });
  assert.throws(() => createAdapter(null), { code: "RC_ERR_ARGUMENT" });
});

test("makes a directory that is missing, and leaves nothing behind when it is closed [ROB-860, ROB-867]", OURS, async (t) => {
  const directory = join(directoryFor(t), "made");
  const listeners = process.listenerCount("exit");
  const before = process.getActiveResourcesInfo().filter((name) => name.startsWith("Pipe")).length;
  const nodes = [];
  for (let i = 0; i < 2; i++) nodes.push(await startServer(t, { adapter: createAdapter({ directory, ...presence }) }));
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  await meet(nodes, 2);
  assert.equal(readdirSync(directory).length, 2);
  for (const { io } of nodes) await io.close();
  assert.deepEqual(readdirSync(directory), []);
  assert.equal(process.listenerCount("exit"), listeners);
  const open = () => process.getActiveResourcesInfo().filter((name) => name.startsWith("Pipe")).length;
  await eventually(() => open() === before, "the sockets to be closed");
});

test("does not wait for a worker whose process has died, and removes its socket [ROB-860, ROB-864]", OURS, async (t) => {
  const { directory, servers } = await start(t, 1);
  const child = fork(program, [], { env: { ...process.env, RC_CLUSTER_DIRECTORY: directory } });
  t.after(() => child.kill("SIGKILL"));
  await eventually(async () => (await servers[0].nodes()).length === 2, "the process to be there");
  assert.equal((await servers[0].timeout(20_000).fetchSockets()).length, 1);
  child.kill("SIGSTOP");
  const pending = servers[0].timeout(60_000).fetchSockets();
  child.kill("SIGKILL");
  assert.equal((await within(pending, "the answer without the dead worker", undefined, 10_000)).length, 1);
  assert.equal((await servers[0].nodes()).length, 1);
  const { io } = await startServer(t, { adapter: createAdapter({ directory, ...presence }) });
  await meet([{ io }], 2);
  await eventually(() => readdirSync(directory).length === 2, "the socket of the dead worker to be removed");
});

test("bounds what waits for a worker that doesn't read, drops and counts the rest, and serves the others [ROB-863]", OURS, async (t) => {
  const { directory, servers, clients } = await start(t, 2, { maxQueuedBytes: 1_000_000 });
  const child = fork(program, [], { env: { ...process.env, RC_CLUSTER_DIRECTORY: directory } });
  t.after(() => child.kill("SIGKILL"));
  await eventually(async () => (await servers[0].nodes()).length === 3, "the process to be there");
  const { adapter } = servers[0].of("/");
  child.kill("SIGSTOP");
  const degraded = once(adapter, "degraded");
  let count = 0;
  clients[1].on("x", () => count++);
  const text = "x".repeat(100_000);
  for (let i = 0; i < 50; i++) {
    servers[0].emit("x", text);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const [reason] = await degraded;
  assert.match(reason.message, /reads too slowly/);
  await eventually(() => count === 50, "the other worker to get all");
  const { lost } = adapter.counters;
  assert.ok(lost >= 30 && lost < 50, `${lost} were lost`);
  const restored = once(adapter, "restored");
  child.kill("SIGCONT");
  await restored;
  assert.equal(adapter.status, "ok");
});

test("drops what makes no sense, and counts it [ROB-865]", OURS, async (t) => {
  const { directory, servers, clients } = await start(t, 1);
  const [own] = readdirSync(directory);
  const { counters } = servers[0].of("/").adapter;
  const uid = "0123456789abcdef";
  const frame = (kind, body) => {
    const bytes = Buffer.from(body, "latin1");
    const header = Buffer.from([0, 0, 0, 0, kind]);
    header.writeUInt32BE(bytes.length + 1);
    return Buffer.concat([header, bytes]);
  };
  const begin = Buffer.concat([Buffer.from("RCW\x01"), frame(1, uid)]);
  const closing = [
    "GET / HTTP/1.1\r\n\r\n",
    "RCW\x02",
    Buffer.concat([Buffer.from("RCW\x01"), frame(1, "not an id")]),
    Buffer.concat([Buffer.from("RCW\x01"), frame(2, "{}")]),
    Buffer.concat([begin, Buffer.from([0xff, 0xff, 0xff, 0xff, 5])]),
    Buffer.concat([begin, Buffer.from([0, 0, 0, 0])]),
  ];
  for (const [index, bytes] of closing.entries()) {
    const socket = connectTo(join(directory, own));
    socket.on("error", () => {});
    const closed = once(socket, "close");
    socket.write(bytes);
    await closed;
    assert.equal(counters.malformed, index + 1);
  }
  const pipe = createPipe((socket) => socket.resume().on("error", () => {}));
  await new Promise((resolve) => pipe.listen(join(directory, uid), resolve));
  t.after(() => pipe.close());
  const socket = connectTo(join(directory, own));
  t.after(() => socket.destroy());
  const { malformed } = counters;
  const space = "\x00\x01/";
  const dropped = [
    frame(5, ""),
    frame(5, "\xff\xff/"),
    frame(5, `${space}\x01\x00\x09x`),
    frame(5, `${space}\x00`),
    frame(5, `${space}\x00\xc1`),
    frame(5, `${space}\x00${"\x91".repeat(100_000)}`),
    frame(6, `${space}\xa1x`),
    frame(2, "{"),
    frame(3, "x"),
    frame(4, "x"),
  ];
  for (const bytes of [begin, ...dropped]) socket.write(bytes);
  // Well-formed frames without sense: ignored.
  const ignored = [
    frame(9, "of a later version"),
    frame(5, "\x00\x02/x\x00\xc0"),
    frame(6, `${space}\x92\x08\x80`),
    frame(5, `${space}\x00\x92\x03\xc0`),
  ];
  // [3, { opts: { rooms: [], except: [], flags: {} }, packet: { type: 2, data: ["x"] } }]
  const broadcast = `\x92\x03\x82\xa4opts\x83\xa5rooms\x90\xa6except\x90\xa5flags\x80\xa6packet\x82\xa4type\x02\xa4data\x91\xa1x`;
  const heard = once(clients[0], "x");
  const whole = Buffer.concat([...ignored, frame(5, `${space}\x00${broadcast}`)]);
  for (const byte of whole) socket.write(Buffer.from([byte])); // in pieces
  await heard;
  assert.equal(counters.malformed, malformed + dropped.length);
});

test("carries polls, POSTs and upgrades to the worker that has the session [ROB-890]", OURS, async (t) => {
  const { servers } = await start(t, 2, { carrySessions: true });
  const [owner, carrier] = servers.map(({ httpServer }) => httpServer.address().port);
  const session = await PollingSession.open(owner, "", { path: "/socket.io/" });
  const path = session.url();
  const { status } = await http(carrier, { method: "POST", path, body: "40", headers: { "Content-Type": "text/plain" } });
  assert.equal(status, 200);
  assert.match(String((await http(carrier, { path })).body), /^40\{"sid"/);
  const ws = await WireSocket.open(carrier, path.replace("polling", "websocket"));
  ws.send("2probe");
  assert.equal(String(await ws.next()), "3probe");
  ws.send("5");
  await eventually(() => servers[0].engine.clients[session.sid].transport.name === "websocket", "the upgrade");
  const big = "x".repeat(500_000);
  servers[0].of("/").emit("big", big);
  assert.equal(await ws.next(), `42["big","${big}"]`);
  ws.abort();
  await eventually(() => servers[0].engine.clients[session.sid] === undefined, "the session to end");
});

test("keeps reading after a listener for another server's event has thrown [ROB-865]", OURS, async (t) => {
  const directory = directoryFor(t);
  const child = fork(program, ["throws"], { env: { ...process.env, RC_CLUSTER_DIRECTORY: directory } });
  t.after(() => child.kill("SIGKILL"));
  const { io } = await startServer(t, { adapter: createAdapter({ directory, ...presence }) });
  await meet([{ io }], 2);
  const errors = once(child, "message");
  io.serverSideEmit("throw");
  assert.deepEqual(await io.serverSideEmitWithAck("echo"), ["echo"]);
  assert.equal((await errors)[0], "thrown by the program");
});

test("connects worker_threads as well, by the directory of the main thread, which goes with it [ROB-860, ROB-868]", OURS, async (t) => {
  const main = fork(new URL("../../support/fixtures/threads.cjs", import.meta.url));
  t.after(() => main.kill("SIGKILL"));
  const [{ directory, counts }] = await once(main, "message");
  assert.deepEqual(counts, [3, 3, 3]);
  assert.ok(existsSync(directory));
  const exited = once(main, "exit");
  main.send("end");
  await exited;
  assert.ok(!existsSync(directory));
});
