/**
 * `npm run bench:observability -- [--against DIRECTORY] [--turns 16] [--only channels]`: what it costs to look. Server CPU time of echoes with acknowledgement, with an empty subscriber of every
 * channel, with the dashboard closed and open in one page, with `io.health()` and `io.stats()` each second, with Prometheus, with metrics and with spans of OpenTelemetry, each as a ratio to the same
 * server unobserved. "no checks" is that server without any question whether somebody subscribes to a channel: what looking costs when unused. With `--against` also a build in another directory. All servers run, and are measured in turns; a ratio is the median over the turns. The packages are those of `test/peers/metrics`.
 */
import { fork } from "node:child_process";
import { subscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { createServer } from "node:http";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { install } from "./lib/servers.mjs";
import { median } from "./lib/stats.mjs";
import { Client, textFrame } from "./load/client.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const packages = createRequire(new URL("../test/peers/metrics/package.json", import.meta.url));
const { values: options } = parseArgs({
  options: {
    against: { type: "string" },
    turns: { type: "string", default: "16" },
    only: { type: "string" },
    serve: { type: "string" },
    mode: { type: "string" },
    look: { type: "string" },
  },
});
const CLIENTS = 20;
const IN_FLIGHT = 8;
const ECHOES = 40_000;

/** What each mode switches on, in the process of the server. */
const modes = {
  channels() {
    const sources = readdirSync(`${root}/src`, { recursive: true }).filter((file) => file.endsWith("channels.ts"));
    const texts = sources.map((file) => readFileSync(`${root}/src/${file}`, "utf8")).join("");
    for (const name of new Set(texts.match(/roomcast:[a-z:]+[a-z]/g))) subscribe(name, () => {});
  },
  dashboard(io) {
    mountDashboard(io);
  },
  /** As a page does it: figures and the list of sockets, each second. */
  async "one page"(io) {
    mountDashboard(io);
    const url = `http://127.0.0.1:${io.httpServer.address().port}/dashboard/api`;
    fork(fileURLToPath(import.meta.url), ["--look", url]);
  },
  /** As an orchestrator and a script do it: health and figures, each second. */
  "health, stats"(io) {
    setInterval(() => {
      io.health();
      io.stats();
    }, 1000);
  },
  prometheus(io, metrics) {
    metrics.prometheusMetrics(io, { client: packages("prom-client"), events: ["echo"] });
  },
  "OpenTelemetry metrics"(io, metrics) {
    const api = packages("@opentelemetry/api");
    const { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader } =
      packages("@opentelemetry/sdk-metrics");
    const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
    setInterval(() => exporter.reset(), 1000);
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1000, exportTimeoutMillis: 500 });
    api.metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
    metrics.openTelemetryMetrics(io, { api, events: ["echo"] });
  },
  "OpenTelemetry spans"(io, metrics) {
    const api = packages("@opentelemetry/api");
    const { AsyncLocalStorageContextManager } = packages("@opentelemetry/context-async-hooks");
    const { BasicTracerProvider } = packages("@opentelemetry/sdk-trace-base");
    const processor = { onStart() {}, onEnd() {}, forceFlush: async () => {}, shutdown: async () => {} };
    api.trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [processor] }));
    api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    metrics.openTelemetrySpans(io, { api });
  },
};

function mountDashboard(io) {
  createRequire(import.meta.url)("../dist/public/dashboard.js").dashboard(io);
}

/** Ends with the server that has started it. */
async function look(url) {
  process.once("disconnect", () => process.exit());
  setInterval(async () => {
    for (const path of ["state", "sockets"]) await (await fetch(`${url}/${path}`)).text();
  }, 1000);
}

/** Ends with the benchmark. */
async function serve(directory, mode) {
  process.once("disconnect", () => process.exit());
  const require = createRequire(`${directory}/package.json`);
  const { Server } = require(`${directory}/dist/index.js`);
  const httpServer = createServer().listen(0, "127.0.0.1");
  const io = new Server(httpServer, { pingInterval: 300_000, serveClient: false });
  io.on("connection", (socket) => socket.on("echo", (value, answer) => answer(value)));
  await once(httpServer, "listening");
  if (mode !== "none") await modes[mode](io, require(`${directory}/dist/public/metrics.js`));
  process.on("message", () => process.send({ cpu: process.cpuUsage() }));
  process.send({ port: httpServer.address().port });
}

async function start(directory, mode) {
  const child = fork(fileURLToPath(import.meta.url), ["--serve", directory, "--mode", mode]);
  const [{ port }] = await once(child, "message");
  const clients = Array.from({ length: CLIENTS }, () => new Client({ port }));
  for (const client of clients) await client.open();
  const cpu = async () => {
    child.send("cpu");
    const [{ cpu: used }] = await once(child, "message");
    return used.user + used.system;
  };
  return { clients, cpu, stop: () => child.kill() };
}

/** Microseconds of CPU time of the server per echo. */
async function measure({ clients, cpu }, echoes) {
  const frame = textFrame('420["echo","0123456789"]');
  const before = await cpu();
  await Promise.all(
    clients.map(
      (client) =>
        new Promise((resolve) => {
          let left = echoes / CLIENTS;
          let open = 0;
          const send = () => {
            for (; open < IN_FLIGHT && left > 0; open++, left--) client.socket.write(frame);
            if (open === 0) resolve();
          };
          client.onFrame = () => {
            open--;
            send();
          };
          send();
        }),
    ),
  );
  return ((await cpu()) - before) / echoes;
}

/** A copy of the build in which nothing asks whether a channel has subscribers. */
function withoutChecks() {
  const directory = mkdtempSync(join(tmpdir(), "without-checks-"));
  process.once("exit", () => rmSync(directory, { recursive: true }));
  cpSync(join(root, "dist"), join(directory, "dist"), { recursive: true });
  cpSync(join(root, "package.json"), join(directory, "package.json"));
  symlinkSync(join(root, "node_modules"), join(directory, "node_modules"));
  const bundle = join(directory, "dist/roomcast.js");
  writeFileSync(bundle, readFileSync(bundle, "utf8").replace(/[\w$.]+\.hasSubscribers/g, "false"));
  return directory;
}

async function run() {
  install(fileURLToPath(new URL("../test/peers/metrics", import.meta.url)), "prom-client");
  const chosen = options.only === undefined ? Object.keys(modes) : Object.keys(modes).filter((mode) => mode === options.only);
  const bare = withoutChecks();
  const variants = {
    unobserved: [root, "none"],
    "no checks": [bare, "none"],
    ...Object.fromEntries(chosen.map((mode) => [mode, [root, mode]])),
  };
  if (options.against !== undefined) variants.before = [options.against, "none"];
  const servers = new Map();
  for (const [name, [directory, mode]] of Object.entries(variants)) servers.set(name, await start(directory, mode));
  const ratios = new Map([...servers.keys()].map((name) => [name, { ratios: [], times: [] }]));
  for (const server of servers.values()) await measure(server, ECHOES);
  for (let turn = 0; turn < Number(options.turns); turn++) {
    const names = turn % 2 === 0 ? [...servers.keys()] : [...servers.keys()].reverse();
    const times = new Map();
    for (const name of names) times.set(name, await measure(servers.get(name), ECHOES));
    for (const [name, time] of times) {
      ratios.get(name).times.push(time);
      ratios.get(name).ratios.push(time / times.get("unobserved"));
    }
  }
  for (const [name, { ratios: all, times }] of ratios) {
    const spread = `${Math.min(...all).toFixed(3)} to ${Math.max(...all).toFixed(3)}`;
    console.log(`${name.padEnd(22)} ${median(times).toFixed(2)} µs per echo, ${median(all).toFixed(3)} of unobserved (${spread})`);
  }
  for (const { stop, clients } of servers.values()) {
    for (const { socket } of clients) socket.destroy();
    stop();
  }
}

if (options.look !== undefined) await look(options.look);
else await (options.serve === undefined ? run() : serve(options.serve, options.mode));
