/** A listener of every event; gets the event's name and its arguments. */
export type CatchAllListener = (...args: any[]) => void;

/** Catch-all listeners in order of their turn; null until there is one. */
export type CatchAllListeners = CatchAllListener[] | null;

/** The listeners with another one behind, or with `first` in front of, the others. The list itself stays the same one. */
export function withListener(listeners: CatchAllListeners, listener: CatchAllListener, place: "first" | "last"): CatchAllListener[] {
  if (listeners === null) return [listener];
  if (place === "first") listeners.unshift(listener);
  else listeners.push(listener);
  return listeners;
}

/** The listeners without the first one identical to `listener`, or without any when none is named. */
export function withoutListener(listeners: CatchAllListeners, listener: CatchAllListener | undefined): CatchAllListeners {
  if (listeners === null || listener === undefined) return null;
  const at = listeners.indexOf(listener);
  if (at !== -1) listeners.splice(at, 1);
  return listeners;
}

/** Calls each listener that is registered now; what they add or remove counts from the next event on. */
export function callAll(listeners: CatchAllListeners, socket: object, event: readonly unknown[]): void {
  if (listeners === null || listeners.length === 0) return;
  for (const listener of listeners.slice()) listener.apply(socket, event as unknown[]);
}
