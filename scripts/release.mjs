/**
 * `npm run release [-- --publish]`: checks that the package can be released, and publishes it; without `--publish` as a trial (`--dry-run`).
 * The checks: a clean tree on a commit with the tag `v<version>`, an entry in CHANGELOG.md with a date, a fresh build, lint, types, all tests,
 * `npm audit` of what is installed with the package. With `--publish` npm signs where the package was built (`--provenance`), which works in a
 * build of the repository's host; locally it fails, as it should.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root } from "./doors.mjs";

const { values: options } = parseArgs({ options: { publish: { type: "boolean", default: false } } });
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const problems = [];

const output = (command, ...args) => spawnSync(command, args, { cwd: root, encoding: "utf8" }).stdout.trim();

/** Runs a command whose failure is a problem. */
function check(title, command, ...args) {
  console.log(`── ${title}`);
  const { status } = spawnSync(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) problems.push(title);
}

if (output("git", "status", "--porcelain") !== "") problems.push("the tree has changes that are not committed");
if (!output("git", "tag", "--points-at", "HEAD").split("\n").includes(`v${version}`)) problems.push(`this commit has no tag v${version}`);
const entry = new RegExp(`^## ${version.replaceAll(".", "\\.")} \\((.*)\\)$`, "m").exec(readFileSync(join(root, "CHANGELOG.md"), "utf8"));
if (entry === null || !/^\d{4}-\d{2}-\d{2}$/.test(entry[1]))
  problems.push(`CHANGELOG.md: expected "## ${version} (YYYY-MM-DD)", met ${entry?.[0] ?? "no entry"}`);

check("npm ci", "npm", "ci", "--loglevel=error");
check("audit of the dependencies", "npm", "audit", "--omit=dev");
check("build", "npm", "run", "--silent", "build");
check("lint", "npm", "run", "--silent", "lint");
check("types", "npm", "run", "--silent", "typecheck");
check("all tests", "npm", "run", "--silent", "test:all");

if (problems.length > 0) console.log(`\nnot ready:\n${problems.map((problem) => `  ${problem}`).join("\n")}`);
if (options.publish && problems.length > 0) process.exit(1);
check(
  options.publish ? "publish" : "trial of publishing",
  "npm",
  "publish",
  "--access=public",
  ...(options.publish ? ["--provenance"] : ["--dry-run"]),
);
process.exit(problems.length > 0 ? 1 : 0);
