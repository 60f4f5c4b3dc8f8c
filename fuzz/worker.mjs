// One target in a thread of its own: mutates inputs, keeps those that run new code, and reports what goes wrong.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { parentPort, workerData } from "node:worker_threads";
import { Coverage } from "./coverage.mjs";
import { mutate, randomFrom } from "./random.mjs";
import { loadTarget } from "./targets.mjs";

const { name, seconds, seed, shared, corpus } = workerData;
const header = new Int32Array(shared, 0, 2);
const current = new Uint8Array(shared, 8);
const below = randomFrom(seed);
setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc");

/** Inputs between two looks at the coverage: a look takes milliseconds. */
const BATCH = 256;
/** One input may take so long, and so much for each of its bytes; measured three times, since the machine is shared. */
const INPUT_MS = 100;
const BYTE_MS = 0.02;
/** The heap may grow by so much in a run. */
const HEAP_GROWTH_BYTES = 48 * 1024 * 1024;

const target = await loadTarget(name);
const recent = [];
let inputs = 0;
let slowestMs = 0;

for (const event of ["uncaughtException", "unhandledRejection"]) {
  process.on(event, (error) => report(`${event} after these inputs`, recent.at(-1) ?? Buffer.alloc(0), error, recent.slice(-8)));
}

function report(what, input, error, before = []) {
  parentPort.postMessage({
    kind: "finding",
    what,
    input: Buffer.from(input).toString("base64"),
    before: before.map((each) => each.toString("base64")),
    error: error?.stack ?? String(error),
  });
}

/** Runs one input. @returns false when a property doesn't hold */
async function run(input) {
  inputs++;
  current.set(input.subarray(0, current.length));
  header[1] = input.length;
  Atomics.add(header, 0, 1);
  if (recent.push(input) > 16) recent.shift();
  const from = performance.now();
  try {
    const running = target.run(input);
    if (running !== undefined) await running;
  } catch (error) {
    report("a property does not hold", input, error);
    return false;
  }
  const ms = performance.now() - from;
  slowestMs = Math.max(slowestMs, ms);
  return target.isTimed === false || ms < INPUT_MS + BYTE_MS * input.length || isFastAgain(input);
}

/** By processor time: another program may have had the processor meanwhile. */
function isFastAgain(input) {
  const times = [1, 2, 3].map(() => {
    const from = process.cpuUsage();
    try {
      target.run(input);
    } catch {
      // reported where it was met first
    }
    const { user, system } = process.cpuUsage(from);
    return (user + system) / 1000;
  });
  const best = Math.min(...times);
  if (best < INPUT_MS + BYTE_MS * input.length) return true;
  report("takes too long", input, new Error(`${best.toFixed(0)} ms of processor time for ${input.length} bytes`));
  return false;
}

const kept = [];
const added = [];
const coverage = new Coverage();
for (const input of [...target.seeds, ...corpus].map((each) => Buffer.from(each, "latin1"))) {
  await run(input);
  kept.push(input);
}
coverage.add(coverage.look());
const atStart = coverage.size;
gc();
const heapAtStart = process.memoryUsage().heapUsed;

const until = performance.now() + seconds * 1000;
while (performance.now() < until) {
  const batch = [];
  for (let i = 0; i < (target.batch ?? BATCH) && performance.now() < until; i++) {
    const input = mutate(below, kept[below(kept.length)], kept[below(kept.length)], target.dictionary);
    if (await run(input)) batch.push(input);
  }
  const fresh = coverage.look();
  if (fresh.length > 0) await keepInteresting(batch);
  coverage.add(fresh); // also what a second run of the same inputs didn't show
}

/** New code was run by inputs of the batch: runs each again to find them. */
async function keepInteresting(batch) {
  for (const input of batch) {
    await run(input);
    const fresh = coverage.look();
    if (fresh.length === 0) continue;
    coverage.add(fresh);
    kept.push(input);
    added.push(input.toString("latin1"));
  }
}

await target.end?.();
gc();
let growth = process.memoryUsage().heapUsed - heapAtStart;
for (let i = 0; i < 20 && growth > HEAP_GROWTH_BYTES; i++) {
  await new Promise((resolve) => setTimeout(resolve, 250)); // TLS and HTTP/2 let go of their objects in later turns
  gc();
  growth = process.memoryUsage().heapUsed - heapAtStart;
}
if (process.env.FUZZ_VERBOSE) console.log(`heap: ${(growth / 1024 / 1024).toFixed(1)} MiB more`);
if (growth > HEAP_GROWTH_BYTES) report("the heap has grown", Buffer.alloc(0), new Error(`by ${(growth / 1024 / 1024).toFixed(0)} MiB`));
parentPort.postMessage({ kind: "end", inputs, atStart, blocks: coverage.size, added, slowestMs });
