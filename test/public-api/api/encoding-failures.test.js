/** Values that cannot be encoded: what the caller gets, and that nobody is left waiting. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { client as openClient, connect, once } from "../../support/client.js";
import { requireFromTarget } from "../../support/packages.js";
import { catchProcess, catchWarnings, fence, nextSocket, pair, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { isReference, oursOnly } from "../../support/target.js";

const msgpack = isReference ? null : requireFromTarget("roomcast/msgpack");
const OURS = oursOnly("its errors have no code, and the acknowledgement is used up");

const circular = { a: {} };
circular.a.b = circular;
const failing = {
  toJSON() {
    throw new Error("secret");
  },
};
const getter = {
  get when() {
    throw new Error("secret");
  },
};

/** By name: a value, and what the error says of it. */
const VALUES = {
  "a BigInt": [{ id: 1n }, "Do not know how to serialize a BigInt at data.id"],
  "a circle": [circular, "circular at data.a.b"],
  "a toJSON that throws": [{ list: [0, failing] }, "toJSON() failed at data.list[1]"],
  "a getter that throws": [getter, "a getter failed at data.when"],
};

const WAYS = {
  "over WebSocket": {},
  "over polling": { client: { transports: ["polling"] } },
  "with the MessagePack parser": { options: { parser: msgpack }, client: { parser: msgpack } },
};

for (const [way, { options = {}, client: clientOptions = {} }] of Object.entries(WAYS)) {
  for (const [what, [value, reason]] of Object.entries(VALUES)) {
    test(`keeps an acknowledgement for a second answer when the first holds ${what}, ${way} [ROB-310, ROB-420]`, OURS, async (t) => {
      const { socket, client } = await pair(t, options, { client: clientOptions });
      const errors = [];
      socket.on("question", (answer) => {
        try {
          answer(value);
        } catch (error) {
          errors.push(error);
          answer({ error: "no answer" });
          answer("too many");
        }
      });
      assert.deepEqual(await client.timeout(5000).emitWithAck("question"), { error: "no answer" });
      assert.equal(errors.length, 1);
      assert.deepEqual([errors[0].code, errors[0].message], ["RC_ERR_ENCODING", `cannot encode acknowledgement: ${reason}`]);
      assert.ok(errors[0] instanceof TypeError && errors[0].cause instanceof Error);
    });
  }
}

test("lets the hook answer when a listener fails because of its answer [ROB-310, EVT-26]", OURS, async (t) => {
  const { io, client, socket } = await pair(t, { captureRejections: true });
  io.on("listener_error", (error, { args }) => args.at(-1)({ error: error.code }));
  socket.on("question", async (answer) => answer(1n));
  assert.deepEqual(await client.timeout(5000).emitWithAck("question"), { error: "RC_ERR_ENCODING" });
});

for (const [what, [value, reason]] of Object.entries(VALUES)) {
  test(`names event and path when an event contains ${what}, for every kind of emit [ROB-420, EVT-2]`, OURS, async (t) => {
    const { io, socket, client } = await pair(t);
    const [remote] = await io.fetchSockets();
    const targets = { socket, io, namespace: io.of("/"), room: io.to(socket.id), volatile: io.volatile, remote };
    for (const [name, target] of Object.entries(targets)) {
      assert.throws(() => target.emit("e", value), { code: "RC_ERR_ENCODING", message: `cannot encode event "e": ${reason}` }, name);
      assert.throws(() => target.timeout(50).emit("e", value, () => assert.fail("called back")), { code: "RC_ERR_ENCODING" }, name);
      await assert.rejects(target.timeout(50).emitWithAck("e", value), { code: "RC_ERR_ENCODING" }, name);
    }
    await fence(socket, client);
  });
}

test("counts the arguments of an event when there are several [ROB-420]", OURS, async (t) => {
  const { socket } = await pair(t);
  assert.throws(() => socket.emit("e", "x", circular), { message: 'cannot encode event "e": circular at data[1].a.b' });
  assert.throws(() => socket.emit("e\nf", { "a key": [circular] }), {
    message: 'cannot encode event "e\\nf": circular at data["a key"][0].a.b',
  });
  const shared = { deep: {} };
  let graph = shared;
  for (let i = 0; i < 40; i++) graph = { left: graph, right: i === 0 ? 1 : graph.left };
  socket.emit("e", { shared, again: shared }); // the same value twice is no circle
});

// -- refusals -------------------------------------------------------------------------------------

const refusing = (data) => Object.assign(new Error("no entry"), { data });
const REFUSERS = {
  "at once": (data) => (_, next) => next(refusing(data)),
  later: (data) => async (_, next) => {
    await null;
    next(refusing(data));
  },
};
for (const [what, [value]] of Object.entries(VALUES)) {
  for (const [when, refuser] of Object.entries(REFUSERS)) {
    test(`refuses without the data when it holds ${what}, ${when}, and warns [ROB-320]`, OURS, async (t) => {
      const { warnings, next: nextWarning } = catchWarnings(t);
      const rejections = catchProcess(t, "unhandledRejection");
      const { io, url } = await startServer(t);
      io.of("/closed").use(refuser(value));
      const [error] = await once(openClient(t, url, "/closed", { transports: ["websocket"] }), "connect_error");
      assert.deepEqual([error.message, error.data], ["no entry", undefined]);
      const warning = await nextWarning(({ code }) => code === "ROOMCAST_REFUSAL_DATA");
      assert.match(warning.message, /namespace "\/closed".*without the data.*cannot encode refusal: .* at data/);
      assert.deepEqual([rejections.caught, warnings.length], [[], 1]);
      await connect(t, url);
    });
  }
}

test("refuses a client of revision 3 without the data that cannot be encoded [ROB-320, MID-4]", OURS, async (t) => {
  const { next: nextWarning } = catchWarnings(t);
  const { io, port } = await startServer(t, { allowEIO3: true });
  io.use((_, next) => next(refusing(circular)));
  const peer = await wirePeer(t, port, { path: "/socket.io/?EIO=3&transport=websocket", join: false });
  assert.equal(await peer.until((message) => message.startsWith("44")), '44"no entry"');
  assert.match((await nextWarning()).message, /circular at data\.a\.b$/);
});

test("keeps no answers, time-outs or sockets after an emit that throws [ROB-420]", OURS, async (t) => {
  const { io, url } = await startServer(t);
  const joined = nextSocket(io);
  const client = await connect(t, url);
  const socket = await joined;
  for (let i = 0; i < 10; i++) assert.throws(() => socket.timeout(60_000).emit("e", 1n, () => assert.fail("called back")));
  assert.throws(() => io.timeout(60_000).emit("e", 1n, () => assert.fail("called back")));
  assert.equal(socket.acks.size, 0);
  await fence(client, socket);
});
