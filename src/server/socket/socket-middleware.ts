// The types of socket middlewares (`socket.use()`).
/** The event that socket middlewares get: name and arguments; if the client expects an acknowledgement, also the function that sends it. */
export type Event = [string, ...any[]];

/** Checks an event: `next()` accepts it, `next(error)` drops it and emits `error` on the socket (EVT-32). */
export type SocketMiddleware = (event: Event, next: (err?: Error) => void) => void;
