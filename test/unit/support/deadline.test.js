import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import FakeTimers from "@sinonjs/fake-timers";
import deadlineModule from "../../../dist/support/deadline.js";

const { Deadline } = deadlineModule;

/** A fake clock, and a log of what expired when. */
function setUp(t) {
  const clock = FakeTimers.install({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  t.after(() => clock.uninstall());
  const log = [];
  const deadline = (name) => new Deadline((owner) => log.push([owner, clock.now]), name);
  return { clock, log, deadline };
}

test("expires once, exactly after its delay", (t) => {
  const { clock, log, deadline } = setUp(t);
  const one = deadline("one");
  one.start(100);
  assert.equal(one.active, true);
  clock.tick(99);
  assert.deepEqual(log, []);
  clock.tick(1);
  clock.tick(1000);
  assert.deepEqual(log, [["one", 100]]);
  assert.equal(one.active, false);
});

test("starts anew when it is started again, and moves between delays", (t) => {
  const { clock, log, deadline } = setUp(t);
  const [one, two] = [deadline("one"), deadline("two")];
  one.start(100);
  two.start(100);
  clock.tick(60);
  one.start(100);
  clock.tick(60);
  assert.deepEqual(log, [["two", 100]]);
  one.start(10);
  clock.tick(10);
  assert.deepEqual(log.at(-1), ["one", 130]);
});

test("rounds its delay up to whole milliseconds, so that fractions share one timer [ROB-170]", (t) => {
  const { clock, log, deadline } = setUp(t);
  deadline("a").start(99.1);
  deadline("b").start(99.9);
  clock.tick(99);
  assert.deepEqual(log, []);
  clock.tick(1);
  assert.deepEqual(log, [
    ["a", 100],
    ["b", 100],
  ]);
});

test("says nothing after cancel, and cancels without harm when it isn't running", (t) => {
  const { clock, log, deadline } = setUp(t);
  const one = deadline("one");
  one.cancel();
  one.start(10);
  one.cancel();
  clock.tick(50);
  assert.deepEqual(log, []);
});

test("expires equal delays in the order of their starts, also when others are cancelled", (t) => {
  const { clock, log, deadline } = setUp(t);
  const all = ["a", "b", "c", "d"].map(deadline);
  for (const one of all) one.start(20);
  all[1].cancel();
  clock.tick(20);
  assert.deepEqual(
    log.map(([name]) => name),
    ["a", "c", "d"],
  );
});

test("gives the others their turn when a callback throws", () => {
  const script = `
    const { Deadline } = require(${JSON.stringify(fileURLToPath(new URL("../../../dist/support/deadline.js", import.meta.url)))});
    process.on("uncaughtException", (error) => console.log(error.message));
    new Deadline(() => { throw new Error("of a listener"); }).start(5);
    new Deadline(() => console.log("next")).start(5);`;
  const { stdout } = spawnSync(process.execPath, ["-e", script], { encoding: "utf8", timeout: 10_000 });
  assert.equal(stdout, "of a listener\nnext\n");
});

test("runs its callback in no client's async context [EVT-34]", async () => {
  const storage = new AsyncLocalStorage();
  const seen = await new Promise((resolve) => {
    storage.run("a client's", () => new Deadline(() => resolve(storage.getStore()), null).start(1));
  });
  assert.equal(seen, undefined);
});

test("is never early by the real clock", async () => {
  for (const delay of [1, 5, 20]) {
    const start = performance.now();
    await new Promise((resolve) => new Deadline(resolve, null).start(delay));
    assert.ok(performance.now() - start >= delay, `${delay} ms`);
  }
});

test("gives the memory of deadlines of many different lengths back when they are cancelled [ROB-170]", () => {
  const script = `
    const { Deadline } = require(${JSON.stringify(fileURLToPath(new URL("../../../dist/support/deadline.js", import.meta.url)))});
    const run = (count) => {
      for (let i = 0; i < count; i++) {
        const deadline = new Deadline(() => {}, null);
        deadline.start(600000 + i * 0.7);
        deadline.cancel();
      }
    };
    run(1000);
    gc();
    const before = process.memoryUsage().heapUsed;
    run(200000);
    gc();
    process.stdout.write(String(process.memoryUsage().heapUsed - before));
  `;
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--expose-gc", "-e", script], { encoding: "utf8", timeout: 60_000 });
  assert.equal(status, 0, stderr);
  assert.ok(Number(stdout) < 4 * 1024 * 1024, `${stdout} bytes are kept`);
});
