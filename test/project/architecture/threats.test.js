/** Each known attack (THREAT-n) and fault (F-n) has a test against a process of its own: in the family `hostile`, with its number in the title. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "./sources.js";

const directory = join(root, "test/protocol/hostile");
const cited = new Set(
  readdirSync(directory)
    .filter((name) => name.endsWith(".test.js"))
    .map((name) => readFileSync(join(directory, name), "utf8"))
    .filter((text) => /startChild|shareChild|startSignalled|spawn\(/.test(text))
    .flatMap((text) => text.match(/\b(THREAT|F)-\d+\b/g) ?? []),
);

test("each known attack and fault has a test against a process of its own [ROB-795]", () => {
  const attacks = Array.from({ length: 37 }, (_, i) => `THREAT-${i + 1}`);
  const faults = ["F-6", "F-7", "F-8", "F-9", "F-10", "F-11"];
  assert.deepEqual(
    [...attacks, ...faults].filter((id) => !cited.has(id)),
    [],
  );
});
