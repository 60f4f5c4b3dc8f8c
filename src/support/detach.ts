// Copies of input that is kept longer than its chunk: a substring or a view would keep the whole chunk in memory (ROB-140, ROB-142).

/** The same text with memory of its own: not a substring that refers to a longer text. */
export function detachText(text: string): string {
  return text.length <= 1 ? text : Buffer.from(text, "utf16le").toString("utf16le");
}

/** The same bytes. They are copied if they fill less than half of the memory that they are a view of. */
export function detachBytes(bytes: Buffer): Buffer {
  if (bytes.length * 2 >= bytes.buffer.byteLength) return bytes;
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}

/** Memory of a piece of input that is kept, beside its bytes: objects of 217 bytes were measured. */
export const HELD_OVERHEAD_BYTES = 256;

const EMPTY = Buffer.alloc(0);

/** Collects bytes that arrive in pieces, in one buffer of at most twice their size. */
export class ByteStore {
  /** Number of bytes that were appended. */
  length = 0;
  private bytes = EMPTY;

  /**
   * Appends a copy of `source` from `start` to `end`.
   * @param expected  number of bytes in the end, if it is known; `Infinity` otherwise
   */
  append(source: Buffer, start: number, end: number, expected: number): void {
    const length = this.length + end - start;
    if (length > this.bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(length, Math.min(2 * length, expected)));
      this.bytes.copy(grown, 0, 0, this.length);
      this.bytes = grown;
    }
    source.copy(this.bytes, this.length, start, end);
    this.length = length;
  }

  /** Returns all bytes and empties the store. */
  take(): Buffer {
    const taken = this.view();
    this.bytes = EMPTY;
    this.length = 0;
    return taken;
  }

  /** Bytes of memory for them. */
  get capacity(): number {
    return this.bytes.length;
  }

  /** All bytes so far, without a copy. */
  view(): Buffer {
    return this.length === this.bytes.length ? this.bytes : this.bytes.subarray(0, this.length);
  }
}
