// Connection state recovery over Redis Streams: the stream, read from an offset on, and the sessions of disconnected sockets.
import { ClusterError } from "../../errors";
import { decodePlainMsgpack, encodePlainMsgpack } from "../../protocol/plain-msgpack";
import type { PrivateSessionId, SessionToPersist } from "../../server/adapter/contract";
import type { Offset } from "../messages";
import { readSession } from "../replay";
import type { RedisBus } from "../redis/bus";
import { fieldsOf, fromFields, idAfter } from "./codec";

/** Entries per XRANGE, and rounds: a client that missed more gets a new session. */
const RANGE_COUNT = 100;
const ROUNDS_MAX = 100;
/** GET and DEL at once; Redis has a command for it since 6.2. */
const TAKE = "local value = redis.call('GET', KEYS[1]) redis.call('DEL', KEYS[1]) return value";

/** A packet that a session missed. */
export interface Missed {
  offset: Offset;
  message: unknown;
}

/** The log of a namespace. */
export class StreamsLog {
  readonly stream: string;
  private readonly bus: RedisBus;
  private readonly sessionKeyPrefix: string;

  constructor(bus: RedisBus, stream: string, sessionKeyPrefix: string) {
    this.bus = bus;
    this.stream = stream;
    this.sessionKeyPrefix = sessionKeyPrefix;
  }

  /** Stores a session (STR-9). */
  async persist(session: SessionToPersist, lifetimeMs: number): Promise<void> {
    const key = this.sessionKeyPrefix + session.pid;
    const text = encodePlainMsgpack(session).toString("base64");
    await this.bus.command(key, ["SET", key, text, "PX", String(Math.max(1, Math.floor(lifetimeMs)))]);
  }

  /**
   * Takes a session, once, with the packets of its namespace behind an offset.
   * @returns also the id of the last entry that was read; null if the session or the offset isn't there (any more), or too much was missed
   */
  async take(
    pid: PrivateSessionId,
    offset: Offset,
    namespace: string,
  ): Promise<{ session: SessionToPersist; missed: Missed[]; last: Offset } | null> {
    const key = this.sessionKeyPrefix + pid;
    const stored = await this.bus.command(key, ["EVAL", TAKE, "1", key]);
    if (typeof stored !== "string" && !Buffer.isBuffer(stored)) return null;
    const session = readSession(decodePlainMsgpack(Buffer.from(stored.toString(), "base64")), pid);
    if (session === null) return null;
    if ((await this.range(offset, offset, 1)).length === 0) return null; // trimmed, or never there
    const missed: Missed[] = [];
    let last = offset;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const entries = await this.range(idAfter(last), "+", RANGE_COUNT);
      for (const [id, pairs] of entries) {
        last = String(id);
        const fields = fieldsOf(pairs);
        if (fields.get("nsp") !== namespace || fields.get("type") !== "3") continue;
        try {
          missed.push({ offset: last, message: fromFields(fields) });
        } catch {
          // no client has received it
        }
      }
      if (entries.length < RANGE_COUNT) return { session, missed, last };
    }
    return null;
  }

  private async range(from: string, to: string, count: number): Promise<[unknown, unknown][]> {
    const entries = await this.bus.command(this.stream, ["XRANGE", this.stream, from, to, "COUNT", String(count)]);
    if (!Array.isArray(entries)) throw new ClusterError("RC_ERR_CLUSTER_LINK", "Redis has answered something else than entries");
    return entries as [unknown, unknown][];
  }
}
