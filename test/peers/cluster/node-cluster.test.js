// @socket.io/cluster-adapter behind @socket.io/sticky: the contract of contract.js once more, for nodes that are processes of their own.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, once } from "../../support/client.js";
import { ALL_OURS, waitUntil, inboxes } from "./cluster.js";
import { connectToEach, startWorkers, workerOf } from "./node-cluster.js";

const bytes = Buffer.from([1, 2, 250]);
const timeout = 60_000;

const everyone = [0, 1, 2];

/** A broadcast of a worker behind all others has reached every client. */
async function fence(cluster, index, clients) {
  const name = `fence ${Math.random()}`;
  const arrived = Promise.all(clients.map((client) => once(client, name)));
  await cluster.call(index, ({ io }, event) => void io.emit(event), name);
  await arrived;
}

for (const [kinds, bases] of [
  [ALL_OURS, ["own", "own", "own"]],
  [ALL_OURS, ["ours", "ours", "ours"]],
  [
    ["roomcast", "socket.io", "roomcast"],
    ["ours", "own", "own"],
  ],
]) {
  const nodes = kinds.map((kind, index) => `${kind} (${bases[index]} base)`).join(", ");
  const where = `over @socket.io/cluster-adapter and @socket.io/sticky, ${nodes}`;

  const declare = (title, ids, run) =>
    test(`${title} ${where} [${ids}]`, { timeout }, async (t) => {
      const cluster = await startWorkers(t, { kinds, bases });
      for (const [index, kind] of kinds.entries()) {
        const runsRoomcast = await cluster.call(index, ({ io, require }) => io instanceof require("../../../..").Server);
        assert.equal(runsRoomcast, kind === "roomcast");
      }
      const clients = await connectToEach(t, cluster, kinds);
      await run(t, cluster, clients);
    });

  declare("broadcasts to every client once, text and binary, from every worker", "MIX-1, STK-2", async (t, cluster, clients) => {
    const got = inboxes(clients, "news");
    for (const index of everyone) await cluster.call(index, ({ io }, value, raw) => void io.emit("news", value, { raw }), index, bytes);
    for (const index of everyone) await fence(cluster, index, clients);
    for (const list of got)
      assert.deepEqual(
        list.sort(),
        [0, 1, 2].map((value) => [value, { raw: bytes }]),
      );
  });

  declare("broadcasts to rooms, and around rooms and senders", "MIX-2", async (t, cluster, clients) => {
    const joins = [["a"], ["a", "b"], ["b", "c"]];
    for (const [index, rooms] of joins.entries()) {
      await cluster.call(index, ({ io }, id, rooms) => io.sockets.sockets.get(id).join(rooms), clients[index].id, rooms);
    }
    const got = inboxes(clients, "x");
    const ids = clients.map(({ id }) => id);
    await cluster.call(0, ({ io }) => void io.to("a").except("b").emit("x", 1));
    await cluster.call(0, ({ io }) => void io.except("a").emit("x", 2));
    await cluster.call(1, ({ io }) => void io.to("a").to("b").emit("x", 3));
    await cluster.call(1, ({ io }, id) => void io.sockets.sockets.get(id).to("b").emit("x", 4), ids[1]);
    await cluster.call(2, ({ io }, id) => void io.sockets.sockets.get(id).broadcast.emit("x", 5), ids[2]);
    await cluster.call(2, ({ io }) => void io.local.emit("x", 6));
    await cluster.call(2, ({ io }, id) => void io.to(id).emit("x", 7), ids[0]);
    await cluster.call(2, ({ io }) => void io.to("nobody").emit("x", 8));
    for (const index of everyone) await fence(cluster, index, clients);
    assert.deepEqual(
      got.map((list) => list.map(([value]) => value).sort()),
      [
        [1, 3, 5, 7],
        [3, 5],
        [2, 3, 4, 6],
      ],
    );
  });

  declare("collects acknowledgements of all workers, and what came when one client is silent", "MIX-3", async (t, cluster, clients) => {
    for (const [index, client] of clients.entries()) client.on("ask", (value, answer) => answer([index, value]));
    for (const index of everyone) {
      const answers = await cluster.call(index, ({ io }, value) => io.timeout(5000).emitWithAck("ask", value), bytes);
      assert.deepEqual(
        answers.sort(),
        everyone.map((other) => [other, bytes]),
      );
    }
    clients[1].off("ask");
    const { message, responses } = await cluster.call(0, ({ io }) =>
      io
        .timeout(500)
        .emitWithAck("ask", 1)
        .catch(({ message, responses }) => ({ message, responses })),
    );
    assert.equal(message, "operation has timed out");
    assert.deepEqual(responses.sort(), [
      [0, 1],
      [2, 1],
    ]);
  });

  declare("fetches the sockets of all workers, and talks to one of them", "MIX-4", async (t, cluster, clients) => {
    const ids = clients.map(({ id }) => id);
    await cluster.call(
      2,
      ({ io }, id) => {
        const socket = io.sockets.sockets.get(id);
        socket.data.user = "ann";
        return socket.join("r");
      },
      ids[2],
    );
    assert.deepEqual((await cluster.call(0, async ({ io }) => (await io.fetchSockets()).map(({ id }) => id))).sort(), [...ids].sort());
    clients[2].on("ask", (value, answer) => answer(value));
    const [found] = await cluster.call(
      0,
      async ({ io }, value) => {
        const sockets = await io.in("r").fetchSockets();
        return Promise.all(
          sockets.map(async (socket) => ({
            id: socket.id,
            data: socket.data,
            rooms: [...socket.rooms].sort(),
            address: socket.handshake.address,
            answer: await socket.timeout(5000).emitWithAck("ask", value),
          })),
        );
      },
      bytes,
    );
    const { address, ...rest } = found;
    assert.match(address, /127\.0\.0\.1$/);
    assert.deepEqual(rest, { id: ids[2], data: { user: "ann" }, rooms: [ids[2], "r"].sort(), answer: bytes });
  });

  declare("moves sockets of other workers into and out of rooms, and disconnects them", "MIX-5", async (t, cluster, clients) => {
    const isMember = () => cluster.call(1, ({ io }, id) => io.sockets.sockets.get(id).rooms.has("r"), clients[1].id);
    await cluster.call(0, ({ io }, id) => io.in(id).socketsJoin("r"), clients[1].id);
    await waitUntil(isMember, "the socket to be in the room");
    const heard = once(clients[1], "x");
    await cluster.call(2, ({ io }) => void io.to("r").emit("x", 1));
    assert.deepEqual(await heard, [1]);
    await cluster.call(0, ({ io }) => io.socketsLeave("r"));
    await waitUntil(async () => !(await isMember()), "the socket to be out of the room");
    const gone = once(clients[2], "disconnect");
    await cluster.call(0, ({ io }, id) => io.in(id).disconnectSockets(true), clients[2].id);
    assert.equal((await gone)[0], "io server disconnect");
    assert.deepEqual([clients[0].connected, clients[1].connected], [true, true]);
  });

  declare("talks from worker to worker, with and without answers", "MIX-6", async (t, cluster) => {
    const listen = ({ io, kept }, index) => {
      kept.heard = [];
      io.on("hello", (value) => kept.heard.push(value));
      io.on("ask", (value, answer) => answer([index, value]));
    };
    for (const index of everyone) await cluster.call(index, listen, index);
    await cluster.call(0, ({ io }, value) => void io.serverSideEmit("hello", value), bytes);
    for (const index of everyone) {
      const answers = await cluster.call(index, ({ io }) => io.serverSideEmitWithAck("ask", "v"));
      assert.deepEqual(
        answers.sort(),
        everyone.filter((other) => other !== index).map((other) => [other, "v"]),
      );
    }
    const heard = await Promise.all(everyone.map((index) => cluster.call(index, ({ kept }) => kept.heard)));
    assert.deepEqual(heard, [[], [bytes], [bytes]]);
  });

  declare("reaches custom namespaces, and does no harm to workers without them", "MIX-10", async (t, cluster, clients) => {
    for (const index of everyone) await cluster.call(index, ({ io }) => void io.of(/^\/child-\d$/));
    // Load goes in turns, so the third worker gets no member, and makes no such namespace.
    const members = [];
    for (let count = 0; count < 2; count++) members.push(await connect(t, cluster.url, "/child-1", { transports: ["polling"] }));
    assert.deepEqual(
      members.map((member) => workerOf(cluster, member)),
      [0, 1],
    );
    const countNodes = ({ io }) => io.of("/child-1").adapter.serverCount();
    await waitUntil(async () => (await cluster.call(0, countNodes)) === 2, "the two workers to know each other");
    const heard = once(members[1], "m");
    await cluster.call(0, ({ io }, raw) => void io.of("/child-1").emit("m", raw), bytes);
    assert.deepEqual(await heard, [bytes]);
    for (const index of everyone) await fence(cluster, index, clients);
  });
}

test(
  "two workers, fifty clients that poll: all connect, and a broadcast of one worker reaches all, bytes intact [EX-179]",
  { timeout },
  async (t) => {
    const cluster = await startWorkers(t, { kinds: ["roomcast", "roomcast"] });
    const clients = await Promise.all(Array.from({ length: 50 }, () => connect(t, cluster.url, "/", { transports: ["polling"] })));
    const counts = [0, 1].map((index) => clients.filter((client) => workerOf(cluster, client) === index).length);
    assert.deepEqual(counts, [25, 25]);
    const heard = Promise.all(clients.map((client) => once(client, "news")));
    await cluster.call(1, ({ io }, raw) => void io.emit("news", 7, raw), bytes);
    assert.deepEqual(
      await heard,
      clients.map(() => [7, bytes]),
    );
  },
);

for (const base of ["own", "ours"]) {
  test(`misses the answer of a worker that was killed until its heartbeats are missed, ${base} base [MIX-7]`, { timeout }, async (t) => {
    const adapterOptions = { heartbeatInterval: 500, heartbeatTimeout: 7000 }; // an answer is awaited for 5 s
    const cluster = await startWorkers(t, { kinds: ALL_OURS, bases: [base, base, base], adapterOptions });
    for (const index of everyone) await cluster.call(index, ({ io }, index) => void io.on("ask", (answer) => answer(index)), index);
    const askAll = () =>
      cluster.call(0, ({ io }) => io.serverSideEmitWithAck("ask").catch(({ message, responses }) => ({ message, responses })));
    assert.deepEqual((await askAll()).sort(), [1, 2]);
    const over = once(cluster.news, "exit");
    process.kill(await cluster.call(2, ({ require }) => require("node:process").pid), "SIGKILL");
    await over;
    assert.deepEqual(await askAll(), { message: "timeout reached: missing 1 responses", responses: [1] });
    assert.deepEqual(await askAll(), [1]);
  });
}
