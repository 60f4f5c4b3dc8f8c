/** Catalogue of usage examples, section F: middlewares, authentication, HTTP sessions, cookies, CORS. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import express from "express";
import session from "express-session";
import helmet from "helmet";
import { client as openClient, connect, once, record } from "../../support/client.js";
import { catchProcess, catchWarnings, eventually, fence, joinServer, pair, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { http } from "../../support/wire-client.js";

const WEBSOCKET = { transports: ["websocket"] };
const HANDSHAKE = "/socket.io/?EIO=4&transport=polling";

async function refusal(t, url, options = {}) {
  const client = openClient(t, url, "/", { ...WEBSOCKET, ...options });
  const [error] = await once(client, "connect_error");
  return { error, client };
}

const secured = session({ secret: "a secret of the test", resave: false, saveUninitialized: false });

/** An Express app that logs in under /login, with a server beside it; gives the cookie of a user who has logged in. */
async function loggedIn(t, setUp) {
  const app = express();
  app.use(secured);
  app.post("/login", (request, response) => {
    request.session.userId = 42;
    response.end();
  });
  const server = await startServer(t, {}, { http: createServer(app) });
  setUp(server.io);
  const { headers } = await http(server.port, { method: "POST", path: "/login" });
  return { ...server, cookie: headers["set-cookie"].split(";")[0] };
}

test("EX-110 accepts clients by token, and refuses others with a reason [MID-1, MID-2, MID-3]", async (t) => {
  const { io, url } = await startServer(t);
  const admitted = record(io, "connection");
  io.use((socket, next) => (socket.handshake.auth.token === "abc" ? next() : next(new Error("invalid token"))));
  const { error, client } = await refusal(t, url, { auth: { token: "wrong" } });
  assert.ok(error instanceof Error);
  assert.deepEqual([error.message, error.data, client.active], ["invalid token", undefined, false]);
  await connect(t, url, "/", { ...WEBSOCKET, auth: { token: "abc" } });
  assert.equal(admitted.events.length, 1);
});

test("EX-111 hands the data of an error to the client [MID-3]", async (t) => {
  const { io, url } = await startServer(t);
  io.use((socket, next) => next(Object.assign(new Error("no"), { data: { code: 42 } })));
  const { error } = await refusal(t, url);
  assert.deepEqual([error.message, error.data], ["no", { code: 42 }]);
});

test("EX-112 runs middlewares one after the other, then connection [MID-1]", async (t) => {
  const { io, url } = await startServer(t);
  const log = [];
  io.use((socket, next) => log.push(1) && next());
  io.use((socket, next) => setTimeout(() => log.push(2) && next(), 20));
  io.use((socket, next) => log.push(3) && next());
  io.on("connection", () => log.push("connection"));
  await connect(t, url, "/", WEBSOCKET);
  assert.deepEqual(log, [1, 2, 3, "connection"]);
});

test("EX-113 forgets a client that closes during a middleware [NSP-26, MID-11]", async (t) => {
  const { io, port } = await startServer(t);
  const log = [];
  io.on("connection", () => log.push("connection"));
  const entered = new Promise((resolve) => io.use((socket, next) => resolve({ socket, next })));
  const peer = await wirePeer(t, port, { join: false });
  peer.send("40");
  const { socket, next } = await entered;
  for (const event of ["disconnecting", "disconnect"]) socket.on(event, () => log.push(event));
  socket.join("room");
  const closed = once(socket.conn, "close");
  peer.abort();
  await closed;
  next();
  const { adapter, sockets } = io.of("/");
  await eventually(() => adapter.rooms.size === 0, "the rooms to go");
  assert.deepEqual([log, sockets.size, adapter.sids.size, socket.connected], [[], 0, 0, false]);
});

test("EX-114 is connected from connection on [MID-6, NSP-21]", async (t) => {
  const { io, url } = await startServer(t);
  const log = [];
  io.use((socket, next) => {
    log.push(socket.connected, socket.disconnected);
    next();
  });
  io.on("connection", (socket) => log.push(socket.connected, socket.disconnected));
  await connect(t, url, "/", WEBSOCKET);
  assert.deepEqual(log, [false, true, true, false]);
});

test("EX-115 delivers what a middleware emits, to a client that is connected by then [NSP-24]", async (t) => {
  const { io, url } = await startServer(t);
  io.use((socket, next) => {
    socket.emit("early", 1);
    next();
  });
  const client = openClient(t, url, "/", WEBSOCKET);
  const seen = [];
  client.on("early", (value) => seen.push([value, client.connected, client.id]));
  await once(client, "connect");
  const [id] = io.of("/").sockets.keys();
  await fence(io.of("/").sockets.get(id), client);
  assert.deepEqual(seen, [[1, true, id]]);
});

test("EX-116 closes a client that no middleware lets in, after connectTimeout [MID-8, OPT-5, DIS-31]", async (t) => {
  const { io, url } = await startServer(t, { connectTimeout: 100 });
  io.use(() => {});
  const client = openClient(t, url, "/", WEBSOCKET);
  const [reason] = await once(client.io, "close");
  assert.equal(reason, "transport close");
});

test("EX-117 shares an Express session through the engine [EXP-1]", async (t) => {
  const { url, io, cookie } = await loggedIn(t, (server) => server.engine.use(secured));
  for (const transports of [["polling"], ["websocket"]]) {
    const { client, socket } = await joinServer(t, { io, url }, "/", { transports, extraHeaders: { cookie } });
    assert.equal(socket.request.session.userId, 42);
    socket.on("count", (callback) => {
      const { session: kept } = socket.request;
      kept.reload((error) => {
        if (error) return callback(error.message);
        kept.count = (kept.count ?? 0) + 1;
        return kept.save(() => callback(socket.request.session.userId));
      });
    });
    assert.equal(await client.timeout(2000).emitWithAck("count"), 42);
  }
});

test("EX-118 shares an Express session through a namespace middleware [EXP-2]", async (t) => {
  const { url, io, cookie } = await loggedIn(t, (server) => server.use((socket, next) => secured(socket.request, {}, next)));
  const { socket } = await joinServer(t, { io, url }, "/", { extraHeaders: { cookie } });
  assert.equal(socket.request.session.userId, 42);
});

test("EX-119 runs helmet over the engine's responses [EXP-1]", async (t) => {
  const { io, port, url } = await startServer(t);
  io.engine.use(helmet());
  const { headers } = await http(port, { path: HANDSHAKE });
  assert.equal(headers["x-content-type-options"], "nosniff");
  await connect(t, url, "/", WEBSOCKET);
});

test("EX-120 lets an engine middleware end the request [EXP-1]", async (t) => {
  const { io, port, url } = await startServer(t);
  io.engine.use((request, response) => {
    response.writeHead(403);
    response.end();
  });
  assert.equal((await http(port, { path: HANDSHAKE })).status, 403);
  for (const transports of [["polling"], ["websocket"]]) await refusal(t, url, { transports });
  assert.equal(io.engine.clientsCount, 0);
});

test("EX-121 runs a middleware at the handshake alone [EXP-3]", async (t) => {
  const { io, url } = await startServer(t);
  let handshakes = 0;
  let others = 0;
  io.engine.use((request, response, next) => {
    if (request._query.sid === undefined) {
      handshakes += 1;
      request.user = { name: "alice" };
    } else others += 1;
    next();
  });
  const { client, socket } = await joinServer(t, { io, url }, "/", { transports: ["polling"] });
  await fence(client, socket);
  assert.deepEqual(socket.request.user, { name: "alice" });
  assert.equal(handshakes, 1);
  assert.ok(others > 0);
});

test("EX-122 sets a cookie with the session id when asked to [OPT-9, LEG-12]", async (t) => {
  const cookie = { name: "io", httpOnly: true, sameSite: "strict", maxAge: 86400 };
  const { port } = await startServer(t, { cookie });
  const { headers, text } = await http(port, { path: HANDSHAKE });
  const [value, ...attributes] = headers["set-cookie"].split("; ");
  assert.equal(value, `io=${JSON.parse(text.slice(1)).sid}`);
  assert.deepEqual(attributes.sort(), ["HttpOnly", "Max-Age=86400", "Path=/", "SameSite=Strict"]);
  const plain = await startServer(t);
  assert.equal((await http(plain.port, { path: HANDSHAKE })).headers["set-cookie"], undefined);
});

test("EX-123 reads the cookies that the client sent [SOC-4, SOC-11]", async (t) => {
  const { socket } = await pair(t, {}, { client: { extraHeaders: { cookie: "a=1; b=2" } } });
  assert.equal(socket.handshake.headers.cookie, "a=1; b=2");
  assert.equal(socket.request.headers.cookie, "a=1; b=2");
  assert.equal(socket.request.headers, socket.handshake.headers);
});

test("EX-124 adds headers to the handshake, or to every response [EXP-1]", async (t) => {
  const { io, port } = await startServer(t);
  io.engine.on("initial_headers", (headers) => (headers.test = "1"));
  io.engine.on("headers", (headers) => (headers.each = "2"));
  const first = await http(port, { path: HANDSHAKE });
  const { sid } = JSON.parse(first.text.slice(1));
  const second = await http(port, { method: "POST", path: `${HANDSHAKE}&sid=${sid}`, body: "40" });
  assert.deepEqual([first.headers.test, first.headers.each], ["1", "2"]);
  assert.deepEqual([second.headers.test, second.headers.each], [undefined, "2"]);
});

test("EX-125 answers a preflight as the cors option says [OPT-8]", async (t) => {
  const request = {
    method: "OPTIONS",
    path: HANDSHAKE,
    headers: { Origin: "https://good.example", "Access-Control-Request-Method": "POST" },
  };
  const { port } = await startServer(t, { cors: { origin: "https://good.example", credentials: true } });
  const { status, headers } = await http(port, request);
  assert.equal(status, 204);
  assert.equal(headers["access-control-allow-origin"], "https://good.example");
  assert.equal(headers["access-control-allow-credentials"], "true");
  const plain = await startServer(t);
  const answers = [await http(plain.port, request), await http(plain.port, { ...request, method: "GET" })];
  for (const answer of answers) assert.equal(answer.headers["access-control-allow-origin"], undefined);
});

test("EX-126 refuses a request by allowRequest [OPT-9]", async (t) => {
  const { port } = await startServer(t, { allowRequest: (request, callback) => callback(null, request.headers.origin === undefined) });
  const { status, text } = await http(port, { path: HANDSHAKE, headers: { Origin: "https://any.example" } });
  assert.deepEqual([status, text], [403, '{"code":4,"message":"Forbidden"}']);
  assert.equal((await http(port, { path: HANDSHAKE })).status, 200);
});

test("EX-127 emits connection_error for a refused request [SRV-31]", async (t) => {
  const { io, port } = await startServer(t);
  const refused = once(io.engine, "connection_error");
  await http(port, { path: `${HANDSHAKE}&sid=unknown` });
  const [error] = await refused;
  assert.deepEqual([error.code, error.message], [1, "Session ID unknown"]);
  assert.ok(error.req.url.includes("sid=unknown"));
  assert.ok("context" in error);
});

test("EX-128 describes the handshake [SOC-10, SOC-11, SOC-12, SOC-13, SOC-14, SOC-15]", async (t) => {
  const { socket } = await pair(t, {}, { client: { query: { q: 2 }, auth: { a: 1 } } });
  const { handshake } = socket;
  assert.deepEqual(Object.keys(handshake).sort(), ["address", "auth", "headers", "issued", "query", "secure", "time", "url", "xdomain"]);
  assert.deepEqual([handshake.query.q, handshake.query.EIO, handshake.query.transport], ["2", "4", "websocket"]);
  assert.equal("sid" in handshake.query, false);
  assert.deepEqual(handshake.auth, { a: 1 });
  assert.ok(handshake.url.startsWith("/socket.io/?"));
  assert.ok(Math.abs(Date.now() - handshake.issued) < 1000);
  assert.equal(Math.floor(Date.parse(handshake.time) / 1000), Math.floor(handshake.issued / 1000));
  assert.deepEqual([handshake.xdomain, handshake.secure], [false, false]);
  assert.match(handshake.address, /127\.0\.0\.1|::1/);
});

test("EX-129 emits the events of an upgrade [SOC-4]", async (t) => {
  const { io, url } = await startServer(t);
  const names = [];
  const upgraded = new Promise((resolve) =>
    io.on("connection", ({ conn }) => {
      names.push(conn.transport.name);
      conn.once("upgrade", () => resolve(names.push(conn.transport.name)));
    }),
  );
  await connect(t, url);
  await upgraded;
  assert.deepEqual(names, ["polling", "websocket"]);
});

test(
  "EX-130 refuses the client when a middleware throws or rejects, and warns [MID-9, ROB-410]",
  oursOnly("it leaves the client hanging and rejects unhandled"),
  async (t) => {
    const rejections = catchProcess(t, "unhandledRejection");
    for (const middleware of [
      async () => {
        throw new Error("db down");
      },
      () => {
        throw new Error("db down");
      },
    ]) {
      const { warnings, next } = catchWarnings(t);
      const { io, url } = await startServer(t);
      io.use(middleware);
      const { error } = await refusal(t, url);
      assert.equal(error.message, "Internal server error");
      await next(({ message }) => /db down/.test(message));
      assert.ok(warnings.length > 0);
    }
    assert.deepEqual(rejections.caught, []);
  },
);
