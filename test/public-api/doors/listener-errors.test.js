/** What becomes of errors in listeners, middlewares and callbacks: Node's default, or the hook of `captureRejections`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { client as openClient, connect, once } from "../../support/client.js";
import { catchProcess, fence, nextSocket, pair } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { Inbox, pass } from "../../support/wait.js";

const OURS = oursOnly("it has no such option");
const boom = (kind) => new Error(`of ${kind}`);

/** Where user code can fail on behalf of a client: `install` puts it there, `provoke` has it run. `event` is what the hook is told. */
const PLACES = {
  "a listener": {
    event: "go",
    install: (socket, fail) => socket.on("go", fail),
    provoke: ({ client }) => client.emit("go", 1),
  },
  "a listener added by once": {
    event: "go",
    install: (socket, fail) => socket.once("go", fail),
    provoke: ({ client }) => client.emit("go", 1),
  },
  "a catch-all listener": {
    event: "go",
    install: (socket, fail) => socket.onAny((event, ...args) => event === "go" && fail(...args)),
    provoke: ({ client }) => client.emit("go", 1),
  },
  "a socket middleware": {
    event: "go",
    install: (socket, fail) => socket.use(([event, ...args], next) => (event === "go" ? fail(...args) : next())),
    provoke: ({ client }) => client.emit("go", 1),
  },
  "the callback of an answer": {
    event: "question",
    install: () => {},
    provoke: ({ socket, client }, fail) => {
      client.once("question", (answer) => answer(1));
      socket.emit("question", fail);
    },
  },
};

const FAILURES = {
  throws: (error) => () => {
    throw error;
  },
  rejects: (error) => async () => {
    await null;
    throw error;
  },
};

for (const [place, { event, install, provoke }] of Object.entries(PLACES)) {
  for (const [how, makeFail] of Object.entries(FAILURES)) {
    test(`emits listener_error when ${place} ${how}, and still serves the client [EVT-26]`, OURS, async (t) => {
      const { io, socket, client } = await pair(t, { captureRejections: true });
      const error = boom(place);
      const fail = makeFail(error);
      install(socket, fail);
      const reported = once(io, "listener_error");
      provoke({ socket, client }, fail);
      const [met, context] = await reported;
      assert.equal(met, error);
      assert.equal(context.socket, socket);
      assert.deepEqual([context.event, context.args], [event, [1]]);
      await fence(client, socket);
      assert.equal(socket.connected, true);
    });

    const kind = how === "throws" ? "uncaughtException" : "unhandledRejection";
    for (const [setting, options] of [
      ["without the option", {}],
      ["with the option and no hook", { captureRejections: true }],
    ]) {
      test(`leaves what ${place} does when it ${how} to Node, ${setting} [EVT-26]`, options.captureRejections ? OURS : {}, async (t) => {
        const { socket, client } = await pair(t, options);
        const process = catchProcess(t, kind);
        const error = boom(place);
        const fail = makeFail(error);
        install(socket, fail);
        provoke({ socket, client }, fail);
        assert.equal(await process.next(), error);
        await fence(client, socket);
      });
    }
  }
}

for (const [how, makeFail] of Object.entries(FAILURES)) {
  for (const event of ["disconnecting", "disconnect"]) {
    test(`emits listener_error when a ${event} listener ${how}, and removes the socket [EVT-26]`, OURS, async (t) => {
      const { io, socket, client } = await pair(t, { captureRejections: true });
      socket.on(event, makeFail(boom(event)));
      const reported = once(io, "listener_error");
      client.disconnect();
      const [{ message }, context] = await reported;
      assert.deepEqual([message, context.event, context.args[0]], [`of ${event}`, event, "client namespace disconnect"]);
      await pass(0);
      assert.deepEqual([io.sockets.sockets.size, socket.connected, io.sockets.adapter.rooms.size], [0, false, 0]);
    });
  }

  test(`emits listener_error when a connection listener ${how}, and keeps the socket [EVT-26, NSP-9]`, OURS, async (t) => {
    const { io, url } = await startServer(t, { captureRejections: true });
    io.of("/chat").on("connection", makeFail(boom("connection")));
    const reported = once(io, "listener_error");
    const client = await connect(t, url, "/chat", { transports: ["websocket"] });
    const [{ message }, { socket, event, args }] = await reported;
    assert.deepEqual([message, event, args[0] === socket, socket.id], ["of connection", "connection", true, client.id]);
    await fence(client, socket);
  });

  test(`emits listener_error when a listener of error ${how} [EVT-26, EVT-32]`, OURS, async (t) => {
    const { io, socket, client } = await pair(t, { captureRejections: true });
    socket.use(([event], next) => next(event === "bad" ? new Error("refused") : undefined));
    socket.on("error", makeFail(boom("error")));
    const reported = once(io, "listener_error");
    client.emit("bad");
    const [{ message }, { event, args }] = await reported;
    assert.deepEqual([message, event, args[0].message], ["of error", "error", "refused"]);
  });
}

test("lets the hook answer the client and end it [EVT-26]", OURS, async (t) => {
  const { io, socket, client } = await pair(t, { captureRejections: true });
  io.on("listener_error", (error, { socket: culprit, args }) => {
    const answer = args.at(-1);
    if (typeof answer === "function") answer({ error: error.message });
    else culprit.disconnect();
  });
  socket.on("ask", async (_value, _answer) => {
    throw new Error("no such thing");
  });
  assert.deepEqual(await client.emitWithAck("ask", 1), { error: "no such thing" });
  socket.on("do", () => {
    throw new Error("no");
  });
  const end = once(client, "disconnect");
  client.emit("do");
  assert.equal((await end)[0], "io server disconnect");
});

test("runs the other listeners of the event, once ones only once [EVT-26, EVT-20]", OURS, async (t) => {
  const { io, socket, client } = await pair(t, { captureRejections: true });
  const calls = [];
  const reports = new Inbox("a report");
  io.on("listener_error", (error) => reports.push(error.message));
  socket.once("go", () => {
    throw new Error("first");
  });
  socket.on("go", function (value) {
    calls.push([this === socket, value]);
  });
  client.emit("go", 1);
  client.emit("go", 2);
  await fence(client, socket);
  assert.deepEqual(calls, [
    [true, 1],
    [true, 2],
  ]);
  assert.deepEqual(reports.all, ["first"]);
});

test("drops the event of a middleware that failed [EVT-32]", OURS, async (t) => {
  const { io, socket, client } = await pair(t, { captureRejections: true });
  socket.on("go", () => assert.fail("the listener ran"));
  socket.use(([event], next) => {
    if (event === "go") throw new Error("before next");
    next();
  });
  const reported = once(io, "listener_error");
  client.emit("go");
  await reported;
  await fence(client, socket);
});

test("leaves an error of the hook itself to Node [EVT-26]", OURS, async (t) => {
  const { io, socket, client } = await pair(t, { captureRejections: true });
  const process = catchProcess(t, "uncaughtException");
  io.on("listener_error", () => {
    throw new Error("of the hook");
  });
  socket.on("go", () => {
    throw new Error("of the listener");
  });
  client.emit("go");
  assert.equal((await process.next()).message, "of the hook");
  await fence(client, socket);
});

test("still serves all clients while every event of one client fails [EVT-26]", OURS, async (t) => {
  const { io, url, client } = await pair(t, { captureRejections: true });
  let count = 0;
  io.on("listener_error", () => count++);
  io.sockets.sockets.get(client.id).on("go", () => null.property);
  const joined = nextSocket(io);
  const bystander = openClient(t, url, "/", { transports: ["websocket"] });
  const other = await joined;
  other.on("echo", (value, answer) => answer(value));
  for (let i = 0; i < 100; i++) {
    client.emit("go");
    assert.equal(await bystander.emitWithAck("echo", i), i);
  }
  await fence(client, io.sockets.sockets.get(client.id));
  assert.equal(count, 100);
});

test("refuses listener_error from another server and to it [EVT-26]", OURS, async (t) => {
  const { io } = await startServer(t, { captureRejections: true });
  assert.throws(() => io.serverSideEmit("listener_error", 1), { code: "RC_ERR_RESERVED_EVENT" });
  io.on("listener_error", () => assert.fail("raised from outside"));
  io.sockets._onServerSideEmit(["listener_error", new Error("forged")]);
});
