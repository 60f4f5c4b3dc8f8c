import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { manifest, pack, packageRoot, run, toolPath } from "./support/project.js";

async function packedFiles() {
  const { stdout } = await run("tar", ["-tzf", await pack()]);
  return stdout
    .trim()
    .split("\n")
    .map((path) => path.replace(/^package\//, "./"));
}

test("holds the compiled package and its papers, nothing else", async () => {
  const files = await packedFiles();
  const papers = ["./package.json", "./README.md", "./LICENSE", "./CHANGELOG.md", "./SECURITY.md"];
  assert.deepEqual(
    papers.filter((path) => !files.includes(path)),
    [],
  );
  assert.deepEqual(
    files.filter(
      (path) =>
        !papers.includes(path) &&
        !/^\.\/(bin\/roomcast\.js|dist\/.+\.(js|js\.map|mjs|d\.ts|d\.mts)|docs\/(guides\/)?[A-Za-z0-9-]+\.md|client-dist\/.+)$/.test(path),
    ),
    [],
  );
});

test("holds the client's files with their licence, where tutorials and copy scripts look [ROB-580]", async () => {
  const files = await packedFiles();
  const bundles = ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"];
  assert.deepEqual(
    files.filter((path) => path.startsWith("./client-dist/")).sort(),
    ["LICENSE", "package.json", ...bundles, ...bundles.map((name) => `${name}.map`)].map((name) => `./client-dist/${name}`).sort(),
  );
});

test("names its author, and where documents, issues and sources are [ROB-701]", async () => {
  const files = await packedFiles();
  for (const value of [manifest.author, manifest.homepage, manifest.bugs.url, manifest.repository.url])
    assert.equal(typeof value, "string");
  const readme = await readFile(join(packageRoot, "README.md"), "utf8");
  const documents = [...readme.matchAll(/\]\((?:\.\/)?(docs\/[a-z-]+\.md)/g)].map(([, path]) => `./${path}`);
  assert.ok(documents.length > 0);
  assert.deepEqual(
    documents.filter((path) => !files.includes(path)),
    [],
  );
});

test("declares Node's modules by the names that old @types/node and programs have for them [ROB-573]", async () => {
  const { stdout } = await run("tar", ["-xzOf", await pack(), "--wildcards", "package/dist/*.d.ts"]);
  assert.match(stdout, /from "http"/);
  assert.equal(/"node:/.test(stdout), false);
});

test("holds every file that package.json names [MOD-6, MOD-9]", async () => {
  const files = await packedFiles();
  const named = Object.values(manifest.exports).flatMap((target) =>
    typeof target === "string" ? [target] : Object.values(target).flatMap((condition) => Object.values(condition)),
  );
  const byPath = ["./dist/socket.js", "./dist/broadcast-operator.js", "./dist/typed-events.d.ts"];
  assert.deepEqual(
    [manifest.main, manifest.types, ...Object.values(manifest.bin).map((file) => `./${file}`), ...named, ...byPath].filter(
      (path) => !files.includes(path),
    ),
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
