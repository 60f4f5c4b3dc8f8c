// Objects of a class that is touched for every message keep the hidden class they were built with: a field added later, deleted, or first
// filled with another kind of number makes every access to them slower. Looked at in a child process, with V8's own functions.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const HOT = ["Session", "Socket", "Client", "WebSocketTransport", "PollingTransport", "Heartbeat", "RoomEntry", "Member", "PacketDecoder"];

const script = fileURLToPath(new URL("./fixtures/shapes.mjs", import.meta.url));
const { status, stdout, stderr } = spawnSync(process.execPath, ["--allow-natives-syntax", script], { encoding: "utf8", timeout: 60_000 });
const classes = status === 0 ? JSON.parse(stdout) : {};

test("connections of every kind are opened and used in a child process", () => {
  assert.equal(status, 0, stderr);
});

for (const name of HOT) {
  test(`has ${name} objects of one hidden class, fresh or used`, () => {
    const seen = classes[name];
    assert.ok(seen?.count >= 2, `${name}: ${seen?.count ?? 0} objects met`);
    assert.deepEqual(seen.slow, [], "objects that became dictionaries");
    assert.deepEqual(seen.different, [], "objects unlike the first of their class");
  });
}

test("has no other object beside a connection that changes its hidden class", () => {
  const changing = Object.entries(classes).filter(([, { slow, different }]) => slow.length + different.length > 0);
  assert.deepEqual(Object.fromEntries(changing), {});
});
