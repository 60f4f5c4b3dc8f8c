/** Bodies of POSTs that are slow, too large, or outlive their session. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ending, messages, openPolling, pollingPair } from "../../../support/engine.js";
import { startEngine } from "../../../support/server.js";
import { http, HttpConnection, requestBytes } from "../../../support/wire-client.js";

const isUws = process.env.TEST_HOST === "uws";
const HOSTS = isUws
  ? { "uWebSockets.js": { uws: true } }
  : { "Node HTTP": {}, HTTPS: { https: true }, "HTTP/1.1 of an HTTP/2 server": { http2: true } };
const REVISIONS = { 4: "4incomplete", 3: "999:4incomplete" };

/** Sends the head of a POST of the session and the beginning of its body. */
async function beginPost({ port, client, tls }, headers, ...pieces) {
  const connection = await HttpConnection.open(port, { tls });
  const response = connection.response("POST");
  response.catch(() => {});
  connection.write(
    Buffer.concat([requestBytes(port, { method: "POST", path: client.url(), headers }), ...pieces.map((piece) => Buffer.from(piece))]),
  );
  return { connection, response };
}

async function pair(t, options, host, eio = 4) {
  const tls = host.https === true || host.http2 === true;
  const started = await startEngine(t, { allowEIO3: true, ...options }, host);
  if (!tls) return { ...started, tls, ...(await openPolling(started, { eio })) };
  const { PollingSession } = await import("../../../support/wire-client.js");
  const client = await PollingSession.open(started.port, "", { eio, tls });
  return { ...started, tls, client, session: started.engine.clients[client.sid] };
}

for (const [name, host] of Object.entries(HOSTS)) {
  for (const [eio, text] of Object.entries(REVISIONS)) {
    test(`answers 408 to a body that is too slow and ends its session, on ${name}, revision ${eio} [ROB-151, ROB-154]`, async (t) => {
      const server = await pair(t, { httpRequestBodyTimeout: 100 }, host, Number(eio));
      const seen = messages(server.session);
      const end = ending(server.session);
      const { connection, response } = await beginPost(server, { "Content-Length": "1000" }, text);
      const { status, text: body } = await response;
      assert.deepEqual([status, body], [408, ""]);
      const { reason, description } = await end;
      assert.deepEqual([reason, description.type, description.message], ["transport error", "TransportError", "http request timeout"]);
      await connection.closed;
      assert.deepEqual(seen, []);
    });
  }

  test(`cuts a POST that is still read when its session ends by ping time-out, on ${name} [ROB-150]`, async (t) => {
    const server = await pair(t, { pingInterval: 100, pingTimeout: 100 }, host);
    const end = ending(server.session);
    const { connection, response } = await beginPost(server, { "Content-Length": "1000" }, "4incomplete");
    assert.equal((await end).reason, "ping timeout");
    await connection.closed;
    await assert.rejects(response);
  });

  test(`answers 413 to a declared length over the limit before the body comes, and ends the session, on ${name} [ROB-153, ROB-154]`, async (t) => {
    const server = await pair(t, { maxHttpBufferSize: 1000 }, host);
    const end = ending(server.session);
    const { connection, response } = await beginPost(server, { "Content-Length": "1001" });
    const { status, text } = await response;
    assert.deepEqual([status, text], [413, ""]);
    const { reason, description } = await end;
    const { code, limit, met, message } = description;
    assert.deepEqual([reason, code, limit, met], ["transport error", "RC_ERR_BODY_BYTES", 1000, 1001]);
    assert.equal(message, "payload too large: limit 1000, met 1001");
    await connection.closed;
  });
}

for (const way of ["close()", "close(true)", "engine.close()"]) {
  test(`cuts a POST that is still read at ${way} [ROB-150]`, async (t) => {
    const server = await pollingPair(t);
    const arrived = new Promise((resolve) =>
      server.engine.use((request, _response, next) => (next(), request.method === "POST" && resolve())),
    );
    const { connection, response } = await beginPost(server, { "Content-Length": "1000" }, "4incomplete");
    await arrived;
    if (way === "engine.close()") server.engine.close();
    else server.session.close(way === "close(true)");
    if (way === "close()") await server.client.get();
    await connection.closed;
    await assert.rejects(response);
  });
}

test("answers ok to the POST whose listener ends the session at once [ROB-150, ENG-91]", async (t) => {
  const { client, session } = await pollingPair(t);
  session.on("data", () => session.close(true));
  assert.equal((await client.post("4a\x1e4b")).text, "ok");
});

test("gives the time again to each POST, and takes one that arrives just in time [ROB-151]", async (t) => {
  const server = await pollingPair(t, { httpRequestBodyTimeout: 400 });
  const seen = messages(server.session);
  for (let i = 0; i < 4; i++) {
    const { connection, response } = await beginPost(server, { "Content-Length": "2" }, "4");
    setTimeout(() => connection.write("a"), 150);
    assert.equal((await response).text, "ok");
    connection.abort();
  }
  assert.deepEqual(seen, ["a", "a", "a", "a"]);
});

test(
  "answers 413 to a body in too many chunks, and ends the session [ROB-152]",
  { skip: isUws && "a POST needs its length there" },
  async (t) => {
    const server = await pollingPair(t, { maxBufferedChunks: 5 });
    const end = ending(server.session);
    const { response } = await beginPost(
      server,
      { "Transfer-Encoding": "chunked" },
      ..."444444".split("").map((piece) => `1\r\n${piece}\r\n`),
    );
    assert.equal((await response).status, 413);
    const { reason, description } = await end;
    const { code, limit, met, message } = description;
    assert.deepEqual([reason, code, limit, met], ["transport error", "RC_ERR_BODY_CHUNKS", 5, 6]);
    assert.equal(message, "too many chunks: limit 5, met 6");
  },
);

test("takes a body in as many chunks as allowed [ROB-152]", { skip: isUws && "a POST needs its length there" }, async (t) => {
  const server = await pollingPair(t, { maxBufferedChunks: 5 });
  const seen = messages(server.session);
  const { response } = await beginPost(
    server,
    { "Transfer-Encoding": "chunked" },
    ..."4abcd".split("").map((piece) => `1\r\n${piece}\r\n`),
    "0\r\n\r\n",
  );
  assert.equal((await response).text, "ok");
  assert.deepEqual(seen, ["abcd"]);
});

test("keeps a connection when its refused body ends in time [ROB-154]", { skip: isUws && "the library closes it" }, async (t) => {
  const { port, client } = await pollingPair(t, { maxHttpBufferSize: 10 });
  const agent = await HttpConnection.open(port);
  assert.equal((await client.post("4".repeat(11), { agent })).status, 413);
  assert.equal((await http(port, { path: client.url(), agent })).status, 400);
});

test(
  "cuts a connection when its refused body doesn't end, for every reason of refusal [ROB-154]",
  { skip: isUws && "the library closes it" },
  async (t) => {
    const { port, client } = await pollingPair(t);
    const unknown = client.url().replace(client.sid, "unknown");
    const slow = { "Content-Length": "1000" };
    for (const [status, method, path, headers] of [
      [400, "POST", unknown, slow],
      [500, "PUT", client.url(), slow],
      [400, "POST", client.url(), { ...slow, "Content-Type": "application/octet-stream" }],
    ]) {
      const connection = await HttpConnection.open(port);
      connection.write(requestBytes(port, { method, path, headers }));
      assert.equal((await connection.response(method)).status, status);
      await connection.closed;
    }
  },
);

test("refuses options for bodies that cannot work [ROB-151, ROB-152]", async (t) => {
  for (const name of ["httpRequestBodyTimeout", "maxBufferedChunks"]) {
    for (const value of [0, -1, NaN, "1", null]) {
      await assert.rejects(startEngine(t, { [name]: value }), {
        code: "RC_ERR_OPTION",
        message: new RegExp(`${name}: expected a positive number, met`),
      });
    }
  }
});

test(
  "counts the part of a response that the peer hasn't read, and takes no second poll meanwhile [ROB-155]",
  { skip: isUws && "the library doesn't tell" },
  async (t) => {
    const { port, client, session } = await pollingPair(t, { httpCompression: false });
    const reader = await HttpConnection.open(port);
    reader.socket.pause();
    const ready = new Promise((resolve) => session.transport.once("ready", resolve));
    reader.write(requestBytes(port, { path: client.url() }));
    await ready;
    const end = ending(session);
    session.send("x".repeat(20_000_000));
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(session.bufferedBytes > 10_000_000, `${session.bufferedBytes} bytes`);
    assert.equal((await client.get()).status, 400);
    const { reason, description } = await end;
    assert.deepEqual([reason, description.message], ["transport error", "overlap from client"]);
    reader.abort();
  },
);
