/** The vectors of test/support/vectors, with `{ hex }` turned into Buffers. */
import { readFileSync } from "node:fs";

export function readVectors(name) {
  return JSON.parse(readFileSync(new URL(`../../support/vectors/${name}.json`, import.meta.url), "utf8"), (_key, value) => {
    const isBytes = typeof value?.hex === "string" && Object.keys(value).length === 1;
    return isBytes ? Buffer.from(value.hex, "hex") : value;
  });
}

/** What travels in a vector: its text or its bytes. */
export function wireOf({ text, hex }) {
  return text ?? Buffer.from(hex, "hex");
}

/** A short name of what travels, for titles. */
export function nameOf(wire) {
  return typeof wire === "string" ? JSON.stringify(wire) : `<${wire.toString("hex")}>`;
}
