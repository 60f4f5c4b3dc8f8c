// Scenarios without load: start and installation of a package.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { canPin } from "../lib/child.mjs";
import { median } from "../lib/stats.mjs";

const root = new URL("../../", import.meta.url).pathname;

/** Starts a program of three lines ten times: measures the time from the start of the process until it listens, and that of `require`. */
export async function coldStart({ config }, { node, core }) {
  const runs = [];
  for (let i = 0; i < 10; i++) runs.push(await startOnce(config, node, core));
  return {
    parts: {
      "until it listens": { value: median(runs.map(({ listening }) => listening)), unit: "ms" },
      "loading the package": { value: median(runs.map(({ loading }) => loading)), unit: "ms" },
    },
  };
}

const PROGRAM = `
const start = performance.now();
const { Server } = require(process.argv[1]);
const loading = performance.now() - start;
const httpServer = require("node:http").createServer();
new Server(httpServer);
httpServer.listen(0, "127.0.0.1", () => {
  process.stdout.write(JSON.stringify({ listening: performance.now(), loading }), () => process.exit());
});`;

function startOnce({ module }, node = process.execPath, core = null) {
  const words = [node, "-e", PROGRAM, module];
  if (core !== null && canPin) words.unshift("taskset", "-c", String(core));
  return new Promise((resolve, reject) => {
    const child = spawn(words[0], words.slice(1), { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.on("data", (piece) => (text += piece));
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve(JSON.parse(text)) : reject(new Error(`ended with ${code}`))));
  });
}

/** Installs the package as a user would, into an empty folder. */
export function installSize({ title }) {
  const folder = mkdtempSync(join(tmpdir(), "roomcast-bench-"));
  const npm = (cwd, ...args) => {
    const { status, stdout, stderr } = spawnSync("npm", args, { cwd, encoding: "utf8" });
    if (status !== 0) throw new Error(`npm ${args[0]}: ${stderr.slice(-300)}`);
    return stdout.trim();
  };
  try {
    const wanted =
      title === "roomcast"
        ? join(folder, npm(root, "pack", "--silent", "--ignore-scripts", "--pack-destination", folder))
        : "socket.io@4.8.4";
    writeFileSync(join(folder, "package.json"), '{"private":true}');
    npm(folder, "install", "--omit=dev", "--prefer-offline", "--no-audit", "--no-fund", wanted);
    const files = readdirSync(join(folder, "node_modules"), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const bytes = files.reduce((sum, file) => sum + statSync(join(file.parentPath ?? file.path, file.name)).size, 0);
    const packages = JSON.parse(npm(folder, "ls", "--all", "--json", "--parseable=false"));
    return {
      parts: {
        size: { value: bytes / 1024, unit: "KiB" },
        files: { value: files.length, unit: "" },
        packages: { value: countPackages(packages, new Set()).size, unit: "" },
      },
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function countPackages({ dependencies = {} }, seen) {
  for (const [name, entry] of Object.entries(dependencies)) {
    seen.add(`${name}@${entry.version}`);
    countPackages(entry, seen);
  }
  return seen;
}
