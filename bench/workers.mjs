/**
 * One machine: what a second worker brings for events whose handler takes 100 µs of the processor. roomcast by `start()` of `roomcast/cluster`, beside
 * `socket.io` with `@socket.io/cluster-adapter`, in turns; WebSocket clients with 4 events in flight each.
 * `node bench/workers.mjs [--seconds 5] [--rounds 3] [--clients 32]`: events per second with one and with two workers, and the ratio.
 * The clients need about a fifth of a core, too: on two cores the ratio can't be 2.
 */
import { fork } from "node:child_process";
import cluster from "node:cluster";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { Client, textFrame } from "./load/client.mjs";
import { freePort } from "./lib/free-port.mjs";
import { median } from "./lib/stats.mjs";

const program = fileURLToPath(import.meta.url);
const require = createRequire(import.meta.url);
const HANDLER_MS = 0.1;
const IN_FLIGHT = 4;
const SERVERS = ["roomcast", "socket.io"];
const [, , role, server, workers, port] = process.argv;

if (role === "serve") await serve();
else await main();

async function serve() {
  const listen = (io, http) => {
    io.on("connection", (socket) => {
      socket.on("work", (answer) => {
        for (const end = performance.now() + HANDLER_MS; performance.now() < end;);
        answer();
      });
    });
    return http;
  };
  if (server === "roomcast") {
    const { Server } = require("..");
    const { start } = require("../dist/public/cluster.js");
    const supervisor = await start({
      workers: Number(workers),
      port: Number(port),
      host: "127.0.0.1",
      log: () => {},
      server() {
        const http = createServer();
        const io = new Server(http);
        listen(io, http);
        return io;
      },
    });
    if (supervisor !== null) process.send("ready");
    return;
  }
  const adapter = createRequire(new URL("../test/peers/cluster/package.json", import.meta.url))("@socket.io/cluster-adapter");
  if (cluster.isPrimary) {
    adapter.setupPrimary();
    let listening = 0;
    cluster.on("listening", () => ++listening === Number(workers) && process.send("ready"));
    for (let i = 0; i < Number(workers); i++) cluster.fork();
    return;
  }
  const { Server } = require("socket.io");
  const http = createServer();
  listen(new Server(http, { adapter: adapter.createAdapter() }), http).listen(Number(port), "127.0.0.1");
}

async function main() {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "5" },
      rounds: { type: "string", default: "3" },
      clients: { type: "string", default: "32" },
    },
  });
  const rates = Object.fromEntries(SERVERS.map((name) => [name, { 1: [], 2: [] }]));
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const name of SERVERS) {
      for (const count of [1, 2])
        rates[name][count].push(await measure(name, count, Number(values.clients), Number(values.seconds) * 1000));
    }
  }
  for (const name of SERVERS) {
    const [one, two] = [1, 2].map((count) => median(rates[name][count]));
    console.log(
      `${name}: ${one.toFixed(0)} events per second with 1 worker, ${two.toFixed(0)} with 2: ${(two / one).toFixed(2)} (${availableParallelism()} cores)`,
    );
  }
}

/** Events per second. */
async function measure(name, workers, count, ms) {
  const port = await freePort();
  const child = fork(program, ["serve", name, String(workers), String(port)]);
  await new Promise((resolve, reject) => {
    child.once("exit", () => reject(new Error(`${name} has ended`)));
    child.on("message", (message) => message === "ready" && resolve());
  });
  const clients = [];
  try {
    for (let i = 0; i < count; i++) clients.push(await new Client({ port }).open());
    let answers = 0;
    const work = textFrame('420["work"]');
    for (const client of clients) {
      client.onFrame = () => {
        answers++;
        client.socket.write(work);
      };
      for (let i = 0; i < IN_FLIGHT; i++) client.socket.write(work);
    }
    const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    await delay(1000); // until the code is compiled
    const before = answers;
    const startedAt = performance.now();
    await delay(ms);
    return ((answers - before) / (performance.now() - startedAt)) * 1000;
  } finally {
    for (const client of clients) {
      client.onFrame = null;
      client.socket.removeAllListeners("error").on("error", () => {});
      client.close();
    }
    child.removeAllListeners("exit");
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(name === "roomcast" ? "SIGTERM" : "SIGINT");
    await ended;
  }
}
