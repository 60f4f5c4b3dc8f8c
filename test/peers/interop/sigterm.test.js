/** SIGTERM under load: clients move to another process, and nothing that was accepted is lost (threat F10). */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { mostInOneSecond, startSignalled } from "../../support/signalled.js";
import { oursOnly } from "../../support/target.js";
import { within } from "../../support/wait.js";
import { clients } from "./clients.js";

const EACH = 12;
const PER_SECOND = 25;
const KINDS = ["2.5", "4.8"].flatMap((version) => ["polling", "websocket"].map((transport) => ({ version, transport })));

/** Connects a client that asks without end, and goes to `next` when its connection ends. */
function worker(t, { version, transport }, name, url, next) {
  const socket = clients[version].io(url, { forceNew: true, transports: [transport] });
  const state = { acked: [], moved: false, errors: [] };
  t.after(() => {
    state.isOver = true;
    socket.disconnect();
  });
  let sent = 0;
  const ask = (server) => {
    const id = `${name}-${++sent}`;
    socket.emit("work", id, (answer) => {
      if (answer !== id) state.errors.push(answer);
      state.acked.push(id);
      if (!state.isOver && socket.connected) ask(server);
    });
  };
  state.connected = new Promise((resolve) => socket.on("connect", resolve));
  socket.on("connect", () => {
    for (let inFlight = 0; inFlight < 4; inFlight++) ask();
  });
  state.came = new Promise((resolve) => {
    socket.on("disconnect", (reason) => {
      state.reason = reason;
      socket.io.uri = next;
      socket.once("connect", resolve);
    });
  });
  return state;
}

test(
  "SIGTERM under load: exit code 0, nothing in stderr, every event that a listener got is acknowledged, and clients arrive at the pace [ROB-729, ROB-730, ROB-737, ROB-995]",
  oursOnly("it handles no signals"),
  async (t) => {
    const directory = mkdtempSync(join(tmpdir(), "roomcast-sigterm-"));
    t.after(() => rmSync(directory, { recursive: true }));
    const log = join(directory, "handled");
    writeFileSync(log, "");
    writeFileSync(`${log}-next`, "");
    const drain = { perSecond: PER_SECOND, jitterMs: 200, timeoutMs: 12_000 };
    const before = await startSignalled(t, { handleSignals: { drain }, log });
    const after = await startSignalled(t, { handleSignals: { drain }, log: `${log}-next` });
    const workers = KINDS.flatMap((kind) =>
      Array.from({ length: EACH }, (_, index) =>
        worker(t, kind, `${kind.version}-${kind.transport}-${index}`, before.urls[0], after.urls[0]),
      ),
    );
    await within(Promise.all(workers.map(({ connected }) => connected)), "all clients to connect", undefined, 60_000);
    await within(Promise.all(workers.map(async (one) => untilFalse(() => one.acked.length < 5))), "the load", undefined, 60_000);
    before.child.kill("SIGTERM");
    assert.deepEqual(await before.ended, { code: 0, signal: null });
    assert.equal(before.output(), "");
    await within(Promise.all(workers.map(({ came }) => came)), "all clients to arrive", undefined, 60_000);

    const handled = readFileSync(log, "utf8").trim().split("\n");
    const acked = new Set(workers.flatMap((one) => one.acked));
    assert.deepEqual(
      handled.filter((id) => !acked.has(id)),
      [],
      "handled, and the client doesn't know it",
    );
    assert.deepEqual(
      workers.flatMap(({ errors }) => errors),
      [],
    );
    assert.deepEqual([...new Set(workers.map(({ reason }) => reason))], ["transport close"]);
    const most = mostInOneSecond(after.connectedAt);
    assert.ok(most <= PER_SECOND + 3 * Math.sqrt(PER_SECOND), `${most} clients came within one second`);
    t.diagnostic(`${handled.length} events handled, at most ${most} clients within one second`);
  },
);

/** Waits until it is false; what no event tells. */
async function untilFalse(isSo) {
  while (isSo()) await new Promise((resolve) => setTimeout(resolve, 20));
}
