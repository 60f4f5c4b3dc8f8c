// What arrives in a namespace, in order: a message behind an attachment waits until that is read.
import { ATTACHMENT_BYTES_MAX, decodeAttachment, type Notified } from "./codec";
import type { PostgresLink } from "./link";

/** Limit of what waits for an attachment that is read (ROB-841). */
const WAITING_MAX = 10_000;
/** Attachments read by one statement. */
const READ_AT_ONCE = 20;

/** A message, or what has to happen at its place in the order. */
type Item = Notified | { run: () => void; isAlone: boolean };

/**
 * The order of a namespace: messages of a node arrive as they were sent, whatever way they took (PG-8); with a log, all packets arrive in the
 * order of their ids, those of this node included.
 */
export class Inbox {
  private readonly link: PostgresLink;
  private readonly namespace: string;
  private readonly deliver: (message: Record<string, unknown>, offset: string | undefined) => void;
  private readonly waiting: Item[] = [];
  private isBusy = false;

  /** @param deliver  never throws */
  constructor(link: PostgresLink, namespace: string, deliver: Inbox["deliver"]) {
    this.link = link;
    this.namespace = namespace;
    this.deliver = deliver;
  }

  add(notified: Notified): void {
    if (notified.attachmentId === null && !this.isBusy) return this.deliver(notified.message, notified.offset);
    if (this.waiting.length >= WAITING_MAX) throw new Error(`${WAITING_MAX} messages wait for attachments already`);
    this.push(notified);
  }

  /**
   * Calls `run` behind all that has arrived. What it causes in this tick is done before the next message.
   * @param isAlone  whether that is so with earlier and later calls, too; otherwise several run in one tick
   */
  call(run: () => void, isAlone = false): void {
    this.push({ run, isAlone });
  }

  private push(item: Item): void {
    this.waiting.push(item);
    if (!this.isBusy) void this.work();
  }

  private async work(): Promise<void> {
    this.isBusy = true;
    while (this.waiting.length > 0) {
      if ("run" in this.waiting[0]) {
        let hasRun = false;
        let isAlone = false;
        for (let next = this.waiting[0]; next !== undefined && "run" in next && !isAlone; next = this.waiting[0]) {
          if (next.isAlone && hasRun) break;
          this.waiting.shift();
          next.run();
          ({ isAlone } = next);
          hasRun = true;
        }
        await new Promise((resolve) => setImmediate(resolve));
        continue;
      }
      const bytesById = await this.readNext();
      for (let next = this.waiting[0]; next !== undefined && !("run" in next); next = this.waiting[0]) {
        const { message, attachmentId, offset } = next;
        if (attachmentId !== null && !bytesById.has(attachmentId)) break;
        this.waiting.shift();
        const whole = attachmentId === null ? message : this.decode(bytesById.get(attachmentId));
        if (whole !== null) this.deliver(whole, offset);
      }
    }
    this.isBusy = false;
  }

  private decode(attachment: unknown): Record<string, unknown> | null {
    try {
      return decodeAttachment(attachment, this.namespace);
    } catch (error) {
      this.link.onMalformed(error);
      return null;
    }
  }

  /** Reads the next attachments. @returns their bytes by id; null for what is not there, or too large */
  private async readNext(): Promise<Map<string, unknown>> {
    const ids: string[] = [];
    for (const item of this.waiting) {
      if ("run" in item || ids.length >= READ_AT_ONCE) break;
      if (item.attachmentId !== null) ids.push(item.attachmentId);
    }
    const found = new Map<string, unknown>(ids.map((id) => [id, null]));
    if (ids.length === 0) return found;
    try {
      const rows = await this.link.connection.query({
        name: "roomcast read",
        text: `SELECT id::text AS id, payload FROM ${this.link.options.tableName} WHERE id = ANY ($1::bigint[]) AND octet_length(payload) <= $2`,
        values: [ids, ATTACHMENT_BYTES_MAX],
      });
      for (const { id, payload } of rows) found.set(id, payload);
    } catch (error) {
      this.link.onProblem("attachments could not be read", error);
    }
    return found;
  }
}
