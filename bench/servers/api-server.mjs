// A server on the Socket.IO API, for every implementation of it: `node api-server.mjs <module> [options as JSON]`.
// It reports its port, and on request its CPU time and memory; what clients ask of it is in `behave`.
import { createRequire } from "node:module";
import { createServer } from "node:http";

const [moduleName, optionsJson = "{}"] = process.argv.slice(2);
const { Server } = createRequire(import.meta.url)(moduleName);
const httpServer = createServer((_req, res) => res.end());
const io = new Server(httpServer, { pingInterval: 300_000, serveClient: false, maxHttpBufferSize: 1e7, ...JSON.parse(optionsJson) });

let ingested = 0;
let connected = 0;

io.on("connection", (socket) => {
  connected++;
  socket.on("disconnect", () => connected--);
  socket.on("echo", (value, answer) => answer(value));
  socket.on("ingest", () => ingested++);
  socket.on("burst", (count, payload) => {
    for (let i = 0; i < count; i++) socket.emit("item", payload);
  });
  socket.on("join", (...rooms) => void socket.join(rooms));
  socket.on("leave", (room) => void socket.leave(room));
  socket.on("say", (room, payload) => socket.to(room).emit("item", payload));
});

const commands = {
  figures() {
    globalThis.gc?.();
    return { cpu: process.cpuUsage(), memory: process.memoryUsage(), ingested, connected };
  },
  cpu: () => ({ cpu: process.cpuUsage(), ingested, connected }),
  settle() {
    for (let i = 0; i < 8; i++) globalThis.gc?.();
    return { memory: process.memoryUsage(), connected };
  },
  /** `times` ticks with `perTick` broadcasts each; a tick begins when the last one's bytes are out of the way. */
  async broadcast({ times, perTick, bytes, binary, room }) {
    const payload = binary ? Buffer.alloc(bytes, 1) : "x".repeat(bytes);
    for (let i = 0; i < times; i++) {
      for (let j = 0; j < perTick; j++) (room === undefined ? io : io.to(room)).emit("item", payload);
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
    return {};
  },
  /** Broadcasts with acknowledgements, one after the other. */
  async broadcastWithAck({ times }) {
    let answers = 0;
    for (let i = 0; i < times; i++) answers += (await io.timeout(20_000).emitWithAck("ask", i)).length;
    return { answers };
  },
};

process.on("message", async ({ id, name, argument }) => process.send({ id, result: await commands[name](argument) }));
process.on("SIGINT", () => process.exit());
httpServer.listen(0, "127.0.0.1", () => process.send({ id: 0, result: { port: httpServer.address().port } }));
