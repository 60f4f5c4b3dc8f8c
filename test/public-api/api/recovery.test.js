/** Connection state recovery: secrets, offsets, several namespaces, other adapters. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { once, record } from "../../support/client.js";
import { adapters } from "../../support/packages.js";
import { fence, joinServer, nextSocket, pair, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { PollingSession } from "../../support/wire-client.js";

const RECOVERY = { connectionStateRecovery: {} };

/** Cuts the connection of a client; settles when the server has noticed. */
async function drop({ client, socket }) {
  const endings = [once(socket, "disconnect"), once(client, "disconnect")];
  client.io.engine.close();
  await Promise.all(endings);
}

/** Connects the client again; gives the new socket of the server. */
async function comeBack({ io, client }) {
  const ends = [nextSocket(io), once(client, "connect")];
  client.connect();
  return (await Promise.all(ends))[0];
}

/** The data of an event that was read by hand. */
const dataOf = (message) => JSON.parse(message.slice(message.indexOf("[")));

test("asks adapters for no session unless switched on [CSR-1, ADP-27, ADP-28]", async (t) => {
  const calls = [];
  class Spy extends adapters.Adapter {
    persistSession() {
      calls.push("persist");
    }

    restoreSession() {
      calls.push("restore");
      return null;
    }
  }
  const server = await startServer(t, { adapter: Spy });
  const admitted = nextSocket(server.io);
  const peer = await wirePeer(t, server.port, { auth: { pid: "p", offset: "o" } });
  const ending = once(await admitted, "disconnect");
  peer.abort();
  await ending;
  assert.deepEqual([calls, Object.keys(peer.payload)], [[], ["sid"]]);
});

test("works with any adapter that keeps sessions [CSR-1, CSR-6, CSR-7, CSR-8]", async (t) => {
  const sessions = [];
  class Keeping extends adapters.Adapter {
    persistSession(session) {
      sessions.push(session);
    }

    async restoreSession(pid, offset) {
      const session = sessions.find((one) => one.pid === pid);
      return session && offset === "o1"
        ? {
            ...session,
            missedPackets: [
              ["missed", 1, "o2"],
              ["missed", Buffer.from([2]), "o3"],
            ],
          }
        : null;
    }
  }
  const { io, port } = await startServer(t, { ...RECOVERY, adapter: Keeping });
  let admitted = nextSocket(io);
  const first = await wirePeer(t, port);
  const socket = await admitted;
  socket.join("r");
  socket.data.n = 1;
  const ending = once(socket, "disconnect");
  first.abort();
  await ending;
  const { sid, pid } = first.payload;
  assert.deepEqual(
    sessions.map(({ rooms, ...rest }) => ({ ...rest, rooms: [...rooms] })),
    [{ sid, pid, rooms: [sid, "r"], data: { n: 1 } }],
  );

  admitted = nextSocket(io);
  const second = await wirePeer(t, port, { join: false });
  second.send(`40${JSON.stringify({ pid, offset: "o1", token: "t" })}`);
  await second.expect('42["missed",1,"o2"]');
  await second.expect('451-["missed",{"_placeholder":true,"num":0},"o3"]');
  await second.expect(Buffer.from([2]));
  await second.expect(`40{"sid":"${sid}","pid":"${pid}"}`);
  const back = await admitted;
  assert.deepEqual([back.recovered, back.id, [...back.rooms].sort(), back.data], [true, sid, [sid, "r"].sort(), { n: 1 }]);
  assert.deepEqual(back.handshake.auth, { pid, offset: "o1", token: "t" });
});

test("takes a failing adapter for a session that is not there [CSR-7]", async (t) => {
  const outcomes = [
    () => Promise.reject(new Error("no")),
    () => null,
    () => undefined,
    () => Promise.resolve(false),
    () => {
      throw new Error("no");
    },
  ];
  class Failing extends adapters.Adapter {
    restoreSession() {
      return outcomes.shift()();
    }
  }
  const { io, port } = await startServer(t, { ...RECOVERY, adapter: Failing });
  while (outcomes.length > 0) {
    const admitted = nextSocket(io);
    await wirePeer(t, port, { auth: { pid: "p", offset: "o" } });
    assert.equal((await admitted).recovered, false);
  }
});

test("gives each socket a secret of its own [CSR-2, CSR-16, NSP-23]", async (t) => {
  const { io, port } = await startServer(t, RECOVERY);
  io.of("/other");
  const peer = await wirePeer(t, port);
  peer.send("40/other,");
  const other = JSON.parse((await peer.next()).slice("40/other,".length));
  const ids = [peer.payload.sid, peer.payload.pid, other.sid, other.pid];
  for (const id of ids) assert.match(id, /^[A-Za-z0-9_-]{20}$/);
  assert.equal(new Set(ids).size, 4);
  const [socket] = await io.fetchSockets();
  assert.equal(JSON.stringify([socket.handshake, socket.data, [...socket.rooms]]).includes(peer.payload.pid), false);
});

test("appends an offset to every event that can be recovered [CSR-3, CSR-4, CSR-5, CSR-18]", async (t) => {
  const { io, port } = await startServer(t, RECOVERY);
  const admitted = nextSocket(io);
  const peer = await wirePeer(t, port);
  const socket = await admitted;
  const offsets = [];
  for (const emit of [() => socket.emit("e", 1), () => io.emit("e", 1), () => io.to(socket.id).emit("e", 1)]) {
    emit();
    const [name, value, offset, ...more] = dataOf(await peer.next());
    assert.deepEqual([name, value, typeof offset, more], ["e", 1, "string", []]);
    offsets.push(offset);
  }
  assert.equal(new Set(offsets).size, 3);
  socket.emit("bytes", Buffer.from([1]));
  assert.match(await peer.next(), /^451-\["bytes",\{"_placeholder":true,"num":0\},"[^"]+"\]$/);
  await peer.next();
  socket.emit("asked", () => {});
  assert.match(await peer.next(), /^42\d+\["asked"\]$/);
  await new Promise((resolve) => (peer.send('42["free"]'), socket.once("free", resolve)));
  io.volatile.emit("volatile", 1);
  await peer.expect('42["volatile",1]');
});

test("replays what was emitted to a socket that was away [CSR-4, CSR-11]", async (t) => {
  const server = await pair(t, RECOVERY);
  await fence(server.socket, server.client);
  await drop(server);
  const log = record(server.client, "e");
  server.socket.emit("e", 1);
  server.socket.volatile.emit("e", 2);
  server.socket.emit("e", 3);
  const back = await comeBack(server);
  await fence(back, server.client);
  assert.deepEqual(
    log.events.map(([, n]) => n),
    [1, 3],
  );
});

test("knows what each recoverable end is [CSR-6]", async (t) => {
  const persisted = [];
  class Spy extends adapters.SessionAwareAdapter {
    persistSession(session) {
      persisted.push(session.sid);
      super.persistSession(session);
    }
  }
  const { io, port } = await startServer(t, { ...RECOVERY, adapter: Spy, maxHttpBufferSize: 1000 });
  const endings = {
    "transport close": [(peer) => peer.abort(), true],
    "transport error": [(peer) => peer.send("2"), true],
    "forced close": [(peer) => peer.send("40"), true],
    "client namespace disconnect": [(peer) => peer.send("41"), false],
    "server namespace disconnect": [(peer, socket) => socket.disconnect(), false],
    "parse error": [(peer) => peer.send("abc"), false],
  };
  for (const [reason, [act, isRecoverable]] of Object.entries(endings)) {
    const admitted = nextSocket(io);
    const peer = await wirePeer(t, port);
    const socket = await admitted;
    const ending = once(socket, "disconnect");
    act(peer, socket);
    assert.equal((await ending)[0], reason);
    assert.equal(persisted.includes(socket.id), isRecoverable, reason);
  }
});

test("may refuse a recovered client in a middleware [CSR-9]", async (t) => {
  const server = await startServer(t, { connectionStateRecovery: { skipMiddlewares: false } });
  let isOpen = true;
  server.io.use((socket, next) => next(isOpen ? undefined : new Error(`closed, ${socket.recovered}`)));
  Object.assign(server, await joinServer(t, server));
  await fence(server.socket, server.client);
  await drop(server);
  isOpen = false;
  const refused = once(server.client, "connect_error");
  server.client.connect();
  assert.equal((await refused)[0].message, "closed, true");
  assert.equal(server.io.of("/").sockets.size, 0);
  assert.equal(server.io.of("/").adapter.rooms.size, 0);
});

test("takes the new auth payload of a recovered client [CSR-10]", async (t) => {
  let n = 0;
  const server = await pair(t, RECOVERY, { client: { auth: (callback) => callback({ visit: (n += 1) }) } });
  await fence(server.socket, server.client);
  assert.deepEqual(server.socket.handshake.auth, { visit: 1 });
  await drop(server);
  const back = await comeBack(server);
  assert.equal(back.recovered, true);
  assert.equal(back.handshake.auth.visit, 2);
  assert.deepEqual(Object.keys(back.handshake.auth).sort(), ["offset", "pid", "visit"]);
});

test("gives the data back, which is all it promises [CSR-15]", async (t) => {
  const server = await pair(t, RECOVERY);
  server.socket.data.user = { name: "alice" };
  await fence(server.socket, server.client);
  await drop(server);
  assert.deepEqual((await comeBack(server)).data, { user: { name: "alice" } });
});

test("recovers each namespace by itself [CSR-16]", async (t) => {
  const server = await pair(t, RECOVERY);
  const { io, client } = server;
  io.of("/other");
  const other = client.io.socket("/other");
  const connected = once(other, "connect");
  await connected;
  const otherSocket = io.of("/other").sockets.get(other.id);
  await fence(server.socket, client);
  await fence(otherSocket, other);
  const logs = [record(client, "e"), record(other, "e")];
  const endings = [once(otherSocket, "disconnect"), once(other, "disconnect")];
  await drop(server);
  await Promise.all(endings);
  io.emit("e", "main");
  io.of("/other").emit("e", "other");
  // the manager connects all its namespaces again
  const otherEnds = [nextSocket(io.of("/other")), once(other, "connect")];
  const back = await comeBack(server);
  const [otherBack] = await Promise.all(otherEnds);
  await fence(back, client);
  await fence(otherBack, other);
  assert.deepEqual([back.recovered, otherBack.recovered], [true, true]);
  assert.deepEqual(
    logs.map(({ events }) => events.map(([, value]) => value)),
    [["main"], ["other"]],
  );
});

test("starts anew for an offset it never gave, such as a volatile event's last string [CSR-19, CSR-12]", async (t) => {
  const server = await pair(t, RECOVERY);
  await fence(server.socket, server.client);
  await fence(server.client, server.socket);
  const arrived = once(server.client, "x");
  server.io.volatile.emit("x", "abc");
  await arrived;
  const { id } = server.socket;
  await drop(server);
  const back = await comeBack(server);
  assert.equal(back.recovered, false);
  assert.notEqual(back.id, id);
  await fence(back, server.client);
});

test("restores a session once, also when two clients ask at the same time [CSR-14]", oursOnly("it restores it for both"), async (t) => {
  const { io, port } = await startServer(t, RECOVERY);
  const admitted = nextSocket(io);
  const first = await wirePeer(t, port);
  const socket = await admitted;
  socket.emit("e");
  const offset = dataOf(await first.next()).at(-1);
  const ending = once(socket, "disconnect");
  first.abort();
  await ending;
  const { sid, pid } = first.payload;
  const auth = { pid, offset };
  const asking = [wirePeer(t, port, { auth }), wirePeer(t, port, { auth })];
  const winner = await Promise.race(asking);
  await winner.expect("2"); // asked whether it is still there
  winner.send("3");
  const [a, b] = await Promise.all(asking);
  assert.equal([a, b].filter(({ payload }) => payload.sid === sid).length, 1);
  assert.equal(io.of("/").sockets.size, 2);
});

test(
  "replays missed events, and the CONNECT after them, in one polling response [CSR-8, ROB-461]",
  oursOnly("it has no limit"),
  async (t) => {
    const { io, port } = await startServer(t, RECOVERY);
    const open = async (auth) => {
      const session = await PollingSession.open(port, "", { path: "/socket.io/" });
      await session.post(`40${JSON.stringify(auth)}`);
      return session;
    };
    const admitted = nextSocket(io);
    const first = await open({});
    const { pid } = JSON.parse((await first.poll())[0].slice(2));
    const socket = await admitted;
    io.emit("n", 0);
    const [, offset] = dataOf((await first.poll())[0]).slice(1);
    const gone = once(socket, "disconnect");
    await first.post("1");
    assert.equal((await gone)[0], "transport close");
    for (let n = 1; n <= 40; n++) io.emit("n", n);

    const second = await open({ pid, offset });
    const packets = await second.poll();
    assert.equal(packets.length, 41);
    assert.deepEqual(
      packets.slice(0, 40).map((packet) => dataOf(packet)[1]),
      Array.from({ length: 40 }, (_, i) => i + 1),
    );
    assert.match(packets[40], /^40\{"sid":/);
  },
);
