// Counts the system calls of a process: all of them with strace, otherwise reads and writes as counted by the kernel.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Describes the method that this machine allows. */
export function syscallCounter() {
  if (spawnSync("strace", ["-V"]).status === 0) return "strace";
  return existsSync("/proc/self/io") ? "/proc/<pid>/io" : null;
}

/**
 * Counts the system calls of `pid` while `work` runs.
 * @returns `{ counts: { [name]: number }, result }`; `counts` is empty if neither method works
 */
export async function countSyscalls(pid, work) {
  const way = syscallCounter();
  if (way === "strace") return withStrace(pid, work);
  const before = way === null ? {} : readIo(pid);
  const result = await work();
  const after = way === null ? {} : readIo(pid);
  const counts = Object.fromEntries(Object.keys(after).map((name) => [name, after[name] - before[name]]));
  return { counts, result };
}

async function withStrace(pid, work) {
  const folder = mkdtempSync(join(tmpdir(), "roomcast-strace-"));
  const file = join(folder, "counts");
  const strace = spawn("strace", ["-c", "-f", "-U", "calls,name", "-p", String(pid), "-o", file], { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((resolve) => strace.once("exit", resolve));
  try {
    await new Promise((resolve, reject) => {
      let text = "";
      strace.stderr.on("data", (piece) => (text += piece).includes("attached") && resolve());
      strace.once("exit", () => reject(new Error(`strace: ${text.trim()}`)));
    });
    const result = await work();
    strace.kill("SIGINT");
    await ended;
    const counts = {};
    for (const [, calls, name] of readFileSync(file, "utf8").matchAll(/^ *(\d+) +(\w+)$/gm))
      if (name !== "total") counts[name] = Number(calls);
    return { counts, result };
  } finally {
    strace.kill("SIGINT");
    await ended;
    rmSync(folder, { recursive: true });
  }
}

function readIo(pid) {
  const text = readFileSync(`/proc/${pid}/io`, "utf8");
  return { "all reads": Number(/syscr: (\d+)/.exec(text)[1]), "all writes": Number(/syscw: (\d+)/.exec(text)[1]) };
}
