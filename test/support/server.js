/** Live servers for tests: on 127.0.0.1, port 0, gone when the test ends. */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { createSecureServer } from "node:http2";
import { engine as engineModule, Server } from "./target.js";
import { createApp } from "../peers/uws/app.js";
import { within } from "./wait.js";

const fixture = (name) => readFileSync(new URL(`./fixtures/${name}`, import.meta.url));

/** What servers listen on by default: Node's HTTP server, or uWebSockets.js with the environment variable TEST_HOST=uws. */
const defaultHost = process.env.TEST_HOST === "uws" ? { uws: true } : {};

/** A self-signed certificate for localhost and 127.0.0.1. */
export const tlsFixture = { key: fixture("key.pem"), cert: fixture("cert.pem") };

/**
 * Starts a Socket.IO server.
 * @param t        test context, takes the clean-up
 * @param options  options of the server
 * @param host     `http`: a server of your own, or a request listener; `https: true`; `http2: true` (with HTTP/1.1 allowed);
 *                 `attach(httpServer, options)`: builds the server by hand and returns it
 * @returns        `{ io, httpServer, port, url }`
 */
export async function startServer(t, options = {}, host = defaultHost) {
  if (host.uws) return startOnUws(t, options);
  const { httpServer, scheme } = createHost(host);
  const io = host.attach ? await host.attach(httpServer, options) : new Server(httpServer, options);
  const port = await listen(t, httpServer, () => io.close());
  return { io, httpServer, port, url: `${scheme}://127.0.0.1:${port}` };
}

/**
 * Starts an engine alone, at its default path `/engine.io/`.
 * @param host  as for `startServer`; `attach: false` leaves the attaching to the test
 * @returns     `{ engine, httpServer, port, url }`
 */
export async function startEngine(t, options = {}, host = defaultHost) {
  if (host.uws) return startEngineOnUws(t, options);
  const { httpServer, scheme } = createHost(host);
  const engine = new engineModule.Server(options);
  if (host.attach !== false) engine.attach(httpServer, options);
  const port = await listen(t, httpServer, () => engine.close());
  return { engine, httpServer, port, url: `${scheme}://127.0.0.1:${port}` };
}

async function startOnUws(t, options) {
  const { app, listen } = await createApp();
  const io = new Server(options);
  io.attachApp(app, options);
  const port = await listen(t, () => io.close());
  return { io, app, port, url: `http://127.0.0.1:${port}` };
}

async function startEngineOnUws(t, options) {
  const { app, listen } = await createApp();
  const engine = new engineModule.uServer(options);
  engine.attach(app, options);
  const port = await listen(t, () => engine.close());
  return { engine, app, port, url: `http://127.0.0.1:${port}` };
}

/** Starts a plain HTTP server of the test's own; its left-over sockets are destroyed when the test ends. */
export async function startHttp(t, httpServer, close = () => {}) {
  const port = await listen(t, httpServer, close);
  return { httpServer, port, url: `http://127.0.0.1:${port}` };
}

function createHost({ http, https, http2 }) {
  if (http2) return { scheme: "https", httpServer: createSecureServer({ ...tlsFixture, allowHTTP1: true }) };
  if (https) return { scheme: "https", httpServer: createHttpsServer({ ...tlsFixture }) };
  if (http && typeof http !== "function") return { scheme: "http", httpServer: http };
  return { scheme: "http", httpServer: createServer(...(http ? [http] : [])) };
}

async function listen(t, httpServer, close) {
  const sockets = new Set();
  httpServer.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  await within(
    new Promise((resolve, reject) => {
      httpServer.once("error", reject);
      httpServer.listen(0, "127.0.0.1", resolve);
    }),
    "the server to listen",
  );
  t.after(async () => {
    const closing = Promise.resolve(close());
    const closed = httpServer.listening ? new Promise((resolve) => httpServer.close(resolve)) : Promise.resolve();
    for (const socket of sockets) socket.destroy();
    await within(Promise.all([closing, closed]), "the server to close");
  });
  return httpServer.address().port;
}
