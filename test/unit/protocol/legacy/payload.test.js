import assert from "node:assert/strict";
import { test } from "node:test";
import { decodePayloadV3, encodePayloadV3 } from "../../../../dist/protocol/legacy/payload.js";
import { nameOf, readVectors, wireOf } from "../vectors.js";

const vectors = readVectors("engine-payloads");
const ERROR = { type: "error", data: "parser error" };

for (const vector of [...vectors["revision 3, text"], ...vectors["revision 3, binary"]]) {
  const wire = wireOf(vector);
  test(`joins and splits ${nameOf(wire)} of revision 3 [${vector.rule}]`, () => {
    assert.deepEqual(encodePayloadV3(vector.packets, typeof wire !== "string"), wire);
    assert.deepEqual(decodePayloadV3(wire), vector.packets);
  });
}

for (const vector of [...vectors["revision 3, text defects"], ...vectors["revision 3, binary defects"]]) {
  const wire = wireOf(vector);
  test(`ends ${nameOf(wire)} of revision 3 with the error packet [${vector.rule}]`, () => {
    const packets = decodePayloadV3(wire);
    assert.equal(packets.length, vector.before + 1);
    assert.deepEqual(packets.at(-1), ERROR);
    assert.equal(packets.filter(({ type }) => type === "error").length, 1);
  });
}

test("stays with text when no packet is binary [EIO-97]", () => {
  assert.equal(encodePayloadV3([{ type: "message", data: "a" }], true), "2:4a");
});

test("reads a length of zero as nothing [EIO-100]", () => {
  assert.deepEqual(decodePayloadV3("0:2:4a"), [{ type: "message", data: "a" }]);
});

test("refuses more than 310 digits of length [EIO-101]", () => {
  const zeros = (count) => Buffer.concat([Buffer.from([0]), Buffer.alloc(count - 1), Buffer.from([1, 255, 0x34])]);
  assert.deepEqual(decodePayloadV3(zeros(310)), [{ type: "message" }]);
  assert.deepEqual(decodePayloadV3(zeros(311)), [ERROR]);
});

test("replaces lone surrogates in a binary payload [EIO-104]", () => {
  const payload = encodePayloadV3(
    [
      { type: "message", data: "\ud800" },
      { type: "message", data: Buffer.from([1]) },
    ],
    true,
  );
  assert.equal(payload.toString("hex"), "0004ff34efbfbd0102ff0401");
});
