/** The documents have each limit with its default. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ERROR_CODES } from "../../dist/errors.js";
import { resolveLimits } from "../../dist/engine/limits.js";

const SETTINGS = ["rateBurstMs", "ipv6PrefixBits"];
/** Members of the result that no option is named after, and policies. */
const OTHERS = ["hasRates", "watchedBytes", "overRate", "droppedAck"];
const HEAP_PART = /^a quarter of the heap limit/;

/** The cells of the row of each limit: `{ default, last }`. */
function rowsOf(document, heading) {
  const text = readFileSync(new URL(`../../docs/${document}.md`, import.meta.url), "utf8");
  const [, section] = text.split(`\n### ${heading}\n`);
  assert.ok(section !== undefined, `${document}: no heading ${heading}`);
  const lines = section.split(/^#/m)[0].match(/^\| `\w+` \|.*$/gm);
  const cells = lines.map((line) => line.split("|").map((cell) => cell.trim()));
  return new Map(cells.map(([, name, byDefault, ...more]) => [name.slice(1, -1), { byDefault, last: more.at(-2) }]));
}

function assertDefaults(rows, names) {
  const limits = resolveLimits(undefined, 1e6);
  for (const name of names) {
    const { byDefault } = rows.get(name) ?? {};
    assert.ok(byDefault !== undefined, `no row for ${name}`);
    if (HEAP_PART.test(byDefault)) assert.ok(name.startsWith("total"), name);
    else assert.equal(byDefault === "`false`" ? Infinity : Number.parseInt(byDefault, 10), limits[name], name);
  }
}

const all = Object.keys(resolveLimits()).filter((name) => !OTHERS.includes(name));

test("docs/options.md has a row with the default of each limit [ROB-816]", () => {
  assertDefaults(rowsOf("options", "`limits`"), all);
});

test("docs/hardening.md has a row with the default and the counter of each limit, and no other [ROB-816]", () => {
  const rows = rowsOf("hardening", "In the option `limits`");
  const limits = all.filter((name) => !SETTINGS.includes(name));
  assertDefaults(rows, limits);
  assert.deepEqual([...rows.keys()].sort(), limits.sort());
  for (const [name, { last }] of rows) {
    assert.match(last, /`RC_ERR_|`dropped\.|^– \(/, `${name} has no counter`);
    for (const code of last.match(/RC_ERR_\w+/g) ?? []) assert.ok(Object.hasOwn(ERROR_CODES, code), code);
  }
});
