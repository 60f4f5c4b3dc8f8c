/** A page loaded over HTTP/2: its WebSocket is a stream of the same connection. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { launch, openPage } from "./browser.js";

const PAGE = `<!doctype html><title>HTTP/2</title><script src="/socket.io/socket.io.js"></script>`;

/** A server that keeps what HTTP/2 streams and HTTP/1.1 upgrades come. */
async function start(t) {
  const started = await startServer(t, {}, { http2: true });
  const { httpServer, io } = started;
  const wire = [];
  httpServer.prependListener("stream", (_stream, headers) => wire.push(headers[":protocol"] ?? headers[":path"].split("?")[0]));
  httpServer.prependListener("upgrade", () => wire.push("upgrade"));
  httpServer.on("request", (request, response) => {
    if (request.url.startsWith("/socket.io/")) return;
    response.writeHead(request.url === "/" ? 200 : 404, { "Content-Type": "text/html" });
    response.end(PAGE);
  });
  io.on("connection", (socket) => socket.on("echo", (value, answer) => answer(value)));
  return { ...started, wire };
}

/** What a page does: connects, exchanges text and binary, tells the transports it had. */
const useSocket = (options) =>
  new Promise((resolve, reject) => {
    const socket = globalThis.io({ ...options, reconnection: false });
    const { engine } = socket.io;
    const transports = [engine.transport.name]; // the move may be over before the namespace is joined
    socket.on("connect_error", reject);
    socket.on("connect", async () => {
      if (engine.transport.name === "polling") await new Promise((done) => engine.once("upgrade", done));
      if (transports.at(-1) !== engine.transport.name) transports.push(engine.transport.name);
      const text = await socket.emitWithAck("echo", "x".repeat(200_000));
      const binary = await socket.emitWithAck("echo", new Uint8Array([1, 2, 3]));
      resolve({ transports, length: text.length, binary: [...new Uint8Array(binary)] });
    });
  });

for (const [what, options, transports] of [
  ["opens a WebSocket", { transports: ["websocket"] }, ["websocket"]],
  ["moves from polling to a WebSocket", {}, ["polling", "websocket"]],
]) {
  test(`${what} over HTTP/2 in Chromium [EIO-42, EIO-80, HTTP-43]`, oursOnly("it serves no WebSocket over HTTP/2"), async (t) => {
    const { io, url, wire } = await start(t);
    const browser = await launch(t);
    const connection = once(io, "connection");
    const { page, errors } = await openPage(browser, url);
    const seen = await page.evaluate(useSocket, options);
    const [socket] = await connection;
    assert.deepEqual(seen, { transports, length: 200_000, binary: [1, 2, 3] });
    assert.ok(wire.includes("websocket"), `the server saw ${wire}`);
    assert.equal(wire.includes("upgrade"), false);
    assert.equal(socket.conn.transport.name, "websocket");
    const left = once(socket, "disconnect");
    await page.close();
    assert.equal((await left)[0], "transport close");
    assert.deepEqual(errors, []);
  });
}
