import { test } from "node:test";
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { once, stopwatch } from "../../../support/client.js";
import {
  HttpConnection,
  PollingSession,
  WireSocket,
  http,
  rawRequest,
  refusedUpgrade,
  upgradeBytes,
} from "../../../support/wire-client.js";
import { PATH, POLLING, WEBSOCKET, openPolling, openWebSocket, startEcho } from "../../../support/engine.js";
import { startEngine, startHttp, tlsFixture } from "../../../support/server.js";
import { engine as engineModule, oursOnly } from "../../../support/target.js";
import { within } from "../../../support/wait.js";

const QUERY = "?EIO=4&transport=polling";
const mine = (req, res) => res.end(`mine: ${req.url}`);

/** Whether the engine, and not the application, answers a target. */
async function isEngines(port, target) {
  const { text } = await http(port, { path: target });
  return !text.startsWith("mine: ");
}

for (const [options, targets] of [
  [
    {},
    {
      "/engine.io/": true,
      [`/engine.io/${QUERY}`]: true,
      "/engine.io/anything": true,
      "/engine.io": false,
      [`/engine.io${QUERY}`]: false,
      "/engine.iox/": false,
      "/": false,
      "//engine.io/": false,
    },
  ],
  [{ path: "/custom" }, { "/custom/": true, "/custom": false, "/engine.io/": false }],
  [{ path: "/custom/" }, { "/custom/": true, "/custom": false }],
  [{ path: "/deep/er" }, { "/deep/er/": true, "/deep/": false }],
  [{ path: "/" }, { "/": true, "/anything": true }],
  [{ path: "nowhere" }, { "/nowhere/": false }],
  [{ addTrailingSlash: false }, { "/engine.io": true, [`/engine.io${QUERY}`]: true, "/engine.io/": true, "/engine.i": false }],
  [
    { path: "/custom/", addTrailingSlash: false },
    { "/custom": true, "/custom?x": true },
  ],
]) {
  test(`takes the requests under its path with ${JSON.stringify(options)} [ENG-11, ENG-60, ENG-61, ENG-62]`, async (t) => {
    const { port } = await startEngine(t, options, { http: mine });
    const met = {};
    for (const target of Object.keys(targets)) met[target] = await isEngines(port, target);
    assert.deepEqual(met, targets);
  });
}

test(
  "wants a path to end where it ends when there is no trailing slash [ENG-61]",
  oursOnly("it takes every target with the prefix"),
  async (t) => {
    const { port } = await startEngine(t, { addTrailingSlash: false }, { http: mine });
    assert.equal(await isEngines(port, "/engine.iofoo"), false);
    assert.equal(await isEngines(port, "/engine.io/foo"), true);
  },
);

test("leaves absolute targets to the application [ENG-62]", async (t) => {
  const { port } = await startEngine(t, {}, { http: mine });
  const target = `http://127.0.0.1:${port}${POLLING}`;
  assert.equal((await http(port, { path: target })).text, `mine: ${target}`);
});

test("calls the captured listeners in order, with the server as this [ENG-63]", async (t) => {
  const calls = [];
  const httpServer = createServer(function () {
    calls.push(["first", this === httpServer]);
  });
  httpServer.on("request", function (req, res) {
    calls.push(["second", this === httpServer]);
    res.end("mine");
  });
  const { port } = await startEngine(t, {}, { http: httpServer });
  assert.equal((await http(port, { path: "/x" })).text, "mine");
  assert.deepEqual(calls, [
    ["first", true],
    ["second", true],
  ]);
  await http(port, { path: POLLING });
  assert.equal(calls.length, 2);
});

test("hides nothing from listeners that were added later [ENG-63]", async (t) => {
  const { port, httpServer } = await startEngine(t);
  const seen = [];
  httpServer.on("request", (req) => seen.push(req.url));
  assert.equal((await http(port, { path: POLLING })).status, 200);
  assert.deepEqual(seen, [POLLING]);
});

test("leaves a request for another path without an answer [ENG-65]", async (t) => {
  const { port } = await startEngine(t);
  const connection = await HttpConnection.open(port);
  await assert.rejects(connection.request({ path: "/x", ms: 200 }), /waited 200 ms/);
});

test("closes upgrades that no listener answers, after destroyUpgradeTimeout [ENG-11, ENG-66]", async (t) => {
  const { port } = await startEngine(t, { destroyUpgradeTimeout: 100 });
  const elapsed = stopwatch();
  assert.equal((await rawRequest(port, upgradeBytes(port, "/other/"))).length, 0);
  assert.ok(elapsed() >= 90, `ended after ${elapsed()} ms`);
});

test("waits a second by default before it ends an upgrade [ENG-11, ENG-66]", async (t) => {
  const { port } = await startEngine(t, { destroyUpgradeTimeout: 0 });
  const elapsed = stopwatch();
  await rawRequest(port, upgradeBytes(port, "/other/"));
  assert.ok(elapsed() >= 950, `ended after ${elapsed()} ms`);
});

test("never ends upgrades with destroyUpgrade: false [ENG-11, ENG-66]", async (t) => {
  const { port } = await startEngine(t, { destroyUpgrade: false, destroyUpgradeTimeout: 50 });
  await assert.rejects(rawRequest(port, upgradeBytes(port, "/other/"), { ms: 400 }), /waited 400 ms/);
});

test("leaves an upgrade alone once another listener has written to it [ENG-66, ENG-68]", async (t) => {
  const { port, httpServer } = await startEngine(t, { destroyUpgradeTimeout: 50 });
  let theirs;
  httpServer.on("upgrade", (req, socket) => {
    if (req.url !== "/other/") return;
    theirs = socket;
    socket.on("error", () => {});
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n");
    setTimeout(() => socket.end("still open"), 300);
  });
  const answer = await rawRequest(port, upgradeBytes(port, "/other/"));
  assert.match(answer.toString(), /still open$/);
  assert.ok(theirs);
});

test("ignores errors of upgrades that no listener answers, from the start [ENG-66, ENG-48]", async (t) => {
  const { port, httpServer } = await startEngine(t, { destroyUpgradeTimeout: 50 });
  const failed = new Promise((resolve) =>
    httpServer.on("upgrade", (req, socket) => {
      socket.once("close", resolve);
      socket.destroy(new Error("reset by the peer"));
    }),
  );
  await rawRequest(port, upgradeBytes(port, "/other/")).catch(() => {});
  await within(failed, "the socket to close");
  assert.equal((await http(port, { path: POLLING })).status, 200);
});

test("adds no upgrade listener when websocket is not enabled: an attempt is an ordinary request [ENG-67]", async (t) => {
  const { port, httpServer } = await startEngine(t, { transports: ["polling"] });
  assert.equal(httpServer.listenerCount("upgrade"), 0);
  const response = await refusedUpgrade(port, WEBSOCKET);
  assert.deepEqual([response.status, response.text], [400, '{"code":0,"message":"Transport unknown"}']);
});

test("serves several engines on one server, each its own path [ENG-68]", async (t) => {
  const httpServer = createServer(mine);
  const engines = ["/one", "/two"].map((path) => engineModule.attach(httpServer, { path, destroyUpgradeTimeout: 50 }));
  const { port } = await startHttp(t, httpServer, () => engines.forEach((engine) => engine.close()));
  for (const [i, path] of ["/one/", "/two/"].entries()) {
    const connection = once(engines[i], "connection");
    const client = await PollingSession.open(port, "", { path });
    const [session] = await connection;
    const ws = await client.upgrade();
    session.send(path);
    await ws.expect(`4${path}`);
    await assert.rejects(ws.next(200), /waited 200 ms/);
    session.send("still open");
    await ws.expect("4still open");
  }
  assert.deepEqual(
    engines.map((engine) => engine.clientsCount),
    [1, 1],
  );
  assert.equal((await http(port, { path: "/three" })).text, "mine: /three");
});

test("accepts WebSockets again when a closed server listens again [ENG-69, ENG-111]", async (t) => {
  const { engine, httpServer } = await startEngine(t);
  await within(new Promise((resolve) => httpServer.close(resolve)), "the server to close");
  await within(new Promise((resolve) => httpServer.listen(0, "127.0.0.1", resolve)), "the server to listen again");
  const { port } = httpServer.address();
  const { ws, session } = await openWebSocket({ engine, port });
  session.send("again");
  await ws.expect("4again");
});

test("handles requests and upgrades passed by a framework, with any path [ENG-59]", async (t) => {
  const engine = new engineModule.Server();
  engine.on("connection", (session) => session.on("data", (message) => session.send(message)));
  const httpServer = createServer((req, res) => engine.handleRequest(req, res));
  httpServer.on("upgrade", (req, socket, head) => engine.handleUpgrade(req, socket, head));
  const { port } = await startHttp(t, httpServer, () => engine.close());
  const client = await PollingSession.open(port, "", { path: "/api/v1/realtime" });
  await client.post("4a");
  assert.deepEqual(await client.poll(), ["4a"]);
  const ws = await client.upgrade();
  ws.send("4b");
  await ws.expect("4b");
});

test("listens by itself, and answers everything else with 501 [ENG-2]", async (t) => {
  const engine = await within(
    new Promise((resolve) => {
      const listening = engineModule.listen(0, { pingInterval: 1234 }, () => resolve(listening));
    }),
    "the engine to listen",
  );
  t.after(() => {
    engine.close();
    engine.httpServer.close();
  });
  const { port } = engine.httpServer.address();
  const other = await http(port, { path: "/" });
  assert.deepEqual([other.status, other.text], [501, "Not Implemented"]);
  assert.match((await http(port, { path: POLLING })).text, /"pingInterval":1234,/);
});

test("takes a callback in place of the options to listen [ENG-2]", async (t) => {
  const engine = await within(
    new Promise((resolve) => {
      const listening = engineModule.listen(0, () => resolve(listening));
    }),
    "the engine to listen",
  );
  t.after(() => {
    engine.close();
    engine.httpServer.close();
  });
  assert.equal((await http(engine.httpServer.address().port, { path: POLLING })).status, 200);
});

test("attaches with the options it was created with [ENG-3]", async (t) => {
  const httpServer = createServer(mine);
  const engine = engineModule.attach(httpServer, { path: "/mine", pingTimeout: 4321 });
  const { port } = await startHttp(t, httpServer, () => engine.close());
  assert.ok(engine instanceof engineModule.Server);
  assert.match((await http(port, { path: `/mine/${QUERY}` })).text, /"pingTimeout":4321,/);
});

for (const host of [{ https: true }, { http2: true }]) {
  test(`serves both transports and the upgrade over ${Object.keys(host)[0]} [ENG-59]`, async (t) => {
    const { engine, port } = await startEcho(t, {}, host);
    const client = await PollingSession.open(port, "", { tls: true });
    await client.post("4a");
    assert.deepEqual(await client.poll(), ["4a"]);
    const ws = await client.upgrade();
    ws.send("4b");
    await ws.expect("4b");
    const direct = await WireSocket.open(port, WEBSOCKET, {}, { tls: true });
    assert.match(await direct.next(), /^0/);
    assert.equal(engine.clientsCount, 2);
  });
}

test("serves polling over HTTP/2 streams [ENG-59, ENG-80]", async (t) => {
  const { port } = await startEcho(t, {}, { http2: true });
  const connection = connectHttp2(`https://127.0.0.1:${port}`, { ca: tlsFixture.cert });
  t.after(() => connection.destroy());
  const request = (method, path, body) =>
    within(
      new Promise((resolve, reject) => {
        const stream = connection.request({ ":method": method, ":path": path });
        let head;
        const chunks = [];
        stream.on("response", (headers) => {
          head = headers;
        });
        stream.on("data", (chunk) => chunks.push(chunk));
        stream.on("end", () => resolve({ status: head[":status"], headers: head, text: Buffer.concat(chunks).toString() }));
        stream.on("error", reject);
        stream.end(body);
      }),
      `${method} ${path}`,
    );
  const handshake = await request("GET", POLLING);
  const { sid } = JSON.parse(handshake.text.slice(1));
  assert.equal(handshake.headers["cache-control"], "no-store");
  const get = request("GET", `${POLLING}&sid=${sid}`);
  assert.equal((await request("POST", `${POLLING}&sid=${sid}`, "4over streams")).text, "ok");
  assert.equal((await get).text, "4over streams");
});

test('matches every request under path "/" [ENG-61]', async (t) => {
  const { engine, port } = await startEngine(t, { path: "/" }, { http: mine });
  assert.equal((await http(port, { path: `/${QUERY}` })).status, 200);
  assert.equal((await http(port, { path: `${PATH}${QUERY}` })).status, 200);
  assert.equal(engine.clientsCount, 2);
  const { client } = await openPolling({ engine, port });
  assert.equal((await client.post("4a")).text, "ok");
});
