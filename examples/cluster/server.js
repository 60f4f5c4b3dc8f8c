/** One server as several workers: rooms and long-polling reach all of them. GET / tells which worker answers, and what all of them know. */
const { createServer } = require("node:http");
const { Server } = require("roomcast");
const { start } = require("roomcast/cluster");

start({
  workers: Number(process.env.WORKERS ?? 2),
  server() {
    const httpServer = createServer(async (req, res) => {
      if (req.url !== "/") return res.writeHead(404).end();
      const nodes = await io.nodes();
      res.setHeader("Content-Type", "application/json");
      res.end(
        JSON.stringify({
          pid: process.pid,
          clients: await io.count(),
          workers: nodes.map(({ address, clients }) => ({ address, clients })),
        }),
      );
    });
    const io = new Server(httpServer);
    io.on("connection", (socket) => {
      socket.on("join", (room, acknowledge) => {
        if (typeof room !== "string" || room.length > 100 || typeof acknowledge !== "function") return;
        socket.join(`room:${room}`);
        acknowledge(process.pid);
      });
      socket.on("say", (room, text) => {
        if (typeof room !== "string" || typeof text !== "string" || text.length > 1000) return;
        if (socket.rooms.has(`room:${room}`)) io.to(`room:${room}`).emit("said", text, process.pid);
      });
    });
    return io;
  },
}).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
