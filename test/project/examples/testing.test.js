/** The example of testing: its own tests pass, and find a server that tells everybody. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { oursOnly } from "../../support/target.js";
import { emptyProject, root } from "./readme-program.js";

const ours = oursOnly("the example is about roomcast");

/** Runs the example's tests in a folder of their own. @param change  changes app.js before */
function runTests(t, change = (text) => text) {
  const folder = emptyProject(t);
  cpSync(join(root, "examples/testing"), folder, { recursive: true });
  const app = join(folder, "app.js");
  writeFileSync(app, change(readFileSync(app, "utf8")));
  const env = { ...process.env, NODE_OPTIONS: "" };
  delete env.NODE_TEST_CONTEXT;
  return spawnSync(process.execPath, ["--test", "--test-reporter=tap", join(folder, "app.test.js")], {
    cwd: folder,
    env,
    encoding: "utf8",
    timeout: 120_000,
  });
}

test("the example's tests pass [ROB-955, ROB-958, ROB-959]", ours, (t) => {
  const { status, stdout } = runTests(t);
  assert.equal(status, 0, stdout);
  assert.match(stdout, /# pass 5\n/);
});

test("the example's tests find a server that tells everybody [ROB-958]", ours, (t) => {
  const { status, stdout } = runTests(t, (text) => text.replace('io.to(`chat ${room}`).emit("said"', 'io.emit("said"'));
  assert.equal(status, 1);
  assert.match(stdout, /expected no event "said", received said\('ann', 'hello'/);
});
