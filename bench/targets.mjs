// `npm run bench:targets`: compares bench/results with the targets. Exits with 1 if a target is missed.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { RESULTS } from "./lib/report.mjs";
import { checkCluster, checkGrowth, checkTargets, describeTargets, summariseTargets } from "./lib/targets.mjs";

for (const file of readdirSync(RESULTS).filter((name) => name.endsWith(".json"))) {
  const { machine, rows, panels, cluster } = JSON.parse(readFileSync(join(RESULTS, file), "utf8"));
  const [kind, tables] = rows
    ? ["", checkTargets(rows)]
    : panels
      ? [", growth", checkGrowth(panels)]
      : [", between servers", checkCluster(cluster)];
  const [summary, ...missed] = summariseTargets(tables);
  console.log([`## Node.js ${machine.version}${kind}`, "", ...describeTargets(tables), summary, ...missed, ""].join("\n"));
  if (missed.length > 0) process.exitCode = 1;
}
