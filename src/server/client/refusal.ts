// The CONNECT_ERROR that a client gets when a namespace middleware has refused it.
import { quoted } from "../../support/log-text";
import type { Warnings } from "../../support/warnings";

/** What this file needs of the socket that was refused. */
export interface RefusedSocket {
  readonly nsp: { readonly name: string };
  readonly server: { readonly _warnings: Warnings };
  readonly client: { close(): void };
  _error(payload: unknown): void;
}

/** The reason of a refusal, as sent in the CONNECT_ERROR packet. */
export interface Refusal {
  readonly message: unknown;
  readonly data?: unknown;
}

/** The refusal after a middleware threw or rejected: the error itself is shown to the operator only (ROB-410). */
export const MIDDLEWARE_FAILED: Refusal = { message: "Internal server error" };
/** The refusal above `limits.pendingMiddlewares`. */
export const SERVER_BUSY: Refusal = { message: "Server is busy" };
const NOT_ALLOWED = "Not allowed";

/**
 * The refusal for the value that a middleware passed to `next`: `message` and `data` of an error or object, else the value as a string
 * (MID-3, MID-5). For an object without `message` and without a `toString` of its own, the message is `Not allowed` (ROB-411).
 */
export function refusalOf(error: unknown): Refusal {
  try {
    const { message, data } = error as { message?: unknown; data?: unknown };
    return { message: message === undefined ? textOf(error) : message, data };
  } catch {
    return { message: NOT_ALLOWED }; // a getter or a `toString` threw
  }
}

function textOf(value: unknown): string {
  const hasText = typeof value !== "object" || (value as object).toString !== Object.prototype.toString;
  return hasText ? String(value) : NOT_ALLOWED;
}

/**
 * Sends a refusal. If its data cannot be encoded, it is sent without the data and with a process warning (ROB-320).
 * @param options.isLegacy  for clients of revision 3: they get only the data or, without data, only the message (SIO-74, MID-4)
 */
export function sendRefusal(socket: RefusedSocket, { message, data }: Refusal, options: { isLegacy: boolean }): void {
  const complete = data === undefined ? { message } : { message, data };
  try {
    return socket._error(options.isLegacy ? data || message : complete);
  } catch (error) {
    const warning = `a client of namespace ${quoted(socket.nsp.name)} was refused without the data of the error`;
    socket.server._warnings.warn("ROOMCAST_REFUSAL_DATA", warning, error);
  }
  const text = typeof message === "string" ? message : NOT_ALLOWED;
  try {
    socket._error(options.isLegacy ? text : { message: text });
  } catch {
    socket.client.close(); // a custom parser that cannot encode even this
  }
}
