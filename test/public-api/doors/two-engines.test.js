/** Two engines on one server: met at once where they share a path, left alone where they don't. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { createSecureServer } from "node:http2";
import { createRequire } from "node:module";
import { test } from "node:test";
import { connect, once } from "../../support/client.js";
import { startHttp, tlsFixture } from "../../support/server.js";
import { engine as engineModule, oursOnly, Server } from "../../support/target.js";
import { http, WireSocket } from "../../support/wire-client.js";
import { createApp, hasUws } from "../../peers/uws/app.js";

const OURS = oursOnly("both answer every WebSocket, whose frames break");
const CLASH = { code: "RC_ERR_ARGUMENT", message: /^attach: an engine answers at "\/.*" of this server already\. .*option path/ };
const ONLY_WEBSOCKET = { transports: ["websocket"] };

const HOSTS = [
  ["HTTP", () => createServer()],
  ["HTTPS", () => createHttpsServer({ ...tlsFixture })],
  ["HTTP/2", () => createSecureServer({ ...tlsFixture, allowHTTP1: true })],
];
for (const [title, makeServer] of HOSTS) {
  test(`refuses a second engine on the same path of a server, ${title} [ROB-370]`, OURS, async (t) => {
    const httpServer = makeServer();
    const io = new Server(httpServer);
    assert.throws(() => io.attach(httpServer), CLASH);
    assert.throws(() => io.listen(httpServer, { path: "/socket.io/" }), CLASH);
    assert.throws(() => new Server(httpServer), CLASH);
    assert.throws(() => new Server(httpServer, { path: "/socket.io", addTrailingSlash: false }), CLASH);
    assert.throws(() => new engineModule.Server().attach(httpServer, { path: "/socket.io" }), CLASH);
    assert.throws(() => new Server(httpServer, { transports: ["polling"] }), CLASH);
    const { port } = await startHttp(t, httpServer, () => io.close());
    const joined = once(io, "connection");
    await connect(t, `${title === "HTTP" ? "http" : "https"}://127.0.0.1:${port}`, "/", ONLY_WEBSOCKET);
    await joined; // what was refused has changed nothing
  });
}

test("serves engines on different paths of a server, also where one path begins with the other [ROB-371]", async (t) => {
  const httpServer = createServer((_request, response) => response.end("page"));
  const paths = ["/a/b", "/socket.io", "/a"];
  const servers = paths.map((path) => new Server(httpServer, { path, destroyUpgradeTimeout: 1 }));
  const { port, url } = await startHttp(t, httpServer, () => Promise.all(servers.map((io) => io.close())));
  for (const [i, path] of paths.entries()) {
    for (const transports of [["websocket"], ["polling"]]) {
      if (path === "/a/b" && process.env.TEST_TARGET) continue; // the original hands it to both
      const joined = once(servers[i], "connection");
      const client = await connect(t, url, "/", { path, transports });
      const [socket] = await joined;
      const heard = once(client, "hello");
      socket.emit("hello");
      await heard;
    }
  }
  assert.equal((await http(port, { path: "/elsewhere" })).text, "page");
});

test("leaves an upgrade that another engine takes its time for alone [ROB-371, ENG-66]", OURS, async (t) => {
  const httpServer = createServer();
  let decide;
  const asked = new Promise((resolve) => {
    const allowRequest = (_request, callback) => resolve((decide = () => callback(null, true)));
    new Server(httpServer, { path: "/slow", allowRequest });
  });
  const io = new Server(httpServer, { destroyUpgradeTimeout: 1 });
  const { port } = await startHttp(t, httpServer, () => io.close());
  const opening = WireSocket.open(port, "/slow/?EIO=4&transport=websocket");
  await asked;
  await assert.rejects(WireSocket.open(port, "/nobody/?EIO=4&transport=websocket")); // ended, after longer than that
  decide();
  const ws = await opening;
  assert.match(await ws.next(), /^0\{/);
  ws.abort();
});

test("attaches again once the engine before was closed, and serves each WebSocket once [ROB-372]", async (t) => {
  const httpServer = createServer();
  const first = new Server(httpServer);
  await first.close();
  const second = new Server(httpServer);
  await second.close();
  second.attach(httpServer);
  const { url } = await startHttp(t, httpServer, () => second.close());
  for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
    const joined = once(second, "connection");
    const client = await connect(t, url, "/", { transports });
    const [socket] = await joined;
    const heard = once(client, "hello");
    socket.emit("hello");
    await heard;
  }
  first.on("connection", () => assert.fail("a closed server got a client"));
});

test("stands beside an engine of another package [ROB-371]", OURS, async (t) => {
  const peers = createRequire(import.meta.url);
  const { WebSocketServer } = peers("ws");
  const httpServer = createServer();
  const other = new WebSocketServer({ noServer: true });
  httpServer.on("upgrade", (request, socket, head) => {
    if (request.url === "/ws") other.handleUpgrade(request, socket, head, (ws) => other.emit("connection", ws));
  });
  const io = new Server(httpServer, { destroyUpgrade: false });
  const { port } = await startHttp(t, httpServer, () => io.close());
  const connected = once(other, "connection");
  const ws = await WireSocket.open(port, "/ws");
  await connected;
  ws.abort();
  const own = await WireSocket.open(port, "/socket.io/?EIO=4&transport=websocket");
  assert.match(await own.next(), /^0\{/);
  own.abort();
});

test("goes on with an HTTP server that listens again [ROB-372]", async (t) => {
  const httpServer = createServer();
  const io = new Server(httpServer);
  for (let round = 0; round < 2; round++) {
    await new Promise((resolve) => httpServer.listen(0, "127.0.0.1", resolve));
    const client = await connect(t, httpServer.address().port, "/", ONLY_WEBSOCKET);
    client.disconnect();
    await new Promise((resolve) => httpServer.close(resolve));
  }
  await io.close();
});

test("refuses a second engine on the same path of an app of uWebSockets.js [ROB-370]", { skip: !hasUws() }, async (t) => {
  const { app, listen } = await createApp();
  const io = new Server();
  io.attachApp(app);
  assert.throws(() => new Server().attachApp(app), CLASH);
  assert.throws(() => io.attachApp(app), CLASH);
  new Server().attachApp(app, { path: "/other" });
  await io.close();
  io.attachApp(app);
  const port = await listen(t, () => io.close());
  const joined = once(io, "connection");
  await connect(t, port, "/", ONLY_WEBSOCKET);
  await joined;
});
