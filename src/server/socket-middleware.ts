/** An event as socket middlewares see it: its name, its arguments, perhaps the function that answers it. */
export type Event = [string, ...any[]];

/** Judges an event: `next()` lets it pass, `next(error)` drops it and raises `error` on the socket. */
export type SocketMiddleware = (event: Event, next: (err?: Error) => void) => void;

/**
 * Asks one middleware after the other.
 * @param done  called once: with the first error, or with nothing when all let the event pass
 */
export function runMiddlewares(
  middlewares: readonly SocketMiddleware[],
  event: Event,
  done: (error?: Error) => void,
  at: number = 0,
): void {
  let isAnswered = false;
  middlewares[at](event, (error) => {
    if (isAnswered) return;
    isAnswered = true;
    if (error) done(error);
    else if (at + 1 < middlewares.length) runMiddlewares(middlewares, event, done, at + 1);
    else done();
  });
}
