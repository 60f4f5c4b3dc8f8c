/** Reads WebSocket frames with our reader and with the receiver of `ws`, and gives what each makes of them as lines that can be compared. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { inflateRawSync } from "node:zlib";

const require = createRequire(import.meta.url);
const { PerMessageDeflate, Receiver } = require("ws");
const { readFrames } = require("../../dist/engine/hosts/node/frame-reader.js");
const { Deflater } = require("../../dist/engine/hosts/node/deflate.js");

/** Limit for a message. */
export const MAX_BYTES = 300;
const NO_CONTEXT = { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true };
const inflater = new Deflater(NO_CONTEXT, MAX_BYTES).negotiate("permessage-deflate");

const lent = Buffer.alloc(1 << 18);

/** Reads a chunk that is the reader's, or one in a buffer that is used for something else afterwards. */
export function read(chunk, isLent, held, maxBytes, sink) {
  if (!isLent || chunk.length > lent.length) return readFrames(Buffer.from(chunk), chunk.length, false, held, maxBytes, sink);
  lent.set(chunk);
  try {
    return readFrames(lent, chunk.length, true, held, maxBytes, sink);
  } finally {
    lent.fill(0xee, 0, chunk.length);
  }
}

/** Whether data follow the final block of a compressed message. */
function endsEarly(payload) {
  try {
    inflateRawSync(payload.subarray(0, -1), { maxOutputLength: 100 * MAX_BYTES });
    return true;
  } catch {
    return false;
  }
}

/** What our reader makes of the chunks, some of which are lent. */
export function readOurs(chunks, maxBytes = MAX_BYTES, isCompressed = false) {
  const events = [];
  let held = null;
  let isOver = false;
  let hasTrailingData = false;
  const noting = {
    inflate(payload) {
      hasTrailingData ||= endsEarly(payload);
      return inflater.inflate(payload);
    },
  };
  const sink = {
    isReading: true,
    inflater: isCompressed ? noting : null,
    onText: (text) => events.push(`text ${text}`),
    onBinary: (data) => events.push({ word: "binary", data }),
    onPing: (data) => events.push({ word: "ping", data }),
    onCloseFrame(code, reason) {
      isOver = true;
      events.push({ word: `close ${code}`, data: reason });
    },
    onFrameError(error) {
      isOver = true;
      events.push(`error ${error.closeCode} ${error.code} ${error.message}`);
    },
    onUnread: () => assert.fail("nothing threw"),
  };
  for (const [index, chunk] of chunks.entries()) {
    if (!isOver) held = read(chunk, (index + chunk.length) % 2 === 0, held, maxBytes, sink);
  }
  // Bytes are looked at when all chunks are gone.
  const shown = events.map((event) => (typeof event === "string" ? event : `${event.word} ${event.data.toString("hex")}`));
  return { events: shown, isResting: held === null, hasTrailingData };
}

/** What the receiver of `ws` makes of the bytes. */
export function readTheirs(bytes, maxBytes = MAX_BYTES, isCompressed = false) {
  const events = [];
  const extension = new PerMessageDeflate({ ...NO_CONTEXT, isServer: true, maxPayload: maxBytes });
  extension.accept([{}]);
  const receiver = new Receiver({
    isServer: true,
    maxPayload: maxBytes,
    maxFragments: 16 * 1024,
    maxBufferedChunks: 256 * 1024,
    extensions: isCompressed ? { "permessage-deflate": extension } : {},
  });
  receiver.on("message", (data, isBinary) => events.push(isBinary ? `binary ${data.toString("hex")}` : `text ${data}`));
  receiver.on("ping", (data) => events.push(`ping ${data.toString("hex")}`));
  receiver.on("conclude", (code, reason) => events.push(`close ${code} ${reason.toString("hex")}`));
  return new Promise((resolve) => {
    receiver.on("error", (error) => {
      const codeKey = Object.getOwnPropertySymbols(error).find((symbol) => symbol.description === "status-code");
      events.push(`error ${error[codeKey]} ${error.code} ${error.message}`);
      extension.cleanup();
      resolve(events);
    });
    receiver.write(Buffer.from(bytes), () => {
      extension.cleanup();
      resolve(events);
    });
  });
}
