/**
 * Compiles src/ to dist/, bundles what was compiled, and writes the ES entries. Files of an earlier build that no source stands behind are removed;
 * the others are overwritten in place, so that a running program or a parallel build never meets an empty dist/.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { dist, root } from "./doors.mjs";

const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");

const compiled = join(root, ".cache", `compiled-${process.pid}`);

removeOrphans();
run([tsc, "-p", join(root, "tsconfig.build.json"), "--outDir", compiled]);
run([join(root, "scripts/bundle.mjs"), compiled]);
rmSync(compiled, { recursive: true, force: true });
run([join(root, "scripts/write-esm.mjs")]);

function removeOrphans() {
  if (!existsSync(dist)) return;
  for (const entry of readdirSync(dist, { recursive: true })) {
    const source = entry.replace(/\.(d\.ts|js)$/, ".ts");
    if (source === entry || entry === "roomcast.js" || existsSync(join(root, "src", source))) continue;
    rmSync(join(dist, entry), { force: true });
  }
}

function run(args) {
  const { status } = spawnSync(process.execPath, args, { stdio: "inherit", cwd: root });
  if (status !== 0) process.exitCode = 1;
}
