/** Peers that send no more, read nothing, and keep their connection. */
import assert from "node:assert/strict";
import { test } from "node:test";
import FakeTimers from "@sinonjs/fake-timers";
import { once } from "../../support/client.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { OPCODE, WireSocket, frame } from "../../support/wire-client.js";

const PATH = "/socket.io/?EIO=4&transport=websocket";
const UNREAD = "x".repeat(12 * 1024 * 1024);
/** What a peer has to close, or to read what was written before the end. */
const CLOSE_WAIT_MS = 30_000;
const DEFLATE = {
  headers: { "Sec-WebSocket-Extensions": "permessage-deflate" },
  options: { perMessageDeflate: { threshold: UNREAD.length * 2 } },
};

const READERS = {
  "frames read by the server itself": {},
  "frames read by ws": { options: { receive: "ws" } },
  "frames written by ws": DEFLATE,
  "a WebSocket object in the program's hands": { use: (socket) => socket.conn.transport.socket.readyState },
  TLS: { host: { https: true } },
};

const ENDS = {
  "sends FIN": (ws) => ws.socket.end(),
  "sends a Close frame": (ws) => ws.socket.write(frame(OPCODE.close, Buffer.alloc(0))),
  "breaks the protocol": (ws) => ws.socket.write(frame(3, Buffer.alloc(0))),
  "is disconnected": (ws, socket) => socket.disconnect(true),
};

for (const [reader, { headers, options, host = {}, use = () => {} }] of Object.entries(READERS)) {
  for (const [how, end] of Object.entries(ENDS)) {
    test(`cuts a peer that never reads and ${how}: ${reader} [ROB-160, ROB-161]`, oursOnly("such peers are kept"), async (t) => {
      const clock = FakeTimers.install({ toFake: ["setTimeout", "clearTimeout", "performance"] });
      t.after(() => clock.uninstall());
      const { io, httpServer, port } = await startServer(t, { pingInterval: 600_000, ...options }, host);
      const accepted = once(httpServer, "connection");
      const connection = once(io, "connection");
      const ws = await WireSocket.open(port, PATH, headers, { tls: host.https === true });
      t.after(() => ws.abort());
      const [net] = await accepted;
      ws.send("40");
      const [socket] = await connection;
      use(socket);
      ws.pause();
      socket.emit("unread", UNREAD);
      await new Promise((resolve) => setImmediate(resolve));
      const closed = once(net, "close", 10_000);
      end(ws, socket);
      // The server's own work needs turns, not time; the clock is moved until the cut is due.
      for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
      clock.tick(CLOSE_WAIT_MS + 1);
      await closed;
      assert.equal(io.engine.clientsCount, 0);
    });
  }
}
