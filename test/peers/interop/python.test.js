/** Debian's Python clients against a server of ours, each in a process of its own. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { eventually } from "../../support/pairs.js";
import { startTap } from "../../support/tap.js";
import { within } from "../../support/wait.js";
import { hosts, serve } from "./hosts.js";

const folder = fileURLToPath(new URL("./python/", import.meta.url));
const python = "/usr/bin/python3";
const isThere = spawnSync(`${folder}setup.sh`, { stdio: ["ignore", "inherit", "inherit"] }).status === 0;
const transports = [["polling"], ["websocket"], ["polling", "websocket"]];
const CUT_AFTER_MS = 100;
/** Events in one tick. The clients give up a payload of more than 16 packets. */
const bursts = [1, 16, 17, 64, 200];

if (!isThere) test("Python clients are left out: they are missing and cannot be installed here", { skip: true }, () => {});

/** Runs a program to its end. @returns what it printed, by line */
async function run(t, file, ...args) {
  const child = spawn(python, [`${folder}${file}`, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  let [printed, complaints] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text) => (printed += text));
  child.stderr.setEncoding("utf8").on("data", (text) => (complaints += text));
  const [code] = await within(once(child, "close"), `${file} to end`, () => [printed, complaints], 60_000);
  assert.equal(code, 0, complaints);
  return printed.trim().split("\n");
}

/** What a client prints, on this transport in the end. */
function assertActs(lines, transport) {
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    [
      ["packets in a payload", 16],
      ["acknowledged", [1, "é€🦊", { a: [null, true, 1.5] }, { bytes: [0, 30, 255] }]],
      ["heard", ["text", { deep: { bytes: [1] } }, { bytes: [] }]],
      ["asked", ["answer", 1, { b: { bytes: [5, 30] } }]],
      ["shop", "in the shop"],
      ["shop hint", ["from the shop", 2]],
      ...bursts.map((count) => ["burst", [count, true]]),
      ["transport", transport],
      ["connections", 1],
      ["again", [true, "back"]],
      ["refused", [{ message: "not you", data: { code: 7 } }]],
      ["end", true],
    ],
  );
}

/** The server's part of the acts. */
async function start(t, options) {
  const server = await serve(t, hosts[0], options);
  const { io } = server;
  const connections = new Set();
  io.httpServer.on("connection", (connection) => connections.add(connection));
  for (const namespace of [io.of("/"), io.of("/shop")]) {
    namespace.on("connection", (socket) => {
      socket.on("ask", (...args) => args.pop()(...args));
      socket.on("repeat", (...values) => socket.emit("heard", ...values));
      socket.on("ask me", (answer) => socket.emit("question", 1, { b: Buffer.from([5, 30]) }, (...values) => answer(...values)));
      socket.on("hint me", () => socket.emit("hint", "from the shop", 2));
      socket.on("burst", (count) => {
        for (let i = 0; i < count; i += 1) socket.emit("n", i);
      });
      // Behind the answer to the POST: where that is lost with the GET, the client's writing thread may end the session without a word, and it stays disconnected.
      socket.on("cut me", () => setTimeout(() => connections.forEach((connection) => connection.destroy()), CUT_AFTER_MS));
    });
  }
  io.of("/closed").use((_, next) => next(Object.assign(new Error("not you"), { data: { code: 7 } })));
  return server;
}

for (const file of isThere ? ["sync_client.py", "asyncio_client.py"] : []) {
  for (const names of transports) {
    const title = `python-socketio 5.7, ${file.split("_")[0]}, ${names.join(" then ")}`;
    test(`${title}: acknowledgements and bytes both ways, namespaces, bursts, reconnection, refusal [EVT-2, ACK-1, ACK-5, NSP-10, MID-4, ROB-460]`, async (t) => {
      // A program that ends may take its last packet with it: the server notices by heartbeat then.
      const { io, url } = await start(t, { pingInterval: 5000, pingTimeout: 8000 });
      const seen = []; // by connection: the next one may come before the end of the last one is noticed
      io.on("connection", (socket) => {
        const each = { token: socket.handshake.auth.token };
        seen.push(each);
        socket.on("disconnect", (reason) => (each.reason = reason));
      });
      const lines = await run(t, file, url, names.join(","), bursts.join(","));
      assertActs(lines, names.at(-1));
      await eventually(
        () => seen.length === 2 && seen.every(({ reason }) => reason !== undefined),
        "the ends of two connections",
        () => seen,
        20_000,
      );
      assert.deepEqual(
        seen.map(({ token }) => token),
        ["a b", "a b"],
      );
      assert.match(seen[0].reason, /^(transport (close|error)|ping timeout)$/);
      assert.match(seen[1].reason, /^(client namespace disconnect|transport (close|error)|ping timeout)$/);
    });
  }
}

for (const bits of isThere ? [15, 12, 9] : []) {
  for (const [how, more] of [
    ["without context", {}],
    ["with context", { serverNoContextTakeover: false, clientNoContextTakeover: false }],
  ]) {
    for (const names of transports.slice(1)) {
      const title = `python-socketio 5.7, asyncio, ${names.join(" then ")}, compressed with windows of ${bits} bits ${how}`;
      test(`${title}: acknowledgements and bytes both ways, namespaces, bursts, reconnection, refusal [EVT-2, ACK-1, ENG-113]`, async (t) => {
        const { io, port } = await start(t, { perMessageDeflate: { threshold: 0, ...more } });
        io.on("connection", (socket) => socket.on("burst", () => socket.emit("unheard", "a text that becomes shorter ".repeat(100))));
        const { url, webSockets } = await startTap(t, port);
        const lines = await run(t, "asyncio_client.py", url, names.join(","), bursts.join(","), String(bits));
        assertActs(lines, "websocket");
        for (const { accepted, sent } of webSockets) {
          assert.match(accepted, /^permessage-deflate/);
          assert.equal(/server_max_window_bits=(\d+)/.exec(accepted)?.[1], bits === 15 ? undefined : String(bits));
          assert.ok(sent.some(({ rsv }) => rsv === 4));
        }
        assert.ok(webSockets[0].received.some(({ rsv }) => rsv === 4)); // others may have been sent only what doesn't become smaller
      });
    }
  }
}

if (isThere) {
  test("socketIO-client 0.6 for Python takes no handshake in the text form of revision 3; the server is left whole [EIO3-1]", async (t) => {
    const { io, url, port } = await start(t, { allowEIO3: true, pingInterval: 200, pingTimeout: 200 });
    for (const names of ["xhr-polling", "websocket", "xhr-polling,websocket"]) {
      assert.deepEqual(await run(t, "old_client.py", String(port), names), ["StopIteration"]);
    }
    await eventually(() => io.engine.clientsCount === 0, "the sessions to time out");
    const [last] = (await run(t, "sync_client.py", url, "websocket", "1")).slice(-1);
    assert.deepEqual(JSON.parse(last), ["end", true]);
  });
}
