import assert from "node:assert/strict";
import { test } from "node:test";
import { decodePacket, encodePacket } from "../../../dist/protocol/engine-packet.js";
import { nameOf, readVectors, wireOf } from "./vectors.js";

const vectors = readVectors("engine-packets");

for (const vector of vectors["revision 4"]) {
  const wire = wireOf(vector);
  test(`encodes and decodes ${nameOf(wire)} [${vector.rule}]`, () => {
    const { type, data } = vector.packet;
    assert.deepEqual(encodePacket(type, data, typeof wire !== "string"), wire);
    assert.deepEqual(decodePacket(wire), vector.packet);
  });
}

for (const { rule, text } of vectors["malformed text"]) {
  test(`decodes ${nameOf(text)} to the error packet [${rule}]`, () => {
    assert.deepEqual(decodePacket(text), { type: "error", data: "parser error" });
  });
}

test("leaves the payload out of a packet of one character [EIO-12]", () => {
  assert.equal(Object.hasOwn(decodePacket("4"), "data"), false);
});

test("encodes falsy payloads as none and others as their text [EIO-14]", () => {
  for (const data of [undefined, null, "", 0, false, NaN]) assert.equal(encodePacket("message", data, true), "4");
  assert.equal(encodePacket("message", 12, true), "412");
  assert.equal(encodePacket("message", {}, true), "4[object Object]");
});

test("sends of a view only what it views, as a message [EIO-15, EIO-16]", () => {
  const bytes = Uint8Array.of(1, 2, 3, 4);
  const cases = [
    [new Uint16Array([258]), "0201"],
    [bytes.buffer, "01020304"],
    [bytes.subarray(1, 3), "0203"],
    [new DataView(bytes.buffer, 3), "04"],
    [Buffer.from([9]), "09"],
  ];
  for (const [data, hex] of cases) {
    const encoded = encodePacket("message", data, true);
    assert.ok(Buffer.isBuffer(encoded));
    assert.equal(encoded.toString("hex"), hex);
    assert.equal(encodePacket("message", data, false), `b${Buffer.from(hex, "hex").toString("base64")}`);
  }
});

test("takes an ArrayBuffer of another realm for binary [EIO-15]", async () => {
  const { runInNewContext } = await import("node:vm");
  const foreign = runInNewContext("Uint8Array.of(7).buffer");
  assert.equal(foreign instanceof ArrayBuffer, false);
  assert.deepEqual(encodePacket("message", foreign, true), Buffer.from([7]));
});

test("reads base64 leniently [EIO-23]", () => {
  for (const text of ["b", "b!!!"]) assert.deepEqual(decodePacket(text), { type: "message", data: Buffer.alloc(0) });
  assert.deepEqual(decodePacket("bAQ"), { type: "message", data: Buffer.from([1]) });
});
