// Compares roomcast with other servers. In each round every server is a new process on one core; the load comes from other processes on
// other cores. The servers take turns (A B C C B A …): if a scenario can be repeated, all of them run for the whole round and its load is
// split into many short turns; otherwise each has one turn. The result is the server's CPU time (user + system) per unit: the median,
// minimum and maximum of all turns, and the ratio to socket.io. At the end the missed targets (lib/targets.mjs) are printed.
//   node bench/run.mjs [--only text] [--servers a,b | all] [--rounds 5] [--turns 8] [--scale 1] [--warmup 2000]
//     [--server-core 0] [--load-cores 1,2,3] [--uws] [--node current | path] [--against directory] [--write] [--json file] [--list]
// --against: adds another build of roomcast to the turns, and prints roomcast's ratio to it.
// A scenario may add servers of its own (`beside`), as that of compression adds roomcast without it.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { Bed, Load, startServer } from "./lib/bed.mjs";
import { describeMachine, number, writeReport } from "./lib/report.mjs";
import { addEarlier, baseOf, chooseServers, currentLongTermNode, earlierOf, hasUws, installRivals, SERVERS } from "./lib/servers.mjs";
import { ratioOf, summary } from "./lib/stats.mjs";
import { checkTargets, summariseTargets } from "./lib/targets.mjs";
import { scenarios, takeTurn } from "./load/scenarios.mjs";

const cores = availableParallelism();
const { values } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    servers: { type: "string", default: "all" },
    rounds: { type: "string", default: "5" },
    turns: { type: "string", default: "8" },
    scale: { type: "string", default: "1" },
    warmup: { type: "string", default: "2000" },
    "server-core": { type: "string", default: "0" },
    "load-cores": {
      type: "string",
      default: Array.from({ length: Math.min(3, Math.max(1, cores - 1)) }, (_, i) => Math.min(i + 1, cores - 1)).join(","),
    },
    uws: { type: "boolean", default: false },
    node: { type: "string", default: "" },
    against: { type: "string", default: "" },
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
const turns = Number(values.turns);
const BASE = "socket.io";

const runtimes = [{ binary: process.execPath, version: process.version, uws: true }];
if (values.node === "current") runtimes.push({ ...currentLongTermNode(), uws: false });
else if (values.node !== "") runtimes.splice(0, 1, { binary: values.node, version: versionOf(values.node), uws: false });

const earlier = values.against === "" ? [] : addEarlier(values.against);
const chosen = chooseServers(values.servers);
if (values.servers !== "all") for (const name of chosen.slice()) if (earlier.includes(earlierOf(name))) chosen.push(earlierOf(name));
const namedUws = values.servers !== "all" && chosen.some((name) => SERVERS[name].host === "uws");
installRivals({ uws: values.uws || namedUws });
const loads = new Map(); // by server name

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
      report.rows.push({ ...row, run: { ...timesOf(scenario), ...settings, date: report.machine.date } });
    }
  }
  for (const line of summariseTargets(checkTargets(report.rows))) console.log(line);
  if (values.json !== "") writeFileSync(values.json, JSON.stringify(report, null, 1) + "\n");
  if (values.write) writeReport(report);
}
for (const load of loads.values()) await load.stop();

function versionOf(binary) {
  const { stdout, error } = spawnSync(binary, ["--version"], { encoding: "utf8" });
  if (error) throw new Error(`--node ${binary}: ${error.message}`);
  return stdout.trim();
}

/** Excludes servers that cannot be started, and prints the reason. */
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

function timesOf({ once, turn }) {
  return { rounds: once ? 1 : rounds, turns: turn === undefined ? 1 : turns };
}

/** Runs all turns of one scenario; returns a row for each result. */
async function compare(scenario, names, runtime) {
  const takers = names.filter((name) => scenario.for === undefined || scenario.for(SERVERS[name]));
  takers.push(...(scenario.beside ?? []).filter((name) => !takers.includes(name)));
  const results = new Map(takers.map((name) => [name, []]));
  const failures = new Map();
  /** Runs `work` for each server that has not failed, in this order; a server whose work fails is excluded. */
  const eachOf = async (order, work) => {
    for (const name of order) {
      if (failures.has(name)) continue;
      try {
        await work(name);
      } catch (error) {
        const [reason] = error.message.split("\n");
        failures.set(name, reason);
        results.get(name).length = 0;
        console.log(`failed: ${scenario.title}, ${name}: ${reason}`);
      }
    }
  };
  const given = takers.length > 0 && scenario.calibrate ? await calibrate(scenario, runtime) : undefined;
  for (let round = 0; round < timesOf(scenario).rounds; round++) {
    if (scenario.turn !== undefined) await liveRound(scenario, takers, runtime, eachOf, results);
    else await eachOf(takers, async (name) => results.get(name).push(await ownRound(scenario, name, runtime, given)));
  }
  return rowsOf(scenario, results, failures, given);
}

/** A round in which all servers run at the same time and take short turns, so that they share the conditions of the machine. */
async function liveRound(scenario, takers, runtime, eachOf, results) {
  const beds = new Map();
  try {
    await eachOf(takers, async (name) => {
      const bed = await openBed(scenario, name, runtime);
      beds.set(name, bed);
      await scenario.open(bed);
      bed.settings = { ...bed.settings, scale: settings.scale / turns };
      await bed.warmUp(() => takeTurn(scenario, bed));
    });
    for (let turn = 0; turn < turns; turn++) {
      const order = turn % 2 === 0 ? takers : takers.toReversed();
      await eachOf(order, async (name) => {
        const bed = beds.get(name);
        await takeTurn(scenario, bed); // not counted: the processor's caches hold the data of other servers
        results.get(name).push(await takeTurn(scenario, bed, (work) => bed.measure(work)));
      });
    }
  } finally {
    for (const bed of beds.values()) await closeBed(bed);
  }
}

/** A round of one server alone. */
async function ownRound(scenario, name, runtime, given) {
  if (scenario.standalone) return scenario.standalone(SERVERS[name], { node: runtime.binary, core: serverCore });
  const bed = await openBed(scenario, name, runtime);
  try {
    return await scenario.run(bed, given);
  } finally {
    await closeBed(bed);
  }
}

async function calibrate(scenario, runtime) {
  const bed = await openBed(scenario, BASE, runtime);
  try {
    return await scenario.calibrate(bed);
  } finally {
    await closeBed(bed);
  }
}

async function openBed({ options, host, isNode }, name, { binary }) {
  if (!loads.has(name)) loads.set(name, await Load.start({ cores: loadCores }));
  const server = await startServer(SERVERS[name], { node: binary, core: serverCore, options, host, isNode });
  return new Bed(server, loads.get(name), { ...settings, tls: host === "tls" });
}

async function closeBed({ load, server }) {
  await load.run("close");
  await server.stop();
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
    user: middle(({ user, units }) => user / units),
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
    const { median, min, max, user, perSecond, saturation, loadBusy, p50, p99, lag } = figures;
    const words = [`${number(median)} (${number(min)}–${number(max)})`.padEnd(28)];
    const ratio = ratioOf(base, figures);
    words.push((ratio === undefined ? "" : `${ratio.toFixed(2)}x`).padEnd(8));
    if (SERVERS[name].host === "uws") words.push(`${ratioOf(byServer[baseOf(name)], figures)?.toFixed(2) ?? "–"}x on this host`);
    const toEarlier = ratioOf(byServer[earlierOf(name)], figures);
    if (toEarlier !== undefined) words.push(`${toEarlier.toFixed(2)}x earlier`);
    const toUncompressed = name === "roomcast-uncompressed" ? undefined : ratioOf(figures, byServer["roomcast-uncompressed"]);
    if (toUncompressed !== undefined) words.push(`${toUncompressed.toFixed(2)} of uncompressed,`);
    if (user !== undefined) words.push(`user ${number(user)},`);
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
