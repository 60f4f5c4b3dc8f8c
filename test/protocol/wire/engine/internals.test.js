// Node.js majors that nobody has tested, and internals that have changed: clients don't notice, since the documented ways do the same.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { connect } from "../../../support/client.js";
import { oursOnly } from "../../../support/target.js";
import { within } from "../../../support/wait.js";

const fixture = (name) => fileURLToPath(new URL(`../../../support/fixtures/internals/${name}`, import.meta.url));
const VALUES = ["short", "ä€😀", "x".repeat(300_000), Buffer.from([1, 2, 3]), { list: [1, null], bytes: Buffer.alloc(70_000, 7) }];

/** Starts the server in a process where `script` has run before anything of it was loaded. */
async function startWith(t, script) {
  const execArgv = ["count.cjs", script].filter(Boolean).flatMap((name) => ["--require", fixture(name)]);
  const child = fork(fixture("echo-server.mjs"), { execArgv, stdio: ["ignore", "inherit", "inherit", "ipc"] });
  t.after(() => child.kill("SIGKILL"));
  return within(new Promise((resolve) => child.once("message", resolve)), "the port");
}

/** What a client sees, and which ways were taken while a WebSocket echoed. */
async function echoes(t, port, transport) {
  const socket = await connect(t, port, "/", { transports: [transport] });
  const before = await socket.timeout(5000).emitWithAck("ways");
  const got = [];
  for (const value of VALUES) got.push(await socket.timeout(5000).emitWithAck("echo", value));
  const after = await socket.timeout(5000).emitWithAck("ways");
  return { got, streamWrites: after.streamWrites - before.streamWrites, wsHandshakes: after.wsHandshakes, emitters: after.emitters };
}

/** By title: the script, and the documented ways that have to be taken with it. */
const CASES = {
  "a Node.js as tested": { script: null, streams: false, ws: false },
  "a Node.js of an unknown major": { script: "unknown-major.cjs", streams: true, ws: true },
  "another runtime": { script: "another-runtime.cjs", streams: true, ws: true },
  "a Node.js whose handles lack a member": { script: "changed-handle.cjs", streams: true, ws: false },
  "a Node.js whose sockets call their handles in another way": { script: "changed-write.cjs", streams: true, ws: false },
  "a Node.js whose emitters have another member": { script: "changed-emitter.cjs", streams: false, ws: false, emitters: "plain" },
  "a ws that takes connections in another way": { script: "changed-ws.cjs", streams: false, ws: true },
};

for (const [title, { script, streams, ws, emitters = "lean" }] of Object.entries(CASES)) {
  test(`serves WebSocket and polling on ${title} [ENG-115, ENG-201]`, oursOnly("it uses no internals"), async (t) => {
    const port = await startWith(t, script);
    const seen = await echoes(t, port, "websocket");
    assert.deepEqual(seen.got, VALUES);
    assert.equal(seen.streamWrites > 0, streams, `${seen.streamWrites} writes through streams`);
    assert.equal(seen.wsHandshakes > 0, ws, `${seen.wsHandshakes} handshakes of ws`);
    assert.equal(seen.emitters, emitters);
    assert.deepEqual((await echoes(t, port, "polling")).got, VALUES);
  });
}
