/** What is emitted while the process exits. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ours } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { OFFERS_DEFLATE, PollingSession, WireSocket } from "../../support/wire-client.js";

const FIXTURE = fileURLToPath(new URL("../../support/fixtures/emit-at-exit.mjs", import.meta.url));

/** A server that emits in a listener of `exit` which it registers after its first client came. */
async function start(t, options = {}) {
  const child = fork(FIXTURE, [JSON.stringify(options)], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  t.after(() => child.kill("SIGKILL"));
  const port = await within(new Promise((resolve) => child.once("message", resolve)), "the port");
  const joined = new Promise((resolve) => child.once("message", resolve));
  return { child, port, joined };
}

test("delivers over WebSocket what is emitted in a listener of exit that came after the first client [ROB-340]", async (t) => {
  const { child, port, joined } = await start(t);
  const ws = await WireSocket.open(port, "/socket.io/?EIO=4&transport=websocket");
  await ws.next();
  ws.send("40");
  await ws.next();
  await joined;
  child.send("exit");
  await ws.expect('42["bye",1]');
  await ours("it loses what follows the first packet", () => ws.expect('42["bye",2]'));
});

test("delivers over polling what is emitted in a listener of exit that came after the first client [ROB-340]", async (t) => {
  const { child, port, joined } = await start(t);
  const session = await PollingSession.open(port, "", { path: "/socket.io/" });
  await session.post("40");
  await session.poll();
  await joined;
  const waiting = session.poll();
  await session.post('42["waiting"]'); // the poll came before
  child.send("exit");
  assert.equal((await waiting)[0], '42["bye",1]');
});

for (const [how, options, headers] of [
  ["plain", {}, {}],
  ["compressed", { perMessageDeflate: true }, OFFERS_DEFLATE],
]) {
  for (const order of ["emit and exit", "emit, exit in the next turn"]) {
    test(`delivers a large message of the time before the exit, and what is emitted in a listener of exit, ${how}: ${order} [ROB-340, ROB-657]`, async (t) => {
      const { child, port, joined } = await start(t, options);
      const ws = await WireSocket.open(port, "/socket.io/?EIO=4&transport=websocket", headers, { windowBits: 15 });
      await ws.next();
      ws.send("40");
      await ws.next();
      await joined;
      child.send(order);
      assert.equal((await ws.next()).length, 200_000 + '42["large",""]'.length);
      await ws.expect('42["bye",1]');
      await ours("it loses what follows the first packet", () => ws.expect('42["bye",2]'));
    });
  }
}
