// Samples a process with Linux's `perf`, if that is installed: shares of its time, the kernel included.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Options of Node.js that give `perf` the names of JavaScript functions. */
export const NODE_ARGS = ["--perf-basic-prof"];

export const hasPerf = () => spawnSync("perf", ["--version"]).status === 0;

/** The first match on "module, symbol" counts. */
const PARTS = [
  [/^\[kernel|^\[k\]|^\[vdso/, "kernel"],
  [/^uws\S*\.node/, "uWebSockets.js"],
  [/^\[JIT\].* node:/, "Node.js: JavaScript"],
  [/^\[JIT\].*\/dist\/roomcast\.js/, "roomcast"],
  [/^\[JIT\].*node_modules\/(socket\.io|engine\.io)/, "socket.io"],
  [/^\[JIT\].*node_modules\/ws\//, "ws"],
  [/^\[JIT\].*\/bench\//, "the bench's own program"],
  [/^\[JIT\]/, "other JavaScript"],
  [/^/, "Node.js, V8, C library: native"],
];

/** @returns shares of the CPU time of `pid` while `work` ran, `[part, share]`, largest first */
export async function splitWithPerf(pid, work) {
  const folder = mkdtempSync(join(tmpdir(), "roomcast-perf-"));
  const file = join(folder, "samples");
  const perf = spawn("perf", ["record", "-e", "cpu-clock", "-F", "5000", "-o", file, "-p", String(pid)], { stdio: "ignore" });
  const ended = new Promise((resolve) => perf.once("exit", resolve));
  try {
    await work();
    perf.kill("SIGINT");
    await ended;
    const report = ["report", "-i", file, "--no-children", "--sort", "dso,symbol", "-t", "\t"];
    const { stdout, stderr } = spawnSync("perf", report, { encoding: "utf8", maxBuffer: 1 << 28 });
    const shares = new Map();
    for (const line of stdout.split("\n")) {
      const [percentage, module, symbol] = line.split("\t").map((word) => word.trim());
      if (symbol === undefined || line.startsWith("#")) continue;
      const [, part] = PARTS.find(([pattern]) => pattern.test(`${module} ${symbol}`));
      shares.set(part, (shares.get(part) ?? 0) + parseFloat(percentage) / 100);
    }
    if (shares.size === 0) throw new Error(`perf report: ${stderr.trim().split("\n").at(-1)}`);
    return [...shares].sort((a, b) => b[1] - a[1]);
  } finally {
    perf.kill("SIGINT");
    await ended;
    rmSync(folder, { recursive: true });
    rmSync(join(tmpdir(), `perf-${pid}.map`), { force: true });
  }
}
