/**
 * `node scripts/bundle.mjs DIRECTORY`: compiles the modules in src/ into one file, dist/roomcast.js, with a source map, and copies the
 * declarations in DIRECTORY. Each module stays reachable under its own path, as a file that loads it from the bundle.
 * Loading one file instead of a hundred takes two thirds of the time. Bundlers were tried for it: they give classes other names, which
 * users see, or wrap every function to prevent that. Comments, a fifth of the bytes, stay out, and so do the sources in the map:
 * with either the package would be larger than the original. The map names file and line.
 * What most servers never load, the command, the dashboard and the testing kit, stays out of the bundle, module by module: every start would have to
 * read it. The text of a file stands in place of each call `textOfFile("path")`: the page of the dashboard.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, posix } from "node:path";
import ts from "typescript";
import { dist, root } from "./doors.mjs";
import { joinedMap } from "./line-map.mjs";

const require = createRequire(import.meta.url);
const declared = process.argv[2];
const sources = join(root, "src");
const compiled = filesIn(sources).map((file) => file.replace(/\.ts$/, ".js"));
const isApart = (file) => /^((cli|dashboard|testing)\/|public\/(cli|dashboard|testing)\.js$)/.test(file);
const modules = compiled.filter((file) => !isApart(file));
const { config } = ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile);
const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root);
const compilerOptions = { ...options, module: ts.ModuleKind.CommonJS, removeComments: true, sourceMap: true };
/** Files that tools patch by path when the entry loads them. */
const patched = ["broadcast-operator.js", "socket.js"];

for (const [file, text] of declarations()) write(file, text);
writeBundle();
const inside = require(join(dist, "roomcast.js"));
for (const file of modules) write(file, door(file));
for (const file of compiled.filter(isApart)) write(file, apart(file));

/**
 * Writes every module as a function that runs at its first `load`, as with `require`. The parentheses make V8 compile the functions
 * together with the file instead of pre-parsing them first, since most run at once.
 */
function writeBundle() {
  const parts = [];
  const add = (text, source = null, mappings = "") => parts.push({ text, source, mappings });
  add(`"use strict";
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
`);
  for (const file of modules) {
    const { outputText, sourceMapText } = transpile(file);
    const code = outputText.replaceAll(/\brequire\("(\.[^"]*)"\)/g, (_, to) => `load("${resolveInside(file, to)}")`);
    add(`${JSON.stringify(file)}: (function (module, exports) {\n`);
    add(code, `../src/${sourceOf(file)}`, JSON.parse(sourceMapText).mappings);
    add("}),\n");
  }
  add("};\n//# sourceMappingURL=roomcast.js.map\n");
  write("roomcast.js.map", joinedMap("roomcast.js", parts));
  write("roomcast.js", parts.map(({ text }) => text).join(""));
}

function transpile(file) {
  const source = readFileSync(join(sources, sourceOf(file)), "utf8");
  const folder = dirname(join(sources, file));
  const whole = source.replaceAll(/\btextOfFile\("([^"]+)"\)/g, (_, path) => JSON.stringify(readFileSync(join(folder, path), "utf8")));
  const { outputText, sourceMapText } = ts.transpileModule(whole, { compilerOptions });
  return { outputText: outputText.replace(/\/\/# sourceMappingURL=.*\s*$/, ""), sourceMapText };
}

function sourceOf(file) {
  return file.replace(/\.js$/, ".ts");
}

/** The declarations of the public entries, and of all that they import. Others of an earlier build are removed. */
function declarations() {
  const all = filesIn(declared);
  const texts = new Map(all.filter((file) => /^(public\/)?[^/]+$/.test(file)).map((file) => [file, null]));
  for (const file of texts.keys()) {
    const text = withOldSpecifiers(readFileSync(join(declared, file), "utf8"));
    texts.set(file, text);
    for (const [, to] of text.matchAll(/(?:from |import\(|import )"(\.[^"]*)"/g)) {
      const named = `${posix.join(posix.dirname(file), to)}.d.ts`;
      if (!all.includes(named)) throw new Error(`${file} names ${to}, which has no declarations`);
      if (!texts.has(named)) texts.set(named, null); // the outer loop also visits what is added
    }
  }
  for (const file of all) if (!texts.has(file)) rmSync(join(dist, file), { force: true });
  return texts;
}

/**
 * Rewrites specifiers for old compilers, old versions of `@types/node`, and programs that augment modules (ROB-573): `"http"` for
 * `"node:http"`, and `export *` for `export type *`, which is the same in a declaration file that only has types.
 */
function withOldSpecifiers(declarations) {
  return declarations.replaceAll(/(from |import\()"node:/g, '$1"').replaceAll("export type *", "export *");
}

function filesIn(directory) {
  const entries = readdirSync(directory, { recursive: true }).map((file) => file.replaceAll("\\", "/"));
  return entries.filter((file) => file.endsWith(".ts"));
}

function resolve(from, to) {
  const path = posix.join(posix.dirname(from), to);
  const found = [`${path}.js`, `${path}/index.js`, path].find((file) => compiled.includes(file));
  if (found === undefined) throw new Error(`${from} requires ${to}, which was not compiled`);
  return found;
}

/** As `resolve`, for modules of the bundle: what stays out of it cannot be loaded from inside. */
function resolveInside(from, to) {
  const found = resolve(from, to);
  if (isApart(found)) throw new Error(`${from} is in the bundle and requires ${found}, which is not`);
  return found;
}

/** A module that is not in the bundle, and what it loads from there. */
function apart(file) {
  const bundle = posix.relative(posix.dirname(file), "roomcast.js");
  return transpile(file).outputText.replaceAll(/\brequire\("(\.[^"]*)"\)/g, (whole, to) => {
    const found = resolve(file, to);
    return isApart(found) ? whole : `require("${bundle}").load("${found}")`;
  });
}

/** The file at a module's own path. It assigns its exports one by one, for tools that read a module without running it. */
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

/** Replaces a file by a rename, so that a running program or a parallel build never reads a part of it. */
function write(file, text) {
  const path = join(dist, file);
  mkdirSync(dirname(path), { recursive: true });
  const half = `${path}.${process.pid}`;
  writeFileSync(half, text);
  renameSync(half, path);
}
