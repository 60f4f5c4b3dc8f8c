// Shows which code uses the server's time in a scenario: `node bench/profile.mjs SCENARIO [--servers roomcast,socket.io] [--scale 1]`.
// Writes a CPU profile (for Chrome's developer tools or an editor) and prints its shares, the functions with the most own time, and the
// system calls per unit, which a second run counts. With `--perf`, and if Linux's `perf` is installed, a third run measures the shares
// of the kernel, Node.js and the program. SCENARIO is a part of a title in load/scenarios.mjs.
import { mkdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { Bed, Load, startServer } from "./lib/bed.mjs";
import { splitProfile } from "./lib/cpu-profile.mjs";
import { hasPerf, NODE_ARGS, splitWithPerf } from "./lib/perf.mjs";
import { chooseServers, installRivals, SERVERS } from "./lib/servers.mjs";
import { countSyscalls, syscallCounter } from "./lib/syscalls.mjs";
import { runOnce, scenarios } from "./load/scenarios.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    servers: { type: "string", default: "roomcast" },
    scale: { type: "string", default: "1" },
    warmup: { type: "string", default: "2000" },
    perf: { type: "boolean", default: false },
    top: { type: "string", default: "25" },
    "server-core": { type: "string", default: "0" },
    "load-cores": { type: "string", default: availableParallelism() > 2 ? "1,2" : "1" },
  },
});
const wanted = positionals.join(" ");
const found = scenarios.filter(({ title, standalone }) => standalone === undefined && title.includes(wanted));
const scenario = found.find(({ title }) => title === wanted) ?? found[0];
if (wanted === "" || scenario === undefined) {
  console.error(`usage: npm run bench:profile -- SCENARIO\n${scenarios.map(({ title }) => `  ${title}`).join("\n")}`);
  process.exit(1);
}

const results = new URL("./results/", import.meta.url);
mkdirSync(results, { recursive: true });
const names = chooseServers(values.servers);
installRivals({ uws: names.some((name) => SERVERS[name].host === "uws") });

/** Measures once for the profile and once for the system calls, because counting them slows the server down. */
class ProfilingBed extends Bed {
  async measure(work) {
    const slug = `${this.settings.name}-${scenario.title}`.replace(/[^a-z0-9]+/gi, "-");
    const file = new URL(`${slug}.cpuprofile`, results).pathname;
    await this.server.command("startProfile");
    const figures = await super.measure(work);
    await this.server.command("stopProfile", file);
    const { counts, result } = await countSyscalls(this.server.pid, work);
    this.show(file, figures, counts, result.units);
    if (values.perf) {
      console.log("by perf:");
      for (const [part, share] of await splitWithPerf(this.server.pid, work)) console.log(`  ${percent(share)}  ${part}`);
    }
    return figures;
  }

  show(file, { user, system, units }, counts, countedUnits) {
    const { categories, functions, idle } = splitProfile(JSON.parse(readFileSync(file, "utf8")));
    console.log(
      `\n${scenario.title}, ${this.settings.name}: ${((user + system) / units).toFixed(2)} µs per ${scenario.unit} while profiled (user ${(user / units).toFixed(2)}, system ${(system / units).toFixed(2)}), ${units} units`,
    );
    console.log(`profile: bench/results/${file.split("/").at(-1)}; idle ${percent(idle)} of the time; of the rest:`);
    for (const { name, share } of categories) if (share >= 0.001) console.log(`  ${percent(share)}  ${name}`);
    console.log("functions, own time:");
    for (const { name, share } of functions.slice(0, Number(values.top))) console.log(`  ${percent(share)}  ${name}`);
    console.log(`system calls per ${scenario.unit}, counted with ${syscallCounter() ?? "nothing: neither strace nor /proc is here"}:`);
    for (const [name, count] of Object.entries(counts).sort((a, b) => b[1] - a[1])) {
      if (count / countedUnits >= 0.0005) console.log(`  ${(count / countedUnits).toFixed(3).padStart(8)}  ${name}`);
    }
  }
}

if (values.perf && !hasPerf()) {
  console.error("--perf: `perf` (Debian: linux-perf) is not installed");
  process.exit(1);
}
const load = await Load.start({ cores: values["load-cores"].split(",") });
for (const name of names) {
  const nodeArgs = values.perf ? NODE_ARGS : [];
  const server = await startServer(
    { ...SERVERS[name], nodeArgs },
    {
      core: values["server-core"],
      options: scenario.options,
      host: scenario.host,
      isNode: scenario.isNode,
    },
  );
  const bed = new ProfilingBed(server, load, {
    name,
    scale: Number(values.scale),
    warmupMs: Number(values.warmup),
    tls: scenario.host === "tls",
  });
  const given = scenario.calibrate ? 10_000 : undefined;
  await runOnce(scenario, bed, given);
  await load.run("close");
  await server.stop();
}
await load.stop();

function percent(share) {
  return `${(share * 100).toFixed(1).padStart(5)} %`;
}
