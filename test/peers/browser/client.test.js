/** The client that the server itself serves, inside Chromium. */
/* global io */
import { test } from "node:test";
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { once } from "../../support/client.js";
import { startServer } from "../../support/server.js";
import { within } from "../../support/wait.js";
import { launch, openPage } from "./browser.js";

const require = createRequire(import.meta.url);
const oldClient = readFileSync(require.resolve("socket.io-client-2.5/dist/socket.io.js"));

/** A server whose page loads `script`; its sockets answer `echo` with what they got, and repeat it as event `heard`. */
async function startPage(t, script, options = {}, host = {}) {
  const listener = (req, res) => {
    if (req.url === "/old-client.js") return res.setHeader("Content-Type", "text/javascript").end(oldClient);
    res.setHeader("Content-Type", "text/html").end(`<!doctype html><link rel="icon" href="data:,"><script src="${script}"></script>`);
  };
  const server = await startServer(t, options, { ...host, http: createServer(listener), attach: host.attach });
  server.io.on("connection", (socket) => {
    socket.on("echo", (...args) => {
      const answer = args.pop();
      socket.emit("heard", ...args);
      answer(...args);
    });
  });
  return { ...server, ...(await openPage(await launch(t), server.url)) };
}

/** Runs inside the page: connects, exchanges values of every kind, tells what it saw. */
async function exchange({ size = 800_000, ...options }) {
  const socket = io({ ...options, reconnection: false, forceNew: true });
  const bytes = (value) => {
    if (value instanceof ArrayBuffer) return [...new Uint8Array(value)];
    return ArrayBuffer.isView(value) ? [...new Uint8Array(value.buffer, value.byteOffset, value.byteLength)] : value;
  };
  const next = (event) => new Promise((resolve) => socket.once(event, (...args) => resolve(args)));
  const ask = (...args) => new Promise((resolve) => socket.emit("echo", ...args, (...answer) => resolve(answer)));
  await Promise.race([next("connect"), next("connect_error").then(([error]) => Promise.reject(error))]);
  const first = socket.io.engine.transport.name;
  const isUpgrading = !options.transports || options.transports.length > 1;
  if (isUpgrading && first === "polling") await new Promise((resolve) => socket.io.engine.once("upgrade", resolve));

  const heard = next("heard");
  const values = await ask("Ünïcödé € 🦊\u2028", { a: [1, null] }, Uint8Array.of(0, 1, 255).buffer);
  // The MessagePack of the browser bundle takes an ArrayBuffer as bytes, a typed array as a map.
  const big = new Uint8Array(size).fill(7).buffer;
  const [bigBack] = await ask(big);
  const answers = await Promise.all([1, 2, 3, 4, 5].map((n) => ask(n)));
  const seen = {
    id: socket.id,
    transport: socket.io.engine.transport.name,
    heard: (await heard).map(bytes),
    values: values.map(bytes),
    bigBack: bytes(bigBack).length,
    answers: answers.flat(),
  };
  const gone = next("disconnect");
  socket.emit("bye");
  seen.reason = (await gone)[0];
  return seen;
}

const values = ["Ünïcödé € 🦊\u2028", { a: [1, null] }, [0, 1, 255]];
const scripts = [
  { title: "socket.io.js", script: "/socket.io/socket.io.js", options: {} },
  { title: "socket.io.min.js", script: "/socket.io/socket.io.min.js", options: {} },
  {
    title: "socket.io.msgpack.min.js",
    script: "/socket.io/socket.io.msgpack.min.js",
    options: { parser: require("socket.io-msgpack-parser") },
  },
];

for (const { title, script, options } of scripts) {
  for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
    test(`${title} in Chromium, ${transports.join(" then ")}: text, bytes and acknowledgements both ways [HTTP-1, EVT-2, ACK-1, ACK-5]`, async (t) => {
      const { io, page, wire, errors } = await startPage(t, script, { maxHttpBufferSize: 2e6, ...options });
      const closed = new Promise((resolve) => {
        io.on("connection", (socket) => {
          socket.on("bye", () => socket.disconnect());
          socket.on("disconnect", (reason) => resolve([socket.id, reason]));
        });
      });
      const seen = await within(page.evaluate(exchange, { transports }), "the page", () => [wire, errors], 20_000);
      assert.deepEqual(await closed, [seen.id, "server namespace disconnect"]);
      const expected = {
        transport: transports.at(-1),
        heard: values,
        values,
        bigBack: 800_000,
        answers: [1, 2, 3, 4, 5],
        reason: "io server disconnect",
      };
      assert.deepEqual(seen, { id: seen.id, ...expected });
      assert.deepEqual(
        [wire.some((what) => what.startsWith("polling")), wire.includes("websocket")],
        [transports.includes("polling"), transports.includes("websocket")],
      );
      assert.deepEqual(errors, []);
    });
  }
}

test("keeps the order of 10,000 messages each way across the upgrade in Chromium [EVT-10, EIO-88]", async (t) => {
  const { io, page } = await startPage(t, "/socket.io/socket.io.js");
  const total = 10_000;
  const received = [];
  io.on("connection", (socket) => {
    for (let i = 0; i < total; i += 1) socket.emit("n", i);
    socket.on("n", (number) => received.push(number));
    socket.on("all sent", (answer) => answer());
  });
  const seen = await page.evaluate(async (count) => {
    const socket = io({ reconnection: false });
    const numbers = [];
    socket.on("n", (number) => numbers.push(number));
    await new Promise((resolve) => socket.once("connect", resolve));
    for (let i = 0; i < count; i += 1) {
      socket.emit("n", i);
      if (i % 50 === 0) await new Promise((resolve) => setTimeout(resolve));
    }
    await new Promise((resolve) => socket.emit("all sent", resolve));
    return { numbers, transport: socket.io.engine.transport.name };
  }, total);
  const inOrder = Array.from({ length: total }, (_, i) => i);
  assert.equal(seen.transport, "websocket");
  assert.deepEqual(seen.numbers, inOrder);
  assert.deepEqual(received, inOrder);
});

for (const [title, options] of [
  ["JSONP", { forceJSONP: true, transports: ["polling"], size: 8000 }], // its script overflows the stack with more,
  ["polling", { transports: ["polling"] }],
  ["websocket", { transports: ["websocket"] }],
  ["polling then websocket", {}],
]) {
  test(`socket.io-client 2.5 (revision 3) in Chromium, ${title}: text, bytes and acknowledgements both ways [EIO-110, EIO3-6]`, async (t) => {
    const { io, page, errors } = await startPage(t, "/old-client.js", { allowEIO3: true, maxHttpBufferSize: 2e6 });
    const connected = once(io, "connection");
    io.on("connection", (socket) => socket.on("bye", () => socket.disconnect()));
    const seen = await within(page.evaluate(exchange, options), "the page", () => errors, 20_000);
    const [socket] = await connected;
    assert.equal(socket.conn.protocol, 3);
    assert.equal(socket.handshake.query.j !== undefined, title === "JSONP");
    assert.deepEqual(
      [seen.heard, seen.values, seen.bigBack, seen.reason],
      [values, values, options.size ?? 800_000, "io server disconnect"],
    );
    assert.deepEqual(errors, []);
  });
}
