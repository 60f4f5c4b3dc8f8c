import assert from "node:assert/strict";
import { test } from "node:test";
import { readVectors } from "./vectors.js";

/** Rules that vectors prove, one by one, in the tests named after the sources. */
const rulesByVectors = {
  "engine-packets": ["EIO-10", "EIO-11", "EIO-12", "EIO-13", "EIO-21", "EIO-22", "EIO-23", "EIO-92", "EIO-93", "EIO-94"],
  "engine-payloads": ["EIO-30", "EIO-31", "EIO-32", "EIO-33", "EIO-95", "EIO-96", "EIO-97", "EIO-98", "EIO-100", "EIO-101", "EIO-102"],
  "engine-frames": ["EIO-36"],
  packets: ["SIO-10", "SIO-12", "SIO-17", "SIO-22", "SIO-23", "SIO-24", "SIO-25", "SIO-26", "SIO-27", "SIO-28", "SIO-29", "SIO-40"],
  msgpack: ["SIO-42"],
};

for (const [name, rules] of Object.entries(rulesByVectors)) {
  test(`the vectors of ${name} prove ${rules.join(", ")}`, () => {
    const met = new Set(
      Object.values(readVectors(name))
        .flat()
        .map(({ rule }) => rule),
    );
    assert.deepEqual([...met].sort(), [...rules].sort());
  });
}
