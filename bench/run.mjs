// Runs roomcast and its rivals side by side: for every scenario, servers take turns (A B A B …) for several rounds, each turn in a
// fresh server process on a core of its own; the load comes from this process on another. The figure is the server's CPU time
// (user + system) per unit; medians over the rounds, and the ratio to the original.
//   node run.mjs [--rounds 5] [--scale 1] [--only text] [--servers roomcast,socket.io] [--json file]
import { spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, cpus } from "node:os";
import { parseArgs } from "node:util";
import { scenarios } from "./load/scenarios.mjs";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    scale: { type: "string", default: "1" },
    only: { type: "string", default: "" },
    servers: { type: "string", default: "roomcast,socket.io" },
    json: { type: "string", default: "" },
  },
});
const rounds = Number(values.rounds);
const scale = Number(values.scale);
const local = (path) => new URL(path, import.meta.url).pathname;

const SERVERS = {
  roomcast: ["servers/api-server.mjs", local("../dist/index.js")],
  "roomcast immediate": ["servers/api-server.mjs", local("../dist/index.js"), '{"flush":"immediate"}'],
  "socket.io": ["servers/api-server.mjs", "socket.io"],
};
const names = values.servers.split(",");
const canPin = existsSync("/usr/bin/taskset") && availableParallelism() > 1;

/** Starts a server process; `command` asks it something, `measure` gives what `work` cost it. */
function startServer(name) {
  const [script, ...args] = SERVERS[name];
  const nodeArgs = ["--expose-gc", local(script), ...args];
  const env = { ...process.env, NODE_ENV: "production" };
  const stdio = ["ignore", "inherit", "inherit", "ipc"];
  const child = canPin
    ? spawn("taskset", ["-c", "0", process.execPath, ...nodeArgs], { stdio, env })
    : spawn(process.execPath, nodeArgs, { stdio, env });
  const waiting = new Map();
  let lastId = 0;
  child.on("message", ({ id, result }) => {
    waiting.get(id)?.(result);
    waiting.delete(id);
  });
  const answer = (id) => new Promise((resolve) => waiting.set(id, resolve));
  const command = (commandName, argument) => {
    const id = ++lastId;
    const result = answer(id);
    child.send({ id, name: commandName, argument });
    return result;
  };
  const measure = async (work) => {
    const before = (await command("cpu")).cpu;
    const start = process.hrtime.bigint();
    await work();
    const wallMs = Number(process.hrtime.bigint() - start) / 1e6;
    const after = (await command("cpu")).cpu;
    return { user: after.user - before.user, system: after.system - before.system, wallMs };
  };
  return answer(0).then(({ port }) => ({ port, command, measure, stop: () => stop(child) }));
}

function stop(child) {
  return new Promise((resolve) => {
    child.once("exit", resolve);
    child.kill("SIGKILL");
  });
}

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
const summary = (list) => ({ median: median(list), min: Math.min(...list), max: Math.max(...list) });

const rows = [];
if (canPin) spawn("taskset", ["-cp", "1", String(process.pid)], { stdio: "ignore" });
for (const [title, scenario] of Object.entries(scenarios)) {
  if (!title.includes(values.only)) continue;
  const figures = new Map(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const server = await startServer(name);
      try {
        const result = await scenario.run(server, scale);
        figures.get(name).push(result);
      } finally {
        await server.stop();
      }
    }
  }
  for (const metric of scenario.memory ? ["rss", "heap"] : ["cpu"]) {
    const of = (result) => (metric === "cpu" ? result.user + result.system : result[metric]) / result.units;
    const byName = Object.fromEntries(names.map((name) => [name, summary(figures.get(name).map(of))]));
    const row = {
      scenario: scenario.memory ? `${title}, ${metric}` : title,
      unit: scenario.unit,
      metric: scenario.memory ? "bytes" : "µs",
      byName,
    };
    rows.push(row);
    print(row);
  }
}

function print({ scenario, unit, metric, byName }) {
  const cells = names.map((name) => {
    const { median: middle, min, max } = byName[name];
    return `${middle.toFixed(metric === "µs" ? 2 : 0)} (${min.toFixed(metric === "µs" ? 1 : 0)}–${max.toFixed(metric === "µs" ? 1 : 0)})`;
  });
  const base = byName["socket.io"]?.median;
  const ratios = names
    .filter((name) => name !== "socket.io")
    .map((name) => (base === undefined ? "" : `${(base / byName[name].median).toFixed(2)}x`));
  console.log(`| ${scenario} | ${metric} per ${unit} | ${cells.join(" | ")} | ${ratios.join(" | ")} |`);
}

const version = (path) => createRequire(import.meta.url)(path).version;
console.log(
  `\nNode ${process.version}, ${cpus()[0].model}, server ${canPin ? "pinned to one core" : "not pinned"}; ${rounds} rounds, medians (min–max); ` +
    `columns: ${names.join(", ")}, ratio to socket.io ${version("socket.io/package.json")}`,
);
if (values.json !== "")
  writeFileSync(values.json, JSON.stringify({ node: process.version, cpu: cpus()[0].model, rounds, scale, rows }, null, 2) + "\n");
