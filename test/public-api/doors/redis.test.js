/** roomcast/redis: what it takes, and what it says about anything else; and a Redis that isn't there. */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { test } from "node:test";
import { requireFromTarget } from "../../support/packages.js";
import { pair } from "../../support/pairs.js";
import { oursOnly } from "../../support/target.js";

const OURS = oursOnly("it has no such entry");

/** A client of `redis` 5 that never connects. */
const nodeRedis = () =>
  Object.assign(new EventEmitter(), {
    isReady: false,
    isOpen: false,
    publish: async () => 0,
    duplicate() {},
    destroy() {},
    pSubscribe: async () => {},
    sSubscribe: async () => {},
  });

test("says at once which client or option is of no use [RED-21, SHR-13]", OURS, () => {
  const { createAdapter, createShardedAdapter } = requireFromTarget("roomcast/redis");
  const good = nodeRedis();
  const clients = [
    [[undefined, good], /pubClient: expected a client of redis 4 or 5, or of ioredis 5, met undefined/],
    [[good, null], /subClient: expected .* met null/],
    [[good], /subClient: expected .* met undefined/],
    [["redis://localhost", good], /pubClient: .* met a text \(pass a client, not its URL\)/],
    [[Promise.resolve(good), good], /pubClient: .* met a promise \(await it\)/],
    [[{}, good], /pubClient: .* met an object of Object/],
    [[Object.assign(new EventEmitter(), { psubscribe() {} }), good], /met a client of redis 3 or older/],
    [[good, good], /subClient: expected a client of its own, met pubClient/],
  ];
  for (const create of [createAdapter, createShardedAdapter])
    for (const [args, message] of clients) assert.throws(() => create(...args), { code: "RC_ERR_ARGUMENT", message });
  const old = Object.assign(nodeRedis(), { sSubscribe: undefined });
  assert.throws(() => createShardedAdapter(old, nodeRedis()), { message: /expected a client of redis 4.3 or newer/ });
  const options = [
    [{ key: "" }, /option key: expected a text/],
    [{ key: 5 }, /option key: expected a text, met 5/],
    [{ requestsTimeout: "5" }, /option requestsTimeout: expected a positive number of milliseconds/],
    [{ heartbeatTimeout: -1 }, /option heartbeatTimeout/],
    [{ subscriptionMode: "dynamic-private" }, /option subscriptionMode: expected "dynamic", "static", met/],
    [{ publishOnSpecificResponseChannel: 1 }, /option publishOnSpecificResponseChannel: expected a boolean/],
    [{ parser: {} }, /option parser: expected an object with encode and decode/],
  ];
  for (const create of [createAdapter, createShardedAdapter])
    assert.throws(() => create(nodeRedis(), nodeRedis(), null), {
      code: "RC_ERR_ARGUMENT",
      message: "options: expected an object, met null",
    });
  for (const [value, message] of options)
    assert.throws(() => createAdapter(nodeRedis(), nodeRedis(), value), { code: "RC_ERR_OPTION", message });
  assert.throws(() => createShardedAdapter(nodeRedis(), nodeRedis(), { channelPrefix: 1 }), { code: "RC_ERR_OPTION" });
  assert.throws(() => createShardedAdapter(nodeRedis(), nodeRedis(), { subscriptionMode: "x" }), {
    message: /"static", "dynamic", "dynamic-private"/,
  });
});

test("serves its own clients without Redis, and says what is missing [ROB-885, ROB-833]", OURS, async (t) => {
  const { createAdapter } = requireFromTarget("roomcast/redis");
  const pubClient = nodeRedis();
  const warned = once(process, "warning");
  const { io, socket, client } = await pair(t, { adapter: createAdapter(pubClient, nodeRedis()) });
  assert.equal(await socket.join("room"), undefined);
  const heard = once(client, "x");
  io.to("room").emit("x", 1);
  await heard;
  const { adapter } = io.of("/");
  assert.ok(adapter.counters.lost > 0);
  const [warning] = await warned;
  assert.equal(warning.code, "ROOMCAST_CLUSTER_LINK");
  assert.match(warning.message, /pubClient or subClient is not connected: check the address and the credentials, and connect them before/);
  assert.equal(adapter.status, "degraded");
  pubClient.emit("error", new Error("still away"));
});
