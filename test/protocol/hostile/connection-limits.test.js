/** Limits on connections, on handshakes and middlewares that are under way, and on new sessions while the event loop is late. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { once } from "../../support/client.js";
import { startChild } from "../../support/hostile/child.js";
import { startEngine, startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { eventually } from "../../support/pairs.js";
import { http, PollingSession, refusedUpgrade, WireSocket } from "../../support/wire-client.js";
import { openWebTransport } from "../webtransport/simulated.js";

const NO_LIMIT = oursOnly("it has no such limits");
const WEBSOCKET = "/engine.io/?EIO=4&transport=websocket";
const POLLING = "/engine.io/?EIO=4&transport=polling";

/** An engine, and the codes of what it refused. */
async function start(t, options, host) {
  const started = await startEngine(t, options, host);
  const refused = [];
  started.engine.on("connection_error", ({ code, context }) =>
    refused.push([code, context.error?.code, context.error?.limit, context.error?.met]),
  );
  return { ...started, refused };
}

for (const host of [{}, { https: true }, { http2: true }]) {
  const name = Object.keys(host)[0] ?? "http";
  const tls = name !== "http";
  test(
    `refuses the connection above limits.connections with 503, and takes one when another has left, ${name} [ROB-770]`,
    NO_LIMIT,
    async (t) => {
      const { engine, port, refused } = await start(t, { limits: { connections: 2 } }, host);
      const first = await WireSocket.open(port, WEBSOCKET, {}, { tls });
      t.after(() => first.abort());
      const second = await PollingSession.open(port, "", { tls });
      const polling = await http(port, { path: POLLING, tls });
      assert.deepEqual([polling.status, polling.headers["retry-after"]], [503, "5"]);
      assert.deepEqual(JSON.parse(polling.text), { code: 3, message: "Too many connections" });
      const upgrade = await refusedUpgrade(port, WEBSOCKET, {}, { tls });
      assert.deepEqual([upgrade.status, upgrade.headers["retry-after"], upgrade.text], [503, "5", "Too many connections"]);
      assert.deepEqual(refused, Array(2).fill([3, "RC_ERR_CONNECTIONS", 2, 3]));
      assert.equal(engine.counts.codes.RC_ERR_CONNECTIONS, 2);
      const candidate = await second.candidate(); // an upgrade is no further connection
      candidate.abort();
      first.abort();
      await eventually(() => engine.clientsCount === 1);
      (await WireSocket.open(port, WEBSOCKET, {}, { tls })).abort();
    },
  );
}

test(
  "refuses the connection above limits.connectionsPerAddress with 429, by the address that a trusted proxy names [ROB-771]",
  NO_LIMIT,
  async (t) => {
    const { engine, port, refused } = await start(t, { trustedProxies: ["127.0.0.0/8", "10.0.0.1"], limits: { connectionsPerAddress: 1 } });
    const from = (forwarded) => http(port, { path: POLLING, headers: { "X-Forwarded-For": forwarded } });
    assert.equal((await from("1.2.3.4")).status, 200);
    const again = await from("9.9.9.9, 1.2.3.4, 10.0.0.1"); // what the client wrote itself stands to the left
    assert.deepEqual(
      [again.status, again.headers["retry-after"], again.text],
      [429, "5", '{"code":3,"message":"Too many connections from this address"}'],
    );
    assert.equal((await refusedUpgrade(port, WEBSOCKET, { "X-Forwarded-For": "1.2.3.4" })).status, 429);
    assert.equal((await from("9.9.9.9")).status, 200);
    assert.deepEqual(refused, Array(2).fill([3, "RC_ERR_CONNECTIONS_PER_ADDRESS", 1, 2]));
    assert.deepEqual(engine.admission.sizes, { addresses: 2, handshakes: 0 });
  },
);

test("ignores X-Forwarded-For from an address that isn't a trusted proxy [ROB-771]", NO_LIMIT, async (t) => {
  const { port } = await start(t, { trustedProxies: ["10.0.0.1"], limits: { connectionsPerAddress: 1 } });
  const from = (forwarded) => http(port, { path: POLLING, headers: { "X-Forwarded-For": forwarded } });
  assert.equal((await from("1.2.3.4")).status, 200);
  assert.equal((await from("1.2.3.5")).status, 429);
});

test("counts WebTransport sessions among limits.connections [ROB-770]", NO_LIMIT, async (t) => {
  const { engine } = await start(t, { transports: ["webtransport"], limits: { connections: 1 } });
  const connection = once(engine, "connection");
  await openWebTransport(engine);
  await connection;
  await assert.rejects(openWebTransport(engine), /ended/);
  assert.equal(engine.clientsCount, 1);
  assert.equal(engine.counts.codes.RC_ERR_CONNECTIONS, 1);
});

test(
  "counts are back at zero after any order of handshakes, upgrades, refusals and ends [ROB-770, ROB-771, ROB-772]",
  NO_LIMIT,
  async (t) => {
    const limits = { connections: 6, connectionsPerAddress: 2, pendingHandshakes: 3 };
    const allowRequest = (request, callback) => setTimeout(callback, request._query.wait ?? 0, null, request._query.no === undefined);
    const { engine, port } = await start(t, { limits, allowRequest, trustedProxies: ["127.0.0.1"] });
    const action = fc.record({
      transport: fc.constantFrom("websocket", "polling", "cut", "upgrade"),
      address: fc.constantFrom("1.1.1.1", "2.2.2.2", "2001:db8::1", "2001:db8::2", "unknown"),
      wait: fc.nat(10),
      no: fc.boolean(),
    });
    let most = 0;
    engine.on("connection", () => (most = Math.max(most, engine.clientsCount)));
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 20 }), async (actions) => {
        const open = [];
        const ends = actions.map(async ({ transport, address, wait, no }) => {
          const query = `wait=${wait}${no ? "&no=1" : ""}`;
          const headers = { "X-Forwarded-For": address };
          if (transport === "cut") {
            const request = http(port, { path: `${POLLING}&${query}`, headers });
            setTimeout(() => request.abort(), wait / 2);
            return request.then(
              (response) => response.status === 200 && open.push(response),
              () => {},
            );
          }
          if (transport === "websocket") {
            const ws = await WireSocket.open(port, `${WEBSOCKET}&${query}`, headers).catch(() => null);
            return ws?.abort();
          }
          const session = await PollingSession.open(port, query, { headers }).catch(() => null);
          if (session === null) return;
          if (transport === "polling") return void (await session.post("1"));
          const ws = await session.upgrade().catch(() => null);
          return ws?.abort();
        });
        await Promise.all(ends);
        for (const session of Object.values(engine.clients)) session.close(true);
        await eventually(() => engine.clientsCount === 0 && engine.admission.sizes.handshakes === 0);
        assert.deepEqual(engine.admission.sizes, { addresses: 0, handshakes: 0 });
      }),
      { numRuns: 25 },
    );
    assert.ok(most <= 6, `${most} connections at a time`);
  },
);

test(
  "refuses handshakes above limits.pendingHandshakes before allowRequest is called, and goes on when one is answered [ROB-772]",
  NO_LIMIT,
  async (t) => {
    const waiting = [];
    const allowRequest = (_request, callback) => waiting.push(() => callback(null, true));
    const { engine, port } = await start(t, { limits: { pendingHandshakes: 2 }, allowRequest });
    const first = http(port, { path: POLLING });
    const gone = http(port, { path: POLLING });
    await eventually(() => waiting.length === 2);
    gone.abort();
    await gone.catch(() => {});
    const third = await http(port, { path: POLLING });
    assert.deepEqual([third.status, JSON.parse(third.text).message], [503, "Too many handshakes"]);
    assert.equal((await refusedUpgrade(port, WEBSOCKET)).status, 503);
    assert.equal(waiting.length, 2, "also the work for a client that has left is under way");
    for (const answer of waiting.splice(0)) answer();
    assert.equal((await first).status, 200);
    const next = http(port, { path: POLLING });
    await eventually(() => waiting.length === 1);
    waiting[0]();
    assert.equal((await next).status, 200);
    assert.equal(engine.counts.codes.RC_ERR_PENDING_HANDSHAKES, 2);
    assert.equal(engine.admission.sizes.handshakes, 0);
  },
);

test(
  "counts handshakes that wait for middlewares of the engine, and not those that they answer themselves [ROB-772]",
  NO_LIMIT,
  async (t) => {
    const { io, port } = await startServer(t, { limits: { pendingHandshakes: 2 }, cors: { origin: "https://app.example.org" } });
    const path = "/socket.io/?EIO=4&transport=polling";
    const websocket = "/socket.io/?EIO=4&transport=websocket";
    const open = await PollingSession.open(port, "", { path: "/socket.io/" });
    const waiting = [];
    io.engine.use((request, response, next) => {
      if (request._query.own !== undefined) response.end("own");
      else if (request._query.sid === open.sid) next();
      else waiting.push(next);
    });
    for (let i = 0; i < 5; i++) assert.equal((await http(port, { path: `${path}&own=1` })).text, "own");
    const first = http(port, { path });
    const second = WireSocket.open(port, websocket);
    await eventually(() => waiting.length === 2);
    const { status, headers, text } = await http(port, { path: `${path}&sid=unknown` });
    assert.deepEqual([status, headers["retry-after"], JSON.parse(text).message], [503, "5", "Too many handshakes"]);
    assert.equal(headers["access-control-allow-origin"], "https://app.example.org");
    assert.equal((await refusedUpgrade(port, websocket)).status, 503);
    assert.equal((await http(port, { path, method: "OPTIONS" })).status, 204);
    assert.equal((await open.post("40")).status, 200, "requests of open sessions are not counted");
    assert.equal(io.stats().admission.handshakes, 2);
    for (const next of waiting.splice(0)) next();
    assert.equal((await first).status, 200);
    (await second).abort();
    const refused = http(port, { path });
    await eventually(() => waiting.length === 1);
    waiting[0](new Error("no"));
    assert.equal((await refused).status, 400);
    assert.equal(io.engine.counts.codes.RC_ERR_PENDING_HANDSHAKES, 2);
    assert.deepEqual(io.stats().admission, { addresses: 0, handshakes: 0, middlewares: 0 });
  },
);

test("refuses new sessions while the event loop is late, and serves open ones [ROB-774]", NO_LIMIT, async (t) => {
  const child = await startChild(t, { app: "lagging", options: { limits: { loopLagMs: 100 } } });
  const path = "/socket.io/?EIO=4&transport=polling";
  const session = await PollingSession.open(child.port, "", { path: "/socket.io/" });
  await session.post("40");
  await session.get();
  await child.call("lag", 300);
  let response;
  do response = await http(child.port, { path, ms: 20_000 });
  while (response.status === 200); // until two ticks of the measurement were late
  assert.deepEqual([response.status, response.headers["retry-after"], JSON.parse(response.text).message], [503, "5", "Server is busy"]);
  await session.post('421["echo",1]', { ms: 20_000 });
  assert.match((await session.get({ ms: 20_000 })).text, /431\[1\]/);
  await child.call("lag", 0);
  do response = await http(child.port, { path });
  while (response.status === 503);
  assert.equal(response.status, 200);
  await child.assertUnharmed();
});

for (const transport of ["websocket", "polling"]) {
  test(
    `refuses joins above limits.pendingMiddlewares, and goes on when a middleware has answered, ${transport} [ROB-773]`,
    NO_LIMIT,
    async (t) => {
      const { io, port } = await startServer(t, { limits: { pendingMiddlewares: 2 } });
      const waiting = [];
      io.use((_socket, next) => waiting.push(next));
      const clients = [];
      for (let i = 0; i < 3; i++) clients.push(await openClient(t, port, transport));
      await clients[0].send("40");
      await clients[1].send("40");
      await eventually(() => waiting.length === 2);
      await clients[2].send("40");
      assert.equal(await clients[2].next(), '44{"message":"Server is busy"}');
      assert.equal(io.engine.counts.codes.RC_ERR_PENDING_MIDDLEWARES, 1);
      waiting.shift()();
      assert.match(await clients[0].next(), /^40\{"sid"/);
      await clients[2].send("40");
      await eventually(() => waiting.length === 2);
      for (const next of waiting.splice(0)) next();
      assert.match(await clients[2].next(), /^40\{"sid"/);
      assert.equal(io._middlewarePlaces.count, 0);
    },
  );

  test(`counts joins that wait for a function of io.of(), ${transport} [ROB-773]`, NO_LIMIT, async (t) => {
    const { io, port } = await startServer(t, { limits: { pendingMiddlewares: 1 } });
    const clients = [await openClient(t, port, transport), await openClient(t, port, transport)];
    io.of(/^\/regex$/);
    await clients[0].send("40/unknown,");
    assert.equal(await clients[0].next(), '44/unknown,{"message":"Invalid namespace"}');
    const waiting = [];
    io.of((name, _auth, next) => waiting.push(next));
    await clients[0].send("40/one,");
    await eventually(() => waiting.length === 1);
    assert.equal(io.stats().admission.middlewares, 1);
    await clients[1].send("40/two,");
    assert.equal(await clients[1].next(), '44/two,{"message":"Server is busy"}');
    assert.equal(waiting.length, 1, "the function was not asked");
    waiting.shift()(null, true);
    assert.match(await clients[0].next(), /^40\/one,/);
    await clients[1].send("40/two,");
    await eventually(() => waiting.length === 1);
    waiting.shift()(null, false);
    assert.equal(await clients[1].next(), '44/two,{"message":"Invalid namespace"}');
    assert.equal(io.engine.counts.codes.RC_ERR_PENDING_MIDDLEWARES, 1);
    assert.equal(io.stats().admission.middlewares, 0);
    await clients[0].send("40/three,");
    await eventually(() => waiting.length === 1);
    await io.close();
    waiting.shift()(null, true);
    assert.equal(io.stats().admission.middlewares, 0);
  });

  test(`closes a session that has left its last namespace after limits.idleSessionMs, ${transport} [ROB-775]`, NO_LIMIT, async (t) => {
    const { io, port } = await startServer(t, { limits: { idleSessionMs: 300 } });
    io.of("/other");
    const client = await openClient(t, port, transport);
    await client.send("40");
    await client.next();
    const [session] = Object.values(io.engine.clients);
    const end = once(session, "close");
    await client.send("41");
    await client.send("40/other,"); // joins again in time
    assert.match(await client.next(), /^40\/other,/);
    await client.send("41/other,");
    const [reason, description] = await end;
    assert.deepEqual([reason, description.code, description.limit], ["transport error", "RC_ERR_IDLE_SESSION", 300]);
  });
}

async function openClient(t, port, transport) {
  if (transport === "websocket") {
    const ws = await WireSocket.open(port, "/socket.io/?EIO=4&transport=websocket");
    t.after(() => ws.abort());
    await ws.next();
    return { send: async (message) => ws.send(message), next: () => ws.next() };
  }
  const session = await PollingSession.open(port, "", { path: "/socket.io/" });
  const waiting = [];
  return {
    send: (message) => session.post(message),
    async next() {
      if (waiting.length === 0) waiting.push(...(await session.poll()));
      return waiting.shift();
    },
  };
}
