import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { connect, once } from "../../support/client.js";
import { within } from "../../support/wait.js";
import { assertRoomcast, familyRoot, Server, startServer } from "./support/roomcast.js";

const require = createRequire(import.meta.url);
const karma = require("karma");
const chromeLauncher = require("karma-chrome-launcher");

/** Runs karma once over fixtures/karma-page.js in Chromium: what its reporters were told, and its exit code. */
async function runKarma(t, options) {
  execFileSync(fileURLToPath(new URL("../browser/setup.sh", import.meta.url)), { stdio: "inherit" });
  process.env.CHROME_BIN ??= process.env.CHROMIUM ?? "/usr/bin/chromium";
  const told = { results: [], logs: [], completed: [], servers: [] };
  const reporter = function () {
    this.onSpecComplete = (browser, { description, success }) => told.results.push([description, success]);
    this.onBrowserLog = (browser, text) => told.logs.push(text);
    this.onBrowserComplete = (browser, result) => told.completed.push([browser.name, result?.coverage?.lines.length]);
    this.adapters = [];
  };
  const framework = (io) => told.servers.push(io);
  framework.$inject = ["socketServer"];
  const config = await karma.config.parseConfig(
    null,
    {
      basePath: familyRoot,
      files: [join(familyRoot, "fixtures/karma-page.js")],
      frameworks: ["server-seen"],
      plugins: [chromeLauncher, { "reporter:told": ["type", reporter], "framework:server-seen": ["factory", framework] }],
      reporters: ["told"],
      browsers: ["Chromium without sandbox"],
      customLaunchers: {
        "Chromium without sandbox": { base: "ChromiumHeadless", flags: ["--no-sandbox", "--disable-gpu", "--disable-quic"] },
      },
      listenAddress: "127.0.0.1",
      hostname: "127.0.0.1",
      port: 0,
      logLevel: "OFF",
      singleRun: true,
      ...options,
    },
    { promiseConfig: true, throwErrors: true },
  );
  const exitCode = await within(
    new Promise((resolve, reject) => {
      const server = new karma.Server(config, resolve);
      t.after(() => server.stop());
      server.start().catch(reject);
    }),
    "karma to end",
    () => told,
    60_000,
  );
  return { ...told, exitCode };
}

for (const transports of [["polling", "websocket"], ["polling"]]) {
  test(`karma runs the tests of a page in Chromium through roomcast, ${transports.join(" then ")} [MEM-1]`, async (t) => {
    assertRoomcast("karma");
    const { servers, results, logs, completed, exitCode } = await runKarma(t, { transports });
    assert.ok(servers[0] instanceof Server);
    assert.deepEqual(results, [
      ["passes", true],
      ["fails", false],
    ]);
    assert.deepEqual(logs, ["'a line of the page'"]);
    assert.equal(completed.length, 1);
    assert.match(completed[0][0], /Chrom/);
    assert.equal(completed[0][1], 200_000);
    assert.equal(exitCode, 1);
  });
}

test("io.sockets.sockets lists the connected sockets, and everything that ends them empties it [MEM-1]", async (t) => {
  assertRoomcast();
  const { io, url } = await startServer(t);
  io.sockets.on("connection", (socket) => socket.emit("hello", socket.id));
  const clients = [await connect(t, url), await connect(t, url, "/", { transports: ["websocket"] })];
  assert.deepEqual([...io.sockets.sockets.keys()].sort(), clients.map(({ id }) => id).sort());
  assert.equal(io.sockets.sockets.size, 2);

  const executed = clients.map((client) => once(client, "execute"));
  io.sockets.emit("execute", { args: ["--grep", "x"] });
  for (const arrived of executed) assert.deepEqual(await arrived, [{ args: ["--grep", "x"] }]);

  const ended = clients.map((client) => once(client, "disconnect"));
  const left = [...io.sockets.sockets.values()].map((socket) => once(socket, "disconnect"));
  io.sockets.sockets.forEach((socket) => {
    socket.removeAllListeners("unwanted");
    socket.disconnect(true);
  });
  await Promise.all([...ended, ...left]);
  assert.equal(io.sockets.sockets.size, 0);
});
