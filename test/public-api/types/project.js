/** Scratch projects with one case each, in which this package is installed as `socket.io`. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const cases = fileURLToPath(new URL("cases/", import.meta.url));

/** Compiler options of every project. */
export const STRICT = {
  strict: true,
  noEmit: true,
  target: "es2022",
  lib: ["es2022"],
  types: ["node"],
  skipLibCheck: true,
  module: "node16",
  moduleResolution: "node16",
};

/**
 * Makes a project, gone when the test ends.
 * @param names  files of `cases/`
 * @param type   of its package.json
 * @returns      its directory
 */
export function makeProject(t, names, type = "module") {
  const project = mkdtempSync(join(tmpdir(), "roomcast-types-"));
  t.after(() => rmSync(project, { recursive: true, force: true }));
  mkdirSync(join(project, "node_modules/@types"), { recursive: true });
  symlinkSync(root, join(project, "node_modules/socket.io"), "dir");
  symlinkSync(join(root, "node_modules/@types/node"), join(project, "node_modules/@types/node"), "dir");
  symlinkSync(join(root, "node_modules/socket.io-adapter"), join(project, "node_modules/socket.io-adapter"), "dir");
  for (const name of names) copyFileSync(join(cases, name), join(project, name));
  writeFileSync(join(project, "package.json"), JSON.stringify({ type }));
  return project;
}
