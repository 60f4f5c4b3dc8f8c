/**
 * Sends messages through the sources and tells which files they pass. The sources are compiled, one by one, with a call at the start of
 * each function; where a message ends, the stack trace is its walk. What is put off to a tick, to a turn of the event loop or to an event of
 * a request continues the trace of what put it off.
 */
import { EventEmitter } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { IncomingMessage } from "node:http";
import { createRequire } from "node:module";
import { dirname, join, sep } from "node:path";
import { root, sources, ts } from "./sources.js";

/** Files that run later what others hand them as objects. */
const clockwork = /^(engine\/(turn|flush|read-turn)|engine\/hosts\/uws\/cork|support\/tick)\.ts$/;
const compiled = join(root, ".cache", `traced-${process.pid}`);
const options = { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022, esModuleInterop: true, useDefineForClassFields: false };

/** Where a message is put off: object → the walk that led to it. */
let waiting = new WeakMap();
/** The walk that led to the tick or event that runs. */
let before = [];
/** The walk that led to the object that the clockwork runs, and how deep in the stack its method stands. */
let resumed = null;
/** What is recorded, and what ends it. */
let recording = null;

/**
 * Records one message.
 * @param endsWith  "listener": it ends where `send`'s argument is called; "write": where bytes are handed to a socket
 * @param send      sends it
 * @returns         `{ walk, entered, calls }`: the files from the first to the last; all files that were entered, and the calls from one file to
 *                  another as `[from, to]`, each once, until the turn of the event loop is over
 */
export async function walkOf(endsWith, send) {
  waiting = new WeakMap();
  resumed = null;
  const ended = new Promise((resolve) => {
    recording = { endsWith, walk: null, calls: new Map(), resolve };
  });
  await send(() => end("listener"));
  await ended;
  await new Promise((resolve) => setImmediate(resolve));
  const { walk, calls } = recording;
  recording = null;
  return {
    walk,
    entered: new Set([...calls.values()].map(([, to]) => to)),
    calls: [...calls.values()].filter(([from]) => from !== undefined),
  };
}

function end(place) {
  if (recording?.endsWith !== place || recording.walk !== null) return;
  const walk = currentWalk();
  if (walk.length === 0) return; // not ours: a client in this process
  recording.walk = walk;
  recording.resolve();
}

/** The functions of src/ on the stack, outermost first, behind those that led to this tick. */
function currentWalk() {
  const stack = filesOnStack();
  const isResumed = resumed !== null && stack.length >= resumed.depth && stack[resumed.depth - 1] === resumed.file;
  const files = isResumed ? [...resumed.walk, ...stack.slice(resumed.depth - 1)] : [...before, ...stack];
  return files.filter((file, index) => file !== files[index - 1]);
}

function filesOnStack() {
  const { prepareStackTrace, stackTraceLimit } = Error;
  Error.stackTraceLimit = 200;
  Error.prepareStackTrace = (_error, sites) => sites.map((site) => site.getFileName() ?? "");
  const names = new Error().stack;
  Object.assign(Error, { prepareStackTrace, stackTraceLimit });
  const inside = compiled + sep;
  return names
    .filter((name) => name.startsWith(inside))
    .map((name) => name.slice(inside.length).replaceAll(sep, "/").replace(/js$/, "ts"))
    .reverse();
}

/** Called at the start of every function in src/. */
globalThis.__enter = (file, self, args) => {
  if (recording === null) return;
  const stack = filesOnStack();
  const caller = stack.at(-2);
  if (caller !== file) recording.calls.set(`${caller} ${file}`, [caller, file]);
  if (clockwork.test(file)) {
    const walk = currentWalk();
    for (const value of args) if (typeof value === "object" && value !== null && !waiting.has(value)) waiting.set(value, walk);
  } else if (clockwork.test(caller) && waiting.has(self)) {
    resumed = { walk: [...waiting.get(self)], depth: stack.length, file };
    waiting.delete(self);
  }
};

/** Calls what is put off with the walk that led to it. */
function continued(callback) {
  if (recording === null || typeof callback !== "function") return callback;
  const walk = currentWalk();
  if (walk.length === 0) return callback;
  const resume = function (...args) {
    const previous = before;
    before = walk;
    try {
      return callback.apply(this, args);
    } finally {
      before = previous;
    }
  };
  resume.listener = callback; // so that `off` finds it
  return resume;
}

function patch(target, name, wrap) {
  const original = target[name];
  target[name] = wrap(original);
}

patch(
  process,
  "nextTick",
  (original) =>
    (callback, ...args) =>
      original.call(process, continued(callback), ...args),
);
for (const name of ["on", "once", "addListener"])
  patch(EventEmitter.prototype, name, (original) => {
    return function (event, listener) {
      return original.call(this, event, this instanceof IncomingMessage ? continued(listener) : listener);
    };
  });

/** Ends walks where bytes are handed to a socket, by its stream or below it. */
export function watchWrites(socket) {
  const handle = Object.getPrototypeOf(socket._handle);
  for (let prototype = handle; prototype !== null; prototype = Object.getPrototypeOf(prototype))
    for (const name of Object.getOwnPropertyNames(prototype).filter((each) => /^write(v|Buffer|.*String)$/.test(each)))
      patch(prototype, name, (original) => {
        return function (...args) {
          end("write");
          return original.apply(this, args);
        };
      });
}

/** Compiles the sources and loads them. @returns a `require` for them, such as `"./index.js"` */
export function loadTraced(t) {
  t.after(() => rmSync(compiled, { recursive: true, force: true }));
  for (const source of sources) {
    const { outputText } = ts.transpileModule(enteringEachFunction(source), { compilerOptions: options });
    const file = join(compiled, source.path.replace(/ts$/, "js"));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, outputText);
  }
  return createRequire(join(compiled, "index.js"));
}

/** A source with a call of `__enter(file, this, arguments)` at the start of each function. */
function enteringEachFunction({ path, text }) {
  const insertions = [];
  const file = JSON.stringify(path);
  const visit = (node) => {
    ts.forEachChild(node, visit);
    if (!ts.isFunctionLike(node) || node.body === undefined) return;
    const hasThis = !ts.isArrowFunction(node) && !ts.isConstructorDeclaration(node);
    const call = hasThis ? `__enter(${file}, this, arguments)` : `__enter(${file}, null, [])`;
    const start = node.body.getStart();
    if (ts.isBlock(node.body)) insertions.push([start + 1, `${call};`]);
    else insertions.push([start, `(${call}, `], [node.body.end, ")"]);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true));
  // From the last to the first; of two at one place, the outer one closes last.
  insertions.sort(([a], [b]) => b - a);
  return insertions.reduce((result, [at, inserted]) => result.slice(0, at) + inserted + result.slice(at), text);
}
