import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { manifest, pack, run, toolPath } from "./support/project.js";

async function packedFiles() {
  const { stdout } = await run("tar", ["-tzf", await pack()]);
  return stdout
    .trim()
    .split("\n")
    .map((path) => path.replace(/^package\//, "./"));
}

test("holds the compiled package and its papers, nothing else", async () => {
  const files = await packedFiles();
  const papers = ["./package.json", "./README.md", "./LICENSE", "./CHANGELOG.md"];
  assert.deepEqual(
    papers.filter((path) => !files.includes(path)),
    [],
  );
  assert.deepEqual(
    files.filter((path) => !papers.includes(path) && !/^\.\/dist\/.+\.(js|mjs|d\.ts|d\.mts)$/.test(path)),
    [],
  );
});

test("holds every file that package.json names [MOD-6, MOD-9]", async () => {
  const files = await packedFiles();
  const named = Object.values(manifest.exports).flatMap((target) =>
    typeof target === "string" ? [target] : Object.values(target).flatMap((condition) => Object.values(condition)),
  );
  const byPath = ["./dist/socket.js", "./dist/broadcast-operator.js", "./dist/typed-events.d.ts"];
  assert.deepEqual(
    [manifest.main, manifest.types, ...named, ...byPath].filter((path) => !files.includes(path)),
    [],
  );
});

test("offers every subpath to the old module resolution too", () => {
  const subpaths = Object.keys(manifest.exports).filter((subpath) => subpath !== "." && subpath !== "./package.json");
  const legacy = Object.entries(manifest.typesVersions["*"]).map(([name, [types]]) => [`./${name}`, types]);
  assert.deepEqual(
    legacy,
    subpaths.map((subpath) => [subpath, manifest.exports[subpath].require.types]),
  );
});

test("gives publint nothing to report", async () => {
  const content = await readFile(await pack());
  const tarball = content.buffer.slice(content.byteOffset, content.byteOffset + content.byteLength);
  const { messages, pkg } = await publint({ pack: { tarball }, strict: true });
  assert.deepEqual(
    messages.map((message) => formatMessage(message, pkg)),
    [],
  );
});

test("resolves with the right types in every mode that arethetypeswrong knows", async () => {
  const attw = toolPath("@arethetypeswrong/cli", "dist/index.js");
  const { stdout } = await run(process.execPath, [attw, await pack(), "--format", "json"], { allowFailure: true });
  const { analysis } = JSON.parse(stdout);
  assert.equal(analysis.packageName, "roomcast");
  assert.deepEqual(analysis.problems, []);
  assert.ok(Object.keys(analysis.entrypoints).length >= Object.keys(manifest.exports).length);
});
