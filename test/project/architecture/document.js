/** ARCHITECTURE.md as its tests read it: the files that it names, its walks, and its interfaces. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./sources.js";

const text = readFileSync(join(root, "ARCHITECTURE.md"), "utf8");

/** Every file and folder in backticks. */
export const named = [...new Set([...text.matchAll(/`([\w.*/-]+(?:\.(?:ts|md|mjs|js)|\/))`/g)].map(([, path]) => path))];

/** Name → steps, from the numbered lists under `## The walks of a message`: `{ file, uses }`, the first file of a step and the others. */
export const walks = Object.fromEntries(
  [...section("The walks of a message").matchAll(/^### (.*)\n([^]*?)(?=^### |(?![^]))/gm)].map(([, name, list]) => [
    name,
    list
      .split(/^\d+\. /m)
      .slice(1)
      .map((step) => sourcesIn(step.split("\n\n")[0]))
      .map(([file, ...uses]) => ({ file, uses })),
  ]),
);

/** Rows of the table of interfaces: `{ name, declaredIn, others }`. */
export const interfaces = [...section("The interfaces between them").matchAll(/^\| `(\w+)` \|(.*)\|(.*)\|$/gm)].map(
  ([, name, declaredIn, others]) => ({ name, declaredIn: sourcesIn(declaredIn)[0], others: sourcesIn(others) }),
);

function section(title) {
  const start = text.indexOf(`## ${title}\n`);
  if (start < 0) throw new Error(`ARCHITECTURE.md has no section "${title}"`);
  const end = text.indexOf("\n## ", start);
  return text.slice(start, end < 0 ? undefined : end);
}

function sourcesIn(markdown) {
  return [...markdown.matchAll(/`([\w./-]+\.ts)`/g)].map(([, path]) => path);
}
