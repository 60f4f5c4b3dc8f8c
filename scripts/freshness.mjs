/**
 * Tells whether dist/ is newer than the sources, and builds it.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { root } from "./doors.mjs";

/** The files and directories that a build reads, besides packages. */
const sources = ["src", "scripts", "package.json", "tsconfig.json", "tsconfig.build.json"];
/** The file that a build writes last. */
const last = join(root, "dist/esm/index.mjs");

export function isFresh() {
  if (!existsSync(last) || !existsSync(join(root, "client-dist/socket.io.js"))) return false;
  const builtAt = statSync(last).mtimeMs;
  return sources.every((source) => newestIn(join(root, source)) <= builtAt);
}

function newestIn(path) {
  const own = statSync(path);
  if (!own.isDirectory()) return own.mtimeMs;
  const inside = readdirSync(path, { recursive: true }).map((entry) => statSync(join(path, entry)).mtimeMs);
  return Math.max(own.mtimeMs, ...inside);
}

/** Whether the packages that a build needs are installed. */
export function canBuild() {
  try {
    createRequire(import.meta.url).resolve("typescript/bin/tsc");
    return true;
  } catch {
    return false;
  }
}

/** Installs the packages for the build if they are missing, then builds; prints to stderr. @returns whether it succeeded */
export function build() {
  if (!canBuild()) {
    say("installing the packages that the build needs (npm ci)");
    if (!succeeds("npm", ["ci", "--include=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])) return false;
  }
  say("building, about ten seconds");
  return succeeds(process.execPath, [join(root, "scripts/build.mjs")]);
}

function succeeds(command, args) {
  const env = { ...process.env };
  // Settings of the npm command that runs this script must not apply to the one that it starts.
  for (const name of ["npm_config_dry_run", "npm_config_global", "npm_config_json", "npm_config_pack_destination"]) delete env[name];
  const { status } = spawnSync(command, args, { stdio: ["ignore", 2, 2], cwd: root, env, shell: process.platform === "win32" });
  return status === 0;
}

export function say(text) {
  console.error(`roomcast: ${text}`);
}
