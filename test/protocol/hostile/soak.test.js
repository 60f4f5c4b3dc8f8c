/** The soak of two minutes: clients of every kind come and go, then memory, handles and all tables are as before. `npm run soak` runs longer ones. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { oursOnly } from "../../support/target.js";

const program = fileURLToPath(new URL("../../../bench/soak.mjs", import.meta.url));

test(
  "has memory, handles and every table as before after two minutes of clients that come and go [ROB-796]",
  {
    ...oursOnly("it has no stats()"),
    timeout: 290_000,
  },
  async () => {
    const child = spawn(process.execPath, [program, "--minutes", "2", "--rate", "20"], { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (text) => (output += text));
    const code = await new Promise((resolve) => child.once("exit", resolve));
    assert.equal(code, 0, output);
  },
);
