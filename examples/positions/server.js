/** 1,000 positions per second to readers of every speed: slow ones get the newest, and nobody is cut. GET /readers tells who is slow. */
const { createServer } = require("node:http");
const { Server } = require("roomcast");

const vehicles = 100;
const intervalMs = 10;
const perInterval = 10;
const trailLength = 50;

const httpServer = createServer((req, res) => {
  if (req.url !== "/readers") return res.writeHead(404).end();
  const readers = Array.from(io.sockets.sockets.values(), ({ id, bufferedBytes, conn }) => {
    return { id, bufferedBytes, droppedEvents: conn.droppedEvents };
  });
  res.writeHead(200, { "Content-Type": "application/json" });
  res.end(JSON.stringify({ sequence, rss: process.memoryUsage.rss(), readers }));
});
// 256 KiB are about 130 positions: of what waits in this process, a slow reader gets what is younger than that.
// A ping waits behind the megabytes that the system holds for it, so its pong may take minutes.
const io = new Server(httpServer, { slowReaders: "drop-oldest", limits: { slowReaderBytes: 256 * 1024 }, pingTimeout: 600_000 });

io.on("connection", (socket) => {
  socket.conn.on("dropped", (count) => (socket.data.dropped = (socket.data.dropped ?? 0) + count));
  socket.on("disconnect", (reason) => console.log(`a reader has left: ${reason}, ${socket.data.dropped ?? 0} events dropped`));
});

let sequence = 0;
const trails = Array.from({ length: vehicles }, (_, vehicle) => [{ x: vehicle, y: 0 }]);

function move(vehicle) {
  const trail = trails[vehicle];
  const { x, y } = trail[0];
  trail.unshift({ x: x + Math.random() - 0.5, y: y + Math.random() - 0.5 });
  if (trail.length > trailLength) trail.pop();
  sequence += 1;
  io.emit("position", { sequence, vehicle, trail });
}

setInterval(() => {
  for (let i = 0; i < perInterval; i += 1) move(sequence % vehicles);
}, intervalMs);

httpServer.listen(process.env.PORT ?? 3000, () => console.log(`positions on http://localhost:${httpServer.address().port}`));
