/**
 * `npm run figures`: how large src/ is, which of its files import each other in circles, and what each walk of a message passes.
 * Of another checkout: `ARCHITECTURE_ROOT=<directory> npm run figures`.
 */
import { circlesOf } from "./circles.js";
import { importGraph, sources } from "./sources.js";
import { measureWalks, turnsUpward } from "./walks.js";

const lines = sources.map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 })).sort((a, b) => b.lines - a.lines);
console.log(`${lines.length} files, ${lines.reduce((sum, each) => sum + each.lines, 0)} lines`);
console.log(`largest: ${lines[0].path}, ${lines[0].lines} lines`);
report("circles when the program runs", circlesOf(importGraph({ types: false })));
report("circles of types too", circlesOf(importGraph({ types: true })));

const ends = [];
const measured = await measureWalks({ after: (end) => ends.unshift(end) });
for (const [name, each] of Object.entries(measured)) {
  console.log(`${name}: ${new Set(each.walk).size} files, ${turnsUpward(each)} turns upward, ${each.entered.size} files entered`);
  console.log(`  ${each.walk.join(" → ")}`);
}
for (const end of ends) await end();

function report(what, circles) {
  console.log(`${what}: ${circles.length}`);
  for (const circle of circles) console.log(`  ${circle.join(", ")}`);
}
