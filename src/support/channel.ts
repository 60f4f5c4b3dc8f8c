// A channel of `node:diagnostics_channel` whose messages have one type. docs/observability.md lists all channels.
import { channel as named } from "node:diagnostics_channel";

/** Code that publishes asks `hasSubscribers` first and builds the message only then: without subscribers that costs 1 to 2 ns. */
export interface Channel<Message extends object> {
  readonly hasSubscribers: boolean;
  publish(message: Message): void;
}

export function channel<Message extends object>(name: `roomcast:${string}`): Channel<Message> {
  return named(name) as Channel<Message>;
}

/** A message of a pair of channels, `…:start` and `…:end`. Both get the same object, so subscribers may keep what they need in a WeakMap. */
export interface Spanned {
  /** What the work ended with; undefined if it went well, and at the start. */
  error: unknown;
  /**
   * Null. A subscriber of the start may set a function, which is called with the work and has to run it at once, for example in an async
   * context. One that finds a function calls it in its own.
   */
  run: ((work: () => void) => void) | null;
}

/** Runs the work as the subscribers of the start want it. */
export function runSpanned({ run }: Spanned, work: () => void): void {
  if (run === null) work();
  else run(work);
}
