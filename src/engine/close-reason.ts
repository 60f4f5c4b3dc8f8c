// Reasons for which sessions and sockets end, and the error that describes a `transport error`.

import { LimitError } from "../errors";

export const CLOSE_REASONS = ["forced close", "transport close", "transport error", "parse error", "ping timeout"] as const;

/** Why a session ended (ENG-162). */
export type CloseReason = (typeof CLOSE_REASONS)[number];

export const DISCONNECT_REASONS = [
  ...CLOSE_REASONS,
  "server shutting down",
  "forced server close",
  "client namespace disconnect",
  "server namespace disconnect",
] as const;

/** Why a socket was disconnected: the first argument of `disconnecting` and `disconnect` listeners (DIS-20 to DIS-28). */
export type DisconnectReason = (typeof DISCONNECT_REASONS)[number];

/** The description of a `transport error`. */
export interface TransportError extends Error {
  type: "TransportError";
  /** The Error of the layer below, or a status. */
  description?: unknown;
}

function transportError(message: string, description?: unknown): TransportError {
  const error = new Error(message) as TransportError;
  error.type = "TransportError";
  if (description !== undefined) error.description = description;
  return error;
}

/** The cause of an end that a transport reports: a limit, or a transport error. A message over the limit names it (ROB-713). */
export function causeOfTransport(message: string, description: unknown, maxBytes: number): Error {
  if (description instanceof LimitError) return description;
  const error = transportError(message, description);
  const { code, met } = (description ?? {}) as { code?: unknown; met?: number };
  if (code !== "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH") return error;
  return Object.assign(error, { code: "RC_ERR_MESSAGE_BYTES", limit: Number(maxBytes) }, met === undefined ? null : { met });
}
