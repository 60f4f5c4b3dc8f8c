// The option `cors`: the middleware of the package `cors`.
import type { ServerResponse } from "node:http";
import type cors from "cors";
import createDebug from "debug";
import { ask } from "../support/ask";
import { quoted } from "../support/log-text";

const debug = createDebug("engine");

type Callback = (error: unknown, value?: unknown) => void;
type Delegate = (subject: unknown, callback: Callback) => unknown;

/**
 * The middleware for the option `cors` (ENG-76); null without the option, and the package isn't loaded then.
 * @param settings.onFailure  called with each exception or rejection of a delegate or `origin` function; the request is refused then
 * @param settings.allowPrivateNetwork  whether preflight requests for a private network are allowed (ROB-470)
 */
export function corsMiddleware(
  options: unknown,
  { onFailure, allowPrivateNetwork }: { onFailure: (error: unknown) => void; allowPrivateNetwork: boolean },
): ReturnType<typeof cors> | null {
  if (!options) return null;
  const makeMiddleware = require("cors") as typeof cors;
  const middleware = makeMiddleware(guard(options, onFailure) as cors.CorsOptions);
  return (request, response, next) => {
    const isPreflight = request.method === "OPTIONS";
    const asksForPrivateNetwork = isPreflight && request.headers["access-control-request-private-network"] === "true";
    if (allowPrivateNetwork && asksForPrivateNetwork) response.setHeader("Access-Control-Allow-Private-Network", "true");
    if (!debug.enabled || request.headers.origin === undefined) return middleware(request, response, next);
    const answer = response as ServerResponse;
    const log = (): void => logDecision(request.headers.origin, answer.getHeader("Access-Control-Allow-Origin"));
    if (isPreflight) answer.once("finish", log); // answered by the middleware itself
    middleware(request, response, (error?: unknown) => {
      if (!isPreflight) log();
      next(error);
    });
  };
}

function logDecision(origin: unknown, allowed: unknown): void {
  if (allowed === "*" || allowed === origin) debug("cors: pages of %s may read the answer", quoted(origin));
  else debug("cors: pages of %s may not read the answer: Access-Control-Allow-Origin is %s", quoted(origin), quoted(allowed ?? ""));
}

/** Wraps the functions in the options, so that their exceptions and rejections refuse the request (ROB-201). */
function guard(options: unknown, onFailure: (error: unknown) => void): unknown {
  if (typeof options === "function") {
    const delegate = options as Delegate;
    return ((request, callback) =>
      guardCall(delegate, request, (error, given) => callback(error, guard(given, onFailure)), onFailure)) satisfies Delegate;
  }
  const origin = (options as { origin?: unknown } | null | undefined)?.origin;
  if (typeof origin !== "function") return options;
  const decide: Delegate = (met, callback) => guardCall(origin as Delegate, met, callback, onFailure);
  return { ...(options as object), origin: decide };
}

function guardCall(delegate: Delegate, subject: unknown, callback: Callback, onFailure: (error: unknown) => void): void {
  ask<[error: unknown, value?: unknown]>((answer) => delegate(subject, answer), {
    onAnswer: callback,
    onFailure: (error) => {
      onFailure(error);
      callback(error);
    },
    onLateFailure: onFailure,
  });
}
