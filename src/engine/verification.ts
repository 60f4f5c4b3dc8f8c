import type { EngineRequest } from "./host";
import type { Session } from "./session";
import type { TransportName } from "./transport";

/** Numbers of the refusals, as clients see them. */
export const ERRORS = {
  UNKNOWN_TRANSPORT: 0,
  UNKNOWN_SID: 1,
  BAD_HANDSHAKE_METHOD: 2,
  BAD_REQUEST: 3,
  FORBIDDEN: 4,
  UNSUPPORTED_PROTOCOL_VERSION: 5,
} as const;

export type ErrorNumber = (typeof ERRORS)[keyof typeof ERRORS];

/** Texts of the refusals, by number. */
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
  /** Replaces the text of the code in the response. */
  readonly message?: string | number;
}

export function refuse(code: ErrorNumber, context: Record<string, unknown>, message?: string | number): Refusal {
  return message === undefined ? { code, context } : { code, context, message };
}

/** The revision a query asks for: exactly `4`, or 3. */
export function revisionOf(query: Record<string, string>): 3 | 4 {
  return query["EIO"] === "4" ? 4 : 3;
}

export function supportsBinary(query: Record<string, string>): boolean {
  return !query["b64"];
}

const FORBIDDEN_IN_HEADER = /[^\t\x20-\x7e\x80-\xff]/;

/**
 * Judges a request by its query: which session it belongs to, or why it is refused.
 * @returns the session, null for an acceptable handshake, or the refusal
 */
export function verify(
  request: EngineRequest,
  isUpgrade: boolean,
  transports: readonly TransportName[],
  find: (sid: string) => Session | undefined,
): Session | Refusal | null {
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
    if (session === undefined) return refuse(ERRORS.UNKNOWN_SID, { sid });
    if (!isUpgrade && session.transport.name !== transport) {
      return refuse(ERRORS.BAD_REQUEST, { name: "TRANSPORT_MISMATCH", transport, previousTransport: session.transport.name });
    }
    const protocol = revisionOf(query);
    if (protocol !== session.protocol) {
      return refuse(ERRORS.BAD_REQUEST, { name: "PROTOCOL_MISMATCH", protocol, previousProtocol: session.protocol });
    }
    if (!isUpgrade && transport !== "polling") return refuse(ERRORS.BAD_REQUEST, { name: "TRANSPORT_HANDSHAKE_ERROR" });
    return session;
  }
  if (request.method !== "GET") return refuse(ERRORS.BAD_HANDSHAKE_METHOD, { method: request.method });
  if (transport === "websocket" && !isUpgrade) return refuse(ERRORS.BAD_REQUEST, { name: "TRANSPORT_HANDSHAKE_ERROR" });
  return null;
}
