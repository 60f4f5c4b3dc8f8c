/**
 * Runs test families: `node scripts/test.mjs [--node <binary>] [--only <part of a file name>] [families…]`, all of them when none is named;
 * `heavy` stands for those that need services, browsers or installs, `fast` for the others.
 * A family is a folder test/<family>/ with `*.test.js` files; its own package.json, when there is one, is installed first,
 * and its own setup.mjs, when there is one, is run after that.
 * Ends with `N passed, N failed` over all families, and with exit code 1 when a test failed or none ran.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { root } from "./doors.mjs";

/** Families that start browsers, databases or installs: few files at a time, long time-outs. */
const heavy = new Set(["interop", "browser", "package", "cluster", "ecosystem", "third-party", "twins", "uws"]);
/** Installs of other families that a family uses as well. */
const alsoUses = { interop: ["uws"], twins: ["uws"] };
/** The only Node.js line for which a family's packages have binaries; on others the family, or the part of another that needs it, is left out. */
const nodeLine = { uws: 20 };
/** A file whose event loop never ends would hold the run for ever. */
const familyLimitMs = 10 * 60_000;
const testRoot = join(root, "test");

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { node: { type: "string" }, only: { type: "string" } },
});
const families = positionals.length > 0 ? positionals.flatMap(expandGroup) : knownFamilies();
const total = { passed: 0, failed: 0, skipped: 0 };

for (const family of families) {
  const counts = await runFamily(family);
  for (const key of Object.keys(total)) total[key] += counts[key];
}
const verdict = `${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ""}`;
if (process.env.ROOMCAST_TEST_SUMMARY) writeFileSync(process.env.ROOMCAST_TEST_SUMMARY, JSON.stringify(total));
console.log(`\n${verdict}`);
process.exit(total.failed > 0 || total.passed === 0 ? 1 : 0);

function expandGroup(name) {
  if (name !== "fast" && name !== "heavy") return [name];
  return knownFamilies().filter((family) => heavy.has(family) === (name === "heavy"));
}

function knownFamilies() {
  return readdirSync(testRoot, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== "node_modules" && testFiles(entry.name).length > 0)
    .map((entry) => entry.name);
}

function testFiles(family) {
  const directory = join(testRoot, family);
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true })
    .filter((file) => file.endsWith(".test.js") && !file.split(/[\\/]/).includes("node_modules"))
    .filter((file) => !options.only || file.includes(options.only))
    .map((file) => relative(root, join(directory, file)))
    .sort();
}

/** Runs one family in a child process and counts its tests; a run that dies without counts is one failure. */
async function runFamily(family) {
  const files = testFiles(family);
  console.log(`\n── ${family}: ${files.length} file${files.length === 1 ? "" : "s"}`);
  if (files.length === 0) return { passed: 0, failed: 0, skipped: 0 };
  if (!hasNodeFor(family)) {
    console.log(`── ${family}: left out, its packages have binaries for Node.js ${nodeLine[family]} alone`);
    return { passed: 0, failed: 0, skipped: files.length };
  }
  for (const other of alsoUses[family] ?? []) if (hasNodeFor(other) && !installFamily(other)) return { passed: 0, failed: 1, skipped: 0 };
  if (!installFamily(family) || !setUpFamily(family)) return { passed: 0, failed: 1, skipped: 0 };

  const directory = mkdtempSync(join(tmpdir(), "roomcast-test-"));
  const countsFile = join(directory, "counts.json");
  const started = Date.now();
  const status = await runNode(family, files, countsFile);
  const counts = existsSync(countsFile) ? JSON.parse(readFileSync(countsFile, "utf8")) : { passed: 0, failed: 1, skipped: 0 };
  rmSync(directory, { recursive: true, force: true });
  if (status !== 0 && counts.failed === 0) counts.failed = 1;
  console.log(`── ${family}: ${counts.passed} passed, ${counts.failed} failed in ${((Date.now() - started) / 1000).toFixed(1)} s`);
  return counts;
}

function hasNodeFor(family) {
  if (!(family in nodeLine)) return true;
  const version = options.node ? spawnSync(options.node, ["--version"], { encoding: "utf8" }).stdout : process.version;
  return version.startsWith(`v${nodeLine[family]}.`);
}

function runNode(family, files, countsFile) {
  const concurrency = heavy.has(family) ? 2 : Math.max(2, availableParallelism());
  const timeoutMs = heavy.has(family) ? 300_000 : 120_000;
  const args = [
    "--test",
    `--test-concurrency=${concurrency}`,
    `--test-timeout=${timeoutMs}`,
    `--test-reporter=${join(root, "scripts/test-reporter.mjs")}`,
    ...files,
  ];
  const env = { ...process.env, ROOMCAST_TEST_COUNTS: countsFile };
  delete env.NODE_TEST_CONTEXT;
  delete env.ROOMCAST_TEST_SUMMARY;
  return new Promise((resolve, reject) => {
    const child = spawn(options.node ?? process.execPath, args, {
      cwd: root,
      env,
      stdio: ["ignore", "inherit", "inherit"],
      detached: true,
    });
    const watchdog = setTimeout(() => {
      console.error(`   ${family}: still running after ${(familyLimitMs / 60_000).toFixed(0)} minutes, stopped`);
      process.kill(-child.pid, "SIGKILL");
    }, familyLimitMs);
    const stop = () => process.kill(-child.pid, "SIGKILL");
    process.once("SIGINT", stop).once("SIGTERM", stop);
    child.on("error", reject);
    child.on("exit", (code) => {
      clearTimeout(watchdog);
      process.off("SIGINT", stop).off("SIGTERM", stop);
      resolve(code ?? 1);
    });
  });
}

/** Installs test/<family>/package.json unless node_modules carries the stamp of the same lockfile. */
function installFamily(family) {
  const directory = join(testRoot, family);
  if (!existsSync(join(directory, "package.json"))) return true;
  const hash = createHash("sha256");
  for (const name of ["package.json", "package-lock.json"]) {
    if (existsSync(join(directory, name))) hash.update(readFileSync(join(directory, name)));
  }
  const wanted = hash.digest("hex");
  const stamp = join(directory, "node_modules/.roomcast-stamp");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return true;

  console.log(`   installing test/${family}`);
  const command = existsSync(join(directory, "package-lock.json")) ? "ci" : "install";
  const args = [command, "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"];
  const { status } = spawnSync("npm", args, {
    cwd: directory,
    stdio: ["ignore", "inherit", "inherit"],
    shell: process.platform === "win32",
  });
  if (status !== 0) {
    console.error(`   test/${family}: npm ${command} failed`);
    return false;
  }
  mkdirSync(join(directory, "node_modules"), { recursive: true });
  writeFileSync(stamp, wanted);
  return true;
}

/** Runs test/<family>/setup.mjs: what must be fresh on every run, unlike an install. */
function setUpFamily(family) {
  const file = join(testRoot, family, "setup.mjs");
  if (!existsSync(file)) return true;
  const { status } = spawnSync(process.execPath, [file], { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) console.error(`   test/${family}: setup.mjs failed`);
  return status === 0;
}
