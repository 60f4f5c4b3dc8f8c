// Reads one stream, entry by entry, from its end on.
import createDebug from "debug";
import { ignore } from "../../support/ignore";
import { quoted } from "../../support/log-text";
import { throwLater } from "../../support/ask";
import { within } from "../../support/within";
import { fieldsOf, isAfter, isEntryId } from "./codec";
import type { RedisClient } from "../redis/client";

const debug = createDebug("socket.io-adapter");

/** Gets an entry. @returns whether it was one of this node that somebody waits for: what that causes is done before the next entry */
type OnEntry = (id: string, fields: ReadonlyMap<string, string>) => boolean;

/** What a reader tells. */
export interface ReaderListener {
  onEntry: OnEntry;
  /** The stream has lost the last entry that was read: newer ones may be gone, too. */
  onGap(): void;
}

/** Options of a reader. */
export interface ReaderOptions {
  readCount: number;
  blockTimeInMs: number;
}

/** The id before all others. */
const BEFORE_ALL = "0-0";
const FIRST_DELAY_MS = 100;
const DELAY_MAX_MS = 2_000;
/** Time above `blockTimeInMs` in which Redis has to answer; then another connection is made. */
const ANSWER_MS = 5_000;

/**
 *     reading --entries, or none in time--> reading
 *             --error, no answer--> waiting (its connection is replaced) --after a delay--> reading, behind the last entry
 *     any --close--> closed
 *
 * Entries that come while Redis can't be reached are read afterwards, as far as the stream has them.
 */
export class StreamReader {
  private readonly stream: string;
  private readonly source: RedisClient;
  private readonly options: ReaderOptions;
  private readonly listener: ReaderListener;
  private client: RedisClient;
  /** When entries came, a time of `Date.now()`. */
  heardAt = 0;
  private lastId: string | null = null;
  /** Whether the stream may have been trimmed beyond `lastId` while the connection was away, and for which id that is known. */
  private mayHaveGap = false;
  private gapAt = BEFORE_ALL;
  private isClosed = false;
  private failures = 0;
  private readonly waiters = new Set<{ id: string; resolve: () => void }>();
  private wake: (() => void) | null = null;

  /** @param source  is duplicated: a read that waits keeps its connection busy */
  constructor(stream: string, source: RedisClient, options: ReaderOptions, listener: ReaderListener) {
    this.stream = stream;
    this.source = source;
    this.options = options;
    this.listener = listener;
    this.client = this.connect();
  }

  private connect(): RedisClient {
    const client = this.source.duplicate();
    client.watch({ onReady: () => (this.mayHaveGap = true), onDown: ignore }); // ioredis repeats a read that was cut off by itself
    this.mayHaveGap = true;
    return client;
  }

  /** Reads until it is closed. Never rejects. */
  async run(): Promise<void> {
    while (!this.isClosed) {
      try {
        this.lastId ??= await this.findEnd();
        const entries = await this.read(this.lastId);
        if (this.mayHaveGap) await this.lookForGap(this.lastId);
        await this.handle(entries);
        this.failures = 0;
      } catch (error) {
        if (this.isClosed) return;
        if (debug.enabled) debug("the stream %s could not be read: %s", quoted(this.stream), quoted(error));
        await this.recover();
      }
    }
  }

  /** Resolves in a tick of its own when all entries up to `id` were handed over. */
  async reached(id: string): Promise<void> {
    if (this.lastId === null || isAfter(id, this.lastId)) await new Promise<void>((resolve) => this.waiters.add({ id, resolve }));
    else await new Promise((resolve) => setImmediate(resolve));
  }

  close(): void {
    this.isClosed = true;
    this.client.release();
    this.wake?.();
    for (const { resolve } of this.waiters) resolve();
    this.waiters.clear();
  }

  /** The id of the newest entry; `0-0` of an empty stream. From it on nothing is missed, other than from `$`, which each call would read anew. */
  private async findEnd(): Promise<string> {
    const reply = await within(ANSWER_MS, this.client.command(this.stream, ["XREVRANGE", this.stream, "+", "-", "COUNT", "1"]));
    const id = Array.isArray(reply) ? (reply[0] as unknown[] | undefined)?.[0] : undefined;
    return isEntryId(String(id)) ? String(id) : BEFORE_ALL;
  }

  /** Tells once of each gap. */
  private async lookForGap(lastId: string): Promise<void> {
    this.mayHaveGap = false;
    if (lastId === BEFORE_ALL || lastId === this.gapAt) return;
    const reply = await within(ANSWER_MS, this.client.command(this.stream, ["XRANGE", this.stream, lastId, lastId]));
    if (!Array.isArray(reply) || reply.length > 0) return;
    this.gapAt = lastId;
    this.listener.onGap();
  }

  private async read(lastId: string): Promise<unknown[]> {
    const { readCount, blockTimeInMs } = this.options;
    const args = ["XREAD", "BLOCK", String(blockTimeInMs), "COUNT", String(readCount), "STREAMS", this.stream, lastId];
    const reply = await within(blockTimeInMs + ANSWER_MS, this.client.command(this.stream, args));
    if (reply === null || reply === undefined) return [];
    // A list of pairs, stream and entries; by RESP 3 a map, which drivers give as an object, a Map or a flat list
    if (reply instanceof Map) return [...reply.values()][0] as unknown[];
    if (!Array.isArray(reply)) return Object.values(reply)[0] as unknown[];
    return (Array.isArray(reply[0]) ? reply[0][1] : reply[1]) as unknown[];
  }

  private async handle(entries: unknown[]): Promise<void> {
    if (entries.length > 0) this.heardAt = Date.now();
    for (const entry of entries) {
      if (this.isClosed) return;
      const [id, pairs] = entry as [unknown, unknown];
      this.lastId = String(id);
      if (this.tell(this.lastId, fieldsOf(pairs))) await nextTurn();
    }
    for (const waiter of this.waiters) {
      if (this.lastId === null || isAfter(waiter.id, this.lastId)) continue;
      this.waiters.delete(waiter);
      waiter.resolve();
      await nextTurn(); // what that causes, a socket that joins, is done before the next entry
    }
  }

  private tell(id: string, fields: ReadonlyMap<string, string>): boolean {
    try {
      return this.listener.onEntry(id, fields);
    } catch (thrown) {
      throwLater(thrown); // of a listener of the program: the stream was read (ROB-834)
      return false;
    }
  }

  private async recover(): Promise<void> {
    const delayMs = Math.min(DELAY_MAX_MS, FIRST_DELAY_MS * 2 ** this.failures++);
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      setTimeout(resolve, delayMs).unref?.();
    });
    if (this.isClosed) return;
    this.client.release();
    this.client = this.connect();
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
