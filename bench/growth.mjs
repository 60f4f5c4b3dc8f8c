// Curves: what one unit costs as clients and rooms grow. Each server grows step by step, in one process of its own per round, and the
// servers take turns. Clients over real connections come from several loopback addresses; how many there can be is decided by the
// number of files a process may open, which is said. Clients in the server's memory (servers/memory-clients.mjs) know no such limit.
//   node bench/growth.mjs [--servers roomcast,socket.io,preframed] [--rounds 3] [--clients 100,300,…] [--rooms 1,10,…] [--only text] [--write]
//   node bench/growth.mjs --idle 100000 [--servers roomcast]       memory of so many idle clients
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Bed, Load, startServer } from "./lib/bed.mjs";
import { describeMachine, number, RESULTS } from "./lib/report.mjs";
import { chooseServers, installRivals, SERVERS } from "./lib/servers.mjs";
import { median } from "./lib/stats.mjs";
import { lineCharts } from "./lib/svg.mjs";

const { values } = parseArgs({
  options: {
    servers: { type: "string", default: "roomcast,socket.io,preframed" },
    rounds: { type: "string", default: "3" },
    clients: { type: "string", default: "100,300,1000,3000,10000,20000,50000" },
    rooms: { type: "string", default: "1,10,100,1000,10000" },
    only: { type: "string", default: "" },
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
const addresses = Array.from({ length: 16 }, (_, i) => `127.0.0.${i + 1}`);
const onApi = names.filter((name) => SERVERS[name].kind === "api");
const LOOP = "a loop of socket.write";
const FLAT = 0.2;
const FLAT_FROM = 1000;

installRivals({ uws: names.some((name) => SERVERS[name].host === "uws") });
const load = await Load.start({ cores: loadCores });
const machine = describeMachine({ version: process.version, serverCore, loadCores });
console.log(machine.summary);
if (values.idle === "") await growthCurves();
else await idleClients(Number(values.idle));
await load.stop();

/** How many files a process of the bench may open; the server needs some for itself. */
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
  console.log(`connections to one process: at most ${limit} here (open files); above that, clients in memory only`);
  const plans = [
    { title: "connections", xTitle: "clients", steps: possible, grow: growConnections, takers: names },
    { title: "in memory", xTitle: "clients", steps: sizes, grow: growInMemory, takers: onApi },
    { title: "rooms", xTitle: "rooms", steps: roomCounts, grow: growRooms, takers: onApi },
  ].filter(({ title }) => title.includes(values.only));
  const panels = [];
  for (const plan of plans) {
    const points = await takeTurns(plan);
    const own = panelsOf(plan, points);
    for (const panel of own) printPanel(panel);
    panels.push(...own);
  }
  if (values.write) writeGrowth(panels, limit);
}

/** @returns `{ [figure]: { unit, byServer: { [name]: Map<step, number[]> } } }` */
async function takeTurns({ steps, grow, takers }) {
  const figures = {};
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const name of takers) {
      const server = await startServer(SERVERS[name], { core: serverCore });
      const bed = new Bed(server, load, { scale: 1, warmupMs: 1000 });
      const add = (figure, unit, step, value, line = name) => {
        const entry = (figures[figure] ??= { unit, byServer: {} });
        const steps = (entry.byServer[line] ??= new Map());
        if (!steps.has(step)) steps.set(step, []);
        steps.get(step).push(value);
      };
      try {
        await grow(bed, steps, add, SERVERS[name]);
      } finally {
        await load.run("close");
        await server.stop();
      }
    }
  }
  return figures;
}

/** Middle CPU time per unit of several runs of `work`, which have to take a while all together. */
async function cost(bed, work, { atLeastMs = 400, least = 3 } = {}) {
  const costs = [];
  const until = performance.now() + atLeastMs;
  while (costs.length < least || performance.now() < until) {
    const { units, user, system } = await bed.measure(work);
    costs.push((user + system) / units);
  }
  return median(costs);
}

async function growConnections(bed, steps, add, { kind }) {
  let count = 0;
  let start = null;
  const openUpTo = async (size) => {
    await bed.open(size - count, { addresses });
    count = size;
  };
  const broadcast = (times) => async () => {
    await load.run("count");
    await Promise.all([load.run("arrived", { frames: times }), bed.server.command("broadcast", { times, bytes: 64, gapMs: 10 })]);
    return { units: times * count };
  };
  const echo = () => load.run("echo", { count: 60, inFlight: 1, active: 20 });
  const fetchSockets = async () => ({ units: (await bed.server.command("fetchSockets", { times: Math.ceil(20_000 / count) })).found });
  await openUpTo(Math.min(100, steps[0]));
  for (const work of [broadcast(100), echo]) await bed.warmUp(work);
  if (kind === "api") await bed.warmUp(fetchSockets);
  for (const size of steps) {
    await openUpTo(size);
    const { memory } = await bed.server.command("settle");
    if (start === null) start = { size, memory };
    else {
      add("idle heap per client", "KiB", size, (memory.heapUsed - start.memory.heapUsed) / (size - start.size) / 1024);
      add("idle RSS per client", "KiB", size, (memory.rss - start.memory.rss) / (size - start.size) / 1024);
    }
    add("broadcast of 64 B, per recipient", "µs", size, await cost(bed, broadcast(Math.max(3, Math.ceil(30_000 / size)))));
    add("echo of 60 clients, the others idle, per message", "µs", size, await cost(bed, echo));
    if (kind === "api") add("fetchSockets, per socket", "µs", size, await cost(bed, fetchSockets));
  }
}

async function growInMemory(bed, steps, add) {
  let count = 0;
  const openUpTo = async (size) => {
    await bed.server.command("memoryOpen", size - count);
    count = size;
  };
  const enough = () => ({ times: Math.max(2, Math.ceil(60_000 / count)), bytes: 64 });
  const broadcast = () => bed.server.command("memoryBroadcast", enough());
  const loop = () => bed.server.command("memoryLoop", enough());
  const echo = () => bed.server.command("memoryEcho", { times: 100, active: 60 });
  const fetchSockets = async () => ({ units: (await bed.server.command("fetchSockets", { times: Math.ceil(20_000 / count) })).found });
  await openUpTo(Math.min(100, steps[0]));
  for (const work of [broadcast, loop, echo, fetchSockets]) await bed.warmUp(work);
  for (const size of steps) {
    await openUpTo(size);
    await bed.server.command("settle");
    add("broadcast of 64 B, per recipient, without the system", "µs", size, await cost(bed, broadcast));
    add("broadcast of 64 B, per recipient, without the system", "µs", size, await cost(bed, loop), LOOP);
    add("echo of 60 clients, the others idle, per message, without the system", "µs", size, await cost(bed, echo));
    add("fetchSockets, per socket, without the system", "µs", size, await cost(bed, fetchSockets));
  }
}

async function growRooms(bed, steps, add) {
  await bed.open(1000, { addresses });
  const emit = (rooms) => () => bed.server.command("emitToRooms", { rooms, times: 2000 });
  const visit = (rooms) => bed.server.command("visitRooms", { rooms, times: 40 });
  await bed.server.command("fillRooms", { rooms: 100 });
  await bed.warmUp(emit(100));
  await bed.warmUp(() => visit(100));
  for (const rooms of steps) {
    await bed.server.command("fillRooms", { rooms });
    add("event to a room of 5, per recipient", "µs", rooms, await cost(bed, emit(rooms)));
    const runs = [];
    for (let i = 0; i < 5; i++) runs.push(await visit(rooms));
    add("join of a room of 5", "µs", rooms, median(runs.map(({ join: spent, operations }) => spent / operations)));
    add("leave of a room of 6", "µs", rooms, median(runs.map(({ leave, operations }) => leave / operations)));
  }
}

function panelsOf({ xTitle }, figures) {
  return Object.entries(figures).map(([title, { unit, byServer }]) => ({
    title,
    unit,
    xTitle,
    lines: Object.entries(byServer).map(([name, steps]) => ({
      name,
      title: SERVERS[name]?.title ?? name,
      points: [...steps].map(([step, list]) => [step, median(list)]),
    })),
  }));
}

/** Whether a line stays within 20 % of its value at 1,000, above that. Lower is no fault. */
function verdict({ xTitle }, points) {
  const from = points.find(([step]) => step === FLAT_FROM);
  const behind = points.filter(([step]) => step > FLAT_FROM);
  if (from === undefined || behind.length === 0) return "";
  const worst = Math.max(...behind.map(([, value]) => value)) / from[1] - 1;
  const range = `from ${FLAT_FROM} to ${behind.at(-1)[0]} ${xTitle}`;
  return worst <= FLAT ? `flat (at most ${percent(worst)}) ${range}` : `grows by ${percent(worst)} ${range}`;
}

function percent(share) {
  return `${share > 0 ? "+" : ""}${Math.round(share * 100)} %`;
}

function printPanel(panel) {
  console.log(`\n${panel.title} [${panel.unit}], by ${panel.xTitle}`);
  for (const { title, points } of panel.lines) {
    console.log(
      `  ${title.padEnd(28)} ${points.map(([step, value]) => `${step}: ${number(value)}`).join("  ")}   ${verdict(panel, points)}`,
    );
  }
}

function tableOf(panel) {
  const steps = panel.lines[0].points.map(([step]) => step);
  return [
    `### ${panel.title}`,
    "",
    `| ${panel.unit}, by ${panel.xTitle} | ${steps.join(" | ")} | |`,
    `|---|${steps.map(() => "--:").join("|")}|---|`,
    ...panel.lines.map(
      ({ title, points }) => `| ${title} | ${points.map(([, value]) => number(value)).join(" | ")} | ${verdict(panel, points)} |`,
    ),
    "",
  ];
}

function writeGrowth(panels, limit) {
  mkdirSync(RESULTS, { recursive: true });
  const name = `growth-node-${process.version.slice(1).split(".")[0]}`;
  const text = [
    `# Growth on Node.js ${process.version}`,
    "",
    `${machine.kind}; ${machine.pinned}; loopback; ${Object.entries(machine.versions)
      .map(([pack, version]) => `${pack} ${version}`)
      .join(", ")}; ${machine.date}. Medians of ${values.rounds} rounds in turns.`,
    `A figure in µs is the server's CPU time (user + system) per unit. One process could open ${limit} connections here (limit of open files);`,
    "“without the system” are clients in the server's own memory. What it means: [docs/performance.md](../../docs/performance.md).",
    "",
    `![Growth](${name}.svg)`,
    "",
    ...panels.flatMap(tableOf),
  ];
  writeFileSync(join(RESULTS, `${name}.md`), text.join("\n"));
  writeFileSync(join(RESULTS, `${name}.svg`), lineCharts({ title: `Growth, Node.js ${process.version}`, panels }));
  console.log(`\nwritten: bench/results/${name}.md, .svg`);
}

async function idleClients(wanted) {
  const limit = await mostConnections();
  const perGenerator = limit * load.workers.length;
  const count = Math.min(wanted, limit, perGenerator);
  if (count < wanted)
    console.log(`${wanted} clients were asked for; this machine lets one process open ${limit} connections: measured with ${count}`);
  for (const name of names) {
    const server = await startServer(SERVERS[name], { core: serverCore });
    const bed = new Bed(server, load, { scale: 1, warmupMs: 0 });
    await bed.open(500, { addresses });
    const { memory: before } = await server.command("settle");
    await bed.open(count - 500, { addresses });
    const { memory: after } = await server.command("settle");
    const each = (key) => `${((after[key] - before[key]) / (count - 500) / 1024).toFixed(2)} KiB`;
    console.log(
      `${name.padEnd(18)} ${count} idle clients: RSS ${Math.round(after.rss / 2 ** 20)} MiB, heap ${Math.round(after.heapUsed / 2 ** 20)} MiB; per client: RSS ${each("rss")}, heap ${each("heapUsed")}`,
    );
    await load.run("close");
    await server.stop();
  }
}
