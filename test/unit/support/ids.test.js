import assert from "node:assert/strict";
import { test } from "node:test";
import idsModule from "../../../dist/support/ids.js";

test("gives ids of 20 characters that never repeat and don't follow from one another [ENG-17, NSP-22]", () => {
  const ids = new Set();
  const perPosition = Array.from({ length: 20 }, () => new Set());
  for (let i = 0; i < 5000; i++) {
    const id = idsModule.generateId();
    assert.match(id, /^[A-Za-z0-9_-]{20}$/);
    ids.add(id);
    for (let at = 0; at < 20; at++) perPosition[at].add(id[at]);
  }
  assert.equal(ids.size, 5000);
  for (const seen of perPosition) assert.equal(seen.size, 64); // every position takes every value
});
