/** The channels of `node:diagnostics_channel`: what is published, in which order, and that all of them are documented. */
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { AsyncLocalStorage } from "node:async_hooks";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { linkedNodes } from "../../support/bus-link.js";
import { client, connect, once } from "../../support/client.js";
import { catchProcess, eventually, joinServer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { http, WireSocket } from "../../support/wire-client.js";

const OURS = oursOnly("it has no channels");
const root = new URL("../../../", import.meta.url);
const sources = readdirSync(new URL("src/", root), { recursive: true }).filter((file) => file.endsWith(".ts"));
const names = new Set(
  sources.flatMap((file) =>
    [...readFileSync(new URL(`src/${file}`, root), "utf8").matchAll(/(?:channel(?:<[^>]*>)?|\bof)\("(roomcast:[a-z:]+)"\)/g)].map(
      ([, name]) => name,
    ),
  ),
);

/** Records what is published until the test ends, as `[name without the prefix, message]`. */
function recordAll(t, wanted = names, onMessage = () => {}) {
  const seen = [];
  for (const name of wanted) {
    const listener = (message) => {
      seen.push([name.slice("roomcast:".length), message]);
      onMessage(name.slice("roomcast:".length), message);
    };
    subscribe(name, listener);
    t.after(() => unsubscribe(name, listener));
  }
  return {
    seen,
    named: (name) => seen.filter(([one]) => one === name).map(([, message]) => message),
    until: (name, count = 1) => eventually(() => seen.filter(([one]) => one === name).length >= count, `${count} of ${name}`),
  };
}

test("publishes the life of a session and its sockets, in order [ROB-935]", OURS, async (t) => {
  const { io, port } = await startServer(t);
  io.of("/refusing").use((_socket, next) => next(new Error("not here")));
  io.use((_socket, next) => setImmediate(next));
  const all = recordAll(t);
  const one = await connect(t, port);
  await all.until("session:upgrade");
  const [socket] = [...io.sockets.sockets.values()];
  const { conn } = socket;
  for (const name of ["refusing", "unknown"]) await once(one.io.socket(`/${name}`, {}), "connect_error");
  const reasons = once(socket, "disconnect");
  one.io.engine.close();
  await reasons;
  await all.until("session:close");
  const life = all.seen.filter(([name]) => !/^(packet|middleware):/.test(name));
  assert.deepEqual(
    life.map(([name]) => name),
    [
      "handshake:start",
      "session:open",
      "socket:connect",
      "session:upgrade",
      "socket:refuse",
      "socket:refuse",
      "session:close",
      "socket:disconnect",
    ],
  );
  assert.equal(all.named("handshake:start")[0].request, all.named("session:open")[0].request);
  assert.equal(all.named("session:open")[0].session, conn);
  assert.deepEqual(all.named("session:upgrade"), [{ session: conn, from: "polling", to: "websocket" }]);
  assert.equal(all.named("socket:connect")[0].socket, socket);
  assert.deepEqual(
    all.named("socket:refuse").map(({ client: refused, namespace, message }) => [refused === socket.client, namespace, message]),
    [
      [true, "/refusing", "not here"],
      [true, "/unknown", "Invalid namespace"],
    ],
  );
  assert.equal(all.named("session:close")[0].reason, "transport close");
  const [left] = all.named("socket:disconnect");
  assert.deepEqual([left.socket, left.reason], [socket, "transport close"]);
  assert.deepEqual(
    all.named("middleware:end").map(({ socket: { nsp }, error }) => [nsp.name, error?.message]),
    [
      ["/", undefined],
      ["/refusing", "not here"],
    ],
  );
  assert.deepEqual(all.named("middleware:start"), all.named("middleware:end"));
});

test("publishes packets, events and acknowledgements in both directions, also those that fail [ROB-935]", OURS, async (t) => {
  const { io, port } = await startServer(t);
  const all = recordAll(t);
  const joined = once(io, "connection");
  const one = await connect(t, port, "/", { transports: ["websocket"] });
  const [socket] = await joined;
  socket.on("ask", (value, answer) => answer(value * 2));
  assert.equal(await one.emitWithAck("ask", 21), 42);
  assert.deepEqual(
    all.named("packet:receive").map(({ packet: { type, data } }) => [type, data]),
    [[2, ["ask", 21]]],
  );
  assert.deepEqual(
    all.named("packet:send").map(({ packet: { type } }) => type),
    [0, 3],
  );
  const [start] = all.named("event:start");
  assert.deepEqual([start.socket, start.event, start.args.length, start.error], [socket, "ask", 2, undefined]);
  assert.equal(all.named("event:end")[0], start);

  one.on("question", (answer) => answer("yes", "indeed"));
  assert.equal(await socket.emitWithAck("question"), "yes");
  assert.equal(await socket.timeout(5000).emitWithAck("question"), "yes");
  assert.deepEqual(await io.timeout(5000).emitWithAck("question"), ["yes"]);
  await assert.rejects(socket.timeout(1).emitWithAck("nobody listens"));
  const ends = all.named("ack:end");
  assert.deepEqual(ends, all.named("ack:start"));
  assert.deepEqual(
    ends.map(({ socket: asked, namespace, event, values, error }) => [asked === socket, namespace.name, event, values, error?.code]),
    [
      [true, "/", "question", ["yes", "indeed"], undefined],
      [true, "/", "question", ["yes", "indeed"], undefined],
      [false, "/", "question", ["yes"], undefined],
      [true, "/", "nobody listens", undefined, "RC_ERR_TIMEOUT"],
    ],
  );
});

test("publishes an error that a listener throws, with and without captureRejections [ROB-935]", OURS, async (t) => {
  const failure = new Error("a listener failed");
  const all = recordAll(t);
  const uncaught = catchProcess(t, "uncaughtException");
  for (const captureRejections of [false, true]) {
    const { io, port } = await startServer(t, { captureRejections });
    if (captureRejections) io.on("listener_error", () => {});
    const joined = once(io, "connection");
    const one = await connect(t, port);
    const [socket] = await joined;
    socket.on("fail", () => {
      throw failure;
    });
    one.emit("fail", 1);
    await all.until("error", captureRejections ? 2 : 1);
    const { error, event, socket: where } = all.named("error").at(-1);
    assert.deepEqual([error, event, where], [failure, "fail", socket]);
  }
  assert.equal(await uncaught.next(), failure);
  assert.equal(all.named("event:end")[0].error, failure);
});

test(
  "publishes an error once, and with the end of its event, when captureRejections is on: whether or not the program listens to it [ROB-935]",
  OURS,
  async (t) => {
    const failure = new Error("a listener failed");
    const all = recordAll(t);
    const uncaught = catchProcess(t, "uncaughtException");
    for (const isHeard of [false, true]) {
      const { io, port } = await startServer(t, { captureRejections: true });
      const heard = [];
      if (isHeard) io.on("listener_error", (error) => heard.push(error));
      const joined = once(io, "connection");
      const one = await connect(t, port, "/", { transports: ["websocket"] });
      const [socket] = await joined;
      socket.on("fail", () => {
        throw failure;
      });
      socket.on("ask", (answer) => answer(1));
      const [errors, ends] = [all.named("error").length, all.named("event:end").length];
      one.emit("fail");
      if (!isHeard) assert.equal(await uncaught.next(), failure);
      await one.emitWithAck("ask"); // the event before it is done
      const published = all.named("error").slice(errors);
      assert.deepEqual(
        published.map(({ error, event, socket: where }) => [error === failure, event, where === socket]),
        [[true, "fail", true]],
      );
      assert.deepEqual(
        all
          .named("event:end")
          .slice(ends)
          .map(({ event, error }) => [event, error]),
        [
          ["fail", failure],
          ["ask", undefined],
        ],
      );
      assert.deepEqual(heard, isHeard ? [failure] : []);
    }
  },
);

test("publishes what a socket of fetchSockets() answers as an array, as everywhere [ROB-935]", OURS, async (t) => {
  const { nodes } = await linkedNodes(t, 2);
  const { client: far } = await joinServer(t, nodes[1]);
  far.on("question", (answer) => answer(["a", "list"]));
  const all = recordAll(t);
  const [remote] = await nodes[0].io.fetchSockets();
  assert.deepEqual(await remote.timeout(5000).emitWithAck("question"), ["a", "list"]);
  assert.deepEqual(
    all.named("ack:end").map(({ socket, event, values, error }) => [socket, event, values, error]),
    [[null, "question", [["a", "list"]], undefined]],
  );
});

test("publishes refusals, limits, dropped events and warnings [ROB-935]", OURS, async (t) => {
  const { io, port } = await startServer(t, {
    maxHttpBufferSize: 1000,
    limits: { messagesPerSecond: 1, rateBurstMs: 1000, overRate: "drop" },
  });
  const all = recordAll(t);
  await http(port, { path: "/socket.io/?EIO=4&transport=polling&sid=unknown" });
  const [{ request, code: refusal, message }] = all.named("handshake:refuse");
  assert.deepEqual([request._query.sid, refusal, message], ["unknown", 1, "Session ID unknown"]);
  const ws = await WireSocket.open(port, "/socket.io/?EIO=4&transport=websocket");
  ws.send("40");
  for (let i = 0; i < 5; i++) ws.send('42["news"]');
  await all.until("drop");
  assert.deepEqual(all.named("drop")[0], { engine: io.engine, cause: "overRate", events: 1 });
  const large = await WireSocket.open(port, "/socket.io/?EIO=4&transport=websocket");
  large.send(`4${"x".repeat(2000)}`);
  await all.until("session:close");
  const limits = all.named("limit");
  assert.deepEqual([...new Set(limits.map(({ code }) => code))], ["RC_ERR_MESSAGE_RATE", "RC_ERR_MESSAGE_BYTES"]);
  assert.ok(limits.every(({ engine }) => engine === io.engine));
  assert.equal(all.named("session:close").at(-1).error, limits.at(-1).error);
  t.mock.method(process, "emitWarning", () => {});
  io.use(() => {
    throw new Error("the middleware is broken");
  });
  await once(client(t, port), "connect_error");
  assert.deepEqual(
    all.named("warning").map((warning) => [warning.code, warning.error.message]),
    [["ROOMCAST_MIDDLEWARE_FAILED", "the middleware is broken"]],
  );
});

test("runs middlewares, listeners and callbacks in what a subscriber has set as `run` [ROB-936]", OURS, async (t) => {
  const { io, port } = await startServer(t);
  const storage = new AsyncLocalStorage();
  const wrapped = ["middleware:start", "event:start", "ack:end", "broadcast:start"];
  recordAll(
    t,
    wrapped.map((name) => `roomcast:${name}`),
    (name, message) => {
      const { run } = message;
      message.run = (work) => storage.run(name, () => (run === null ? work() : run(work)));
    },
  );
  const seen = [];
  io.use((socket, next) => {
    seen.push(["middleware", storage.getStore()]);
    next();
  });
  const joined = once(io, "connection");
  const one = await connect(t, port);
  const [socket] = await joined;
  one.on("question", (answer) => answer(1));
  const answered = new Promise((resolve) => {
    socket.on("hello", async () => {
      seen.push(["listener", storage.getStore()]);
      await Promise.resolve();
      seen.push(["after an await", storage.getStore()]);
      socket.emit("question", () => resolve(seen.push(["callback", storage.getStore()])));
    });
  });
  one.emit("hello");
  await answered;
  socket.onAnyOutgoing(() => seen.push(["broadcast", storage.getStore()]));
  io.emit("news");
  assert.deepEqual(seen, [
    ["middleware", "middleware:start"],
    ["listener", "event:start"],
    ["after an await", "event:start"],
    ["callback", "ack:end"],
    ["broadcast", "broadcast:start"],
  ]);
});

test(
  "publishes a broadcast where it is sent and on each server that delivers it, with the texts of a tracer [ROB-935, ROB-938]",
  OURS,
  async (t) => {
    const { bus, nodes } = await linkedNodes(t, 2);
    const peers = [];
    for (const node of nodes) peers.push(await joinServer(t, node));
    const [{ io }, { io: other }] = nodes;
    peers[1].socket.join("room");
    const all = recordAll(t, names, (name, message) => {
      if (name === "broadcast:start") message.trace = { traceparent: "00-a-b-01" };
    });
    const received = once(peers[1].client, "news");
    io.to("room").except("nobody").emit("news", 1);
    await received;
    const [sent] = all.named("broadcast:end");
    assert.equal(sent, all.named("broadcast:start")[0]);
    assert.deepEqual(
      [sent.namespace, sent.event, sent.args, [...sent.rooms], [...sent.except]],
      [io.sockets, "news", [1], ["room"], ["nobody"]],
    );
    const delivered = all
      .named("broadcast:deliver")
      .map(({ namespace, receivers, flags }) => [namespace.server === io, receivers, flags.trace]);
    assert.deepEqual(
      delivered.sort(([a], [b]) => Number(b) - Number(a)),
      [
        [true, 0, { traceparent: "00-a-b-01" }],
        [false, 1, { traceparent: "00-a-b-01" }],
      ],
    );
    assert.ok(all.named("adapter:publish").some(({ namespace, type }) => namespace === io.sockets && type === "BROADCAST"));
    assert.ok(all.named("adapter:receive").some(({ namespace, type }) => namespace === other.sockets && type === "BROADCAST"));
    bus.set("cut");
    assert.deepEqual(
      all.named("adapter:degrade").map(({ namespace, reason }) => [namespace.name, reason.message]),
      [
        ["/", "the bus is cut"],
        ["/", "the bus is cut"],
      ],
    );
    bus.set("up");
    await all.until("adapter:restore", 2);
  },
);

test(
  "takes of what another server sends as texts of a tracer those that are short, and at most 8, traceparent first [ROB-938]",
  OURS,
  async (t) => {
    const { nodes } = await linkedNodes(t, 2);
    await joinServer(t, nodes[1]);
    const all = recordAll(t);
    const { adapter } = nodes[1].io.sockets;
    const traces = [
      { traceparent: "x" },
      { traceparent: 1 },
      { a: "x".repeat(513) },
      ["x"],
      "x",
      { traceparent: "x", baggage: "x".repeat(513), tracestate: 1 },
      { ...Object.fromEntries([..."123456789"].map((k) => [k, k])), traceparent: "x" },
      {},
    ];
    for (const trace of traces) {
      adapter._node.onMessage(
        {
          uid: "another",
          nsp: "/",
          type: 3,
          data: { opts: { rooms: [], except: [], flags: { trace } }, packet: { type: 2, data: ["news"] } },
        },
        undefined,
      );
    }
    assert.deepEqual(
      all.named("broadcast:deliver").map(({ flags }) => flags.trace),
      [
        { traceparent: "x" },
        ...traces.slice(1, -3).map(() => undefined),
        { traceparent: "x" },
        { traceparent: "x", ...Object.fromEntries([..."1234567"].map((k) => [k, k])) },
        undefined,
      ],
    );
  },
);

test("documents each channel, and no other [ROB-935]", OURS, () => {
  const document = readFileSync(new URL("docs/observability.md", root), "utf8");
  const documented = new Set(
    [...document.matchAll(/^\| `(roomcast:[a-z:]+)`(?:, `(:[a-z]+)`)?/gm)].flatMap(([, name, second]) =>
      second === undefined ? [name] : [name, name.replace(/:[a-z]+$/, second)],
    ),
  );
  assert.ok(names.size > 20);
  assert.deepEqual([...documented].sort(), [...names].sort());
});
