/**
 * `npm run spec`: lists the rules of docs/spec that a test cites, and those that no test cites, per document.
 * A citation is a rule id in a test file outside comments (test/public-api/types: anywhere): `EIO-72`, `[EIO-72, ENG-162]`, `EIO-10..16`.
 * docs/spec/later.json names rules that will be tested later, with a reason each: `{ "STR-4": "…", "PG-1..14": "…", "IPC-*": "…" }`.
 * `--strict` exits 1 when an uncited rule is not among them.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./doors.mjs";

const strict = process.argv.includes("--strict");
const specRoot = join(root, "docs/spec");
const definition = /^(?:\|\s*|[-*]\s+)?(?:\*\*)?([A-Z]{2,5}-\d+[a-z]?)(?:\*\*|\s*\|)/;
const mention = /\b([A-Z]{2,5})-(\d+[a-z]?)(?:(?:\.\.|–)(?:\1-)?(\d+))?/g;

const rulesByDocument = readRules();
const known = new Set([...rulesByDocument.values()].flat());
const { cited, unknown } = readCitations();
const later = readLater();
report();

function readRules() {
  const documents = readdirSync(specRoot)
    .filter((name) => name.endsWith(".md"))
    .sort();
  return new Map(documents.map((name) => [name, rulesOf(readFileSync(join(specRoot, name), "utf8"))]));
}

function rulesOf(text) {
  const ids = text.split("\n").map((line) => definition.exec(line)?.[1]);
  return [...new Set(ids.filter((id) => id !== undefined))];
}

/** The known rules that a citation names: one id, or all ids in a range. */
function expand(prefix, first, last) {
  if (last === undefined) return [`${prefix}-${first}`];
  const from = Number.parseInt(first, 10);
  return [...known].filter((id) => {
    const [idPrefix, number] = id.split("-");
    return idPrefix === prefix && Number.parseInt(number, 10) >= from && Number.parseInt(number, 10) <= Number(last);
  });
}

function readCitations() {
  const prefixes = new Set([...known].map((id) => id.split("-")[0]));
  const result = { cited: new Map(), unknown: [] };
  for (const file of readdirSync(join(root, "test"), { recursive: true })) {
    if (/node_modules|artifacts/.test(file) || !/\.(js|mjs|cjs|ts|mts|cts)$/.test(file)) continue;
    for (const line of readFileSync(join(root, "test", file), "utf8").split("\n")) {
      if (!/^public-api[\\/]types[\\/]/.test(file) && /^\s*(\/\/|\/?\*)/.test(line)) continue;
      for (const [, prefix, first, last] of line.matchAll(mention)) {
        if (!prefixes.has(prefix)) continue;
        for (const id of expand(prefix, first, last)) {
          if (known.has(id)) result.cited.set(id, (result.cited.get(id) ?? 0) + 1);
          else result.unknown.push(`${id} in test/${file}`);
        }
      }
    }
  }
  return result;
}

function readLater() {
  const file = join(specRoot, "later.json");
  const entries = existsSync(file) ? Object.entries(JSON.parse(readFileSync(file, "utf8"))) : [];
  const reasons = new Map();
  for (const [key, reason] of entries) {
    for (const id of expandKey(key)) {
      if (!known.has(id)) unknown.push(`${id} in docs/spec/later.json`);
      reasons.set(id, reason);
    }
  }
  return reasons;
}

function expandKey(key) {
  if (key.endsWith("-*")) return [...known].filter((id) => id.startsWith(key.slice(0, -1)));
  const [, prefix, first, last] = [...key.matchAll(mention)][0] ?? [];
  return prefix === undefined ? [key] : expand(prefix, first, last);
}

function report() {
  const sum = { rules: 0, cited: 0, later: 0 };
  const missing = [];
  for (const [document, rules] of rulesByDocument) {
    const uncited = rules.filter((id) => !cited.has(id));
    const postponed = uncited.filter((id) => later.has(id));
    const open = uncited.filter((id) => !later.has(id));
    sum.rules += rules.length;
    sum.cited += rules.length - uncited.length;
    sum.later += postponed.length;
    missing.push(...open);
    console.log(
      `${document}: ${rules.length - uncited.length} of ${rules.length} rules cited${postponed.length > 0 ? `, ${postponed.length} later` : ""}`,
    );
    if (open.length > 0) console.log(wrap(`not cited: ${open.join(" ")}`));
    for (const [reason, ids] of groupByReason(postponed)) console.log(wrap(`later (${reason}): ${ids.join(" ")}`));
  }
  console.log(`all: ${sum.cited} of ${sum.rules} rules cited, ${sum.later} later, ${missing.length} open`);
  if (unknown.length > 0) console.log(`cited but not in docs/spec:\n  ${[...new Set(unknown)].join("\n  ")}`);
  if (strict && (missing.length > 0 || unknown.length > 0)) process.exitCode = 1;
}

function groupByReason(ids) {
  const groups = new Map();
  for (const id of ids) groups.set(later.get(id), [...(groups.get(later.get(id)) ?? []), id]);
  return groups;
}

function wrap(text) {
  return text.replace(/(.{1,132})(?:\s|$)/g, "  $1\n").trimEnd();
}
