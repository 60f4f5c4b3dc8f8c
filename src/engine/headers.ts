// Validation of response headers.
import { validateHeaderName, validateHeaderValue } from "node:http";
import type { HeaderValue, ResponseHeaders } from "./host";

/**
 * Validates a header by Node's rules, which prevent header injection (ROB-204).
 * @throws TypeError ERR_INVALID_HTTP_TOKEN, ERR_INVALID_CHAR
 */
export function checkHeader(name: string, value: HeaderValue): void {
  validateHeaderName(name);
  if (typeof value === "object" && value !== null) for (const line of value) validateHeaderValue(name, String(line));
  else validateHeaderValue(name, String(value));
}

/** The validation error of headers; null if they are valid. */
export function headerErrorOf(headers: ResponseHeaders): Error | null {
  try {
    for (const name in headers) checkHeader(name, headers[name]);
    return null;
  } catch (error) {
    return error as Error;
  }
}
