/** A server is replaced by another one behind nginx, with few clients; `npm run deploy-test` does it with 5,000 and checks the times. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { hasNginx } from "../../support/proxies.js";

const RUN = fileURLToPath(new URL("deploy/run.mjs", import.meta.url));
const CLIENTS = 200;

test(
  `moves clients to a new server behind nginx, with their sessions, and ends with exit code 0 [ROB-727, ROB-728, ROB-737]${hasNginx ? "" : " (skipped: nginx is not installed)"}`,
  { skip: !hasNginx },
  async (t) => {
    const run = spawn(process.execPath, [RUN, "--clients", String(CLIENTS), "--seconds", "2"], { stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => run.kill());
    let output = "";
    run.stdout.on("data", (chunk) => (output += chunk));
    await once(run, "close"); // its exit code depends on times, too
    const figures = JSON.parse(output.slice(output.indexOf("{")));
    assert.equal(figures["exit code of the old server"], 0);
    assert.equal(figures["stderr of the old server"], "");
    assert.equal(figures["clients at the new server"], CLIENTS);
    assert.deepEqual(figures["close codes"], { 1012: CLIENTS });
    assert.equal(figures["recovered sessions"], CLIENTS);
    t.diagnostic(output);
  },
);
