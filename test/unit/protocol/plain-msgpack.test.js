/** MessagePack as the official adapters write it between nodes. The bytes are those of notepack.io 3 and @msgpack/msgpack 2. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodePlainMsgpack, encodePlainMsgpack } from "../../../dist/protocol/plain-msgpack.js";

const hex = (value) => encodePlainMsgpack(value).toString("hex");

test("writes dates as timestamps of four, eight and twelve bytes, and reads them [ENC-2, ENC-4]", () => {
  for (const [timeMs, bytes] of [
    [0, "d6ff00000000"],
    [1_700_000_000_000, "d6ff6553f100"],
    [1_700_000_000_123, "d7ff1d5353006553f100"],
    [2 ** 32 * 1000, "d7ff0000000100000000"],
    [-1, "c70cff3b8b87c0ffffffffffffffff"],
    [2 ** 34 * 1000, "c70cff000000000000000400000000"],
  ]) {
    assert.equal(hex(new Date(timeMs)), bytes);
    assert.equal(decodePlainMsgpack(Buffer.from(bytes, "hex")).getTime(), timeMs);
  }
  assert.equal(hex(new Date(Number.NaN)), "c0");
});

test("writes every binary value as bytes, and reads Buffers [ENC-2, ENC-3]", () => {
  const bytes = Uint8Array.from([1, 2, 3]);
  for (const binary of [Buffer.from(bytes), bytes, bytes.buffer, new DataView(bytes.buffer)]) assert.equal(hex(binary), "c403010203");
  const read = decodePlainMsgpack(Buffer.from("c403010203", "hex"));
  assert.ok(Buffer.isBuffer(read));
  assert.deepEqual([...read], [1, 2, 3]);
});

test("writes undefined as nil, leaves out such members and functions, and calls toJSON [ENC-2]", () => {
  assert.equal(hex([undefined]), "91c0");
  assert.equal(hex({ a: undefined, b: () => {}, c: 1 }), "81a16301");
  assert.equal(hex({ toJSON: () => "x" }), "a178");
  for (const value of [1n, Symbol("x"), [() => {}]]) assert.throws(() => encodePlainMsgpack(value), TypeError);
  const cyclic = {};
  cyclic.self = cyclic;
  assert.throws(() => encodePlainMsgpack(cyclic), RangeError);
});

test("refuses what is no single value, or is nested too deep [ENC-2]", () => {
  for (const bytes of ["", "c1", "a2", "0101", "dfffffffff", "81c001"])
    assert.throws(() => decodePlainMsgpack(Buffer.from(bytes, "hex")), { code: "RC_ERR_PAYLOAD" }, bytes);
  assert.throws(() => decodePlainMsgpack(Buffer.alloc(1001, 0x91)), { code: "RC_ERR_PAYLOAD" });
  assert.deepEqual(decodePlainMsgpack(Buffer.from("d40501", "hex")), [5, Buffer.from([1])]);
});
