/** WebSockets over HTTP/2, by extended CONNECT (RFC 8441), as browsers ask for them on a connection that speaks it. */
import assert from "node:assert/strict";
import { createSecureServer, createServer } from "node:http2";
import { test } from "node:test";
import { deflateRawSync } from "node:zlib";
import { once } from "../../support/client.js";
import { ending, messages } from "../../support/engine.js";
import { startEngine, startServer, tlsFixture } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { pass, within } from "../../support/wait.js";
import { frame, OPCODE, WireSocket } from "../../support/wire-client.js";
import { ask, bodyOf, openConnection, openWebSocket, request, WEBSOCKET } from "./http2-client.js";

const HTTP2 = { http2: true };
const test2 = (title, run) => test(title, oursOnly("it serves no WebSocket over HTTP/2"), run);

/** An engine on an HTTP/2 server and one session over WebSocket. */
async function open(t, options, { path, headers } = {}) {
  const started = await startEngine(t, options, HTTP2);
  const connection = await openConnection(t, started.url);
  const opened = once(started.engine, "connection");
  const ws = await openWebSocket(connection, path, headers);
  const [session] = await opened;
  return { ...started, connection, ws, session };
}

test2("announces extended CONNECT on a server that was attached, without any option of the program [HTTP-43]", async (t) => {
  const { url } = await startEngine(t, {}, HTTP2);
  const { remoteSettings } = await openConnection(t, url);
  assert.equal(remoteSettings.enableConnectProtocol, true);
});

test2("announces nothing where websocket is not enabled [OPT-2]", async (t) => {
  const { url } = await startEngine(t, { transports: ["polling"] }, HTTP2);
  const { remoteSettings } = await openConnection(t, url);
  assert.equal(remoteSettings.enableConnectProtocol, false);
});

test2("answers 200 without the headers of HTTP/1.1, and opens a session [EIO-42, ENG-110]", async (t) => {
  const { ws, session } = await open(t);
  const { ":status": status, ...headers } = ws.headers;
  assert.equal(status, 200);
  assert.deepEqual(
    Object.keys(headers).filter((name) => /^(connection|upgrade|sec-websocket)/.test(name)),
    [],
  );
  assert.deepEqual(JSON.parse((await ws.next()).slice(1)).upgrades, []);
  assert.equal(session.transport.name, "websocket");
});

test2("carries text and binary both ways, and pings [EIO-20, EIO-21, ENG-119]", async (t) => {
  const { ws, session } = await open(t);
  await ws.next();
  session.on("data", (data) => session.send(data));
  ws.send("4hello", Buffer.from([1, 2, 3]), `4${"x".repeat(100_000)}`);
  await ws.expect("4hello");
  await ws.expect(Buffer.from([1, 2, 3]));
  await ws.expect(`4${"x".repeat(100_000)}`);
  ws.ping(Buffer.from("p"));
  assert.equal((await ws.controls.next()).payload.toString(), "p");
});

test2("keeps many WebSockets and polls apart on one connection [HTTP-43]", async (t) => {
  const { connection, engine } = await open(t);
  engine.on("connection", (session) => session.on("data", (data) => session.send(`${session.id}:${data}`)));
  const all = await Promise.all(Array.from({ length: 20 }, () => openWebSocket(connection)));
  const sids = await Promise.all(all.map(async (ws) => JSON.parse((await ws.next()).slice(1)).sid));
  for (const [at, ws] of all.entries()) ws.send(`4${at}`);
  for (const [at, ws] of all.entries()) await ws.expect(`4${sids[at]}:${at}`);
  const { status, text } = await request(connection, "GET", "/engine.io/?EIO=4&transport=polling");
  assert.equal(status, 200);
  assert.match(text, /^0\{"sid"/);
});

test2("moves a polling session to a WebSocket of the same connection [EIO-80, EIO-85]", async (t) => {
  const { url, engine } = await startEngine(t, {}, HTTP2);
  const connection = await openConnection(t, url);
  const opened = once(engine, "connection");
  const { text } = await request(connection, "GET", "/engine.io/?EIO=4&transport=polling");
  const { sid } = JSON.parse(text.slice(1));
  const [session] = await opened;
  const ws = await openWebSocket(connection, `${WEBSOCKET}&sid=${sid}`);
  ws.send("2probe");
  await ws.expect("3probe");
  const upgrade = once(session, "upgrade");
  ws.send("5");
  await upgrade;
  session.send("over it");
  await ws.expect("4over it");
  assert.equal(engine.clientsCount, 1);
});

test2("shows programs a request like that of an HTTP/1.1 upgrade [ENG-131, ENG-205, SOC-11]", async (t) => {
  const { io, url } = await startServer(t, {}, HTTP2);
  const connection = await openConnection(t, url);
  const joined = once(io, "connection");
  const headers = { origin: "https://example.org", cookie: "a=1; b=2", "x-own": "yes" };
  const ws = await openWebSocket(connection, "/socket.io/?EIO=4&transport=websocket&token=x", headers);
  ws.send("40");
  const [socket] = await joined;
  const { handshake, request: req } = socket;
  assert.deepEqual([handshake.query.token, handshake.secure, handshake.xdomain, handshake.headers["x-own"]], ["x", true, true, "yes"]);
  assert.equal(handshake.address, "127.0.0.1");
  assert.equal(handshake.url, "/socket.io/?EIO=4&transport=websocket&token=x");
  assert.deepEqual([req.method, req.httpVersion, req.headers.cookie, req.headers.upgrade], ["GET", "2.0", "a=1; b=2", "websocket"]);
  assert.equal(req.headers.host, new URL(url).host);
  assert.deepEqual(
    Object.keys(req.headers).filter((name) => name.startsWith(":")),
    [],
  );
  connection.destroy();
  await once(socket, "disconnect");
  assert.deepEqual([handshake.secure, socket.request.socket.remoteAddress], [true, "127.0.0.1"]);
});

test2("runs middlewares, whose headers go into the answer with those of listeners [ENG-71, ENG-74, ENG-78]", async (t) => {
  const { engine, url } = await startEngine(t, {}, HTTP2);
  engine.use((req, res, next) => {
    assert.equal(req.headers.upgrade, "websocket");
    res.setHeader("X-Middleware", "m");
    res.setHeader("Set-Cookie", ["a=1", "b=2"]);
    next();
  });
  engine.on("initial_headers", (headers) => (headers["X-Initial"] = "i"));
  engine.on("headers", (headers) => (headers["X-Every"] = "e"));
  const ws = await openWebSocket(await openConnection(t, url));
  const { "x-middleware": middleware, "x-initial": initial, "x-every": every, "set-cookie": cookies } = ws.headers;
  assert.deepEqual({ middleware, initial, every, cookies }, { middleware: "m", initial: "i", every: "e", cookies: ["a=1", "b=2"] });
});

for (const [what, options, path, headers, text] of [
  ["an unknown session", {}, `${WEBSOCKET}&sid=AAAAAAAAAAAAAAAAAAAA`, {}, "Session ID unknown"],
  ["an unknown transport", {}, "/engine.io/?EIO=4&transport=foo", {}, "Transport unknown"],
  ["no transport", {}, "/engine.io/", {}, "Transport unknown"],
  ["polling", {}, "/engine.io/?EIO=4&transport=polling", {}, "Bad request"],
  ["revision 3", {}, "/engine.io/?EIO=3&transport=websocket", {}, "Unsupported protocol version"],
  ["what allowRequest refuses", { allowRequest: (_req, answer) => answer("go away", false) }, WEBSOCKET, {}, "go away"],
]) {
  test2(`refuses ${what} with 400 and says why [ENG-40, ENG-44, ENG-50]`, async (t) => {
    const { engine, url } = await startEngine(t, options, HTTP2);
    const refused = once(engine, "connection_error");
    const { stream, status, headers: answer } = await ask(await openConnection(t, url), path, headers);
    assert.equal(status, 400);
    assert.equal(answer.connection, undefined);
    assert.equal(await bodyOf(stream), text);
    assert.equal((await refused)[0].req.url, path);
    assert.equal(engine.clientsCount, 0);
  });
}

test2("refuses when a middleware fails, and cuts the stream when it answers itself [ENG-71, ENG-73]", async (t) => {
  const { engine, url } = await startEngine(t, {}, HTTP2);
  let isFailing = true;
  engine.use((_req, res, next) => (isFailing ? next(new Error("no")) : res.end()));
  const connection = await openConnection(t, url);
  const { stream, status } = await ask(connection);
  assert.deepEqual([status, await bodyOf(stream)], [400, "Bad request"]);
  isFailing = false;
  await assert.rejects(ask(connection), { rstCode: 8 });
});

test2("refuses a WebSocket version it doesn't know [ENG-46]", async (t) => {
  const { url } = await startEngine(t, {}, HTTP2);
  const { status } = await ask(await openConnection(t, url), WEBSOCKET, { "sec-websocket-version": "7" });
  assert.equal(status, 400);
});

test2("negotiates compression [ENG-113]", async (t) => {
  const { ws, session } = await open(
    t,
    { perMessageDeflate: { threshold: 0 } },
    { headers: { "sec-websocket-extensions": "permessage-deflate" } },
  );
  assert.match(ws.headers["sec-websocket-extensions"], /^permessage-deflate/);
  session.send("x".repeat(1000));
  await ws.next();
  await ws.next();
  assert.ok(ws.frames.some(({ rsv, payload }) => rsv === 4 && payload.length < 100));
});

test2("ends a stream at a message that inflates to more than maxHttpBufferSize [ROB-613]", async (t) => {
  const { ws, session } = await open(t, { perMessageDeflate: true }, { headers: { "sec-websocket-extensions": "permessage-deflate" } });
  const end = ending(session);
  ws.write(frame(OPCODE.text, deflateRawSync(Buffer.alloc(10_000_000)), { rsv: 4 }));
  assert.equal((await end).reason, "transport error");
  assert.equal((await ws.closed()).code, 1009);
});

// -- the end -------------------------------------------------------------------------------------

test2("closes by the closing handshake, and ends the stream without an error [EIO-66, ENG-162]", async (t) => {
  const { ws, session } = await open(t);
  const end = ending(session);
  ws.close(1000);
  assert.equal((await end).reason, "transport close");
  assert.equal((await ws.closed()).code, 1000);
  assert.equal(ws.socket.rstCode, 0);
});

test2("closes from the server, after what was sent [ENG-162]", async (t) => {
  const { ws, session } = await open(t);
  await ws.next();
  session.send("last");
  session.close();
  await ws.expect("4last");
  assert.equal((await ws.closed()).hasFrame, true);
});

for (const [how, act] of [
  ["resets its stream", ({ ws }) => ws.socket.close(8)],
  ["ends its stream without a close frame", ({ ws }) => ws.socket.end()],
  ["loses its connection", ({ connection }) => connection.destroy()],
  ["closes its TCP connection", ({ connection }) => connection.cut()],
]) {
  test2(`ends the session when the client ${how} [ENG-166]`, async (t) => {
    const opened = await open(t);
    const end = ending(opened.session);
    act(opened);
    assert.match((await end).reason, /^transport (close|error)$/);
    await pass(0);
    assert.equal(opened.engine.clientsCount, 0);
  });
}

test2("ends one WebSocket of a connection and leaves the others [ENG-166]", async (t) => {
  const { ws, session, connection, engine } = await open(t);
  const opened = once(engine, "connection");
  const other = await openWebSocket(connection);
  const [second] = await opened;
  const end = ending(session);
  ws.write(frame(OPCODE.text, Buffer.from("4x"), { rsv: 3 }));
  await end;
  await other.next();
  second.send("still here");
  await other.expect("4still here");
});

test2("survives clients that go before, during and after the handshake [ENG-48]", async (t) => {
  const { engine, url } = await startEngine(t, { allowRequest: (_req, answer) => setImmediate(answer, null, true) }, HTTP2);
  for (let round = 0; round < 50; round++) {
    const connection = await openConnection(t, url);
    const asked = ask(connection).catch(() => {});
    if (round % 2) await pass(round % 5);
    connection.destroy();
    await asked;
  }
  await within(
    (async () => {
      while (engine.clientsCount > 0) await pass(5);
    })(),
    "the sessions to end",
  );
});

test2("closes a client that stopped reading when bufferedBytes wait for it [ENG-162]", async (t) => {
  const { ws, session } = await open(t, { limits: { bufferedBytes: 1_000_000 } });
  ws.pause();
  const end = ending(session);
  for (let i = 0; i < 100 && session.readyState === "open"; i++) session.send("x".repeat(50_000));
  const { reason, description } = await end;
  assert.deepEqual([reason, description.code], ["transport error", "RC_ERR_BUFFERED_BYTES"]);
});

test2("delivers a burst above the window to a client that pauses and goes on [ENG-137]", async (t) => {
  const { ws, session } = await open(t);
  await ws.next();
  ws.pause();
  for (let i = 0; i < 40; i++) session.send(`${i}:${"x".repeat(50_000)}`);
  await pass(20);
  assert.equal(session.transport.writable, false);
  ws.resume();
  for (let i = 0; i < 40; i++) assert.match(await ws.next(), new RegExp(`^4${i}:`));
});

test2("takes a message of many frames that the client sends without waiting [EIO-124]", async (t) => {
  const { ws, session } = await open(t);
  const seen = messages(session);
  const data = once(session, "data");
  ws.sendFragments(`4${"y".repeat(500_000)}`, 50);
  await data;
  assert.equal(seen[0].length, 500_000);
});

// -- what is not ours ----------------------------------------------------------------------------

test2("answers 405 at another path and to a plain CONNECT, as Node does [ENG-62, ENG-66]", async (t) => {
  const { url } = await startEngine(t, {}, HTTP2);
  const connection = await openConnection(t, url);
  assert.equal((await ask(connection, "/other/")).status, 405);
  const plain = connection.request({ ":method": "CONNECT", ":authority": "example.org:443" });
  const [headers] = await once(plain, "response");
  assert.equal(headers[":status"], 405);
});

test2("leaves other paths to other listeners for a while [ENG-66]", async (t) => {
  const httpServer = createSecureServer({ ...tlsFixture, allowHTTP1: true });
  const attach = async (server, options) => {
    const { engine } = await import("../../support/target.js");
    return engine.attach(server, { ...options, destroyUpgradeTimeout: 50 });
  };
  httpServer.on("connect", (request, response) => {
    if (request.url === "/mine/") response.stream.respond({ ":status": 200 });
  });
  const { port } = await startServer(t, {}, { http: httpServer, attach });
  const connection = await openConnection(t, `https://127.0.0.1:${port}`);
  const mine = await ask(connection, "/mine/");
  assert.equal(mine.status, 200);
  assert.equal((await ask(connection, "/nobodys/")).status, 405);
  assert.equal(mine.stream.destroyed, false);
});

test2("cuts a CONNECT of HTTP/1.1, as Node does [ENG-62]", async (t) => {
  const { port } = await startEngine(t, {}, HTTP2);
  const { connect } = await import("node:tls");
  const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
  socket.on("error", () => {});
  socket.write("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n");
  await once(socket, "close");
});

test2("serves HTTP/1.1 upgrades on the same server [HTTP-43]", async (t) => {
  const { port, engine } = await startEngine(t, {}, HTTP2);
  const ws = await WireSocket.open(port, WEBSOCKET, {}, { tls: true });
  assert.match(await ws.next(), /^0\{"sid"/);
  assert.equal(engine.clientsCount, 1);
  ws.abort();
});

test2("serves HTTP/2 without encryption [HTTP-43]", async (t) => {
  const { port } = await startEngine(t, {}, { http: createServer() });
  const ws = await openWebSocket(await openConnection(t, `http://127.0.0.1:${port}`));
  assert.match(await ws.next(), /^0\{"sid"/);
});
