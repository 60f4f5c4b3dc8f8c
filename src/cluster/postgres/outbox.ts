// What waits to be published: the messages of a tick leave in one statement, in the order in which they were added.
import type { Statement } from "./connection";
import type { PostgresLog } from "./log";
import { type EncodedMessage, isBelow, PAYLOAD_BYTES_MAX } from "./codec";

/** What runs the statements, one at a time. */
interface Runner {
  readonly isUp: boolean;
  query(statement: Statement): Promise<unknown>;
}

interface Waiting extends EncodedMessage {
  readonly channel: string;
  readonly isLogged: boolean;
  readonly bytes: number;
  resolve(): void;
  reject(error: unknown): void;
}

/** Limits of what waits while PostgreSQL is slow; further messages are refused (ROB-841). */
const WAITING_MAX = 10_000;
const WAITING_BYTES_MAX = 64 * 1024 * 1024;
/** Limits of one statement. */
const BATCH_MAX = 500;
const BATCH_CHARACTERS_MAX = 500_000;

/** Publishes messages, one statement at a time. On a `PostgresConnection` that doesn't answer in time, all that waits rejects. */
export class Outbox {
  private readonly connection: Runner;
  private readonly tableName: string;
  private readonly log: PostgresLog | null;
  private waiting: Waiting[] = [];
  private waitingBytes = 0;
  private isFlushing = false;

  constructor(connection: Runner, tableName: string, log: PostgresLog | null) {
    this.connection = connection;
    this.tableName = tableName;
    this.log = log;
  }

  /**
   * Sends a message.
   * @param isLogged  whether it gets an offset: there must be a log
   * @returns         a promise that resolves when PostgreSQL has it
   */
  add(channel: string, { text, attachment }: EncodedMessage, isLogged = false): Promise<void> {
    return new Promise((resolve, reject) => {
      const bytes = text.length + (attachment?.length ?? 0);
      if (!this.connection.isUp) return reject(new Error("PostgreSQL is not connected"));
      if (this.waiting.length >= WAITING_MAX || this.waitingBytes + bytes > WAITING_BYTES_MAX)
        return reject(new Error(`PostgreSQL is too slow: ${this.waiting.length} messages (${this.waitingBytes} bytes) wait already`));
      this.waitingBytes += bytes;
      this.waiting.push({ channel, text, attachment, isLogged, bytes, resolve, reject });
      if (this.isFlushing) return;
      this.isFlushing = true;
      setImmediate(flush, this);
    });
  }

  /** Rejects all that waits. */
  clear(error: Error): void {
    this.waitingBytes = 0;
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }

  /** @internal */
  async _flush(): Promise<void> {
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, this.lengthOfBatch());
      for (const { bytes } of batch) this.waitingBytes -= bytes;
      try {
        await this.connection.query(this.statementOf(batch));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.isFlushing = false;
  }

  /**
   * How many messages the next statement takes: one with an attachment, or several without. PostgreSQL folds equal notifications of a
   * statement into one: equal ones get spaces at the end, which JSON ignores. Logged ones differ by their offsets.
   */
  private lengthOfBatch(): number {
    const { waiting } = this;
    const { attachment, isLogged } = waiting[0];
    if (attachment !== null) return 1;
    const copies = new Map<string, number>();
    let characters = 0;
    let count = 0;
    for (; count < Math.min(waiting.length, BATCH_MAX); count++) {
      const message = waiting[count];
      characters += message.text.length;
      if (message.attachment !== null || message.isLogged !== isLogged || characters > BATCH_CHARACTERS_MAX) break;
      if (isLogged) continue;
      const key = `${message.channel} ${message.text}`;
      const copy = copies.get(key) ?? 0;
      const text = message.text + " ".repeat(copy);
      if (!isBelow(text, PAYLOAD_BYTES_MAX)) break;
      copies.set(key, copy + 1);
      message.text = text;
    }
    return count;
  }

  private statementOf(batch: readonly Waiting[]): Statement {
    const [{ channel, text, attachment, isLogged }] = batch as [Waiting];
    if (attachment === null) {
      const channels = batch.map((message) => message.channel);
      const messages = batch.map((message) => message.text);
      if (isLogged) return this.log!.notify(channels, messages);
      return {
        name: "roomcast notify",
        text: "SELECT pg_notify(channel, message) FROM unnest($1::text[], $2::text[]) AS sent (channel, message)",
        values: [channels, messages],
      };
    }
    if (isLogged) return this.log!.attach(channel, text, attachment);
    return {
      name: "roomcast attach",
      text: `WITH attached AS (INSERT INTO ${this.tableName} (payload) VALUES ($3::bytea) RETURNING id)
        SELECT pg_notify($1::text, $2::text || id::text || '"}') FROM attached`,
      values: [channel, text, attachment],
    };
  }
}

function flush(outbox: Outbox): void {
  void outbox._flush();
}
