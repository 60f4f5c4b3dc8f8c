import assert from "node:assert/strict";
import { test } from "node:test";
import * as parser from "../../../dist/public/engine-parser.js";

test("encodes through callbacks that are called at once [EIO-20, EIO-22, EIO-31, ENG-1]", () => {
  const met = [];
  const keep = (encoded) => met.push(encoded);
  parser.encodePacket({ type: "message", data: "a" }, true, keep);
  parser.encodePacket({ type: "message", data: Uint8Array.of(1, 2) }, true, keep);
  parser.encodePacket({ type: "message", data: Uint8Array.of(7, 8) }, false, keep);
  parser.encodePayload([{ type: "message", data: 12 }, { type: "message", data: Uint8Array.of(7, 8) }, { type: "noop" }], keep);
  assert.deepEqual(met, ["4a", Uint8Array.of(1, 2), "bBwg=", "412\x1ebBwg=\x1e6"]);
  assert.equal(parser.protocol, 4);
});

const bytes = Uint8Array.of(9, 1, 2, 9).subarray(1, 3);
const binaries = {
  Buffer: Buffer.from(bytes),
  Uint8Array: bytes,
  ArrayBuffer: Uint8Array.from(bytes).buffer,
  DataView: new DataView(bytes.buffer, 1, 2),
  Uint16Array: new Uint16Array(Uint8Array.from(bytes).buffer),
};

for (const [name, data] of Object.entries(binaries)) {
  test(`hands a ${name} on as it is [ROB-531, ROB-532]`, async () => {
    let encoded;
    parser.encodePacket({ type: "message", data }, true, (given) => (encoded = given));
    assert.equal(encoded, data);
    const { readable, writable } = parser.createPacketEncoderStream();
    void writable.getWriter().write({ type: "message", data });
    const reader = readable.getReader();
    assert.deepEqual((await reader.read()).value, Uint8Array.of(0x82));
    const body = (await reader.read()).value;
    if (data instanceof Uint8Array) assert.equal(body, data);
    assert.equal(body.buffer, data.buffer ?? data);
    assert.deepEqual([...body], [1, 2]);
  });
}

test("decodes binary as Buffer, or as ArrayBuffer when asked to [EIO-16, EIO-21, EIO-23]", () => {
  const bytes = Uint8Array.of(1, 2);
  for (const encoded of ["bAQI=", bytes, bytes.buffer, Buffer.from(bytes)]) {
    assert.deepEqual(parser.decodePacket(encoded), { type: "message", data: Buffer.from(bytes) });
    assert.deepEqual(parser.decodePacket(encoded, "arraybuffer"), { type: "message", data: bytes.buffer });
  }
  assert.deepEqual(parser.decodePayload("4a\x1ebAQI=", "arraybuffer"), [
    { type: "message", data: "a" },
    { type: "message", data: bytes.buffer },
  ]);
});

test("turns packets into header and body, one after the other [EIO-35, EIO-36]", async () => {
  const { readable, writable } = parser.createPacketEncoderStream();
  const writer = writable.getWriter();
  const written = [
    { type: "message", data: "€" },
    { type: "message", data: Uint8Array.of(1) },
  ].map((packet) => writer.write(packet));
  const reader = readable.getReader();
  const parts = [];
  for (let i = 0; i < 4; i++) parts.push(Buffer.from((await reader.read()).value).toString("hex"));
  await Promise.all(written);
  assert.deepEqual(parts, ["04", "34e282ac", "81", "01"]);
});

test("turns the bytes of a stream into packets [EIO-37, EIO-38]", async () => {
  const { readable, writable } = parser.createPacketDecoderStream(100, "arraybuffer");
  const writer = writable.getWriter();
  const reader = readable.getReader();
  const packets = [];
  const written = ["83", "0102", "0301", "34", "00"].map((hex) => writer.write(Buffer.from(hex, "hex")));
  for (let i = 0; i < 3; i++) packets.push((await reader.read()).value);
  await Promise.all(written);
  assert.deepEqual(packets, [
    { type: "message", data: Uint8Array.of(1, 2, 3).buffer },
    { type: "message" },
    { type: "error", data: "parser error" },
  ]);
});
