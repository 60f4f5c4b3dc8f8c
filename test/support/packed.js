/** The built package as a user gets it, for families whose packages load it from node_modules. */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/**
 * Puts what `npm pack` would publish into each of `folders`, in place of what is there.
 * npm has linked the checkout there, which has other files than the package.
 */
export function placePacked(...folders) {
  if (!existsSync(join(root, "dist/esm/index.mjs"))) throw new Error("dist/ is missing or incomplete: run `npm run build` first");
  const directory = mkdtempSync(join(tmpdir(), "roomcast-packed-"));
  try {
    const packed = execFileSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", directory], {
      cwd: root,
      encoding: "utf8",
    });
    execFileSync("tar", ["-xzf", join(directory, packed.trim().split("\n").at(-1)), "-C", directory]);
    for (const folder of folders) {
      rmSync(folder, { recursive: true, force: true });
      cpSync(join(directory, "package"), folder, { recursive: true });
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
