/** How WebTransport sessions come in, are refused, and leave nothing behind when they fail. */
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { catchWarnings } from "../../support/pairs.js";
import { startEngine, startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { pass } from "../../support/wait.js";
import { openWebTransport, packetBytes, sessionPair } from "./simulated.js";

const OURS = oursOnly("it has no channels");
const TRANSPORTS = { transports: ["polling", "websocket", "webtransport"] };

test("answers a lone open packet with a new session [EIO-41, EIO-42, EIO-45, ENG-170, ENG-173]", async (t) => {
  const { engine } = await startEngine(t, { ...TRANSPORTS, pingInterval: 1234, pingTimeout: 567, maxHttpBufferSize: 89 });
  engine.generateId = () => "not asked";
  const connection = once(engine, "connection");
  const { handshake } = await openWebTransport(engine);
  const [session] = await connection;
  assert.deepEqual(Object.entries(handshake), [
    ["sid", session.id],
    ["upgrades", []],
    ["pingInterval", 1234],
    ["pingTimeout", 567],
    ["maxPayload", 89],
  ]);
  assert.match(session.id, /^[A-Za-z0-9_-]{20}$/);
  assert.deepEqual(
    [session.protocol, session.transport.name, session.request, session.remoteAddress],
    [4, "webtransport", null, undefined],
  );
  assert.equal(engine.clientsCount, 1);
});

test(
  "a drain sends what is queued, ends the session at its turn, and opens no other one, which it counts and publishes [ROB-725, ROB-728, ROB-935]",
  oursOnly("it has no drain"),
  async (t) => {
    const { io } = await startServer(t, TRANSPORTS);
    const connection = once(io, "connection");
    const { stream, client } = await openWebTransport(io.engine);
    await stream.send("40");
    const [socket] = await connection;
    await stream.next();
    const { engine } = io;
    let result = null;
    const refused = [];
    const onRefuse = (message) => refused.push(message);
    subscribe("roomcast:handshake:refuse", onRefuse);
    t.after(() => unsubscribe("roomcast:handshake:refuse", onRefuse));
    const early = sessionPair(); // its handshake is under way when the drain begins
    void engine.onWebTransportSession(early.server);
    const earlyStream = early.client.openStream();
    const closing = io.close({ drain: { perSecond: 20, jitterMs: 0, message: { event: "moving" } } }).then((value) => (result = value));
    await earlyStream.send("0");
    await early.client.ended();
    const late = sessionPair();
    void engine.onWebTransportSession(late.server);
    await late.client.ended();
    assert.deepEqual(
      refused.map((message) => [message.engine === engine, message.request, message.code, message.context]),
      [1, 2].map(() => [true, null, 3, { name: "SERVER_DRAINING" }]),
    );
    assert.equal(engine.counts.refusals[3], 2);
    assert.equal(result, null);
    assert.equal(await stream.next(), '42["moving"]');
    await client.ended();
    await closing;
    assert.equal(result.moved, 1);
    assert.equal(socket.connected, false);
  },
);

test("serves a namespace to a session without a request [SOC-16, ENG-177]", async (t) => {
  const allowRequest = () => assert.fail("allowRequest was called");
  const { io } = await startServer(t, { ...TRANSPORTS, allowRequest });
  const connection = once(io, "connection");
  const { stream } = await openWebTransport(io.engine);
  await stream.send('40{"token":"x"}');
  const [socket] = await connection;
  assert.equal(await stream.next(), `40{"sid":"${socket.id}"}`);
  const { headers, query, secure, xdomain, url, address, auth } = socket.handshake;
  assert.deepEqual(
    { headers, query, secure, xdomain, url, address, auth },
    {
      headers: {},
      query: {},
      secure: true,
      xdomain: false,
      url: undefined,
      address: undefined,
      auth: { token: "x" },
    },
  );
  assert.equal(socket.request ?? null, null);
});

test("takes events, binary and answers over it both ways [EIO-39, ENG-174]", async (t) => {
  const { io } = await startServer(t, TRANSPORTS);
  io.on("connection", (socket) => socket.on("echo", (value, answer) => answer(value)));
  const { stream } = await openWebTransport(io.engine);
  await stream.send("40");
  await stream.next();
  await stream.send('451-20["echo",{"_placeholder":true,"num":0}]', Buffer.from([1, 2, 3]));
  assert.equal(await stream.next(), '461-20[{"_placeholder":true,"num":0}]');
  assert.deepEqual(await stream.next(), Buffer.from([1, 2, 3]));
});

test("sends the initial packet after the open packet [EIO-44, EIO-45]", async (t) => {
  const { engine } = await startEngine(t, { ...TRANSPORTS, initialPacket: "hello" });
  const { stream } = await openWebTransport(engine);
  assert.equal(await stream.next(), "4hello");
});

test("takes the first packet byte by byte [EIO-37, ENG-172]", async (t) => {
  const { engine } = await startEngine(t, TRANSPORTS);
  const { server, client } = sessionPair();
  const accepted = engine.onWebTransportSession(server);
  const stream = client.openStream();
  for (const byte of packetBytes("0")) await stream.write([byte]);
  assert.match(await stream.next(), /^0\{"sid":/);
  await accepted;
});

test("delivers packets that a client sent directly after the open packet [EIO-37, EIO-45]", async (t) => {
  const { engine } = await startEngine(t, TRANSPORTS);
  const messages = [];
  engine.on("connection", (session) => session.on("data", (data) => messages.push(data) && session.send("done")));
  const { server, client } = sessionPair();
  const accepted = engine.onWebTransportSession(server);
  const stream = client.openStream();
  await stream.send("0", "4early");
  assert.match(await stream.next(), /^0\{"sid":/);
  assert.equal(await stream.next(), "4done");
  await accepted;
  assert.deepEqual(messages, ["early"]);
});

test("closes a session at once unless webtransport is enabled [ENG-176]", async (t) => {
  const { engine } = await startEngine(t, {});
  const { server, client } = sessionPair();
  await engine.onWebTransportSession(server);
  await client.ended();
  assert.equal(server.incomingBidirectionalStreams.locked, false);
});

test("closes a session at once when the program has middlewares, which need a request [ENG-171]", async (t) => {
  const { engine } = await startEngine(t, TRANSPORTS);
  engine.use((_req, _res, next) => next());
  const { server, client } = sessionPair();
  await engine.onWebTransportSession(server);
  await client.ended();
});

test("takes a session while the cors option is set [ENG-171]", async (t) => {
  const { engine } = await startEngine(t, { ...TRANSPORTS, cors: { origin: "https://example.org" } });
  await openWebTransport(engine);
  assert.equal(engine.clientsCount, 1);
});

test("survives a refused session that has failed and whose close throws [ENG-171, ENG-175]", async (t) => {
  const { engine } = await startEngine(t, {});
  const { server, client } = sessionPair();
  client.fail();
  server.close = () => {
    throw new Error("closed already");
  };
  await engine.onWebTransportSession(server);
  await pass(0);
});

for (const met of [undefined, null, "session", {}, { close() {} }]) {
  test(`rejects ${JSON.stringify(met) ?? "undefined"} in place of a session [ENG-170]`, async (t) => {
    const { engine } = await startEngine(t, TRANSPORTS);
    await assert.rejects(engine.onWebTransportSession(met), { code: "RC_ERR_ARGUMENT", message: /expected a WebTransport session/ });
  });
}

test("has a connection listener's error reach the program, and serves the session [ENG-173, EVT-26]", async (t) => {
  const { engine } = await startEngine(t, TRANSPORTS);
  engine.on("connection", (session) => {
    session.on("data", (data) => session.send(data));
    throw new Error("of the listener");
  });
  const { server, client } = sessionPair();
  const accepted = engine.onWebTransportSession(server);
  const stream = client.openStream();
  await stream.send("0");
  await assert.rejects(accepted, /of the listener/);
  await stream.next();
  await stream.send("4x");
  assert.equal(await stream.next(), "4x");
});

/** Clients that never get as far as a session; each gives what ends it, or leaves that to the time-out. */
const FAILED = {
  "sends nothing and opens no stream": () => {},
  "opens a stream and sends nothing": (client) => void client.openStream(),
  "sends half a packet": (client) => client.openStream().write(packetBytes("0").subarray(0, 1)),
  "sends a message first": (client) => client.openStream().send("4hi"),
  "sends a close packet first": (client) => client.openStream().send("1"),
  "sends binary first": (client) => client.openStream().send(Buffer.from("0")),
  "sends garbage": (client) => client.openStream().write([0x01, 0x39]),
  "announces nothing": (client) => client.openStream().write([0]),
  "announces 2^53 bytes": (client) => client.openStream().write([0x7f, 0, 0x20, 0, 0, 0, 0, 0, 0]),
  "announces more than maxPayload": (client) => client.openStream().write([0x7f, 0, 0, 0, 0, 0x7f, 0, 0, 0]),
  "sends JSON that is none": (client) => client.openStream().send("0{"),
  "sends a number": (client) => client.openStream().send("05"),
  "sends null": (client) => client.openStream().send("0null"),
  "sends a list": (client) => client.openStream().send('0["a"]'),
  "sends an object without sid": (client) => client.openStream().send("0{}"),
  "sends a sid that is a number": (client) => client.openStream().send('0{"sid":1}'),
  "names an unknown session": (client) => client.openStream().send('0{"sid":"AAAAAAAAAAAAAAAAAAAA"}'),
  "names the empty session": (client) => client.openStream().send('0{"sid":""}'),
  "names the session __proto__": (client) => client.openStream().send('0{"sid":"__proto__"}'),
  "names the session constructor": (client) => client.openStream().send('0{"sid":"constructor"}'),
  "names the session toString": (client) => client.openStream().send('0{"sid":"toString"}'),
  "names the session hasOwnProperty": (client) => client.openStream().send('0{"sid":"hasOwnProperty"}'),
  "ends its stream at once": (client) => client.openStream().finish(),
  "resets its stream": (client) => client.openStream().reset(),
  "closes the session before its stream": (client) => client.close(),
  "closes the session in the middle of the handshake": (client) => {
    client.openStream();
    client.close();
  },
  "loses its connection before its stream": (client) => client.fail(),
  "loses its connection in the middle of the handshake": (client) => {
    client.openStream();
    client.fail();
  },
};

for (const [what, act] of Object.entries(FAILED)) {
  test(`closes the session of a client that ${what} [ENG-172, ENG-173, ENG-175, ENG-6]`, async (t) => {
    const { engine } = await startEngine(t, { ...TRANSPORTS, upgradeTimeout: 50 });
    engine.on("connection", () => assert.fail("a session was opened"));
    const { server, client } = sessionPair();
    const accepted = engine.onWebTransportSession(server);
    const stream = act(client);
    await accepted;
    await client.ended();
    await stream;
    assert.ok(server.closeCalls >= 1);
    assert.equal(engine.clientsCount, 0);
  });
}

test("leaves no timer, no lock and no session after hundreds of handshakes that fail in every way [ENG-172, ENG-173]", async (t) => {
  const { engine } = await startEngine(t, { ...TRANSPORTS, upgradeTimeout: 100 });
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const before = timers();
  const pairs = Array.from({ length: 20 }, () => Object.values(FAILED))
    .flat()
    .map((act) => {
      const pair = sessionPair();
      const accepted = engine.onWebTransportSession(pair.server);
      return { ...pair, accepted, acted: act(pair.client) };
    });
  await Promise.all(pairs.map(({ accepted, client }) => Promise.all([accepted, client.ended()])));
  const unopened = pairs.filter(({ server }) => server.incomingBidirectionalStreams.locked);
  const named = 6 * 20; // a first packet that names a session is a handshake: its reader belongs to the transport that is closed then
  assert.ok(unopened.length <= named, `${unopened.length} readers hold their streams`);
  assert.equal(engine.clientsCount, 0);
  assert.deepEqual(Object.keys(engine.clients), []);
  assert.ok(timers() <= before, `${timers()} timers, ${before} before`);
});

test("gives up the handshakes that wait when the engine is closed [ENG-172]", async (t) => {
  const { engine } = await startEngine(t, TRANSPORTS);
  const { server, client } = sessionPair();
  const accepted = engine.onWebTransportSession(server);
  client.openStream();
  engine.close();
  await client.ended();
  await accepted;
  assert.equal(engine.clientsCount, 0);
});

for (const [what, origins, headers, isOpen] of [
  ["of a named origin", "https://good.example", { origin: "https://good.example" }, true],
  ["of the same host", "same", { origin: "https://a.example:8443", ":authority": "a.example:8443" }, true],
  ["without an origin", "same", { ":authority": "a.example" }, true],
  ["that a function lets in", (origin, callback) => setImmediate(callback, null, true), { origin: "https://a.example" }, true],
  ["of another origin", "https://good.example", { origin: "https://evil.example" }, false],
  ["of another host", "same", { origin: "https://evil.example", ":authority": "a.example" }, false],
  ["whose headers aren't handed over", "same", undefined, false],
]) {
  test(`${isOpen ? "takes" : "closes"} a session ${what}, with the option origins [ROB-191, ROB-194]`, async (t) => {
    const { next } = catchWarnings(t);
    const { engine } = await startEngine(t, { ...TRANSPORTS, origins });
    const { server, client } = sessionPair();
    const accepted = engine.onWebTransportSession(server, headers);
    if (isOpen) {
      const stream = client.openStream();
      await stream.send("0");
      assert.match(await stream.next(), /^0\{/);
      await accepted;
    } else {
      await accepted;
      await client.closed;
      assert.equal(engine.clientsCount, 0);
    }
    if (headers === undefined) await next(({ code }) => code === "ROOMCAST_ORIGIN_UNKNOWN");
  });
}

test("publishes a session that has no request on the diagnostics channels, and no start of a handshake [ROB-935]", OURS, async (t) => {
  const { engine } = await startEngine(t, TRANSPORTS);
  const seen = [];
  for (const name of ["roomcast:handshake:start", "roomcast:session:open", "roomcast:session:close"]) {
    const listener = ({ session, request, reason }) => seen.push([name, session.id, request, reason]);
    subscribe(name, listener);
    t.after(() => unsubscribe(name, listener));
  }
  const connection = once(engine, "connection");
  await openWebTransport(engine);
  const [session] = await connection;
  session.close(true);
  assert.deepEqual(seen, [
    ["roomcast:session:open", session.id, null, undefined],
    ["roomcast:session:close", session.id, undefined, "forced close"],
  ]);
});
