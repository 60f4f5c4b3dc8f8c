// Error classes and their codes.

/**
 * Every error code with its meaning. Test `err.code`, not the text.
 *
 * A new code needs a line here, an entry with the same words in docs/errors.md, and code that throws it.
 */
export const ERROR_CODES = {
  RC_ERR_OPTION: "an option has an invalid value",
  RC_ERR_ARGUMENT: "a method was called with an invalid argument",
  RC_ERR_REMOVED: "a member of the 2.x API that no longer exists was used",
  RC_ERR_RESERVED_EVENT: "an event name is reserved",
  RC_ERR_EVENT_NAME: "an event name is neither a string nor a finite number",
  RC_ERR_ENCODING: "a value cannot be encoded",
  RC_ERR_NAMESPACE: "a namespace does not support the operation",
  RC_ERR_PACKET_TYPE: "a packet has an unknown type",
  RC_ERR_PAYLOAD: "a packet's payload is invalid",
  RC_ERR_ATTACHMENTS: "a packet's binary attachments do not match its header",
  RC_ERR_BUFFERED_BYTES: "more bytes wait for a client than `limits.bufferedBytes` allows",
  RC_ERR_BUFFERED_PACKETS: "more packets wait for a client than `limits.bufferedPackets` allows",
  RC_ERR_TOTAL_BUFFERED_BYTES: "more bytes wait for all clients than `limits.totalBufferedBytes` allows",
  RC_ERR_TOTAL_HELD_BYTES: "more bytes of incomplete input are held for all clients than `limits.totalHeldBytes` allows",
  RC_ERR_STALLED: "a client has read nothing for `limits.stalledAfterMs`",
  RC_ERR_QUEUED_PONGS: "a client sends pings and does not read the pongs",
  RC_ERR_MESSAGE_BYTES: "a WebSocket message is larger than `maxHttpBufferSize` allows",
  RC_ERR_BODY_BYTES: "a request body is larger than `maxHttpBufferSize` allows",
  RC_ERR_BODY_CHUNKS: "a request body arrived in more chunks than `maxBufferedChunks` allows",
  RC_ERR_MESSAGE_RATE: "a client sends more messages than `limits.messagesPerSecond` allows",
  RC_ERR_BYTE_RATE: "a client sends more bytes than `limits.bytesPerSecond` allows",
  RC_ERR_DEFERRED_BYTES: "more messages of a client wait for their turn than `limits.deferredBytes` allows",
  RC_ERR_CONNECTIONS: "more connections would be open than `limits.connections` allows",
  RC_ERR_CONNECTIONS_PER_ADDRESS: "more connections of one address would be open than `limits.connectionsPerAddress` allows",
  RC_ERR_PENDING_HANDSHAKES: "more handshakes would be under way than `limits.pendingHandshakes` allows",
  RC_ERR_PENDING_MIDDLEWARES: "more joins would wait for middlewares than `limits.pendingMiddlewares` allows",
  RC_ERR_LOOP_LAG: "the event loop is later than `limits.loopLagMs` allows",
  RC_ERR_IDLE_SESSION: "a connection was in no namespace for `limits.idleSessionMs`",
  RC_ERR_ROOMS: "a socket would be in more rooms than `limits.roomsPerSocket` allows",
  RC_ERR_NAMESPACES: "a connection would be in more namespaces than `limits.namespaces` allows",
  RC_ERR_CHILD_NAMESPACES: "more namespaces of one pattern would be open than `limits.childNamespaces` allows",
  RC_ERR_PENDING_ACKS: "a client owes more acknowledgements than `limits.pendingAcks` allows",
  RC_ERR_ACK_LIFETIME: "an acknowledgement without a time-out did not arrive within `limits.ackLifetimeMs`",
  RC_ERR_REPLAY: "a recovery would replay more packets than `limits.replayedPackets` or `limits.replayedBytes` allows",
  RC_ERR_RECOVERIES: "a session is recovered more often than `limits.recoveriesPerMinute` allows",
  RC_ERR_TIMEOUT: "an answer did not arrive in time",
  RC_ERR_DISCONNECTED: "a socket was disconnected while the program waited for it",
  RC_ERR_CLUSTER_LINK: "a message could not be sent to the other servers",
  RC_ERR_WORKER: "a worker of this machine did not start",
  RC_ERR_CLOSED: "the server was closed before an answer arrived",
} as const;

/** One of the codes. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** Base class of the errors: `code` is one of `ERROR_CODES`. Its `name` is `Error`, as of Node's own errors with a code. */
export class RoomcastError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** A peer violated the protocol; its connection is closed. */
export class ProtocolError extends RoomcastError {}

/** A mistake of the calling program, thrown at once. */
export class UsageError extends RoomcastError {}

/** A mistake of the calling program: a value that cannot be encoded. A `TypeError`, like that of `JSON.stringify`; `cause` is what the encoder threw. */
export class EncodingError extends TypeError {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, cause: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** A failure or time-out of another node of the cluster. What arrived before is not thrown away. */
export class ClusterError extends RoomcastError {
  /** What was received until then: of `fetchSockets()` sockets, of `serverSideEmit()` answers. */
  responses: unknown[] = [];
  /** Ids of the servers that have not answered, as far as they are known (see `io.nodes()`). */
  silent: string[] = [];
}

/** A connection was closed because it exceeded a limit. */
export class LimitError extends RoomcastError {
  /** The configured limit, in its unit. */
  readonly limit: number;
  /** The value that exceeded it, in the same unit. */
  readonly met: number;

  constructor(code: ErrorCode, message: string, limit: number, met: number) {
    super(code, message);
    this.limit = limit;
    this.met = met;
  }
}
