/** What is particular to the engine on uWebSockets.js; what it has in common with Node's HTTP server is in suites.test.js. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { createServer } from "node:http";
import { test } from "node:test";
import { connect, once, record } from "../../support/client.js";
import { ending, openPolling, POLLING, pollingPair, WEBSOCKET, webSocketPair } from "../../support/engine.js";
import { catchWarnings, eventually, fence, nextSocket } from "../../support/pairs.js";
import { startEngine, startHttp, startServer } from "../../support/server.js";
import { engine as engineModule, oursOnly, Server } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { frame, http, HttpConnection, refusedUpgrade, requestBytes, WireSocket } from "../../support/wire-client.js";
import { createApp, loadUws } from "./app.js";

const { uServer } = engineModule;
const onUws = { uws: true };
const SOCKET_IO = "/socket.io/?EIO=4&transport=polling";

for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
  test(`EX-13 is attached to an app, and reaches only the members of a room, by ${transports.join(" and ")} [SRV-29, ENG-180]`, async (t) => {
    const { app, listen } = await createApp();
    const io = new Server();
    assert.equal(io.attachApp(app), undefined);
    assert.ok(io.engine instanceof uServer);
    assert.equal(io.httpServer, undefined);
    const port = await listen(t, () => io.close());
    const clients = [];
    for (let i = 0; i < 3; i++) {
      const joined = nextSocket(io);
      const client = await connect(t, port, "/", { transports });
      clients.push({ client, socket: await joined });
    }
    const [inside, alsoInside, outside] = clients;
    if (transports.length === 2) {
      for (const { socket } of clients) await eventually(() => socket.conn.transport.name === "websocket", "the upgrade");
    }
    inside.socket.join("r");
    alsoInside.socket.join("r");
    const seen = clients.map(({ client }) => record(client, "news"));
    io.to("r").emit("news", 1, Buffer.from("bytes"));
    io.to("r").except(alsoInside.socket.id).emit("news", 2);
    for (const { client, socket } of clients) await fence(socket, client);
    assert.deepEqual(
      seen.map(({ events }) => events.length),
      [2, 1, 0],
    );
    assert.equal((await http(port, { path: "/socket.io/socket.io.js" })).status, 200);
    assert.ok(outside.client.connected);
  });
}

test("shows a request as Node would, but for the url, which is the path alone [ENG-181]", async (t) => {
  const seen = [];
  const allowRequest = (request, callback) => {
    seen.push(request);
    callback(null, true);
  };
  const { engine, port } = await startEngine(t, { allowRequest }, onUws);
  engine.use((request, response, next) => {
    assert.equal(request.res, response);
    next();
  });
  const connected = once(engine, "connection");
  await http(port, { path: `${POLLING}&x=1`, headers: { "X-Mine": "a", Cookie: "b=c" } });
  const [session] = await connected;
  const [request] = seen;
  assert.equal(session.request, request);
  assert.deepEqual([request.method, request.url, request.httpVersion], ["GET", "/engine.io/", "1.1"]);
  assert.deepEqual({ ...request._query }, { EIO: "4", transport: "polling", x: "1" });
  assert.deepEqual([request.headers["x-mine"], request.headers.cookie], ["a", "b=c"]);
  assert.match(request.connection.remoteAddress, /^[0-9a-f:.]+$/);
  assert.equal(session.remoteAddress, request.connection.remoteAddress);
});

for (const path of [POLLING, WEBSOCKET]) {
  test(`rebuilds the request of ${path} when it is looked at later [ENG-181]`, async (t) => {
    const { engine, port } = await startEngine(t, {}, onUws);
    const connected = once(engine, "connection");
    if (path === POLLING) await http(port, { path, headers: { "X-Mine": "a" } });
    else await WireSocket.open(port, path, { "X-Mine": "a" });
    const [session] = await connected;
    assert.equal(session.request, session.request);
    assert.equal(session.request.headers["x-mine"], "a");
    assert.equal(session.request.url, "/engine.io/");
    assert.equal(session.request._query.EIO, "4");
  });
}

test("knows a TLS app by its name [SOC-15]", async (t) => {
  const { app, listen } = await createApp({
    key_file_name: new URL("../../support/fixtures/key.pem", import.meta.url).pathname,
    cert_file_name: new URL("../../support/fixtures/cert.pem", import.meta.url).pathname,
  });
  const io = new Server();
  io.attachApp(app);
  const port = await listen(t, () => io.close());
  const joined = nextSocket(io);
  await connect(t, `https://127.0.0.1:${port}`, "/", { rejectUnauthorized: false });
  assert.equal((await joined).handshake.secure, true);
});

test("matches its path as a whole [ENG-180]", async (t) => {
  const { port } = await startEngine(t, {}, onUws);
  for (const path of ["/engine.io", "/engine.io/more", "/engine.io2/", "/"]) {
    assert.equal((await http(port, { path: `${path}?EIO=4&transport=polling` })).status, 404, path);
  }
});

test("takes a path of its own, with or without slash [ENG-180]", async (t) => {
  const { app, listen } = await createApp();
  const engine = new uServer();
  engine.attach(app, { path: "/live", addTrailingSlash: false });
  const port = await listen(t, () => engine.close());
  assert.equal((await http(port, { path: "/live?EIO=4&transport=polling" })).status, 200);
  assert.equal((await http(port, { path: "/live/?EIO=4&transport=polling" })).status, 404);
});

const REFUSALS = [
  { what: "an unknown transport", path: "/engine.io/?EIO=4&transport=foo", status: 400, body: '{"code":0,"message":"Transport unknown"}' },
  { what: "an unknown session", path: `${WEBSOCKET}&sid=x`, status: 400, body: '{"code":1,"message":"Session ID unknown"}' },
  {
    what: "revision 3",
    path: "/engine.io/?EIO=3&transport=websocket",
    status: 400,
    body: '{"code":5,"message":"Unsupported protocol version"}',
  },
  { what: "allowRequest", path: WEBSOCKET, status: 403, body: '{"code":4,"message":"no"}', allowRequest: (_, done) => done("no", false) },
];
for (const { what, path, status, body, allowRequest } of REFUSALS) {
  test(`refuses ${what} with JSON, a WebSocket too [ENG-182]`, async (t) => {
    const { engine, port } = await startEngine(t, { allowRequest }, onUws);
    const errors = record(engine, "connection_error");
    const upgrade = await refusedUpgrade(port, path, {});
    assert.deepEqual([upgrade.status, upgrade.text], [status, body]);
    assert.equal(upgrade.headers["content-type"], "application/json");
    assert.equal(errors.events.length, 1);
    assert.equal(errors.events[0][1].req.headers.upgrade, "websocket");
    const request = await http(port, { path: path.replace("transport=websocket", "transport=polling") });
    assert.deepEqual([request.status, request.text], [status, body]);
  });
}

test("asks a POST for its length, and ends the session of one without [ENG-183]", async (t) => {
  const { client, session } = await pollingPair(t, {}, { host: onUws });
  const ended = ending(session);
  const answer = await client.request("POST", { headers: { "Content-Length": "0" } });
  assert.equal(answer.status, 411);
  const { reason, description } = await ended;
  assert.deepEqual([reason, description?.message ?? description], ["transport error", "content-length header required"]);
});

test("refuses a body that is too large, and ends its session [ENG-183, ENG-98]", async (t) => {
  const { client, session } = await pollingPair(t, { maxHttpBufferSize: 10 }, { host: onUws });
  const ended = ending(session);
  const heard = record(session, "data");
  assert.equal((await client.request("POST", { body: "4" + "x".repeat(10) })).status, 413);
  const { reason, description } = await ended;
  assert.deepEqual([reason, description.message], ["transport error", "payload too large: limit 10, met 11"]);
  assert.deepEqual(heard.events, []);
});

test("takes a body of exactly the limit, in pieces, over a middleware that takes its time [ENG-183, ENG-70]", async (t) => {
  const { engine, port, client, session } = await pollingPair(t, { maxHttpBufferSize: 4000 }, { host: onUws });
  engine.use((request, response, next) => setTimeout(next, 20));
  const heard = once(session, "data");
  const connection = await HttpConnection.open(port);
  const bytes = requestBytes(port, { method: "POST", path: client.url(), body: "4" + "x".repeat(3999) });
  for (let at = 0; at < bytes.length; at += 1000) {
    connection.write(bytes.subarray(at, at + 1000));
    await new Promise(setImmediate);
  }
  assert.equal((await connection.response("POST")).status, 200);
  assert.equal((await heard)[0].length, 3999);
});

test("counts bodies that wait for a middleware in totalHeldBytes, and refuses the largest with 503 [ENG-183, ROB-814]", async (t) => {
  const { engine, port, client } = await pollingPair(t, { limits: { totalHeldBytes: 1_000_000 } }, { host: onUws });
  const waiting = [];
  engine.use((request, response, next) => waiting.push(next));
  const posts = [];
  for (const bytes of [600_000, 300_000, 300_000]) {
    const connection = await HttpConnection.open(port);
    t.after(() => connection.abort());
    connection.write(requestBytes(port, { method: "POST", path: client.url(), body: "4".repeat(bytes + 1000) }).subarray(0, -1000));
    posts.push(connection);
  }
  assert.equal((await posts[0].response("POST")).status, 503);
  assert.equal(engine.counts.codes.RC_ERR_TOTAL_HELD_BYTES, 1);
  assert.equal(waiting.length, 3);
  posts[2].abort();
  await eventually(() => engine.inputTotal.heldBytes < 350_000, "the end of the third request");
  assert.ok(engine.inputTotal.heldBytes >= 300_000, "the second one is held");
  waiting.forEach((next) => next());
  posts[1].abort();
  await eventually(() => engine.inputTotal.heldBytes === 0, "the end of the second request");
});

test("refuses polls that overlap, and posts that do, with 500 [ENG-183]", async (t) => {
  const { engine, port, client, session } = await pollingPair(t, {}, { host: onUws });
  const first = client.get();
  const ended = ending(session);
  await eventually(() => session.transport.writable, "the first poll");
  assert.equal((await client.get()).status, 500);
  assert.equal((await ended).reason, "transport error");
  await first;

  const other = await openPolling({ engine, port });
  const slow = await HttpConnection.open(port);
  slow.write(`POST ${other.client.url()} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n4`);
  const otherEnded = ending(other.session);
  await eventually(() => other.session.transport.post !== null, "the first post");
  assert.equal((await other.client.request("POST", { body: "4a" })).status, 500);
  assert.equal((await otherEnded).reason, "transport error");
});

test("refuses requests without an upgrade on a session that has a WebSocket [ENG-40]", async (t) => {
  const { port, ws, session } = await webSocketPair(t, {}, { host: onUws });
  for (const method of ["GET", "POST", "PUT"]) {
    const response = await http(port, { method, path: `${WEBSOCKET}&sid=${session.id}`, body: method === "POST" ? "4a" : undefined });
    assert.deepEqual([response.status, response.text], [400, '{"code":3,"message":"Bad request"}']);
  }
  session.send("still here");
  assert.equal(await ws.next(), "4still here");
});

test("answers other methods of a session with 500 [ENG-183]", async (t) => {
  const { client } = await pollingPair(t, {}, { host: onUws });
  assert.equal((await client.request("PUT", { body: "4a" })).status, 500);
});

test("gives middlewares a response with the members that they use [ENG-185]", async (t) => {
  const { engine, port } = await startEngine(t, {}, onUws);
  const events = [];
  engine.use((request, response, next) => {
    response.setHeader("X-Several", ["a", "b"]);
    response.setHeader("X-Gone", "1");
    assert.equal(response.getHeader("x-gone"), "1");
    response.removeHeader("X-Gone");
    assert.ok(!response.hasHeader("X-Gone"));
    response.on("finish", () => events.push(["finish", response.headersSent, response.writableEnded]));
    response.on("close", () => events.push(["close"]));
    assert.throws(() => response.setHeader("X-Split", "a\r\nX-Injected: b"), { code: "ERR_INVALID_CHAR" });
    next();
  });
  const answer = await http(port, { path: POLLING });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.headers["x-several"], "a, b");
  assert.equal(answer.headers["x-gone"], undefined);
  assert.equal(answer.head.match(/content-length/gi).length, 1);
  assert.deepEqual(events, [["finish", true, true], ["close"]]);
});

test("lets a middleware answer by itself, requests and upgrades alike [ENG-185, ENG-72]", async (t) => {
  const { engine, port } = await startEngine(t, {}, onUws);
  engine.use((request, response) => {
    response.writeHead(401, { "X-Why": "no" });
    response.end("who are you?");
  });
  const answer = await http(port, { path: POLLING });
  assert.deepEqual([answer.status, answer.headers["x-why"], answer.text], [401, "no", "who are you?"]);
  const upgrade = await refusedUpgrade(port, WEBSOCKET, {});
  assert.deepEqual([upgrade.status, upgrade.text], [401, "who are you?"]);
});

test("lets listeners add headers to polls and to the 101, and refuses headers that would bring a second one [ENG-186]", async (t) => {
  const { engine, port } = await startEngine(t, {}, onUws);
  const seen = [];
  engine.on("initial_headers", (headers, request) => {
    headers["X-First"] = "1";
    seen.push(["initial", request._query.transport]);
  });
  engine.on("headers", (headers, request) => {
    headers["X-Each"] = "2";
    seen.push(["each", request._query.transport]);
  });
  const poll = await http(port, { path: POLLING });
  assert.deepEqual([poll.headers["x-first"], poll.headers["x-each"]], ["1", "2"]);
  const ws = await WireSocket.open(port, WEBSOCKET);
  assert.deepEqual([ws.response.headers["x-first"], ws.response.headers["x-each"]], ["1", "2"]);
  assert.deepEqual(seen, [
    ["initial", "polling"],
    ["each", "polling"],
    ["initial", "websocket"],
    ["each", "websocket"],
  ]);
});

test("copies bytes that the library detaches, and reports drain and writability [ENG-187]", async (t) => {
  const { ws, session } = await webSocketPair(t, {}, { host: onUws });
  const received = [];
  session.on("data", (data) => received.push(data));
  for (let i = 0; i < 20; i++) ws.send(Buffer.alloc(64, i));
  await eventually(() => received.length === 20, "the messages");
  received.forEach((data, i) => assert.deepEqual(data, Buffer.alloc(64, i)));
  assert.equal(session.transport.writable, true);
  const drained = once(session, "drain");
  session.send("x");
  assert.equal(session.transport.writable, false);
  await drained;
  await eventually(() => session.transport.writable, "the transport to be writable again");
  await ws.expect("4x");
});

test("ends the session when the client closes or breaks the rules, with transport close [ENG-188]", async (t) => {
  const first = await webSocketPair(t, {}, { host: onUws });
  const firstEnd = ending(first.session);
  first.ws.abort();
  assert.equal((await firstEnd).reason, "transport close");
  const second = await webSocketPair(t, {}, { host: onUws });
  const secondEnd = ending(second.session);
  second.ws.write(Buffer.from([0xb1, 0x81, 0, 0, 0, 0, 0x34])); // RSV2 and RSV3
  assert.equal((await secondEnd).reason, "transport close");
  assert.equal((await second.ws.closed()).hasFrame, false);
});

const TEXT = 1;
const CONTINUATION = 0;
const TOO_LARGE = oursOnly("the library cuts all of them, without a reason");
for (const [what, maxHttpBufferSize, met, ...frames] of [
  ["a message", 1000, 1001, frame(TEXT, "4".repeat(1001))],
  ["the last message with its Close frame", 10, 65_000, frame(TEXT, "4".repeat(65_000))],
  ["fragments", 1000, 1500, frame(TEXT, "4".repeat(800), { fin: false }), frame(CONTINUATION, "4".repeat(700))],
]) {
  test(
    `refuses ${what} above maxHttpBufferSize with the Close code 1009, and names limit and size [ENG-188, ROB-713]`,
    TOO_LARGE,
    async (t) => {
      const { engine, ws, session } = await webSocketPair(t, { maxHttpBufferSize }, { host: onUws });
      const ended = ending(session);
      const heard = record(session, "data");
      ws.write(Buffer.concat(frames));
      const { reason, description } = await ended;
      assert.deepEqual(
        [reason, description.code, description.limit, description.met],
        ["transport error", "RC_ERR_MESSAGE_BYTES", maxHttpBufferSize, met],
      );
      assert.deepEqual(await ws.closed(), { code: 1009, reason: "Max payload size exceeded", hasFrame: true });
      assert.deepEqual(heard.events, []);
      assert.equal(engine.counts.codes.RC_ERR_MESSAGE_BYTES, 1);
    },
  );
}

test("cuts a message far above maxHttpBufferSize at its header, which the description names [ENG-188, ROB-713]", TOO_LARGE, async (t) => {
  const { engine, ws, session } = await webSocketPair(t, { maxHttpBufferSize: 1000 }, { host: onUws });
  const ended = ending(session);
  ws.write(frame(TEXT, "4".repeat(100_000)).subarray(0, 20));
  const { reason, description } = await ended;
  assert.deepEqual(
    [reason, description.code, description.limit, description.met],
    ["transport error", "RC_ERR_MESSAGE_BYTES", 1000, undefined],
  );
  assert.equal((await ws.closed()).hasFrame, false);
  assert.equal(engine.counts.codes.RC_ERR_MESSAGE_BYTES, 1);
});

for (const flush of ["tick", "immediate"]) {
  test(`hands no more to a client that doesn't read, and ends it at its limit, with flush: ${flush} [ENG-162]`, async (t) => {
    const limits = { bufferedBytes: 2 ** 20, stalledAfterMs: false };
    const { ws, session } = await webSocketPair(t, { flush, limits }, { host: onUws });
    ws.pause();
    const ended = ending(session);
    let handed = 0;
    for (let sent = 0; sent < 64 && session.readyState === "open"; sent++) {
      session.send("x".repeat(2 ** 20));
      handed = Math.max(handed, session.transport.bufferedBytes);
      await new Promise(setImmediate);
    }
    const { reason, description } = await ended;
    assert.deepEqual([reason, description.code], ["transport error", "RC_ERR_BUFFERED_BYTES"]);
    assert.ok(handed < 3 * 2 ** 20, `the library held ${handed} bytes`);
  });
}

test("answers 500 to an upgrade whose listeners add a header that can't be sent [ENG-186, ROB-204]", async (t) => {
  const { next } = catchWarnings(t);
  const { engine, port } = await startEngine(t, {}, onUws);
  engine.on("headers", (headers) => (headers["X-Split"] = "a\r\nX-Injected: b"));
  const refused = await refusedUpgrade(port, WEBSOCKET);
  assert.deepEqual([refused.status, refused.headers["x-injected"]], [500, undefined]);
  await next(({ code }) => code === "ROOMCAST_HEADER_INVALID");
  assert.equal(engine.clientsCount, 0);
});

test("closes candidates of sessions that upgrade already, or have [ENG-188]", async (t) => {
  const { client, session } = await pollingPair(t, {}, { host: onUws });
  await client.upgrade();
  await eventually(() => session.upgraded, "the upgrade");
  const late = await client.candidate();
  await late.closed();
  assert.equal(session.readyState, "open");
});

test("passes broadcasts to onAnyOutgoing, and sends nothing to a socket that has left while its connection stays open [ENG-189, SRV-29]", async (t) => {
  const { io, port } = await startServer(t, {}, onUws);
  const admin = io.of("/admin");
  const joined = nextSocket(io);
  const joinedAdmin = nextSocket(admin);
  const client = await connect(t, port);
  const inAdmin = client.io.socket("/admin");
  inAdmin.connect();
  const socket = await joined;
  const adminSocket = await joinedAdmin;
  const outgoing = [];
  socket.onAnyOutgoing((...args) => outgoing.push(args));
  io.emit("to all", 1);
  assert.deepEqual(outgoing, [["to all", 1]]);
  const heard = record(inAdmin, "secret");
  adminSocket.disconnect();
  admin.emit("secret");
  await fence(socket, client);
  assert.deepEqual(heard.events, []);
});

test("patches nothing: a server on Node's HTTP server beside it keeps its own rooms [SRV-29]", async (t) => {
  const onNode = await startServer(t);
  const beside = await startServer(t, {}, onUws);
  const clients = [];
  for (const { io, port } of [onNode, beside]) {
    const joined = nextSocket(io);
    const client = await connect(t, port);
    const socket = await joined;
    socket.join("r");
    clients.push({ client, socket, seen: record(client, "news") });
  }
  onNode.io.to("r").emit("news", "node");
  beside.io.to("r").emit("news", "uws");
  for (const { client, socket } of clients) await fence(socket, client);
  assert.deepEqual(
    clients.map(({ seen }) => seen.events),
    [[["news", "node"]], [["news", "uws"]]],
  );
});

test("serves the client files by GET, and leaves other names to other routes [HTTP-60, HTTP-61]", async (t) => {
  const { app, listen } = await createApp();
  const io = new Server();
  io.attachApp(app);
  app.get("/socket.io/*", (response) => response.end("mine"));
  const port = await listen(t, () => io.close());
  const file = await http(port, { path: "/socket.io/socket.io.js?x" });
  assert.equal(file.status, 200);
  assert.equal(file.headers["content-type"], "application/javascript; charset=utf-8");
  assert.ok(file.text.startsWith("/*!"));
  assert.equal(Number(file.headers["content-length"]), file.body.length);
  const cached = await http(port, { path: "/socket.io/socket.io.js", headers: { "If-None-Match": `W/${file.headers.etag}` } });
  assert.deepEqual([cached.status, cached.body.length], [304, 0]);
  assert.equal((await http(port, { path: "/socket.io/other.js" })).text, "mine");
  assert.equal((await http(port, { path: "/socket.io/socket.io.js", method: "POST", body: "x" })).status, 404);
  assert.ok((await http(port, { path: SOCKET_IO })).text.startsWith("0{"), "the engine's route, being longer, comes first");
});

test("serves no client files with serveClient: false [HTTP-60, HTTP-8]", async (t) => {
  const { port } = await startServer(t, { serveClient: false }, onUws);
  assert.equal((await http(port, { path: "/socket.io/socket.io.js" })).status, 404);
});

test("has nothing of WebTransport, or of listening again: after close, handshakes are refused [ENG-190, SRV-63]", async (t) => {
  const { io, port } = await startServer(t, {}, onUws);
  const client = await connect(t, port);
  const closed = once(client, "disconnect");
  const answer = await new Promise((resolve) => {
    void io.close((...args) => resolve(args));
  });
  assert.deepEqual(answer, []);
  await closed;
  assert.equal((await http(port, { path: SOCKET_IO })).status, 503);
  const upgrade = await refusedUpgrade(port, "/socket.io/?EIO=4&transport=websocket", {});
  assert.equal(upgrade.status, 503);
});

test("compresses messages with the library's compressors [ENG-180]", async (t) => {
  const uws = loadUws();
  const { app, listen } = await createApp();
  const io = new Server({ perMessageDeflate: { threshold: 100 } });
  io.attachApp(app, { compression: uws.SHARED_COMPRESSOR | uws.SHARED_DECOMPRESSOR });
  const port = await listen(t, () => io.close());
  const joined = nextSocket(io);
  const client = await connect(t, port, "/", { transports: ["websocket"], perMessageDeflate: true });
  const socket = await joined;
  const raw = client.io.engine.transport.ws._socket;
  const answered = () => new Promise((resolve) => client.once("answer", resolve));
  for (const { bytes, compressed } of [
    { bytes: 50, compressed: false },
    { bytes: 20_000, compressed: true },
  ]) {
    const before = raw.bytesRead ?? raw._socket?.bytesRead;
    const answer = answered();
    socket.emit("answer", "x".repeat(bytes));
    assert.equal((await answer).length, bytes);
    const taken = (raw.bytesRead ?? raw._socket?.bytesRead) - before;
    assert.ok(compressed ? taken < bytes / 10 : taken >= bytes, `${bytes} bytes travelled as ${taken}`);
  }
});

test("refuses what is no app, and options that would end the process [SRV-29]", async (t) => {
  const io = new Server();
  const server = await startHttp(t, createServer());
  for (const wrong of [undefined, null, 3000, server.httpServer, () => {}]) {
    assert.throws(() => io.attachApp(wrong), { code: "RC_ERR_ARGUMENT", message: /expected an app of uWebSockets\.js/ });
  }
  const { app } = await createApp();
  for (const [options, message] of [
    [{ idleTimeout: 5 }, /option idleTimeout: expected 0 or a number from 9 to 960, met 5/],
    [{ idleTimeout: 1000 }, /option idleTimeout: expected a number from 0 to 960, met 1000/],
    [{ compression: "SHARED" }, /option compression: expected a number from 0 to 65535, met 'SHARED'/],
    [{ maxBackpressure: -1 }, /option maxBackpressure: expected a non-negative number, met -1/],
  ]) {
    assert.throws(() => io.attachApp(app, options), { code: "RC_ERR_OPTION", message });
  }
  assert.equal(io.engine, undefined);
});

test("answers in one piece, also what another client's request causes [ENG-184]", async (t) => {
  const { io, port } = await startServer(t, {}, onUws);
  io.on("connection", (socket) => socket.on("say", (text) => io.emit("said", text)));
  const peers = [];
  for (let i = 0; i < 2; i++) {
    const connection = await HttpConnection.open(port);
    const chunks = [];
    connection.socket.on("data", (chunk) => chunks.push(chunk));
    connection.write(requestBytes(port, { path: SOCKET_IO }));
    const { sid } = JSON.parse((await connection.response()).text.slice(1));
    const url = `${SOCKET_IO}&sid=${sid}`;
    const ask = async (method, body) => {
      connection.write(requestBytes(port, { method, path: url, body }));
      return (await connection.response(method)).text;
    };
    assert.equal(await ask("POST", "40"), "ok");
    assert.match(await ask("GET"), /^40/);
    peers.push({ ask, url, chunks });
  }
  const [talker, listener] = peers;
  for (let i = 0; i < 200; i++) {
    listener.chunks.length = 0;
    const poll = listener.ask("GET");
    assert.equal(await talker.ask("POST", `42["say","${i}"]`), "ok");
    assert.equal(await poll, `42["said","${i}"]`);
    assert.equal(listener.chunks.length, 1, `answer ${i} came in ${listener.chunks.length} pieces`);
    await talker.ask("GET");
  }
});

test("delivers what is emitted right before the process exits [ENG-115]", async () => {
  const child = fork(new URL("./fixtures/emit-and-exit.mjs", import.meta.url), { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const port = await within(new Promise((resolve) => child.once("message", resolve)), "the child to listen");
  const ws = await WireSocket.open(port, "/engine.io/?EIO=4&transport=websocket");
  await ws.until((message) => message === "4last");
  await within(new Promise((resolve) => (child.exitCode === null ? child.once("exit", resolve) : resolve())), "the child to exit");
});

test("detach() answers 503 until another server is attached to the app, which then serves every transport [ROB-735]", async (t) => {
  const { io, app, port } = await startServer(t, {}, onUws);
  const client = await connect(t, port, "/", { transports: ["websocket"] });
  const gone = once(client, "disconnect");
  assert.equal((await io.detach()).clients, 1);
  assert.equal((await gone)[1].context.code, 1012);
  assert.equal((await http(port, { path: SOCKET_IO })).status, 503);
  const next = new Server();
  t.after(() => next.close());
  next.attachApp(app);
  for (const transport of ["polling", "websocket"]) await connect(t, port, "/", { transports: [transport] });
  assert.equal(next.sockets.sockets.size, 2);
  assert.equal(io.sockets.sockets.size, 0);
});
