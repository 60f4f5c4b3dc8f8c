/**
 * Replaces a server with clients by another one behind nginx, and prints what the clients and the new server saw:
 * `node test/peers/cluster/deploy/run.mjs [--clients 5000] [--seconds 20]`. Needs nginx and redis-server.
 * Exits with 1 when a client was without a server for longer than a second beside its own delay, the pace was exceeded,
 * or the old server wrote to stderr or ended with another code than 0.
 *
 * The clients speak WebSocket by `ws` and connect again as official clients do: after 0.5 to 1.5 seconds, then after twice as long, at most 5.
 */
import { fork, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { setTimeout as pass } from "node:timers/promises";
import WebSocket from "ws";

const { values } = parseArgs({ options: { clients: { type: "string", default: "5000" }, seconds: { type: "string", default: "20" } } });
const count = Number(values.clients);
const seconds = Number(values.seconds);
const perSecond = Math.ceil(count / seconds);
const drain = { perSecond, jitterMs: 500, timeoutMs: (seconds + 5) * 1000 };
const MAX_GAP_MS = 1000;
const OPENING_AT_ONCE = 100;

const directory = mkdtempSync(join(tmpdir(), "roomcast-deploy-"));
const children = [];
process.on("exit", () => {
  for (const child of children) child.kill("SIGTERM"); // nginx ends its worker then
  rmSync(directory, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

async function startRedis() {
  const port = await freePort();
  const args = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory];
  const redis = spawn("redis-server", args.map(String), { stdio: ["ignore", "pipe", "inherit"] });
  children.push(redis);
  for await (const chunk of redis.stdout) if (/Ready to accept connections/.test(chunk)) break;
  return `redis://127.0.0.1:${port}`;
}

/** @param ports  of the servers, by the prefix of their sessions */
async function startNginx(ports) {
  const port = await freePort();
  const servers = Object.values(ports).map((each) => `server 127.0.0.1:${each} max_fails=0;`);
  const routes = Object.entries(ports).map(([name, each]) => `"~^${name}-" 127.0.0.1:${each};`);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${directory}/${name};`);
  const file = join(directory, "nginx.conf");
  writeFileSync(
    file,
    `${process.getuid() === 0 ? "user root;" : ""}
    daemon off; worker_processes 1; pid ${directory}/nginx.pid; error_log stderr crit;
    events { worker_connections 30000; }
    http {
      access_log off; ${temporary.join(" ")}
      upstream any { ${servers.join(" ")} }
      map $arg_sid $target { default any; ${routes.join(" ")} }
      map $http_upgrade $hop { default upgrade; "" ""; }
      server {
        listen 127.0.0.1:${port} backlog=4096;
        location / {
          proxy_pass http://$target;
          proxy_http_version 1.1;
          proxy_set_header Host $host;
          proxy_set_header Upgrade $http_upgrade;
          proxy_set_header Connection $hop;
          proxy_read_timeout 120s;
          proxy_next_upstream error timeout http_503;
        }
      }
    }`,
  );
  const nginx = spawn("nginx", ["-c", file, "-p", directory, "-e", "stderr"], { stdio: ["ignore", "inherit", "inherit"] });
  children.push(nginx);
  const deadline = Date.now() + 10_000;
  while (Date.now() < deadline && nginx.exitCode === null) {
    try {
      await fetch(`http://127.0.0.1:${port}/`);
      return port;
    } catch {
      await pass(20);
    }
  }
  throw new Error("nginx doesn't listen");
}

async function startServer(config, port) {
  const file = new URL("server.cjs", import.meta.url).pathname;
  const child = fork(file, [JSON.stringify({ ...config, port })], { stdio: ["ignore", "inherit", "pipe", "ipc"] });
  children.push(child);
  const server = { child, stderr: "", ended: once(child, "close") };
  child.stderr.on("data", (chunk) => (server.stderr += chunk));
  const [{ listening }] = await once(child, "message");
  if (!listening) throw new Error(`the server ${config.name} doesn't listen: ${server.stderr}`);
  server.connections = [];
  server.ask = async (question) => {
    child.send(question);
    const [{ connections, clients }] = await once(child, "message");
    server.connections.push(...connections);
    return clients;
  };
  return server;
}

/** A client that connects again as official clients do. */
class Client {
  constructor(url) {
    this.url = url;
    this.pid = this.offset = undefined;
    this.attempts = 0;
    this.leftAt = this.delayMs = 0;
    this.gaps = [];
    this.refusals = 0;
    this.recoveries = 0;
    this.news = 0;
    this.closes = [];
    this.connected = new Promise((resolve) => (this.onConnected = resolve));
  }

  connect() {
    const ws = (this.ws = new WebSocket(`${this.url}/socket.io/?EIO=4&transport=websocket`, { perMessageDeflate: false }));
    ws.on("error", () => {});
    ws.on("unexpected-response", () => {
      this.refusals++;
      ws.terminate();
    });
    ws.on("message", (data) => this.onMessage(String(data)));
    ws.on("close", (code) => this.onClose(code));
  }

  onMessage(text) {
    if (text === "2") return this.ws.send("3");
    if (text[0] === "0") return this.ws.send(this.pid === undefined ? "40" : "40" + JSON.stringify({ pid: this.pid, offset: this.offset }));
    if (text.startsWith("40")) return this.onConnect(JSON.parse(text.slice(2)));
    const [event, ...args] = JSON.parse(text.slice(2));
    if (event === "news") this.news++;
    this.offset = args.at(-1);
  }

  onConnect({ sid, pid }) {
    if (sid === this.sid) this.recoveries++;
    this.sid = sid;
    this.pid = pid;
    if (this.leftAt > 0) this.gaps.push({ totalMs: Date.now() - this.leftAt, besideDelayMs: Date.now() - this.leftAt - this.delayMs });
    this.leftAt = this.delayMs = this.attempts = 0;
    this.onConnected();
  }

  onClose(code) {
    if (this.isEnded) return;
    if (this.leftAt === 0) {
      this.leftAt = Date.now();
      this.closes.push(code);
    }
    const delayMs = Math.min(5000, 1000 * 2 ** this.attempts++ * (0.5 + Math.random()));
    if (this.delayMs === 0) this.delayMs = delayMs; // later attempts come from being refused
    setTimeout(() => this.connect(), delayMs);
  }

  end() {
    this.isEnded = true;
    this.ws.terminate();
  }
}

/** The most times within one second. */
function mostInOneSecond(times) {
  times.sort((a, b) => a - b);
  let most = 0;
  for (let from = 0, to = 0; to < times.length; to++) {
    while (times[to] - times[from] >= 1000) from++;
    most = Math.max(most, to - from + 1);
  }
  return most;
}

async function main() {
  for (const program of ["nginx", "redis-server"]) {
    if (spawnSync(program, ["-v"]).error) throw new Error(`${program} is not installed`);
  }
  const redisUrl = await startRedis();
  const ports = { a: await freePort(), b: await freePort() };
  const url = `ws://127.0.0.1:${await startNginx(ports)}`;
  const before = await startServer({ name: "a", redisUrl, drain }, ports.a);
  const clients = Array.from({ length: count }, () => new Client(url));
  for (let index = 0; index < count; index += OPENING_AT_ONCE) {
    await Promise.all(clients.slice(index, index + OPENING_AT_ONCE).map((client) => (client.connect(), client.connected)));
  }
  console.log(`${count} clients are connected to the old server`);
  const after = await startServer({ name: "b", redisUrl, drain }, ports.b);
  let sent = 0;
  const sendNews = async () => {
    sent++;
    await after.ask("news"); // through Redis to the old server, too
  };
  await sendNews();
  while (clients.some(({ news }) => news < sent)) await pass(50);

  const startedAt = Date.now();
  before.child.kill("SIGTERM");
  const ended = before.ended.then(([code, signal]) => ({ code: code ?? signal, ms: Date.now() - startedAt }));
  let end = null;
  void ended.then((value) => (end = value));
  while (end === null) {
    await pass(1000);
    await sendNews();
  }
  const limit = Date.now() + 20_000;
  while (clients.some(({ ws, leftAt }) => leftAt > 0 || ws.readyState !== WebSocket.OPEN) && Date.now() < limit) await pass(50);
  await sendNews();
  while (clients.some(({ news }) => news < sent) && Date.now() < limit) await pass(50);
  const atNew = await after.ask("figures");
  const { connections } = after;

  const gaps = clients.flatMap((client) => client.gaps);
  const longest = (key) => Math.round(Math.max(...gaps.map((gap) => gap[key])));
  const codes = {};
  for (const code of clients.flatMap((client) => client.closes)) codes[code] = (codes[code] ?? 0) + 1;
  const rate = mostInOneSecond(connections.map(([at]) => at));
  const allowed = Math.ceil(perSecond + Math.max(0.3 * perSecond, 3 * Math.sqrt(perSecond))); // clients choose their delays at random
  const figures = {
    clients: count,
    perSecond,
    "seconds until the old server had ended": end.ms / 1000,
    "exit code of the old server": end.code,
    "clients at the new server": atNew,
    "close codes": codes,
    "longest time without a server, ms": longest("totalMs"),
    "of it beside the client's own delay of 500 to 1500, ms": longest("besideDelayMs"),
    "attempts that were refused": clients.reduce((sum, { refusals }) => sum + refusals, 0),
    "most connections at the new server in one second": rate,
    "of which are allowed": allowed,
    "recovered sessions": connections.filter(([, isRecovered]) => isRecovered).length,
    "news sent": sent,
    // Published between the moment at which the adapter reads what a client has missed and the moment at which it is back in its rooms.
    "news lost": clients.reduce((sum, { news }) => sum + Math.max(0, sent - news), 0),
    "news twice": clients.reduce((sum, { news }) => sum + Math.max(0, news - sent), 0),
    "stderr of the old server": before.stderr,
  };
  console.log(JSON.stringify(figures, null, 2));
  for (const client of clients) client.end();
  for (const child of children.reverse()) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGTERM");
    await once(child, "exit");
  }
  const isGood = end.code === 0 && before.stderr === "" && atNew === count && rate <= allowed && longest("besideDelayMs") <= MAX_GAP_MS;
  process.exit(isGood ? 0 : 1);
}

await main();
