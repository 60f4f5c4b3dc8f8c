import assert from "node:assert/strict";
import { test } from "node:test";
import { ProtocolError } from "../../../dist/errors.js";
import { Decoder, Encoder } from "../../../dist/public/msgpack.js";
import { readVectors } from "./vectors.js";

const encoder = new Encoder();

function decodeOne(bytes, options) {
  const decoder = new Decoder(options);
  const packets = [];
  decoder.on("decoded", (packet) => packets.push(packet));
  decoder.add(bytes);
  decoder.destroy();
  assert.equal(packets.length, 1);
  return packets[0];
}

/** The bytes of one value: what follows the key `data` and the array header in the packet that carries it. */
function bytesOf(value) {
  const [bytes] = encoder.encode({ type: 3, nsp: "/", data: [value] });
  return bytes.subarray(19).toString("hex");
}

/** A packet with these bytes as its only argument. */
function carrying(hex) {
  return Buffer.concat([Buffer.from("83a47479706503a36e7370a12fa46461746191", "hex"), Buffer.from(hex, "hex")]);
}

for (const { rule, packet, hex } of readVectors("msgpack")) {
  test(`encodes and decodes <${hex}> [${rule}]`, () => {
    assert.deepEqual(
      encoder.encode(packet).map((bytes) => bytes.toString("hex")),
      [hex],
    );
    assert.deepEqual(decodeOne(Buffer.from(hex, "hex")), packet);
  });
}

const values = [
  [0, "00"],
  [127, "7f"],
  [128, "cc80"],
  [255, "ccff"],
  [256, "cd0100"],
  [65535, "cdffff"],
  [65536, "ce00010000"],
  [4294967295, "ceffffffff"],
  [4294967296, "cf0000000100000000"],
  [2 ** 53, "cf0020000000000000"],
  [-1, "ff"],
  [-32, "e0"],
  [-33, "d0df"],
  [-128, "d080"],
  [-129, "d1ff7f"],
  [-32768, "d18000"],
  [-32769, "d2ffff7fff"],
  [-2147483648, "d280000000"],
  [-2147483649, "d3ffffffff7fffffff"],
  [1.5, "cb3ff8000000000000"],
  [1e300, "cb7e37e43c8800759c"],
  [NaN, "cb7ff8000000000000"],
  [Infinity, "cb7ff0000000000000"],
  [true, "c3"],
  [false, "c2"],
  [null, "c0"],
  [undefined, "d40000"],
  ["", "a0"],
  ["é", "a2c3a9"],
  ["a".repeat(31), `bf${"61".repeat(31)}`],
  ["a".repeat(32), `d920${"61".repeat(32)}`],
  ["é".repeat(16), `d920${"c3a9".repeat(16)}`],
  ["a".repeat(256), `da0100${"61".repeat(256)}`],
  ["a".repeat(65536), `db00010000${"61".repeat(65536)}`],
  [[], "90"],
  [Array(16).fill(1), `dc0010${"01".repeat(16)}`],
  [Array(65536).fill(1), `dd00010000${"01".repeat(65536)}`],
  [{}, "80"],
  [{ a: { b: [] } }, "81a16181a16290"],
  [new Date(5), "d7000000000000000005"],
  [new Date(-5), "d700fffffffffffffffb"],
  [new Date(2 ** 45), "d7000000200000000000"],
  [Buffer.from([1]), "c40101"],
  [Buffer.alloc(256), `c50100${"00".repeat(256)}`],
  [Buffer.alloc(65536), `c600010000${"00".repeat(65536)}`],
  [Uint8Array.of(2).buffer, "c7010002"],
  [new ArrayBuffer(8), "c708000000000000000000"],
  [new ArrayBuffer(256), `c8010000${"00".repeat(256)}`],
];
for (const [value, hex] of values) {
  const name = hex.length > 24 ? `${hex.slice(0, 20)}… (${hex.length / 2} bytes)` : hex;
  test(`writes and reads <${name}> [SIO-42]`, () => {
    assert.equal(bytesOf(value), hex);
    assert.deepEqual(decodeOne(carrying(hex)).data, [value]);
  });
}

test("writes views as the bytes that they view, apart from Buffers [SIO-42, EIO-15]", () => {
  assert.equal(bytesOf(new Uint8Array(3).subarray(1, 2)), "c7010000");
  assert.equal(bytesOf(new Uint16Array([258])), "c702000201");
});

test("honours toJSON, leaves functions out and writes members that are undefined [SIO-42]", () => {
  assert.equal(bytesOf({ toJSON: () => ({ toJSON: () => 7 }) }), "07");
  assert.equal(bytesOf({ f() {}, a: 1, u: undefined }), "82a16101a175d40000");
  assert.equal(bytesOf(Object.assign(Object.create({ inherited: 1 }), { own: 1 })), "81a36f776e01");
});

test("throws on what has no form: BigInt, Symbol, Blob, cyclic data [SIO-11, SIO-20, ROB-420]", () => {
  const cyclic = [];
  cyclic.push(cyclic);
  for (const value of [1n, Symbol("x"), new Blob([]), cyclic]) {
    assert.throws(() => bytesOf(value), { name: "TypeError", code: "RC_ERR_ENCODING" });
  }
});

test("leaves the packet as it is, and members of other parties out [SIO-36]", () => {
  const packet = Object.freeze({ type: 2, nsp: "/", data: Object.freeze(["a", 1]), id: undefined, options: { compress: true } });
  assert.deepEqual(encoder.encode(packet), encoder.encode({ type: 2, nsp: "/", data: ["a", 1] }));
});

test("reads other extensions as type and bytes, and text of any bytes [SIO-42]", () => {
  assert.deepEqual(decodeOne(carrying("d40507")).data, [[5, Buffer.from([7])]]);
  assert.deepEqual(decodeOne(carrying("d7ff0000000000000001")).data, [[-1, Buffer.from("0000000000000001", "hex")]]);
  assert.deepEqual(decodeOne(carrying("c7010502")).data, [[5, Buffer.from([2])]]);
  assert.deepEqual(decodeOne(carrying("a2ff41")).data, ["\ufffdA"]);
  assert.deepEqual(decodeOne(carrying("ca3fc00000")).data, [1.5]);
  assert.deepEqual(decodeOne(carrying("810102")).data, [{ 1: 2 }]);
});

test("keeps an own __proto__ key own [SIO-31]", () => {
  const [map] = decodeOne(carrying(`81a9${Buffer.from("__proto__").toString("hex")}81a16101`)).data;
  assert.equal(Object.getPrototypeOf(map), Object.prototype);
  assert.ok(Object.hasOwn(map, "__proto__"));
  assert.equal(map.a, undefined);
});

const packets = [
  [{ type: 9, nsp: "/" }, "invalid packet type"],
  [{ type: 5, nsp: "/", data: ["a"] }, "invalid packet type"],
  [{ type: "2", nsp: "/", data: ["a"] }, "invalid packet type"],
  [{ nsp: "/" }, "invalid packet type"],
  [{ type: 2, nsp: 1, data: ["a"] }, "invalid namespace"],
  [{ type: 2, nsp: "/" }, "invalid payload"],
  [{ type: 2, nsp: "/", data: [] }, "invalid payload"],
  [{ type: 2, nsp: "/", data: [null] }, "invalid payload"],
  [{ type: 2, nsp: "/", data: [{ toString: 1 }] }, "invalid payload"],
  [{ type: 2, nsp: "/", data: ["disconnect"] }, "invalid payload"],
  [{ type: 0, nsp: "/", data: [] }, "invalid payload"],
  [{ type: 0, nsp: "/", data: Buffer.alloc(1) }, "invalid payload"],
  [{ type: 0, nsp: "/", data: null }, "invalid payload"],
  [{ type: 1, nsp: "/", data: 1 }, "invalid payload"],
  [{ type: 3, nsp: "/", data: {} }, "invalid payload"],
  [{ type: 4, nsp: "/", data: 1 }, "invalid payload"],
  [{ type: 2, nsp: "/", data: ["a"], id: 1.5 }, "invalid packet id"],
  [{ type: 2, nsp: "/", data: ["a"], id: -1 }, "invalid packet id"],
  [{ type: 2, nsp: "/", data: ["a"], id: 2 ** 53 }, "invalid packet id"],
  [{ type: 2, nsp: "/", data: ["a"], id: "1" }, "invalid packet id"],
  [[], "invalid packet type"],
  [null, "invalid packet type"],
  [5, "invalid packet type"],
];
for (const [packet, message] of packets) {
  test(`refuses ${JSON.stringify(packet)}: ${message} [SIO-25, SIO-40, EVT-24]`, () => {
    // The packet as a value inside an acknowledgement, without the bytes around it.
    const bytes = Buffer.from(bytesOf(packet), "hex");
    assert.throws(
      () => new Decoder().add(bytes),
      (error) => error instanceof ProtocolError && error.message === message,
    );
  });
}

for (const hex of [
  "",
  "c1",
  "a341",
  "92",
  "83a474",
  "dcffff",
  "ddffffffff",
  "dfffffffff",
  "c6ffffffff",
  "c9ffffffff00",
  "82c001c001",
  "818001",
  "81900191",
  "d7",
  "cb00",
]) {
  test(`refuses <${hex}>, which is not one value [SIO-42]`, () => {
    assert.throws(() => new Decoder().add(Buffer.from(hex, "hex")), { code: "RC_ERR_PAYLOAD" });
  });
}

test("refuses trailing bytes, and messages that are no bytes [SIO-42]", () => {
  assert.throws(() => new Decoder().add(Buffer.concat([carrying("01"), Buffer.from([1])])), { code: "RC_ERR_PAYLOAD" });
  for (const chunk of ["2", undefined, 5, {}]) assert.throws(() => new Decoder().add(chunk), { code: "RC_ERR_PAYLOAD" });
});

test("takes payloads nested to the limit and none deeper [SIO-32]", () => {
  const nested = (depth) => carrying("91".repeat(depth - 2) + "90");
  decodeOne(nested(1000));
  for (const depth of [1002, 490_000]) assert.throws(() => decodeOne(nested(depth)), { code: "RC_ERR_PAYLOAD" });
  decodeOne(nested(20), { maxDepth: 20 });
  assert.throws(() => decodeOne(nested(22), { maxDepth: 20 }), { code: "RC_ERR_PAYLOAD" });
});

test("allocates nothing for what a length only announces [SIO-32]", () => {
  const bomb = carrying(`dd${(500_000).toString(16).padStart(8, "0")}`.repeat(900) + "01".repeat(600_000));
  const before = process.memoryUsage().heapUsed;
  assert.throws(() => new Decoder().add(bomb), { code: "RC_ERR_PAYLOAD" });
  assert.ok(process.memoryUsage().heapUsed - before < 100e6);
});
