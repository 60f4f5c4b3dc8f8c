/**
 * Puts the built package, as `npm pack` would publish it, into node_modules/socket.io of this family.
 * npm has installed it there already (the alias in package.json), but not since the last build. Run by scripts/test.mjs before the tests.
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const alias = fileURLToPath(new URL("node_modules/socket.io", import.meta.url));
if (!existsSync(join(root, "dist/esm/index.mjs"))) throw new Error("dist/ is missing or incomplete: run `npm run build` first");

const directory = mkdtempSync(join(tmpdir(), "roomcast-ecosystem-"));
try {
  const packed = execFileSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", directory], {
    cwd: root,
    encoding: "utf8",
  });
  execFileSync("tar", ["-xzf", join(directory, packed.trim().split("\n").at(-1)), "-C", directory]);
  rmSync(alias, { recursive: true, force: true });
  cpSync(join(directory, "package"), alias, { recursive: true });
} finally {
  rmSync(directory, { recursive: true, force: true });
}
