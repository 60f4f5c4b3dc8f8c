/** What runs in whose async context when many clients share timers and ticks; row 37 of the list of known attacks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startChild } from "../../support/hostile/child.js";
import { ours } from "../../support/target.js";
import { openPeer } from "../wire/sio/peer.js";

/** These belong to whoever emitted; everything else to the client itself or to nobody. */
const OF_THE_EMITTER = ["ack", "ack time-out", "promise time-out", "broadcast time-out", "ack within time", "broadcast ack"];

/** A client named `name` that answers pings and the question `q` until `peer.isSilent`. */
async function openClient(t, child, transport, name) {
  const peer = await openPeer(t, child.port, transport, { query: `name=${name}` });
  peer.name = name;
  void answer(peer);
  peer.send(`40{"name":"${name}"}`);
  return peer;
}

async function answer(peer) {
  try {
    for (;;) {
      const message = await peer.next(60_000);
      if (peer.isSilent) continue;
      const [, id] = /^42(\d+)\["q"\]$/.exec(message) ?? [];
      if (message === "2") peer.send("3");
      else if (id !== undefined) peer.send(`43${id}["a"]`);
      else if (typeof message === "string" && message.startsWith("40")) peer.isJoined?.();
    }
  } catch {
    // the session ended, or the test did
  }
}

/** Collects reports until each client told each of `wanted` at least once; every report must come from its own context. */
async function collect(child, names, wanted) {
  const missing = new Set(names.flatMap((name) => wanted.map((what) => `${name} ${what}`)));
  while (missing.size > 0) {
    const [name, what, context] = await child.report("context");
    missing.delete(`${name} ${what}`);
    assert.ok(context === name || context === null, `${what} of ${name} ran in the context of ${context}`);
    if (OF_THE_EMITTER.includes(what)) {
      ours("its answers run in the context of the connection that brings them", () => {
        assert.equal(context, name, `${what} of ${name} lost its context`);
      });
    }
  }
}

const MIXES = [
  ["websocket", "websocket"],
  ["polling", "polling"],
  ["websocket", "polling"],
];
for (const transports of MIXES) {
  test(`runs every callback in the context of its own emitter or in none, for clients over ${transports.join(" and ")} [EVT-34, ENG-136, THREAT-37]`, async (t) => {
    const child = await startChild(t, { app: "contexts", options: { pingInterval: 80, pingTimeout: 1500 } });
    const peers = [];
    for (let i = 0; i < 8; i++) {
      const peer = await openClient(t, child, transports[i % 2], `client-${i}`);
      await new Promise((resolve) => (peer.isJoined = resolve));
      peers.push(peer);
    }
    const names = peers.map(({ name }) => name);
    for (let round = 0; round < 3; round++) {
      for (const peer of peers) peer.send('42["work",30]', '42["answered"]');
      await collect(child, names, [...OF_THE_EMITTER, "flush", "drain"]);
    }
    for (let round = 0; round < 3; round++) {
      await child.call("burst");
      await collect(child, names, ["flush", "drain", "ack time-out"]);
    }
    await collect(child, names, ["heartbeat"]);
    for (const peer of peers.slice(0, 4)) peer.isSilent = true; // time-outs of the heartbeat
    for (const peer of peers.slice(4)) peer.abort();
    await collect(child, names, ["disconnect", "close"]);
    await child.untilClients(0);
    await child.assertUnharmed();
  });
}
