// The checks of options that several adapters and emitters share.
import { UsageError } from "../errors";
import { textOf } from "../support/log-text";
import type { LinkOptions } from "./link-hub";

/** @throws UsageError RC_ERR_ARGUMENT: probably arguments in another order */
export function expectOptions(options: unknown): void {
  if (typeof options !== "object" || options === null)
    throw new UsageError("RC_ERR_ARGUMENT", `options: expected an object, met ${textOf(options)}`);
}

/**
 * Checks what all adapters with a link take.
 * @throws UsageError RC_ERR_ARGUMENT if it is no object, RC_ERR_OPTION on an option that cannot be used
 */
export function checkLinkOptions(options: LinkOptions): void {
  expectOptions(options);
  const { carrySessions } = options;
  if (carrySessions !== undefined && typeof carrySessions !== "boolean") throw misuse("carrySessions", "a boolean", carrySessions);
  for (const name of ["requestsTimeout", "heartbeatInterval", "heartbeatTimeout"] as const) {
    const value = options[name];
    if (value !== undefined && !(typeof value === "number" && value > 0 && value < 2 ** 31))
      throw misuse(name, "a positive number of milliseconds", value);
  }
}

/** @throws UsageError RC_ERR_OPTION */
export function checkText(name: string, value: unknown): void {
  if (typeof value !== "string" || value === "") throw misuse(name, "a text", value);
}

/** The error for an option that cannot be used. */
export function misuse(name: string, expected: string, met: unknown): UsageError {
  return new UsageError("RC_ERR_OPTION", `option ${name}: expected ${expected}, met ${textOf(met)}`);
}
