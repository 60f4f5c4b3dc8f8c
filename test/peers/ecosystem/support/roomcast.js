/** roomcast under the name `socket.io`, as the packages of this family load it, and servers made from it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);

/** The whole module, as `require("socket.io")` gives it here. */
export const socketio = require("socket.io");
export const { Server } = socketio;

/** The directory of this family; programs and bundles in it resolve what the tests resolve. */
export const familyRoot = fileURLToPath(new URL("..", import.meta.url));

/**
 * Fails when what `names` load as `socket.io` is anything but roomcast, since npm nests the original where a range does not fit.
 * Without names: what this family loads itself.
 */
export function assertRoomcast(...names) {
  const own = require.resolve("socket.io");
  assert.equal(require("socket.io/package.json").name, "roomcast");
  for (const name of names) {
    const requireFromPackage = createRequire(fileURLToPath(import.meta.resolve(name)));
    assert.equal(requireFromPackage("socket.io/package.json").name, "roomcast", `${name} loads the original`);
    assert.equal(requireFromPackage.resolve("socket.io"), own, `${name} loads another copy`);
  }
}

/** Starts a server of roomcast over a server of `node:http` with `listener`: `{ io, httpServer, port, url }`. */
export async function startServer(t, options = {}, listener = undefined) {
  const httpServer = createServer(...(listener ? [listener] : []));
  const io = new Server(httpServer, options);
  return { io, ...(await listen(t, httpServer, () => io.close())) };
}

/** Lets `httpServer` listen on 127.0.0.1, port 0, until the test ends. */
export async function listen(t, httpServer, close) {
  httpServer.listen(0, "127.0.0.1");
  t.after(async () => {
    await close();
    httpServer.closeAllConnections();
  });
  if (!httpServer.listening) await once(httpServer, "listening");
  const { port } = httpServer.address();
  return { httpServer, port, url: `http://127.0.0.1:${port}` };
}
