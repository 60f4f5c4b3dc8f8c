/** SIGTERM under load, with a drain (threat F10): `interop/sigterm` shows the same with clients of every version that move to another process. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect, once } from "../../support/client.js";
import { startSignalled } from "../../support/signalled.js";
import { oursOnly } from "../../support/target.js";
import { http } from "../../support/wire-client.js";

const CLIENTS = 24;
const PER_SECOND = 20;

const PAUSE_MS = 40;

/** Sends an event, and the next one a while after its answer, until its connection ends. */
function askWithoutEnd(client, name, acked) {
  let sent = 0;
  const ask = () => {
    const id = `${name}-${++sent}`;
    client.emit("work", id, () => {
      acked.add(id);
      setTimeout(() => client.connected && ask(), PAUSE_MS);
    });
  };
  ask();
}

test(
  "SIGTERM under load: new sessions are refused, clients leave at the pace, what a listener got is acknowledged, exit code 0 [F-10, ROB-725, ROB-729, ROB-730, ROB-737]",
  oursOnly("it handles no signals"),
  async (t) => {
    const directory = mkdtempSync(join(tmpdir(), "roomcast-sigterm-"));
    t.after(() => rmSync(directory, { recursive: true }));
    const log = join(directory, "handled");
    writeFileSync(log, "");
    const drain = { perSecond: PER_SECOND, jitterMs: 0, timeoutMs: 30_000 };
    const server = await startSignalled(t, { handleSignals: { drain }, log });
    const clients = await Promise.all(
      Array.from({ length: CLIENTS }, (_, index) =>
        connect(t, server.urls[0], "/", { transports: [index % 2 === 0 ? "websocket" : "polling"] }),
      ),
    );
    const acked = new Set();
    clients.forEach((client, index) => askWithoutEnd(client, index, acked));
    const ends = clients.map((client) => once(client, "disconnect", 60_000));
    await clients[0].emitWithAck("next");

    const start = performance.now();
    server.child.kill("SIGTERM");
    let refusal;
    do refusal = await http(Number(new URL(server.urls[0]).port), { path: "/socket.io/?EIO=4&transport=polling" });
    while (refusal.status === 200); // until the signal has arrived; such a session is moved, too
    assert.deepEqual([refusal.status, refusal.headers["retry-after"]], [503, "1"]);

    const reasons = new Set((await Promise.all(ends)).map(([reason]) => reason));
    assert.ok(performance.now() - start > ((CLIENTS - PER_SECOND / 10) / PER_SECOND) * 1000 - 100, "they left faster than the pace");
    assert.deepEqual([...reasons], ["transport close"]);
    assert.deepEqual(await server.ended, { code: 0, signal: null });
    assert.equal(server.output(), "");
    const lost = readFileSync(log, "utf8")
      .trim()
      .split("\n")
      .filter((id) => !acked.has(id));
    assert.deepEqual(lost, [], "handled, and not acknowledged");
  },
);
