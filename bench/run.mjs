// Runs roomcast and its rivals side by side. For every scenario the servers take turns (A B A B …) for several rounds, each turn in a
// fresh server process on a core of its own; the load comes from other processes on other cores. The figure is the server's CPU time
// (user + system) per unit: medians over the rounds with the least and the most, and the ratio to socket.io.
//   node bench/run.mjs [--only text] [--servers a,b | all] [--rounds 5] [--scale 1] [--warmup 2000]
//     [--server-core 0] [--load-cores 1,2,3] [--uws] [--node current | path] [--write] [--json file] [--list]
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { Bed, Load, startServer } from "./lib/bed.mjs";
import { describeMachine, number, writeReport } from "./lib/report.mjs";
import { chooseServers, currentLongTermNode, hasUws, installRivals, SERVERS } from "./lib/servers.mjs";
import { ratioOf, summary } from "./lib/stats.mjs";
import { scenarios } from "./load/scenarios.mjs";

const cores = availableParallelism();
const { values } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    servers: { type: "string", default: "all" },
    rounds: { type: "string", default: "5" },
    scale: { type: "string", default: "1" },
    warmup: { type: "string", default: "2000" },
    "server-core": { type: "string", default: "0" },
    "load-cores": {
      type: "string",
      default: Array.from({ length: Math.min(3, Math.max(1, cores - 1)) }, (_, i) => Math.min(i + 1, cores - 1)).join(","),
    },
    uws: { type: "boolean", default: false },
    node: { type: "string", default: "" },
    write: { type: "boolean", default: false },
    json: { type: "string", default: "" },
    list: { type: "boolean", default: false },
  },
});
if (values.list) {
  for (const { title } of scenarios) console.log(title);
  process.exit();
}

const serverCore = values["server-core"];
const loadCores = values["load-cores"].split(",");
const settings = { scale: Number(values.scale), warmupMs: Number(values.warmup) };
const rounds = Number(values.rounds);
const BASE = "socket.io";

const runtimes = [{ binary: process.execPath, version: process.version, uws: true }];
if (values.node === "current") runtimes.push({ ...currentLongTermNode(), uws: false });
else if (values.node !== "") runtimes.splice(0, 1, { binary: values.node, version: versionOf(values.node), uws: false });

const chosen = chooseServers(values.servers);
const namedUws = values.servers !== "all" && chosen.some((name) => SERVERS[name].host === "uws");
installRivals({ uws: values.uws || namedUws });
const load = await Load.start({ cores: loadCores });

for (const runtime of runtimes) {
  const servers = await available(chosen, runtime);
  const report = {
    machine: describeMachine({ ...runtime, serverCore, loadCores }),
    rounds,
    ...settings,
    servers: servers.map((name) => ({ name, title: SERVERS[name].title })),
    rows: [],
  };
  console.log(`\n${report.machine.summary}\n`);
  for (const scenario of scenarios) {
    if (!scenario.title.includes(values.only)) continue;
    const rows = await compare(scenario, servers, runtime);
    for (const row of rows) {
      print(row);
      report.rows.push({ ...row, run: { rounds: scenario.once ? 1 : rounds, ...settings, date: report.machine.date } });
    }
  }
  if (values.json !== "") writeFileSync(values.json, JSON.stringify(report, null, 1) + "\n");
  if (values.write) writeReport(report);
}
await load.stop();

function versionOf(binary) {
  const { stdout, error } = spawnSync(binary, ["--version"], { encoding: "utf8" });
  if (error) throw new Error(`--node ${binary}: ${error.message}`);
  return stdout.trim();
}

/** Leaves out, with the reason, the servers that can't be started. */
async function available(names, { binary, uws }) {
  const found = [];
  for (const name of names) {
    const onUws = SERVERS[name].host === "uws";
    try {
      if (onUws && !uws) throw new Error("uWebSockets.js is run on the machine's own Node.js only");
      if (onUws && !hasUws()) throw new Error("uWebSockets.js (257 MB) is not installed; --uws installs it");
      const server = await startServer(SERVERS[name], { node: binary, core: serverCore });
      await server.stop();
      found.push(name);
    } catch (error) {
      console.log(`skipped ${name}: ${error.message}`);
    }
  }
  return found;
}

/** All turns of one scenario; gives a row for each figure. */
async function compare(scenario, names, runtime) {
  const takers = names.filter((name) => scenario.for === undefined || scenario.for(SERVERS[name]));
  const results = new Map(takers.map((name) => [name, []]));
  const failures = new Map();
  const given = takers.length > 0 && scenario.calibrate ? await turn(scenario, BASE, runtime, (bed) => scenario.calibrate(bed)) : undefined;
  for (let round = 0; round < (scenario.once ? 1 : rounds); round++) {
    for (const name of takers) {
      if (failures.has(name)) continue;
      try {
        results.get(name).push(await turn(scenario, name, runtime, (bed) => scenario.run(bed, given)));
      } catch (error) {
        failures.set(name, error.message.split("\n")[0]);
        results.get(name).length = 0;
        console.log(`failed: ${scenario.title}, ${name}: ${error.message.split("\n")[0]}`);
      }
    }
  }
  return rowsOf(scenario, results, failures, given);
}

async function turn(scenario, name, { binary }, work) {
  if (scenario.standalone) return scenario.standalone(SERVERS[name], { node: binary, core: serverCore });
  const server = await startServer(SERVERS[name], {
    node: binary,
    core: serverCore,
    options: scenario.options,
    host: scenario.host,
    isNode: scenario.isNode,
  });
  try {
    return await work(new Bed(server, load, { ...settings, tls: scenario.host === "tls" }));
  } finally {
    await load.run("close");
    await server.stop();
  }
}

function rowsOf(scenario, results, failures, given) {
  const partsOf = (result) => result.parts ?? { "": result };
  const names = new Set([...results.values()].flat().flatMap((result) => Object.keys(partsOf(result))));
  return [...names].map((part) => {
    const byServer = {};
    let unit = "";
    let per = scenario.unit;
    for (const [name, list] of results) {
      if (list.length === 0) {
        if (failures.has(name)) byServer[name] = { failed: failures.get(name) };
        continue;
      }
      const parts = list.map((result) => partsOf(result)[part]);
      unit = parts[0].unit ?? (scenario.latency ? "µs p99" : "µs");
      per = parts[0].per ?? scenario.unit;
      byServer[name] = figuresOf(parts, scenario.latency);
    }
    const extra = given === undefined ? "" : ` (${given} per second)`;
    return { scenario: scenario.title + (part === "" ? "" : `: ${part}`) + extra, figure: unit, per, byServer };
  });
}

function figuresOf(parts, isLatency) {
  if ("value" in parts[0]) return summary(parts.map(({ value }) => value));
  const cpu = parts.map(({ user, system, units }) => (user + system) / units);
  const middle = (of) => summary(parts.map(of)).median;
  const latencies = parts[0].p99 === null ? {} : { p50: middle(({ p50 }) => p50), p99: middle(({ p99 }) => p99) };
  if (parts[0].lag !== null) latencies.lag = middle(({ lag }) => lag);
  return {
    ...(isLatency ? summary(parts.map(({ p99 }) => p99)) : summary(cpu)),
    cpu: summary(cpu).median,
    perSecond: middle(({ units, wallUs }) => (units * 1e6) / wallUs),
    saturation: middle(({ user, system, wallUs }) => (user + system) / wallUs),
    loadBusy: middle(({ loadBusy }) => loadBusy),
    ...latencies,
  };
}

function print({ scenario, figure, per, byServer }) {
  console.log(`${scenario} [${[figure, per].filter((word) => word !== "").join(" per ")}]`);
  const base = byServer[BASE];
  for (const [name, figures] of Object.entries(byServer)) {
    if (figures.failed !== undefined) {
      console.log(`  ${name.padEnd(18)} failed: ${figures.failed}`);
      continue;
    }
    const { median, min, max, perSecond, saturation, loadBusy, p50, p99, lag } = figures;
    const words = [`${number(median)} (${number(min)}–${number(max)})`.padEnd(28)];
    const ratio = ratioOf(base, figures);
    words.push((ratio === undefined ? "" : `${ratio.toFixed(2)}x`).padEnd(8));
    if (perSecond !== undefined) {
      words.push(`${Math.round(perSecond)}/s, server ${percent(saturation)} busy, load ${percent(loadBusy)}`);
      if (p99 !== undefined) words.push(`p50 ${number(p50)} p99 ${number(p99)} µs`);
      if (lag !== undefined) words.push(`sent late p99 ${number(lag)} µs`);
    }
    console.log(`  ${name.padEnd(18)} ${words.join(" ")}`);
  }
}

function percent(share) {
  return `${Math.round(share * 100)} %`;
}
