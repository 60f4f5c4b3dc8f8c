/** A port that is taken, and a process without free file descriptors (threat F11): a clear error, and clients that are there go on. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once as onceOf } from "node:events";
import { connect as connectTcp } from "node:net";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { connect, once } from "../../support/client.js";
import { pair } from "../../support/pairs.js";
import { Server } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { HttpConnection } from "../../support/wire-client.js";

const FIXTURE = fileURLToPath(new URL("../../support/fixtures/signalled.mjs", import.meta.url));
const DESCRIPTORS = 64;

test("a port that is taken is an error of the HTTP server that names it; clients of its owner notice nothing [F-11, ROB-740]", async (t) => {
  const { io, port, client, socket } = await pair(t, {}, { host: {} });
  socket.on("work", (answer) => answer("done"));
  const second = new Server(port);
  t.after(() => second.close());
  const [error] = await once(second.httpServer, "error");
  assert.deepEqual([error.code, error.port, error.syscall], ["EADDRINUSE", port, "listen"]);
  await within(second.close(), "the second server to close");
  assert.equal(await client.emitWithAck("work"), "done");
  assert.equal(io.sockets.sockets.size, 1);
});

test("a process without free file descriptors goes on serving its clients, and takes new ones when some are free again [F-11, ROB-740]", async (t) => {
  const command = `ulimit -n ${DESCRIPTORS} && exec "${process.execPath}" "${FIXTURE}" "{}"`;
  const child = spawn("sh", ["-c", command], { stdio: ["ignore", "pipe", "pipe", "ipc"] });
  t.after(() => child.kill("SIGKILL"));
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += text));
  const [{ ports }] = await within(onceOf(child, "message"), "the process to listen", () => output);
  const client = await connect(t, ports[0], "/", { transports: ["websocket"] });
  const kept = await HttpConnection.open(ports[0]);

  const held = [];
  t.after(() => held.forEach((socket) => socket.destroy()));
  let refused = 0;
  for (let index = 0; index < 2 * DESCRIPTORS; index++) {
    const socket = connectTcp(ports[0], "127.0.0.1");
    socket.on("error", () => {});
    socket.once("close", () => refused++);
    held.push(socket);
  }
  while (refused === 0) await client.emitWithAck("next"); // the system closes what the process can't accept
  assert.equal(await client.emitWithAck("work", "a"), "a");
  const polled = await kept.request({ path: "/socket.io/?EIO=4&transport=polling" });
  assert.equal(polled.status, 200);
  assert.equal(client.connected, true);

  for (const socket of held) socket.destroy();
  const next = await within(connectWhenFree(t, ports[0]), "a client to connect again");
  assert.equal(await next.emitWithAck("work", "b"), "b");
  assert.equal(await client.emitWithAck("work", "c"), "c");
  assert.equal(child.exitCode, null);
  assert.equal(output, "");
});

/** Tries until the process has noticed that the connections are gone. */
async function connectWhenFree(t, port) {
  for (;;) {
    try {
      return await connect(t, port, "/", { transports: ["websocket"] });
    } catch {
      // not yet
    }
  }
}
