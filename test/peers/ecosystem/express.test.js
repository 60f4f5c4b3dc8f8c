import assert from "node:assert/strict";
import { test } from "node:test";
import express from "express";
import session from "express-session";
import helmet from "helmet";
import passport from "passport";
import { Strategy as LocalStrategy } from "passport-local";
import { client, connect, once } from "../../support/client.js";
import { assertRoomcast, startServer } from "./support/roomcast.js";

const newSession = () => session({ secret: "changeit", resave: false, saveUninitialized: true });

/** Logs in at `/login` and gives the cookie of the session. */
async function login(url, init = {}) {
  const response = await fetch(`${url}/login`, { method: "POST", ...init });
  assert.equal(response.status, 200, await response.text());
  const [cookie] = response.headers.getSetCookie();
  return cookie.split(";")[0];
}

/** An express application whose `/login` puts a user into the session. */
function sessionApplication(sessionMiddleware) {
  const app = express();
  app.use(sessionMiddleware);
  app.post("/login", (request, response) => {
    request.session.userId = "user-1";
    response.json({});
  });
  app.get("/count", (request, response) => response.json(request.session.count ?? null));
  return app;
}

const ways = [
  { name: "io.engine.use(express-session)", ids: "EX-117, EXP-1", install: (io, middleware) => io.engine.use(middleware) },
  {
    name: "io.use with express-session",
    ids: "EX-118, EXP-2",
    install: (io, middleware) => io.use((socket, next) => middleware(socket.request, {}, next)),
  },
];

for (const { name, ids, install } of ways) {
  for (const transports of [["polling"], ["websocket"]]) {
    test(`${name} gives sockets the session of the login route, ${transports} [MEM-1, ${ids}, EXP-4]`, async (t) => {
      assertRoomcast();
      const sessionMiddleware = newSession();
      const { io, url } = await startServer(t, {}, sessionApplication(sessionMiddleware));
      install(io, sessionMiddleware);
      io.on("connection", (socket) => {
        const { request } = socket;
        socket.join(`session:${request.session.id}`);
        socket.emit("user", request.session.userId);
        socket.on("count", (acknowledge) => {
          request.session.reload((error) => {
            if (error) return acknowledge(String(error));
            request.session.count = (request.session.count ?? 0) + 1;
            request.session.save((failure) => acknowledge(failure ? String(failure) : request.session.count));
          });
        });
      });

      const cookie = await login(url);
      const socket = client(t, url, "/", { transports, extraHeaders: { cookie } });
      const user = once(socket, "user");
      assert.deepEqual(await user, ["user-1"]);
      assert.equal(await socket.emitWithAck("count"), 1);
      assert.equal(await socket.emitWithAck("count"), 2);
      const seenByRoutes = await fetch(`${url}/count`, { headers: { cookie } });
      assert.equal(await seenByRoutes.json(), 2);
    });
  }
}

test("a logout route disconnects the sockets of the session's room [EX-117]", async (t) => {
  assertRoomcast();
  const sessionMiddleware = newSession();
  const app = sessionApplication(sessionMiddleware);
  const { io, url } = await startServer(t, {}, app);
  app.post("/logout", (request, response) => {
    io.in(`session:${request.session.id}`).disconnectSockets(true);
    request.session.destroy(() => response.json({}));
  });
  io.engine.use(sessionMiddleware);
  io.on("connection", (socket) => socket.join(`session:${socket.request.session.id}`));

  const cookie = await login(url);
  const mine = await connect(t, url, "/", { extraHeaders: { cookie } });
  const other = await connect(t, url);
  const disconnected = once(mine, "disconnect");
  await fetch(`${url}/logout`, { method: "POST", headers: { cookie } });
  await disconnected;
  assert.equal(other.connected, true);
});

test("helmet through io.engine.use adds its headers to polling, and WebSocket still connects [MEM-1, EX-119, EXP-1]", async (t) => {
  assertRoomcast();
  const { io, url } = await startServer(t, {}, express());
  io.engine.use(helmet());
  const response = await fetch(`${url}/socket.io/?EIO=4&transport=polling`);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("x-content-type-options"), "nosniff");
  assert.equal(response.headers.get("cross-origin-opener-policy"), "same-origin");
  assert.match(await response.text(), /^0\{"sid"/);
  for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
    const socket = await connect(t, url, "/", { transports });
    assert.equal(socket.connected, true);
  }
});

test("a middleware that ends the request refuses the client [EX-120, EXP-1]", async (t) => {
  assertRoomcast();
  const { io, url } = await startServer(t, {}, express());
  io.engine.use((request, response, next) => {
    if (request.headers.authorization === "yes") return next();
    response.writeHead(403);
    response.end();
  });
  for (const transports of [["polling"], ["websocket"]]) {
    const refused = client(t, url, "/", { transports });
    const [error] = await once(refused, "connect_error");
    assert.ok(error instanceof Error);
    await connect(t, url, "/", { transports, extraHeaders: { authorization: "yes" } });
  }
});

/** Runs a middleware for handshakes only, as the documentation of passport with Socket.IO has it. */
function onlyForHandshake(middleware) {
  return (request, response, next) => {
    if (request._query.sid === undefined) middleware(request, response, next);
    else next();
  };
}

for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
  test(`passport through io.engine.use gives sockets the signed-in user, ${transports.join(" then ")} [MEM-1, EX-121, EXP-1, EXP-3]`, async (t) => {
    assertRoomcast();
    const authenticator = new passport.Passport();
    authenticator.use(
      new LocalStrategy((username, password, done) => {
        if (username === "john" && password === "changeit") return done(null, { id: 1, username });
        return done(null, false);
      }),
    );
    authenticator.serializeUser((user, done) => done(null, user));
    authenticator.deserializeUser((user, done) => done(null, user));

    const sessionMiddleware = session({ secret: "changeit", resave: true, saveUninitialized: true });
    const app = express();
    app.use(sessionMiddleware, express.urlencoded({ extended: false }), authenticator.session());
    app.post("/login", authenticator.authenticate("local"), (request, response) => response.json({}));
    const { io, url } = await startServer(t, {}, app);
    io.engine.use(onlyForHandshake(sessionMiddleware));
    io.engine.use(onlyForHandshake(authenticator.session()));
    io.engine.use(
      onlyForHandshake((request, response, next) => {
        if (request.user) return next();
        response.writeHead(401);
        response.end();
      }),
    );
    io.on("connection", (socket) => {
      socket.on("whoami", (acknowledge) => acknowledge(socket.request.user.username));
    });

    const stranger = client(t, url, "/", { transports });
    const [error] = await once(stranger, "connect_error");
    assert.ok(error instanceof Error);

    const wrong = await fetch(`${url}/login`, { method: "POST", body: new URLSearchParams({ username: "john", password: "guess" }) });
    assert.equal(wrong.status, 401);
    const cookie = await login(url, { body: new URLSearchParams({ username: "john", password: "changeit" }) });
    const socket = await connect(t, url, "/", { transports, extraHeaders: { cookie } });
    assert.equal(await socket.emitWithAck("whoami"), "john");
  });
}
