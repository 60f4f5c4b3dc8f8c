// A chat with rooms, for whom the handshake names: what server.js listens with, and what app.test.js tests.
const { Server } = require("roomcast");

function createApp() {
  const io = new Server({ connectionStateRecovery: {} });

  io.use((socket, next) => {
    const { name } = socket.handshake.auth;
    if (typeof name !== "string" || name === "") return next(new Error("a name is missing"));
    socket.data.name = name;
    return next();
  });

  io.on("connection", (socket) => {
    socket.on("enter", async (room, done) => {
      if (typeof room !== "string" || room.length > 100) return;
      await socket.join(`chat ${room}`);
      socket.to(`chat ${room}`).emit("entered", socket.data.name);
      if (typeof done === "function") done();
    });
    socket.on("say", (room, text) => {
      if (typeof room !== "string" || typeof text !== "string" || text.length > 1000) return;
      if (socket.rooms.has(`chat ${room}`)) io.to(`chat ${room}`).emit("said", socket.data.name, text);
    });
  });
  return io;
}

module.exports = { createApp };
