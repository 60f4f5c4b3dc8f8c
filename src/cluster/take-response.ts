// Responses on backends that bring each node those of all.
import type { Receiver } from "./link";
import { isResponse } from "./messages";

/** Hands a response to the adapter if that waits for it. @returns whether the message, any value, is a response */
export function takeResponse(receiver: Receiver, message: unknown): boolean {
  if (!isResponse(message)) return false;
  const { requestId } = ((message as { data?: unknown }).data ?? {}) as { requestId?: unknown };
  if (typeof requestId === "string" && receiver.isWaitingFor(requestId)) receiver.onResponse(message);
  return true;
}
