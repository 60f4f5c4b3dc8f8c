// Lines and texts for the debug log of the engine. Each is one line of bounded length, without queries and cookies.
import createDebug from "debug";
import { quoted } from "../support/log-text";
import type { EngineRequest } from "./host";
import { handshakeOriginOf, isSame } from "./origins";
import type { Refusal } from "./verification";

const debug = createDebug("engine");

/** Keys of a refusal's context that are logged; `message` and `error` may contain any data of the program. */
const LOGGED_KEYS = ["name", "transport", "previousTransport", "protocol", "previousProtocol", "sid", "origin", "method"];

/**
 * Method, transport and session of a request. With `needsCors`, the handshake of a page of another origin has a line before it: the server
 * opens the session, and only the browser knows that the page may not read the answer.
 */
export function logRequest({ method, headers, _query }: EngineRequest, { needsCors }: { needsCors: boolean }): void {
  const { transport, sid } = _query;
  const isFromElsewhere = headers.origin !== undefined && !isSame(handshakeOriginOf(headers, false));
  if (needsCors && sid === undefined && isFromElsewhere)
    debug("cors: without the option cors, pages of %s may not read the answer", quoted(headers.origin));
  debug("%s, transport %s%s", method, quoted(transport), sid === undefined ? ", a handshake" : `, session ${quoted(sid)}`);
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
