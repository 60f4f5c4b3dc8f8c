// What is known about the end of a connection or socket: the description of the events `disconnecting` and `disconnect`.
import { coarseClock } from "./coarse-clock";
import type { DisconnectReason } from "./close-reason";
import { Session } from "./session";
import { ERROR_MESSAGES, type Refusal } from "./verification";

/** Where an end was decided. */
export type EndLayer = "transport" | "engine" | "namespace" | "application";

/**
 * What is known about the end of a connection or socket. If an error ended it, it is that Error, with these members. Ages are in
 * milliseconds, to within a second.
 */
export interface DisconnectDetails {
  /**
   * Where the end was decided: `transport` (the connection was closed, lost or invalid), `engine` (heartbeat, packets of Engine.IO, limits),
   * `namespace` (packets of Socket.IO, the client left), `application` (a call of the program).
   */
  layer: EndLayer;
  /** The code of the error: an `ErrorCode`, or that of Node.js or `ws`. Without an error: the reason in capitals, such as `PING_TIMEOUT`. */
  code: string;
  /** The same in words. */
  message: string;
  /** The code of the peer's Close frame on WebSocket, 1005 if the frame had none. Undefined if there was no such frame. */
  closeCode?: number;
  /** The reason in this frame. */
  closeReason?: string;
  /** The limit that was exceeded, in its unit. */
  limit?: number;
  /** The value that exceeded it. */
  met?: number;
  /** Milliseconds since the last bytes of the peer arrived. */
  lastInMs: number;
  /** Milliseconds since the last bytes for the peer were written. */
  lastOutMs: number;
  /** How late the event loop was within the last seconds, in milliseconds. Above a few hundred, a ping time-out may be the server's fault. */
  loopLagMs: number;
}

const LAYERS: Record<DisconnectReason, EndLayer> = {
  "transport close": "transport",
  "transport error": "transport",
  "parse error": "engine",
  "ping timeout": "engine",
  "forced close": "application",
  "forced server close": "namespace",
  "client namespace disconnect": "namespace",
  "server namespace disconnect": "application",
  "server shutting down": "application",
};

/**
 * Completes the cause of an end.
 * @param cause  an Error gets the members of `DisconnectDetails` that it doesn't have; undefined: a new object
 */
export function describeEnd(session: object, reason: DisconnectReason, cause: unknown): unknown {
  if (!(session instanceof Session)) return cause; // of an engine of another package
  if (cause === undefined) return describe(session, reason, session.violation ?? undefined);
  if (!(cause instanceof Error) || "layer" in cause || !Object.isExtensible(cause)) return cause;
  const details = describe(session, reason, cause);
  for (const [name, value] of Object.entries(details)) if (!(name in cause)) (cause as unknown as Record<string, unknown>)[name] = value;
  return cause;
}

/** The member `details` of `connection_error`: like those of a connection, without ages. */
export type RefusalDetails = Pick<DisconnectDetails, "layer" | "code" | "message" | "limit" | "met" | "loopLagMs">;

/** The details of a refusal: `code` is that of `context.error`, else `context.name`, else the message of the number in capitals. */
export function describeRefusal({ code, context, message }: Refusal): RefusalDetails {
  const { code: errorCode, limit, met } = (context["error"] ?? {}) as { code?: string; limit?: number; met?: number };
  const text = ERROR_MESSAGES[code];
  const details: RefusalDetails = {
    layer: "engine",
    code: errorCode ?? (context["name"] as string | undefined) ?? inCapitals(text),
    message: String(message ?? text),
    loopLagMs: coarseClock.lagMs,
  };
  if (limit !== undefined) details.limit = limit;
  if (met !== undefined) details.met = met;
  return details;
}

function inCapitals(text: string): string {
  return text.toUpperCase().replaceAll(" ", "_");
}

function describe(session: Session, reason: DisconnectReason, error: Error | undefined): DisconnectDetails {
  const { transport } = session;
  const known = (error ?? {}) as { code?: string; limit?: number; met?: number; description?: { code?: string } };
  const { limit, met } = known;
  const details: DisconnectDetails = {
    layer: limit !== undefined ? "engine" : session.violation !== null ? "namespace" : LAYERS[reason],
    code: known.code ?? known.description?.code ?? inCapitals(reason), // `description`: of the layer below
    message: error === undefined ? reason : error.message,
    lastInMs: coarseClock.since(transport.lastIn),
    lastOutMs: coarseClock.since(transport.lastOut),
    loopLagMs: coarseClock.lagMs,
  };
  if (limit !== undefined) details.limit = limit;
  if (met !== undefined) details.met = met;
  if (transport.peerClose !== null)
    Object.assign(details, { closeCode: transport.peerClose.code, closeReason: transport.peerClose.reason });
  return details;
}
