import { test } from "node:test";
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { createServer } from "node:http";
import { PollingSession, WireSocket, refusedUpgrade } from "../../../support/wire-client.js";
import { WEBSOCKET, startEcho } from "../../../support/engine.js";
import { startHttp } from "../../../support/server.js";
import { engine as engineModule } from "../../../support/target.js";

const { WebSocketServer } = createRequire(import.meta.url)("ws");

/** A plain WebSocket server that turns what it gets upside down. */
function reversing(options) {
  const server = new WebSocketServer(options);
  server.on("connection", (ws) => ws.on("message", (data) => ws.send([...String(data)].reverse().join(""))));
  return server;
}

test("shares a server with a plain ws server, when one upgrade listener routes by path [ENG-59, ENG-66, ENG-208]", async (t) => {
  const plain = reversing({ noServer: true });
  const engine = new engineModule.Server();
  engine.on("connection", (session) => session.on("data", (message) => session.send(message)));
  const httpServer = createServer((req, res) => engine.handleRequest(req, res));
  httpServer.on("upgrade", (req, socket, head) => {
    if (req.url.startsWith("/plain")) plain.handleUpgrade(req, socket, head, (ws) => plain.emit("connection", ws, req));
    else engine.handleUpgrade(req, socket, head);
  });
  const { port } = await startHttp(t, httpServer, () => engine.close());
  const theirs = await WireSocket.open(port, "/plain");
  const ours = await WireSocket.open(port, WEBSOCKET);
  assert.match(await ours.next(), /^0/);
  theirs.send("abc");
  ours.send("4abc");
  await theirs.expect("cba");
  await ours.expect("4abc");
  const polling = await PollingSession.open(port);
  const upgraded = await polling.upgrade();
  upgraded.send("4upgraded");
  await upgraded.expect("4upgraded");
});

test("shares a server with a plain ws server that listens for its own path [ENG-66, ENG-68]", async (t) => {
  const { port, httpServer } = await startEcho(t, { destroyUpgradeTimeout: 100 });
  const plain = reversing({ noServer: true });
  httpServer.on("upgrade", (req, socket, head) => {
    if (req.url === "/plain") plain.handleUpgrade(req, socket, head, (ws) => plain.emit("connection", ws, req));
  });
  const theirs = await WireSocket.open(port, "/plain");
  await assert.rejects(theirs.next(300), /waited 300 ms/);
  theirs.send("abc");
  await theirs.expect("cba");
  const ours = await WireSocket.open(port, WEBSOCKET);
  await ours.next();
  ours.send("4abc");
  await ours.expect("4abc");
});

test("loses its WebSockets, and not its polling, to a ws server with a path of its own: the known conflict [ENG-208]", async (t) => {
  const { port, httpServer } = await startEcho(t);
  const plain = reversing({ server: httpServer, path: "/plain" });
  t.after(() => plain.close());
  const theirs = await WireSocket.open(port, "/plain");
  theirs.send("abc");
  await theirs.expect("cba");
  const ours = await WireSocket.open(port, WEBSOCKET).catch((error) => error);
  if (ours instanceof WireSocket) await ours.closed();
  else assert.equal(ours.response.status, 400);
  const polling = await PollingSession.open(port);
  await polling.post("4a");
  assert.deepEqual(await polling.poll(), ["4a"]);
});

test("refuses with its own bytes, and leaves refusals of others to them [ENG-44, ENG-66]", async (t) => {
  const { port, httpServer } = await startEcho(t, { destroyUpgradeTimeout: 100 });
  httpServer.on("upgrade", (req, socket) => {
    if (req.url === "/refused") socket.end("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
  });
  assert.equal((await refusedUpgrade(port, "/refused")).status, 401);
  assert.equal((await refusedUpgrade(port, "/engine.io/?EIO=4&transport=foo")).text, "Transport unknown");
});
