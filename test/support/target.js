/**
 * The package under test: roomcast, or the one whose directory is in the environment variable TEST_TARGET.
 * The same test can so be run against the original, to see that it tells the truth about the protocol.
 */
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const directory = process.env.TEST_TARGET ? resolve(process.env.TEST_TARGET) : fileURLToPath(new URL("../..", import.meta.url));
const manifest = join(directory, "package.json");
const requireFromTarget = createRequire(manifest);
const { name } = JSON.parse(readFileSync(manifest, "utf8"));

/** True when the original is under test: assertions about what we do differently on purpose are left out. */
export const isReference = name === "socket.io";

const target = requireFromTarget(name === "roomcast" ? "roomcast" : directory);

/** The engine alone: `roomcast/engine`, or the `engine.io` that the original resolves. */
export const engine = requireFromTarget(isReference ? "engine.io" : "roomcast/engine");

/** The whole module, as `require` gives it. */
export { target };
export const { Server, Namespace, Socket } = target;

/**
 * Runs `check` unless the original is under test: for what we do better on purpose.
 * @param reason  why the original differs, one sentence
 */
export function ours(reason, check) {
  if (typeof reason !== "string" || reason === "") throw new TypeError("say why the original differs");
  return isReference ? undefined : check();
}

/** Test options that skip a whole test on the original, with the reason shown. */
export function oursOnly(reason) {
  return isReference ? { skip: `the original differs: ${reason}` } : {};
}
