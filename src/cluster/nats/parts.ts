// Messages above `max_payload` of NATS: cut into parts, and put together again.
import { randomBytes } from "node:crypto";
import { runInRoot } from "../../support/tick";
import { PART, VERSION } from "./codec";

/*
 *     byte  1        version of the format
 *     byte  1        a part
 *     8 bytes        id of the message, random
 *     2 bytes        number of this part, from 0
 *     2 bytes        number of parts
 *     …              bytes of the message
 *
 * The parts of a message have one subject and one sender, so they arrive in order: what is out of order is lost.
 */
const ID_AT = 2;
const INDEX_AT = 10;
const COUNT_AT = 12;
const CONTENT_AT = 14;

/** Time in which all parts of a message have to arrive. */
const COMPLETE_MS = 10_000;
/** Bytes of incomplete messages that are held; the oldest are dropped. */
const HELD_BYTES_MAX = 128 * 1024 * 1024;
const PARTS_MAX = 0xffff;

/** @throws RangeError on a message of too many parts */
export function cut(bytes: Buffer, maxPayload: number): Buffer[] {
  const size = maxPayload - CONTENT_AT;
  const count = Math.ceil(bytes.length / size);
  if (size <= 0 || count > PARTS_MAX || bytes.length > HELD_BYTES_MAX)
    throw new RangeError(`a message of ${bytes.length} bytes is too large`);
  const id = randomBytes(8);
  return Array.from({ length: count }, (_, index) => {
    const head = Buffer.allocUnsafe(CONTENT_AT);
    head[0] = VERSION;
    head[1] = PART;
    id.copy(head, ID_AT);
    head.writeUInt16BE(index, INDEX_AT);
    head.writeUInt16BE(count, COUNT_AT);
    return Buffer.concat([head, bytes.subarray(index * size, (index + 1) * size)]);
  });
}

interface Incomplete {
  readonly count: number;
  readonly since: number;
  readonly parts: Buffer[];
  bytes: number;
}

/** The incomplete messages of one link. */
export class Parts {
  private readonly incomplete = new Map<string, Incomplete>();
  private readonly onLost: (reason: string) => void;
  private heldBytes = 0;
  private timer: NodeJS.Timeout | null = null;

  /** @param onLost  a message was dropped */
  constructor(onLost: (reason: string) => void) {
    this.onLost = onLost;
  }

  get size(): number {
    return this.incomplete.size;
  }

  /** @returns the message if this was its last part */
  add(subject: string, part: Buffer): Buffer | null {
    if (part.length <= CONTENT_AT) return this.lose("too short");
    const index = part.readUInt16BE(INDEX_AT);
    const count = part.readUInt16BE(COUNT_AT);
    const id = `${part.toString("latin1", ID_AT, INDEX_AT)}${subject}`;
    let message = this.incomplete.get(id);
    if (message === undefined) {
      if (index !== 0 || count < 2) return this.lose("a part without those before it");
      this.incomplete.set(id, (message = { count, since: performance.now(), parts: [], bytes: 0 }));
      this.expireLater();
    }
    if (index !== message.parts.length || count !== message.count) return this.drop(id, "parts out of order");
    message.parts.push(Buffer.from(part.subarray(CONTENT_AT))); // a copy: a view would hold all that was read with it
    message.bytes += part.length - CONTENT_AT;
    this.heldBytes += part.length - CONTENT_AT;
    if (index === count - 1) {
      this.forget(id);
      return Buffer.concat(message.parts);
    }
    for (const oldest of this.incomplete.keys()) {
      if (this.heldBytes <= HELD_BYTES_MAX) break;
      this.drop(oldest, "too many bytes of incomplete messages");
    }
    return null;
  }

  clear(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.incomplete.clear();
    this.heldBytes = 0;
  }

  private forget(id: string): void {
    this.heldBytes -= this.incomplete.get(id)!.bytes;
    this.incomplete.delete(id);
  }

  private drop(id: string, reason: string): null {
    this.forget(id);
    return this.lose(reason);
  }

  private lose(reason: string): null {
    this.onLost(reason);
    return null;
  }

  private expireLater(): void {
    if (this.timer !== null) return;
    runInRoot(() => {
      this.timer = setTimeout(expire, COMPLETE_MS, this);
      this.timer.unref?.();
    });
  }

  /** @internal */
  expire(): void {
    this.timer = null;
    for (const [id, { since }] of this.incomplete) {
      if (performance.now() - since < COMPLETE_MS) break; // the oldest come first
      this.drop(id, "parts that did not arrive");
    }
    if (this.incomplete.size > 0) this.expireLater();
  }
}

function expire(parts: Parts): void {
  parts.expire();
}
