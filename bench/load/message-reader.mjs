// Reads whole messages of one connection, and inflates compressed ones, to check that a server under load sends the right bytes.
import { createInflateRaw, deflateRawSync } from "node:zlib";
import { documents } from "../lib/traffic.mjs";

/** What the sender of a compressed message cuts off its end (RFC 7692, section 7.2.1). */
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);

/** The payload of a compressed message, without context takeover. */
export function deflated(text) {
  return deflateRawSync(text, { finishFlush: 2 }).subarray(0, -TAIL.length);
}

/** One inflater serves both ways of a server: a message without context doesn't refer to earlier ones. */
export class MessageReader {
  constructor() {
    this.texts = [];
    this.pending = [];
    this.parts = [];
    this.inflate = createInflateRaw().on("data", (part) => this.parts.push(part));
  }

  take(payload, isCompressed) {
    if (!isCompressed) return void this.texts.push(payload.toString());
    this.pending.push(
      new Promise((resolve, reject) => {
        this.inflate.once("error", reject);
        this.inflate.write(Buffer.concat([payload, TAIL]), () => {
          this.inflate.off("error", reject);
          this.texts.push(Buffer.concat(this.parts.splice(0)).toString());
          resolve();
        });
      }),
    );
  }

  /** The texts since the last call. */
  async read() {
    await Promise.all(this.pending.splice(0));
    return this.texts.splice(0);
  }
}

/**
 * Compares the texts of events and answers with the documents of that size.
 * @returns the number of documents
 * @throws if one differs
 */
export function checkDocuments(texts, bytes) {
  const expected = documents(bytes);
  let checked = 0;
  for (const text of texts) {
    const start = text.indexOf('{"number":');
    if (start === -1) continue;
    const { number, time } = JSON.parse(text.slice(start, -1));
    if (text.slice(start, -1) !== JSON.stringify({ ...expected[number], time }))
      throw new Error(`document ${number} of ${bytes} bytes differs`);
    checked++;
  }
  return checked;
}
