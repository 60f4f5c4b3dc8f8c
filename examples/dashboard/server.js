/** A server with a dashboard. DASHBOARD_PASSWORD sets the password of the login; DASHBOARD_ALLOW=disconnect,join,leave,send lets its page act. */
const { createServer } = require("node:http");
const { Server } = require("roomcast");
const { dashboard } = require("roomcast/dashboard");

const { PORT = 3000, DASHBOARD_PASSWORD: password, DASHBOARD_ALLOW: allow = "" } = process.env;
const httpServer = createServer((req, res) => res.writeHead(404).end());
const io = new Server(httpServer);

dashboard(io, {
  // Without a password only this machine sees the page.
  ...(password && { auth: { username: "ops", password } }),
  allow: allow.split(",").filter((action) => action !== ""),
  log: (entry) => console.log(JSON.stringify(entry)),
});

io.on("connection", (socket) => {
  socket.on("join", (room, answer) => {
    if (typeof room === "string" && room.length <= 32) socket.join(`room:${room}`);
    if (typeof answer === "function") answer();
  });
  socket.on("say", (room, text) => {
    if (typeof room !== "string" || typeof text !== "string" || text.length > 1000) return;
    if (socket.rooms.has(`room:${room}`)) io.to(`room:${room}`).emit("said", text);
  });
});

process.once("SIGTERM", () => io.close({ drain: true }));
httpServer.listen(PORT, () => console.log(`dashboard on http://localhost:${httpServer.address().port}/dashboard/`));
