import { test } from "node:test";
import assert from "node:assert/strict";
import { once } from "../../../support/client.js";
import { HttpConnection, PollingSession, http } from "../../../support/wire-client.js";
import { POLLING, ending, openPolling, pollingPair, startEcho } from "../../../support/engine.js";
import { startEngine } from "../../../support/server.js";
import { ours } from "../../../support/target.js";

test("answers a poll with exactly these headers, in this order [ENG-80, ENG-207]", async (t) => {
  const { client, session } = await pollingPair(t);
  session.send("a€");
  const { status, rawHeaders, text } = await client.get();
  assert.equal(status, 200);
  assert.equal(text, "4a€");
  assert.deepEqual(
    rawHeaders.filter(([name]) => name !== "Date"),
    [
      ["Content-Type", "text/plain; charset=UTF-8"],
      ["Content-Length", "5"],
      ["cache-control", "no-store"],
      ["Connection", "close"],
    ],
  );
});

test("answers with bodies of every length and alphabet whole, on one kept connection [ENG-80]", async (t) => {
  const { client, session, port } = await pollingPair(t);
  const connection = new HttpConnection(port);
  for (const length of [1, 100, 1000, 16_383, 16_384, 100_000]) {
    for (const letter of ["a", "ü", "€"]) {
      const text = letter.repeat(length);
      session.send(text);
      const response = await connection.request({ path: client.url(), headers: { Connection: "keep-alive" } });
      assert.equal(response.text, `4${text}`);
      assert.equal(Number(response.headers["content-length"]), Buffer.byteLength(response.text));
    }
  }
  connection.abort();
});

test("gives the body to the end of a response that a program has replaced [ENG-80]", async (t) => {
  const { engine, client, session } = await pollingPair(t);
  const bodies = [];
  engine.on("headers", (_headers, { res }) => {
    const { end } = res;
    res.end = function (body, ...rest) {
      bodies.push(body);
      return end.call(this, body, ...rest);
    };
  });
  session.send("a");
  assert.deepEqual(await client.poll(), ["4a"]);
  assert.deepEqual(bodies, ["4a"]);
});

test("leaves the framing to Node.js when a listener has taken the length away [ENG-64, ENG-80]", async (t) => {
  const { engine, client, session } = await pollingPair(t);
  engine.on("headers", (headers) => delete headers["Content-Length"]);
  session.send("a");
  const response = await client.get();
  assert.equal(response.headers["transfer-encoding"], "chunked");
  assert.equal(response.text, "4a");
});

test("answers a poll at once when something is queued [EIO-51, ENG-86]", async (t) => {
  const { client, session } = await pollingPair(t);
  session.send("a");
  session.send("b");
  assert.deepEqual(await client.poll(), ["4a", "4b"]);
});

test("holds a poll until there is something to send [EIO-51, ENG-83]", async (t) => {
  const { client, session } = await pollingPair(t);
  assert.equal(session.transport.writable, false);
  const ready = once(session.transport, "ready");
  const get = client.get();
  await ready;
  assert.equal(session.transport.writable, true);
  session.send("now");
  assert.equal(session.transport.writable, false);
  assert.equal((await get).text, "4now");
});

test("puts everything queued into one payload, however large, without a limit of packets [EIO-51, EIO-54, ROB-460]", async (t) => {
  const { client, session } = await pollingPair(t, { maxHttpBufferSize: 100, maxPacketsPerPayload: Infinity });
  const sent = Array.from({ length: 50 }, (_, i) => `message number ${i}`);
  for (const message of sent) session.send(message);
  assert.deepEqual(
    await client.poll(),
    sent.map((message) => `4${message}`),
  );
});

test("serves a poll and a post at the same time [EIO-53]", async (t) => {
  const { port } = await startEcho(t);
  const client = await PollingSession.open(port);
  const get = client.get();
  assert.equal((await client.post("4echo")).text, "ok");
  assert.equal((await get).text, "4echo");
});

test("closes the session when two polls overlap, and refuses the second [EIO-52, EIO-134, ENG-84, ENG-162]", async (t) => {
  const { client, session } = await pollingPair(t);
  const end = ending(session);
  const ready = once(session.transport, "ready");
  const first = client.get();
  await ready;
  const second = await client.get();
  assert.deepEqual([second.status, second.text], [400, ""]);
  assert.deepEqual([(await first).status, (await first).text], [200, "1"]);
  const { reason, description } = await end;
  assert.equal(reason, "transport error");
  assert.equal(description.type, "TransportError");
  assert.equal(description.message, "overlap from client");
  assert.equal((await client.get()).status, 400);
});

test("closes the session when a waiting poll is aborted [EIO-125, EIO-135, ENG-85, ENG-162]", async (t) => {
  const { client, session } = await pollingPair(t);
  const end = ending(session);
  const ready = once(session.transport, "ready");
  const get = client.get();
  get.catch(() => {});
  await ready;
  get.abort();
  const { reason, description } = await end;
  assert.equal(reason, "transport error");
  assert.ok(description instanceof Error);
  assert.equal(description.type, "TransportError");
  assert.equal(description.message, "poll connection closed prematurely");
  assert.equal((await client.get()).status, 400);
});

test("accepts the next poll as soon as a response is written [ENG-86]", async (t) => {
  const { client, session, port } = await pollingPair(t);
  const agent = await HttpConnection.open(port);
  for (const text of ["a", "b", "c"]) {
    session.send(text);
    assert.equal((await client.get({ agent })).text, `4${text}`);
  }
  assert.equal(session.readyState, "open");
});

test("accepts a poll that was pipelined after another [ENG-86]", async (t) => {
  const { client, session, port } = await pollingPair(t);
  const agent = await HttpConnection.open(port);
  session.send("a");
  const first = client.get({ agent });
  const ready = once(session.transport, "ready");
  const second = client.get({ agent });
  assert.equal((await first).text, "4a");
  await ready;
  session.send("b");
  assert.equal((await second).text, "4b");
});

test("does not take the end of a Connection: close response for an abort [ENG-88]", async (t) => {
  const { client, session } = await pollingPair(t);
  for (const text of ["a", "b"]) {
    session.send(text);
    const response = await client.get({ headers: { Connection: "close" } });
    assert.equal(response.headers.connection, "close");
    assert.equal(response.text, `4${text}`);
  }
  assert.equal(session.readyState, "open");
});

test("answers the handshake at once, and sends what a connection listener sends with the next poll [ENG-89]", async (t) => {
  const { engine, port } = await startEngine(t);
  engine.on("connection", (session) => session.send("from the listener"));
  const { client } = await openPolling({ engine, port });
  assert.match(client.response.text, /^0\{[^\x1e]*\}$/);
  assert.deepEqual(await client.poll(), ["4from the listener"]);
});

for (const method of ["PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"]) {
  test(`answers ${method} with a sid without touching the session [ENG-77, ENG-81]`, async (t) => {
    const { client, session, port } = await pollingPair(t);
    const response = await http(port, { method, path: client.url() });
    assert.ok(response.status >= 400, `status ${response.status}`);
    assert.equal(response.text, "");
    session.send("untouched");
    assert.deepEqual(await client.poll(), ["4untouched"]);
  });
}

for (const [agent, value] of [
  ["Mozilla/4.0 (compatible;MSIE 8.0)", "0"],
  ["Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko", "0"],
  ["Mozilla/4.0 (compatible; MSIE 8.0)", undefined],
  ["curl/8", undefined],
]) {
  test(`sends X-XSS-Protection ${value} to ${agent} [ENG-82]`, async (t) => {
    const { port, client, session } = await pollingPair(t);
    const headers = { "User-Agent": agent };
    assert.equal((await http(port, { path: POLLING, headers })).headers["x-xss-protection"], value);
    session.send("a");
    assert.equal((await client.get({ headers })).headers["x-xss-protection"], value);
    assert.equal((await client.post("4a", { headers })).headers["x-xss-protection"], value);
  });
}

test("fails the poll, and not the process, when another listener answers it [ENG-64]", async (t) => {
  const { engine, port, httpServer } = await startEngine(t);
  const { client, session } = await openPolling({ engine, port });
  httpServer.on("request", (req, res) => {
    if (req.method === "GET") res.end("mine");
  });
  await ours("it crashes with an uncaught error", async () => {
    const end = ending(session);
    const get = client.get();
    assert.equal((await get).text, "mine");
    session.send("too late");
    const { reason } = await end;
    assert.equal(reason, "transport error");
  });
});
