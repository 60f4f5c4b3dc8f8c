// Texts for the debug log of the engine. Each is one line of bounded length, without queries and cookies.
import { quoted } from "../support/log-text";
import type { EngineRequest } from "./host";
import type { Refusal } from "./verification";

/** Keys of a refusal's context that are logged; `message` and `error` may contain any data of the program. */
const LOGGED_KEYS = ["name", "transport", "previousTransport", "protocol", "previousProtocol", "sid", "origin", "method"];

/** Method, transport and session of a request. */
export function describeRequest({ method, _query }: EngineRequest): string {
  const { transport, sid } = _query;
  return `${method}, transport ${quoted(transport)}${sid === undefined ? ", a handshake" : `, session ${quoted(sid)}`}`;
}

/** The context of a refusal, with a space in front; empty without any. */
export function describeContext({ context }: Refusal): string {
  const shown = LOGGED_KEYS.filter((key) => context[key] !== undefined).map((key) => `${key} ${quoted(context[key])}`);
  return shown.length === 0 ? "" : ` (${shown.join(", ")})`;
}

/** The error that ended a session, with a comma in front; empty without one. */
export function causeOf(description: unknown): string {
  if (!(description instanceof Error)) return "";
  const { message, cause } = description;
  return `, ${quoted(cause instanceof Error ? `${message}: ${cause.message}` : message)}`;
}
