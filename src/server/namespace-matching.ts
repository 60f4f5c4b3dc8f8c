import { UsageError } from "../errors";

/** Decides whether a namespace may be opened: calls `fn(error, isAllowed)`, now or later. */
export type ParentNspNameMatchFn = (name: string, auth: { [key: string]: any }, fn: (err: Error | null, success: boolean) => void) => void;

/**
 * Turns a pattern of names into a function that decides.
 * @throws UsageError RC_ERR_ARGUMENT on an expression that remembers where it was (flags `g`, `y`)
 */
export function matcherOf(pattern: RegExp | ParentNspNameMatchFn): ParentNspNameMatchFn {
  if (typeof pattern === "function") return pattern;
  if (pattern.global || pattern.sticky) throw new UsageError("RC_ERR_ARGUMENT", "stateful regular expressions are not supported");
  return (name, _auth, fn) => fn(null, pattern.test(name));
}

/**
 * Asks one function. What it throws or rejects with counts as a refusal, and as a process warning.
 * @param done  called once
 */
export function ask(match: ParentNspNameMatchFn, name: string, auth: { [key: string]: any }, done: (isAllowed: boolean) => void): void {
  let isAnswered = false;
  const answer = (error: unknown, isAllowed: boolean): void => {
    if (isAnswered) return;
    isAnswered = true;
    done(!error && Boolean(isAllowed));
  };
  const onFailure = (error: unknown): void => {
    const message = error instanceof Error ? error.message : String(error);
    process.emitWarning(`the function that opens namespaces failed, the namespace is refused: ${message}`, {
      code: "ROOMCAST_MIDDLEWARE_FAILED",
    });
    answer(error ?? true, false);
  };
  let result: unknown;
  try {
    result = match(name, auth, answer);
  } catch (error) {
    if (isAnswered) throw error; // of somebody who was told that the namespace is open
    return onFailure(error);
  }
  if (typeof (result as PromiseLike<unknown> | undefined)?.then === "function") (result as PromiseLike<unknown>).then(undefined, onFailure);
}
