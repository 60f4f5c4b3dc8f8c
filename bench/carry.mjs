/**
 * Sessions without sticky sessions on one machine: what a request costs at another worker than that of its session.
 * `node bench/carry.mjs [--seconds 3] [--rounds 2]`: µs of CPU of both workers, owner and carrier in turns, and the ratio.
 */
import { fork } from "node:child_process";
import cluster from "node:cluster";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { Agent, createServer, request } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const SESSIONS = 20;
const program = fileURLToPath(import.meta.url);

if (process.argv[2] === "worker") runWorker(process.argv[3]);
else await main();

async function runWorker(directory) {
  const { Server } = require("..");
  const { createAdapter } = require("../dist/public/cluster.js");
  const httpServer = createServer();
  const io = new Server(httpServer, { adapter: createAdapter({ directory, carrySessions: true }), pingInterval: 600_000 });
  io.on("connection", (socket) => socket.on("e", (value) => socket.emit("e", value)));
  httpServer.listen({ port: 0, host: "127.0.0.1", exclusive: true });
  await once(httpServer, "listening");
  process.send(httpServer.address().port);
  process.on("message", async (message) => {
    if (message === "nodes") process.send((await io.nodes()).length);
    else if (message === "cpu") process.send(process.cpuUsage());
  });
}

async function main() {
  const { values } = parseArgs({ options: { seconds: { type: "string", default: "3" }, rounds: { type: "string", default: "2" } } });
  const [ms, rounds] = [Number(values.seconds) * 1000, Number(values.rounds)];
  await compare(startProcesses, rounds, {
    "polling pair (POST, GET)": (owner, port) => pairs(owner, port, ms),
    "upgraded echo, of processes without a primary, carried over the link": (owner, port) => echoes(owner, port, ms),
  });
  await compare(startClusterWorkers, rounds, {
    "upgraded echo, of workers of node:cluster, handed over": (owner, port) => echoes(owner, port, ms),
  });
}

/** @param start  gives `{ workers, stop() }`, each worker with `child` and `port` */
async function compare(start, rounds, runs) {
  const { workers, stop } = await start();
  try {
    while ((await ask(workers[0], "nodes")) < 2);
    const [owner, carrier] = workers.map(({ port }) => port);
    for (const [name, run] of Object.entries(runs)) {
      const costs = { owner: [], carrier: [] };
      await measure(workers, () => run(owner, owner));
      for (let i = 0; i < rounds; i++) {
        costs.owner.push(await measure(workers, () => run(owner, owner)));
        costs.carrier.push(await measure(workers, () => run(owner, carrier)));
      }
      const [one, other] = [mean(costs.owner), mean(costs.carrier)];
      console.log(`${name}: ${one.toFixed(0)} µs at the owner, ${other.toFixed(0)} at another worker: ${(other / one).toFixed(2)}`);
    }
  } finally {
    stop();
  }
}

async function startProcesses() {
  const directory = mkdtempSync(join(tmpdir(), "rc-"));
  const children = [0, 1].map(() => fork(program, ["worker", directory]));
  const workers = await Promise.all(children.map(withPort));
  const stop = () => {
    for (const child of children) child.kill();
    rmSync(directory, { recursive: true, force: true });
  };
  return { workers, stop };
}

async function startClusterWorkers() {
  const { setupPrimary } = require("../dist/public/cluster.js");
  cluster.setupPrimary({ exec: program, args: ["worker"] });
  setupPrimary();
  const children = [0, 1].map(() => cluster.fork());
  const workers = await Promise.all(children.map(withPort));
  return { workers, stop: () => children.forEach((child) => child.kill("SIGKILL")) };
}

/** Messages that are numbers or objects without a name are the worker's answers; others are for the adapter. */
async function withPort(child) {
  return { child, port: await answerOf(child) };
}

function answerOf(child) {
  return new Promise((resolve) => {
    child.on("message", function onMessage(message) {
      if (message?.roomcast !== undefined) return;
      child.off("message", onMessage);
      resolve(message);
    });
  });
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function ask({ child }, message) {
  const answer = answerOf(child);
  child.send(message);
  return answer;
}

async function measure(workers, run) {
  const cpu = async () => {
    let sum = 0;
    for (const worker of workers) {
      const { user, system } = await ask(worker, "cpu");
      sum += user + system;
    }
    return sum;
  };
  const before = await cpu();
  const count = await run();
  return ((await cpu()) - before) / count;
}

async function each(owner, act, ms) {
  const until = Date.now() + ms;
  let count = 0;
  const agents = [];
  await Promise.all(
    Array.from({ length: SESSIONS }, async () => {
      const agent = new Agent({ keepAlive: true });
      agents.push(agent);
      const opened = await http(agent, owner, "GET", "/socket.io/?EIO=4&transport=polling");
      const { sid } = JSON.parse(opened.slice(1));
      const path = `/socket.io/?EIO=4&transport=polling&sid=${sid}`;
      await http(agent, owner, "POST", path, "40");
      await http(agent, owner, "GET", path);
      count += await act(agent, path, () => Date.now() < until);
    }),
  );
  for (const agent of agents) agent.destroy();
  return count;
}

function pairs(owner, port, ms) {
  return each(
    owner,
    async (agent, path, goesOn) => {
      let count = 0;
      for (; goesOn(); count++) {
        await http(agent, port, "POST", path, '42["e","a text of some twenty bytes"]');
        await http(agent, port, "GET", path);
      }
      return count;
    },
    ms,
  );
}

function echoes(owner, port, ms) {
  const { WebSocket } = require("ws");
  return each(
    owner,
    async (_agent, path, goesOn) => {
      const ws = new WebSocket(`ws://127.0.0.1:${port}${path.replace("polling", "websocket")}`);
      await once(ws, "open");
      ws.send("2probe");
      await once(ws, "message");
      ws.send("5");
      let count = 0;
      for (; goesOn(); count++) {
        const answered = once(ws, "message");
        ws.send('42["e","a text of some twenty bytes"]');
        await answered;
      }
      ws.close();
      return count;
    },
    ms,
  );
}

function http(agent, port, method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "Content-Type": "text/plain", "Content-Length": Buffer.byteLength(body) };
    const req = request({ agent, host: "127.0.0.1", port, method, path, headers }, (res) => {
      let text = "";
      res.setEncoding("utf8").on("data", (chunk) => (text += chunk));
      res.on("end", () => (res.statusCode === 200 ? resolve(text) : reject(new Error(`${res.statusCode} ${text}`))));
    });
    req.on("error", reject).end(body);
  });
}
