/** Compressed messages that arrive in pieces: cut anywhere, in fragments, between pings; on every kind of connection. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { messages, WEBSOCKET } from "../../../support/engine.js";
import { once } from "../../../support/client.js";
import { startEngine } from "../../../support/server.js";
import { compressedFragments, compressedFrame, deflated, frame, OFFERS_DEFLATE, OPCODE, WireSocket } from "../../../support/wire-client.js";
import { openConnection, openWebSocket } from "../../http2/http2-client.js";

const hosts = {
  TCP: { host: {}, open: (t, { port }, headers) => WireSocket.open(port, WEBSOCKET, headers, { windowBits: 15 }) },
  "a TCP stream": {
    host: {},
    options: { sockets: "stream" },
    open: (t, { port }, headers) => WireSocket.open(port, WEBSOCKET, headers, { windowBits: 15 }),
  },
  TLS: { host: { https: true }, open: (t, { port }, headers) => WireSocket.open(port, WEBSOCKET, headers, { tls: true, windowBits: 15 }) },
  "HTTP/2": {
    host: { http2: true },
    async open(t, { url }, headers) {
      const lower = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
      const ws = await openWebSocket(await openConnection(t, url), WEBSOCKET, lower);
      ws.windowBits = 15;
      return ws;
    },
  },
};
const modes = { "without context": {}, "with context": { serverNoContextTakeover: false, clientNoContextTakeover: false } };

const long = JSON.stringify(Array.from({ length: 80 }, (_, i) => ({ id: (i * 7919) % 10_007, text: `Eintrag ${i % 7} é€🦊` })));
const turn = () => new Promise(setImmediate);

for (const [place, { host, options, open }] of Object.entries(hosts)) {
  for (const [mode, deflate] of Object.entries(modes)) {
    const start = async (t) => {
      const started = await startEngine(t, { perMessageDeflate: { threshold: 1024, ...deflate }, ...options }, host);
      const connected = once(started.engine, "connection");
      const ws = await open(t, started, OFFERS_DEFLATE);
      t.after(() => ws.abort());
      const [session] = await connected;
      await ws.next();
      return { ws, session };
    };

    test(`reads compressed messages cut at every byte, over ${place}, ${mode} [ROB-656, EIO-20]`, async (t) => {
      const { ws, session } = await start(t);
      const seen = messages(session);
      const expected = [];
      for (const message of ["4short é€🦊 short é€🦊", Buffer.from("bytes, bytes, bytes, bytes")]) {
        const bytes = Buffer.concat([compressedFrame(message), frame(OPCODE.ping, "p")]);
        for (let at = 1; at < bytes.length; at++) {
          ws.write(bytes.subarray(0, at));
          await turn();
          ws.write(bytes.subarray(at));
          expected.push(typeof message === "string" ? message.slice(1) : message);
          assert.equal((await ws.controls.next()).payload.toString(), "p");
        }
      }
      for (const byte of Buffer.concat([compressedFrame("4byte by byte by byte"), frame(OPCODE.ping, "p")])) {
        ws.write(Buffer.from([byte]));
        await turn();
      }
      await ws.controls.next();
      assert.deepEqual(seen, [...expected, "byte by byte by byte"]);
    });

    test(`reads compressed messages in fragments with pings between them, beside plain ones, over ${place}, ${mode} [ROB-656, ENG-119]`, async (t) => {
      const { ws, session } = await start(t);
      const seen = messages(session);
      const binary = Buffer.from(long);
      const expected = [];
      for (const pieces of [1, 2, 3, 7, deflated(`4${long}`).length]) {
        for (const message of [`4${long}`, binary]) {
          const fragments = compressedFragments(message, pieces);
          const every = Math.ceil(pieces / 20);
          ws.write(Buffer.concat(fragments.flatMap((fragment, i) => (i % every === 0 ? [fragment, frame(OPCODE.ping, "p")] : [fragment]))));
          ws.ping("last");
          while ((await ws.controls.next()).payload.toString() !== "last"); // of pings that wait only the last is answered
          ws.write(Buffer.concat([frame(OPCODE.text, "4pl", { fin: false }), frame(OPCODE.continuation, "ain")]));
          expected.push(typeof message === "string" ? message.slice(1) : message, "plain");
        }
      }
      // Empty fragments at the start, in the middle and at the end.
      const payload = deflated(`4${long}`);
      ws.write(
        Buffer.concat([
          frame(OPCODE.text, "", { fin: false, rsv: 4 }),
          frame(OPCODE.continuation, payload.subarray(0, 10), { fin: false }),
          frame(OPCODE.continuation, "", { fin: false }),
          frame(OPCODE.continuation, payload.subarray(10), { fin: false }),
          frame(OPCODE.continuation, ""),
          frame(OPCODE.ping, "end"),
        ]),
      );
      expected.push(long);
      await ws.controls.next();
      assert.deepEqual(seen, expected);
    });

    test(`answers each of many messages in one write with its own, over ${place}, ${mode} [ROB-656]`, async (t) => {
      const { ws, session } = await start(t);
      session.on("data", (data) => session.send(data.length > 40 ? data.length : data));
      const sent = Array.from({ length: 300 }, (_, i) =>
        i % 3 === 0 ? `4${long}${i}` : i % 3 === 1 ? `4short ${i}` : Buffer.from(`bytes ${i}`),
      );
      ws.write(
        Buffer.concat(
          sent.map((message, i) => (i % 4 === 3 ? frame(typeof message === "string" ? 1 : 2, message) : compressedFrame(message))),
        ),
      );
      for (const [i, message] of sent.entries()) await ws.expect(i % 3 === 0 ? `4${message.length - 1}` : message);
    });
  }
}
