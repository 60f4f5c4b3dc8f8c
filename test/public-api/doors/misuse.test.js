/** Mistakes of a program: each is met where it is made, with an error that says what was expected and what was met. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { client as openClient, connect, once, record } from "../../support/client.js";
import { requireFromTarget } from "../../support/packages.js";
import { fence, joinServer, pair } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { isReference, oursOnly, Server } from "../../support/target.js";
import { http, PollingSession } from "../../support/wire-client.js";

const OURS = oursOnly("it fails later, in another way, or not at all");

// -- what the server is made of --------------------------------------------------------------------

const application = (_request, response) => response.end();

test("refuses a request handler in place of a server, by the text that programs search for [SRV-3]", () => {
  const message = /^You are trying to attach \S+ to an express request handler function/i;
  for (const attempt of [() => new Server(application), () => new Server().attach(application), () => new Server().listen(application)]) {
    assert.throws(attempt, { message, ...(isReference ? {} : { code: "RC_ERR_ARGUMENT" }) });
  }
});

const ARGUMENTS = {
  "new Server('port')": [() => new Server("port"), /expected an HTTP server or a port, met "port"/],
  "new Server(true)": [() => new Server(true), /expected an HTTP server, met boolean/],
  "new Server(NaN)": [() => new Server(NaN), /expected an HTTP server or a port/],
  "io.attach()": [() => new Server().attach(), /expected an HTTP server, met undefined/],
  "io.attach(null)": [() => new Server().attach(null), /expected an HTTP server, met null/],
  "io.attach({})": [() => new Server().attach({}), /expected an HTTP server, met object/],
  "io.bind()": [() => new Server().bind(), /expected an engine with on\(\) and close\(\), met undefined/],
  "io.bind({})": [() => new Server().bind({}), /expected an engine with on\(\) and close\(\), met object/],
  "io.bind(an emitter without close)": [() => new Server().bind(new EventEmitter()), /expected an engine with on\(\) and close\(\)/],
  "io.onconnection()": [() => new Server().onconnection(), /expected an engine's socket, met undefined/],
  "io.onconnection({})": [() => new Server().onconnection({}), /expected an engine's socket, met object/],
  "io.adapter('redis')": [() => new Server().adapter("redis"), /expected a class or a function, met string/],
  "io.path(5)": [() => new Server().path(5), /expected a string, met number/],
  "io.connectTimeout('soon')": [() => new Server().connectTimeout("soon"), /expected a positive number, met soon/],
  "io.of()": [() => new Server().of(), /expected a name, a regular expression or a function, met undefined/],
  "io.of(null)": [() => new Server().of(null), /met null/],
  "io.of(/g/g)": [() => new Server().of(/g/g), /stateful regular expressions/],
  "io.use('auth')": [() => new Server().use("auth"), /expected a function, met string/],
  "io.engine.use()": [() => new Server(createServer()).engine.use(), /expected a function, met undefined/],
};

for (const [call, [attempt, message]] of Object.entries(ARGUMENTS)) {
  test(`refuses ${call} at once [SRV-26, SRV-27, SRV-50, NSP-3]`, OURS, () => {
    assert.throws(attempt, { code: "RC_ERR_ARGUMENT", message });
  });
}

test("rejects the removal of a namespace without a name [SRV-50]", OURS, async () => {
  await assert.rejects(new Server().removeNamespace(), { code: "RC_ERR_ARGUMENT", message: /expected a name, met undefined/ });
});

const OPTIONS = [
  [null, /options: expected an object, met null/],
  ["text", /options: expected an object, met "text"/],
  [["polling"], /options: expected an object, met an array/],
  [{ cors: 5 }, /option cors: expected an object or a function, met number/],
  [{ cookie: "io" }, /option cookie: expected a boolean or an object, met string/],
  [{ cookie: 5 }, /option cookie: expected a boolean or an object, met number/],
  [{ perMessageDeflate: "yes" }, /option perMessageDeflate: expected a boolean or an object, met string/],
  [{ httpCompression: 1024 }, /option httpCompression: expected a boolean or an object, met number/],
  [{ transports: "polling" }, /option transports: expected an array of .*, met "polling"/],
  [{ transports: [1] }, /option transports: expected an array/],
  [{ pingInterval: "often" }, /option pingInterval: expected a non-negative number, met "often"/],
  [{ pingTimeout: -1 }, /option pingTimeout: expected a non-negative number, met -1/],
  [{ upgradeTimeout: NaN }, /option upgradeTimeout/],
  [{ maxHttpBufferSize: "1mb" }, /option maxHttpBufferSize: expected a non-negative number, met "1mb"/],
  [{ allowRequest: true }, /option allowRequest: expected a function, met boolean/],
  [{ wsEngine: "ws" }, /option wsEngine: expected a function, met string/],
  [{ flush: "never" }, /option flush: expected "tick" or "immediate", met "never"/],
  [{ parser: "msgpack" }, /option parser: expected an object with constructors/],
  [{ adapter: "redis" }, /option adapter: expected a class or a function/],
];

for (const [options, message] of OPTIONS) {
  test(`refuses the options ${JSON.stringify(options)} when the server is made, not when a client comes [OPT-8, OPT-9]`, OURS, () => {
    assert.throws(() => new Server(undefined, options), { code: "RC_ERR_OPTION", message });
  });
}

for (const [cors, allowed] of [
  ["*", "*"],
  ["https://example.org", "https://example.org"],
  [["https://example.org", "https://other.example"], "https://example.org"],
]) {
  test(`takes ${JSON.stringify(cors)} as cors for the origins it names [ENG-76, OPT-8]`, OURS, async (t) => {
    const { url } = await startServer(t, { cors });
    for (const path of ["/socket.io/?EIO=4&transport=polling", "/socket.io/socket.io.js"]) {
      const response = await fetch(url + path, { headers: { Origin: "https://example.org" } });
      assert.equal(response.headers.get("access-control-allow-origin"), allowed);
    }
  });
}

test("refuses a cookie that can't be written when the server is attached [ENG-105]", OURS, () => {
  assert.throws(() => new Server(createServer(), { cookie: { name: "a b" } }), /name is invalid/);
});

test("takes numbers as text, and falsy options for defaults, as it always did [OPT-9]", async (t) => {
  const { url } = await startServer(t, {
    pingInterval: "20000",
    cors: null,
    cookie: false,
    perMessageDeflate: false,
    allowRequest: undefined,
  });
  await connect(t, url);
});

test("reports a port that cannot be opened by the error event of the HTTP server [SRV-21]", async (t) => {
  const { port } = await startServer(t);
  const io = new Server(createServer());
  const failed = once(io.httpServer, "error");
  io.httpServer.listen(port, "127.0.0.1");
  assert.equal((await failed)[0].code, "EADDRINUSE");
  assert.throws(() => new Server(70000), { code: "ERR_SOCKET_BAD_PORT" });
});

// -- listeners ------------------------------------------------------------------------------------

test("refuses what is no listener when it is added, not when a client sends [ANY-1, EVT-20]", OURS, async (t) => {
  const { socket, client } = await pair(t);
  for (const method of ["onAny", "prependAny", "onAnyOutgoing", "prependAnyOutgoing"]) {
    for (const met of [undefined, null, "listener", {}]) {
      assert.throws(() => socket[method](met), { code: "RC_ERR_ARGUMENT", message: /expected a listener/ });
    }
  }
  for (const method of ["on", "once", "prependListener"]) assert.throws(() => socket[method]("e", "listener"), TypeError);
  assert.throws(() => socket.use(), { code: "RC_ERR_ARGUMENT" });
  await fence(client, socket);
});

test("refuses reserved names wherever a program emits [EVT-1]", async (t) => {
  const { io, socket, client } = await pair(t);
  const targets = { io, namespace: io.of("/"), room: io.to("r"), broadcast: socket.broadcast, socket, volatile: socket.volatile };
  for (const target of Object.values(targets)) {
    for (const name of ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]) {
      assert.throws(() => target.emit(name), { message: `"${name}" is a reserved event name` });
    }
  }
  const [remote] = await io.fetchSockets();
  assert.throws(() => remote.emit("disconnect"), /reserved/);
  await fence(client, socket);
});

test("throws when a payload cannot be encoded, and keeps the connection [EVT-2]", async (t) => {
  const { io, socket, client } = await pair(t);
  const cyclic = {};
  cyclic.self = cyclic;
  for (const value of [1n, cyclic]) {
    assert.throws(() => socket.emit("e", value));
    assert.throws(() => io.emit("e", value));
    assert.throws(() => socket.emit("e", value, () => {}));
  }
  await fence(socket, client);
  await fence(client, socket);
});

// -- called twice ---------------------------------------------------------------------------------

test("counts only the first next() of a namespace middleware [MID-2, MID-3]", oursOnly("it counts every one"), async (t) => {
  const { io, url } = await startServer(t);
  let admitted = 0;
  io.use((_socket, next) => {
    next();
    next();
    next(new Error("too late"));
  });
  io.on("connection", () => admitted++);
  const client = await connect(t, url);
  await fence(client, io.sockets.sockets.get(client.id));
  assert.deepEqual([admitted, io.sockets.sockets.size], [1, 1]);
});

test("counts only the first next(error) of a namespace middleware [MID-2, MID-3]", oursOnly("it counts every one"), async (t) => {
  const { io, url } = await startServer(t);
  io.use((_socket, next) => {
    next(new Error("no"));
    next();
  });
  io.on("connection", () => assert.fail("a socket was let in"));
  const errors = record(openClient(t, url), "connect_error", "connect");
  await errors.until(({ length }) => length === 1);
  assert.deepEqual(errors.names, ["connect_error"]);
});

test("counts only the first next() of a socket middleware [EVT-30]", oursOnly("it runs what follows twice"), async (t) => {
  const { socket, client } = await pair(t);
  const seen = [];
  socket.use((_event, next) => {
    next();
    next();
    next(new Error("too late"));
  });
  socket.on("error", () => seen.push("error"));
  socket.on("e", (value) => seen.push(value));
  client.emit("e", 1);
  await fence(client, socket);
  assert.deepEqual(seen, [1]);
});

test("counts only the first answer of allowRequest [ENG-50]", OURS, async (t) => {
  const { port, io } = await startServer(t, {
    allowRequest: (_request, answer) => {
      answer(null, true);
      answer("no", false);
      answer(null, true);
    },
  });
  await PollingSession.open(port, "", { path: "/socket.io/" });
  assert.equal(io.engine.clientsCount, 1);
});

test("counts only the first answer of a function that opens namespaces [PAR-1]", OURS, async (t) => {
  const { io, url } = await startServer(t);
  let opened = 0;
  io.on("new_namespace", () => opened++);
  io.of((_name, _auth, next) => {
    next(null, true);
    next(null, true);
    next(new Error("too late"), false);
  });
  await connect(t, url, "/child");
  assert.equal(opened, 1);
});

test("sends an answer once, however often it is given [ACK-5]", async (t) => {
  const { socket, client } = await pair(t);
  socket.on("ask", (answer) => {
    answer(1);
    answer(2);
  });
  assert.equal(await client.emitWithAck("ask"), 1);
  await fence(client, socket);
});

// -- ids ------------------------------------------------------------------------------------------

for (const [what, generateId] of [
  ["gives an id that is in use", () => "same"],
  ["gives an id that is in use, later", async () => "same"],
  ["gives nothing", (request) => (request._query.second ? undefined : "same")],
  ["gives a number", (request) => (request._query.second ? 7 : "same")],
  ["gives the empty text", (request) => (request._query.second ? "" : "same")],
  ["gives __proto__", (request) => (request._query.second ? "__proto__" : "same")],
  [
    "throws",
    (request) => {
      if (request._query.second) throw new Error("no id");
      return "same";
    },
  ],
  [
    "rejects",
    async (request) => {
      if (request._query.second) throw new Error("no id");
      return "same";
    },
  ],
]) {
  test(`refuses a handshake when generateId ${what}, and keeps the existing session [ENG-17, ENG-42]`, OURS, async (t) => {
    const { io, port } = await startServer(t);
    io.engine.generateId = generateId;
    const first = await PollingSession.open(port, "", { path: "/socket.io/" });
    const refused = once(io.engine, "connection_error");
    const { status, text } = await http(port, { path: "/socket.io/?EIO=4&transport=polling&second=1" });
    assert.deepEqual([status, JSON.parse(text)], [400, { code: 3, message: "Bad request" }]);
    assert.equal((await refused)[0].context.name, "ID_GENERATION_ERROR");
    assert.equal(io.engine.clientsCount, 1);
    assert.equal((await first.post("40")).status, 200);
  });
}

// -- adapters -------------------------------------------------------------------------------------

const { Adapter } = requireFromTarget(isReference ? "socket.io-adapter" : "roomcast/adapter");
for (const [what, adapter] of [
  ["a class", class extends Adapter {}],
  [
    "a function",
    function (nsp) {
      return new Adapter(nsp);
    },
  ],
  ...(isReference ? [] : [["an arrow function", (nsp) => new Adapter(nsp)]]),
]) {
  test(`takes ${what} for an adapter [OPT-3]`, async (t) => {
    const server = await startServer(t, { adapter });
    const { client, socket } = await joinServer(t, server);
    socket.join("room");
    const arrived = once(client, "e");
    server.io.to("room").emit("e", 1);
    assert.deepEqual(await arrived, [1]);
  });
}

test("throws the error of an adapter's constructor from the call that creates the namespace [NSP-2]", () => {
  const adapter = class {
    constructor() {
      throw new Error("no connection");
    }
  };
  assert.throws(() => new Server({ adapter }), /no connection/);
});

test("refuses to ask a pattern of namespaces for its sockets [PAR-11]", async () => {
  const parent = new Server().of(/^\/room-\d+$/);
  await assert.rejects(async () => parent.fetchSockets(), /not supported on parent namespaces/);
});
