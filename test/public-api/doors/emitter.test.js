/** roomcast/emitter: what it takes, what it says about anything else, and which bytes it sends. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { requireFromTarget } from "../../support/packages.js";
import { oursOnly } from "../../support/target.js";

const OURS = oursOnly("it has no such entry");
const emitters = () => requireFromTarget("roomcast/emitter");

/** A client of `redis` 5; `publish(channel, payload)` and `sPublish` are told. */
const redis = (publish = async () => 1) =>
  Object.assign(new EventEmitter(), {
    isReady: true,
    isOpen: true,
    duplicate() {},
    destroy() {},
    pSubscribe: async () => {},
    sSubscribe: async () => {},
    publish,
    sPublish: publish,
  });

/** A pool of `pg` with one client; `query(statement)` is told. */
function postgres(query = async () => ({ rows: [] })) {
  const client = Object.assign(new EventEmitter(), { query, release: () => void pool.given-- });
  const pool = Object.assign(new EventEmitter(), {
    given: 0,
    totalCount: 0,
    query,
    connect: async () => {
      pool.given++;
      return client;
    },
  });
  return { pool, client };
}

/** A connection of `nats`; `publish(subject, bytes)` is told. */
const nats = (publish = () => {}) => ({
  publish,
  subscribe() {},
  flush: async () => {},
  status() {},
  closed: () => new Promise(() => {}),
  isClosed: () => false,
});

test("says at once which client or option is of no use [ROB-915]", OURS, () => {
  const { RedisEmitter, ShardedRedisEmitter, RedisStreamsEmitter, PostgresEmitter, NatsEmitter } = emitters();
  const misuses = [
    [() => new RedisEmitter(), /redisClient: expected a client of redis 4 or 5, or of ioredis 5, met undefined/],
    [() => new RedisEmitter("redis://localhost"), /met a text \(pass a client, not its URL\)/],
    [() => new RedisEmitter(Promise.resolve(redis())), /met a promise \(await it\)/],
    [() => new RedisEmitter(postgres().pool), /met an object of EventEmitter/],
    [() => new ShardedRedisEmitter(Object.assign(redis(), { sSubscribe: undefined })), /expected a client of redis 4.3 or newer/],
    [() => new RedisStreamsEmitter("redis://localhost"), /met a text \(pass a client, not its URL\)/],
    [() => new RedisStreamsEmitter(redis(), null), /options: expected an object, met null/],
    [() => new PostgresEmitter(), /PostgresEmitter: expected a Pool of the package pg, met undefined/],
    [() => new PostgresEmitter(redis()), /expected a Pool of the package pg/],
    [() => new PostgresEmitter(Promise.resolve(postgres().pool)), /met a promise: await it/],
    [() => new NatsEmitter("nats://localhost"), /connection: .* met a text \(pass a connection, not its address\)/],
    [() => new NatsEmitter(redis()), /connection: expected a connection of @nats-io\/transport-node 3 or nats 2, met/],
    [() => new RedisEmitter(redis(), {}, 5), /nsp: expected the name of a namespace, met 5/],
    [() => new RedisEmitter(redis(), "/chat"), /options: expected an object, met \/chat/],
    [() => new PostgresEmitter(postgres().pool, {}), /nsp: expected the name of a namespace/],
    [() => new NatsEmitter(nats(), null), /options: expected an object, met null/],
  ];
  for (const [make, message] of misuses) assert.throws(make, { code: "RC_ERR_ARGUMENT", message });
  const options = [
    [() => new RedisEmitter(redis(), { key: "" }), /option key: expected a text/],
    [() => new RedisEmitter(redis(), { parser: {} }), /option parser: expected an object with encode/],
    [() => new RedisEmitter(redis(), { onError: true }), /option onError: expected a function, met true/],
    [() => new ShardedRedisEmitter(redis(), { subscriptionMode: "all" }), /option subscriptionMode: expected "static", "dynamic"/],
    [() => new RedisStreamsEmitter(redis(), { streamCount: 0 }), /option streamCount: expected a positive whole number, met 0/],
    [() => new RedisStreamsEmitter(redis(), { streamName: "" }), /option streamName: expected a text/],
    [() => new PostgresEmitter(postgres().pool, "/", { payloadThreshold: 9000 }), /option payloadThreshold/],
    [() => new PostgresEmitter(postgres().pool, "/", { tableName: "a; b" }), /option tableName/],
    [() => new NatsEmitter(nats(), { key: "a b" }), /option key/],
  ];
  for (const [make, message] of options) assert.throws(make, { code: "RC_ERR_OPTION", message });
});

test("an order that makes no sense throws where it is given, and nothing is sent [ROB-916, RED-22]", OURS, () => {
  const { RedisEmitter, PostgresEmitter, NatsEmitter } = emitters();
  const sent = [];
  const all = [
    new RedisEmitter(redis(async () => sent.push(1))),
    new PostgresEmitter(postgres(async () => sent.push(1)).pool),
    new NatsEmitter(nats(() => sent.push(1))),
  ];
  const circular = {};
  circular.self = circular;
  for (const emitter of all) {
    assert.throws(() => emitter.emit("connect"), { code: "RC_ERR_RESERVED_EVENT", message: '"connect" is a reserved event name' });
    assert.throws(() => emitter.emit(), { code: "RC_ERR_EVENT_NAME" });
    assert.throws(() => emitter.emit("x", () => {}), { code: "RC_ERR_ARGUMENT", message: /^Acknowledgements are not supported/ });
    assert.throws(() => emitter.to("r").emit("x", 1n), { code: "RC_ERR_ENCODING", message: /BigInt at data/ });
    assert.throws(() => emitter.emit("x", { circular }), { code: "RC_ERR_ENCODING", message: /circular at data\.circular\.self/ });
    assert.throws(() => emitter.emit("x", new Blob(["a"])), { code: "RC_ERR_ENCODING", message: /a Blob/ });
    assert.throws(() => emitter.serverSideEmit("connection"), { code: "RC_ERR_RESERVED_EVENT" });
    assert.throws(() => emitter.serverSideEmit("x", () => {}), { code: "RC_ERR_ARGUMENT" });
    assert.throws(() => emitter.serverSideEmit("x", circular), { code: "RC_ERR_ENCODING" });
    assert.throws(() => emitter.disconnectSockets(true, { reason: 5 }), { code: "RC_ERR_ARGUMENT" });
  }
  assert.deepEqual(sent, []);
});

test("an order that is not sent is told to onError, or in one warning [ROB-917]", OURS, async (t) => {
  const { RedisEmitter, PostgresEmitter, NatsEmitter } = emitters();
  const failing = async () => {
    throw new Error("away");
  };
  const makers = [
    ["redis", (options) => new RedisEmitter(redis(failing), options)],
    ["postgres", (options) => new PostgresEmitter(Object.assign(postgres().pool, { connect: failing }), "/", options)],
    ["postgres", (options) => new PostgresEmitter(postgres(failing).pool, "/", options)],
    [
      "nats",
      (options) =>
        new NatsEmitter(
          nats(() => {
            throw new Error("away");
          }),
          options,
        ),
    ],
  ];
  const warnings = [];
  const onWarning = (warning) => warnings.push(warning);
  process.on("warning", onWarning);
  t.after(() => process.off("warning", onWarning));
  for (const [name, make] of makers) {
    const told = [];
    let emitter = make({ onError: ({ message }) => told.push(message) });
    emitter.emit("x");
    emitter.of("/chat").socketsJoin("r");
    await settled();
    assert.deepEqual(told, ["away", "away"]);
    assert.equal(warnings.length, 0);
    emitter = make();
    emitter.emit("x");
    emitter.of("/chat").emit("x");
    await settled();
    assert.equal(warnings.length, 1);
    const [{ code, message }] = warnings.splice(0);
    assert.equal(code, "ROOMCAST_CLUSTER_LINK");
    assert.equal(message, `${name}: orders of an emitter do not reach the servers (see its option onError): away`);
  }
});

/** What the stand-ins do takes a few ticks and an immediate. */
async function settled() {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

test("an error of a client that nobody listens to is told, and other listeners are left alone [ROB-917]", OURS, async () => {
  const { RedisEmitter, PostgresEmitter } = emitters();
  for (const make of [
    (client, onError) => new RedisEmitter(client, { onError }),
    (client, onError) => new PostgresEmitter(Object.assign(client, postgres().pool), "/", { onError }),
  ]) {
    const told = [];
    const client = redis();
    for (let i = 0; i < 3; i++) make(client, (error) => told.push(error.message));
    client.emit("error", new Error("refused"));
    assert.deepEqual(told, ["refused"]);
    const heard = Object.assign(redis()).on("error", () => {});
    make(heard, assert.fail);
    assert.equal(heard.listenerCount("error"), 1);
  }
});

test("the orders of a tick leave by one client of the pool, which is taken at once and given back [ROB-918]", OURS, async () => {
  const { PostgresEmitter } = emitters();
  const statements = [];
  const { pool, client } = postgres(async ({ values }) => {
    statements.push(values);
    return { rows: [] };
  });
  const emitter = new PostgresEmitter(pool, "chat", { channelPrefix: "io" });
  emitter.emit("x", 1);
  assert.equal(pool.given, 1); // pool.end() waits for it
  emitter.of("/").emit("x", 2);
  emitter.emit("x", 1);
  await settled();
  assert.equal(pool.given, 0);
  assert.equal(client.listenerCount("error"), 0);
  const [[channels, texts]] = statements;
  assert.equal(statements.length, 1);
  assert.deepEqual(channels, ["io#/chat", "io#/", "io#/chat"]);
  assert.deepEqual(JSON.parse(texts[1]), {
    uid: "emitter",
    nsp: "/", // official nodes need it, PG-14
    type: 3,
    data: { packet: { type: 2, data: ["x", 2], nsp: "/" }, opts: { rooms: [], flags: {}, except: [] } },
  });
  emitter.emit("x", 3);
  await settled();
  assert.equal(statements.length, 2);
});

test("a broadcast to a room right behind socketsJoin goes to all servers [ROB-831]", OURS, () => {
  const { RedisEmitter, ShardedRedisEmitter, NatsEmitter } = emitters();
  const channels = [];
  const note = (channel) => void channels.push(channel);
  for (const emitter of [
    new RedisEmitter(redis(async (...args) => note(...args))),
    new ShardedRedisEmitter(redis(async (...args) => note(...args))),
    new NatsEmitter(nats(note)),
  ]) {
    emitter.to("room").emit("x");
    emitter.of("/").socketsJoin("room");
    emitter.of("/").to("room").emit("x");
    emitter.to("other").emit("x");
  }
  assert.deepEqual(channels, [
    ...["socket.io#/#room#", "socket.io-request#/#", "socket.io#/#", "socket.io#/#other#"],
    ...["socket.io#/#room#", "socket.io#/#", "socket.io#/#", "socket.io#/#other#"],
    ...["roomcast.room.#.room", "roomcast.all.#", "roomcast.all.#", "roomcast.room.#.other"].map((name) => name.replace("#", "=")),
  ]);
});
