/** The HTTP servers of the rows, and a Socket.IO server on one of them. */
import { createServer } from "node:http";
import { createSecureServer } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import { connect as connectTcp, createServer as createTcpServer } from "node:net";
import { test } from "node:test";
import { tlsFixture } from "../../support/server.js";
import { Server } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { createApp, hasUws } from "../uws/app.js";

export const hosts = [
  { title: "http", scheme: "http", create: () => createServer() },
  { title: "https", scheme: "https", create: () => createHttpsServer({ ...tlsFixture }) },
  { title: "http2 with allowHTTP1", scheme: "https", create: () => createSecureServer({ ...tlsFixture, allowHTTP1: true }) },
];
if (hasUws()) hosts.push({ title: "uWebSockets.js", scheme: "http", isUws: true });
else test("uWebSockets.js is left out: it has no binary for this Node.js", { skip: true }, () => {});

/**
 * Starts a Socket.IO server, which ends with the test unless it was stopped before.
 * @param port  0 for any free one
 * @returns     `{ io, url, port, stop() }`; `stop` waits until the port is free again
 */
export async function serve(t, host, options = {}, port = 0) {
  if (host.isUws) return serveOnUws(t, options, port);
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

/** An app can't listen on a port that has just been closed, so what stands in front of it keeps the port. */
async function serveOnUws(t, options, port) {
  const { app, listen } = await createApp();
  const io = new Server(options);
  io.attachApp(app);
  const front = new Front(await listen(null));
  await front.listen(port);
  let stopping = null;
  const stop = () => {
    stopping ??= within(io.close(), "the server to stop").then(() => {
      app.close();
      return front.close();
    });
    return stopping;
  };
  t.after(stop);
  return { io, url: `http://127.0.0.1:${front.port}`, port: front.port, stop };
}

/** Passes bytes on, both ways. */
class Front {
  constructor(target) {
    this.sockets = new Set();
    this.server = createTcpServer({ allowHalfOpen: true }, (socket) => {
      const onward = connectTcp({ port: target, host: "127.0.0.1", allowHalfOpen: true });
      for (const end of [socket, onward]) {
        this.sockets.add(end.setNoDelay());
        end
          .on("error", () => {})
          .on("close", () => {
            this.sockets.delete(end);
            (end === socket ? onward : socket).destroy();
          });
      }
      socket.pipe(onward).pipe(socket);
    });
  }

  async listen(port) {
    await within(new Promise((resolve) => this.server.listen(port, "127.0.0.1", resolve)), "the front to listen");
    this.port = this.server.address().port;
  }

  close() {
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    return closed;
  }
}
