/** A server that Prometheus watches: GET /metrics, and GET /live and /ready for probes. `grafana.json` is a dashboard for it. */
const { createServer } = require("node:http");
const prometheus = require("prom-client");
const { Server } = require("roomcast");
const { prometheusMetrics } = require("roomcast/metrics");

const routes = {
  "/metrics": async (req, res) => {
    const text = await prometheus.register.metrics();
    res.writeHead(200, { "Content-Type": prometheus.register.contentType });
    res.end(text);
  },
};
const httpServer = createServer((req, res) => {
  const route = routes[req.url];
  if (route === undefined) return res.writeHead(404).end();
  Promise.resolve(route(req, res)).catch((error) => res.destroy(error));
});
const io = new Server(httpServer);
routes["/live"] = io.healthHandler({ probe: "live" });
routes["/ready"] = io.healthHandler();

prometheus.collectDefaultMetrics(); // event loop, memory, garbage collection
prometheusMetrics(io, { client: prometheus, events: ["say", "join"] });

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
httpServer.listen(process.env.PORT ?? 3000, () => console.log(`metrics on http://localhost:${httpServer.address().port}/metrics`));
