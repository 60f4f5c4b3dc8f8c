/**
 * `npm run fuzz -- --seconds N [--target name] [--seed n] [--write] [--list]`: mutated inputs at everything that reads what a peer sent.
 * Each target runs in a thread of its own, for its part of N seconds (default 60). Inputs that run new code, by V8's coverage, are mutated
 * further; `--write` adds them to `fuzz/corpus/`. `--target` takes a name or the beginning of names, and may be repeated.
 * A finding is an exception that is none of the promised ones, an input that takes too long, memory that stays, a difference to the peer.
 * Prints each finding with its input in base64, one line per target, and exits 1 if there was a finding.
 * `--input <base64> --target name` runs one input.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { targetNames } from "./targets.mjs";

const { values: options } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    target: { type: "string", multiple: true, default: [] },
    seed: { type: "string" },
    input: { type: "string" },
    write: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
  },
});
/** An input that takes longer than this has hung: longer than the waits of any target. */
const HUNG_MS = 90_000;
const HEAP_MIB = 512;
const INPUT_BYTES = 128 * 1024;
/** The corpus of a target is kept small: the smallest inputs, up to so many and so long. */
const CORPUS_MAX = 250;
const CORPUS_INPUT_BYTES = 300;
const FINDINGS_MAX = 20;

const SHOWN_MAX = 2000;
const chosen = targetNames.filter((name) => options.target.length === 0 || options.target.some((given) => name.startsWith(given)));
if (chosen.length === 0) throw new Error(`--target: expected one of ${targetNames.join(", ")}, met ${options.target.join(", ")}`);
if (options.list) {
  console.log(targetNames.join("\n"));
  process.exit();
}
const seconds = Number(options.seconds) / chosen.length;
const seed = options.seed === undefined ? 1 + Math.floor(Math.random() * 2 ** 30) : Number(options.seed);
let findings = 0;
console.log(`seed ${seed}, ${seconds.toFixed(1)} s for each of ${chosen.length} targets`);
console.log("target                     inputs   per second   blocks of code (new)   slowest   findings");
for (const name of chosen) findings += await fuzz(name);
console.log(`${findings} findings`);
process.exit(findings > 0 ? 1 : 0);

async function fuzz(name) {
  const corpusFile = new URL(`corpus/${name}.json`, import.meta.url);
  const corpus = existsSync(corpusFile) ? JSON.parse(readFileSync(corpusFile, "utf8")) : [];
  const given = options.input === undefined ? null : Buffer.from(options.input, "base64").toString("latin1");
  const outcome = await runThread(name, given === null ? { corpus, seconds } : { corpus: [given], seconds: 0 });
  const { inputs, atStart, blocks, added, slowestMs, found } = outcome;
  if (options.write) mkdirSync(new URL("corpus/", import.meta.url), { recursive: true });
  if (options.write && added.length > 0) writeFileSync(corpusFile, `${JSON.stringify(smallest([...corpus, ...added]), null, 1)}\n`);
  const rate = Math.round(inputs / Math.max(seconds, 0.001));
  console.log(
    `${name.padEnd(24)}${String(inputs).padStart(9)}${String(rate).padStart(13)}${`${blocks} (${blocks - atStart})`.padStart(23)}` +
      `${`${slowestMs.toFixed(0)} ms`.padStart(10)}${String(found).padStart(11)}`,
  );
  return found;
}

function smallest(inputs) {
  const unique = [...new Set(inputs)].filter((input) => input.length <= CORPUS_INPUT_BYTES);
  return unique.sort((a, b) => a.length - b.length || (a < b ? -1 : 1)).slice(0, CORPUS_MAX);
}

/** Runs a target in a thread. Ends it when it hangs or has found enough. */
/** An input for a command line: long ones in a file. */
function argumentOf(input) {
  if (input.length <= SHOWN_MAX) return input || "''";
  const file = join(mkdtempSync(join(tmpdir(), "roomcast-fuzz-")), "input.txt");
  writeFileSync(file, input);
  return `"$(cat ${file})"`;
}

function runThread(name, { corpus, seconds }) {
  const shared = new SharedArrayBuffer(8 + INPUT_BYTES);
  const header = new Int32Array(shared, 0, 2);
  const outcome = { inputs: 0, atStart: 0, blocks: 0, added: [], slowestMs: 0, found: 0 };
  const worker = new Worker(new URL("worker.mjs", import.meta.url), {
    workerData: { name, seconds, seed, shared, corpus },
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB },
    stderr: false,
  });
  const shown = new Set();
  const currentInput = () => Buffer.from(new Uint8Array(shared, 8, Math.min(header[1], INPUT_BYTES))).toString("base64");
  const find = (what, error, input = currentInput(), before = []) => {
    outcome.found++;
    if (outcome.found >= FINDINGS_MAX) void worker.terminate();
    const place = /\n\s+at .*/.exec(error)?.[0] ?? error; // one of those that fail at the same place
    if (shown.has(place)) return;
    shown.add(place);
    console.log(`\nFINDING in ${name}: ${what}\n${error}`);
    for (const each of before) console.log(`before it: ${each}`);
    console.log(`again: npm run fuzz -- --target ${name} --input ${argumentOf(input)}\n`);
  };
  return new Promise((resolve) => {
    let last = -1;
    const watch = setInterval(() => {
      const started = Atomics.load(header, 0);
      if (started === last && started > 0) {
        find("an input hangs", `no progress in ${HUNG_MS} ms`);
        void worker.terminate();
      }
      last = started;
    }, HUNG_MS);
    worker.on("message", (message) => {
      if (message.kind === "finding") find(message.what, message.error, message.input, message.before);
      else Object.assign(outcome, { ...message, found: outcome.found });
    });
    worker.on("error", (error) => find("the thread has ended", error?.stack ?? String(error)));
    worker.on("exit", () => {
      clearInterval(watch);
      outcome.inputs ||= Atomics.load(header, 0);
      resolve(outcome);
    });
  });
}
