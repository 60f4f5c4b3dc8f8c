/** What the tests of the commands work on: a server, and a folder of files. */
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocketServer } from "ws";
import { requireFromTarget } from "../../support/packages.js";
import { isReference } from "../../support/target.js";

const { Server } = isReference ? {} : requireFromTarget("roomcast");

/** Starts a server. @returns `{ io, url }` */
export async function startServer(t, options) {
  const httpServer = createServer();
  const io = new Server(httpServer, options);
  httpServer.listen(0, "127.0.0.1");
  await once(httpServer, "listening");
  t.after(() => io.close());
  return { io, url: `http://127.0.0.1:${httpServer.address().port}` };
}

const HANDSHAKE = { sid: "a", upgrades: [], pingInterval: 25_000, pingTimeout: 20_000 };

/** A server that lets clients of any namespace join, and then sends packets of its own making. @returns its URL */
export async function startRaw(t, packets, before = []) {
  const httpServer = createServer();
  const server = new WebSocketServer({ server: httpServer });
  server.on("connection", (socket) => {
    socket.send(`0${JSON.stringify(HANDSHAKE)}`);
    socket.on("message", (data) => {
      const [, namespace] = /^40(\/[^,]+,)?/.exec(data.toString()) ?? [];
      if (data.toString().startsWith("40"))
        for (const each of [...before, `40${namespace ?? ""}{"sid":"b"}`, ...packets]) socket.send(each);
    });
  });
  httpServer.listen(0, "127.0.0.1");
  await once(httpServer, "listening");
  t.after(() => {
    for (const socket of server.clients) socket.terminate();
    httpServer.close();
  });
  return `http://127.0.0.1:${httpServer.address().port}`;
}

/** A folder with a page, a hidden file, and links that lead out and to the hidden file. */
export function folder(t) {
  const outer = mkdtempSync(join(tmpdir(), "roomcast-serve-"));
  t.after(() => rmSync(outer, { recursive: true, force: true }));
  const inner = join(outer, "public");
  mkdirSync(join(inner, "sub"), { recursive: true });
  writeFileSync(join(outer, "secret.txt"), "secret");
  writeFileSync(join(inner, "index.html"), "<h1>page</h1>");
  writeFileSync(join(inner, "sub/a b.js"), "1");
  writeFileSync(join(inner, ".env"), "secret");
  writeFileSync(join(inner, "empty.txt"), "");
  symlinkSync(join(outer, "secret.txt"), join(inner, "link.txt"));
  symlinkSync(join(inner, ".env"), join(inner, "env.txt"));
  return inner;
}
