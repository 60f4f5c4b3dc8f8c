import { test } from "node:test";
import assert from "node:assert/strict";
import { once } from "../../../support/client.js";
import { WireSocket, http, rawRequest, refusedUpgrade, upgradeBytes } from "../../../support/wire-client.js";
import { POLLING, WEBSOCKET, pollingPair } from "../../../support/engine.js";
import { startEngine } from "../../../support/server.js";
import { ours, oursOnly } from "../../../support/target.js";
import { within } from "../../../support/wait.js";

test("runs for every request and upgrade, in order of registration, before verification [ENG-40, ENG-70, ENG-200]", async (t) => {
  const { engine, port, client } = await pollingPair(t);
  const seen = [];
  engine.use((req, res, next) => {
    seen.push(["first", req.method, req._query.transport]);
    next();
  });
  engine.use((req, res, next) => {
    seen.push(["second", req.method, req._query.transport]);
    next();
  });
  await client.post("4a");
  await WireSocket.open(port, WEBSOCKET);
  await http(port, { path: "/engine.io/?transport=unknown" });
  assert.deepEqual(seen, [
    ["first", "POST", "polling"],
    ["second", "POST", "polling"],
    ["first", "GET", "websocket"],
    ["second", "GET", "websocket"],
    ["first", "GET", "unknown"],
    ["second", "GET", "unknown"],
  ]);
});

test("does not run for requests of the application [ENG-70]", async (t) => {
  const { engine, port } = await startEngine(t, {}, { http: (req, res) => res.end("mine") });
  engine.use(() => assert.fail("not an engine request"));
  assert.equal((await http(port, { path: "/other" })).text, "mine");
});

test("waits for a next that comes later [ENG-70]", async (t) => {
  const { engine, port } = await startEngine(t);
  engine.use((req, res, next) => setImmediate(next));
  engine.use((req, res, next) => void Promise.resolve().then(() => next()));
  assert.equal((await http(port, { path: POLLING })).status, 200);
  assert.match(await (await WireSocket.open(port, WEBSOCKET)).next(), /^0/);
});

const failures = [
  ["passes an error to next", (req, res, next) => next(new Error("no"))],
  ["passes an error to next later", (req, res, next) => setImmediate(next, new Error("no"))],
  [
    "throws",
    () => {
      throw new Error("no");
    },
  ],
  [
    "rejects",
    async () => {
      throw new Error("no");
    },
  ],
];

for (const [name, middleware] of failures) {
  test(`refuses the request when a middleware ${name} [ENG-71, ENG-40]`, async (t) => {
    const { engine, port } = await startEngine(t);
    engine.use(middleware);
    engine.use(() => assert.fail("the next middleware must not run"));
    const refusal = once(engine, "connection_error");
    const response = await http(port, { path: POLLING });
    assert.deepEqual([response.status, response.text], [400, '{"code":3,"message":"Bad request"}']);
    const [{ code, message, context }] = await refusal;
    assert.deepEqual([code, message, context.name], [3, "Bad request", "MIDDLEWARE_FAILURE"]);
  });

  test(`refuses the upgrade when a middleware ${name} [ENG-71, ENG-44]`, async (t) => {
    const { engine, port } = await startEngine(t);
    engine.use(middleware);
    const refusal = once(engine, "connection_error");
    assert.equal((await refusedUpgrade(port, WEBSOCKET)).text, "Bad request");
    assert.equal((await refusal)[0].context.name, "MIDDLEWARE_FAILURE");
  });
}

test("ignores every next but the first [ENG-71]", async (t) => {
  const { engine, port } = await startEngine(t);
  let sessions = 0;
  engine.on("connection", () => sessions++);
  engine.use((req, res, next) => {
    next();
    next();
    next(new Error("too late"));
  });
  assert.equal((await http(port, { path: POLLING })).status, 200);
  const ws = await WireSocket.open(port, WEBSOCKET);
  assert.match(await ws.next(), /^0/);
  assert.equal(sessions, 2);
});

test("keeps one outcome when a middleware calls next and then throws [ENG-71]", async (t) => {
  const { engine, port } = await startEngine(t);
  engine.use((req, res, next) => {
    next();
    throw new Error("after next");
  });
  const response = await http(port, { path: POLLING });
  assert.ok([200, 400].includes(response.status));
  assert.equal((await http(port, { path: POLLING })).status, response.status);
});

test("keeps one outcome when a middleware fails after it ended the response [ENG-43, ENG-71]", async (t) => {
  const { engine, port } = await startEngine(t);
  engine.use((req, res, next) => {
    res.writeHead(418);
    res.end("teapot");
    next(new Error("late"));
  });
  const response = await http(port, { path: POLLING });
  assert.deepEqual([response.status, response.text], [418, "teapot"]);
});

test("only ends a response whose head a middleware already sent [ENG-43]", async (t) => {
  const { engine, port } = await startEngine(t);
  engine.use((req, res, next) => {
    res.writeHead(202, { "x-mine": "1" });
    res.write("begun");
    next(new Error("no"));
  });
  const response = await http(port, { path: POLLING });
  assert.deepEqual([response.status, response.text, response.headers["x-mine"]], [202, "begun", "1"]);
});

test("stops when a middleware ends the response itself [ENG-72]", async (t) => {
  const { engine, port } = await startEngine(t);
  for (const name of ["connection", "connection_error", "headers", "initial_headers"]) engine.on(name, () => assert.fail(name));
  engine.use((req, res) => {
    res.writeHead(302, { Location: "/login" });
    res.end();
  });
  engine.use(() => assert.fail("the next middleware must not run"));
  const response = await http(port, { path: POLLING });
  assert.deepEqual([response.status, response.headers.location], [302, "/login"]);
});

test("destroys the socket, without an answer, when a middleware ends an upgrade [ENG-72, ENG-73]", async (t) => {
  const { engine, port } = await startEngine(t);
  const ended = new Promise((resolve) =>
    engine.use((req, res) => {
      const seen = [];
      res.on("finish", () => seen.push("finish"));
      res.on("close", () => resolve([...seen, "close"]));
      res.end();
    }),
  );
  assert.equal((await rawRequest(port, upgradeBytes(port, WEBSOCKET))).length, 0);
  assert.deepEqual(await within(ended, "the stand-in to close"), ["finish", "close"]);
});

test("puts the headers a middleware sets on polls and on the 101 [ENG-73, ENG-79]", async (t) => {
  const { engine, port } = await startEngine(t);
  engine.use((req, res, next) => {
    res.setHeader("x-mine", "yes");
    next();
  });
  assert.equal((await http(port, { path: POLLING })).headers["x-mine"], "yes");
  assert.equal((await http(port, { path: `${POLLING}&sid=unknown` })).headers["x-mine"], "yes");
  assert.equal((await WireSocket.open(port, WEBSOCKET)).response.headers["x-mine"], "yes");
});

test("gives upgrades a response stand-in that can set, get and remove headers [ENG-73, ENG-74]", async (t) => {
  const { engine, port } = await startEngine(t);
  const seen = [];
  engine.use((req, res, next) => {
    res.setHeader("x-kept", "1");
    res.setHeader("x-removed", "1");
    seen.push(res.getHeader("x-kept"), res.getHeader("x-none"));
    res.removeHeader("x-removed");
    seen.push(res.getHeader("x-removed"), typeof res.write, typeof res.writeHead, typeof res.on);
    ours("its names are case-sensitive", () => assert.equal(res.getHeader("X-Kept"), "1"));
    next();
  });
  const { response } = await WireSocket.open(port, WEBSOCKET);
  assert.deepEqual(seen, ["1", undefined, undefined, "function", "function", "function"]);
  assert.deepEqual([response.headers["x-kept"], response.headers["x-removed"]], ["1", undefined]);
});

test("writes one header line per element of an array on the 101 [ENG-74]", oursOnly("it joins them with a comma"), async (t) => {
  const { engine, port } = await startEngine(t);
  engine.use((req, res, next) => {
    res.setHeader("Set-Cookie", ["a=1", "b=2"]);
    res.setHeader("X-One", "first");
    res.setHeader("x-one", "second");
    next();
  });
  const { response } = await WireSocket.open(port, WEBSOCKET);
  const lines = (name) => response.rawHeaders.filter(([header]) => header.toLowerCase() === name).map(([, value]) => value);
  assert.deepEqual(lines("set-cookie"), ["a=1", "b=2"]);
  assert.deepEqual(lines("x-one"), ["second"]);
});

test("calls writeHead of the stand-in once, after verification and before the 101 [ENG-73, ENG-75]", async (t) => {
  const { engine, port } = await startEngine(t);
  const calls = [];
  engine.use((req, res, next) => {
    const writeHead = res.writeHead;
    res.writeHead = function (...args) {
      calls.push(args[0]);
      res.setHeader("Set-Cookie", "session=1");
      return writeHead.apply(this, args);
    };
    next();
  });
  await refusedUpgrade(port, `${WEBSOCKET}&sid=unknown`);
  const refused = calls.length;
  const { response } = await WireSocket.open(port, WEBSOCKET);
  assert.equal(calls.length - refused, 1);
  assert.equal(response.headers["set-cookie"], "session=1");
});

/** What a session middleware does: wraps the head and the end of the response to save a cookie. */
function sessionLike(saved) {
  return (req, res, next) => {
    req.session = { visits: 1 };
    const { writeHead, end } = res;
    res.writeHead = function (...args) {
      if (!res.headersSent) res.setHeader("Set-Cookie", "connect.sid=abc; Path=/; HttpOnly");
      return writeHead.apply(this, args);
    };
    res.end = function (...args) {
      saved.push(req.url);
      return end.apply(this, args);
    };
    next();
  };
}

/** What a helmet does: sets headers, removes one. */
function helmetLike(req, res, next) {
  res.removeHeader("X-Powered-By");
  res.setHeader("X-Content-Type-Options", "nosniff");
  next();
}

test("lets session and helmet middlewares work on requests and upgrades [ENG-75]", async (t) => {
  const { engine, port } = await startEngine(t);
  const saved = [];
  engine.use(helmetLike);
  engine.use(sessionLike(saved));
  const connection = once(engine, "connection");
  const polled = await http(port, { path: POLLING });
  assert.deepEqual((await connection)[0].request.session, { visits: 1 });
  const { response } = await WireSocket.open(port, WEBSOCKET);
  for (const { headers } of [polled, response]) {
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["set-cookie"], "connect.sid=abc; Path=/; HttpOnly");
  }
  assert.deepEqual(saved, [POLLING]);
});

test("shows middlewares the parsed query, and the WebSocket on the request afterwards [ENG-70, ENG-205]", async (t) => {
  const { engine, port } = await startEngine(t);
  const seen = [];
  engine.use((req, res, next) => {
    seen.push(req._query.user);
    next();
  });
  const connection = once(engine, "connection");
  await WireSocket.open(port, `${WEBSOCKET}&user=ann`);
  const [session] = await connection;
  assert.deepEqual(seen, ["ann"]);
  assert.equal(typeof session.request.websocket.send, "function");
});
