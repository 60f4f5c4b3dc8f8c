import assert from "node:assert/strict";
import { test } from "node:test";
import { ProtocolError } from "../../../dist/errors.js";
import { Decoder, PacketDecoder } from "../../../dist/protocol/packet-decoder.js";
import { nameOf, readVectors } from "./vectors.js";

const vectors = readVectors("packets");

/** The packets that a decoder gives for some messages. */
function decodeAll(messages, decoder = new Decoder()) {
  const packets = [];
  decoder.on("decoded", (packet) => packets.push(packet));
  for (const message of messages) decoder.add(message);
  return packets;
}

for (const { rule, packet, messages } of [...vectors.packets, ...vectors.tolerated]) {
  test(`decodes ${messages.map(nameOf).join(" ")} [${rule}]`, () => {
    assert.deepEqual(decodeAll(messages), [packet]);
    const direct = new PacketDecoder();
    const results = messages.map((message) => direct.decode(message));
    assert.deepEqual(
      results.slice(0, -1),
      messages.slice(1).map(() => null),
    );
    const { type, nsp, id, data } = results.at(-1);
    assert.deepEqual({ type, nsp, id, data }, { id: undefined, data: undefined, ...packet });
  });
}

for (const { rule, message, messages } of vectors.refused) {
  test(`refuses ${messages.map(nameOf).join(" ")}: ${message} [${rule}]`, () => {
    const direct = new PacketDecoder();
    const last = messages.at(-1);
    for (const each of messages.slice(0, -1)) direct.decode(each);
    assert.throws(
      () => direct.decode(last),
      (error) => error instanceof ProtocolError && error.message === message,
    );
    assert.throws(
      () => decodeAll(messages),
      (error) => error instanceof ProtocolError && error.message === message,
    );
  });
}

test("names the type of a message that is neither text nor binary [SIO-29]", () => {
  const cases = [
    [undefined, "Unknown type: undefined"],
    [null, "Unknown type: null"],
    [5, "Unknown type: 5"],
    [Object.create(null), "Unknown type: [object Object]"],
    [Symbol("x"), "Unknown type: Symbol(x)"],
  ];
  for (const [chunk, message] of cases) assert.throws(() => new Decoder().add(chunk), { message, code: "RC_ERR_PACKET_TYPE" });
});

test("delivers binary packets as EVENT and ACK, without the number of attachments [SIO-30]", () => {
  const [packet] = decodeAll(['61-7[{"_placeholder":true,"num":0}]', Buffer.from([1])]);
  assert.deepEqual(packet, { type: 3, nsp: "/", id: 7, data: [Buffer.from([1])] });
});

test("takes every kind of binary for an attachment, and hands it on as it came [SIO-28]", () => {
  for (const attachment of [Buffer.from([1]), Uint8Array.of(1), Uint8Array.of(1).buffer]) {
    const [packet] = decodeAll(['51-["a",{"_placeholder":true,"num":0}]', attachment]);
    assert.equal(packet.data[1], attachment);
  }
});

test("emits at once, within add [SIO-37]", () => {
  const decoder = new Decoder();
  let packet = null;
  decoder.on("decoded", (decoded) => (packet = decoded));
  decoder.add('2["a"]');
  assert.deepEqual(packet, { type: 2, nsp: "/", data: ["a"] });
});

test("keeps an own __proto__ key own, with and without attachments [SIO-31]", () => {
  const messages = [
    ['2["a",{"__proto__":{"polluted":1}}]'],
    ['51-["a",{"__proto__":{"polluted":{"_placeholder":true,"num":0}}}]', Buffer.from([1])],
    ['51-["a",{"__proto__":{"_placeholder":true,"num":0}}]', Buffer.from([1])],
  ];
  for (const each of messages) {
    const [{ data }] = decodeAll(each);
    assert.equal(Object.getPrototypeOf(data[1]), Object.prototype);
    assert.ok(Object.hasOwn(data[1], "__proto__"));
    assert.equal(data[1].polluted, undefined);
  }
  const [{ data }] = decodeAll(['51-["a",{"__proto__":{"_placeholder":true,"num":0}}]', Buffer.from([1])]);
  assert.deepEqual(Object.getOwnPropertyDescriptor(data[1], "__proto__").value, Buffer.from([1]));
});

test("does not take an inherited _placeholder for one of its own [SIO-31]", (t) => {
  t.after(() => delete Object.prototype._placeholder);
  Object.prototype._placeholder = true;
  const [{ data }] = decodeAll(['51-["a",{"num":0}]', Buffer.from([1])]);
  assert.deepEqual(Object.keys(data[1]), ["num"]);
});

for (const [name, open, close] of [
  ["arrays", "[", "]"],
  ["objects", '{"a":', "}"],
]) {
  const nested = (depth) => `2["m",${open.repeat(depth - 1)}1${close.repeat(depth - 1)}]`;
  test(`takes ${name} nested to the limit and none deeper [SIO-32, ROB-432]`, () => {
    assert.equal(decodeAll([nested(1000)]).length, 1);
    for (const depth of [1001, 5000, 490_000]) {
      assert.throws(() => decodeAll([nested(depth)]), {
        message: "invalid payload: nested deeper than 1000 levels (limits.depth)",
        code: "RC_ERR_PAYLOAD",
      });
    }
    assert.equal(decodeAll([nested(20)], new Decoder({ maxDepth: 20 })).length, 1);
    assert.throws(() => decodeAll([nested(21)], new Decoder({ maxDepth: 20 })), {
      message: "invalid payload: nested deeper than 20 levels (limits.depth)",
    });
  });
}

test("restores attachments in a long payload, too, and validates it on arrival [ROB-144, SIO-28]", () => {
  const decoder = new PacketDecoder();
  const text = "ä".repeat(20_000);
  assert.equal(decoder.decode(`51-/a,7["m",${JSON.stringify(text)},{"_placeholder":true,"num":0}]`), null);
  const packet = decoder.decode(Buffer.from([1]));
  assert.deepEqual(packet, { type: 2, nsp: "/a", id: 7, data: ["m", text, Buffer.from([1])] });
  assert.throws(() => decoder.decode(`51-["m","${text}"`), { message: "invalid payload" });
});

test("does not count brackets in strings, also after escaped quotes [ROB-114, SIO-32]", () => {
  const texts = ["[".repeat(1500), `"${"{".repeat(1500)}`, `\\${"[".repeat(1500)}`, `\\"${"[".repeat(700)}"${"{".repeat(700)}`];
  const payload = ["m", ...texts, { [texts[3]]: [texts[1]] }];
  assert.deepEqual(new PacketDecoder().decode(`2${JSON.stringify(payload)}`).data, payload);
  assert.throws(() => new PacketDecoder().decode(`2["m","\\"",${"[".repeat(1001)}${"]".repeat(1001)}]`), /invalid payload/);
});

test("refuses deep payloads of every type, whole or cut off [SIO-32]", () => {
  const deep = "[".repeat(490_000) + "]".repeat(490_000);
  for (const text of [
    `3${deep}`,
    `0{"a":${deep}}`,
    `0/,{"a":${deep}}`,
    `4{"a":${deep}}`,
    `51-["m",${deep}]`,
    `2["m",${"[".repeat(490_000)}`,
  ]) {
    assert.throws(() => new PacketDecoder().decode(text), { message: /^invalid payload: nested deeper than 1000/ });
  }
});

test("counts depth, not brackets [SIO-32]", () => {
  const text = `2["m","${"[{".repeat(3000)}",${JSON.stringify(Array(3000).fill([{}]))}]`;
  assert.equal(decodeAll([text]).length, 1);
});

test("puts attachments into a payload of any depth when there is no limit [SIO-32]", () => {
  const depth = 300_000;
  const text = `51-["m",${"[".repeat(depth)}{"_placeholder":true,"num":0}${"]".repeat(depth)}]`;
  let [{ data }] = decodeAll([text, Buffer.from([1])], new Decoder({ maxDepth: Infinity }));
  for (data = data[1]; Array.isArray(data);) data = data[0];
  assert.deepEqual(data, Buffer.from([1]));
});

test("turns the overflow of a reviver into a protocol error [SIO-32]", () => {
  const text = `2["m",${"[".repeat(490_000)}${"]".repeat(490_000)}]`;
  const reviver = (_key, value) => value;
  assert.throws(() => new Decoder({ reviver, maxDepth: Infinity }).add(text), { message: "invalid payload" });
  assert.throws(() => new Decoder(reviver).add(text), { message: /^invalid payload/ });
});

test("gives the payload to a reviver [SIO-38]", () => {
  const reviver = (key, value) => (key === "count" ? value + 1 : value);
  for (const options of [reviver, { reviver }]) {
    assert.deepEqual(decodeAll(['2["a",{"count":1}]'], new Decoder(options))[0].data, ["a", { count: 2 }]);
  }
  const wide = `2${JSON.stringify(["a", { count: 1 }, ...Array(2000).fill([])])}`;
  assert.deepEqual(decodeAll([wide], new Decoder(reviver))[0].data[1], { count: 2 });
});

test("ends on what a reviver made cyclic [SIO-38]", () => {
  const cyclic = {};
  cyclic.self = cyclic;
  const reviver = (key, value) => (key === "c" ? cyclic : value);
  const [{ data }] = decodeAll(['51-["a",{"c":1},{"_placeholder":true,"num":0}]', Buffer.from([1])], new Decoder(reviver));
  assert.equal(data[1].c, cyclic);
  assert.deepEqual(data[2], Buffer.from([1]));
});

test("takes as many attachments as maxAttachments says, ten by default [SIO-27, SIO-38]", () => {
  assert.deepEqual(decodeAll(['510-["a"]', ...Array(10).fill(Buffer.alloc(1))]), [{ type: 2, nsp: "/", data: ["a"] }]);
  assert.throws(() => new Decoder({ maxAttachments: 2 }).add('53-["a"]'), { message: "too many attachments" });
  assert.throws(() => new Decoder({ maxAttachments: Infinity }).add(`5${"9".repeat(400)}-["a"]`), { message: "too many attachments" });
  new Decoder({ maxAttachments: 11 }).add('511-["a"]');
});

test("decodes the next packet after destroy, and after a placeholder out of range [SIO-39]", () => {
  const decoder = new Decoder();
  decoder.add('52-["a",{"_placeholder":true,"num":0}]');
  decoder.add(Buffer.alloc(1));
  decoder.destroy();
  assert.deepEqual(decodeAll(['2["b"]'], decoder)[0].data, ["b"]);
  decoder.add('51-["a",{"_placeholder":true,"num":7}]');
  assert.throws(() => decoder.add(Buffer.alloc(1)), { message: "illegal attachments" });
  assert.deepEqual(decodeAll(['2["c"]'], decoder)[0].data, ["c"]);
});

test("reads a header of many digits in one pass [SIO-24, SIO-27]", () => {
  const digits = "9".repeat(900_000);
  assert.throws(() => new PacketDecoder().decode(`2${digits}["x"]`), { message: "invalid payload" });
  assert.throws(() => new PacketDecoder().decode(`5${digits}`), { message: "Illegal attachments" });
  assert.throws(() => new PacketDecoder().decode(`5${digits}-["x"]`), { message: "too many attachments" });
});
