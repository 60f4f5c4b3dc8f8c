/**
 * Every error code, with what it means. Test `err.code`, never the text.
 *
 * A new code takes a line here, an entry of the same words in docs/errors.md, and a place that uses it.
 */
export const ERROR_CODES = {
  RC_ERR_OPTION: "an option has a value that cannot work",
  RC_ERR_ARGUMENT: "a method was called with an argument that cannot work",
  RC_ERR_REMOVED: "a member of the 2.x API was used that no longer exists",
  RC_ERR_RESERVED_EVENT: "an event name is reserved",
  RC_ERR_NAMESPACE: "a namespace cannot do what was asked",
  RC_ERR_PACKET_TYPE: "a packet has a type that does not exist",
  RC_ERR_PAYLOAD: "a packet's payload has the wrong shape",
  RC_ERR_ATTACHMENTS: "a packet's binary attachments do not fit its header",
  RC_ERR_BUFFERED_BYTES: "more bytes wait for a client than `limits.bufferedBytes` allows",
  RC_ERR_STALLED: "a client has taken no byte for `limits.stalledAfterMs`",
  RC_ERR_QUEUED_PONGS: "a client sends pings and does not read the pongs",
  RC_ERR_TIMEOUT: "an answer did not come in time",
} as const;

/** One of the codes. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** Every error of roomcast: `code` is one of `ERROR_CODES`. Like Node's own coded errors it keeps the `name` of its base, `Error`. */
export class RoomcastError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** A peer broke the rules of the protocol; the connection ends with it. */
export class ProtocolError extends RoomcastError {}

/** The caller's mistake, thrown at once. */
export class UsageError extends RoomcastError {}

/** Other nodes, and time-outs while waiting for them. */
export class ClusterError extends RoomcastError {}

/** A connection met a limit: describes why it was closed. */
export class LimitError extends RoomcastError {
  /** The limit, in its unit. */
  readonly limit: number;
  /** What was met. */
  readonly met: number;

  constructor(code: ErrorCode, message: string, limit: number, met: number) {
    super(code, message);
    this.limit = limit;
    this.met = met;
  }
}
