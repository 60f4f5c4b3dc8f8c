/** What every adapter must do between nodes, whatever carries its messages. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, once } from "../support/client.js";
import { ALL_OURS, discovered, eventually, fence, inboxes, startNodes } from "./cluster.js";

const bytes = Buffer.from([1, 2, 250]);

/**
 * Declares the tests of one backend.
 * @param backend  as `startBackends` gives it
 * @param kinds    the kinds of the three nodes
 * @param bases    the base classes of their adapters
 */
export function declareContract(backend, { kinds = ALL_OURS, bases }) {
  const nodes = kinds.map((kind, index) => (kind === "roomcast" ? `${kind} (${bases[index]} base)` : kind)).join(", ");
  const where = `over ${backend.name}, ${nodes}`;
  const start = (t, more) => startNodes(t, backend, { kinds, bases, ...more });
  const declare = (title, ids, run) => test(`${title} ${where} [${ids}]`, { timeout: 60_000 }, run);

  declare("broadcasts to every client once, text and binary, from every node", "MIX-1, EX-177, MEM-1", async (t) => {
    const { servers, clients } = await start(t);
    const got = inboxes(clients, "news");
    for (const [index, io] of servers.entries()) io.emit("news", index, { raw: bytes });
    // Binary may take another way than text, and longer; a pool of connections keeps no order.
    await eventually(() => got.every((list) => list.length >= servers.length), "all broadcasts to arrive");
    for (const io of servers) await fence(io, clients);
    for (const list of got)
      assert.deepEqual(
        list.map(([index]) => index).sort(),
        servers.map((_, index) => index),
      );
    for (const list of got) for (const [, { raw }] of list) assert.deepEqual(Buffer.from(raw), bytes);
  });

  declare("chooses by rooms, exceptions and locality", "MIX-2", async (t) => {
    const { servers, sockets, clients } = await start(t);
    sockets[1].join(["a", "b"]);
    sockets[2].join("b");
    const got = inboxes(clients, "x");
    const io = servers[0];
    // Which rooms a node holds may have to travel first (a subscription per room).
    await eventually(async () => (await io.in("b").fetchSockets()).length === 2, "the rooms to be known");
    await fence(io, clients);
    io.to("a").emit("x", 1);
    io.to("a").to("b").emit("x", 2);
    io.except("a").emit("x", 3);
    io.local.emit("x", 4);
    sockets[1].to("b").emit("x", 5);
    io.to("b").compress(false).emit("x", 6);
    io.to("nobody").emit("x", 7);
    sockets[2].broadcast.to("a").emit("x", 8);
    servers[1].except(sockets[1].id).local.emit("x", 9);
    // A pool of connections keeps no order, so that a fence alone may overtake.
    await eventually(() => got.flat().length >= 10, "all broadcasts to arrive");
    for (const server of servers) await fence(server, clients);
    const [first, second, third] = got.map((list) => list.map(([value]) => value).sort());
    assert.deepEqual(
      [first, second, third],
      [
        [3, 4],
        [1, 2, 6, 8],
        [2, 3, 5, 6],
      ],
    );
  });

  declare("brings volatile events to idle clients, and dates as JSON has them, beside bytes or not", "MIX-2, ENC-3, ENC-4", async (t) => {
    const { servers, clients } = await start(t, { client: { transports: ["websocket"] } });
    for (const io of servers) {
      await fence(io, clients);
      const heard = Promise.all(clients.map((client) => once(client, "x")));
      io.volatile.emit("x", new Date(0), { at: new Date(1) });
      for (const got of await heard) assert.deepEqual(got, ["1970-01-01T00:00:00.000Z", { at: "1970-01-01T00:00:00.001Z" }]);
      const beside = Promise.all(clients.map((client) => once(client, "y")));
      io.compress(false).emit("y", new Date(0), bytes);
      for (const [date, raw] of await beside) assert.deepEqual([date, Buffer.from(raw)], ["1970-01-01T00:00:00.000Z", bytes]);
    }
  });

  declare("collects acknowledgements of all nodes, and what came when one client is silent", "MIX-3", async (t) => {
    const { servers, clients } = await start(t);
    for (const [index, client] of clients.entries()) client.on("ask", (value, answer) => answer([index, value]));
    for (const io of servers) {
      const answers = await io.timeout(5000).emitWithAck("ask", bytes);
      assert.deepEqual(
        answers.map(([index]) => index).sort(),
        clients.map((_, index) => index),
      );
    }
    clients[1].off("ask");
    await assert.rejects(servers[0].timeout(500).emitWithAck("ask", 1), ({ message, responses }) => {
      assert.equal(message, "operation has timed out");
      assert.deepEqual(responses.map(([index]) => index).sort(), [0, 2]);
      return true;
    });
  });

  declare("fetches the sockets of all nodes", "MIX-4", async (t) => {
    const { servers, sockets, clients } = await start(t);
    sockets[2].data.user = "ann";
    sockets[2].join("r");
    const found = await servers[0].fetchSockets();
    assert.deepEqual(found.map(({ id }) => id).sort(), sockets.map(({ id }) => id).sort());
    assert.equal(
      found.find(({ id }) => id === sockets[0].id),
      sockets[0],
    );
    assert.deepEqual(
      found.map(({ handshake }) => handshake.auth.node).sort(),
      clients.map((_, index) => index),
    );
    const [remote] = await servers[0].in("r").fetchSockets();
    assert.equal(remote.id, sockets[2].id);
    assert.deepEqual([remote.data, [...remote.rooms].sort()], [{ user: "ann" }, [sockets[2].id, "r"].sort()]);
    const heard = once(clients[2], "hi");
    remote.emit("hi", bytes);
    assert.deepEqual(Buffer.from((await heard)[0]), bytes);
    clients[2].on("ask", (answer) => answer("v"));
    assert.equal(await remote.timeout(5000).emitWithAck("ask"), "v");
  });

  declare("moves sockets of other nodes into and out of rooms, and disconnects them", "MIX-5", async (t) => {
    const { servers, sockets, clients } = await start(t);
    const [io] = servers;
    io.in(sockets[1].id).socketsJoin(["r", "s"]);
    await eventually(() => sockets[1].rooms.has("r") && sockets[1].rooms.has("s"), "the socket to be in the rooms");
    await eventually(async () => (await io.in("r").fetchSockets()).length === 1, "the room to be known");
    await fence(io, clients);
    const heard = once(clients[1], "x");
    io.to("r").emit("x", 1);
    assert.deepEqual(await heard, [1]);
    io.socketsLeave("r");
    await eventually(() => !sockets[1].rooms.has("r"), "the socket to be out of the room");
    const gone = once(clients[2], "disconnect");
    io.in(sockets[2].id).disconnectSockets(true);
    assert.equal((await gone)[0], "io server disconnect");
    assert.deepEqual([clients[0].connected, clients[1].connected], [true, true]);
  });

  declare("talks from server to server, with and without answers", "MIX-6, EX-171", async (t) => {
    const { servers } = await start(t);
    const heard = [];
    for (const [index, io] of servers.entries()) {
      io.on("hello", (value) => heard.push([index, value]));
      io.on("ask", (value, answer) => answer([index, value]));
    }
    servers[0].serverSideEmit("hello", 1);
    await eventually(() => heard.length === 2, "the other servers to hear it");
    assert.deepEqual(heard.sort(), [
      [1, 1],
      [2, 1],
    ]);
    for (const [index, io] of servers.entries()) {
      const answers = await io.serverSideEmitWithAck("ask", "v");
      assert.deepEqual(
        answers.sort(),
        servers.flatMap((_, other) => (other === index ? [] : [[other, "v"]])),
      );
    }
  });

  declare("reaches custom namespaces, and does no harm to nodes without them", "MIX-10", async (t) => {
    const { servers, nodes, clients } = await start(t);
    const [one, two] = [servers[0].of("/chat"), servers[1].of("/chat")];
    await Promise.all([one, two].map((namespace) => discovered(namespace.adapter, 2)));
    const member = await connect(t, nodes[1].url, "/chat");
    const heard = once(member, "m");
    one.emit("m", bytes);
    assert.deepEqual(Buffer.from((await heard)[0]), bytes);
    await fence(servers[2], clients);
    servers[2].of(/^\/child-\d$/);
    await connect(t, nodes[2].url, "/child-1");
    servers[2].of("/child-1").emit("m", bytes);
    for (const server of servers) await fence(server, clients);
  });
}
