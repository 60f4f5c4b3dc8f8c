import { test } from "node:test";
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { openPolling, openWebSocket, pollingPair } from "../../../support/engine.js";
import { startEngine } from "../../../support/server.js";
import { engine as engineModule, ours, oursOnly } from "../../../support/target.js";

test("exports what programs import from the engine [ENG-1]", () => {
  for (const name of ["Server", "Socket", "Transport", "listen", "attach"]) {
    assert.equal(typeof engineModule[name], "function", name);
  }
  assert.equal(engineModule.protocol, 4);
  for (const name of ["polling", "websocket"]) assert.ok(name in engineModule.transports, name);
});

test("exports a parser with both directions of packets and payloads [ENG-1]", () => {
  const { parser } = engineModule;
  assert.equal(parser.protocol, 4);
  for (const name of [
    "encodePacket",
    "decodePacket",
    "encodePayload",
    "decodePayload",
    "createPacketEncoderStream",
    "createPacketDecoderStream",
  ]) {
    assert.equal(typeof parser[name], "function", name);
  }
  const encoded = [];
  parser.encodePacket({ type: "message", data: "hello" }, true, (packet) => encoded.push(packet));
  parser.encodePacket({ type: "ping" }, true, (packet) => encoded.push(packet));
  parser.encodePayload(
    [
      { type: "message", data: "a" },
      { type: "message", data: Buffer.from([1, 2, 3, 4]) },
    ],
    (payload) => encoded.push(payload),
  );
  assert.deepEqual(encoded, ["4hello", "2", "4a\x1ebAQIDBA=="]);
  assert.deepEqual(parser.decodePacket("4hello"), { type: "message", data: "hello" });
  assert.deepEqual(parser.decodePayload("4a\x1e4b"), [
    { type: "message", data: "a" },
    { type: "message", data: "b" },
  ]);
});

test("lists its error codes and their messages on the class [ENG-4]", () => {
  const { Server } = engineModule;
  assert.deepEqual(
    { ...Server.errors },
    {
      UNKNOWN_TRANSPORT: 0,
      UNKNOWN_SID: 1,
      BAD_HANDSHAKE_METHOD: 2,
      BAD_REQUEST: 3,
      FORBIDDEN: 4,
      UNSUPPORTED_PROTOCOL_VERSION: 5,
    },
  );
  assert.deepEqual(
    { ...Server.errorMessages },
    {
      0: "Transport unknown",
      1: "Session ID unknown",
      2: "Bad handshake method",
      3: "Bad request",
      4: "Forbidden",
      5: "Unsupported protocol version",
    },
  );
});

test("is an event emitter with the public members [ENG-5]", async (t) => {
  const { engine } = await startEngine(t);
  assert.ok(engine instanceof EventEmitter);
  for (const name of ["attach", "handleRequest", "handleUpgrade", "close", "generateId", "use", "upgrades"]) {
    assert.equal(typeof engine[name], "function", name);
  }
  assert.equal(typeof engine.opts, "object");
  assert.equal(engine.clientsCount, 0);
  assert.deepEqual(Object.keys(engine.clients), []);
});

test("lists its sessions by sid, as own enumerable properties [ENG-5, ENG-6]", async (t) => {
  const { engine, port, client, session } = await pollingPair(t);
  const other = await openWebSocket({ engine, port });
  assert.equal(engine.clientsCount, 2);
  assert.deepEqual(Object.keys(engine.clients).sort(), [client.sid, other.session.id].sort());
  assert.equal(engine.clients[client.sid], session);
  assert.equal(Object.hasOwn(engine.clients, "constructor"), false);
  assert.deepEqual(
    Object.values(engine.clients)
      .map(({ id }) => id)
      .sort(),
    Object.keys(engine.clients).sort(),
  );
});

test("names the upgrades of a transport, also those to transports that are not enabled [ENG-7]", async (t) => {
  const { engine } = await startEngine(t, { transports: ["polling"] });
  assert.deepEqual(engine.upgrades("polling"), ["websocket", "webtransport"]);
  assert.deepEqual(engine.upgrades("websocket"), []);
  assert.deepEqual(engine.upgrades("webtransport"), []);
  const without = await startEngine(t, { allowUpgrades: false });
  assert.deepEqual(without.engine.upgrades("polling"), []);
});

test("has these defaults [ENG-10]", async (t) => {
  const { engine } = await startEngine(t);
  const { pingInterval, pingTimeout, upgradeTimeout, maxHttpBufferSize, transports, allowUpgrades, httpCompression, cors, allowEIO3 } =
    engine.opts;
  assert.deepEqual(
    { pingInterval, pingTimeout, upgradeTimeout, maxHttpBufferSize, transports, allowUpgrades, httpCompression, cors, allowEIO3 },
    {
      pingInterval: 25000,
      pingTimeout: 20000,
      upgradeTimeout: 10000,
      maxHttpBufferSize: 1e6,
      transports: ["polling", "websocket"],
      allowUpgrades: true,
      httpCompression: { threshold: 1024 },
      cors: false,
      allowEIO3: false,
    },
  );
});

test("keeps every option it was given, known or not [ENG-12]", async (t) => {
  const { engine } = await startEngine(t, { mine: 1, connectTimeout: 45000, pingTimeout: 77 });
  assert.deepEqual([engine.opts.mine, engine.opts.connectTimeout, engine.opts.pingTimeout], [1, 45000, 77]);
});

test("merges cookie and perMessageDeflate over their defaults [ENG-13, ENG-14]", async (t) => {
  const { engine } = await startEngine(t, { cookie: { name: "mine" }, perMessageDeflate: { zlibDeflateOptions: { level: 1 } } });
  assert.deepEqual(engine.opts.cookie, { name: "mine", path: "/", httpOnly: true, sameSite: "lax" });
  const { serverNoContextTakeover, clientNoContextTakeover, ...merged } = engine.opts.perMessageDeflate;
  assert.deepEqual(merged, { threshold: 1024, zlibDeflateOptions: { level: 1 } });
  ours("the default has no context [ROB-611]", () => assert.ok(serverNoContextTakeover && clientNoContextTakeover));
});

test("takes undefined options for absent ones [ENG-16]", oursOnly("undefined overwrites the default"), async (t) => {
  const { engine, port } = await startEngine(t, {
    pingInterval: undefined,
    pingTimeout: undefined,
    maxHttpBufferSize: undefined,
    transports: undefined,
    path: undefined,
  });
  const { client } = await openPolling({ engine, port });
  assert.deepEqual(
    { ...client.handshake, sid: "" },
    { sid: "", upgrades: ["websocket"], pingInterval: 25000, pingTimeout: 20000, maxPayload: 1e6 },
  );
});

test("reads timings and maxHttpBufferSize when they are used [ENG-12]", async (t) => {
  const { engine, port } = await startEngine(t);
  const before = await openPolling({ engine, port });
  Object.assign(engine.opts, { pingInterval: 111, pingTimeout: 222, maxHttpBufferSize: 333, upgradeTimeout: 444 });
  const after = await openPolling({ engine, port });
  assert.equal(before.client.handshake.maxPayload, 1e6);
  assert.deepEqual(
    { ...after.client.handshake, sid: "" },
    { sid: "", upgrades: ["websocket"], pingInterval: 111, pingTimeout: 222, maxPayload: 333 },
  );
  const long = `4${"x".repeat(400)}`;
  assert.equal((await before.client.post(long)).status, 200);
  assert.equal((await after.client.post(long)).status, 413);
});
