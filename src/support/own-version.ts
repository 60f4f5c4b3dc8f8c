// The version of this package.
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Reads the version in package.json, from the folder above the built file; "unknown" where a bundler has moved that file. */
export function ownVersion(): string {
  try {
    return (JSON.parse(readFileSync(join(__dirname, "../package.json"), "utf8")) as { version: string }).version;
  } catch {
    return "unknown";
  }
}
