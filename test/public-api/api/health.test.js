/** `io.health()` and `io.healthHandler()`. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { linkedNodes } from "../../support/bus-link.js";
import { connect } from "../../support/client.js";
import { startServer } from "../../support/server.js";
import { oursOnly, Server } from "../../support/target.js";
import { http } from "../../support/wire-client.js";

const OURS = oursOnly("it has no health");

test("is ready while it is attached, and tells why it is not [ROB-939]", OURS, async (t) => {
  const alone = new Server();
  assert.deepEqual(alone.health().reasons, ["detached"]);
  const { io, port } = await startServer(t);
  const before = Date.now();
  const { ready, live, reasons, since, draining, adapter, clients } = io.health();
  assert.deepEqual(
    { ready, live, reasons, draining, adapter, clients },
    {
      ready: true,
      live: true,
      reasons: [],
      draining: { active: false },
      adapter: { status: "none" },
      clients: 0,
    },
  );
  assert.ok(since >= before && since <= Date.now());
  await connect(t, port);
  assert.equal(io.health().clients, 1);
  assert.equal(io.health().since, since);
  const closing = io.close({ drain: { timeoutMs: 1000, jitterMs: 0 } });
  const drained = io.health();
  assert.deepEqual([drained.ready, drained.live, drained.reasons, drained.draining.active], [false, true, ["draining"], true]);
  assert.ok(drained.draining.since >= before);
  await closing;
  assert.deepEqual([io.health().reasons, io.health().draining], [["detached"], { active: false }]);
});

test("tells that the event loop is late, and answers within its limits [ROB-939]", OURS, async (t) => {
  const { io } = await startServer(t);
  let now = performance.now();
  t.mock.method(performance, "now", () => now);
  t.mock.timers.enable({ apis: ["setInterval"] });
  const turnAfter = (ms) => {
    now += ms;
    t.mock.timers.tick(50);
  };
  const lag = () => io.health().loopLagMs;
  assert.equal(lag(), 0); // the first question starts the measuring
  turnAfter(50);
  turnAfter(250);
  assert.equal(lag(), 0, "one pause alone does not count");
  turnAfter(150);
  assert.equal(lag(), 100);
  const { ready, live, reasons } = io.health({ readyLoopLagMs: 10 });
  assert.deepEqual([ready, live, reasons], [false, true, ["loop"]]);
  assert.equal(io.health({ liveLoopLagMs: 99 }).live, false);
  turnAfter(50);
  turnAfter(50);
  assert.equal(lag(), 0);
});

test("tells whether the link to the other servers works, which only matters if that is asked for [ROB-939]", OURS, async (t) => {
  const { bus, nodes } = await linkedNodes(t, 2);
  const [{ io }] = nodes;
  assert.equal(io.health().adapter.status, "ok");
  bus.set("cut");
  const { ready, adapter } = io.health();
  assert.deepEqual([ready, adapter.status], [true, "degraded"]);
  assert.ok(Date.now() - adapter.since < 10_000);
  assert.deepEqual(io.health({ requireAdapter: true }).reasons, ["adapter"]);
  bus.set("up");
});

test("tells since when a probe gets its answer, also beside probes with other options [ROB-939]", OURS, async (t) => {
  const { bus, nodes } = await linkedNodes(t, 2);
  const [{ io }] = nodes;
  let now = Date.now();
  t.mock.method(Date, "now", () => now);
  const started = now;
  const ask = () => [io.health(), io.health({ requireAdapter: true })].map(({ ready, since }) => [ready, since - started]);
  assert.deepEqual(ask(), [
    [true, 0],
    [true, 0],
  ]);
  bus.set("cut");
  now += 1000;
  for (let i = 0; i < 3; i++, now += 1000) {
    assert.deepEqual(ask(), [
      [true, 0],
      [false, 1000],
    ]);
  }
  bus.set("up");
});

test("answers probes with 200 or 503 and the health as JSON [ROB-939]", OURS, async (t) => {
  const probes = {};
  const httpServer = createServer((request, response) => probes[request.url](request, response));
  const { io, port } = await startServer(t, {}, { http: httpServer });
  probes["/ready"] = io.healthHandler();
  probes["/live"] = io.healthHandler({ probe: "live" });
  probes["/strict"] = io.healthHandler({ probe: "live", liveLoopLagMs: 0 });
  const answer = await http(port, { path: "/ready" });
  assert.deepEqual([answer.status, answer.headers["content-type"], answer.headers["cache-control"]], [200, "application/json", "no-store"]);
  assert.equal(JSON.parse(answer.body).ready, true);
  assert.equal(String((await http(port, { method: "HEAD", path: "/ready" })).body), "");
  assert.equal((await http(port, { path: "/live" })).status, 200);
  await connect(t, port);
  const draining = io.detach({ drain: { timeoutMs: 1000, jitterMs: 0 } });
  const [ready, live] = await Promise.all(["/ready", "/live"].map((path) => http(port, { path })));
  assert.deepEqual([ready.status, live.status], [503, 200]);
  await draining;
  t.after(() => httpServer.close());
});

test("refuses options that make no sense [ROB-939]", OURS, () => {
  const io = new Server();
  const cases = [
    [{ probe: "alive" }, 'io.healthHandler, probe: expected "ready" or "live", met \'alive\''],
    [{ readyLoopLagMs: -1 }, "io.healthHandler, readyLoopLagMs: expected milliseconds, met -1"],
    [{ requireAdapter: "yes" }, "io.healthHandler, requireAdapter: expected true or false, met 'yes'"],
    [{ lag: 1 }, "io.healthHandler: expected one of readyLoopLagMs, liveLoopLagMs, requireAdapter, probe, met 'lag'"],
    [null, "io.healthHandler: expected an object, met null"],
  ];
  for (const [options, message] of cases) assert.throws(() => io.healthHandler(options), { code: "RC_ERR_ARGUMENT", message });
  assert.throws(() => io.health({ probe: "live" }), { code: "RC_ERR_ARGUMENT" });
});
