// The check of an option of `roomcast/metrics`.
import { inspect } from "node:util";
import { UsageError } from "../errors";

/** @param what  the function and its option @throws UsageError RC_ERR_OPTION */
export function expectOption(what: string, isRight: boolean, expected: string, met: unknown): void {
  if (!isRight) throw new UsageError("RC_ERR_OPTION", `${what}: expected ${expected}, met ${inspect(met, { depth: 0 })}`);
}
