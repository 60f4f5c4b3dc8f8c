/** Random and mutated input at every decoder. A failure prints the seed and the smallest input; FUZZ_RUNS multiplies the runs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodePacket, encodePacket } from "../../../dist/protocol/engine-packet.js";
import { decodePacketV3 } from "../../../dist/protocol/legacy/packet.js";
import { decodePayloadV3, encodePayloadV3 } from "../../../dist/protocol/legacy/payload.js";
import { decodeMsgpack } from "../../../dist/protocol/msgpack-reader.js";
import { encodeMsgpack } from "../../../dist/protocol/msgpack-writer.js";
import { Decoder as MsgpackDecoder, Encoder as MsgpackEncoder } from "../../../dist/protocol/msgpack.js";
import { Decoder, PacketDecoder } from "../../../dist/protocol/packet-decoder.js";
import { Encoder } from "../../../dist/protocol/packet-encoder.js";
import { isPacketValid } from "../../../dist/protocol/packet.js";
import { decodePayload, encodePayload } from "../../../dist/protocol/polling-payload.js";
import { encodeFrame, FrameDecoder } from "../../../dist/protocol/webtransport-frame.js";
import { judge } from "../../support/judge.js";
import { readVectors } from "./vectors.js";

const record = (model) => fc.record(model, { noNullPrototype: true });
const times = Number(process.env.FUZZ_RUNS ?? 1);
const check = (property, runs) => fc.assert(property, { numRuns: runs * times });

const vectors = readVectors("packets");
const samples = [...vectors.packets, ...vectors.tolerated, ...vectors.refused]
  .flatMap(({ messages }) => messages)
  .filter((message) => typeof message === "string");
const fragments = [
  "[",
  "]",
  "{",
  "}",
  '"',
  "\\",
  ",",
  "/",
  "-",
  "0",
  "9",
  "5",
  "2",
  "_placeholder",
  "num",
  "true",
  "null",
  "1e9",
  "\ud800",
  "\u2028",
  " ",
  '["a"]',
  "__proto__",
];

/** A sample in which a stretch was replaced by something else. */
const mutatedText = fc
  .tuple(fc.constantFrom(...samples), fc.nat(60), fc.nat(4), fc.oneof(fc.constantFrom(...fragments), fc.string({ maxLength: 3 })))
  .map(([text, at, cut, put]) => text.slice(0, at % (text.length + 1)) + put + text.slice((at % (text.length + 1)) + cut));
const anyText = fc.oneof(
  { weight: 4, arbitrary: mutatedText },
  fc.string({ unit: "binary", maxLength: 30 }),
  fc.array(fc.constantFrom(...fragments), { maxLength: 12 }).map((parts) => parts.join("")),
);
const bytes = fc.uint8Array({ maxLength: 12 }).map((each) => Buffer.from(each));
const message = fc.oneof({ weight: 5, arbitrary: anyText }, { weight: 2, arbitrary: bytes }, fc.constantFrom(undefined, null, 5, {}));

test("only a ProtocolError comes out of 100,000 random and mutated messages [SIO-22..32, SIO-50]", () => {
  const reference = Object.getOwnPropertyNames(Object.prototype).length;
  const direct = new PacketDecoder();
  check(
    fc.property(fc.array(message, { minLength: 4, maxLength: 4 }), (messages) => {
      direct.reset();
      const decoder = new Decoder();
      let emitted;
      decoder.on("decoded", (packet) => (emitted = packet));
      for (const each of messages) {
        const packet = judge(() => direct.decode(each));
        emitted = null;
        judge(() => decoder.add(each));
        assert.equal(emitted === null, packet === null);
        if (packet === null) continue;
        assert.ok(isPacketValid(packet) || (packet.type === 4 && packet.data === undefined));
        assert.deepEqual({ id: undefined, data: undefined, ...emitted }, packet);
      }
    }),
    25_000,
  );
  assert.equal(Object.getOwnPropertyNames(Object.prototype).length, reference);
});

const plain = fc.jsonValue({ maxDepth: 3 });
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { depthSize: "small" },
    plain,
    bytes,
    fc.array(tie("tree"), { maxLength: 4 }),
    fc.dictionary(fc.string(), tie("tree"), { maxKeys: 4 }),
  ),
}));
const namespace = fc.oneof(
  fc.constant("/"),
  fc.string().map((name) => `/${name.replaceAll(",", "")}`),
);
const id = fc.option(fc.nat(), { nil: undefined });
const event = fc
  .tuple(
    fc.string().map((name) => `e${name}`),
    fc.array(tree, { maxLength: 4 }),
  )
  .map(([name, rest]) => [name, ...rest]);
const packet = fc.oneof(
  record({ type: fc.constant(2), nsp: namespace, id, data: event }),
  record({ type: fc.constant(3), nsp: namespace, id: fc.nat(), data: fc.array(tree, { maxLength: 4 }) }),
  record({ type: fc.constant(0), nsp: namespace, id: fc.constant(undefined), data: fc.dictionary(fc.string(), plain) }),
  record({ type: fc.constant(1), nsp: namespace, id: fc.constant(undefined), data: fc.constant(undefined) }),
);

/** What a payload is after JSON, with binary as it was. `-0` has no sign there. */
function throughJson(value) {
  if (Buffer.isBuffer(value) || typeof value !== "object" || value === null) return Object.is(value, -0) ? 0 : value;
  if (Array.isArray(value)) return value.map(throughJson);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, throughJson(item)]));
}

const hasPlaceholder = (data) => JSON.stringify(data)?.includes("_placeholder") === true;

test("every encoded packet decodes to an equal one, and the original is not changed [SIO-10, SIO-17, SIO-30, SIO-31, SIO-36]", () => {
  const encoder = new Encoder();
  check(
    fc.property(packet, (given) => {
      fc.pre(!hasPlaceholder(given.data));
      const before = JSON.stringify(given);
      const messages = encoder.encode(given);
      assert.equal(JSON.stringify(given), before);
      const decoder = new PacketDecoder({ maxAttachments: Infinity });
      const results = messages.map((each) => decoder.decode(each));
      assert.deepEqual(results.pop(), throughJson({ type: given.type, nsp: given.nsp, id: given.id, data: given.data }));
      assert.ok(results.every((each) => each === null));
    }),
    5000,
  );
});

test("MessagePack packets come back the same [SIO-42]", () => {
  const encoder = new MsgpackEncoder();
  const decoder = new MsgpackDecoder();
  let decoded = null;
  decoder.on("decoded", (each) => (decoded = each));
  check(
    fc.property(packet, (given) => {
      const [encoded] = encoder.encode(given);
      decoder.add(encoded);
      assert.deepEqual(
        { id: undefined, data: undefined, ...decoded },
        throughJson({ type: given.type, nsp: given.nsp, id: given.id, data: given.data }),
      );
    }),
    4000,
  );
});

test("only a ProtocolError comes out of random and mutated MessagePack, and what is read is written alike [SIO-42]", () => {
  const encoder = new MsgpackEncoder();
  const decoder = new MsgpackDecoder();
  const mutated = fc.tuple(packet, fc.nat(), fc.uint8Array({ maxLength: 3 })).map(([given, at, put]) => {
    const [encoded] = encoder.encode(given);
    const index = at % encoded.length;
    return Buffer.concat([encoded.subarray(0, index), put, encoded.subarray(index + 1)]);
  });
  check(
    fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 30 })), (encoded) => {
      judge(() => decoder.add(encoded));
      const value = judge(() => ({ value: decodeMsgpack(Buffer.from(encoded), 1000) }));
      if (value === null) return;
      const again = decodeMsgpack(encodeMsgpack(value.value), 1000);
      assert.equal(encodeMsgpack(again).compare(encodeMsgpack(value.value)), 0);
    }),
    10_000,
  );
});

const enginePacket = fc.oneof(
  record({ type: fc.constant("message"), data: fc.oneof(fc.string({ minLength: 1 }), bytes) }),
  record({ type: fc.constantFrom("ping", "pong", "open"), data: fc.string({ minLength: 1 }) }),
  record({ type: fc.constantFrom("close", "noop", "upgrade", "message") }),
);

test("Engine.IO packets and payloads come back the same in every form [EIO-11, EIO-20..31, EIO-35..37, EIO-92..98]", () => {
  check(
    fc.property(fc.array(enginePacket, { minLength: 1, maxLength: 5 }), fc.nat(), (packets, split) => {
      for (const { type, data } of packets) {
        for (const supportsBinary of [true, false])
          assert.deepEqual(decodePacket(encodePacket(type, data, supportsBinary)), data === undefined ? { type } : { type, data });
        for (const supportsBinary of [true, false])
          assert.deepEqual(
            decodePayloadV3(encodePayloadV3([{ type, data }], supportsBinary)),
            data === undefined ? [{ type }] : [{ type, data }],
          );
      }
      if (!packets.some(({ data }) => typeof data === "string" && data.includes("\x1e")))
        assert.deepEqual(decodePayload(encodePayload(packets)), packets);
      for (const supportsBinary of [true, false]) assert.deepEqual(decodePayloadV3(encodePayloadV3(packets, supportsBinary)), packets);
      const framed = packets.filter(({ type, data }) => !(type === "message" && data?.length === 0));
      const stream = Buffer.concat(framed.flatMap((each) => encodeFrame(each)));
      const decoder = new FrameDecoder(1000);
      const cut = split % (stream.length + 1);
      assert.deepEqual([...decoder.decode(stream.subarray(0, cut)), ...decoder.decode(stream.subarray(cut))], framed);
    }),
    3000,
  );
});

test("Engine.IO decoders never throw, and stop after the first malformed packet [EIO-13, EIO-32, EIO-38, EIO-100, EIO-101]", () => {
  const piece = fc.oneof(
    fc.constantFrom("4a", "2", "bAQID", "abc", "", "2:4a", "10:b4AQIDBA==", "\x1e", ":", "99", "0:"),
    fc.string({ unit: "binary", maxLength: 5 }),
  );
  const texts = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(""));
  const binaries = fc.array(
    fc.oneof(fc.constantFrom([0, 2, 255, 52, 97], [1, 2, 255, 4, 1], [0], [255]), fc.array(fc.nat(255), { maxLength: 4 })),
    { maxLength: 6 },
  );
  check(
    fc.property(texts, binaries, (text, chunks) => {
      const body = Buffer.from(chunks.flat());
      for (const packets of [decodePayload(text), decodePayloadV3(text), decodePayloadV3(body)]) {
        const error = packets.findIndex(({ type }) => type === "error");
        assert.ok(error === -1 || error === packets.length - 1);
      }
      for (const each of [decodePacket(text), decodePacket(body), decodePacketV3(text), decodePacketV3(body)])
        assert.equal(typeof each.type, "string");
      const decoder = new FrameDecoder(50);
      for (const chunk of chunks) for (const each of decoder.decode(Uint8Array.from(chunk))) assert.equal(typeof each.type, "string");
    }),
    20_000,
  );
});
