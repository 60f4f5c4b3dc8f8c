// The reader of WebSocket frames, beside the receiver of `ws`: the same messages, errors and codes, whatever way the bytes are cut.
import assert from "node:assert/strict";
import { readOurs, readTheirs } from "../../test/support/frame-readers.js";
import { frame } from "../../test/support/wire-client.js";

const seeds = [
  frame(1, "4hello"),
  frame(2, Buffer.from([1, 2, 3])),
  frame(1, "x".repeat(130)),
  frame(1, "\u20ac".repeat(60)),
  Buffer.concat([frame(1, "4he", { fin: false }), frame(0, "llo")]),
  Buffer.concat([frame(1, "4he", { fin: false }), frame(9, "ping"), frame(0, "", { fin: false }), frame(0, "llo"), frame(1, "2")]),
  frame(8, Buffer.from([3, 0xe8])),
  frame(8, Buffer.concat([Buffer.from([3, 0xe9]), Buffer.from("bye")])),
  frame(8),
  frame(10),
  frame(1, "a", { rsv: 4 }),
  frame(1, "a", { mask: false }),
  frame(1, "", { length: 2 ** 40 }),
].map((bytes) => bytes.toString("latin1"));

export const targets = {
  "websocket-frames": {
    seeds,
    dictionary: [
      "\x81",
      "\x82",
      "\x88",
      "\x89",
      "\x8a",
      "\x01",
      "\0",
      "\x80",
      "\x85",
      "\xfe",
      "\xff",
      "\0\0\0\0",
      "\x03\xe8",
      "\x81\x80\0\0\0\0",
      ...seeds.slice(0, 6),
    ],
    isTimed: false, // `ws` is a part of it
    async run(input) {
      const expected = await readTheirs(input);
      const size = 1 + (input.length % 11);
      const pieces = Array.from({ length: Math.ceil(input.length / size) }, (_, i) => input.subarray(i * size, (i + 1) * size));
      for (const chunks of [[input], pieces]) assert.deepEqual(readOurs(chunks).events, expected);
    },
  },
};
