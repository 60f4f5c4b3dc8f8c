/**
 * Runs tests: `node scripts/test.mjs [--node <binary>] [--only <part of a file name>] [names…]`. A name is a family (`wire`), a folder of families
 * (`protocol`), `quick` (what `npm test` runs), or `rest` (everything else); without names everything runs.
 * A family is a folder `test/<folder>/<family>/` with `*.test.js` files, or `test/unit/`. Its own package.json, when there is one, is installed
 * first, and its own setup.mjs, when there is one, is run after that. `quick` runs its files in one process of the runner and installs nothing.
 * Ends with the titles of the tests that failed and `N passed, N failed` over all, and with exit code 1 when a test failed or none ran.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { root } from "./doors.mjs";

/** Families that start browsers, databases or installs: few files at a time, long time-outs. None of their files is quick. */
const heavy = new Set(["interop", "browser", "package", "cluster", "ecosystem", "frameworks", "metrics", "third-party", "twins", "uws"]);
/** Other families and files that only `npm run test:all` runs, each with a reason. */
const slow = {
  hostile: "floods, memory, processor time: minutes",
  cli: "starts processes and proxies",
  counts: "counts system calls and bytes of whole processes",
  examples: "starts every program of the documents",
  "acceptance/a-creating": "needs packages of its own",
  "acceptance/f-middlewares": "needs packages of its own",
  "acceptance/j-parsers": "needs packages of its own",
  "acceptance/recovery-run": "50,000 messages while networks fail",
  "api/carried-endings": "drains servers behind a proxy",
  "api/drained": "megabytes to slow readers",
  "api/handed-over": "starts worker processes",
  "api/hygiene": "random programs, some of them with two servers",
  "api/early-return": "waits for real time-outs",
  "api/slow-readers": "megabytes to slow readers",
  "api/testing-bounds": "waits for real time-outs",
  "api/testing-suites": "megabytes over every transport",
  "api/start": "starts and replaces worker processes",
  "api/workers": "starts worker processes",
  "architecture/docstrings": "compiles src/",
  "architecture/walks": "compiles src/",
  "doors/redis": "waits for real time-outs",
  "doors/threats": "floods and time-outs",
  "types/resolution": "seven compilations",
  "unit/engine/frame-reader": "every way to cut frames",
  "unit/protocol/fuzz": "random bytes",
  "webtransport/session": "a thousand sessions",
  "wire/engine/compressed-frames": "every way to cut frames",
  "wire/engine/one-write": "megabytes to slow readers",
  "wire/engine/polling-bodies": "waits for real time-outs",
  "wire/half-closed": "megabytes to slow readers",
};
/** Families whose installed packages another family also uses. */
const alsoUses = { interop: ["uws"], twins: ["uws"], uws: ["acceptance"] };
/** The only Node.js line for which a family's packages have binaries; on other lines the family, and tests of others that need it, are skipped. */
const nodeLine = { uws: 20 };
/** Time-out of a family: a file whose event loop does not end would never finish. */
const familyLimitMs = 30 * 60_000;
const testRoot = join(root, "test");
/** The folders of families; see test/README.md. */
const folders = ["protocol", "public-api", "peers", "project"];

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { node: { type: "string" }, only: { type: "string" } },
});
/** The directory of each family, by name. */
const directories = findFamilies();
checkSlow();
const total = { passed: 0, failed: 0, skipped: 0, failures: [] };

for (const { name, files } of (positionals.length > 0 ? positionals : [...directories.keys()]).flatMap(runsOf)) {
  const counts = await run(name, files);
  for (const key of ["passed", "failed", "skipped"]) total[key] += counts[key];
  total.failures.push(
    ...(counts.failures?.length > 0 || counts.failed === 0 ? (counts.failures ?? []) : [`${name}: ended before its tests did`]),
  );
}
const verdict = `${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ""}`;
if (process.env.ROOMCAST_TEST_SUMMARY) writeFileSync(process.env.ROOMCAST_TEST_SUMMARY, JSON.stringify(total));
if (total.failures.length > 0) console.log(`\nfailed:\n${total.failures.map((title) => `  ${title}`).join("\n")}`);
console.log(`\n${verdict}`);
process.exit(total.failed > 0 || total.passed === 0 ? 1 : 0);

function findFamilies() {
  const found = new Map([["unit", join(testRoot, "unit")]]);
  for (const folder of foldersIn(testRoot)) {
    if (folder === "unit" || folder === "support") continue;
    if (!folders.includes(folder)) throw new Error(`test/${folder}: families are in ${folders.join(", ")}, see test/README.md`);
    for (const family of foldersIn(join(testRoot, folder))) found.set(family, join(testRoot, folder, family));
  }
  return found;
}

/** Throws for an entry without a file: a slow file that has moved would become part of the quick run. */
function checkSlow() {
  for (const key of Object.keys(slow)) {
    const [family, ...path] = key.split("/");
    const isThere =
      path.length === 0 ? directories.has(family) : existsSync(join(directories.get(family) ?? "", `${path.join("/")}.test.js`));
    if (!isThere) throw new Error(`slow: no test/…/${key}`);
  }
}

function foldersIn(directory) {
  return readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== "node_modules")
    .map((entry) => entry.name);
}

/** Expands a name on the command line to `{ name, files }`, each for one process of Node's test runner. */
function runsOf(name) {
  const all = [...directories.keys()].map((family) => ({ name: family, files: testFiles(family) }));
  if (name === "quick") return [{ name, files: all.flatMap((each) => each.files.filter((file) => !isSlow(each.name, file))) }];
  if (name === "rest") return all.map((each) => ({ name: each.name, files: each.files.filter((file) => isSlow(each.name, file)) }));
  const named = all.filter((each) => each.name === name || directories.get(each.name) === join(testRoot, name, each.name));
  if (named.length === 0) throw new Error(`${name} is neither a family nor a folder of families: ${[...directories.keys()].join(", ")}`);
  return named;
}

function testFiles(family) {
  const directory = directories.get(family);
  return filesBelow(directory)
    .filter((file) => file.endsWith(".test.js") && (!options.only || relative(directory, file).includes(options.only)))
    .map((file) => relative(root, file))
    .sort();
}

/** Without installed packages and what tests leave: npm links this checkout into families, and a walk through the link never ends. */
function filesBelow(directory) {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    if (entry.isDirectory()) return ["node_modules", "artifacts"].includes(entry.name) ? [] : filesBelow(join(directory, entry.name));
    return entry.isFile() ? [join(directory, entry.name)] : [];
  });
}

function isSlow(family, file) {
  const path = relative(directories.get(family), join(root, file)).replaceAll("\\", "/");
  return heavy.has(family) || family in slow || `${family}/${path.replace(".test.js", "")}` in slow;
}

/** Runs files of one family, or those of `quick`, in a child process and counts the tests; a run that ends without counts is one failure. */
async function run(name, files) {
  if (files.length === 0) return { passed: 0, failed: 0, skipped: 0 };
  console.log(`\n── ${name}: ${files.length} file${files.length === 1 ? "" : "s"}`);
  if (!hasNodeFor(name)) {
    console.log(`── ${name}: left out, its packages have binaries for Node.js ${nodeLine[name]} alone`);
    return { passed: 0, failed: 0, skipped: files.length };
  }
  const installed = [...(alsoUses[name] ?? []).filter(hasNodeFor), ...(directories.has(name) ? [name] : [])];
  if (!installed.every(installFamily) || !setUpFamily(name)) return { passed: 0, failed: 1, skipped: 0 };

  const directory = mkdtempSync(join(tmpdir(), "roomcast-test-"));
  const countsFile = join(directory, "counts.json");
  const started = Date.now();
  const status = await runNode(name, files, countsFile);
  const counts = existsSync(countsFile) ? JSON.parse(readFileSync(countsFile, "utf8")) : { passed: 0, failed: 1, skipped: 0 };
  rmSync(directory, { recursive: true, force: true });
  if (status !== 0 && counts.failed === 0) counts.failed = 1;
  console.log(`── ${name}: ${counts.passed} passed, ${counts.failed} failed in ${((Date.now() - started) / 1000).toFixed(1)} s`);
  return counts;
}

function hasNodeFor(family) {
  if (!(family in nodeLine)) return true;
  const version = options.node ? spawnSync(options.node, ["--version"], { encoding: "utf8" }).stdout : process.version;
  return version.startsWith(`v${nodeLine[family]}.`);
}

function runNode(family, files, countsFile) {
  const cores = Math.max(2, availableParallelism());
  const concurrency = heavy.has(family) ? 2 : family === "quick" ? cores + 1 : cores; // some quick files wait without using the processor
  const timeoutMs = family === "quick" ? 120_000 : family === "cluster" ? 900_000 : 300_000; // of a file
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

/** Installs the package.json of a family unless node_modules has the stamp of the same lockfile. */
function installFamily(family) {
  const directory = directories.get(family);
  if (!existsSync(join(directory, "package.json"))) return true;
  const hash = createHash("sha256");
  for (const name of ["package.json", "package-lock.json"]) {
    if (existsSync(join(directory, name))) hash.update(readFileSync(join(directory, name)));
  }
  const wanted = hash.digest("hex");
  const stamp = join(directory, "node_modules/.roomcast-stamp");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return true;

  console.log(`   installing ${relative(root, directory)}`);
  const command = existsSync(join(directory, "package-lock.json")) ? "ci" : "install";
  const args = [command, "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"];
  const { status } = spawnSync("npm", args, {
    cwd: directory,
    stdio: ["ignore", "inherit", "inherit"],
    shell: process.platform === "win32",
  });
  if (status !== 0) {
    console.error(`   ${relative(root, directory)}: npm ${command} failed`);
    return false;
  }
  mkdirSync(join(directory, "node_modules"), { recursive: true });
  writeFileSync(stamp, wanted);
  return true;
}

/** Runs the setup.mjs of a family, which prepares every run, unlike the install. */
function setUpFamily(family) {
  const file = join(directories.get(family) ?? testRoot, "setup.mjs");
  if (!existsSync(file)) return true;
  const { status } = spawnSync(process.execPath, [file], { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) console.error(`   ${relative(root, file)} failed`);
  return status === 0;
}
