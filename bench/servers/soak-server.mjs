// The server of `npm run soak` and `npm run load-test`, as a child process: does what its clients ask, and tells its sizes over IPC.
import { createServer } from "node:http";
import { openWebTransport } from "../../test/protocol/webtransport/simulated.js";
import { Server } from "../../test/support/target.js";

const { options = {}, http = {} } = JSON.parse(process.argv[2] ?? "{}");
const httpServer = createServer(http);
const io = new Server(httpServer, { serveClient: false, ...options });
const errors = [];
for (const event of ["uncaughtException", "unhandledRejection"]) process.on(event, (error) => errors.push(error?.stack ?? String(error)));

io.of(/^\/dyn-\d+$/).on("connection", setUp);
io.of("/a").on("connection", setUp);
io.use((socket, next) => (socket.handshake.auth.refuse ? next(new Error("refused")) : setImmediate(next)));
io.on("connection", setUp);

function setUp(socket) {
  socket.on("echo", (value, answer) => (typeof answer === "function" ? answer(value) : socket.emit("echo", value)));
  socket.on("join", (room) => socket.join(room));
  socket.on("leave", (room) => socket.leave(room));
  socket.on("say", (room, value) => io.to(room).emit("said", value));
  socket.on("ask", (timeoutMs) => socket.timeout(timeoutMs).emit("question", "?", () => {}));
  socket.on("ask all", (room) =>
    io
      .to(room)
      .timeout(300)
      .emit("question", "?", () => {}),
  );
  socket.on("ask without time-out", () => socket.emit("question", "?", () => {}));
  socket.on("flood", (count, size) => {
    for (let i = 0; i < count; i++) socket.emit("flood", i, "x".repeat(size));
  });
  socket.on("volatile", (count) => {
    for (let i = 0; i < count; i++) socket.volatile.emit("position", i);
  });
  socket.on("binary", (bytes) => socket.emit("binary", bytes));
  socket.on("bye", (isClose) => socket.disconnect(isClose));
  // The load test: the sender of a message is in one room of many readers.
  socket.on("publish", (room, text) => io.to(room).emit("published", text));
  socket.on("publish volatile", (room, text) => io.to(room).volatile.emit("position", text));
}

const actions = {
  /** Opens a WebTransport session, exchanges a few packets and drops it. */
  async webtransport(how) {
    const { stream, client } = await openWebTransport(io.engine);
    await stream.send("40");
    await stream.next();
    await stream.send('420["echo","over WebTransport"]');
    await stream.next();
    if (how === 0) client.close();
    else if (how === 1) client.fail();
    else await stream.write(Buffer.from([0x7e, 0])); // the beginning of a packet
    if (how > 1) client.close();
  },
  emit() {
    io.emit("nothing");
  },
  sizes(collects) {
    if (collects) for (let i = 0; i < 3; i++) globalThis.gc();
    const { heapUsed, rss, external, arrayBuffers } = process.memoryUsage();
    const handles = {};
    for (const kind of process.getActiveResourcesInfo()) handles[kind] = (handles[kind] ?? 0) + 1;
    return { memory: { heapUsed, rss, external, arrayBuffers }, handles, stats: io.stats(), errors, cpu: process.cpuUsage() };
  },
};

process.on("message", async ({ id, action, args }) => {
  try {
    process.send({ id, result: await actions[action](...args) });
  } catch (error) {
    process.send({ id, error: String(error?.stack ?? error) });
  }
});
process.on("disconnect", () => process.exit());
httpServer.listen(0, "127.0.0.1", () => process.send({ port: httpServer.address().port }));
