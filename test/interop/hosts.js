/** The HTTP servers of the rows, and a Socket.IO server on one of them. */
import { createServer } from "node:http";
import { createSecureServer } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import { tlsFixture } from "../support/server.js";
import { Server } from "../support/target.js";
import { within } from "../support/wait.js";

export const hosts = [
  { title: "http", scheme: "http", create: () => createServer() },
  { title: "https", scheme: "https", create: () => createHttpsServer({ ...tlsFixture }) },
  { title: "http2 with allowHTTP1", scheme: "https", create: () => createSecureServer({ ...tlsFixture, allowHTTP1: true }) },
];

/**
 * Starts a Socket.IO server, which ends with the test unless it was stopped before.
 * @param port  0 for any free one
 * @returns     `{ io, url, port, stop() }`; `stop` waits until the port is free again
 */
export async function serve(t, host, options = {}, port = 0) {
  const httpServer = host.create();
  const sockets = new Set();
  httpServer.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  const io = new Server(httpServer, options);
  const listening = new Promise((resolve, reject) => {
    httpServer.once("error", reject);
    httpServer.listen(port, "127.0.0.1", resolve);
  });
  await within(listening, "the server to listen");
  const bound = httpServer.address().port;

  let stopping = null;
  const stop = () => {
    stopping ??= within(
      new Promise((resolve) => {
        io.close(resolve);
        // Idle keep-alive connections would hold the port.
        setImmediate(() => sockets.forEach((socket) => socket.destroy()));
      }),
      "the server to stop",
    );
    return stopping;
  };
  t.after(stop);
  return { io, url: `${host.scheme}://127.0.0.1:${bound}`, port: bound, stop };
}
