import assert from "node:assert/strict";
import { test } from "node:test";
import { Decoder, Encoder, isPacketValid, PacketType, protocol } from "../../../dist/public/parser.js";

test("names the packet types in both directions [SIO-1, SIO-2]", () => {
  const names = ["CONNECT", "DISCONNECT", "EVENT", "ACK", "CONNECT_ERROR", "BINARY_EVENT", "BINARY_ACK"];
  names.forEach((name, type) => {
    assert.equal(PacketType[name], type);
    assert.equal(PacketType[type], name);
  });
  assert.equal(protocol, 5);
  assert.equal(typeof Encoder, "function");
  assert.equal(typeof Decoder, "function");
});

const valid = [
  { type: 0, nsp: "/" },
  { type: 0, nsp: "/", data: { token: "x" } },
  { type: 1, nsp: "/a" },
  { type: 2, nsp: "/", data: ["a"] },
  { type: 2, nsp: "/", data: [1], id: 0 },
  { type: 3, nsp: "/", data: [], id: 7 },
  { type: 4, nsp: "/", data: "no" },
  { type: 4, nsp: "/", data: { message: "no" } },
];
const invalid = [
  { type: 0, nsp: "/", data: [] },
  { type: 0, nsp: "/", data: null },
  { type: 1, nsp: "/", data: {} },
  { type: 2, nsp: "/" },
  { type: 2, nsp: "/", data: [] },
  { type: 2, nsp: "/", data: ["connect"] },
  { type: 2, nsp: "/", data: [{}] },
  { type: 2, nsp: 1, data: ["a"] },
  { type: 2, nsp: "/", data: ["a"], id: "1" },
  { type: 2, nsp: "/", data: ["a"], id: 1.5 },
  { type: 3, nsp: "/", data: {} },
  { type: 4, nsp: "/" },
  { type: 5, nsp: "/", data: ["a"] },
  { type: 6, nsp: "/", data: [] },
  { type: 7, nsp: "/", data: ["a"] },
  { type: "2", nsp: "/", data: ["a"] },
  { nsp: "/" },
];
for (const packet of valid) {
  test(`finds ${JSON.stringify(packet)} valid [SIO-41]`, () => assert.equal(isPacketValid(packet), true));
}
for (const packet of invalid) {
  test(`finds ${JSON.stringify(packet)} invalid [SIO-41]`, () => assert.equal(isPacketValid(packet), false));
}
