/** Where programs find the declarations: module systems, resolution modes, and the paths of the original package. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { makeProject, STRICT } from "./project.js";

const compiler = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");

/** Compiles a case in a project of its own; gives the complaints, none if all is well. */
function compile(t, name, { type = "module", ...options } = {}) {
  const project = makeProject(t, [name], type);
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions: { ...STRICT, ...options }, files: [name] }));
  return new Promise((resolve) => {
    execFile(process.execPath, [compiler, "-p", project], { cwd: project }, (_error, stdout, stderr) => resolve(stdout + stderr));
  });
}

describe("types", { concurrency: 2 }, () => {
  it("exist under the paths that programs import them from [ROB-571]", async (t) =>
    assert.equal(await compile(t, "deep-imports.ts", { type: "commonjs", module: "commonjs", moduleResolution: "node10" }), ""));

  for (const [title, options] of [
    ["node16 from CommonJS", { type: "commonjs" }],
    ["node16 from an ES module", { type: "module" }],
    ["bundler", { module: "esnext", moduleResolution: "bundler" }],
    ["node10", { type: "commonjs", module: "commonjs", moduleResolution: "node10" }],
    ["node10 with esModuleInterop off", { type: "commonjs", module: "commonjs", moduleResolution: "node10", esModuleInterop: false }],
    ["node16 with the declarations checked themselves", { type: "commonjs", skipLibCheck: false, exactOptionalPropertyTypes: true }],
  ]) {
    it(`resolve, and can be augmented, under ${title} [TYP-17, EX-218]`, async (t) =>
      assert.equal(await compile(t, "entry.ts", options), ""));
  }
});
