// Verification of requests by their query and method, and the refusals.
import type { ForeignSessions } from "./foreign-sessions";
import type { EngineRequest } from "./host";
import type { Session } from "./session";
import type { TransportName } from "./transport";

/** Error codes of refusals, as sent to clients (ENG-4). */
export const ERRORS = {
  UNKNOWN_TRANSPORT: 0,
  UNKNOWN_SID: 1,
  BAD_HANDSHAKE_METHOD: 2,
  BAD_REQUEST: 3,
  FORBIDDEN: 4,
  UNSUPPORTED_PROTOCOL_VERSION: 5,
} as const;

export type ErrorNumber = (typeof ERRORS)[keyof typeof ERRORS];

/** Messages of refusals, by code. */
export const ERROR_MESSAGES: Record<ErrorNumber, string> = {
  0: "Transport unknown",
  1: "Session ID unknown",
  2: "Bad handshake method",
  3: "Bad request",
  4: "Forbidden",
  5: "Unsupported protocol version",
};

/** Why a request was refused. */
export interface Refusal {
  readonly code: ErrorNumber;
  readonly context: Record<string, unknown>;
  /** Replaces the message of the code in the response (ENG-41). */
  readonly message?: string | number;
  /** HTTP status; by default 403 for `FORBIDDEN`, 400 for all others. */
  readonly status?: 429 | 503;
  /** The likely cause, beside the message in the body. */
  readonly hint?: string;
  /** Headers that the response has besides its usual ones. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** `io.close()` was called (ROB-207). */
export const SERVER_CLOSING: Refusal = {
  code: ERRORS.BAD_REQUEST,
  context: { name: "SERVER_CLOSING" },
  message: "Server is closing",
  status: 503,
};

/** The server moves its clients to other processes (ROB-725). A proxy may ask another process at once. */
export const SERVER_DRAINING: Refusal = {
  code: ERRORS.BAD_REQUEST,
  context: { name: "SERVER_DRAINING" },
  message: "Server is draining",
  status: 503,
  headers: { "Retry-After": "1" },
};

export function refuse(code: ErrorNumber, context: Record<string, unknown>, message?: string | number): Refusal {
  return message === undefined ? { code, context } : { code, context, message };
}

/** The protocol revision that a query selects: `EIO=4` selects 4, anything else 3 (EIO-1). */
export function revisionOf(query: Record<string, string>): 3 | 4 {
  return query["EIO"] === "4" ? 4 : 3;
}

/** Whether the peer can receive binary data (EIO-22). */
export function supportsBinary(query: Record<string, string>): boolean {
  return !query["b64"];
}

function unknownSession(sid: string, foreign: ForeignSessions | null): Refusal {
  const refusal = refuse(ERRORS.UNKNOWN_SID, { sid });
  return foreign === null || foreign.hint === null ? refusal : { ...refusal, hint: foreign.hint };
}

/** The response to a request that is refused (ENG-4). */
export function refusalResponse({ code, status, message, hint, headers }: Refusal): {
  status: number;
  headers: Record<string, string | number>;
  body: string;
} {
  const body = JSON.stringify({ code, message: message ?? ERROR_MESSAGES[code], hint });
  return {
    status: status ?? (code === ERRORS.FORBIDDEN ? 403 : 400),
    headers: { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body), ...headers },
    body,
  };
}

const FORBIDDEN_IN_HEADER = /[^\t\x20-\x7e\x80-\xff]/;

/**
 * Verifies a request in the order of ENG-40: finds its session, or the reason to refuse it.
 * @param foreign  the sessions of other processes, if they are carried
 * @returns the session, null for an acceptable handshake, `foreign`, or the refusal
 */
export function verify(
  request: EngineRequest,
  isUpgrade: boolean,
  transports: readonly TransportName[],
  find: (sid: string) => Session | undefined,
  foreign: ForeignSessions | null = null,
): Session | Refusal | "foreign" | null {
  const query = request._query;
  const transport = query["transport"] as TransportName | undefined;
  if (transport === undefined || !transports.includes(transport) || transport === "webtransport") {
    return refuse(ERRORS.UNKNOWN_TRANSPORT, { transport });
  }
  const origin = request.headers.origin;
  if (origin !== undefined && FORBIDDEN_IN_HEADER.test(origin)) {
    (request.headers as Record<string, unknown>)["origin"] = null;
    return refuse(ERRORS.BAD_REQUEST, { name: "INVALID_ORIGIN", origin });
  }
  const sid = query["sid"];
  if (sid) {
    const session = find(sid);
    if (session === undefined) return foreign?.isForeign(sid) === true ? "foreign" : unknownSession(sid, foreign);
    if (!isUpgrade && session.transport.name !== transport) {
      return refuse(ERRORS.BAD_REQUEST, { name: "TRANSPORT_MISMATCH", transport, previousTransport: session.transport.name });
    }
    const protocol = revisionOf(query);
    if (protocol !== session.protocol) {
      // EIO-3
      return refuse(ERRORS.BAD_REQUEST, { name: "PROTOCOL_MISMATCH", protocol, previousProtocol: session.protocol });
    }
    if (!isUpgrade && transport !== "polling") return refuse(ERRORS.BAD_REQUEST, { name: "TRANSPORT_HANDSHAKE_ERROR" });
    return session;
  }
  if (request.method !== "GET") return refuse(ERRORS.BAD_HANDSHAKE_METHOD, { method: request.method });
  if (transport === "websocket" && !isUpgrade) return refuse(ERRORS.BAD_REQUEST, { name: "TRANSPORT_HANDSHAKE_ERROR" });
  return null;
}
