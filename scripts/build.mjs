/**
 * `npm run build`: compiles src/ to dist/ (declarations, the bundle, the ES entries) and copies the client's distribution files to client-dist/.
 * Files of an earlier build without a source are removed; the others are overwritten in place, so that a running program or a parallel
 * build never meets an empty dist/.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { dist, root } from "./doors.mjs";

const require = createRequire(import.meta.url);
const tsc = require.resolve("typescript/bin/tsc");

const declared = join(root, ".cache", `declarations-${process.pid}`);

removeOrphans();
run([tsc, "-p", join(root, "tsconfig.build.json"), "--outDir", declared]);
run([join(root, "scripts/bundle.mjs"), declared]);
rmSync(declared, { recursive: true, force: true });
copyClient();
run([join(root, "scripts/write-esm.mjs")]);

function removeOrphans() {
  if (!existsSync(dist)) return;
  for (const entry of readdirSync(dist, { recursive: true })) {
    const source = entry.replace(/\.(d\.ts|js)$/, ".ts");
    if (source === entry || entry === "roomcast.js" || existsSync(join(root, "src", source))) continue;
    rmSync(join(dist, entry), { force: true });
  }
}

/** Copies the browser bundles of socket.io-client unchanged, with its licence and a package.json that names its version. */
function copyClient() {
  const source = dirname(require.resolve("socket.io-client/package.json"));
  const target = join(root, "client-dist");
  const { name, version, license } = JSON.parse(readFileSync(join(source, "package.json"), "utf8"));
  mkdirSync(target, { recursive: true });
  replace(join(target, "package.json"), (half) => writeFileSync(half, `${JSON.stringify({ name, version, license }, null, 2)}\n`));
  replace(join(target, "LICENSE"), (half) => copyFileSync(join(source, "LICENSE"), half));
  for (const file of readdirSync(join(source, "dist"))) {
    replace(join(target, file), (half) => copyFileSync(join(source, "dist", file), half));
  }
}

/** Replaces a file by a rename, so that a running server never reads a part of it. */
function replace(path, write) {
  const half = `${path}.${process.pid}`;
  write(half);
  renameSync(half, path);
}

function run(args) {
  const { status } = spawnSync(process.execPath, args, { stdio: "inherit", cwd: root });
  if (status !== 0) process.exitCode = 1;
}
