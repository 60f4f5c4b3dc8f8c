import { test } from "node:test";
import assert from "node:assert/strict";
import { once } from "../../../support/client.js";
import { WireSocket, http } from "../../../support/wire-client.js";
import { POLLING, WEBSOCKET, pollingPair } from "../../../support/engine.js";
import { startEngine } from "../../../support/server.js";

const ORIGIN = { Origin: "https://page.example" };
const PREFLIGHT = { ...ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-one, x-two" };

/** Only what CORS says. */
function corsHeaders({ headers }) {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith("access-control-") || name === "vary"));
}

test("says nothing about other origins by default [ENG-10, ENG-76]", async (t) => {
  const { port } = await startEngine(t);
  const response = await http(port, { path: POLLING, headers: ORIGIN });
  assert.equal(response.status, 200);
  assert.deepEqual(corsHeaders(response), {});
  assert.deepEqual(corsHeaders((await WireSocket.open(port, WEBSOCKET, ORIGIN)).response), {});
});

test("answers a preflight, and opens no session and emits nothing for it [ENG-76]", async (t) => {
  const { engine, port } = await startEngine(t, { cors: { origin: "https://a.b", credentials: true } });
  for (const name of ["headers", "initial_headers", "connection", "connection_error"]) {
    engine.on(name, () => assert.fail(name));
  }
  for (const path of [POLLING, `${POLLING}&sid=unknown`]) {
    const response = await http(port, { method: "OPTIONS", path, headers: PREFLIGHT });
    assert.equal(response.status, 204);
    assert.equal(response.headers["content-length"], "0");
    assert.deepEqual(corsHeaders(response), {
      "access-control-allow-origin": "https://a.b",
      vary: "Origin, Access-Control-Request-Headers",
      "access-control-allow-credentials": "true",
      "access-control-allow-methods": "GET,HEAD,PUT,PATCH,POST,DELETE",
      "access-control-allow-headers": "x-one, x-two",
    });
  }
});

test("answers a preflight as configured [ENG-76]", async (t) => {
  const { port } = await startEngine(t, {
    cors: {
      origin: "https://a.b",
      methods: ["GET", "POST"],
      allowedHeaders: ["x-mine"],
      exposedHeaders: ["x-exposed"],
      maxAge: 600,
      optionsSuccessStatus: 200,
    },
  });
  const response = await http(port, { method: "OPTIONS", path: POLLING, headers: PREFLIGHT });
  assert.equal(response.status, 200);
  assert.deepEqual(corsHeaders(response), {
    "access-control-allow-origin": "https://a.b",
    vary: "Origin",
    "access-control-allow-methods": "GET,POST",
    "access-control-allow-headers": "x-mine",
    "access-control-max-age": "600",
    "access-control-expose-headers": "x-exposed",
  });
});

test("puts its headers on polls, posts, refusals and WebSockets [ENG-42, ENG-76]", async (t) => {
  const { port, client, session } = await pollingPair(t, {
    cors: { origin: "https://a.b", credentials: true, exposedHeaders: "x-exposed" },
  });
  const expected = {
    "access-control-allow-origin": "https://a.b",
    vary: "Origin",
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": "x-exposed",
  };
  session.send("a");
  const ws = await WireSocket.open(port, WEBSOCKET, ORIGIN);
  for (const response of [
    await http(port, { path: POLLING, headers: ORIGIN }),
    await client.get({ headers: ORIGIN }),
    await client.post("4a", { headers: ORIGIN }),
    await http(port, { path: `${POLLING}&sid=unknown`, headers: ORIGIN }),
    ws.response,
  ]) {
    assert.deepEqual(corsHeaders(response), expected, `status ${response.status}`);
  }
});

for (const [name, origin, from, expected] of [
  ["a string, sent as it is", "https://a.b", "https://page.example", { "access-control-allow-origin": "https://a.b", vary: "Origin" }],
  ["a star, without Vary", "*", "https://page.example", { "access-control-allow-origin": "*" }],
  [
    "an array, for an origin in it",
    ["https://a.b", /page\.example$/],
    "https://page.example",
    { "access-control-allow-origin": "https://page.example", vary: "Origin" },
  ],
  ["an array, for an origin not in it", ["https://a.b"], "https://page.example", { vary: "Origin" }],
  ["a pattern that matches", /example$/, "https://page.example", { "access-control-allow-origin": "https://page.example", vary: "Origin" }],
  ["a pattern that does not match", /elsewhere$/, "https://page.example", { vary: "Origin" }],
  ["true, for any origin", true, "https://page.example", { "access-control-allow-origin": "https://page.example", vary: "Origin" }],
  [
    "a function that agrees",
    (from, decide) => decide(null, true),
    "https://page.example",
    { "access-control-allow-origin": "https://page.example", vary: "Origin" },
  ],
]) {
  test(`takes as origin ${name}; the request is served in any case [ENG-76]`, async (t) => {
    const { port } = await startEngine(t, { cors: { origin } });
    const response = await http(port, { path: POLLING, headers: { Origin: from } });
    assert.equal(response.status, 200);
    assert.deepEqual(corsHeaders(response), expected);
  });
}

test("does nothing for origin false: a preflight is a bad handshake [ENG-76]", async (t) => {
  const { port } = await startEngine(t, { cors: { origin: false } });
  const response = await http(port, { method: "OPTIONS", path: POLLING, headers: PREFLIGHT });
  assert.deepEqual([response.status, response.text], [400, '{"code":2,"message":"Bad handshake method"}']);
  assert.deepEqual(corsHeaders(await http(port, { path: POLLING, headers: ORIGIN })), {});
});

test("refuses with a middleware failure when the origin function fails [ENG-71, ENG-76]", async (t) => {
  const { engine, port } = await startEngine(t, { cors: { origin: (from, decide) => decide(new Error("no origin")) } });
  const refusal = once(engine, "connection_error");
  assert.equal((await http(port, { path: POLLING, headers: ORIGIN })).text, '{"code":3,"message":"Bad request"}');
  assert.equal((await refusal)[0].context.name, "MIDDLEWARE_FAILURE");
});

test("takes a delegate that gives the options per request [ENG-76]", async (t) => {
  const { port } = await startEngine(t, { cors: (req, decide) => decide(null, { origin: `https://${req._query.tenant}.example` }) });
  const response = await http(port, { path: `${POLLING}&tenant=one`, headers: ORIGIN });
  assert.equal(response.headers["access-control-allow-origin"], "https://one.example");
});

test("runs before the middlewares of the user [ENG-76, ENG-70]", async (t) => {
  const { engine, port } = await startEngine(t, { cors: { origin: "https://a.b" } });
  const seen = [];
  engine.use((req, res, next) => {
    seen.push([req.method, res.getHeader("Access-Control-Allow-Origin")]);
    next();
  });
  assert.equal((await http(port, { method: "OPTIONS", path: POLLING, headers: PREFLIGHT })).status, 204);
  await http(port, { path: POLLING, headers: ORIGIN });
  assert.deepEqual(seen, [["GET", "https://a.b"]]);
});

test("without cors, answers OPTIONS with a sid by an error and leaves the session alone [ENG-77]", async (t) => {
  const { port, client, session } = await pollingPair(t);
  const response = await http(port, { method: "OPTIONS", path: client.url() });
  assert.ok(response.status >= 400);
  session.send("untouched");
  assert.deepEqual(await client.poll(), ["4untouched"]);
});
