/**
 * `npm run bench:load-agreement -- [--seconds 16] [--warm-up 6] [--rounds 4] [--clients 200] [--json file]`: whether `roomcast load` measures
 * what the benchmark measures. The same server, of roomcast and of socket.io in turns (A B A B), is driven by `roomcast load` and by the
 * benchmark's own clients, with the same load: echoes with acknowledgement at 5 per second and client, then queries that the server answers
 * after 10 ms, then messages to rooms of 10 at 1 per second and client.
 * The server has a core of its own, the drivers another one. Its CPU time is read in the middle of the load, for a time in which both drivers
 * send the same number of messages. Answers of the warm-up are not timed: both drivers are compiled in it, on a core that their compiler shares.
 * Prints both figures and their ratio. Exits with 1 when a median ratio is not within 15 %. Of times, differences below 0.1 ms are tolerated,
 * and said: the benchmark's clients do next to nothing for an answer, those of `load` encode, mask, decode and count it, which is as much as
 * an echo takes, and a hundredth of a query.
 */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { availableParallelism, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { Bed, Load, startServer } from "./lib/bed.mjs";
import { canPin } from "./lib/child.mjs";
import { installRivals, SERVERS } from "./lib/servers.mjs";
import { median } from "./lib/stats.mjs";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "16" },
    "warm-up": { type: "string", default: "6" },
    rounds: { type: "string", default: "4" },
    clients: { type: "string", default: "200" },
    json: { type: "string" },
  },
});
const seconds = Number(values.seconds);
const warmUp = Number(values["warm-up"]);
const clients = Number(values.clients);
const PER_ROOM = 10;
const TOLERANCE = 0.15;
const OWN_WORK_MS = 0.1;
const serverCore = "0";
const loadCore = String(Math.min(1, availableParallelism() - 1));
const command = new URL("../bin/roomcast.js", import.meta.url).pathname;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** `units` are what is counted for each event that a client sends. */
const shapes = [
  { name: "echo", perSecond: 5, args: ["--ask", "echo", "--data", '"hello world"'], units: 1, paced: "paced" },
  { name: "query", perSecond: 5, args: ["--ask", "query", "--data", '"hello world"'], units: 1, paced: "paced" },
  { name: "room of 10", perSecond: 1, args: ["--emit", "say", "--data", '"hello world"'], units: PER_ROOM - 1, paced: "pacedSay" },
];

/** Server CPU time in microseconds per unit, from half a second after the load has begun until half a second before it ends. */
async function cpuPerUnit(server, { perSecond, units }) {
  await pause(500);
  const { cpu: before } = await server.command("cpu");
  const from = performance.now();
  await pause((seconds - 1) * 1000);
  const { cpu: after } = await server.command("cpu");
  const spent = after.user + after.system - before.user - before.system;
  return spent / (((performance.now() - from) / 1000) * clients * perSecond * units);
}

/** What `drive(server)` measured, with the CPU time that it caused; the load begins once all clients are connected. */
async function measure(server, shape, drive) {
  const result = drive();
  await server.command("connected", clients);
  await server.command("assign", clients / PER_ROOM);
  const cpu = await cpuPerUnit(server, shape);
  return { ...(await result), cpu };
}

/** `roomcast load`, as a user calls it. */
async function byLoad(server, shape) {
  const args = [command, "load", `http://127.0.0.1:${server.ready.port}`, "--clients", String(clients), "--ramp", "1", "--json"];
  args.push("--duration", String(seconds), "--warm-up", String(warmUp), "--rate", String(shape.perSecond), ...shape.args);
  const words = [process.execPath, ...args];
  if (canPin) words.unshift("taskset", "-c", loadCore);
  return measure(server, shape, async () => {
    const child = spawn(words[0], words.slice(1), { stdio: ["ignore", "pipe", "pipe"] });
    let [text, complaint] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (chunk) => (text += chunk));
    child.stderr.setEncoding("utf8").on("data", (chunk) => (complaint += chunk));
    const code = await new Promise((resolve) => child.once("close", resolve));
    if (code !== 0) throw new Error(`roomcast load ended with ${code}: ${complaint}${text}`);
    const report = JSON.parse(text);
    const count = shape.paced === "paced" ? report.answered : report.received;
    return { throughput: count / report.seconds, p50: report.answerMs?.p50, p99: report.answerMs?.p99 };
  });
}

/** The clients of the benchmark. */
async function byBench(server, shape) {
  const load = await Load.start({ cores: [loadCore] });
  try {
    const bed = new Bed(server, load, { scale: 1, warmupMs: 0 });
    await bed.open(clients);
    return await measure(server, shape, async () => {
      await pause(50); // for the rooms
      const from = performance.now();
      const argument = {
        event: shape.name,
        perSecond: shape.perSecond * clients,
        durationMs: seconds * 1000,
        warmUpMs: warmUp * 1000,
        perRoom: PER_ROOM,
      };
      const { units, latencies } = await load.run(shape.paced, argument);
      const throughput = units / ((performance.now() - from) / 1000);
      if (shape.paced !== "paced") return { throughput };
      return { throughput, p50: latencies.quantile(0.5) / 1000, p99: latencies.quantile(0.99) / 1000 };
    });
  } finally {
    await load.stop();
    await server.command("connected", 0);
  }
}

installRivals({ uws: false });
console.log(`${clients} clients, ${seconds} s each, ${values.rounds} rounds; load average ${loadavg()[0].toFixed(1)}\n`);
const turns = [];
for (let round = 0; round < Number(values.rounds); round++) {
  for (const name of ["roomcast", "socket.io"]) {
    const server = await startServer(SERVERS[name], { core: serverCore });
    try {
      for (const shape of shapes) {
        // The first driver meets a server that is not compiled yet, so they change places; an even number of rounds makes that fair.
        const drivers = round % 2 === 0 ? ["bench", "load"] : ["load", "bench"];
        await warmUpServer(server);
        const turn = { name, shape: shape.name };
        for (const driver of drivers) turn[driver] = driver === "load" ? await byLoad(server, shape) : await byBench(server, shape);
        await server.command("connected", 0);
        turns.push(turn);
      }
    } finally {
      await server.stop();
    }
  }
}
const rows = report(turns);
console.log(`\nload average ${loadavg()[0].toFixed(1)}`);
if (values.json) writeFileSync(values.json, `${JSON.stringify({ turns, rows }, null, 2)}\n`);
process.exitCode = rows.every(({ agrees }) => agrees) ? 0 : 1;

async function warmUpServer(server) {
  const load = await Load.start({ cores: [loadCore] });
  const bed = new Bed(server, load, { scale: 1, warmupMs: 2000 });
  await bed.open(20);
  await bed.warmUp(() => load.run("echo", { count: 100, inFlight: 1 }));
  await load.stop();
  await server.command("connected", 0);
}

function report(all) {
  const figures = { throughput: ["per second", 0], p50: ["ms", 3], p99: ["ms", 3], cpu: ["server µs per message", 2] };
  const found = [];
  console.log("| server | load | figure | `roomcast load` | benchmark | ratio (each turn) | within 15 % |\n|---|---|---|--:|--:|--:|---|");
  for (const name of ["roomcast", "socket.io"]) {
    for (const shape of shapes) {
      const own = all.filter((turn) => turn.name === name && turn.shape === shape.name);
      for (const [figure, [unit, digits]] of Object.entries(figures)) {
        if (own[0].bench[figure] === undefined) continue;
        const ratios = own.map(({ load, bench }) => load[figure] / bench[figure]);
        const [load, bench] = ["load", "bench"].map((driver) => median(own.map((turn) => turn[driver][figure])));
        const ratio = median(ratios);
        const isWithin = Math.abs(ratio - 1) <= TOLERANCE;
        const isOwnWork = unit === "ms" && Math.abs(load - bench) < OWN_WORK_MS;
        const verdict = isWithin ? "yes" : isOwnWork ? `no, but within ${OWN_WORK_MS} ms` : "**no**";
        found.push({ name, shape: shape.name, figure, load, bench, ratio, ratios, isWithin, agrees: isWithin || isOwnWork });
        const each = ratios.map((value) => value.toFixed(2)).join(", ");
        const cells = [
          name,
          shape.name,
          `${figure}, ${unit}`,
          load.toFixed(digits),
          bench.toFixed(digits),
          `${ratio.toFixed(2)} (${each})`,
        ];
        console.log(`| ${cells.join(" | ")} | ${verdict} |`);
      }
    }
  }
  return found;
}
