/** The reader of WebSocket frames, held against the receiver of `ws` and the rules of RFC 6455. */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { constants, deflateRawSync } from "node:zlib";
import { randomFrom } from "../../../fuzz/random.mjs";
import { MAX_BYTES, read, readOurs, readTheirs } from "../../support/frame-readers.js";

const RUNS = Number(process.env.FUZZ_RUNS ?? 1_000_000);
const COMPRESSED_RUNS = Number(process.env.FUZZ_RUNS ?? 40_000);

/** One frame as a client sends it; `length` and `masked` may lie. */
function frame({ fin = true, rsv = 0, opcode = 1, payload = Buffer.alloc(0), masked = true, mask, form }) {
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  const bit = masked ? 0x80 : 0;
  const { length } = payload;
  let head;
  if (form === 64 || length > 65535) {
    head = Buffer.alloc(10);
    head[1] = bit | 127;
    head.writeUIntBE(length, 4, 6);
  } else if (form === 16 || length > 125) {
    head = Buffer.alloc(4);
    head[1] = bit | 126;
    head.writeUInt16BE(length, 2);
  } else {
    head = Buffer.from([0, bit | length]);
  }
  head[0] = first;
  if (!masked) return Buffer.concat([head, payload]);
  const key = mask ?? Buffer.from([1, 2, 3, 4]);
  return Buffer.concat([head, key, payload.map((byte, index) => byte ^ key[index % 4])]);
}

const TEXTS = ["", "4", '42["a",1]', "ä€😀", "x".repeat(130), "ü".repeat(100), "x".repeat(191), "x".repeat(200) + "é"];

/** A stream of frames as peers send them, or as nobody should. */
function makeStream(below) {
  const frames = [];
  let fragments = false;
  for (let count = 1 + below(5); count > 0; count--) {
    const mask = Buffer.from([below(256), below(256), below(256), below(256)]);
    const payload =
      below(4) === 0 ? Buffer.from(Array.from({ length: below(40) }, () => below(256))) : Buffer.from(TEXTS[below(TEXTS.length)]);
    let options = { opcode: 1 + below(2), payload, mask: below(5) === 0 ? Buffer.alloc(4) : mask };
    if (fragments) options.opcode = 0;
    if (below(3) === 0) options.fin = false;
    if (below(5) === 0) options = { opcode: 9 + below(2), payload: payload.subarray(0, 125), mask };
    if (below(20) === 0) {
      const code = Buffer.alloc(2);
      code.writeUInt16BE(below(3) === 0 ? below(65536) : 1000 + below(16));
      options = {
        opcode: 8,
        payload: below(4) === 0 ? payload.subarray(0, below(3)) : Buffer.concat([code, payload.subarray(0, 100)]),
        mask,
      };
    }
    if (below(25) === 0) options.rsv = 1 + below(7);
    if (below(25) === 0) options.masked = false;
    if (below(25) === 0) options.opcode = below(16);
    if (below(15) === 0) options.form = below(2) === 0 ? 16 : 64;
    if (options.opcode < 3) fragments = options.fin === false;
    frames.push(frame(options));
  }
  const bytes = Buffer.concat(frames);
  if (below(10) === 0) bytes[below(bytes.length)] ^= 1 << below(8);
  return below(6) === 0 ? bytes.subarray(0, below(bytes.length + 1)) : bytes;
}

test(`reads what the receiver of ws reads, split at every point: ${RUNS} cases [EIO-124, ENG-114]`, async () => {
  const seed = randomInt(1, 2 ** 31);
  const below = randomFrom(seed);
  for (let cases = 0; cases < RUNS;) {
    const bytes = makeStream(below);
    const expected = await readTheirs(bytes);
    const check = (chunks, how) => {
      cases++;
      assert.deepEqual(readOurs(chunks).events, expected, `seed ${seed}, ${how}, bytes ${bytes.toString("hex")}`);
    };
    check([bytes], "whole");
    for (let at = 1; at < bytes.length; at++) check([bytes.subarray(0, at), bytes.subarray(at)], `split at ${at}`);
    check(
      [...bytes].map((byte) => [byte]),
      "byte by byte",
    );
    const points = [below(bytes.length + 1), below(bytes.length + 1), below(bytes.length + 1)].sort((a, b) => a - b);
    const pieces = [0, ...points].map((start, index) => bytes.subarray(start, points[index] ?? bytes.length));
    check(
      pieces.filter((piece) => piece.length > 0),
      `split at ${points}`,
    );
  }
});

/** One compressed message in one frame or several, or what nobody should send. */
function makeCompressed(below, frames) {
  const text = below(12) === 0 ? "x".repeat(below(400)) : TEXTS[below(TEXTS.length)];
  const level = below(10);
  const isFinal = below(12) === 0;
  let payload = deflateRawSync(below(8) === 0 ? Buffer.from([below(256), below(256)]) : text, {
    level,
    windowBits: 9 + below(7),
    finishFlush: isFinal ? constants.Z_FINISH : constants.Z_SYNC_FLUSH,
  });
  if (!isFinal) payload = payload.subarray(0, -4);
  payload = Buffer.from(payload);
  if (below(8) === 0 && payload.length > 0) payload[below(payload.length)] ^= 1 << below(8);
  if (below(10) === 0) payload = payload.subarray(0, below(payload.length + 1));
  if (below(10) === 0) payload = Buffer.concat([payload, Buffer.from(Array.from({ length: below(9) }, () => below(256)))]);
  const opcode = 1 + below(2);
  const mask = Buffer.from([below(256), below(256), below(256), below(256)]);
  const cut = below(3) === 0 ? below(payload.length + 1) : payload.length;
  frames.push(frame({ rsv: 4, opcode, payload: payload.subarray(0, cut), mask, fin: cut === payload.length && below(12) !== 0 }));
  if (cut === payload.length) return;
  if (below(4) === 0) frames.push(frame({ opcode: 9, payload: Buffer.from("p"), mask, rsv: below(6) === 0 ? 4 : 0 }));
  frames.push(frame({ opcode: 0, payload: payload.subarray(cut), mask, fin: below(12) !== 0, rsv: below(12) === 0 ? 4 : 0 }));
}

/**
 * `ws` inflates each fragment when it comes, we inflate the message when it is whole. So behind an invalid fragment `ws` reads nothing; we may
 * answer pings, and find another error, but get no message.
 */
function isLaterError(ours, theirs) {
  const isMessage = (event) => /^(text|binary|ping) /.test(event);
  const last = theirs.at(-1) ?? "";
  if (!/^error (1007 Z_|1009 WS_ERR_UNSUPPORTED_MESSAGE_LENGTH)/.test(last)) return false;
  const before = theirs.slice(0, -1);
  if (before.some((event, index) => event !== ours[index])) return false;
  return ours.slice(before.length).every((event) => !isMessage(event) || event.startsWith("ping "));
}

test(`reads compressed messages as the receiver of ws with the extension does: ${COMPRESSED_RUNS} cases [ROB-613]`, async () => {
  const seed = randomInt(1, 2 ** 31);
  const below = randomFrom(seed);
  for (let cases = 0; cases < COMPRESSED_RUNS;) {
    const frames = [];
    for (let count = 1 + below(3); count > 0; count--) {
      if (below(4) === 0) frames.push(makeStream(below));
      else makeCompressed(below, frames);
    }
    const bytes = Buffer.concat(frames);
    const isOneFrame = frames.length === 1 && bytes[0] >= 0xc0;
    const expected = await readTheirs(bytes, MAX_BYTES, true);
    const check = (chunks, how) => {
      cases++;
      const { events, hasTrailingData } = readOurs(chunks, MAX_BYTES, true);
      if (hasTrailingData && !isOneFrame) return; // `ws` inflates the fragments behind a final block as data of their own
      if (!isLaterError(events, expected)) assert.deepEqual(events, expected, `seed ${seed}, ${how}, bytes ${bytes.toString("hex")}`);
    };
    check([bytes], "whole");
    if (bytes.length < 64) for (let at = 1; at < bytes.length; at++) check([bytes.subarray(0, at), bytes.subarray(at)], `split at ${at}`);
    check(
      [...bytes].map((byte) => [byte]),
      "byte by byte",
    );
    const at = below(bytes.length + 1);
    check(
      [bytes.subarray(0, at), bytes.subarray(at)].filter((piece) => piece.length > 0),
      `split at ${at}`,
    );
  }
});

const flaws = [
  ["RSV1 without an extension", frame({ rsv: 4 }), 1002, "WS_ERR_UNEXPECTED_RSV_1"],
  ["RSV2", frame({ rsv: 2 }), 1002, "WS_ERR_UNEXPECTED_RSV_2_3"],
  ["RSV3", frame({ rsv: 1 }), 1002, "WS_ERR_UNEXPECTED_RSV_2_3"],
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => [
    `the reserved opcode ${opcode}`,
    frame({ opcode }),
    1002,
    "WS_ERR_INVALID_OPCODE",
  ]),
  ["a continuation of nothing", frame({ opcode: 0 }), 1002, "WS_ERR_INVALID_OPCODE"],
  ["a new message inside a fragmented one", Buffer.concat([frame({ fin: false }), frame({})]), 1002, "WS_ERR_INVALID_OPCODE"],
  ["an unmasked frame", frame({ masked: false }), 1002, "WS_ERR_EXPECTED_MASK"],
  ["an unmasked Close frame", frame({ opcode: 8, masked: false }), 1002, "WS_ERR_EXPECTED_MASK"],
  ["a fragmented ping", frame({ opcode: 9, fin: false }), 1002, "WS_ERR_EXPECTED_FIN"],
  ["a fragmented Close frame", frame({ opcode: 8, fin: false }), 1002, "WS_ERR_EXPECTED_FIN"],
  ["a ping of 126 bytes", frame({ opcode: 9, payload: Buffer.alloc(126) }), 1002, "WS_ERR_INVALID_CONTROL_PAYLOAD_LENGTH"],
  ["a pong with a 64-bit length", frame({ opcode: 10, form: 64 }), 1002, "WS_ERR_INVALID_CONTROL_PAYLOAD_LENGTH"],
  ["a Close frame of one byte", frame({ opcode: 8, payload: Buffer.alloc(1) }), 1002, "WS_ERR_INVALID_CONTROL_PAYLOAD_LENGTH"],
  ...[0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535].map((code) => [
    `the close code ${code}`,
    frame({ opcode: 8, payload: Buffer.from([code >> 8, code & 255]) }),
    1002,
    "WS_ERR_INVALID_CLOSE_CODE",
  ]),
  ["a close reason that is not UTF-8", frame({ opcode: 8, payload: Buffer.from([3, 232, 0xff]) }), 1007, "WS_ERR_INVALID_UTF8"],
  ["text that is not UTF-8", frame({ payload: Buffer.from([0xc0, 0x80]) }), 1007, "WS_ERR_INVALID_UTF8"],
  ["text with a surrogate", frame({ payload: Buffer.from([0xed, 0xa0, 0x80]) }), 1007, "WS_ERR_INVALID_UTF8"],
  [
    "text whose fragments make no UTF-8",
    Buffer.concat([frame({ fin: false, payload: Buffer.from([0xe2]) }), frame({ opcode: 0, payload: Buffer.from([0x28, 0xa1]) })]),
    1007,
    "WS_ERR_INVALID_UTF8",
  ],
  ["a length above 2^53 - 1", Buffer.from("81ff0020000000000000", "hex"), 1009, "WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH"],
  ["a length with the first bit set", Buffer.from("81ffffffffffffffffff", "hex"), 1009, "WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH"],
  ["a frame over the limit, by its header", Buffer.from("81fe012d", "hex"), 1009, "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH"],
  [
    "fragments over the limit",
    Buffer.concat([frame({ fin: false, payload: Buffer.alloc(200) }), frame({ opcode: 0, payload: Buffer.alloc(101) })]),
    1009,
    "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH",
  ],
  [
    "16385 fragments",
    Buffer.concat([frame({ fin: false }), ...Array.from({ length: 16384 }, () => frame({ opcode: 0, fin: false }))]),
    1008,
    "WS_ERR_TOO_MANY_BUFFERED_PARTS",
  ],
];
for (const [what, bytes, closeCode, code] of flaws) {
  test(`refuses ${what} with ${closeCode}, as ws does [EIO-124, ENG-114]`, async () => {
    const { events } = readOurs([Buffer.concat([bytes, frame({ payload: Buffer.from("never read") })])]);
    assert.equal(events.length, 1);
    assert.ok(events[0].startsWith(`error ${closeCode} ${code} `), events[0]);
    assert.deepEqual(events, await readTheirs(bytes));
  });
}

test("reads texts and binaries of every length around the borders of the header's forms and of the ways to unmask [EIO-120]", () => {
  const lengths = [0, 1, 2, 3, 4, 5, 7, 8, 124, 125, 126, 127, 191, 192, 193, 194, 195, 196, 65534, 65535, 65536, 65537, 200_001];
  for (const length of lengths) {
    for (let shift = 0; shift < 4; shift++) {
      const ascii = Buffer.from("abcdefg".repeat(length / 7 + 1)).subarray(0, length);
      const binary = Buffer.from(ascii.map((byte, index) => byte ^ (index * 37)));
      const stream = Buffer.concat([
        frame({ payload: Buffer.alloc(shift) }),
        frame({ payload: ascii }),
        frame({ opcode: 2, payload: binary }),
      ]);
      const { events, isResting } = readOurs([stream], 0);
      assert.equal(events[1], `text ${ascii}`);
      assert.equal(events[2], `binary ${binary.toString("hex")}`);
      assert.ok(isResting, "nothing is held between frames");
    }
  }
});

for (const isLent of [false, true]) {
  const whose = isLent ? "a lent chunk" : "a chunk of its own";
  test(`returns the bytes after the frame at which reading stops, and the fragments before it, of ${whose}`, () => handOver(isLent));
  test(`keeps the bytes after a frame when its listener throws, of ${whose}`, () => keepWhatFollows(isLent));
}

function handOver(isLent) {
  const message = (text) => frame({ payload: Buffer.from(text) });
  const seen = [];
  const unread = [];
  const sink = {
    isReading: true,
    inflater: null,
    onText(text) {
      seen.push(text);
      this.isReading = false;
    },
    onPing() {
      this.isReading = false;
    },
    onUnread: (bytes) => unread.push(bytes),
  };
  assert.equal(read(Buffer.concat([message("a"), message("b"), message("c").subarray(0, 3)]), isLent, null, 0, sink), null);
  assert.deepEqual(seen, ["a"]);
  assert.deepEqual(readOurs([Buffer.concat(unread), message("c").subarray(3)]).events, ["text b", "text c"]);

  unread.length = 0;
  sink.isReading = true;
  const pieces = [
    frame({ fin: false, payload: Buffer.from("ä".repeat(100)) }),
    frame({ opcode: 0, fin: false, payload: Buffer.from("b") }),
  ];
  read(Buffer.concat([...pieces, frame({ opcode: 9 }), frame({ opcode: 0, payload: Buffer.from("c") })]), isLent, null, 0, sink);
  assert.deepEqual(readOurs([Buffer.concat(unread)]).events, [`text ${"ä".repeat(100)}bc`]);
}

function keepWhatFollows(isLent) {
  const unread = [];
  const sink = {
    isReading: true,
    inflater: null,
    onText() {
      throw new Error("of the program");
    },
    onUnread: (bytes) => unread.push(bytes),
  };
  const bytes = Buffer.concat([frame({ payload: Buffer.from("a") }), frame({ payload: Buffer.from("b") })]);
  assert.throws(() => read(bytes, isLent, null, 0, sink), /of the program/);
  assert.deepEqual(readOurs([Buffer.concat(unread)]).events, ["text b"]);
}
