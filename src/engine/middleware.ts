// Middlewares of the engine (`io.engine.use`), and running a list of them.
import type { IncomingMessage, ServerResponse } from "node:http";
import { ask, runInTurn } from "../support/ask";

/** A function with the signature of an Express middleware. It runs before verification, for every HTTP and upgrade request of the engine. */
export type Middleware = (req: IncomingMessage, res: ServerResponse, next: (err?: any) => void) => void;

/**
 * Runs middlewares in order (ENG-70). Each has one outcome: its first call of `next`, an exception, or a rejection (ENG-71).
 * @param done       called with the error, or with null after the last one; not called when a middleware answers the request (ENG-72)
 * @param onFailure  called with each exception and rejection, also after the outcome
 */
export function runMiddlewares(
  list: readonly Middleware[],
  req: IncomingMessage,
  res: ServerResponse,
  done: (error: unknown) => void,
  onFailure: (error: unknown) => void,
): void {
  const run = (middleware: Middleware, next: (error?: unknown) => void): void =>
    ask<[error?: unknown]>((answer) => middleware(req, res, answer), {
      onAnswer: next,
      onFailure: (error) => {
        onFailure(error);
        next(error);
      },
      onLateFailure: onFailure,
    });
  runInTurn(list, run, done);
}
