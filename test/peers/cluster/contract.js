/**
 * What every adapter must do between nodes, whatever carries its messages. Needs Node.js and `socket.io-client`, nothing else of this repository:
 * a writer of an adapter declares the same tests.
 *
 * @example
 * import { test } from "node:test";
 * import { io } from "socket.io-client";
 * import { Server } from "roomcast";
 * declareContract({ name: "my-adapter", test, client: io, startNodes: inOneProcess({ Server, makeAdapter: async () => createAdapter(…) }) });
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { startRelay } from "./relay.js";

const bytes = Buffer.from([1, 2, 250]);
const PATIENCE_MS = Number(process.env.TEST_PATIENCE_MS ?? 5000);
const ALL = [0, 1, 2];

/**
 * Nodes in this process, for `declareContract`.
 * @param Server       of `roomcast` or `socket.io`
 * @param makeAdapter  gives what `io.adapter()` takes; called once per node. It gets a function that takes what to close after the server
 */
export function inOneProcess({ Server, makeAdapter }) {
  return async function startNodes(t, options) {
    const nodes = [];
    for (const _ of ALL) {
      const closers = [];
      const httpServer = createServer().listen(0, "127.0.0.1");
      const io = new Server(httpServer, { adapter: await makeAdapter((close) => closers.push(close)), ...options });
      const kept = {};
      t.after(async () => {
        await io.close();
        for (const close of closers) await close();
      });
      if (!httpServer.listening) await once(httpServer, "listening");
      const run = async (program, ...args) => program({ io, kept }, ...args);
      nodes.push({ url: `http://127.0.0.1:${httpServer.address().port}`, run });
    }
    return nodes;
  };
}

/**
 * Declares the tests of one adapter.
 * @param name        of the adapter and its nodes, for the titles
 * @param test        of `node:test`
 * @param client      `io` of `socket.io-client`
 * @param startNodes  `(t, options)` starts three nodes that share a backend and nothing else, with options of the server, and gives for each
 *                    `{ url, run(program, ...args) }`. `run` calls `program({ io, kept }, ...args)` where the node is, which may be another process
 *                    (programs use nothing but their arguments), and gives what it returns; `kept` is an object that outlives the call
 * @param lacks       what this adapter doesn't do, by the key of a test, with the reason: such tests are skipped
 */
export function declareContract({ name, test, client, startNodes, lacks = {} }) {
  const declare = (key, title, ids, run, options = {}) => {
    const reason = lacks[key];
    const skipped = reason === undefined ? "" : ` (skipped: ${reason})`;
    test(`${title} over ${name} [${ids}]${skipped}`, { timeout: 60_000, skip: reason !== undefined }, async (t) => {
      const nodes = await startNodes(t, options);
      await Promise.all(nodes.map((node) => discovered(node, "/", nodes.length)));
      const clients = [];
      for (const [index, { url }] of nodes.entries()) clients.push(await connect(t, url, "/", { auth: { node: index } }));
      await run({ t, nodes, clients, ids: clients.map(({ id }) => id) });
    });
  };

  async function connect(t, url, namespace = "/", options = {}) {
    const socket = client(url + namespace, { forceNew: true, reconnection: false, transports: ["websocket"], ...options });
    t.after(() => socket.disconnect());
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("connect_error", reject));
    return socket;
  }

  declare(
    "broadcast",
    "broadcasts to every client once, text and binary, from every node",
    "MIX-1, EX-177, MEM-1",
    async ({ nodes, clients }) => {
      const got = inboxes(clients, "news");
      for (const [index, node] of nodes.entries())
        await node.run(({ io }, ...args) => void io.emit("news", ...args), index, { raw: bytes });
      await settle(nodes, clients, got, 9);
      for (const list of got) {
        assert.deepEqual(list.map(([index]) => index).sort(), ALL);
        for (const [, { raw }] of list) assert.deepEqual(Buffer.from(raw), bytes);
      }
    },
  );

  declare("rooms", "chooses by rooms, exceptions and locality", "MIX-2, RED-3, RED-5", async ({ nodes, clients, ids }) => {
    await nodes[1].run(join, ids[1], ["a", "b"]);
    await nodes[2].run(join, ids[2], ["b"]);
    await known(nodes, "b", 2);
    const got = inboxes(clients, "x");
    await nodes[0].run(({ io }) => {
      io.to("a").emit("x", 1);
      io.to("a").to("b").emit("x", 2);
      io.except("a").emit("x", 3);
      io.local.emit("x", 4);
      io.to("b").compress(false).emit("x", 6);
      io.to("nobody").emit("x", 7);
    });
    await nodes[1].run(({ io }, id) => {
      io.sockets.sockets.get(id).to("b").emit("x", 5);
      io.except(id).local.emit("x", 9);
    }, ids[1]);
    await nodes[2].run(
      ({ io }, id, [first]) => {
        io.sockets.sockets.get(id).broadcast.to("a").emit("x", 8);
        io.to(first).emit("x", 10);
      },
      ids[2],
      ids,
    );
    await settle(nodes, clients, got, 11);
    const sorted = got.map((list) => list.map(([value]) => value).sort((a, b) => a - b));
    assert.deepEqual(sorted, [
      [3, 4, 10],
      [1, 2, 6, 8],
      [2, 3, 5, 6],
    ]);
  });

  declare("names", "finds rooms of every kind of name", "MIX-2, SHR-4", async ({ nodes, clients, ids }) => {
    const twenty = "é" + "x".repeat(18); // 19 characters, 20 bytes
    const rooms = [
      "a#b",
      "#",
      "a b",
      "*",
      "a*",
      ">",
      "a.b",
      "[a]?",
      "$SYS",
      "42",
      "é漢😀",
      twenty,
      "y".repeat(20),
      "z".repeat(300),
      '"',
      "'",
      "\\",
      "__proto__",
    ];
    await nodes[1].run(join, ids[1], rooms);
    await known(nodes, rooms.at(-1), 1);
    const got = inboxes(clients, "x");
    for (const room of rooms) await nodes[0].run(({ io }, room) => void io.to(room).emit("x", room), room);
    await settle(nodes, clients, got, rooms.length);
    assert.deepEqual(
      got.map((list) => list.map(([room]) => room).sort()),
      [[], [...rooms].sort(), []],
    );
  });

  declare("order", "keeps the order of what one node broadcasts, to everyone and to rooms", "MIX-1", async ({ nodes, clients, ids }) => {
    for (const [index, node] of nodes.entries()) await node.run(join, ids[index], ["r"]);
    await known(nodes, "r", 3);
    const got = inboxes(clients, "x");
    await nodes[0].run(({ io }) => {
      for (let index = 0; index < 100; index++)
        (index % 3 === 0 ? io.to("r") : io).emit("x", index, index % 10 === 0 ? Buffer.alloc(20_000) : "");
    });
    await settle(nodes, clients, got, 300);
    for (const list of got)
      assert.deepEqual(
        list.map(([index]) => index),
        Array.from({ length: 100 }, (_, index) => index),
      );
  });

  declare(
    "volatile",
    "brings volatile events to idle clients, and dates and `undefined` as JSON has them, beside bytes or not",
    "MIX-2, ENC-2..4",
    async ({ nodes, clients }) => {
      for (const node of nodes) {
        await fence(nodes, clients);
        const heard = Promise.all(clients.map((each) => next(each, "x")));
        await node.run(({ io }) => void io.volatile.emit("x", new Date(0), { at: new Date(1), no: undefined }, undefined, null));
        for (const got of await heard) assert.deepEqual(got, ["1970-01-01T00:00:00.000Z", { at: "1970-01-01T00:00:00.001Z" }, null, null]);
        const beside = Promise.all(clients.map((each) => next(each, "y")));
        await node.run(({ io }, raw) => void io.compress(false).emit("y", new Date(0), raw, undefined), bytes);
        for (const [date, raw, no] of await beside)
          assert.deepEqual([date, Buffer.from(raw), no], ["1970-01-01T00:00:00.000Z", bytes, null]);
      }
    },
  );

  declare(
    "acks",
    "collects acknowledgements of all nodes, what came when some are silent, and none",
    "MIX-3, RED-15",
    async ({ nodes, clients, ids }) => {
      for (const [index, each] of clients.entries()) each.on("ask", (value, answer) => answer([index, value]));
      const ask = ({ io }, rooms, ms, value) =>
        io
          .to(rooms)
          .timeout(ms)
          .emitWithAck("ask", value)
          .catch(({ message, responses }) => ({ message, responses }));
      for (const node of nodes) {
        const answers = await node.run(ask, [], PATIENCE_MS, bytes);
        assert.deepEqual(
          answers.map(([index, raw]) => [index, Buffer.from(raw)]).sort(),
          ALL.map((index) => [index, bytes]),
        );
      }
      assert.deepEqual(await nodes[0].run(ask, ["nobody"], PATIENCE_MS, 1), []);
      assert.deepEqual(await nodes[0].run(ask, [ids[2]], PATIENCE_MS, 1), [[2, 1]]);
      clients[1].off("ask");
      const some = await nodes[0].run(ask, [], 500, 1);
      assert.deepEqual(
        [some.message, some.responses.sort()],
        [
          "operation has timed out",
          [
            [0, 1],
            [2, 1],
          ],
        ],
      );
      for (const each of clients) each.off("ask");
      assert.deepEqual(await nodes[2].run(ask, [], 500, 1), { message: "operation has timed out", responses: [] });
    },
  );

  declare(
    "fetch",
    "fetches the sockets of all nodes, and talks to one of them",
    "MIX-4, RED-13, RED-16",
    async ({ nodes, clients, ids }) => {
      await nodes[2].run(({ io }, id) => {
        const socket = io.sockets.sockets.get(id);
        socket.data = { user: "ann", deep: [{ n: 1 }] };
        return void socket.join("r");
      }, ids[2]);
      await known(nodes, "r", 1);
      const found = await nodes[0].run(async ({ io }) =>
        (await io.fetchSockets()).map((socket) => [socket.id, socket.handshake.auth.node, socket === io.sockets.sockets.get(socket.id)]),
      );
      assert.deepEqual(
        found.sort(([, a], [, b]) => a - b),
        ids.map((id, index) => [id, index, index === 0]),
      );
      const [remote, count, local] = await nodes[0].run(async ({ io }) => {
        const { id, data, rooms } = (await io.in("r").fetchSockets())[0];
        return [
          { id, data, rooms: [...rooms].sort() },
          (await io.except("r").fetchSockets()).length,
          (await io.local.fetchSockets()).length,
        ];
      });
      assert.deepEqual(remote, { id: ids[2], data: { user: "ann", deep: [{ n: 1 }] }, rooms: [ids[2], "r"].sort() });
      assert.deepEqual([count, local], [2, 1]);
      clients[2].on("ask", (raw, answer) => answer(raw));
      const heard = next(clients[2], "hi");
      const answer = await nodes[0].run(
        async ({ io }, raw, ms) => {
          const [socket] = await io.in("r").fetchSockets();
          socket.emit("hi", raw);
          return socket.timeout(ms).emitWithAck("ask", raw);
        },
        bytes,
        PATIENCE_MS,
      );
      assert.deepEqual([Buffer.from(answer), Buffer.from((await heard)[0])], [bytes, bytes]);
    },
  );

  declare(
    "moves",
    "moves sockets of other nodes into and out of rooms, and disconnects them",
    "MIX-5, RED-11",
    async ({ nodes, clients, ids }) => {
      const rooms = (index) => nodes[index].run(({ io }, id) => [...(io.sockets.sockets.get(id)?.rooms ?? [])], ids[index]);
      await nodes[0].run(({ io }, id) => void io.in(id).socketsJoin(["r", "s"]), ids[1]);
      await waitUntil(async () => (await rooms(1)).length === 3, "the socket to be in the rooms");
      await known(nodes, "r", 1);
      const heard = next(clients[1], "x");
      await nodes[2].run(({ io }) => void io.to("r").emit("x", 1));
      assert.deepEqual(await heard, [1]);
      await nodes[0].run(async ({ io }) => (await io.in("s").fetchSockets())[0].join("t"));
      await waitUntil(async () => (await rooms(1)).includes("t"), "the socket to be in the room");
      await nodes[0].run(({ io }) => void io.socketsLeave(["r", "t"]));
      await waitUntil(async () => (await rooms(1)).length === 2, "the socket to be out of the rooms");
      await nodes[0].run(({ io }) => void io.local.socketsJoin("mine"));
      await waitUntil(async () => (await rooms(0)).includes("mine"), "the local socket to be in the room");
      await fence(nodes, clients);
      assert.deepEqual([(await rooms(1)).includes("mine"), (await rooms(2)).includes("mine")], [false, false]);
      const gone = next(clients[2], "disconnect");
      await nodes[0].run(({ io }, id) => void io.in(id).disconnectSockets(true), ids[2]);
      assert.equal((await gone)[0], "io server disconnect");
      assert.deepEqual([clients[0].connected, clients[1].connected], [true, true]);
      const left = next(clients[1], "disconnect");
      await nodes[0].run(async ({ io }) => void (await io.in("s").fetchSockets())[0].disconnect());
      assert.equal((await left)[0], "io server disconnect");
    },
  );

  declare("serverSideEmit", "talks from server to server, with and without answers", "MIX-6, EX-171", async ({ nodes }) => {
    const listen = ({ io, kept }, index) => {
      kept.heard = [];
      io.on("hello", (...args) => kept.heard.push(args));
      io.on("ask", (value, answer) => answer([index, value]));
    };
    const heard = () => Promise.all(nodes.map((node) => node.run(({ kept }) => kept.heard)));
    for (const [index, node] of nodes.entries()) await node.run(listen, index);
    await nodes[0].run(({ io }) => void io.serverSideEmit("hello", 1, { deep: ["x"] }));
    await waitUntil(async () => (await heard()).flat().length >= 2, "the other servers to hear it");
    for (const [index, node] of nodes.entries()) {
      const answers = await node.run(({ io }) => io.serverSideEmitWithAck("ask", "v"));
      assert.deepEqual(
        answers.sort(),
        ALL.filter((other) => other !== index).map((other) => [other, "v"]),
      );
    }
    assert.deepEqual(await heard(), [[], [[1, { deep: ["x"] }]], [[1, { deep: ["x"] }]]]);
  });

  declare("large", "carries a megabyte, as text, as bytes, and in an answer", "PG-4", async ({ nodes, clients }) => {
    const text = "é".repeat(500_000);
    const raw = Buffer.alloc(1_000_000, 7);
    const got = inboxes(clients, "x");
    await nodes[0].run(({ io }, ...args) => void args.forEach((arg) => io.emit("x", arg)), text, raw);
    await settle(nodes, clients, got, 6);
    for (const list of got) {
      assert.equal(list.length, 2);
      assert.ok(list.some(([arg]) => arg === text));
      assert.ok(list.some(([arg]) => Buffer.isBuffer(arg) && arg.equals(raw)));
    }
    const long = "x".repeat(900_000); // a client may send a megabyte with all around it
    clients[2].on("ask", (answer) => answer(long));
    const [answer] = await nodes[0].run(({ io }, id, ms) => io.to(id).timeout(ms).emitWithAck("ask"), clients[2].id, PATIENCE_MS);
    assert.ok(answer === long);
  });

  declare("sizes", "carries events of every size around 8,000 bytes", "PG-4, PG-6", async ({ nodes, clients }) => {
    // Whatever an adapter adds (hundreds of bytes at most), some of these messages have 7,999, 8,000 and 8,001 bytes.
    const sizes = Array.from({ length: 405 }, (_, index) => 7600 + index);
    const got = inboxes(clients, "x");
    await nodes[0].run(({ io }, sizes) => {
      for (const size of sizes) io.emit("x", "x".repeat(size));
    }, sizes);
    await settle(nodes, clients, got, sizes.length * 3);
    for (const list of got) assert.deepEqual(list.map(([text]) => text.length).sort(), sizes);
  });

  declare(
    "namespaces",
    "reaches custom namespaces, and does no harm to nodes without them",
    "MIX-10, RED-2, RED-4",
    async ({ t, nodes, clients }) => {
      for (const node of nodes.slice(0, 2)) await node.run(({ io }) => void io.of("/chat"));
      for (const node of nodes.slice(0, 2)) await discovered(node, "/chat", 2);
      const member = await connect(t, nodes[1].url, "/chat");
      const heard = next(member, "m");
      await nodes[0].run(({ io }, raw) => void io.of("/chat").emit("m", raw), bytes);
      assert.deepEqual(Buffer.from((await heard)[0]), bytes);
      assert.equal(await nodes[0].run(async ({ io }) => (await io.of("/chat").fetchSockets()).length), 1);
      await nodes[2].run(({ io }) => void io.of("/alone").emit("m", 1));
      assert.deepEqual(await nodes[2].run(({ io }) => io.of("/alone").fetchSockets()), []);
      await fence(nodes, clients);
    },
  );

  declare("dynamic", "reaches the children of dynamic namespaces that other nodes have", "MIX-10", async ({ t, nodes, clients }) => {
    for (const node of nodes) await node.run(({ io, kept }) => void (kept.parent = io.of(/^\/child-\d$/)));
    const members = [await connect(t, nodes[0].url, "/child-1"), await connect(t, nodes[1].url, "/child-1")];
    const other = await connect(t, nodes[2].url, "/child-2");
    for (const node of nodes.slice(0, 2)) await discovered(node, "/child-1", 2);
    const got = inboxes([...members, other], "m");
    await nodes[0].run(({ io }, raw) => void io.of("/child-1").emit("m", raw), bytes);
    await nodes[1].run(({ kept }) => void kept.parent.emit("m", 2));
    await waitUntil(() => got.flat().length >= 4, "the broadcasts to arrive");
    await fence(nodes, clients);
    assert.deepEqual(
      got.map((list) => list.length),
      [2, 2, 0],
    );
  });

  declare("goodbye", "no longer counts or asks a node that was closed", "CLU-13", async ({ nodes, ids }) => {
    await nodes[2].run(({ io }) => io.close());
    await discovered(nodes[0], "/", 2);
    await discovered(nodes[1], "/", 2);
    const found = await nodes[0].run(async ({ io }) => (await io.fetchSockets()).map(({ id }) => id));
    assert.deepEqual(found.sort(), ids.slice(0, 2).sort());
  });

  declare(
    "recovery",
    "recovers a client on another node, with its rooms, its data and what it missed",
    "MIX-9, CSR-1",
    async ({ t, nodes, clients }) => {
      const relay = await startRelay(nodes[0].url, (end) => t.after(end));
      const member = await connect(t, relay.url);
      const { id } = member;
      const [got] = inboxes([member], "x");
      await nodes[0].run(({ io }, id) => {
        const socket = io.sockets.sockets.get(id);
        socket.data.user = "ann";
        return void socket.join("r");
      }, id);
      await nodes[1].run(({ io }) => void io.emit("x", "seen"));
      await waitUntil(() => got.length === 1, "the first event");
      const gone = next(member, "disconnect");
      await nodes[0].run(
        ({ io, kept }, id) => void (kept.gone = new Promise((resolve) => io.sockets.sockets.get(id).once("disconnect", resolve))),
        id,
      );
      relay.cut();
      await gone;
      await nodes[0].run(({ kept }) => kept.gone);
      await nodes[1].run(({ io }, raw) => void io.to("r").emit("x", "room", raw), bytes);
      await nodes[0].run(({ io }) => void io.to("elsewhere").emit("x", "not for it"));
      await nodes[2].run(({ io }) => void io.emit("x", "all"));
      await fence(nodes, clients);
      relay.target = nodes[1].url;
      const back = next(member, "connect");
      member.connect();
      await back;
      assert.deepEqual([member.recovered, member.id], [true, id]);
      const state = await nodes[1].run(({ io }, id) => {
        const { recovered, rooms, data } = io.sockets.sockets.get(id);
        return { recovered, rooms: [...rooms].sort(), data };
      }, id);
      assert.deepEqual(state, { recovered: true, rooms: [id, "r"].sort(), data: { user: "ann" } });
      await nodes[0].run(({ io }) => void io.emit("x", "behind"));
      await waitUntil(() => got.some(([value]) => value === "behind"), "an event behind the recovery");
      const [first, ...rest] = got.map(([value]) => value);
      // What two nodes broadcast has no order of its own.
      assert.deepEqual([first, ...rest.slice(0, -1).sort(), rest.at(-1)], ["seen", "all", "room", "behind"]);
      assert.deepEqual(Buffer.from(got.find(([value]) => value === "room")[1]), bytes);
    },
    { connectionStateRecovery: {} },
  );
}

/** Joins rooms, at the node of the socket. */
const join = ({ io }, id, rooms) => io.sockets.sockets.get(id).join(rooms);

/** Waits until all nodes fetch that many sockets of a room: which rooms a node has may have to travel first. */
async function known(nodes, room, count) {
  for (const node of nodes) {
    const isKnown = async () => (await node.run(async ({ io }, room) => (await io.in(room).fetchSockets()).length, room)) === count;
    await waitUntil(isKnown, `the room ${room} to be known`);
  }
}

/** Waits until a node counts all nodes that have the namespace. */
function discovered(node, namespace, count) {
  const isCounted = async () => (await node.run(({ io }, namespace) => io.of(namespace).adapter.serverCount(), namespace)) === count;
  return waitUntil(isCounted, `all ${count} nodes to know each other in ${namespace}`, 20_000);
}

/** Asks until the answer is true; for what no event tells, such as what another process has done. */
async function waitUntil(isSo, what, ms = PATIENCE_MS) {
  const deadline = Date.now() + ms;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`waited ${ms} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The arguments of the next `event`. */
async function next(emitter, event) {
  let timer;
  const late = new Promise(
    (_, reject) => (timer = setTimeout(() => reject(new Error(`waited ${PATIENCE_MS} ms for "${event}"`)), PATIENCE_MS)),
  );
  const args = await Promise.race([new Promise((resolve) => emitter.once(event, (...args) => resolve(args))), late]);
  clearTimeout(timer);
  return args;
}

/** Everything that clients get under `event`, by client. */
function inboxes(clients, event) {
  return clients.map((client) => {
    const got = [];
    client.on(event, (...args) => got.push(args));
    return got;
  });
}

/** A broadcast of each node behind all others has reached every client. */
async function fence(nodes, clients) {
  for (const node of nodes) {
    const name = `fence ${Math.random()}`;
    const all = Promise.all(clients.map((client) => next(client, name)));
    await node.run(({ io }, name) => void io.emit(name), name);
    await all;
  }
}

/** Waits for `count` events in all inboxes; then nothing more is under way. A backend with several connections keeps no order, so a fence alone may overtake. */
async function settle(nodes, clients, got, count) {
  try {
    await waitUntil(() => got.reduce((sum, list) => sum + list.length, 0) >= count, "all broadcasts");
  } catch {
    // the assertion behind shows what is missing
  }
  await fence(nodes, clients);
}
