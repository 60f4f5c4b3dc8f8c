// A server of the deploy run: shares Redis with the others, drains at SIGTERM, and reports its connections to the parent.
const { createServer } = require("node:http");
const { randomBytes } = require("node:crypto");
const { createAdapter } = require("@socket.io/redis-streams-adapter");
const { createClient } = require("redis");
const { Server } = require("../../../..");

const { name, redisUrl, drain, port } = JSON.parse(process.argv[2]);

async function main() {
  const redis = createClient({ url: redisUrl });
  await redis.connect();
  const httpServer = createServer();
  const io = new Server(httpServer, {
    adapter: createAdapter(redis),
    connectionStateRecovery: { maxDisconnectionDuration: 60_000 },
    handleSignals: { drain },
    serveClient: false,
  });
  io.engine.generateId = () => `${name}-${randomBytes(15).toString("base64url")}`; // nginx finds the server of a session by the prefix
  const connections = [];
  io.on("connection", (socket) => connections.push([Date.now(), socket.recovered]));
  process.on("message", (ask) => {
    if (ask === "news") io.emit("news");
    process.send({ connections: connections.splice(0), clients: io.engine.clientsCount });
  });
  httpServer.listen(port, "127.0.0.1", 4096, () => process.send({ listening: true }));
}

void main();
