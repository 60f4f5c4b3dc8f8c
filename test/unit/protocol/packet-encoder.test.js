import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Encoder, encodeText } from "../../../dist/protocol/packet-encoder.js";
import { nameOf, readVectors } from "./vectors.js";

const encoder = new Encoder();
const encode = (...data) => encoder.encode({ type: 2, nsp: "/", data });

for (const { rule, packet, messages } of readVectors("packets").packets) {
  test(`encodes ${messages.map(nameOf).join(" ")} [${rule}]`, () => {
    assert.deepEqual(encoder.encode(packet), messages);
    if (messages.length === 1) assert.equal(encodeText(packet), messages[0]);
  });
}

test("writes an id of zero, and no id for null or undefined [SIO-10]", () => {
  const packet = { type: 2, nsp: "/", data: ["a"] };
  assert.deepEqual(encoder.encode({ ...packet, id: 0 }), ['20["a"]']);
  for (const id of [null, undefined]) assert.deepEqual(encoder.encode({ ...packet, id }), ['2["a"]']);
  assert.deepEqual(encoder.encode({ type: 1, data: null }), ["1"]);
});

test("serialises as JSON.stringify does [SIO-11]", () => {
  const date = new Date(0);
  const data = [undefined, () => {}, Symbol("x"), { gone: undefined, f() {} }, NaN, date, new Map([[1, 2]]), { toJSON: () => 5 }];
  assert.deepEqual(encode("m", ...data), [`2${JSON.stringify(["m", ...data])}`]);
  assert.deepEqual(encode("m", ...data), ['2["m",null,null,null,{},null,"1970-01-01T00:00:00.000Z",{},5]']);
});

const fails = (reason) => ({ name: "TypeError", code: "RC_ERR_ENCODING", message: `cannot encode event "m": ${reason}` });

test("throws on BigInt and cyclic data, beside binary too, and says where [SIO-11, ROB-420]", () => {
  const cyclic = { list: [] };
  cyclic.list.push(cyclic);
  assert.throws(() => encode("m", 1n), fails("Do not know how to serialize a BigInt at data"));
  assert.throws(() => encode("m", Buffer.alloc(1), 1n), fails("Do not know how to serialize a BigInt at data[1]"));
  assert.throws(() => encode("m", cyclic), fails("circular at data.list[0]"));
  assert.throws(() => encode("m", Buffer.alloc(1), cyclic), fails("circular at data[1].list[0]"));
  const self = {};
  self.toJSON = () => ({ next: self });
  assert.throws(() => encode("m", self), fails("circular at data.next"));
});

test("cuts what it says of a long name or path, and walks a shared value once [ROB-420]", () => {
  let list = {};
  const end = list;
  for (let i = 0; i < 1000; i++) list = { next: list };
  end.next = list;
  assert.throws(
    () => encoder.encode({ type: 2, data: ["m".repeat(10_000), list] }),
    ({ message }) => message.length < 500,
  );
  let graph = {};
  for (let i = 0; i < 12; i++) graph = { left: graph, right: graph };
  assert.throws(() => encode("m", { graph, bad: 1n }), fails("Do not know how to serialize a BigInt at data.bad"));
});

test("gives an error with a code for data as deep as the stack, and no crash [SIO-11, SIO-32]", () => {
  let arrays = [];
  let objects = {};
  for (let depth = 0; depth < 200_000; depth++) {
    arrays = [arrays];
    objects = { a: objects };
  }
  for (const deep of [arrays, objects]) {
    assert.throws(() => encode("m", deep), { code: "RC_ERR_ENCODING" });
    assert.throws(() => encode("m", Buffer.alloc(1), deep), { code: "RC_ERR_ENCODING" });
  }
});

test("cannot keep a comma in a namespace, and does not try [SIO-12]", () => {
  assert.deepEqual(encoder.encode({ type: 2, nsp: "/a,b", data: ["x"] }), ['2/a,b,["x"]']);
});

test("hands binary values on as they are [ROB-530, SIO-17]", () => {
  const bytes = Uint8Array.of(9, 1, 2, 9);
  const values = [bytes.subarray(1, 3), bytes.buffer, new DataView(bytes.buffer, 1), new Uint16Array(bytes.buffer), Buffer.from(bytes)];
  const [text, ...attachments] = encode("m", ...values, { again: [values[0]] });
  assert.match(text, /^56-\["m",/);
  assert.deepEqual(
    attachments.map((attachment, index) => attachment === values[index % 5]),
    [true, true, true, true, true, true],
  );
});

test("looks for binary in events and acknowledgements only [SIO-15]", () => {
  const data = { b: Buffer.from([1]) };
  for (const type of [0, 4]) assert.deepEqual(encoder.encode({ type, nsp: "/", data }), [`${type}{"b":{"type":"Buffer","data":[1]}}`]);
});

test("finds every kind of binary at any depth [SIO-16]", () => {
  class Holder {
    constructor() {
      this.own = Uint8Array.of(3);
    }
  }
  const bare = Object.assign(Object.create(null), { x: new DataView(Uint8Array.of(4).buffer) });
  const [text, ...attachments] = encode("m", [[new ArrayBuffer(2)]], { a: new Uint16Array([258]) }, new Holder(), bare);
  const at = (num) => `{"_placeholder":true,"num":${num}}`;
  assert.equal(text, `54-["m",[[${at(0)}]],{"a":${at(1)}},{"own":${at(2)}},{"x":${at(3)}}]`);
  assert.deepEqual(attachments, [new ArrayBuffer(2), Uint16Array.of(258), Uint8Array.of(3), bare.x]);
});

test("does not look at inherited properties, nor into a Date [SIO-16]", () => {
  const date = Object.assign(new Date(0), { hidden: Buffer.alloc(1) });
  const heir = Object.create({ inherited: Buffer.alloc(1) });
  assert.deepEqual(encode("m", date, heir), ['2["m","1970-01-01T00:00:00.000Z",{}]']);
  assert.deepEqual(encode("m", date, Buffer.from([1])), [
    '51-["m","1970-01-01T00:00:00.000Z",{"_placeholder":true,"num":0}]',
    Buffer.from([1]),
  ]);
});

test("finds binary in what toJSON gives, and asks that not again [SIO-16, SIO-18]", () => {
  const once = { toJSON: () => ({ b: Buffer.from([9]) }) };
  assert.deepEqual(encode("m", once), ['51-["m",{"b":{"_placeholder":true,"num":0}}]', Buffer.from([9])]);
  const again = { toJSON: () => ({ b: Buffer.from([9]), toJSON: () => assert.fail("asked again") }) };
  assert.deepEqual(encode("m", again), ['51-["m",{"b":{"_placeholder":true,"num":0}}]', Buffer.from([9])]);
  assert.deepEqual(encode("m", { toJSON: () => Buffer.from([8]) }), ['51-["m",{"_placeholder":true,"num":0}]', Buffer.from([8])]);
});

test("leaves the packet and its payload as they are [SIO-17, SIO-36]", () => {
  const buffer = Buffer.from([1]);
  const inner = Object.freeze({ buffer });
  const packet = Object.freeze({ type: 2, nsp: "/", id: 1, data: Object.freeze(["m", inner]) });
  assert.equal(encoder.encode(packet).length, 2);
  assert.deepEqual(packet, { type: 2, nsp: "/", id: 1, data: ["m", { buffer }] });
});

test("sends the same Buffer twice, and as many as there are [SIO-19]", () => {
  const buffer = Buffer.from([1]);
  assert.equal(encode("m", buffer, buffer).length, 3);
  assert.match(encode("m", ...Array(25).fill(buffer))[0], /^525-/);
});

test("passes on a Blob unchanged, also after other binary values [SIO-20, ROB-540]", () => {
  const blob = new Blob(["x"]);
  assert.deepEqual(encode("m", blob).slice(1), [blob]);
  assert.equal(encode("m", Buffer.alloc(1), { blob })[2], blob);
});

test("keeps an own __proto__ key beside binary an own key [SIO-31]", () => {
  const [text] = encode("m", JSON.parse('{"__proto__":{"a":1}}'), Buffer.alloc(1));
  assert.equal(text, '51-["m",{"__proto__":{"a":1}},{"_placeholder":true,"num":0}]');
});

test("passes a replacer to JSON.stringify [SIO-38]", () => {
  const hiding = new Encoder((key, value) => (key === "secret" ? undefined : value));
  assert.deepEqual(hiding.encode({ type: 2, nsp: "/", data: ["m", { secret: 1 }] }), ['2["m",{}]']);
  assert.equal(
    hiding.encode({ type: 2, nsp: "/", data: ["m", { secret: 1 }, Buffer.alloc(1)] })[0],
    '51-["m",{},{"_placeholder":true,"num":0}]',
  );
});

test("writes any list as JSON.stringify does [SIO-11]", () => {
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: "binary" }),
    fc.string({ minLength: 20, maxLength: 30 }),
    fc.constantFrom("", '"', "\\", "\x7f", "\ud800"),
  );
  const value = fc.oneof({ weight: 5, arbitrary: text }, fc.jsonValue(), fc.constantFrom(undefined, NaN, -0));
  fc.assert(
    fc.property(fc.array(value, { maxLength: 6 }), (data) => {
      assert.equal(new Encoder().encode({ type: 3, nsp: "/", id: 1, data })[0], "31" + JSON.stringify(data));
    }),
    { numRuns: 2000 },
  );
});
