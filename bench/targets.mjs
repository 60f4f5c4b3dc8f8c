// Compares what was written to bench/results with what has to be reached: `npm run bench:targets`. Exits with 1 when something is missed.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { RESULTS } from "./lib/report.mjs";
import { checkGrowth, checkTargets, describeTargets, summariseTargets } from "./lib/targets.mjs";

for (const file of readdirSync(RESULTS).filter((name) => name.endsWith(".json"))) {
  const { machine, rows, panels } = JSON.parse(readFileSync(join(RESULTS, file), "utf8"));
  const tables = rows === undefined ? checkGrowth(panels) : checkTargets(rows);
  const [summary, ...missed] = summariseTargets(tables);
  console.log(
    [`## Node.js ${machine.version}${rows === undefined ? ", growth" : ""}`, "", ...describeTargets(tables), summary, ...missed, ""].join(
      "\n",
    ),
  );
  if (missed.length > 0) process.exitCode = 1;
}
