/** One worker of two behind nginx. They find each other by a directory, so a room has members at both, and a request may reach either. */
const { createServer } = require("node:http");
const { Server } = require("roomcast");
const { createAdapter } = require("roomcast/cluster");

const httpServer = createServer(async (req, res) => {
  if (req.url === "/ready") return ready(req, res);
  if (req.url !== "/") return res.writeHead(404).end();
  const workers = (await io.nodes()).map(({ address, clients }) => ({ address, clients }));
  res.setHeader("Content-Type", "application/json");
  res.end(JSON.stringify({ pid: process.pid, workers }));
});

const io = new Server(httpServer, {
  adapter: createAdapter({ directory: process.env.RUN_DIRECTORY, carrySessions: true }),
  handleSignals: { drain: { timeoutMs: 20_000 } },
  origins: "same",
  trustedProxies: ["127.0.0.1"],
  limits: { connectionsPerAddress: 1000 },
});
const ready = io.healthHandler();

io.on("connection", (socket) => {
  socket.on("join", async (room, acknowledge) => {
    if (typeof room !== "string" || room.length > 100 || typeof acknowledge !== "function") return;
    await socket.join(`room:${room}`);
    acknowledge(process.pid);
  });
  socket.on("say", (room, text) => {
    if (typeof room !== "string" || typeof text !== "string" || text.length > 1000) return;
    if (socket.rooms.has(`room:${room}`)) io.to(`room:${room}`).emit("said", text);
  });
});

// nginx alone may connect: otherwise clients could write X-Forwarded-For themselves.
httpServer.listen(Number(process.env.PORT ?? 3001), "127.0.0.1", () =>
  console.log(`worker ${process.pid}: listening on 127.0.0.1:${httpServer.address().port}`),
);
