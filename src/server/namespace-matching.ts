// The patterns of parent namespaces: regular expressions, and functions of the application.
import { UsageError } from "../errors";
import { ask } from "../support/ask";
import type { Warnings } from "../support/warnings";

/** Decides whether a namespace may be created: calls `fn(error, isAllowed)`, now or later. */
export type ParentNspNameMatchFn = (name: string, auth: { [key: string]: any }, fn: (err: Error | null, success: boolean) => void) => void;

/**
 * Turns a pattern into a function.
 * @throws UsageError RC_ERR_ARGUMENT on a regular expression with flag `g` or `y`, whose result depends on `lastIndex` (SRV-54)
 */
export function matcherOf(pattern: RegExp | ParentNspNameMatchFn): ParentNspNameMatchFn {
  if (typeof pattern === "function") return pattern;
  if (pattern.global || pattern.sticky) throw new UsageError("RC_ERR_ARGUMENT", "stateful regular expressions are not supported");
  return (name, _auth, fn) => fn(null, pattern.test(name));
}

/**
 * Calls one such function. If it throws or rejects, that is a refusal and a process warning (ROB-201, ROB-203).
 * @param call  calls the function with the callback that it gets
 * @param done  called once with the decision
 */
export function askMatcher(
  call: (answer: (error: unknown, isAllowed: boolean) => void) => unknown,
  warnings: Warnings,
  done: (isAllowed: boolean) => void,
): void {
  const warn = (error: unknown): void =>
    warnings.warn("ROOMCAST_MIDDLEWARE_FAILED", "the function that opens namespaces failed, the namespace is refused", error);
  ask<[error: unknown, isAllowed: boolean]>(call, {
    onAnswer: (error, isAllowed) => done(!error && Boolean(isAllowed)),
    onFailure: (error) => {
      warn(error);
      done(false);
    },
  });
}
