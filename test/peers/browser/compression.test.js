/** Chromium, whose WebSockets always offer permessage-deflate, on a server that agrees. */
/* global io */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { startServer } from "../../support/server.js";
import { startTap } from "../../support/tap.js";
import { within } from "../../support/wait.js";
import { launch, openPage } from "./browser.js";

const page = '<!doctype html><link rel="icon" href="data:,"><script src="/socket.io/socket.io.js"></script>';
const listener = (req, res) => res.setHeader("Content-Type", "text/html").end(page);

/** What message `number` carries: small and large, text and bytes. */
function valuesOf(number) {
  const entries = Array.from({ length: 60 }, (_, i) => ({ id: number * 7919 + i, text: `entry ${i} of ${number} é€🦊` }));
  const bytes = new Uint8Array(3000).map((_, i) => (number + i) % 50).buffer;
  return [[{ number }], [{ number, entries }], [bytes], [{ entries }, bytes, number], [`${number} é€🦊 `.repeat(3000)]][number % 5];
}

/**
 * Runs in the page: sends messages, collects as many of the server, asks for an answer, and stays until the server sends it away. Bytes
 * come and go as `{ bytes: [...] }`.
 */
async function exchange({ transports, messages }) {
  const count = messages.length;
  const valuesOf = (number) => messages[number].map((value) => (value.bytes ? new Uint8Array(value.bytes).buffer : value));
  const plain = (value) =>
    value instanceof ArrayBuffer ? { bytes: [...new Uint8Array(value)] } : Array.isArray(value) ? value.map(plain) : value;
  const socket = io({ transports, reconnection: false });
  const seen = [];
  const all = new Promise((resolve) => socket.on("n", (...values) => seen.push(values.map(plain)) === count && resolve()));
  await new Promise((resolve) => socket.once("connect", resolve));
  for (let number = 0; number < count; number++) {
    if (number === count / 2 && socket.io.engine.transport.name === "polling")
      await new Promise((resolve) => socket.io.engine.once("upgrade", resolve));
    socket.emit("n", ...valuesOf(number));
  }
  const gone = new Promise((resolve) => socket.once("disconnect", resolve));
  const [, document] = valuesOf(1);
  const answer = await new Promise((resolve) => socket.emit("ask", document, resolve));
  await all;
  socket.emit("bye");
  return { seen, isSame: JSON.stringify(answer) === JSON.stringify(document), reason: await gone };
}

function plain(value) {
  if (value instanceof ArrayBuffer || Buffer.isBuffer(value)) return { bytes: [...new Uint8Array(value)] };
  return Array.isArray(value) ? value.map(plain) : value;
}

let browser;
const closings = [];
before(async () => (browser = await launch({ after: (close) => closings.push(close) })));
after(() => Promise.all(closings.map((close) => close())));

for (const [mode, perMessageDeflate, answer] of [
  ["without context", true, ["client_no_context_takeover", "server_no_context_takeover"]],
  [
    "without context, windows of 10 bits",
    { serverMaxWindowBits: 10, clientMaxWindowBits: 10 },
    ["client_max_window_bits=10", "client_no_context_takeover", "server_max_window_bits=10", "server_no_context_takeover"],
  ],
  ["with context", { serverNoContextTakeover: false, clientNoContextTakeover: false }, []],
]) {
  for (const transports of [["websocket"], ["polling", "websocket"]]) {
    test(`Chromium, ${transports.join(" then ")}, ${mode}: large and small, text and bytes, both ways in order, compressed [EVT-2, EIO-88, ENG-113]`, async (t) => {
      const { io, port } = await startServer(t, { perMessageDeflate }, { http: createServer(listener) });
      const { url, webSockets } = await startTap(t, port);
      const count = 100;
      const received = [];
      io.on("connection", (socket) => {
        socket.on("n", (...values) => received.push(values.map(plain)));
        socket.on("ask", (value, reply) => reply(value));
        socket.on("bye", () => socket.disconnect());
        for (let number = 0; number < count / 2; number++) socket.emit("n", number, ...valuesOf(number).map(toBuffer));
        const sendRest = () => {
          for (let number = count / 2; number < count; number++) socket.emit("n", number, ...valuesOf(number).map(toBuffer));
        };
        if (socket.conn.transport.name === "websocket") sendRest();
        else socket.conn.once("upgrade", sendRest);
      });
      const { page, errors } = await openPage(browser, url);
      const expected = Array.from({ length: count }, (_, number) => [number, ...valuesOf(number).map(plain)]);
      const work = page.evaluate(exchange, { transports, messages: expected });
      const { seen, isSame, reason } = await within(work, "the page", () => errors, 60_000);
      assert.deepEqual(seen, expected);
      assert.deepEqual(received, expected);
      assert.deepEqual([isSame, reason, errors], [true, "io server disconnect", []]);

      const [{ offered, accepted, ...frames }] = webSockets;
      assert.equal(offered, "permessage-deflate; client_max_window_bits");
      assert.deepEqual(accepted.split(/; ?/).slice(1).sort(), answer);
      assert.ok(frames.sent.some(({ rsv }) => rsv === 4));
      assert.ok(frames.received.some(({ rsv, payload }) => rsv === 4 && payload.length < 1000));
    });
  }
}

function toBuffer(value) {
  return value instanceof ArrayBuffer ? Buffer.from(value) : value;
}
