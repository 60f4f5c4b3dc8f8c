/** Catalogue of usage examples, section I: several servers, and adapters of the user's own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { linkedServers } from "../../support/bus-adapter.js";
import { once, record } from "../../support/client.js";
import { adapters } from "../../support/packages.js";
import { eventually, fence, joinServer, pair } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { isReference, ours, oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";

/** The arguments with which a callback is called. */
function called(start, ms) {
  return within(new Promise((resolve) => start((...args) => resolve(args))), "the callback", undefined, ms);
}

/** `count` linked servers with one client each: `[{ io, client, socket, … }]`. */
async function cluster(t, count) {
  const nodes = await linkedServers(t, count);
  for (const node of nodes) Object.assign(node, await joinServer(t, node));
  return nodes;
}

/** What each client got of the named events, once `isDone(all)` holds. */
async function gathered(nodes, names, act, isDone) {
  const logs = nodes.map(({ client }) => record(client, ...names));
  await act();
  await eventually(() => isDone(logs.map(({ events }) => events)), `all events; got ${JSON.stringify(logs.map(({ events }) => events))}`);
  return logs.map(({ events }) => events);
}

test("EX-170 broadcasts, with bytes, to the clients of all nodes [CLU-10, CLU-2, CLU-3, MIX-1]", async (t) => {
  const [a, b] = await cluster(t, 2);
  const met = await gathered(
    [a, b],
    ["m"],
    () => a.io.emit("m", 1, Buffer.from([1, 2])),
    (all) => all.every(({ length }) => length === 1),
  );
  assert.deepEqual(met, [[["m", 1, Buffer.from([1, 2])]], [["m", 1, Buffer.from([1, 2])]]]);
});

test("EX-170 picks rooms and exceptions where the sockets are, and local stays at home [CLU-5, BRO-7, MIX-1]", async (t) => {
  const nodes = await cluster(t, 3);
  const [a, b, c] = nodes;
  b.socket.join("r");
  c.socket.join(["r", "muted"]);
  const met = await gathered(
    nodes,
    ["room", "local", "end"],
    () => {
      a.io.to("r").except("muted").emit("room");
      a.io.local.emit("local");
      a.io.emit("end");
    },
    (all) => all.every((events) => events.at(-1)?.[0] === "end"),
  );
  assert.deepEqual(
    met.map((events) => events.map(([name]) => name).filter((name) => name !== "end")),
    [["local"], ["room"], []],
  );
});

test("EX-170 gathers acknowledgements from all nodes [CLU-13, ACK-26, MIX-2]", async (t) => {
  const nodes = await cluster(t, 3);
  nodes.forEach(({ client }, i) => client.on("q", (callback) => callback(i)));
  const [error, responses] = await called((got) => nodes[0].io.timeout(3000).emit("q", got));
  assert.deepEqual([error, responses.sort()], [null, [0, 1, 2]]);
  const silent = await within(nodes[1].io.to("nobody").timeout(3000).emitWithAck("q"), "the empty answer");
  assert.deepEqual(silent, []);
});

test("EX-170 fetches, moves and disconnects sockets of all nodes [CLU-14, CLU-15, MIX-3, MIX-4, MIX-5]", async (t) => {
  const [a, b] = await cluster(t, 2);
  b.socket.data.name = "bob";
  const fetched = await a.io.fetchSockets();
  assert.deepEqual(fetched.map(({ id }) => id).sort(), [a.socket.id, b.socket.id].sort());
  const remote = fetched.find(({ id }) => id === b.socket.id);
  assert.deepEqual([remote.data, [...remote.rooms], remote.handshake.url], [{ name: "bob" }, [b.socket.id], b.socket.handshake.url]);
  assert.deepEqual(
    (await a.io.local.fetchSockets()).map(({ id }) => id),
    [a.socket.id],
  );

  a.io.socketsJoin(["x", "y"]);
  await eventually(() => b.socket.rooms.has("x") && b.socket.rooms.has("y"), "the remote socket to join");
  a.io.in("x").socketsLeave("y");
  await eventually(() => !b.socket.rooms.has("y"), "the remote socket to leave");
  const endings = [once(a.client, "disconnect"), once(b.client, "disconnect")];
  a.io.in("x").disconnectSockets();
  for (const [reason] of await Promise.all(endings)) assert.equal(reason, "io server disconnect");
});

test("EX-170 emits to the other nodes [SSE-1, CLU-16, MIX-6]", async (t) => {
  const nodes = await linkedServers(t, 3);
  const logs = nodes.map(({ io }) => record(io.of("/"), "hello"));
  assert.equal(nodes[0].io.serverSideEmit("hello", "world", 1, { 3: "4" }), true);
  await Promise.all(logs.slice(1).map((log) => log.until((events) => events.length === 1)));
  assert.deepEqual(
    logs.map(({ events }) => events),
    [[], [["hello", "world", 1, { 3: "4" }]], [["hello", "world", 1, { 3: "4" }]]],
  );
});

test("EX-171 gathers one answer of each other node [SSE-3, SSE-4, SSE-5, SRV-72]", async (t) => {
  const nodes = await linkedServers(t, 3);
  nodes.forEach(({ io }, i) =>
    io.on("ping", (callback) => {
      callback(`pong${i}`, "ignored");
      callback("again");
    }),
  );
  const [error, responses] = await called((got) => nodes[0].io.serverSideEmit("ping", got));
  assert.deepEqual([error, responses.sort()], [null, ["pong1", "pong2"]]);
  assert.deepEqual((await within(nodes[1].io.serverSideEmitWithAck("ping"), "the answers")).sort(), ["pong0", "pong2"]);
});

test("EX-172 gives the answers it has when a node stays silent for 5 s [SSE-3, SSE-4, CLU-16, CLU-17]", async (t) => {
  const nodes = await linkedServers(t, 3);
  nodes[1].io.on("ping", (callback) => callback("pong"));
  nodes[2].io.on("ping", () => {});
  const asPromise = within(
    nodes[0].io.serverSideEmitWithAck("ping").catch((reason) => reason),
    "the rejection",
    undefined,
    9000,
  );
  const [error, responses] = await called((got) => nodes[0].io.serverSideEmit("ping", got), 9000);
  assert.equal(error.message, "timeout reached: missing 1 responses");
  assert.deepEqual(responses, ["pong"]);
  const rejection = await asPromise;
  assert.deepEqual([rejection.message, rejection.responses], ["timeout reached: missing 1 responses", ["pong"]]);
});

test("EX-173 does without a node that closes meanwhile [CLU-24, CLU-25]", async (t) => {
  const nodes = await linkedServers(t, 3);
  nodes[1].io.on("ping", (callback) => callback("pong"));
  nodes[2].io.on("ping", () => void nodes[2].io.close());
  const [error, responses] = await called((got) => nodes[0].io.serverSideEmit("ping", got));
  assert.deepEqual([error, responses], [null, ["pong"]]);
});

test("EX-174 refuses the server's own event names [SSE-2, SRV-73]", async (t) => {
  const { io } = await startServer(t);
  for (const name of ["connect", "connection", "new_namespace"]) {
    assert.throws(() => io.serverSideEmit(name), { name: "Error", message: `"${name}" is a reserved event name` });
  }
});

test("EX-175 warns when a single server emits to its peers [SSE-6, ADP-26]", async (t) => {
  const { io } = await startServer(t);
  const warn = t.mock.method(console, "warn", () => {});
  assert.equal(io.serverSideEmit("x"), true);
  assert.deepEqual(
    warn.mock.calls.map(({ arguments: args }) => args.join(" ")),
    ["this adapter does not support the serverSideEmit() functionality"],
  );
  await ours("it never calls back", async () => {
    assert.deepEqual(await called((got) => io.serverSideEmit("x", got)), [null, []]);
    assert.deepEqual(await within(io.serverSideEmitWithAck("x"), "the empty answer"), []);
  });
});

test("EX-176 reaches a remote socket through its description [REM-1, REM-2, ACK-28, MEM-6]", async (t) => {
  const [a, b] = await cluster(t, 2);
  const remote = (await a.io.fetchSockets()).find(({ id }) => id === b.socket.id);
  assert.notEqual(remote, b.socket);
  assert.ok(remote.rooms instanceof Set);

  const arrived = once(b.client, "hi");
  remote.emit("hi", 1);
  assert.deepEqual(await arrived, [1]);

  assert.equal(remote.join("x"), undefined);
  await eventually(() => b.socket.rooms.has("x"), "the remote socket to join");
  assert.equal(remote.rooms.has("x"), false);
  const inRoom = once(b.client, "in room");
  a.io.to("x").emit("in room");
  await inRoom;
  assert.equal(remote.leave("x"), undefined);
  await eventually(() => !b.socket.rooms.has("x"), "the remote socket to leave");

  b.client.on("q", (callback) => callback("v", "ignored"));
  assert.deepEqual(await called((got) => remote.timeout(3000).emit("q", got)), [null, "v"]);
  const [error, value] = await called((got) => remote.timeout(100).emit("unanswered", got));
  assert.deepEqual([error.message, value ?? null], ["operation has timed out", null]);

  const ending = once(b.client, "disconnect");
  assert.equal(remote.disconnect(), remote);
  assert.equal((await ending)[0], "io server disconnect");
});

const log = [];
class Logging extends adapters.Adapter {
  init() {
    log.push(`init ${this.nsp.name}`);
  }

  close() {
    log.push(`close ${this.nsp.name}`);
  }

  broadcast(packet, options) {
    log.push(packet.data);
    super.broadcast(packet, options);
  }
}

function makeLogging(namespace) {
  return new Logging(namespace);
}

const FORMS = {
  class: Logging,
  function: makeLogging,
  ...(isReference ? {} : { "arrow function": (namespace) => new Logging(namespace) }),
};

for (const [form, adapter] of Object.entries(FORMS)) {
  test(`EX-180 takes an adapter as ${form} [OPT-3, ADP-1, ADP-2, ADP-3, ADP-19]`, async (t) => {
    log.length = 0;
    const { io, socket, client } = await pair(t, { adapter });
    io.of("/other");
    const arrived = once(client, "x");
    io.emit("x", 1);
    assert.deepEqual(await arrived, [1]);
    await fence(socket, client);
    await io.close();
    assert.deepEqual(log, ["init /", "init /other", ["x", 1], "close /", "close /other"]);
  });
}

test("EX-180 takes an arrow function, which is no constructor [OPT-3]", oursOnly("it calls every adapter with new"), async (t) => {
  const namespaces = [];
  const { io } = await startServer(t, { adapter: (namespace) => namespaces.push(namespace) && new Logging(namespace) });
  assert.deepEqual(namespaces, [io.of("/")]);
});

test("EX-181 waits for an adapter that joins later [ROOM-1, ADP-16]", async (t) => {
  const joined = [];
  class Slow extends adapters.Adapter {
    async addAll(id, rooms) {
      await new Promise((resolve) => setImmediate(resolve));
      super.addAll(id, rooms);
      joined.push(...rooms);
    }
  }
  const { socket } = await pair(t, { adapter: Slow });
  const joining = socket.join("r");
  assert.ok(joining instanceof Promise);
  assert.equal(joined.includes("r"), false);
  await joining;
  assert.ok(joined.includes("r"));
});
