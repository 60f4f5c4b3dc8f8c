/** The types of `attachApp` beside those of uWebSockets.js itself. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");

test("takes apps as the library's own declarations describe them [SRV-29, ENG-180]", () => {
  const fixture = fileURLToPath(new URL("./fixtures/attach.ts", import.meta.url));
  const options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022", "--types", "node"];
  const { status, stdout } = spawnSync(process.execPath, [tsc, ...options, fixture], { encoding: "utf8" });
  assert.equal(stdout, "");
  assert.equal(status, 0);
});
