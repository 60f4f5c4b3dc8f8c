// Measures the cost per unit as the number of clients and rooms grows. Each size of a server is a process of its own. All sizes of a
// server run at the same time and take short turns, so that they share the conditions of the machine; servers are measured one after the
// other. Real connections come from several loopback addresses; their number is limited by the open files of a process, and the limit is
// printed. WebSockets over HTTP/2 (many per connection) and clients in the server's memory (servers/memory-clients.mjs) have no such limit.
//   node bench/growth.mjs [--servers roomcast,socket.io,preframed] [--rounds 3] [--turns 4] [--warmup 3000] [--clients 100,300,…] [--rooms 1,10,…] [--only text] [--write]
//   node bench/growth.mjs --idle 100000 [--servers roomcast]       memory of this number of idle clients
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Bed, Load, startServer } from "./lib/bed.mjs";
import { describeMachine, number, RESULTS } from "./lib/report.mjs";
import { chooseServers, installRivals, SERVERS } from "./lib/servers.mjs";
import { median } from "./lib/stats.mjs";
import { lineCharts } from "./lib/svg.mjs";
import { checkGrowth, describeTargets, FLAT, FLAT_FROM, summariseTargets, worstOf } from "./lib/targets.mjs";

const { values } = parseArgs({
  options: {
    servers: { type: "string", default: "roomcast,socket.io,preframed" },
    rounds: { type: "string", default: "3" },
    turns: { type: "string", default: "4" }, // per round
    clients: { type: "string", default: "100,300,1000,3000,10000,20000,50000" },
    rooms: { type: "string", default: "1,10,100,1000,10000" },
    only: { type: "string", default: "" },
    warmup: { type: "string", default: "3000" }, // milliseconds per kind of work and server
    idle: { type: "string", default: "" },
    "server-core": { type: "string", default: "0" },
    "load-cores": { type: "string", default: availableParallelism() > 3 ? "1,2,3" : "1" },
    write: { type: "boolean", default: false },
  },
});
const numbers = (text) => text.split(",").map(Number);
const serverCore = values["server-core"];
const loadCores = values["load-cores"].split(",");
const names = chooseServers(values.servers);
const FLOORED = "roomcast"; // the server in whose processes the floors are measured: loops that do only the unavoidable work
const overHttp2 = names.filter((name) => name.startsWith("roomcast") && SERVERS[name].host === "node"); // other servers have no WebSocket over HTTP/2
const addresses = Array.from({ length: 16 }, (_, i) => `127.0.0.${i + 1}`);
const onApi = names.filter((name) => SERVERS[name].kind === "api");
const LOOP = "a loop of socket.write";
const LIST = "a list made by a loop";
const MAPS = "Maps of Sets";

installRivals({ uws: names.some((name) => SERVERS[name].host === "uws") });
const machine = describeMachine({ version: process.version, serverCore, loadCores });
console.log(machine.summary);
if (values.idle === "") await growthCurves();
else await idleClients(Number(values.idle));

/** Number of connections that a process of the bench may open; the server itself needs some files. */
async function mostConnections() {
  const server = await startServer(SERVERS[names[0]], { core: serverCore });
  const { stdout } = spawnSync("grep", ["open files", `/proc/${server.pid}/limits`], { encoding: "utf8" });
  await server.stop();
  return Number(/(\d+)\s+\d+\s+files/.exec(stdout)?.[1] ?? 1000) - 100;
}

async function growthCurves() {
  const limit = await mostConnections();
  const sizes = numbers(values.clients);
  const roomCounts = numbers(values.rooms);
  const most = Math.floor(limit / 1000) * 1000;
  const possible = sizes.filter((size) => size <= limit);
  if (possible.length < sizes.length && most > possible.at(-1)) possible.push(most);
  console.log(`connections to one process: at most ${limit} here (open files); above that, over HTTP/2 and in memory only`);
  const plans = [
    { title: "connections", xTitle: "clients", steps: possible, takers: names, prepare: connections },
    {
      title: "over HTTP/2",
      xTitle: "clients",
      steps: sizes.filter((size) => size >= FLAT_FROM),
      takers: overHttp2,
      host: "http2",
      prepare: streams,
    },
    { title: "in memory", xTitle: "clients", steps: sizes, takers: onApi, prepare: clientsInMemory },
    { title: "rooms", xTitle: "rooms", steps: roomCounts, takers: onApi, prepare: rooms },
  ].filter(({ title }) => title.includes(values.only));
  const panels = [];
  for (const plan of plans) {
    const points = await takeTurns(plan);
    const own = panelsOf(plan, points);
    for (const panel of own) printPanel(panel);
    panels.push(...own);
  }
  for (const line of summariseTargets(checkGrowth(panels))) console.log(line);
  if (values.write) writeGrowth(panels, limit);
}

/**
 * Runs the turns of all sizes of each server. Every round starts new processes, since results of the same program differ by a tenth between processes.
 * @returns `{ [figure]: { unit, byLine: { [line]: Map<step, values of the turns> } } }`
 */
async function takeTurns({ steps, takers, host, prepare }) {
  const figures = {};
  const add = ({ figure, unit = "µs", line }, step, value) => {
    const { byLine } = (figures[figure] ??= { unit, byLine: {} });
    const points = (byLine[line] ??= new Map());
    if (!points.has(step)) points.set(step, []);
    points.get(step).push(value);
  };
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const name of takers)
      await takeRound(name, { steps, host, prepare, add: (work, step, value) => add({ line: name, ...work }, step, value) });
  }
  return figures;
}

async function takeRound(name, { steps, host, prepare, add }) {
  const beds = [];
  try {
    for (const step of steps) {
      const server = await startServer(SERVERS[name], { core: serverCore, host });
      const bed = new Bed(server, await Load.start({ cores: loadCores }), { warmupMs: Number(values.warmup) });
      beds.push({ bed, step, works: [] });
      for (const work of await prepare(bed, step, name)) {
        if (work.value !== undefined) add(work, step, work.value);
        else beds.at(-1).works.push(work);
      }
      for (const { run } of beds.at(-1).works) await bed.warmUp(run);
    }
    for (let turn = 0; turn < Number(values.turns); turn++) {
      for (const { bed, step, works } of turn % 2 === 0 ? beds : beds.toReversed()) {
        for (const work of works) {
          const { units, user, system } = work.isTimed ? await work.run() : await bed.measure(() => forAWhile(work.run));
          add(work, step, (user + system) / units);
        }
      }
    }
  } finally {
    for (const { bed } of beds) await Promise.all([bed.load.stop(), bed.server.stop()]);
  }
}

/** Repeats short work: after another process has run, the processor's caches hold the data of that process. */
async function forAWhile(run) {
  const until = performance.now() + 200;
  let units = 0;
  do units += (await run()).units;
  while (performance.now() < until);
  return { units };
}

/** @param command  `fetchSockets`, or `listSockets`, its floor */
function find(bed, count, command) {
  return async () => ({ units: (await bed.server.command(command, { times: Math.ceil(200_000 / count) })).found });
}

function broadcast(bed, count) {
  const times = Math.max(2, Math.ceil(20_000 / count));
  return async () => {
    await bed.load.run("count");
    await Promise.all([bed.load.run("arrived", { frames: times }), bed.server.command("broadcast", { times, bytes: 64, gapMs: 10 })]);
    return { units: times * count };
  };
}

function echo(bed) {
  return () => bed.load.run("echo", { count: 120, inFlight: 1, active: 60 / loadCores.length });
}

/** Opens clients; returns the cost of each while it is idle. */
async function openIdle(bed, count, options, suffix = "") {
  const first = Math.min(50, count);
  await bed.open(first, options);
  const { memory: before } = await bed.server.command("settle");
  await bed.open(count - first, options);
  const { memory } = await bed.server.command("settle");
  if (count < 300) return [];
  const kibibytes = (key) => (memory[key] - before[key]) / (count - first) / 1024;
  return [
    { figure: `idle heap per client${suffix}`, unit: "KiB", value: kibibytes("heapUsed") },
    { figure: `idle RSS per client${suffix}`, unit: "KiB", value: kibibytes("rss") },
  ];
}

async function connections(bed, count, name) {
  const works = [
    ...(await openIdle(bed, count, { addresses })),
    { figure: "broadcast of 64 B, per recipient", run: broadcast(bed, count) },
    { figure: "echo of 60 clients, the others idle, per message", run: echo(bed) },
  ];
  if (SERVERS[name].kind === "api") works.push({ figure: "fetchSockets, per socket", run: find(bed, count, "fetchSockets") });
  if (name === FLOORED) works.push({ figure: "fetchSockets, per socket", line: LIST, run: find(bed, count, "listSockets") });
  return works;
}

async function streams(bed, count) {
  const suffix = ", over HTTP/2";
  return [
    ...(await openIdle(bed, count, { transport: "http2" }, suffix)),
    { figure: `broadcast of 64 B, per recipient${suffix}`, run: broadcast(bed, count) },
    { figure: `echo of 60 clients, the others idle, per message${suffix}`, run: echo(bed) },
    { figure: `fetchSockets, per socket${suffix}`, run: find(bed, count, "fetchSockets") },
    { figure: `fetchSockets, per socket${suffix}`, line: LIST, run: find(bed, count, "listSockets") },
  ];
}

async function clientsInMemory(bed, count, name) {
  await bed.server.command("memoryOpen", count);
  await bed.server.command("settle");
  const suffix = ", without the system";
  const broadcasts = `broadcast of 64 B, per recipient${suffix}`;
  const enough = { times: Math.max(2, Math.ceil(60_000 / count)), bytes: 64 };
  const found = `fetchSockets, per socket${suffix}`;
  const works = [
    { figure: broadcasts, run: () => bed.server.command("memoryBroadcast", enough) },
    {
      figure: `echo of 60 clients, the others idle, per message${suffix}`,
      run: () => bed.server.command("memoryEcho", { times: 100, active: 60 }),
    },
    { figure: found, run: find(bed, count, "fetchSockets") },
  ];
  if (name === FLOORED)
    works.push(
      { figure: broadcasts, line: LOOP, run: () => bed.server.command("memoryLoop", enough) },
      { figure: found, line: LIST, run: find(bed, count, "listSockets") },
    );
  return works;
}

async function rooms(bed, count, name) {
  await bed.open(1000, { addresses });
  await bed.server.command("fillRooms", { rooms: count });
  const works = [
    { figure: "event to a room of 5, per recipient", run: () => bed.server.command("emitToRooms", { rooms: count, times: 2000 }) },
    ...visits(bed, count, "visitRooms"),
  ];
  if (name === FLOORED) {
    await bed.server.command("fillMaps", { rooms: count });
    works.push(...visits(bed, count, "visitMaps").map((work) => ({ ...work, line: MAPS })));
  }
  return works;
}

/** Joins and leaves; the server itself measures the microseconds. */
function visits(bed, count, command) {
  const visit = (key) => async () => {
    const sums = await bed.server.command(command, { rooms: count, times: 40 });
    return { units: sums.operations, user: sums[key], system: 0 };
  };
  return [
    { figure: "join of a room of 5", isTimed: true, run: visit("join") },
    { figure: "leave of a room of 6", isTimed: true, run: visit("leave") },
  ];
}

function panelsOf({ xTitle }, figures) {
  return Object.entries(figures).map(([title, { unit, byLine }]) => {
    const [floorName, floor] = Object.entries(byLine).find(([name]) => !(name in SERVERS)) ?? [];
    const lines = Object.entries(byLine).map(([name, steps]) => ({
      name,
      title: SERVERS[name]?.title ?? name,
      points: [...steps].map(([step, list]) => [step, median(list)]),
      growth: growthOf(steps),
      ...(name === FLOORED && floor !== undefined && { floorName, growthBesideFloor: growthOf(perTurn(steps, floor)) }),
    }));
    return { title, unit, xTitle, lines, measured: `${machine.date}, medians of ${values.rounds} rounds of ${values.turns} turns` };
  });
}

/** The ratio of each turn to the floor. */
function perTurn(steps, floor) {
  return new Map([...steps].map(([step, list]) => [step, list.map((value, turn) => value / floor.get(step)[turn])]));
}

/** The growth of each step above 1,000 relative to the step 1,000 in the same turn: the median of all turns. */
function growthOf(steps) {
  const from = steps.get(FLAT_FROM);
  const above = [...steps].filter(([step]) => step > FLAT_FROM);
  if (from === undefined) return [];
  return above.map(([step, list]) => [step, median(list.map((value, turn) => value / from[turn])) - 1]);
}

/** Describes the growth of a line. A falling line is good. */
function verdict({ xTitle }, { growth, growthBesideFloor, floorName }) {
  if (growth.length === 0) return "";
  const worst = worstOf(growth);
  const range = `from ${FLAT_FROM} to ${growth.at(-1)[0]} ${xTitle}`;
  if (worst <= FLAT) return `flat (at most ${percent(worst)}) ${range}`;
  const beside = growthBesideFloor === undefined ? "" : `; by ${percent(worstOf(growthBesideFloor))} beside ${floorName}`;
  return `grows by ${percent(worst)} ${range}${beside}`;
}

function percent(share) {
  return `${share > 0 ? "+" : ""}${Math.round(share * 100)} %`;
}

function printPanel(panel) {
  console.log(`\n${panel.title} [${panel.unit}], by ${panel.xTitle}`);
  for (const line of panel.lines) {
    const points = line.points.map(([step, value]) => `${step}: ${number(value)}`);
    console.log(`  ${line.title.padEnd(28)} ${points.join("  ")}   ${verdict(panel, line)}`);
  }
}

function tableOf(panel) {
  const steps = panel.lines[0].points.map(([step]) => step);
  return [
    `### ${panel.title}`,
    "",
    `${panel.measured}.`,
    "",
    `| ${panel.unit}, by ${panel.xTitle} | ${steps.join(" | ")} | |`,
    `|---|${steps.map(() => "--:").join("|")}|---|`,
    ...panel.lines.map(
      (line) => `| ${line.title} | ${line.points.map(([, value]) => number(value)).join(" | ")} | ${verdict(panel, line)} |`,
    ),
    "",
  ];
}

/** Keeps the curves of earlier runs that were not measured this time. */
function writeGrowth(measured, limit) {
  mkdirSync(RESULTS, { recursive: true });
  const name = `growth-node-${process.version.slice(1).split(".")[0]}`;
  const file = join(RESULTS, `${name}.json`);
  const kept = new Map(existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).panels.map((panel) => [panel.title, panel]) : []);
  for (const panel of measured) kept.set(panel.title, panel);
  const panels = [...kept.values()];
  const targets = checkGrowth(panels);
  const text = [
    `# Growth on Node.js ${process.version}`,
    "",
    `${machine.kind}; ${machine.pinned}; loopback; ${Object.entries(machine.versions)
      .map(([pack, version]) => `${pack} ${version}`)
      .join(", ")}.`,
    "Growth is the middle of what each turn found, compared with that of 1000 in the same turn. Servers came one after the other: compare each line with itself.",
    `A figure in µs is the server's CPU time (user + system) per unit. One process could open ${limit} connections here (limit of open files);`,
    "“without the system” are clients in the server's own memory. What it means: [docs/performance.md](../../docs/performance.md).",
    "",
    `![Growth](${name}.svg)`,
    "",
    ...panels.flatMap(tableOf),
    "## Targets",
    "",
    `${summariseTargets(targets)[0]}.`,
    "",
    ...describeTargets(targets),
  ];
  writeFileSync(join(RESULTS, `${name}.md`), text.join("\n"));
  writeFileSync(file, JSON.stringify({ machine, panels }, null, 1) + "\n");
  writeFileSync(join(RESULTS, `${name}.svg`), lineCharts({ title: `Growth, Node.js ${process.version}`, panels }));
  console.log(`\nwritten: bench/results/${name}.md, .svg, .json`);
}

async function idleClients(wanted) {
  const limit = await mostConnections();
  const count = Math.min(wanted, limit);
  if (count < wanted)
    console.log(`${wanted} clients were asked for; this machine lets one process open ${limit} connections: measured with ${count}`);
  for (const name of names) {
    const server = await startServer(SERVERS[name], { core: serverCore });
    const load = await Load.start({ cores: loadCores });
    const bed = new Bed(server, load, { warmupMs: 0 });
    await bed.open(500, { addresses });
    const { memory: before } = await server.command("settle");
    await bed.open(count - 500, { addresses });
    const { memory: after } = await server.command("settle");
    const each = (key) => `${((after[key] - before[key]) / (count - 500) / 1024).toFixed(2)} KiB`;
    console.log(
      `${name.padEnd(18)} ${count} idle clients: RSS ${Math.round(after.rss / 2 ** 20)} MiB, heap ${Math.round(after.heapUsed / 2 ** 20)} MiB; per client: RSS ${each("rss")}, heap ${each("heapUsed")}`,
    );
    await Promise.all([load.stop(), server.stop()]);
  }
}
