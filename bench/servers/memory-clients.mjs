// WebSocket clients in the server's own process, without sockets of the system: for more clients than a process may open, and to measure
// the program without the kernel.
import { Duplex } from "node:stream";
import { textFrame } from "../load/client.mjs";

const REQUEST = Buffer.from(
  [
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1",
    "Host: 127.0.0.1",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "\r\n",
  ].join("\r\n"),
);
const JOIN = textFrame("40");
const ECHO = textFrame('420["echo","hello world"]');

/** The server's end of a connection: counts the bytes written and discards them. */
class MemorySocket extends Duplex {
  constructor() {
    super();
    this.bytesWritten = 0;
    this.remoteAddress = "127.0.0.1";
    this.onWritten = null;
  }

  _read() {}

  _write(chunk, _encoding, done) {
    this.take(chunk.length);
    done();
  }

  _writev(chunks, done) {
    let bytes = 0;
    for (const { chunk } of chunks) bytes += chunk.length;
    this.take(bytes);
    done();
  }

  take(bytes) {
    this.bytesWritten += bytes;
    if (bytes > 0) this.onWritten?.(this);
  }

  setTimeout() {
    return this;
  }

  setNoDelay() {
    return this;
  }

  setKeepAlive() {
    return this;
  }
}

const pause = () => new Promise((resolve) => setImmediate(resolve));

/** Commands of a server whose HTTP server is `httpServer`; `broadcast(text)` sends to all clients. */
export function memoryClients(httpServer, tally, broadcast) {
  const clients = [];
  return {
    async memoryOpen(count) {
      for (let i = 0; i < count; i++) {
        const client = new MemorySocket();
        clients.push(client);
        httpServer.emit("connection", client);
        client.push(REQUEST);
        client.onWritten = () => {
          client.onWritten = null;
          setImmediate(() => client.push(JOIN)); // after the server has finished the handshake
        };
        if (i % 100 === 99) await pause();
      }
      while (tally.connected < clients.length) await pause();
    },

    /** One broadcast per tick. */
    async memoryBroadcast({ times, bytes }) {
      const text = "x".repeat(bytes);
      const before = clients[0].bytesWritten;
      for (let i = 0; i < times; i++) {
        broadcast(text);
        await pause();
      }
      await pause();
      if (clients[0].bytesWritten < before + times * bytes) throw new Error("broadcasts are missing");
      return { units: times * clients.length };
    },

    /** The floor for a broadcast: writes the same bytes to each socket. */
    async memoryLoop({ times, bytes }) {
      const frame = Buffer.alloc(bytes, "x");
      for (let i = 0; i < times; i++) {
        for (const client of clients) client.write(frame);
        await pause();
      }
      return { units: times * clients.length };
    },

    /** The first `active` clients send one event each and receive its answer, `times` times. */
    async memoryEcho({ times, active }) {
      for (let i = 0; i < times; i++) {
        let left = active;
        const answered = new Promise((resolve) => {
          for (const client of clients.slice(0, active)) {
            client.onWritten = () => --left === 0 && resolve();
            client.push(ECHO);
          }
        });
        await answered;
      }
      return { units: times * active };
    },
  };
}
