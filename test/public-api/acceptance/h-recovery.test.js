/** Catalogue of usage examples, section H: connection state recovery. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { once, record } from "../../support/client.js";
import { fence, joinServer, nextSocket, pair, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { isReference, oursOnly } from "../../support/target.js";

const RECOVERY = { connectionStateRecovery: {} };

/** A connected client that has an offset to come back with. */
async function recoverable(t, options = RECOVERY, more = {}) {
  const server = await pair(t, options, more);
  await fence(server.socket, server.client);
  return server;
}

/** Cuts the connection of the client; settles when the server has noticed. */
async function drop({ client, socket }) {
  const endings = [once(socket, "disconnect"), once(client, "disconnect")];
  client.io.engine.close();
  await Promise.all(endings);
}

/** Connects the client again; gives the new socket of the server. */
async function comeBack({ io, client }) {
  const ends = [once(io, "connection"), once(client, "connect")];
  client.connect();
  const [[socket]] = await Promise.all(ends);
  return socket;
}

/** What a broadcast's packet looks like on the wire, without its offset. */
const withoutOffset = (text) => text.replace(/,"[^"]*"\]$/, "]");

test("EX-150 recovers, and delivers what was missed once, before new events [CSR-1, CSR-8, CSR-6]", async (t) => {
  const server = await recoverable(t);
  const { io, client, socket } = server;
  const { id } = socket;
  const log = record(client, "missed", "new");
  await drop(server);
  io.emit("missed", 1);
  io.on("connection", (back) => back.emit("new", 2));
  const back = await comeBack(server);
  await fence(back, client);
  assert.deepEqual([back.recovered, client.recovered, back.id, client.id], [true, true, id, id]);
  assert.deepEqual(
    log.events.map(([name, value]) => [name, value]),
    [
      ["missed", 1],
      ["new", 2],
    ],
  );
});

test("EX-151 recovers rooms and data [CSR-8]", async (t) => {
  const server = await recoverable(t);
  server.socket.join("r");
  server.socket.data.user = "a";
  await drop(server);
  const back = await comeBack(server);
  assert.deepEqual([back.recovered, back.rooms.has("r"), back.rooms.has(back.id), back.data.user], [true, true, true, "a"]);
});

test("EX-152 replays by the rooms of the session [CSR-11, CSR-4]", async (t) => {
  const server = await recoverable(t);
  const { io, client, socket } = server;
  const log = record(client, "e");
  socket.join("r");
  await drop(server);
  io.to("r").emit("e", "room");
  io.to("elsewhere").emit("e", "another room");
  io.except("r").emit("e", "excepted");
  io.to(["elsewhere", "r"]).emit("e", "one of two rooms");
  socket.emit("e", "to the socket that is away");
  io.of("/other").emit("e", "another namespace");
  const back = await comeBack(server);
  await fence(back, client);
  assert.deepEqual(
    log.events.map(([, value]) => value),
    ["room", "one of two rooms", "to the socket that is away"],
  );
});

test("EX-153 replays bytes [CSR-3, CSR-8]", async (t) => {
  const server = await recoverable(t);
  const log = record(server.client, "bytes");
  await drop(server);
  server.io.emit("bytes", Buffer.from([1, 2, 3]), { nested: Buffer.from("é") });
  await fence(await comeBack(server), server.client);
  assert.deepEqual(
    log.events.map((event) => event.slice(0, 3)),
    [["bytes", Buffer.from([1, 2, 3]), { nested: Buffer.from("é") }]],
  );
});

test("EX-154 replays neither volatile events nor questions [CSR-3]", async (t) => {
  const server = await recoverable(t);
  const log = record(server.client, "volatile", "question", "plain");
  await drop(server);
  server.io.volatile.emit("volatile");
  server.io.timeout(100).emit("question", () => {});
  server.io.emit("plain");
  await fence(await comeBack(server), server.client);
  assert.deepEqual(log.names, ["plain"]);
});

for (const [skipMiddlewares, expected] of [
  [undefined, 1],
  [true, 1],
  [false, 2],
]) {
  test(`EX-155 runs middlewares ${expected} time(s) with skipMiddlewares ${skipMiddlewares} [CSR-9, OPT-6]`, async (t) => {
    const server = await startServer(t, { connectionStateRecovery: skipMiddlewares === undefined ? {} : { skipMiddlewares } });
    let runs = 0;
    server.io.use((socket, next) => {
      runs += 1;
      next();
    });
    Object.assign(server, await joinServer(t, server));
    await fence(server.socket, server.client);
    await drop(server);
    assert.equal((await comeBack(server)).recovered, true);
    assert.equal(runs, expected);
  });
}

test("EX-156 forgets a session after its time [CSR-12, CSR-13]", async (t) => {
  const server = await recoverable(t, { connectionStateRecovery: { maxDisconnectionDuration: 100 } });
  const { id } = server.socket;
  await drop(server);
  await new Promise((resolve) => setTimeout(resolve, 300)); // time itself is what is tested
  const back = await comeBack(server);
  assert.deepEqual([back.recovered, server.client.recovered], [false, false]);
  assert.notEqual(back.id, id);
});

test("EX-157 does not recover a client that left on purpose [CSR-6]", async (t) => {
  const server = await recoverable(t);
  const ending = once(server.socket, "disconnect");
  server.client.disconnect();
  await ending;
  const back = await comeBack(server);
  assert.deepEqual([back.recovered, server.client.recovered], [false, false]);
});

test("EX-158 recovers a client that never got an event; the original connects it plainly [CSR-8, CSR-12]", async (t) => {
  const server = await pair(t, RECOVERY);
  const { id } = server.socket;
  await drop(server);
  server.io.emit("missed", 1);
  const log = record(server.client, "missed");
  const back = await comeBack(server);
  await fence(back, server.client);
  assert.equal(back.recovered, !isReference);
  assert.equal(back.id === id, !isReference);
  assert.deepEqual(
    log.events.map(([, value]) => value),
    isReference ? [] : [1],
  );
});

test("EX-159 takes a forged session for a new one [CSR-7, CSR-12]", async (t) => {
  const { io, port } = await startServer(t, RECOVERY);
  for (const auth of [{ pid: "x", offset: "y" }, { pid: 1, offset: {} }, { pid: "x" }]) {
    const admitted = nextSocket(io);
    const peer = await wirePeer(t, port, { auth });
    const socket = await admitted;
    assert.deepEqual([socket.recovered, socket.id], [false, peer.payload.sid]);
    assert.deepEqual(socket.handshake.auth, auth);
  }
});

test("EX-160 consumes a session when it is recovered [CSR-14]", oursOnly("it restores a session as often as it is asked"), async (t) => {
  const { io, port } = await startServer(t, RECOVERY);
  const admitted = nextSocket(io);
  const first = await wirePeer(t, port);
  const socket = await admitted;
  const { sid, pid } = first.payload;
  socket.emit("hello");
  const offset = JSON.parse((await first.next()).slice(2)).at(-1);
  const ending = once(socket, "disconnect");
  first.abort();
  await ending;

  const recovered = await wirePeer(t, port, { auth: { pid, offset } });
  assert.deepEqual([recovered.payload.sid, recovered.payload.pid], [sid, pid]);
  const live = io.of("/").sockets.get(sid);
  const attacking = wirePeer(t, port, { auth: { pid, offset } });
  await recovered.expect("2"); // asked whether it is still there
  recovered.send("3");
  const attack = await attacking;
  assert.notEqual(attack.payload.sid, sid);
  assert.equal(io.of("/").sockets.get(sid), live);
  live.emit("still here");
  assert.equal(withoutOffset(await recovered.next()), '42["still here"]');
});

test(
  "EX-161 appends one offset per child of a parent namespace [PAR-9]",
  oursOnly("its children share one packet, and offsets add up"),
  async (t) => {
    const server = await startServer(t, RECOVERY);
    const parent = server.io.of(/^\/dyn-\d$/);
    const pairs = [];
    for (const name of ["/dyn-1", "/dyn-2", "/dyn-3"]) {
      const { client, socket } = await joinServer(t, server, name);
      socket.join("r");
      pairs.push({ socket, client, log: record(client, "x", "y") });
    }
    parent.emit("x", 1);
    parent.to("r").emit("y", 1);
    for (const { socket, client, log } of pairs) {
      await fence(socket, client);
      assert.deepEqual(
        log.events.map(([name, value, offset, ...more]) => [name, value, typeof offset, more]),
        [
          ["x", 1, "string", []],
          ["y", 1, "string", []],
        ],
      );
    }
  },
);

test("EX-162 hides the offset from onAnyOutgoing [ANY-5]", oursOnly("its listeners see the offset"), async (t) => {
  const { io, socket } = await pair(t, RECOVERY);
  const seen = [];
  socket.onAnyOutgoing((...args) => seen.push(args));
  socket.emit("a", 1);
  io.emit("b", 2);
  assert.deepEqual(seen, [
    ["a", 1],
    ["b", 2],
  ]);
});

test("EX-163 sends no private id and no offset without the option [CSR-1, NSP-23]", async (t) => {
  const { io, port } = await startServer(t);
  const peer = await wirePeer(t, port);
  assert.deepEqual(Object.keys(peer.payload), ["sid"]);
  io.emit("e", 1);
  await peer.expect('42["e",1]');
});
