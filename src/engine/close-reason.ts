/** Why a session ended: the engine's part of the disconnect reasons. */
export type CloseReason = "forced close" | "transport close" | "transport error" | "parse error" | "ping timeout";

/** The description of a `transport error`. */
export interface TransportError extends Error {
  type: "TransportError";
  /** What the layer below said: its Error, or a status. */
  description?: unknown;
}

/** Makes the description of a `transport error`. */
export function transportError(message: string, description?: unknown): TransportError {
  const error = new Error(message) as TransportError;
  error.type = "TransportError";
  if (description !== undefined) error.description = description;
  return error;
}
