import { randomFillSync } from "node:crypto";

const ID_BYTES = 15;
const POOL_BYTES = ID_BYTES * 256;
const pool = Buffer.allocUnsafeSlow(POOL_BYTES);
let used = POOL_BYTES;

/**
 * Gives an identifier of 20 characters out of `[A-Za-z0-9_-]`: 15 bytes (120 bits) of the system's CSPRNG in base64url.
 *
 * The bytes are drawn in batches: one draw for each id would cost more than the rest of a handshake's bookkeeping.
 * A byte is used for one id only.
 */
export function generateId(): string {
  if (used === POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const id = pool.base64urlSlice(used, used + ID_BYTES);
  used += ID_BYTES;
  return id;
}

declare global {
  interface Buffer {
    /** Base64url text of a byte range; an own method of Node's Buffer, without an intermediate view. */
    base64urlSlice(start: number, end: number): string;
    /** Latin-1 text of a byte range. */
    latin1Slice(start: number, end: number): string;
  }
}
