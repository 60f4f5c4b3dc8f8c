import { test } from "node:test";
import assert from "node:assert/strict";
import { once, record } from "../../../support/client.js";
import { WireSocket, http } from "../../../support/wire-client.js";
import { POLLING, WEBSOCKET, openPolling, pollingPair } from "../../../support/engine.js";
import { ours } from "../../../support/target.js";
import { startEngine } from "../../../support/server.js";

const lines = ({ rawHeaders }, name) => rawHeaders.filter(([header]) => header.toLowerCase() === name).map(([, value]) => value);

test("emits initial_headers once per session and headers for every response [ENG-78, ENG-200]", async (t) => {
  const { engine, port } = await startEngine(t);
  const seen = record(engine, "initial_headers", "headers");
  const { client, session } = await openPolling({ engine, port });
  assert.deepEqual(seen.names, ["initial_headers", "headers"]);
  session.send("a");
  await client.get();
  await client.post("4a");
  await client.upgrade();
  assert.deepEqual(seen.names, ["initial_headers", "headers", "headers", "headers", "headers"]);
  for (const [, headers, req] of seen.events) {
    assert.equal(typeof headers, "object");
    assert.equal(req._query.EIO, "4");
  }
});

test("emits both for a WebSocket handshake, in order [ENG-78, ENG-142]", async (t) => {
  const { engine, port } = await startEngine(t);
  const seen = record(engine, "initial_headers", "headers");
  await WireSocket.open(port, WEBSOCKET);
  assert.deepEqual(seen.names, ["initial_headers", "headers"]);
});

test("writes the headers that listeners add to polls, posts and WebSockets [ENG-78, ENG-80]", async (t) => {
  const { engine, port } = await startEngine(t);
  engine.on("initial_headers", (headers) => {
    headers["x-initial"] = "1";
  });
  engine.on("headers", (headers) => {
    headers["x-every"] = "2";
    headers["x-list"] = ["a", "b"];
  });
  const { client, session } = await openPolling({ engine, port });
  session.send("a");
  const poll = await client.get();
  const post = await client.post("4a");
  const ws = await WireSocket.open(port, WEBSOCKET);
  const upgraded = await client.candidate();
  for (const [response, initial] of [
    [client.response, ["1"]],
    [poll, []],
    [post, []],
    [ws.response, ["1"]],
    [upgraded.response, []],
  ]) {
    assert.deepEqual(lines(response, "x-initial"), initial);
    assert.deepEqual(lines(response, "x-every"), ["2"]);
    const check = () => assert.deepEqual(lines(response, "x-list"), ["a", "b"]);
    if (response.status === 101) ours("it joins array values on a 101", check);
    else check();
  }
});

test("shows listeners what the response has already [ENG-79]", async (t) => {
  const { engine, port } = await startEngine(t, { cookie: true });
  const seen = record(engine, "initial_headers");
  const response = await http(port, { path: POLLING });
  const [, headers] = seen.events[0];
  assert.equal(headers["Content-Type"], "text/plain; charset=UTF-8");
  assert.equal(headers["Content-Length"], response.body.length);
  assert.equal(headers["cache-control"], "no-store");
  assert.deepEqual(headers["Set-Cookie"], lines(response, "set-cookie"));
});

test("shows no length when the response is compressed [ENG-79, ENG-102]", async (t) => {
  const { engine, port } = await startEngine(t, { httpCompression: { threshold: 10 } });
  const lengths = [];
  engine.on("initial_headers", (headers) => lengths.push(headers["Content-Length"]));
  const response = await http(port, { path: POLLING, headers: { "Accept-Encoding": "gzip" } });
  assert.equal(response.headers["content-encoding"], "gzip");
  assert.ok(lengths[0] === undefined || lengths[0] === response.body.length);
});

test("starts a WebSocket's headers with what middlewares set, else empty [ENG-79]", async (t) => {
  const { engine, port } = await startEngine(t);
  const seen = [];
  engine.on("headers", (headers) => seen.push({ ...headers }));
  await WireSocket.open(port, WEBSOCKET);
  engine.use((req, res, next) => {
    res.setHeader("x-mine", "1");
    next();
  });
  await WireSocket.open(port, WEBSOCKET);
  assert.deepEqual(seen, [{}, { "x-mine": "1" }]);
});

test("keeps a set-cookie of a listener beside the cookie of the engine [ENG-79]", async (t) => {
  const { engine, port } = await startEngine(t, { cookie: true });
  engine.on("initial_headers", (headers) => {
    headers["set-cookie"] = "mine=1";
  });
  const response = await http(port, { path: POLLING });
  const cookies = lines(response, "set-cookie");
  assert.equal(cookies.length, 2);
  assert.ok(cookies.includes("mine=1") && cookies.some((cookie) => cookie.startsWith("io=")), String(cookies));
});

test("emits nothing for refusals, too long bodies and other methods [ENG-42, ENG-78]", async (t) => {
  const { engine, port, client } = await pollingPair(t, { maxHttpBufferSize: 10 });
  const seen = record(engine, "initial_headers", "headers");
  assert.equal((await http(port, { path: `${POLLING}&sid=unknown` })).status, 400);
  assert.equal((await client.post("4".repeat(20))).status, 413);
  assert.ok((await http(port, { method: "DELETE", path: client.url() })).status >= 400);
  await WireSocket.open(port, `${WEBSOCKET}&sid=unknown`).catch(() => {});
  assert.deepEqual(seen.names, []);
});

test("emits the headers of a waiting poll when it is answered [ENG-78]", async (t) => {
  const { engine, client, session } = await pollingPair(t);
  const seen = record(engine, "headers");
  const ready = once(session.transport, "ready");
  const get = client.get();
  await ready;
  assert.equal(seen.events.length, 0);
  session.send("a");
  await get;
  assert.equal(seen.events.length, 1);
});
