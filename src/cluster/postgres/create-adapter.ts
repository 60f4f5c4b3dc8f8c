// The adapter for PostgreSQL as programs create it: arguments and options, checked.
import { UsageError } from "../../errors";
import { type LinkedAdapter, linkedAdapter } from "../linked-adapter";
import type { PresenceOptions } from "../presence";
import { PAYLOAD_BYTES_MAX } from "./codec";
import type { PostgresPool } from "./connection";
import { PostgresLink } from "./link";

/** Options of the adapter for PostgreSQL. All servers of a cluster, and emitters, need the same `channelPrefix` and `tableName`. */
export interface PostgresAdapterOptions extends PresenceOptions {
  /** Prefix of the names of channels; with `#` and the longest name of a namespace at most 63 bytes, else names are hashed. Default `"socket.io"`. */
  channelPrefix?: string;
  /** Table for messages that are binary or too large for a notification, made if it is not there. May name a schema. Default `"socket_io_attachments"`. */
  tableName?: string;
  /** Messages of this number of bytes and more go by the table. Default and maximum 8,000: the limit of NOTIFY. */
  payloadThreshold?: number;
  /** Age after which rows of the table are deleted, and time between two such deletions, in milliseconds. Default 30,000. */
  cleanupInterval?: number;
  /** Table for packets that a recovered client may have missed, with `connectionStateRecovery`; made if it is not there. Default `"socket_io_packets"`. */
  packetTableName?: string;
  /** Table for the sessions of disconnected clients, with `connectionStateRecovery`; made if it is not there. Default `"socket_io_sessions"`. */
  sessionTableName?: string;
  /** Packets that are kept at most; then the oldest are deleted, and clients that missed them get a new session. Default 100,000. */
  maxPackets?: number;
  /**
   * Time that PostgreSQL has for the answer to a statement, in milliseconds. Messages wait so long (at most 10,000, and 64 MiB); then the
   * connection is given up, and they are refused and counted as lost. Default 20,000.
   */
  answerTimeout?: number;
  /** Called with errors of the connection and of statements, beside the events `degraded` of the adapter. Default: none. */
  errorHandler?: (error: Error) => void;
}

export type CheckedOptions = Required<Omit<PostgresAdapterOptions, keyof PresenceOptions | "errorHandler">> &
  Pick<PostgresAdapterOptions, keyof PresenceOptions | "errorHandler">;

/** A name in SQL, in quotes or not, with its schema or not. */
const TABLE_NAME = /^(?:[\p{L}_][\p{L}\p{N}_$]*|"(?:[^"\0]|"")+")(?:\.(?:[\p{L}_][\p{L}\p{N}_$]*|"(?:[^"\0]|"")+"))?$/u;

/**
 * Makes the value of the option `adapter` for servers that share a PostgreSQL database. Takes one connection of the pool for as long as the
 * server runs. Speaks with `@socket.io/postgres-adapter` of the same options, and with `@socket.io/postgres-emitter`.
 *
 * A database that cannot be reached, now or later, doesn't throw: the sockets of this server are served, `adapter.status` is `degraded`,
 * a process warning says why, and the connection is tried again.
 * @param pool  a `Pool` of the package `pg` (8)
 * @throws UsageError RC_ERR_ARGUMENT if it is none, RC_ERR_OPTION on an invalid option
 * @example
 * const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
 * const io = new Server(httpServer, { adapter: createAdapter(pool) });
 */
export function createAdapter(pool: PostgresPool, options: PostgresAdapterOptions = {}): (nsp: any) => LinkedAdapter {
  checkPool("createAdapter", pool);
  const checked = checkOptions("createAdapter", options);
  return linkedAdapter((server) => new PostgresLink(pool, checked, server), checked);
}

export function checkPool(caller: string, pool: unknown): void {
  const { connect, query, totalCount, release } = (pool ?? {}) as Record<string, unknown>;
  if (typeof connect === "function" && typeof query === "function" && typeof totalCount === "number" && release === undefined) return;
  const met =
    typeof (pool as Promise<unknown> | null)?.then === "function"
      ? "a promise: await it"
      : typeof connect === "function" && typeof query === "function"
        ? "a single client: one that listens can't be shared, pass new pg.Pool()"
        : pool === null
          ? "null"
          : typeof pool;
  throw new UsageError("RC_ERR_ARGUMENT", `${caller}: expected a Pool of the package pg, met ${met}`);
}

export function checkOptions(caller: string, options: unknown): CheckedOptions {
  if (typeof options !== "object" || options === null || Array.isArray(options))
    throw new UsageError(
      "RC_ERR_OPTION",
      `${caller}: expected options as an object, met ${Array.isArray(options) ? "an array" : String(options)}`,
    );
  const given = options as PostgresAdapterOptions;
  const checked: CheckedOptions = {
    channelPrefix: given.channelPrefix ?? "socket.io",
    tableName: given.tableName ?? "socket_io_attachments",
    packetTableName: given.packetTableName ?? "socket_io_packets",
    sessionTableName: given.sessionTableName ?? "socket_io_sessions",
    maxPackets: given.maxPackets ?? 100_000,
    payloadThreshold: given.payloadThreshold ?? PAYLOAD_BYTES_MAX,
    cleanupInterval: given.cleanupInterval ?? 30_000,
    answerTimeout: given.answerTimeout ?? 20_000,
    ...(given.heartbeatInterval === undefined ? {} : { heartbeatInterval: given.heartbeatInterval }),
    ...(given.heartbeatTimeout === undefined ? {} : { heartbeatTimeout: given.heartbeatTimeout }),
    ...(given.errorHandler === undefined ? {} : { errorHandler: given.errorHandler }),
  };
  const { channelPrefix, payloadThreshold, maxPackets } = checked;
  const { carrySessions } = options as { carrySessions?: unknown };
  expect("carrySessions", !carrySessions, "false: sessions are not carried over PostgreSQL", carrySessions);
  expect(
    "channelPrefix",
    typeof channelPrefix === "string" && /^[^\0]{1,50}$/u.test(channelPrefix),
    "a text of 1 to 50 characters",
    channelPrefix,
  );
  for (const name of ["tableName", "packetTableName", "sessionTableName"] as const)
    expect(
      name,
      typeof checked[name] === "string" && TABLE_NAME.test(checked[name]),
      "a name in SQL, such as app.attachments",
      checked[name],
    );
  expect("maxPackets", isWithin(maxPackets, 1, Number.MAX_SAFE_INTEGER), "a number of packets", maxPackets);
  expect("payloadThreshold", isWithin(payloadThreshold, 1, PAYLOAD_BYTES_MAX), `1 to ${PAYLOAD_BYTES_MAX} bytes`, payloadThreshold);
  for (const name of ["cleanupInterval", "answerTimeout", "heartbeatInterval", "heartbeatTimeout"] as const)
    expect(name, checked[name] === undefined || isWithin(checked[name], 1, 2 ** 31 - 1), "a number of milliseconds", checked[name]);
  expect(
    "errorHandler",
    checked.errorHandler === undefined || typeof checked.errorHandler === "function",
    "a function",
    checked.errorHandler,
  );
  return checked;
}

function isWithin(value: unknown, min: number, max: number): boolean {
  return typeof value === "number" && value >= min && value <= max;
}

function expect(option: string, holds: boolean, expected: string, met: unknown): void {
  if (!holds) throw new UsageError("RC_ERR_OPTION", `option ${option}: expected ${expected}, met ${JSON.stringify(met) ?? typeof met}`);
}
