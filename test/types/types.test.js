/**
 * What programs may write, and what the compiler must refuse: the files in `cases/` are compiled against the built
 * declarations, as a program would that has this package installed as `socket.io`.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const cases = fileURLToPath(new URL("cases/", import.meta.url));
const compiler = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");

const STRICT = { strict: true, noEmit: true, target: "es2022", lib: ["es2022"], types: ["node"], skipLibCheck: true };

/** Compiles a case in a project of its own; gives the complaints, none if all is well. */
function compile(t, name, { type = "module", ...options } = {}) {
  const project = mkdtempSync(join(tmpdir(), "roomcast-types-"));
  t.after(() => rmSync(project, { recursive: true, force: true }));
  mkdirSync(join(project, "node_modules/@types"), { recursive: true });
  symlinkSync(root, join(project, "node_modules/socket.io"), "dir");
  symlinkSync(join(root, "node_modules/@types/node"), join(project, "node_modules/@types/node"), "dir");
  copyFileSync(join(cases, name), join(project, name));
  writeFileSync(join(project, "package.json"), JSON.stringify({ type }));
  const compilerOptions = { ...STRICT, module: "node16", moduleResolution: "node16", ...options };
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: [name] }));
  return new Promise((resolve) => {
    execFile(process.execPath, [compiler, "-p", project], { cwd: project }, (_error, stdout, stderr) => resolve(stdout + stderr));
  });
}

describe("types", { concurrency: 2 }, () => {
  for (const [name, title] of [
    ["maps.ts", "take event maps in four places, with defaults, and stay assignable [SRV-8, TYP-1, TYP-2, TYP-11, TYP-15, EX-217]"],
    ["listening.ts", "know what may be listened to, and with which arguments [TYP-3, TYP-4, TYP-13, TYP-14, EX-214]"],
    [
      "emitting.ts",
      "know what may be emitted, and what comes back [TYP-5, TYP-6, TYP-7, TYP-8, TYP-9, TYP-10, EX-210, EX-211, EX-212, EX-213, EX-215, EX-216]",
    ],
    ["options.ts", "know the options, and which adapters can be used [TYP-12, TYP-13, TYP-16]"],
  ]) {
    it(title, async (t) => assert.equal(await compile(t, name), ""));
  }

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
