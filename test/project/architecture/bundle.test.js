/** scripts/bundle.mjs, on a project of two modules. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

const root = fileURLToPath(new URL("../../..", import.meta.url));

function bundle(t, sources) {
  const folder = mkdtempSync(join(tmpdir(), "roomcast-bundle-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(join(root, "scripts"), join(folder, "scripts"), { recursive: true });
  for (const file of ["package.json", "tsconfig.json"]) cpSync(join(root, file), join(folder, file));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"), "dir");
  mkdirSync(join(folder, "declared"));
  for (const [file, text] of Object.entries(sources)) {
    mkdirSync(dirname(join(folder, "src", file)), { recursive: true });
    writeFileSync(join(folder, "src", file), text);
  }
  const { status, stderr } = spawnSync(process.execPath, [join(folder, "scripts/bundle.mjs"), join(folder, "declared")], {
    encoding: "utf8",
    timeout: 120_000,
  });
  return { status, stderr };
}

test("a build fails when a module of the bundle loads one that is not in it", (t) => {
  const apart = "export const value = 1;";
  assert.deepEqual(bundle(t, { "index.ts": `export { value } from "./support/a";`, "support/a.ts": apart }), { status: 0, stderr: "" });
  for (const folder of ["cli", "dashboard", "testing"]) {
    const { status, stderr } = bundle(t, { "index.ts": `export { value } from "./${folder}/a";`, [`${folder}/a.ts`]: apart });
    assert.equal(status, 1);
    assert.match(stderr, new RegExp(`index\\.js is in the bundle and requires ${folder}/a\\.js, which is not`));
  }
});
