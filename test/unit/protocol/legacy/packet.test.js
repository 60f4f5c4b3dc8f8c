import assert from "node:assert/strict";
import { test } from "node:test";
import { decodePacketV3, encodeBinaryV3 } from "../../../../dist/protocol/legacy/packet.js";
import { nameOf, readVectors, wireOf } from "../vectors.js";

const vectors = readVectors("engine-packets");

for (const vector of vectors["revision 3"]) {
  const wire = wireOf(vector);
  test(`decodes ${nameOf(wire)} of revision 3 [${vector.rule}]`, () => assert.deepEqual(decodePacketV3(wire), vector.packet));
  if (typeof vector.packet.data === "string") continue;
  test(`encodes ${nameOf(wire)} of revision 3 [${vector.rule}]`, () => {
    assert.deepEqual(encodeBinaryV3(vector.packet.data, typeof wire !== "string"), wire);
  });
}

for (const vector of vectors["malformed in revision 3"]) {
  const wire = wireOf(vector);
  test(`decodes ${nameOf(wire)} of revision 3 to the error packet [${vector.rule}]`, () => {
    assert.deepEqual(decodePacketV3(wire), { type: "error", data: "parser error" });
  });
}
