/** Catalogue of usage examples, section E: namespaces, by name and on demand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Manager } from "socket.io-client";
import { client as openClient, connect, once, record } from "../../support/client.js";
import { eventually, fence, joinServer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";

const WEBSOCKET = { transports: ["websocket"] };

/** One more namespace over the connection of a client: `{ client, socket }`. */
async function alongside(io, client, namespace) {
  const other = client.io.socket(namespace);
  const connected = once(other, "connect");
  await connected;
  return { client: other, socket: io.of(namespace).sockets.get(other.id) };
}

async function refusal(t, url, namespace, options = {}) {
  const [error] = await once(openClient(t, url, namespace, { ...WEBSOCKET, ...options }), "connect_error");
  return error.message;
}

test("EX-90 connects to a namespace without the main one [NSP-10]", async (t) => {
  const { io, url } = await startServer(t);
  const main = record(io, "connection");
  const admin = record(io.of("/admin"), "connection");
  const client = await connect(t, url, "/admin", WEBSOCKET);
  const [[, socket]] = await admin.until((events) => events.length === 1);
  assert.equal(socket.id, client.id);
  await fence(socket, client);
  assert.equal(main.events.length, 0);
});

test("EX-91 finds a namespace with or without its slash [SRV-30, SRV-50]", async (t) => {
  const { io } = await startServer(t);
  assert.equal(io.of("admin"), io.of("/admin"));
  assert.equal(io.of("/"), io.sockets);
  assert.equal(io.of(""), io.sockets);
});

test("EX-92 refuses an unknown namespace, and keeps the connection [NSP-11]", async (t) => {
  const { io, url } = await startServer(t);
  const client = openClient(t, url, "/unknown", WEBSOCKET);
  const [error] = await once(client, "connect_error");
  assert.equal(error.message, "Invalid namespace");
  const main = await alongside(io, client, "/");
  await fence(main.socket, main.client);
  assert.equal(io.engine.clientsCount, 1);
});

test("EX-93 shares one connection between namespaces [CLI-2, SRV-31]", async (t) => {
  const server = await startServer(t);
  server.io.of("/admin");
  const main = await joinServer(t, server);
  const admin = await alongside(server.io, main.client, "/admin");
  assert.equal(server.io.engine.clientsCount, 1);
  assert.equal(main.socket.client, admin.socket.client);
  assert.notEqual(main.socket.id, admin.socket.id);
});

test("EX-93b admits a client once that asks twice before the answer [NSP-25]", oursOnly("it makes two sockets of it"), async (t) => {
  const server = await startServer(t);
  const two = record(server.io.of("/two"), "connection");
  const main = await joinServer(t, server);
  const other = main.client.io.socket("/two");
  const connected = once(other, "connect");
  other.connect();
  await connected;
  await fence(main.client, main.socket);
  await fence(two.events[0][1], other);
  assert.equal(two.events.length, 1);
  assert.equal(other.connected, true);
});

test("EX-93b is asked twice by the official client on an open manager [NSP-25]", async (t) => {
  const server = await startServer(t);
  server.io.of("/two");
  const manager = new Manager(server.url, { ...WEBSOCKET, reconnection: false });
  t.after(() => manager._close());
  const main = manager.socket("/");
  await once(main, "connect");
  const packets = record(server.io.of("/").sockets.get(main.id).conn, "packet");
  const two = manager.socket("/two");
  const connected = once(two, "connect");
  two.connect();
  await connected;
  await packets.until((events) => events.filter(([, { data }]) => String(data).startsWith("0/two")).length === 2);
});

test("EX-94 ends one namespace, or all of a connection [DIS-2, DIS-3, DIS-21]", async (t) => {
  const server = await startServer(t);
  server.io.of("/a");
  server.io.of("/b");
  const main = await joinServer(t, server);
  const a = await alongside(server.io, main.client, "/a");
  const b = await alongside(server.io, main.client, "/b");
  const first = [once(a.socket, "disconnect"), once(a.client, "disconnect")];
  assert.equal(a.socket.disconnect(), a.socket);
  assert.deepEqual(
    (await Promise.all(first)).map(([reason]) => reason),
    ["server namespace disconnect", "io server disconnect"],
  );
  await fence(b.socket, b.client);

  const rest = [main.socket, b.socket].map((socket) => once(socket, "disconnect"));
  const closed = once(main.client.io, "close");
  main.socket.disconnect(true);
  assert.deepEqual(
    (await Promise.all(rest)).map(([reason]) => reason),
    ["server namespace disconnect", "server namespace disconnect"],
  );
  await closed;
});

test("EX-95 opens namespaces that match an expression [PAR-1, PAR-2, PAR-6]", async (t) => {
  const { io, url } = await startServer(t);
  io.of(/^\/dyn-\d+$/).on("connection", (socket) => socket.emit("nsp", socket.nsp.name));
  const [name] = await once(openClient(t, url, "/dyn-7", WEBSOCKET), "nsp");
  assert.equal(name, "/dyn-7");
  assert.equal(await refusal(t, url, "/dyn-x"), "Invalid namespace");
});

test("EX-96 opens namespaces that a function allows [PAR-2, LEG-11]", async (t) => {
  const { io, url } = await startServer(t);
  const asked = [];
  io.of((name, auth, next) => {
    asked.push([name, auth]);
    next(null, auth.token === "ok");
  });
  await connect(t, url, "/any", { ...WEBSOCKET, auth: { token: "ok" } });
  assert.equal(await refusal(t, url, "/other", { auth: { token: "no" } }), "Invalid namespace");
  assert.deepEqual(asked, [
    ["/any", { token: "ok" }],
    ["/other", { token: "no" }],
  ]);
});

test("EX-97 broadcasts to all namespaces of a parent [PAR-7, PAR-8]", async (t) => {
  const server = await startServer(t);
  const parent = server.io.of(/^\/dyn-\d+$/);
  const pairs = [];
  for (const name of ["/dyn-1", "/dyn-1", "/dyn-2", "/dyn-2"]) pairs.push(await joinServer(t, server, name));
  pairs[0].socket.join("r");
  pairs[3].socket.join("r");
  const logs = pairs.map(({ client }) => record(client, "x", "y"));
  assert.equal(parent.emit("x", 1), true);
  parent.to("r").emit("y", 2);
  for (const { socket, client } of pairs) await fence(socket, client);
  assert.deepEqual(
    logs.map(({ names }) => names.join("")),
    ["xy", "x", "x", "xy"],
  );
});

test("EX-98 gives the middlewares of a parent to children opened later [PAR-4]", async (t) => {
  const server = await startServer(t);
  const parent = server.io.of(/^\/dyn-\d+$/);
  parent.use((socket, next) => {
    socket.data.by = socket.nsp.name;
    next();
  });
  assert.equal((await joinServer(t, server, "/dyn-1")).socket.data.by, "/dyn-1");
  parent.use((socket, next) => next(new Error("late")));
  assert.equal(await refusal(t, server.url, "/dyn-2"), "late");
  await joinServer(t, server, "/dyn-1"); // copied when it was opened
});

test("EX-99 emits new_namespace early enough to add a shared middleware [SRV-51, SRV-71]", async (t) => {
  const server = await startServer(t);
  const { io } = server;
  io.of(/^\/dyn-\d+$/);
  const names = [];
  io.on("new_namespace", (namespace) => {
    names.push(namespace.name);
    namespace.use((socket, next) => {
      socket.data.shared = true;
      next();
    });
  });
  io.of("/plain");
  assert.deepEqual(names, ["/plain"]);
  for (const name of ["/plain", "/dyn-1"]) assert.equal((await joinServer(t, server, name)).socket.data.shared, true);
  assert.deepEqual(names, ["/plain", "/dyn-1"]);
});

test("EX-100 closes a namespace on demand when its last client leaves [PAR-20, PAR-22, OPT-7]", async (t) => {
  const server = await startServer(t, { cleanupEmptyChildNamespaces: true });
  const { io } = server;
  io.of(/^\/dyn-\d+$/);
  const first = await joinServer(t, server, "/dyn-1");
  const { nsp } = first.socket;
  let closed = 0;
  const { close } = nsp.adapter;
  nsp.adapter.close = function () {
    closed += 1;
    return close.call(this);
  };
  const second = await joinServer(t, server, "/dyn-1");
  const endings = [once(first.socket, "disconnect"), once(second.socket, "disconnect")];
  first.client.disconnect();
  await endings[0];
  assert.equal(io._nsps.has("/dyn-1"), true);
  second.client.disconnect();
  await endings[1];
  await eventually(() => !io._nsps.has("/dyn-1"), "the namespace to go");
  assert.equal(closed, 1);
  const again = await joinServer(t, server, "/dyn-1");
  assert.notEqual(again.socket.nsp, nsp);
});

test("EX-101 prefers a namespace by name, and makes a later one a child [SRV-51, SRV-55, PAR-21]", async (t) => {
  const server = await startServer(t);
  const { io } = server;
  const log = [];
  io.of("/dyn-1").on("connection", () => log.push("own"));
  io.of(/^\/dyn-\d+$/).on("connection", ({ nsp }) => log.push(`parent of ${nsp.name}`));
  io.of("/dyn-5");
  await joinServer(t, server, "/dyn-1");
  await joinServer(t, server, "/dyn-5");
  assert.deepEqual(log, ["own", "parent of /dyn-5"]);
});

test("EX-102 fetches no sockets of a parent [PAR-11]", async (t) => {
  const { io } = await startServer(t);
  assert.throws(() => io.of(/x/).fetchSockets(), { message: "fetchSockets() is not supported on parent namespaces" });
});

test("EX-103 refuses an expression with a memory [SRV-54]", async (t) => {
  const { io } = await startServer(t);
  for (const expression of [/x/g, /x/y]) {
    assert.throws(() => io.of(expression), { name: "Error", message: "stateful regular expressions are not supported" });
  }
});
