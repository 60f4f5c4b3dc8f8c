import assert from "node:assert/strict";
import { test } from "node:test";
import { createProject, manifest, runJson, subpaths } from "./support/project.js";
import { commonJsProgram, esModuleProgram, expectedResults } from "./support/programs.js";

const expected = { name: "roomcast", version: manifest.version, results: expectedResults };

test("runs an unchanged CommonJS program under the alias socket.io [MOD-6]", async (t) => {
  const directory = await createProject(t, { files: { "server.js": commonJsProgram } });
  assert.deepEqual(await runJson(directory, ["server.js"]), expected);
});

test("runs an unchanged ES module program under the alias socket.io [MOD-3, MOD-6]", async (t) => {
  const directory = await createProject(t, { manifest: { type: "module" }, files: { "server.js": esModuleProgram } });
  assert.deepEqual(await runJson(directory, ["server.js"]), expected);
});

test("gives one instance to import and require, for every subpath", async (t) => {
  const program = `
    import { createRequire } from "node:module";
    const require = createRequire(import.meta.url);
    const differing = [];
    let compared = 0;
    for (const subpath of ${JSON.stringify(subpaths)}) {
      const specifier = "socket.io" + subpath.slice(1);
      const required = require(specifier);
      const imported = await import(specifier);
      const names = new Set([...Object.keys(required), ...Object.keys(imported)]);
      names.delete("default");
      for (const name of names) {
        compared += 1;
        if (required[name] === undefined || required[name] !== imported[name]) differing.push(specifier + " " + name);
      }
    }
    console.log(JSON.stringify({ differing, enough: compared >= 10 }));`;
  const directory = await createProject(t, { files: { "compare.mjs": program } });
  assert.deepEqual(await runJson(directory, ["compare.mjs"]), { differing: [], enough: true });
});

test("satisfies packages that ask for socket.io as a peer", async (t) => {
  const peer = (range) =>
    JSON.stringify({ name: "needs-socket.io", version: "1.0.0", main: "index.js", peerDependencies: { "socket.io": range } });
  const main = 'module.exports = require("socket.io/package.json").name;';
  for (const range of [">=4", "^4.8.3", ">=3 <5"]) {
    const vendored = { "vendor/package.json": peer(range), "vendor/index.js": main };
    const files = { ...vendored, "main.js": 'console.log(JSON.stringify(require("needs-socket.io")));' };
    const directory = await createProject(t, { files, dependencies: { "needs-socket.io": "file:./vendor" } });
    assert.equal(await runJson(directory, ["--preserve-symlinks", "main.js"]), "roomcast", range);
  }
});
