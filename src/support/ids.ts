// Ids of sessions and sockets.
import { randomFillSync } from "node:crypto";

const ID_BYTES = 15;
const POOL_BYTES = ID_BYTES * 256;
const pool = Buffer.allocUnsafeSlow(POOL_BYTES);
let used = POOL_BYTES;

/**
 * Generates an id of 20 characters out of `[A-Za-z0-9_-]`: 15 bytes (120 bits) of the system's CSPRNG, as base64url.
 *
 * The bytes are drawn in batches, because a draw per id would cost more than all else that a session sets up.
 * Each byte is used for one id only.
 */
export function generateId(): string {
  if (used === POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const id = pool.toString("base64url", used, used + ID_BYTES);
  used += ID_BYTES;
  return id;
}

/** What is wrong with the id that `generateId` gave for a session; null if nothing is (ENG-19). */
export function idProblemOf(sid: unknown, isTaken: (sid: string) => boolean): string | null {
  if (typeof sid !== "string" || sid === "") return `generateId: expected a non-empty string, met ${typeof sid}`;
  return isTaken(sid) || sid === "__proto__" ? "generateId: this id is already in use" : null;
}
