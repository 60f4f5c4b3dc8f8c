/** The fuzzer for a few seconds, so that its targets work; `npm run fuzz` runs it for longer. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { oursOnly } from "../../support/target.js";

const program = fileURLToPath(new URL("../../../fuzz/run.mjs", import.meta.url));

test(
  "finds nothing in mutated input at the decoders of packets, nor at a server [ROB-793]",
  oursOnly("it has these decoders"),
  async () => {
    const child = spawn(
      process.execPath,
      [program, "--seconds", "10", "--target", "socketio-packets", "--target", "websocket-server", "--seed", "1"],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    let output = "";
    child.stdout.on("data", (text) => (output += text));
    const code = await new Promise((resolve) => child.once("exit", resolve));
    assert.equal(code, 0, output);
    assert.match(output, /inputs/);
  },
);
