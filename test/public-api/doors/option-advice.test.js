/** Options that cannot work, or are likely to be a mistake: met when the server is made. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { connect, once } from "../../support/client.js";
import { adapters } from "../../support/packages.js";
import { catchWarnings } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { engine as engineModule, oursOnly, Server } from "../../support/target.js";

const OURS = oursOnly("it fails later, or not at all");
const BEYOND = 2 ** 31;

/** What a server that is made, and attached twice, says of its options. */
async function adviceOf(t, options) {
  const { warnings, next } = catchWarnings(t);
  const io = new Server(createServer(), options);
  io.attach(createServer());
  process.emitWarning("the end", { code: "END" });
  await next(({ code }) => code === "END");
  return warnings.filter(({ code }) => code === "ROOMCAST_OPTION").map(({ message }) => message);
}

const REFUSED = [
  [{ transports: [] }, /^option transports: expected an array of polling, websocket, webtransport, met \[\]$/],
  [{ transports: ["websockets"] }, /^option transports: expected an array of .*, met \["websockets"\]$/],
  [{ pingTimeout: 0 }, /^option pingTimeout: expected 1 to 2147483647, met 0$/],
  [{ pingTimeout: BEYOND }, /^option pingTimeout: expected 1 to 2147483647, met 2147483648$/],
  [{ pingTimeout: Infinity }, /^option pingTimeout: expected 1 to 2147483647, met Infinity$/],
  [{ pingInterval: BEYOND }, /^option pingInterval: expected at most 2147483647, met 2147483648$/],
  [{ pingInterval: NaN }, /^option pingInterval: expected a non-negative number, met NaN$/],
  [{ maxHttpBufferSize: NaN }, /^option maxHttpBufferSize: expected a non-negative number, met NaN$/],
];
for (const [options, message] of REFUSED) {
  const [[name, value]] = Object.entries(options);
  test(`refuses ${name}: ${Array.isArray(value) ? JSON.stringify(value) : value}, which works with no client [ROB-380]`, OURS, () => {
    for (const make of [() => new Server(options), () => new engineModule.Server(options)]) {
      assert.throws(make, { code: "RC_ERR_OPTION", message });
    }
  });
}

const WARNED = [
  [{ pingInterval: 0 }, [/^option pingInterval: expected 1 or more, met 0/]],
  [{ pingInterval: Infinity }, [/^option pingInterval: expected at most 2147483647, met Infinity/]],
  [{ upgradeTimeout: BEYOND }, [/^option upgradeTimeout: expected at most/]],
  [{ maxHttpBufferSize: 0 }, [/^option maxHttpBufferSize: expected 1 or more, met 0/]],
  [{ transports: ["websocket", "flashsocket"] }, [/^option transports: .* met "flashsocket", which has no effect$/]],
  [
    { cors: { origins: "https://a.example" } },
    [/^option cors\.origins: unknown.*did you mean origin\?$/, /pages of every origin may read/],
  ],
  [
    { cors: { origin: "https://a.example/" } },
    [/^option cors\.origin: expected an origin such as "https:\/\/a\.example", met "https:\/\/a\.example\/"/],
  ],
  [{ cors: { origin: ["https://a.example", "http://b.example/app"] } }, [/"http:\/\/b\.example", met/]],
  [{ cors: "https://a.example/app" }, [/^option cors\.origin: expected/]],
  [{ cors: { credential: true, origin: "*" } }, [/did you mean credentials\?/]],
  [{ pingIntervall: 1 }, [/^option pingIntervall: unknown, has no effect; did you mean pingInterval\?$/]],
  [{ pingTmieout: 1 }, [/did you mean pingTimeout\?$/]],
  [{ origin: "https://a.example" }, [/did you mean origins\?$/]],
  [{ corss: {} }, [/did you mean cors\?$/]],
  [{ allowEI03: true }, [/did you mean allowEIO3\?$/]],
  [{ Transports: ["polling"] }, [/did you mean transports\?$/]],
  [{ adaptor: null }, [/did you mean adapter\?$/]],
  [{ connectionStateRecovery: { maxDisconnectDuration: 1, skipMiddleware: true } }, [/did you mean skipMiddlewares\?$/]],
];
for (const [options, expected] of WARNED) {
  test(`warns once, when the server is made, of ${JSON.stringify(options)} [ROB-381, ROB-382]`, OURS, async (t) => {
    const met = await adviceOf(t, options);
    assert.equal(met.length, expected.length, met.join("\n"));
    for (const [i, message] of expected.entries()) assert.match(met[i], message);
  });
}

const FINE = [
  {},
  { cors: { origin: "https://a.example", methods: ["GET"] } },
  { cors: { origin: [/x/, "http://a.example:3000", "*", "capacitor://localhost"] } },
  { cors: (request, callback) => callback(null, {}) },
  { path: "/x", serveClient: false, maxHttpBufferSize: Infinity, upgradeTimeout: 0, cookie: true },
  { somethingOfMine: 1, log: false, "force new connection": true, pingIntervall: undefined },
  { connectionStateRecovery: true },
];
for (const options of FINE) {
  test(`says nothing of ${JSON.stringify(options)} [ROB-381, ROB-382]`, OURS, async (t) => {
    assert.deepEqual(await adviceOf(t, options), []);
  });
}

for (const options of [{ pingInterval: 0 }, { pingInterval: Infinity }, { maxHttpBufferSize: 0 }, { upgradeTimeout: BEYOND }]) {
  test(`serves clients over WebSocket with ${Object.keys(options)}: ${Object.values(options)}, as it always did [ROB-381]`, async (t) => {
    const { io, url } = await startServer(t, options);
    io.on("connection", (socket) => socket.on("ask", (answer) => answer("ok")));
    const client = await connect(t, url, "/", { transports: ["websocket"] });
    assert.equal(await client.emitWithAck("ask"), "ok");
  });
}

// -- adapters that are none --------------------------------------------------------------------------

const NONE = [
  ["class X {}", class X {}, /met an object without init, close, addAll, del, delAll, broadcast$/],
  ["() => undefined", () => undefined, /met undefined$/],
  ["() => null", () => null, /met null$/],
  ["() => 'redis'", () => "redis", /met string$/],
  [
    "a class that lacks two methods",
    class {
      init() {}
      close() {}
      addAll() {}
      del() {}
    },
    /met an object without delAll, broadcast$/,
  ],
];
for (const [title, adapter, met] of NONE) {
  test(`says what is missing where the adapter is ${title}, at construction and at io.adapter() [ROB-400]`, OURS, () => {
    const message = new RegExp(`^option adapter: expected a class that extends Adapter of roomcast/adapter, .*${met.source}`);
    assert.throws(() => new Server({ adapter }), { code: "RC_ERR_OPTION", message });
    const io = new Server();
    const before = io.of("/").adapter;
    assert.throws(() => io.adapter(adapter), { code: "RC_ERR_OPTION", message });
    assert.equal(io.of("/").adapter, before);
    io.of("/later"); // made by the adapter that works
  });
}

test("takes an adapter of one's own that has what the server asks for [ROB-400]", async (t) => {
  const { Adapter } = adapters;
  for (const adapter of [
    Adapter,
    class extends Adapter {},
    function make(nsp) {
      return new Adapter(nsp);
    },
  ]) {
    // prettier-ignore
    const { io, url } = await startServer(t, { adapter });
    io.on("connection", (socket) => socket.on("ask", () => io.to(socket.id).emit("answer")));
    const client = await connect(t, url);
    const answered = once(client, "answer");
    client.emit("ask");
    await answered;
  }
});
