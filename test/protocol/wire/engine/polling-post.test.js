import { test } from "node:test";
import assert from "node:assert/strict";
import { once, record } from "../../../support/client.js";
import { HttpConnection, PollingSession, requestBytes } from "../../../support/wire-client.js";
import { ending, messages, pollingPair, startEcho } from "../../../support/engine.js";

const FORM = { "Content-Type": "text/plain;charset=UTF-8" };

test("answers a post with ok and exactly these headers [EIO-50, ENG-90]", async (t) => {
  const { client } = await pollingPair(t);
  const { status, rawHeaders, body } = await client.post("4a", { headers: FORM });
  assert.equal(status, 200);
  assert.deepEqual(body, Buffer.from("ok"));
  assert.deepEqual(
    rawHeaders.filter(([name]) => name !== "Date"),
    [
      ["Content-Type", "text/html"],
      ["Content-Length", "2"],
      ["cache-control", "no-store"],
      ["Connection", "close"],
    ],
  );
});

test("puts characters together that the network cut in two [ENG-91]", async (t) => {
  const { port, client, session } = await pollingPair(t);
  const data = once(session, "data");
  const body = Buffer.from("4€🦊");
  const connection = await HttpConnection.open(port);
  const request = requestBytes(port, { method: "POST", path: client.url(), body });
  for (const byte of request) connection.write(Buffer.from([byte]));
  assert.equal((await connection.response("POST")).text, "ok");
  assert.deepEqual(await data, ["€🦊"]);
});

test("takes a chunked body [ENG-92]", async (t) => {
  const { port, client, session } = await pollingPair(t);
  const data = once(session, "data");
  const connection = await HttpConnection.open(port);
  const head = requestBytes(port, { method: "POST", path: client.url(), headers: { "Transfer-Encoding": "chunked" } });
  connection.write(Buffer.concat([head, Buffer.from("3\r\n4he\r\n"), Buffer.from("3\r\nllo\r\n0\r\n\r\n")]));
  assert.equal((await connection.response("POST")).text, "ok");
  assert.deepEqual(await data, ["hello"]);
});

for (const type of [undefined, "text/plain", "application/json", "application/x-www-form-urlencoded", "nonsense"]) {
  test(`takes the content type ${type} [ENG-92, EIO-115]`, async (t) => {
    const { client, session } = await pollingPair(t);
    const data = once(session, "data");
    assert.equal((await client.post("4a", { headers: { "Content-Type": type } })).text, "ok");
    assert.deepEqual(await data, ["a"]);
  });
}

test("runs listeners before the response is written [ENG-93]", async (t) => {
  const { client, session, engine } = await pollingPair(t);
  const order = [];
  session.on("data", (payload) => order.push(payload));
  engine.on("headers", () => order.push("headers"));
  await client.post("4a\x1e4b");
  assert.deepEqual(order, ["a", "b", "headers"]);
});

test("ends the session of a client that drops a post before its body ended [EIO-125, ENG-94, ENG-162]", async (t) => {
  const { port, client, session } = await pollingPair(t);
  const end = ending(session);
  const connection = await HttpConnection.open(port);
  connection.write(requestBytes(port, { method: "POST", path: client.url(), headers: { "Content-Length": "100" }, body: "4incomplete" }));
  connection.socket.end();
  const { reason, description } = await end;
  assert.deepEqual(
    [reason, description.type, description.message],
    ["transport error", "TransportError", "data request connection closed prematurely"],
  );
});

test("ends the session when two posts overlap, and refuses the second [EIO-52, ENG-95]", async (t) => {
  const { engine, port, client, session } = await pollingPair(t);
  const seen = messages(session);
  const end = ending(session);
  const first = await HttpConnection.open(port);
  const arrived = new Promise((resolve) =>
    engine.use((req, res, next) => {
      next();
      resolve();
    }),
  );
  first.write(requestBytes(port, { method: "POST", path: client.url(), headers: { "Content-Length": "100" }, body: "4incomplete" }));
  await arrived;
  const second = await client.post("4second");
  assert.deepEqual([second.status, second.text], [400, ""]);
  const { reason, description } = await end;
  assert.deepEqual([reason, description.message], ["transport error", "data request overlap from client"]);
  await first.closed;
  assert.deepEqual(seen, []);
});

test("refuses application/octet-stream in revision 4 and ends the session [ENG-96]", async (t) => {
  const { client, session } = await pollingPair(t);
  const end = ending(session);
  const response = await client.post("4a", { headers: { "Content-Type": "application/octet-stream" } });
  assert.deepEqual([response.status, response.text], [400, ""]);
  const { reason, description } = await end;
  assert.deepEqual([reason, description.message], ["transport error", "invalid content"]);
});

test("refuses application/octet-stream again and again without keeping its requests [ENG-96]", async (t) => {
  const { port, engine } = await startEcho(t);
  for (let i = 0; i < 20; i++) {
    const client = await PollingSession.open(port);
    assert.equal((await client.post("4a", { headers: { "Content-Type": "application/octet-stream" } })).status, 400);
  }
  assert.equal(engine.clientsCount, 0);
});

test("takes a body of exactly maxHttpBufferSize bytes [EIO-54, ENG-97]", async (t) => {
  const { client, session } = await pollingPair(t, { maxHttpBufferSize: 10 });
  const data = once(session, "data");
  assert.equal((await client.post("4123456789")).text, "ok");
  assert.deepEqual(await data, ["123456789"]);
});

for (const [name, body] of [
  ["one byte too long", "41234567890"],
  ["too long in bytes but not in characters", "4€€€€"],
  ["too long in small packets", "4a\x1e4b\x1e4c\x1e4d"],
]) {
  test(`answers 413 to a body that is ${name}, delivers nothing and ends the session [EIO-54, ENG-97, ENG-98]`, async (t) => {
    const { client, session } = await pollingPair(t, { maxHttpBufferSize: 10 });
    const seen = messages(session);
    const end = ending(session);
    const response = await client.post(body);
    assert.deepEqual([response.status, response.text], [413, ""]);
    const { reason, description } = await end;
    assert.equal(reason, "transport error");
    assert.match(description.message, /^payload too large: limit 10, met \d+$/);
    assert.deepEqual(seen, []);
  });
}

test("answers 413 to a chunked body without a declared length that grows too long [ENG-97]", async (t) => {
  const { port, client, session } = await pollingPair(t, { maxHttpBufferSize: 1000 });
  const seen = messages(session);
  const connection = await HttpConnection.open(port);
  const head = requestBytes(port, { method: "POST", path: client.url(), headers: { "Transfer-Encoding": "chunked" } });
  const chunk = Buffer.from(`64\r\n${"4".repeat(100)}\r\n`);
  connection.write(Buffer.concat([head, ...Array(11).fill(chunk), Buffer.from("0\r\n\r\n")]));
  const response = await connection.response("POST");
  assert.deepEqual([response.status, response.text], [413, ""]);
  assert.deepEqual(seen, []);
});

test("keeps the limit with a middleware installed [ENG-99]", async (t) => {
  const { engine, client, session } = await pollingPair(t, { maxHttpBufferSize: 10 });
  engine.use((req, res, next) => setImmediate(next));
  const seen = messages(session);
  assert.equal((await client.post("4short")).text, "ok");
  assert.equal((await client.post("4".repeat(11))).status, 413);
  assert.deepEqual(seen, ["short"]);
});

test("answers ok to a post that closed its session [ENG-91, EIO-133]", async (t) => {
  const { client, session } = await pollingPair(t);
  const end = ending(session);
  const response = await client.post("abc");
  assert.deepEqual([response.status, response.text], [200, "ok"]);
  assert.equal((await end).reason, "parse error");
  assert.equal((await client.get()).status, 400);
});

test("stops the delivery of a payload when a listener closes the session [ENG-165]", async (t) => {
  const { client, session } = await pollingPair(t);
  const seen = record(session, "data");
  session.on("data", () => session.close());
  assert.equal((await client.post("4first\x1e4second")).text, "ok");
  assert.deepEqual(seen.events, [["data", "first"]]);
});

test("keeps the order of many posts on one connection [EIO-50, EIO-132]", async (t) => {
  const { port } = await startEcho(t);
  const agent = await HttpConnection.open(port);
  const client = await PollingSession.open(port, "", { agent });
  const sent = [];
  for (let i = 0; i < 50; i++) {
    sent.push(`4${i}`);
    assert.equal((await client.post(`4${i}`)).text, "ok");
  }
  const met = [];
  while (met.length < sent.length) met.push(...(await client.poll()));
  assert.deepEqual(met, sent);
});
