import type { IncomingMessage, ServerResponse } from "node:http";

/** A function run before verification, for every request and upgrade request of the engine; the interface of Express. */
export type Middleware = (req: IncomingMessage, res: ServerResponse, next: (err?: any) => void) => void;

/**
 * Runs middlewares in order. Each has one outcome: its first `next`, its throw, or its rejection; what comes later is ignored.
 * @param done  called with the error, or with null when all have passed; never when one of them answered the request itself
 */
export function runMiddlewares(
  list: readonly Middleware[],
  req: IncomingMessage,
  res: ServerResponse,
  done: (error: unknown) => void,
): void {
  const runFrom = (index: number): void => {
    const middleware = list[index];
    if (middleware === undefined) return done(null);
    let isSettled = false;
    const settle = (error?: unknown): void => {
      if (isSettled) return;
      isSettled = true;
      if (error) done(error);
      else runFrom(index + 1);
    };
    let result: unknown;
    try {
      result = middleware(req, res, settle);
    } catch (error) {
      return settle(error ?? new Error("middleware threw nothing"));
    }
    if (typeof (result as PromiseLike<unknown> | undefined)?.then === "function") {
      (result as PromiseLike<unknown>).then(undefined, (error: unknown) => settle(error ?? new Error("middleware rejected")));
    }
  };
  runFrom(0);
}
