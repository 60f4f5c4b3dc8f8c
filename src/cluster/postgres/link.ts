// The link to PostgreSQL: LISTEN and NOTIFY, and a table for what is large or binary. Wire-compatible with the official adapter.
import { ignore } from "../../support/ignore";
import { runInRoot } from "../../support/tick";
import type { Link, LinkListener, LinkServer, Receiver } from "../link";
import { PostgresChannel } from "./channel";
import { channelName, isBelow, PAYLOAD_BYTES_MAX } from "./codec";
import { PostgresConnection, type PostgresPool } from "./connection";
import type { CheckedOptions } from "./create-adapter";
import { PostgresLog } from "./log";
import { Outbox } from "./outbox";
import { makeTable } from "./tables";

export class PostgresLink implements Link {
  readonly name = "postgres";
  readonly hasEcho = true;
  readonly options: CheckedOptions;
  readonly settings: Readonly<Record<string, string>>;
  readonly connection: PostgresConnection;
  readonly outbox: Outbox;
  /** With connection state recovery. */
  readonly log: PostgresLog | null;
  private readonly channels = new Map<string, PostgresChannel>();
  /** That of pulses: no namespace has this name, theirs begin with a slash. */
  private readonly pulses: string;
  private listener: LinkListener | null = null;
  private cleanupTimer: NodeJS.Timeout | null = null;
  private isChecked = false;
  private heardPulses = 0;
  /** Whether the last pulse of this node had an answer, and no notification. */
  private isDeaf = false;

  constructor(pool: PostgresPool, options: CheckedOptions, { recoveryMs }: LinkServer) {
    this.options = options;
    this.settings = { tableName: options.tableName };
    this.pulses = channelName(options.channelPrefix, "roomcast");
    const listener = {
      onNotification: (channel: string, payload: string) => this.onNotification(channel, payload),
      onUp: () => this.onUp(),
      onDown: (error: Error) => this.onDown(error),
    };
    this.connection = new PostgresConnection(pool, listener, options.answerTimeout);
    this.log = recoveryMs === null ? null : new PostgresLog(this.connection, options, recoveryMs);
    this.outbox = new Outbox(this.connection, options.tableName, this.log);
  }

  async open(listener: LinkListener): Promise<void> {
    this.listener = listener;
    runInRoot(() => {
      this.cleanupTimer = setInterval(removeOldAttachments, this.options.cleanupInterval, this);
      this.cleanupTimer.unref?.();
    });
    this.connection.listen(this.pulses);
    await this.connection.open();
  }

  channel(receiver: Receiver): PostgresChannel {
    const channel = new PostgresChannel(this, receiver);
    this.channels.set(channel.name, channel);
    this.connection.listen(channel.name);
    if (this.connection.isUp) channel.onUp(); // behind LISTEN, on the same connection
    return channel;
  }

  async removeChannel(channel: PostgresChannel): Promise<void> {
    if (this.channels.get(channel.name) === channel) this.channels.delete(channel.name);
    await this.connection.unlisten(channel.name);
  }

  /** A pulse that is too large for a notification (thousands of namespaces) goes by the table. */
  async sendPulse(text: string): Promise<void> {
    const heard = this.heardPulses;
    if (isBelow(text, PAYLOAD_BYTES_MAX)) await this.outbox.add(this.pulses, { text, attachment: null });
    else await this.outbox.add(this.pulses, { text: '{"attachmentId":"', attachment: Buffer.from(text) });
    this.isDeaf = this.heardPulses === heard; // a notification comes before the answer to its statement
  }

  /** While statements have no answers the database is only slow, and nothing is lost yet: `answerTimeout` decides. */
  renew(): Promise<void> {
    if (this.isDeaf) this.connection.reset("the connection to PostgreSQL brings nothing");
    return Promise.resolve();
  }

  close(): Promise<void> {
    if (this.cleanupTimer !== null) clearInterval(this.cleanupTimer);
    this.connection.close();
    return Promise.resolve();
  }

  onMalformed(reason: unknown): void {
    this.listener?.onMalformed(reason);
  }

  onProblem(text: string, error: unknown): void {
    this.listener?.onProblem(text, error);
    this.tell(error);
  }

  /** @internal */
  _removeOldAttachments(): void {
    const { tableName, cleanupInterval } = this.options;
    const text = `DELETE FROM ${tableName} WHERE created_at < now() - $1 * interval '1 millisecond'`;
    this.connection.query({ text, values: [cleanupInterval] }).catch(ignore); // PG-9; the next time
    this.log?.prune();
  }

  /** @internal */
  _announce(): void {
    if (this.connection.isUp) for (const channel of this.channels.values()) channel.onUp();
  }

  private onUp(): void {
    this.listener?.onUp();
    if (!this.isChecked) void this.checkTables();
    setImmediate(announce, this); // behind the first pulse: nodes of this software need no answer
  }

  private onDown(error: Error): void {
    this.outbox.clear(error);
    for (const channel of this.channels.values()) channel.onDown();
    this.listener?.onDown(error);
    this.tell(error);
  }

  private async checkTables(): Promise<void> {
    const { tableName } = this.options;
    try {
      await makeTable(this.connection, tableName, "id bigserial UNIQUE, created_at timestamptz DEFAULT now(), payload bytea");
    } catch (error) {
      if (!this.connection.isUp) return; // the next connection checks again
      return this.onProblem(`messages with binary values, or of ${PAYLOAD_BYTES_MAX} bytes and more, don't reach the other servers`, error);
    }
    try {
      await this.log?.makeTables();
      this.isChecked = true;
    } catch (error) {
      if (this.connection.isUp) this.onProblem("clients cannot recover their sessions", error);
    }
  }

  private onNotification(channel: string, payload: string): void {
    if (channel === this.pulses) void this.onPulse(payload);
    else this.channels.get(channel)?.onNotification(payload);
  }

  private async onPulse(payload: string): Promise<void> {
    this.heardPulses++;
    const id = /^\{"attachmentId":"(\d{1,18})"\}$/.exec(payload)?.[1];
    if (id === undefined) return this.listener?.onPulse(payload);
    try {
      const text = `SELECT payload FROM ${this.options.tableName} WHERE id = $1::bigint AND octet_length(payload) <= 1000000`;
      const [row] = await this.connection.query({ text, values: [id] });
      this.listener?.onPulse(String(row?.payload));
    } catch (error) {
      this.onMalformed(error);
    }
  }

  private tell(error: unknown): void {
    this.options.errorHandler?.(error instanceof Error ? error : new Error(String(error)));
  }
}

function removeOldAttachments(link: PostgresLink): void {
  link._removeOldAttachments();
}

function announce(link: PostgresLink): void {
  link._announce();
}
