import { createRequire } from "node:module";

const { ProtocolError } = createRequire(import.meta.url)("../../dist/errors.js");

/** Runs `decode`, which may give a result or throw a ProtocolError: then null. Any other exception is a fault. */
export function judge(decode) {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return null;
  }
}
