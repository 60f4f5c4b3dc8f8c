/** Random programs run on `socket.io` and on this package at once: listeners, callers and peers must see the same, in the same order. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { adapters, requireFromTarget } from "../../support/packages.js";
import { Server } from "../../support/target.js";
import { hasUws } from "../uws/app.js";
import { createHttp, createUws } from "./hosts.js";
import { programs } from "./program.js";
import { World } from "./world.js";

const require = createRequire(import.meta.url);
const msgpack = require("socket.io-msgpack-parser");
const original = {
  ...require("socket.io"),
  ...require("socket.io-adapter"),
  parsers: { msgpack, "own msgpack": msgpack },
  createHost: createHttp,
};
const ours = { Server, ...adapters, parsers: { msgpack, "own msgpack": requireFromTarget("roomcast/msgpack") } };

/** More and other programs: `TWIN_RUNS=5000 TWIN_SEED=$RANDOM node --test test/peers/twins/twins.test.js`. */
const RUNS = Number(process.env.TWIN_RUNS ?? 150);
const SEEDS = process.env.TWIN_SEED ? [Number(process.env.TWIN_SEED)] : [1, 2, 3];

const hosts = { "Node's HTTP server": createHttp };
if (hasUws()) hosts["uWebSockets.js"] = createUws;

for (const [host, createHost] of Object.entries(hosts)) {
  for (const seed of SEEDS) {
    test(`${RUNS} random programs see what they see on socket.io, here on ${host}, seed ${seed}`, { timeout: 3_600_000 }, async (t) => {
      t.mock.method(console, "warn", () => {}); // of adapters that have nobody for serverSideEmit
      const runOnBoth = (program) => Promise.all([run(original, { ...program, host }), run({ ...ours, createHost }, { ...program, host })]);
      const agree = async (program) => isDeepStrictEqual(...(await runOnBoth(program)));
      const outcome = await fc.check(fc.asyncProperty(programs, agree), { numRuns: RUNS, seed });
      if (outcome.failed) assert.fail(describe(outcome, await runOnBoth(outcome.counterexample[0])));
    });
  }
}

/** Gives what was seen at each step. */
async function run(family, program) {
  const world = await World.start(family, program);
  const transcript = [];
  try {
    for (const command of program.commands) transcript.push(await world.step(command));
  } catch (error) {
    transcript.push(`stopped: ${error.message}`);
  } finally {
    await world.end();
  }
  return transcript;
}

/** The smallest program that was found, and where its transcripts part. */
function describe({ seed, numRuns, counterexample: [program] }, [expected, met]) {
  const { commands, ...settings } = program;
  const lines = [`seed ${seed}, program ${numRuns}`, JSON.stringify(settings)];
  for (const [at, command] of commands.entries()) {
    lines.push(`${at}: ${JSON.stringify(command)}`);
    if (isDeepStrictEqual(met[at], expected[at])) continue;
    lines.push(`   socket.io: ${JSON.stringify(expected[at])}`, `   roomcast:  ${JSON.stringify(met[at])}`);
  }
  return lines.join("\n");
}
