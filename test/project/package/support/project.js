/**
 * Scratch projects outside the checkout, with the packed tarball installed under the alias `socket.io` as a user would install it.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const packageRoot = fileURLToPath(new URL("../../../..", import.meta.url));
const require = createRequire(import.meta.url);

/** The root's package.json. */
export const manifest = JSON.parse(await readFile(join(packageRoot, "package.json"), "utf8"));

/** The subpaths with code behind them, `.` first. */
export const subpaths = Object.keys(manifest.exports).filter((subpath) => typeof manifest.exports[subpath] === "object");

let tarball;

/** Packs the built package once per process. `ROOMCAST_TARBALL` names one that is already packed. */
export function pack() {
  tarball ??= process.env.ROOMCAST_TARBALL ? Promise.resolve(process.env.ROOMCAST_TARBALL) : packRoot();
  return tarball;
}

async function packRoot() {
  if (!existsSync(join(packageRoot, "dist/esm/index.mjs"))) throw new Error("dist/ is missing or incomplete: run `npm run build` first");
  const directory = await mkdtemp(join(tmpdir(), "roomcast-pack-"));
  process.once("exit", () => rmSyncQuietly(directory));
  const { stdout } = await run("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", directory], { cwd: packageRoot });
  return join(directory, stdout.trim().split("\n").at(-1));
}

function rmSyncQuietly(directory) {
  require("node:fs").rmSync(directory, { recursive: true, force: true });
}

/**
 * A scratch project with roomcast installed as `socket.io`.
 * @param files  file contents by relative path; package.json is completed with the dependencies
 */
export async function createProject(t, { files = {}, dependencies = {}, manifest: extra = {} } = {}) {
  const directory = await mkdtemp(join(tmpdir(), "roomcast-project-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const packageJson = {
    private: true,
    ...extra,
    dependencies: { "socket.io": `file:${await pack()}`, "socket.io-client": "^4.8.0", ...dependencies },
  };
  await writeFiles(directory, { "package.json": JSON.stringify(packageJson), ...files });
  await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: directory });
  return directory;
}

export async function writeFiles(directory, files) {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), content);
  }
}

/** Runs a command to its end. Resolves with what it wrote when it exits with 0, otherwise rejects with all of it. */
export function run(command, args, { cwd, env = {}, timeoutMs = 180_000, allowFailure = false } = {}) {
  return new Promise((resolve, reject) => {
    const childEnv = { ...process.env, ...env };
    delete childEnv.NODE_TEST_CONTEXT;
    const child = spawn(command, args, { cwd, env: childEnv, stdio: ["ignore", "pipe", "pipe"] });
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    const output = { stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text) => (output.stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text) => (output.stderr += text));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (code === 0 || allowFailure) return resolve({ ...output, code });
      reject(new Error(`${command} ${args.join(" ")} ended with ${code ?? signal}\n${output.stdout}${output.stderr}`));
    });
  });
}

/** Runs a JavaScript file with this Node.js and parses the JSON of its last line. */
export async function runJson(cwd, args, options) {
  const { stdout } = await run(process.execPath, args, { cwd, ...options });
  return JSON.parse(stdout.trim().split("\n").at(-1));
}

/** The file behind a command of one of the tools installed beside these tests. */
export function toolPath(packageName, file) {
  return join(dirname(fileURLToPath(import.meta.url)), "../node_modules", packageName, file);
}
