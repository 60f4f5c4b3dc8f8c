// A server that counts its own writes to sockets; started by server.js with `--expose-gc` and a young generation that holds a whole run.
import { once } from "node:events";
import { createServer } from "node:http";
import { connect } from "node:net";
import { PerformanceObserver } from "node:perf_hooks";

let writes = 0;
let collections = 0;

/** Every way to write to a socket ends in one of these, and each call is one system call while the peer reads. */
const WRITES = ["writev", "writeBuffer", "writeUtf8String", "writeAsciiString", "writeLatin1String", "writeUcs2String"];

async function countWrites() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const socket = connect(probe.address().port, "127.0.0.1");
  await once(socket, "connect");
  const prototype = Object.getPrototypeOf(socket._handle);
  for (const name of WRITES) {
    const original = prototype[name];
    prototype[name] = function (...args) {
      writes++;
      return original.apply(this, args);
    };
  }
  socket.destroy();
  probe.close();
}

await countWrites();
new PerformanceObserver((list) => (collections += list.getEntries().length)).observe({ entryTypes: ["gc"] });
const { Server } = (await import("../../../support/target.js")).target;

const httpServer = createServer();
const io = new Server(httpServer, { pingInterval: 300_000, serveClient: false });
io.on("connection", (socket) => {
  socket.on("echo", (value, answer) => answer(value));
  socket.on("ingest", () => {});
  socket.on("burst", (count, payload) => {
    for (let i = 0; i < count; i++) socket.emit("item", payload);
  });
});

const settled = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

const commands = {
  async start() {
    for (let i = 0; i < 4; i++) globalThis.gc();
    await settled();
    writes = 0;
    collections = 0;
    return { heap: process.memoryUsage().heapUsed };
  },
  async read() {
    const heap = process.memoryUsage().heapUsed;
    const seen = writes;
    await settled();
    return { writes: seen, heap, collections };
  },
  async broadcast({ ticks, perTick }) {
    for (let i = 0; i < ticks; i++) {
      for (let j = 0; j < perTick; j++) io.emit("item", "x".repeat(64));
      await settled();
    }
  },
  /** One socket joins and leaves one room after the other. */
  visit({ from, count }) {
    const [socket] = io.of("/").sockets.values();
    for (let i = from; i < from + count; i++) {
      socket.join(`a room of which nothing remains, ${i}`);
      socket.leave(`a room of which nothing remains, ${i}`);
    }
  },
};

process.on("message", async ({ name, argument }) => process.send((await commands[name](argument)) ?? {}));
process.on("disconnect", () => process.exit());
httpServer.listen({ port: 0, host: "127.0.0.1", backlog: 2048 }, () => process.send({ port: httpServer.address().port }));
