/**
 * `node scripts/bundle.mjs DIRECTORY`: puts the modules compiled there into one file, dist/roomcast.js; each of them stays reachable under its own path, as a file that opens onto
 * it. A program that loads one file instead of a hundred starts earlier. Bundlers were tried for it: they give classes other names, which
 * users see, or wrap every function to prevent that. Comments, a fifth of the bytes, stay out: what users read stands in the declarations.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, posix } from "node:path";
import ts from "typescript";
import { dist } from "./doors.mjs";

const require = createRequire(import.meta.url);
const compiled = process.argv[2];
const files = readdirSync(compiled, { recursive: true }).map((file) => file.replaceAll("\\", "/"));
const modules = files.filter((file) => file.endsWith(".js"));
/** Files that tools patch by path: they wait for the entry to load them. */
const patched = ["broadcast-operator.js", "socket.js"];

for (const file of files.filter((name) => name.endsWith(".d.ts"))) write(file, readFileSync(join(compiled, file), "utf8"));
write("roomcast.js", bundle());
const inside = require(join(dist, "roomcast.js"));
for (const file of modules) write(file, door(file));

/**
 * Every module as a function that runs at its first `load`, as `require` would run it. Most run at once: in parentheses, V8 compiles them
 * with the file instead of skimming them first.
 */
function bundle() {
  const functions = modules.map((file) => {
    const code = withoutComments(readFileSync(join(compiled, file), "utf8")).replaceAll(
      /\brequire\("(\.[^"]*)"\)/g,
      (_, to) => `load("${resolve(file, to)}")`,
    );
    return `${JSON.stringify(file)}: (function (module, exports) {\n${code}}),\n`;
  });
  return `"use strict";
const loaded = Object.create(null);
function load(file) {
  const known = loaded[file];
  if (known !== undefined) return known.exports;
  const module = (loaded[file] = { exports: {} });
  modules[file](module, module.exports);
  return module.exports;
}
exports.load = load;
const modules = {
${functions.join("")}};
`;
}

function withoutComments(code) {
  return ts.transpile(code, { target: ts.ScriptTarget.ES2022, removeComments: true });
}

function resolve(from, to) {
  const path = posix.join(posix.dirname(from), to);
  const found = [`${path}.js`, `${path}/index.js`, path].find((file) => modules.includes(file));
  if (found === undefined) throw new Error(`${from} requires ${to}, which was not compiled`);
  return found;
}

/** Names one by one, for those who read a module without running it. */
function door(file) {
  const up = posix.relative(posix.dirname(file), "roomcast.js");
  const loading = `require("${up.startsWith(".") ? up : `./${up}`}").load(${JSON.stringify(file)})`;
  const module = inside.load(file);
  if (!module.__esModule)
    return `"use strict";\n${patched.map((each) => `require("./${each}");\n`).join("")}module.exports = ${loading};\n`;
  const names = Object.keys(module);
  const lines = names.map((name) => `exports.${name} = module_.${name};\n`).join("");
  return `"use strict";\nObject.defineProperty(exports, "__esModule", { value: true });\nconst module_ = ${loading};\n${lines}`;
}

/** In place and at once: a running program or a parallel build never meets half a file. */
function write(file, text) {
  const path = join(dist, file);
  mkdirSync(dirname(path), { recursive: true });
  const half = `${path}.${process.pid}`;
  writeFileSync(half, text);
  renameSync(half, path);
}
