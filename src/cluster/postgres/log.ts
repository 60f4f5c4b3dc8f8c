// Connection state recovery over PostgreSQL: the log of packets, and the sessions of disconnected sockets.
import { createHash } from "node:crypto";
import { ignore } from "../../support/ignore";
import type { RestorableSession, SessionToPersist } from "../../server/adapter/contract";
import { decodePlainMsgpack, encodePlainMsgpack } from "../../protocol/plain-msgpack";
import { readSession } from "../replay";
import type { PostgresConnection, Statement } from "./connection";
import { makeTable } from "./tables";

/** A packet of the log, as it was notified or attached. */
export interface LoggedPacket {
  id: string;
  message: string | null;
  attachment: Buffer | null;
}

/** What `PostgresLog` needs to know. */
export interface LogOptions {
  packetTableName: string;
  sessionTableName: string;
  tableName: string;
  maxPackets: number;
}

/** A client that missed more gets a new session. */
const REPLAYED_MAX = 10_000;
/** Packets are kept longer than sessions: the loss of a connection may go unnoticed for a while. */
const GRACE_MS = 120_000;

/**
 * A packet gets its id under a lock that lasts until its statement is over: ids grow in the order in which the notifications go out, over all
 * nodes. So a client that has received an id has received all smaller ones that were for it.
 */
export class PostgresLog {
  /** Whether the tables are there. Without them packets are published without an offset. */
  isReady = false;
  private readonly connection: PostgresConnection;
  private readonly options: LogOptions;
  private readonly lifetimeMs: number;
  private readonly lock: string;

  constructor(connection: PostgresConnection, options: LogOptions, lifetimeMs: number) {
    this.connection = connection;
    this.options = options;
    this.lifetimeMs = lifetimeMs;
    const digest = createHash("sha256").update(`roomcast ${options.packetTableName}`).digest();
    this.lock = String(digest.readBigInt64BE());
  }

  /** @throws Error with the statement that an operator has to run */
  async makeTables(): Promise<void> {
    const { packetTableName, sessionTableName } = this.options;
    const packets =
      "id bigserial UNIQUE, channel text, message text, attachment bytea, created_at timestamptz DEFAULT now(), PRIMARY KEY (channel, id)";
    await makeTable(this.connection, packetTableName, packets);
    await makeTable(this.connection, sessionTableName, "pid text PRIMARY KEY, channel text, session bytea, expires_at timestamptz");
    this.isReady = true;
  }

  /** Logs messages without an attachment, in order, and notifies them with their ids as `offset`. */
  notify(channels: string[], messages: string[]): Statement {
    return {
      name: "roomcast log",
      text: `WITH held AS MATERIALIZED (SELECT pg_advisory_xact_lock($3::bigint)),
        logged AS (INSERT INTO ${this.options.packetTableName} (channel, message)
          SELECT sent.channel, sent.message FROM held, unnest($1::text[], $2::text[]) WITH ORDINALITY AS sent (channel, message, place)
          ORDER BY place RETURNING id, channel, message)
        SELECT pg_notify(channel, left(message, -1) || ',"offset":"' || id::text || '"}') FROM logged`,
      values: [channels, messages, this.lock],
    };
  }

  /** The same for a message with an attachment; `header` as in `EncodedMessage`. */
  attach(channel: string, header: string, attachment: Buffer): Statement {
    return {
      name: "roomcast log and attach",
      text: `WITH held AS MATERIALIZED (SELECT pg_advisory_xact_lock($4::bigint)),
        attached AS (INSERT INTO ${this.options.tableName} (payload) VALUES ($3::bytea) RETURNING id),
        logged AS (INSERT INTO ${this.options.packetTableName} (channel, attachment) SELECT $1::text, $3::bytea FROM held RETURNING id)
        SELECT pg_notify($1::text, $2::text || attached.id::text || '","offset":"' || logged.id::text || '"}') FROM attached, logged`,
      values: [channel, header, attachment, this.lock],
    };
  }

  async persist(channel: string, session: SessionToPersist, lifetimeMs: number): Promise<void> {
    await this.connection.query({
      name: "roomcast persist",
      text: `INSERT INTO ${this.options.sessionTableName} AS kept (pid, channel, session, expires_at)
        VALUES ($1, $2, $3::bytea, now() + $4::float8 * interval '1 millisecond')
        ON CONFLICT (pid) DO UPDATE SET channel = excluded.channel, session = excluded.session, expires_at = excluded.expires_at`,
      values: [session.pid, channel, encodePlainMsgpack(session), lifetimeMs],
    });
  }

  /** Takes a session, once, with all packets of its channel behind `offset`; null if it isn't there, or a packet was deleted since. */
  async restore(
    channel: string,
    pid: string,
    offset: string,
  ): Promise<{ session: Omit<RestorableSession, "missedPackets">; packets: LoggedPacket[] } | null> {
    const { packetTableName, sessionTableName } = this.options;
    const [stored] = await this.connection.query({
      name: "roomcast take",
      text: `DELETE FROM ${sessionTableName} WHERE pid = $1 AND channel = $2 RETURNING session, expires_at > now() AS is_kept`,
      values: [pid, channel],
    });
    if (stored?.is_kept !== true) return null;
    const session = readSession(decodePlainMsgpack(stored.session as Buffer), pid);
    if (session === null) return null;
    const packets = await this.connection.query({
      name: "roomcast replay",
      text: `SELECT id::text AS id, message, attachment FROM ${packetTableName} WHERE channel = $1 AND id > $2::bigint
          AND $2::bigint BETWEEN (SELECT min(id) - 1 FROM ${packetTableName}) AND (SELECT max(id) FROM ${packetTableName})
        UNION ALL SELECT '', NULL, NULL WHERE $2::bigint BETWEEN (SELECT min(id) - 1 FROM ${packetTableName}) AND (SELECT max(id) FROM ${packetTableName})
        LIMIT ${REPLAYED_MAX + 2}`,
      values: [channel, offset],
    });
    const isKnown = packets.some(({ id }) => id === "");
    if (!isKnown || packets.length > REPLAYED_MAX + 1) return null;
    const missed = packets.filter(({ id }) => id !== "") as LoggedPacket[];
    return { session, packets: missed.sort((a, b) => a.id.length - b.id.length || (a.id < b.id ? -1 : 1)) };
  }

  /** Deletes what is too old, or too much; the newest packet stays, so that offsets can be judged. */
  prune(): void {
    if (!this.isReady) return;
    const { packetTableName, sessionTableName, maxPackets } = this.options;
    const text = `DELETE FROM ${packetTableName} WHERE id < (SELECT max(id) FROM ${packetTableName}) AND (
      id <= (SELECT max(id) FROM ${packetTableName} WHERE created_at < now() - $1::float8 * interval '1 millisecond')
      OR id <= (SELECT max(id) - $2::bigint FROM ${packetTableName}))`;
    this.connection.query({ text, values: [this.lifetimeMs + GRACE_MS, maxPackets] }).catch(ignore); // the next time
    this.connection.query({ text: `DELETE FROM ${sessionTableName} WHERE expires_at < now()` }).catch(ignore);
  }
}
