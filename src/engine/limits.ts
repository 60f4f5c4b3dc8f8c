// The option `limits`: its defaults, its validation, and the errors of connections that are closed for a limit.
import { getHeapStatistics } from "node:v8";
import { LimitError, UsageError } from "../errors";

/** Limits on the resources of one connection; `false` switches a limit off. */
export interface LimitOptions {
  /**
   * Bytes that may wait for one connection: queued, or written and not yet taken by the system; each packet counts 320 bytes more. Default
   * 134217728 (128 MiB). Over it a client that has read nothing for 5 seconds is closed; over twice the limit any client: `transport error`.
   */
  bufferedBytes?: number | false;
  /** Packets that may wait for one connection. Default 250000; over it as with `bufferedBytes`. */
  bufferedPackets?: number | false;
  /**
   * Bytes that may wait for all connections of the engine together, counted like `bufferedBytes`; a packet for many connections counts once.
   * Default: a quarter of the heap limit of the process. Over it the connections with the most waiting bytes are closed, `transport error`.
   */
  totalBufferedBytes?: number | false;
  /**
   * Memory of incomplete input of all connections of the engine together: fragments and parts of frames, bodies of POSTs, attachments and their packets,
   * messages that `overRate` defers. Not what a WebSocket library holds. Default: a quarter of the heap limit of the process, at least 16 times
   * `maxHttpBufferSize`. Over it the connections that hold most are closed, `transport error`, RC_ERR_TOTAL_HELD_BYTES.
   */
  totalHeldBytes?: number | false;
  /** Milliseconds without one byte of progress while more than `stalledBytes` wait. Default 20000; then: closed, `transport error`. */
  stalledAfterMs?: number | false;
  /**
   * Above so many waiting bytes `stalledAfterMs` counts, and the server stops reading from a client that sends but doesn't read.
   * Default 4194304 (4 MiB).
   */
  stalledBytes?: number | false;
  /**
   * Nesting depth of an incoming packet's payload. Default 1000; over it the sockets get `error` (RC_ERR_PAYLOAD, with the limit) and the connection
   * is closed, `forced close`.
   */
  depth?: number | false;
  /**
   * Binary attachments of one incoming packet. Default 10; over it the sockets get `error` (RC_ERR_ATTACHMENTS) and the connection is closed,
   * `forced close`.
   */
  attachments?: number | false;
  /**
   * Bytes of packets that wait in the queue of one connection, counted like `bufferedBytes`, above which the option `slowReaders` decides what
   * happens. Default 1048576 (1 MiB); `false`: nothing is ever dropped.
   */
  slowReaderBytes?: number | false;
  /** WebSocket pings that arrive while an earlier pong can't be written. Default 60; over it: closed, `transport error`. */
  queuedPongs?: number | false;
  /** Namespaces one connection may have open or pending at a time. Default 1000; over it: CONNECT_ERROR, RC_ERR_NAMESPACES is counted. */
  namespaces?: number | false;
  /**
   * Messages that one connection may send per second, on average; a binary attachment is a message of its own. Default `false`. Over it: see
   * `overRate`.
   * @example limits: { messagesPerSecond: 100, rateBurstMs: 3000 } // 300 messages at once, then 100 per second
   */
  messagesPerSecond?: number | false;
  /** Bytes of messages that one connection may send per second, on average. Default `false`. Over it: see `overRate`. */
  bytesPerSecond?: number | false;
  /** Milliseconds for which unused messages and bytes per second are saved up: the greatest burst. Default 1000. */
  rateBurstMs?: number;
  /**
   * What happens to a message over `messagesPerSecond` or `bytesPerSecond`.
   * - `"defer"` (default): it waits, and the server stops reading from this client meanwhile (TCP back-pressure; a POST is answered later).
   * - `"drop"`: if it is an event, it is dropped with its attachments before it is decoded. Not with the option `parser`.
   * - `"close"`: the connection is closed, `transport error`, with RC_ERR_MESSAGE_RATE or RC_ERR_BYTE_RATE.
   */
  overRate?: "defer" | "drop" | "close";
  /**
   * With `overRate: "drop"`: the arguments of the acknowledgement that the client gets for an event that was dropped. Default none: it gets no
   * acknowledgement.
   * @example limits: { messagesPerSecond: 100, overRate: "drop", droppedAck: [{ error: "too many events" }] }
   */
  droppedAck?: readonly unknown[];
  /**
   * Bytes of messages that were read and wait because of `overRate: "defer"`; each counts 128 bytes more. Default 16777216 (16 MiB); over it:
   * closed, `transport error`, with RC_ERR_DEFERRED_BYTES. Reached only where reading can't be stopped: on uWebSockets.js, during an upgrade.
   */
  deferredBytes?: number | false;
  /** Connections that may be open at a time. Default `false`; over it: handshakes get 503 with `Retry-After`, code 3, RC_ERR_CONNECTIONS. */
  connections?: number | false;
  /**
   * Connections that one address may have open at a time; see the option `trustedProxies`. Not for WebTransport and Unix sockets, which show no
   * address. Default `false`; over it: handshakes get 429 with `Retry-After`, code 3, RC_ERR_CONNECTIONS_PER_ADDRESS.
   */
  connectionsPerAddress?: number | false;
  /** IPv6 addresses that are equal in so many bits count as one address. Default 64, the subnet of one customer. */
  ipv6PrefixBits?: number;
  /**
   * Handshakes that may wait for middlewares (`engine.use`), `allowRequest`, a function of `origins` or `generateId` at a time. One that hasn't answered for 60 seconds is no
   * longer counted. Default `false`; over it: 503 with `Retry-After`, code 3, RC_ERR_PENDING_HANDSHAKES.
   */
  pendingHandshakes?: number | false;
  /**
   * Joins of namespaces that may wait for middlewares or a function of `io.of()` at a time, on all connections; counted as in `pendingHandshakes`. Default `false`; over it:
   * CONNECT_ERROR, `Server is busy`.
   */
  pendingMiddlewares?: number | false;
  /** Milliseconds that the event loop may be late. Default `false`; over it: handshakes get 503 with `Retry-After`, code 3, RC_ERR_LOOP_LAG. */
  loopLagMs?: number | false;
  /** Milliseconds that a connection may stay open after it has left its last namespace. Default `false`; then: closed, `transport error`. */
  idleSessionMs?: number | false;
  /**
   * Rooms that one socket may be in, without the room of its own id. Default `false`; over it `socket.join` throws a LimitError, RC_ERR_ROOMS, and the
   * socket joins none of the rooms; `socketsJoin` passes over this socket.
   */
  roomsPerSocket?: number | false;
  /** Namespaces that one pattern (`io.of(/regex/)`, `io.of(function)`) may have open for clients. Default `false`; over it: CONNECT_ERROR. */
  childNamespaces?: number | false;
  /**
   * Milliseconds that a namespace which was opened by a pattern may be without sockets; then it is closed. Default `false`: never, or at once with
   * the option `cleanupEmptyChildNamespaces`.
   */
  emptyNamespaceMs?: number | false;
  /**
   * Acknowledgements that one socket may owe; checked when an emit or a broadcast asks it for one more. Default `false`; over it: closed,
   * `transport error`, with RC_ERR_PENDING_ACKS. `timeout()` and `ackLifetimeMs` bound their time.
   */
  pendingAcks?: number | false;
  /**
   * Milliseconds that the server waits for an acknowledgement without `timeout()`. Default `false`; then: it is forgotten, promises of `emitWithAck` and
   * callbacks of broadcasts get a LimitError, RC_ERR_ACK_LIFETIME, and a plain callback, which has no argument for an error, is never called.
   */
  ackLifetimeMs?: number | false;
  /**
   * Missed packets that one recovery of a session may replay, with the in-memory adapter. Default `false`; over it: the session is dropped, RC_ERR_REPLAY
   * is counted, and the client gets a new one (`socket.recovered` is false).
   */
  replayedPackets?: number | false;
  /** Bytes of these packets; each counts 256 bytes more. Default `false`; over it as with `replayedPackets`. */
  replayedBytes?: number | false;
  /** Recoveries of one session per minute, with the in-memory adapter. Default `false`; over it as with `replayedPackets`, RC_ERR_RECOVERIES. */
  recoveriesPerMinute?: number | false;
}

type NumberOption = Exclude<keyof LimitOptions, "overRate" | "droppedAck">;

/** Every limit as a number; `Infinity` for `false`. */
export type Limits = { readonly [K in NumberOption]: number } & {
  readonly overRate: "defer" | "drop" | "close";
  /** JSON of the option; null for none. */
  readonly droppedAck: string | null;
  /** Whether messages or bytes per second are limited. */
  readonly hasRates: boolean;
  /** Above so many bytes a queue is watched: the lowest of the limits on a queue. */
  readonly watchedBytes: number;
};

/** Memory of a waiting packet beside its payload: objects, string header, queue entry (ROB-120). A test measures it. */
export const PACKET_OVERHEAD_BYTES = 320;

/** A client that has taken bytes within this time counts as reading (ROB-440). */
export const READING_WINDOW_MS = 5_000;

/** Factor on the limits for a client that reads (ROB-441): a burst is queued at once and takes time to leave. */
export const BURST_FACTOR = 2;

const DEFAULTS = {
  bufferedBytes: 128 * 1024 * 1024,
  bufferedPackets: 250_000,
  totalBufferedBytes: 0, // depends on the heap limit, see resolveLimits
  totalHeldBytes: 0, // the same
  stalledAfterMs: 20_000,
  stalledBytes: 4 * 1024 * 1024,
  depth: 1000,
  attachments: 10,
  slowReaderBytes: 1024 * 1024,
  queuedPongs: 60,
  namespaces: 1000,
  messagesPerSecond: Infinity,
  bytesPerSecond: Infinity,
  rateBurstMs: 1000,
  deferredBytes: 16 * 1024 * 1024,
  connections: Infinity,
  connectionsPerAddress: Infinity,
  ipv6PrefixBits: 64,
  pendingHandshakes: Infinity,
  pendingMiddlewares: Infinity,
  loopLagMs: Infinity,
  idleSessionMs: Infinity,
  roomsPerSocket: Infinity,
  childNamespaces: Infinity,
  emptyNamespaceMs: Infinity,
  pendingAcks: Infinity,
  ackLifetimeMs: Infinity,
  replayedPackets: Infinity,
  replayedBytes: Infinity,
  recoveriesPerMinute: Infinity,
};

/** Settings of limits: they can't be switched off. */
const SETTINGS = new Set(["rateBurstMs", "ipv6PrefixBits"]);
/** Numbers that must be greater than 0. */
const POSITIVE = new Set(["messagesPerSecond", "bytesPerSecond", "rateBurstMs"]);
const OVER_RATE = ["defer", "drop", "close"] as const;
const NAMES = [...Object.keys(DEFAULTS), "overRate", "droppedAck"];

/** So many of the largest messages that are allowed may be incomplete at a time: programs that raise `maxHttpBufferSize` expect large ones. */
const HELD_MESSAGES = 16;

/**
 * Validates the option and fills in the defaults.
 * @param maxMessageBytes  the option `maxHttpBufferSize`
 * @throws UsageError RC_ERR_OPTION on an unknown name or a value that is neither a non-negative number nor `false`
 */
export function resolveLimits(given: LimitOptions | undefined | null, maxMessageBytes: number = 0): Limits {
  const partOfHeap = Math.floor(getHeapStatistics().heap_size_limit / 4);
  const resolved: Record<NumberOption, number> = {
    ...DEFAULTS,
    totalBufferedBytes: partOfHeap,
    totalHeldBytes: Math.max(partOfHeap, maxMessageBytes * HELD_MESSAGES),
  };
  if (given !== undefined && given !== null) applyGiven(given, resolved);
  const { bufferedBytes, bufferedPackets, stalledBytes, messagesPerSecond, bytesPerSecond } = resolved;
  return {
    ...resolved,
    overRate: expectOverRate(given?.overRate),
    droppedAck: jsonOfAck(given?.droppedAck),
    hasRates: messagesPerSecond !== Infinity || bytesPerSecond !== Infinity,
    watchedBytes: Math.min(bufferedBytes, bufferedPackets * PACKET_OVERHEAD_BYTES, stalledBytes),
  };
}

function applyGiven(given: LimitOptions, resolved: Record<string, number>): void {
  if (typeof given !== "object") throw new UsageError("RC_ERR_OPTION", `option limits: expected an object, met ${typeof given}`);
  for (const [name, value] of Object.entries(given) as [string, unknown][]) {
    if (!NAMES.includes(name)) {
      throw new UsageError("RC_ERR_OPTION", `option limits: expected one of ${NAMES.join(", ")}, met ${JSON.stringify(name)}`);
    }
    if (value === undefined || !Object.hasOwn(DEFAULTS, name)) continue;
    if (value === false && !SETTINGS.has(name)) resolved[name] = Infinity;
    else if (typeof value === "number" && (value > 0 || (value === 0 && !POSITIVE.has(name)))) resolved[name] = value;
    else {
      const expected = POSITIVE.has(name) ? "a positive number" : "a non-negative number";
      const orFalse = SETTINGS.has(name) ? "" : " or false";
      throw new UsageError(
        "RC_ERR_OPTION",
        `option limits.${name}: expected ${expected}${orFalse}, met ${typeof value === "number" ? value : typeof value}`,
      );
    }
  }
}

function expectOverRate(value: unknown): Limits["overRate"] {
  if (value === undefined) return "defer";
  const policy = OVER_RATE.find((known) => known === value);
  if (policy !== undefined) return policy;
  const met = typeof value === "string" ? JSON.stringify(value) : typeof value;
  throw new UsageError("RC_ERR_OPTION", `option limits.overRate: expected one of ${OVER_RATE.join(", ")}, met ${met}`);
}

function jsonOfAck(value: unknown): string | null {
  if (value === undefined) return null;
  let json: string | undefined;
  try {
    if (Array.isArray(value)) json = JSON.stringify(value);
  } catch {
    // a BigInt or a circular value
  }
  if (json !== undefined) return json;
  throw new UsageError("RC_ERR_OPTION", `option limits.droppedAck: expected an array of JSON values, met ${typeof value}`);
}

export type LimitCode =
  | "RC_ERR_BUFFERED_BYTES"
  | "RC_ERR_BUFFERED_PACKETS"
  | "RC_ERR_TOTAL_BUFFERED_BYTES"
  | "RC_ERR_TOTAL_HELD_BYTES"
  | "RC_ERR_STALLED"
  | "RC_ERR_QUEUED_PONGS"
  | "RC_ERR_BODY_BYTES"
  | "RC_ERR_BODY_CHUNKS"
  | "RC_ERR_MESSAGE_RATE"
  | "RC_ERR_BYTE_RATE"
  | "RC_ERR_DEFERRED_BYTES"
  | "RC_ERR_CONNECTIONS"
  | "RC_ERR_CONNECTIONS_PER_ADDRESS"
  | "RC_ERR_PENDING_HANDSHAKES"
  | "RC_ERR_LOOP_LAG"
  | "RC_ERR_IDLE_SESSION"
  | "RC_ERR_ROOMS"
  | "RC_ERR_PENDING_ACKS"
  | "RC_ERR_ACK_LIFETIME";

/** The error of a connection that is closed, or a handshake that is refused, for a limit: `code`, `limit`, `met`. */
export function limitError(code: LimitCode, what: string, limit: number, met: number): LimitError {
  return new LimitError(code, `${what}: limit ${limit}, met ${met}`, limit, met);
}
