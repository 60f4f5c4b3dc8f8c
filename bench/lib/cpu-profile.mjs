// Splits a CPU profile into shares of packages, Node.js and the program.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Native functions that are little more than the system call `write`. */
const WRITES = new Set(["writev", "writeBuffer", "writeLatin1String", "writeUtf8String", "writeAsciiString", "writeUcs2String"]);
const JSON_NAMES = new Set(["parse", "stringify"]);

/** `dispatch` starts and stops the profiler. */
const BY_FUNCTION = {
  dispatch: "idle",
  "(idle)": "idle",
  "(garbage collector)": "garbage collector",
  "(program)": "native: system calls, libuv, V8",
  "(root)": "idle",
};

/** The first match on the path of a script counts; nested packages come first. */
const BY_PATH = [
  [/node_modules\/(ws|uwebsockets)\//, "$1"],
  [/node_modules\/engine\.io-parser\/|node_modules\/socket\.io-parser\//, "parser"],
  [/node_modules\/engine\.io\//, "engine"],
  [/node_modules\/socket\.io(-adapter)?\//, "server"],
  [/node_modules\/([^/]+)\//, "$1"],
  [/\/dist\/engine\//, "engine"],
  [/\/dist\/server\//, "server"],
  [/\/dist\/protocol\//, "parser"],
  [/\/dist\/support\//, "support"],
  [/\/dist\//, "server"],
  [/\/bench\//, "the bench's own program"],
  [/^node:(net|stream|internal\/(streams|stream_base_commons|net|timers))/, "streams, net"],
  [/^node:(_http|http|internal\/http)/, "http"],
  [/^node:events/, "events"],
  [/^node:buffer|^node:internal\/buffer/, "buffers"],
  [/^node:/, "Node.js, other"],
];

/**
 * @param profile  the result of the inspector's profiler
 * @returns shares of the time that was not idle, `{ name, share }`, largest first; the functions with the most own time; the idle share of the whole time
 */
export function splitProfile({ nodes, samples, timeDeltas }) {
  const byId = new Map(nodes.map((node) => [node.id, { ...node, callFrame: unbundled(node.callFrame) }]));
  const own = new Map();
  for (const [index, id] of samples.entries()) own.set(id, (own.get(id) ?? 0) + timeDeltas[index]);
  const categories = new Map();
  const functions = new Map();
  const seen = new Map();
  const visit = (node, parentCategory) => {
    const category = categoryOf(node.callFrame, parentCategory);
    seen.set(node.id, category);
    for (const id of node.children ?? []) visit(byId.get(id), category);
  };
  visit(byId.get(nodes[0].id), "idle");
  for (const [id, time] of own) {
    const { callFrame } = byId.get(id);
    const category = seen.get(id);
    categories.set(category, (categories.get(category) ?? 0) + time);
    if (category === "idle") continue;
    const name = `${callFrame.functionName || "(anonymous)"} ${callFrame.url.split("/").slice(-2).join("/")}${callFrame.url ? `:${callFrame.lineNumber + 1}` : ""}`;
    functions.set(name, (functions.get(name) ?? 0) + time);
  }
  const total = [...categories.values()].reduce((sum, time) => sum + time, 0);
  const idle = categories.get("idle") ?? 0;
  categories.delete("idle");
  const shares = (map) => [...map].map(([name, time]) => ({ name, share: time / (total - idle) })).sort((a, b) => b.share - a.share);
  return { categories: shares(categories), functions: shares(functions), idle: idle / total };
}

const BUNDLE = /\/dist\/roomcast\.js$/;
let bundledModules = null;

/** Converts a position in the bundle to the position in its module. */
function unbundled(callFrame) {
  const { url, lineNumber } = callFrame;
  if (!BUNDLE.test(url)) return callFrame;
  bundledModules ??= modulesOf(readFileSync(url.startsWith("file:") ? fileURLToPath(url) : url, "utf8"));
  const module = bundledModules.findLast(({ start }) => start <= lineNumber);
  if (module === undefined) return callFrame;
  return { ...callFrame, url: url.replace(BUNDLE, `/dist/${module.file}`), lineNumber: lineNumber - module.start };
}

function modulesOf(bundle) {
  return bundle.split("\n").flatMap((line, index) => {
    const file = /^"([^"]+\.js)"\(module, exports\) \{$/.exec(line)?.[1];
    return file === undefined ? [] : [{ file, start: index + 1 }];
  });
}

function categoryOf({ functionName, url }, parent) {
  if (Object.hasOwn(BY_FUNCTION, functionName)) return BY_FUNCTION[functionName];
  if (url === "") {
    if (WRITES.has(functionName)) return "kernel write";
    if (JSON_NAMES.has(functionName)) return "JSON";
    return parent === "idle" ? "Node.js, other" : parent;
  }
  for (const [pattern, name] of BY_PATH) {
    const match = pattern.exec(url);
    if (match !== null) return name === "$1" ? match[1] : name;
  }
  return "Node.js, other";
}
