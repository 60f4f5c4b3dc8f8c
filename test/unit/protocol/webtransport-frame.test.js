import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeFrame, encodeFrameHeader, FrameDecoder } from "../../../dist/protocol/webtransport-frame.js";
import { readVectors } from "./vectors.js";

const ERROR = { type: "error", data: "parser error" };
const vectors = readVectors("engine-frames");

for (const { rule, packet, hex } of vectors) {
  test(`frames and reads <${hex}> [${rule}, EIO-39]`, () => {
    assert.equal(Buffer.concat(encodeFrame(packet)).toString("hex"), hex);
    assert.deepEqual(new FrameDecoder(100).decode(Buffer.from(hex, "hex")), [packet]);
  });
}

test("writes a header of one, three or nine bytes [EIO-35, EIO-36]", () => {
  const cases = [
    [0, false, "00"],
    [125, false, "7d"],
    [126, false, "7e007e"],
    [65535, true, "feffff"],
    [65536, true, "ff0000000000010000"],
    [2 ** 32 + 5, false, "7f0000000100000005"],
  ];
  for (const [length, isBinary, hex] of cases) assert.equal(encodeFrameHeader(length, isBinary).toString("hex"), hex);
});

test("reads back bodies around every border of the length [EIO-35]", () => {
  for (const length of [1, 125, 126, 127, 65535, 65536, 70000]) {
    const packet = { type: "message", data: Buffer.alloc(length, 7) };
    assert.deepEqual(new FrameDecoder(1e6).decode(Buffer.concat(encodeFrame(packet))), [packet]);
  }
});

test("takes any split of the stream into chunks [EIO-37]", () => {
  const packets = [
    ...vectors.map(({ packet }) => packet),
    { type: "message", data: "x".repeat(300) },
    { type: "message", data: Buffer.alloc(130, 1) },
  ];
  const stream = Buffer.concat(packets.flatMap((packet) => encodeFrame(packet)));
  for (let first = 0; first <= stream.length; first++) {
    const decoder = new FrameDecoder(1000);
    const met = [...decoder.decode(stream.subarray(0, first)), ...decoder.decode(stream.subarray(first))];
    assert.deepEqual(met, packets);
  }
  for (const size of [1, 2, 7]) {
    const decoder = new FrameDecoder(1000);
    const met = [];
    for (let at = 0; at < stream.length; at += size) met.push(...decoder.decode(stream.subarray(at, at + size)));
    assert.deepEqual(met, packets);
  }
});

test("keeps decoded binary as it is while more bytes come [EIO-37]", () => {
  const decoder = new FrameDecoder(1000);
  const [first] = decoder.decode(Buffer.from("8301020383", "hex"));
  decoder.decode(Buffer.from("ffff", "hex"));
  decoder.decode(Buffer.from("ff8105", "hex"));
  assert.deepEqual(first.data, Buffer.from([1, 2, 3]));
});

test("checks the length when it reads the header, and then stops [EIO-38]", () => {
  for (const hex of ["00", "80", "7e0065", "7f0000000000000065", "7f0020000000000000", "7fffffffffffffffff"]) {
    const decoder = new FrameDecoder(100);
    assert.deepEqual(decoder.decode(Buffer.from(`0134${hex}`, "hex")), [{ type: "message" }, ERROR], hex);
    assert.deepEqual(decoder.decode(Buffer.from("0134", "hex")), []);
  }
  assert.deepEqual(new FrameDecoder(Infinity).decode(Buffer.from("7f0020000000000000", "hex")), [ERROR]);
});

test("continues after a body of unknown type [EIO-38]", () => {
  assert.deepEqual(new FrameDecoder(100).decode(Buffer.from("01390134", "hex")), [ERROR, { type: "message" }]);
});

test("holds little more than the bytes of a body that comes one by one [EIO-37]", () => {
  const decoder = new FrameDecoder(2 ** 20);
  decoder.decode(encodeFrameHeader(2 ** 20, true));
  const byte = Buffer.from([1]);
  const before = process.memoryUsage().arrayBuffers;
  for (let sent = 1; sent < 2 ** 20; sent++) decoder.decode(byte);
  globalThis.gc?.();
  assert.ok(process.memoryUsage().arrayBuffers - before < 16 * 2 ** 20);
  assert.equal(decoder.decode(byte)[0].data.length, 2 ** 20);
});

test("gives small binary bodies memory of their own, and keeps little of a large chunk [ROB-140]", () => {
  const decoder = new FrameDecoder(2 ** 20);
  const small = encodeFrame({ type: "message", data: Buffer.from([1, 2, 3]) });
  const large = encodeFrame({ type: "message", data: Buffer.alloc(2 ** 20, 7) });
  const packets = decoder.decode(Buffer.concat([...large, ...small, small[0]]));
  assert.deepEqual(
    packets.map(({ data }) => data.length),
    [2 ** 20, 3],
  );
  assert.ok(packets[1].data.buffer.byteLength < 1000);
  assert.deepEqual(decoder.decode(small[1])[0].data, Buffer.from([1, 2, 3]));
});

test("takes nothing but bytes [ROB-143]", () => {
  for (const chunk of ["0134", 7, null, undefined, { length: 2 }]) {
    const decoder = new FrameDecoder(100);
    assert.deepEqual(decoder.decode(chunk), [ERROR]);
    assert.deepEqual(decoder.decode(Buffer.from("0134", "hex")), []);
  }
});
