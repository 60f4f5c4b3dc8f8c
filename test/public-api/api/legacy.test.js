/** What programs written for version 2 call, and what they are told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { adapters } from "../../support/packages.js";
import { catchWarnings, fence, joinServer, pair } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { isReference, oursOnly, Server } from "../../support/target.js";

test("throws from every removed method, and names what to use instead [LEG-1, LEG-3, LEG-5, LEG-9]", async (t) => {
  const { io, socket } = await pair(t);
  const removed = [
    [() => io.origins("*:*"), /cors/],
    [() => io.origins((origin, callback) => callback(null, true)), /cors/],
    [() => io.set("authorization", () => {}), /constructor|option|io\.use/],
    [() => io.set("transports", ["websocket"]), /constructor|option/],
    [() => io.clients(() => {}), /fetchSockets/],
    [() => io.of("/").clients(() => {}), /fetchSockets/],
    [() => io.in("r").clients(() => {}), /fetchSockets/],
    [() => socket.binary(false), /parser/],
    [() => io.binary(false), /parser/],
  ];
  for (const [call, replacement] of removed) {
    assert.throws(
      call,
      (error) => isReference || (error instanceof Error && replacement.test(error.message)) || assert.fail(`${call}: ${error}`),
    );
  }
});

test("hides the stand-ins for removed members from feature detection [LEG-1, LEG-6]", async (t) => {
  const { io, socket } = await pair(t);
  for (const target of [io, io.of("/"), io.to("r"), socket]) {
    const names = [];
    for (const name in target) names.push(name);
    for (const gone of ["origins", "set", "clients", "binary"]) assert.equal(names.includes(gone), false, gone);
  }
  for (const name of ["socketsJoin", "socketsLeave", "disconnectSockets", "fetchSockets"]) assert.equal(typeof io[name], "function");
});

test("warns of options that are gone, and ignores them [LEG-1, LEG-2, LEG-12]", oursOnly("it ignores them in silence"), async (t) => {
  const cases = { handlePreflightRequest: /cors/, cookieName: /cookie/, cookieHttpOnly: /cookie/, cookiePath: /cookie/ };
  const { warnings, next } = catchWarnings(t);
  for (const [name, replacement] of Object.entries(cases)) {
    new Server({ [name]: "x" });
    const warning = await next(({ code, message }) => code === "ROOMCAST_REMOVED_OPTION" && message.includes(name));
    assert.match(warning.message, replacement);
  }
  assert.equal(warnings.length, Object.keys(cases).length);
});

test("never calls back from join and leave [LEG-4, MEM-8]", async (t) => {
  const { socket } = await pair(t);
  const { warnings, next } = catchWarnings(t);
  const callback = () => assert.fail("it was called");
  socket.join("a", callback);
  socket.join("b", callback);
  socket.leave("b", callback);
  assert.deepEqual([...socket.rooms], [socket.id, "a"]);
  if (!isReference) {
    assert.match((await next()).message, /join/);
    assert.equal(warnings.length, 1);
  }
  socket.leaveAll();
  assert.equal(socket.rooms.size, 0);
});

test("keeps sockets in maps and rooms in sets [LEG-6, LEG-7, LEG-8]", async (t) => {
  const { io, socket } = await pair(t);
  const nsp = io.of("/");
  assert.equal(nsp.connected, undefined);
  assert.deepEqual([io.sockets.sockets.get(socket.id), io.sockets.sockets[socket.id], nsp.sockets.size], [socket, undefined, 1]);
  assert.deepEqual([Object.keys(socket.rooms), [...socket.rooms]], [[], [socket.id]]);
});

test("keeps credentials and query apart [LEG-10]", async (t) => {
  const { socket } = await pair(t, {}, { client: { query: { token: "q" }, auth: { token: "a" } } });
  assert.deepEqual([socket.handshake.query.token, socket.handshake.auth.token], ["q", "a"]);
});

test("refuses with an Error on the client, not with an event named error [LEG-13]", async (t) => {
  const { io, client } = await pair(t);
  io.of("/closed").use((_, next) => next(Object.assign(new Error("no"), { data: 1 })));
  const other = client.io.socket("/closed");
  other.on("error", () => assert.fail("an event named error"));
  const refused = once(other, "connect_error");
  const [error] = await refused;
  assert.deepEqual([error instanceof Error, error.message, error.data], [true, "no", 1]);
});

test("still shows the engine under its old name [LEG-14, MEM-8]", async (t) => {
  const { io } = await startServer(t);
  assert.equal(io.eio, io.engine);
});

test("joins nothing that the client did not ask for [LEG-15]", async (t) => {
  const { io, socket, client } = await pair(t, {}, { namespace: "/admin" });
  await fence(socket, client);
  assert.equal(io.of("/").sockets.size, 0);
});

test("returns true from emit, so nothing chains [LEG-16]", async (t) => {
  const { io, socket } = await pair(t);
  for (const target of [io, io.of("/"), io.to("r"), socket]) {
    assert.equal(target.emit("a"), true);
    assert.throws(() => target.emit("a").emit("b"), TypeError);
  }
});

test("runs socket middlewares, as version 2 did [LEG-18]", async (t) => {
  const { socket, client } = await pair(t);
  const seen = [];
  socket.use((packet, next) => seen.push(packet) && next());
  client.emit("e", 1);
  await fence(client, socket);
  assert.deepEqual(seen[0], ["e", 1]);
});

test("lets the user make engine ids, by promise too [LEG-19]", async (t) => {
  const { io, url } = await startServer(t);
  io.engine.generateId = async (request) => `id-of-${request.method}`;
  const { socket } = await joinServer(t, { io, url });
  assert.equal(socket.conn.id, "id-of-GET");
  assert.notEqual(socket.id, socket.conn.id);
});

test("has no adapter methods of version 2, but those that replaced them [LEG-20, LEG-21]", async (t) => {
  const { io, socket } = await pair(t);
  const { adapter } = io.of("/");
  for (const name of ["clients", "clientRooms", "allRooms"]) assert.equal(adapter[name], undefined, name);
  assert.deepEqual(await adapter.sockets(new Set()), new Set([socket.id]));
  assert.deepEqual(adapter.socketRooms(socket.id), new Set([socket.id]));
  assert.ok(adapter.rooms instanceof Map);
  assert.equal(typeof adapters.Adapter.prototype.socketRooms, "function");
});

test("has the defaults of version 4 [LEG-22]", async (t) => {
  const { io } = await startServer(t);
  const { pingTimeout, pingInterval, maxHttpBufferSize, perMessageDeflate, cookie } = io.engine.opts;
  assert.deepEqual(
    [pingTimeout, pingInterval, maxHttpBufferSize, Boolean(perMessageDeflate), Boolean(cookie)],
    [20000, 25000, 1e6, false, false],
  );
});

test("still has what the documentation of version 2 shows and version 4 kept [LEG-23]", () => {
  const io = new Server();
  for (const name of ["serveClient", "path", "adapter", "attach", "listen", "bind", "onconnection", "of", "close"]) {
    assert.equal(typeof io[name], "function", name);
  }
  assert.equal(typeof io.of("/").to("r").emit, "function");
});
