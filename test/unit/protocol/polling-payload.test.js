import assert from "node:assert/strict";
import { test } from "node:test";
import { decodePayload, encodePayload } from "../../../dist/protocol/polling-payload.js";
import { nameOf, readVectors, wireOf } from "./vectors.js";

const vectors = readVectors("engine-payloads");

for (const vector of vectors["revision 4"]) {
  const text = wireOf(vector).toString();
  test(`joins and splits ${nameOf(text)} [${vector.rule}]`, () => {
    assert.equal(encodePayload(vector.packets), text);
    assert.deepEqual(decodePayload(text), vector.packets);
  });
}

for (const { rule, text, packets } of vectors["revision 4, defects"]) {
  test(`splits ${nameOf(text)} as far as it is sound [${rule}]`, () => {
    assert.deepEqual(decodePayload(text), packets);
  });
}
