/** The other doors of the package under test, and its manifest. */
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { isReference } from "./target.js";

/** The directory of the package under test. */
export const directory = process.env.TEST_TARGET
  ? resolve(process.env.TEST_TARGET)
  : fileURLToPath(new URL("../..", import.meta.url)).replace(/[\\/]$/, "");

const manifestFile = join(directory, "package.json");
export const manifest = JSON.parse(readFileSync(manifestFile, "utf8"));

/** Resolves like a program inside that package. */
export const requireFromTarget = createRequire(manifestFile);

/** `Adapter`, `ClusterAdapter`, … of `roomcast/adapter`, or of the `socket.io-adapter` that the original resolves. */
export const adapters = requireFromTarget(isReference ? "socket.io-adapter" : "roomcast/adapter");

/** Loads the package as an ES module, by the file its `exports` name. */
export function importTarget() {
  let entry = manifest.exports["."];
  while (typeof entry !== "string") entry = entry.import ?? entry.node ?? entry.default;
  return import(pathToFileURL(join(dirname(manifestFile), entry)));
}
