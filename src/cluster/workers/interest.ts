// Which workers a broadcast may concern: each tells the others, as a set of bits, which namespaces and rooms it has.
import type { Room } from "../../server/adapter/contract";

/*
 * A bit stands for all names with the same hash. So a set has 8 KiB, whatever the number of rooms, and a worker gets at most a few messages
 * that don't concern it. The room of a socket's own id has no bit, since there are as many as clients: what is sent to an id goes
 * to all workers with the namespace, and is skipped there by the name in the frame.
 */

const BITS = 0x10000;
export const INTEREST_BYTES = BITS / 8;
/** Above so many changes the whole set is shorter. */
const CHANGES_MAX = 2_000;

/** The hash of a namespace: FNV-1a, 32 bits. */
export function hashOf(text: string, seed = 0x811c9dc5): number {
  let hash = seed;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

/** The bit of a namespace, or of a room in it. */
export function bitOf(namespaceHash: number, room?: Room): number {
  const hash = room === undefined ? namespaceHash : hashOf(String(room), Math.imul(namespaceHash ^ 0x2f, 0x01000193));
  return (hash ^ (hash >>> 16)) & 0xffff;
}

/** What this worker has. */
export class OwnInterest {
  private readonly counts = new Uint32Array(BITS);
  /** As the other workers know it. */
  private readonly told = Buffer.alloc(INTEREST_BYTES);
  private readonly changed = new Set<number>();

  /** A namespace or room is here, or no more. @returns whether the others have to be told */
  note(bit: number, isHere: boolean): boolean {
    this.counts[bit] += isHere ? 1 : this.counts[bit] === 0 ? 0 : -1;
    if (this.counts[bit] > 0 === hasBit(this.told, bit)) return false;
    this.changed.add(bit);
    return true;
  }

  /** What the others have to be told since the last call: the body of a frame; null if nothing has changed. */
  takeChanges(): { isWhole: boolean; body: Buffer } | null {
    const bits = [...this.changed].filter((bit) => this.counts[bit] > 0 !== hasBit(this.told, bit));
    this.changed.clear();
    if (bits.length === 0) return null;
    const body = Buffer.allocUnsafe(3 * bits.length);
    bits.forEach((bit, i) => {
      this.told[bit >> 3] ^= 1 << (bit & 7);
      body.writeUInt16BE(bit, 3 * i);
      body[3 * i + 2] = hasBit(this.told, bit) ? 1 : 0;
    });
    return bits.length > CHANGES_MAX ? { isWhole: true, body: this.told } : { isWhole: false, body };
  }

  /** The whole set, as the others know it: for one that is new. */
  get whole(): Buffer {
    return this.told;
  }
}

/** What another worker has; everything, until it tells. */
export class PeerInterest {
  private bits: Buffer | null = null;

  /** @returns false for a body that makes no sense */
  replace(body: Buffer): boolean {
    if (body.length !== INTEREST_BYTES) return false;
    this.bits = Buffer.from(body);
    return true;
  }

  /** @returns false for a body that makes no sense */
  change(body: Buffer): boolean {
    const { bits } = this;
    if (bits === null || body.length % 3 !== 0) return false;
    for (let at = 0; at < body.length; at += 3) {
      const bit = body.readUInt16BE(at);
      if (body[at + 2] === 0) bits[bit >> 3] &= ~(1 << (bit & 7));
      else bits[bit >> 3] |= 1 << (bit & 7);
    }
    return true;
  }

  /** Whether a message with one of these bits may concern the worker. */
  includesAny(bits: readonly number[]): boolean {
    const own = this.bits;
    return own === null || bits.some((bit) => hasBit(own, bit));
  }
}

function hasBit(bits: Buffer, bit: number): boolean {
  return (bits[bit >> 3] & (1 << (bit & 7))) !== 0;
}
