// Refusals of POST bodies (ROB-152, ROB-153, ENG-183).
import type { BodyLimits, BodyOutcome, Exchange } from "./host";
import { limitError } from "./limits";
import type { LimitError } from "../errors";

/**
 * Answers a POST whose body is incomplete or exceeds a limit.
 * @param met  the number of bytes or chunks that exceeded the limit
 * @returns message and description of the session's error
 */
export function refuseBody(
  exchange: Exchange,
  outcome: Exclude<BodyOutcome, "complete">,
  met: number,
  limits: BodyLimits,
): { message: string; description?: LimitError } {
  switch (outcome) {
    case "aborted":
      return { message: "data request connection closed prematurely" };
    case "no length":
      exchange.refuse(411, null, "");
      return { message: "content-length header required" };
    case "too large":
      exchange.refuse(413, null, "");
      return { message: outcome, description: limitError("RC_ERR_BODY_BYTES", "payload too large", limits.bytes, met) };
    case "too many chunks":
      exchange.refuse(413, null, "");
      return { message: outcome, description: limitError("RC_ERR_BODY_CHUNKS", outcome, limits.chunks, met) };
  }
}
