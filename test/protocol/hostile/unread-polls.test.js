/** Polls that are pipelined on one connection whose responses nobody reads. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertBounded, openBystander, startChild } from "../../support/hostile/child.js";
import { oursOnly } from "../../support/target.js";
import { HttpConnection, PollingSession, requestBytes } from "../../support/wire-client.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const NO_LIMITS = oursOnly("it buffers without limit");
const SESSIONS = 300;

async function openJoined(child) {
  const agent = await HttpConnection.open(child.port);
  const session = await PollingSession.open(child.port, "", { path: "/socket.io/", agent });
  await session.post("40");
  const [answer] = await session.poll();
  agent.abort();
  session.socketId = JSON.parse(answer.slice(2)).sid;
  return session;
}

/** A connection that sends what it is given and reads nothing. */
async function openUnread(t, child) {
  const connection = await HttpConnection.open(child.port);
  t.after(() => connection.abort());
  connection.socket.pause();
  return connection;
}

for (const [how, compression, headers, isNoise, ceiling] of [
  ["plain", false, {}, false, 40 * MIB],
  ["compressed", { threshold: 0 }, { "Accept-Encoding": "gzip" }, true, 80 * MIB],
]) {
  test(
    `limits by totalBufferedBytes what is held for polls of 300 sessions that are pipelined on one connection, unread, ${how} [ROB-155, ROB-122, ROB-990]`,
    NO_LIMITS,
    async (t) => {
      const limits = { totalBufferedBytes: 16 * MIB };
      const child = await startChild(t, { app: "answering", options: { limits, httpCompression: compression, pingInterval: 600_000 } });
      const bystander = await openBystander(t, child);
      const sessions = [];
      for (let i = 0; i < SESSIONS; i++) sessions.push(await openJoined(child));
      const before = await child.heldBytes();
      const connection = await openUnread(t, child);
      for (const session of sessions) connection.write(requestBytes(child.port, { path: session.url(), headers }));
      let most = 0;
      // The first poll waits, so that the responses to the others wait in the server.
      for (const [i, { socketId }] of sessions.slice(1).entries()) {
        if ((await child.call("fill", socketId, { packets: 10, size: 100 * KIB, shared: false, isNoise })) === null) continue;
        await bystander.check();
        if (i % 10 === 0) most = Math.max(most, await child.heldBytes());
      }
      assertBounded(before, Math.max(most, await child.heldBytes()), ceiling, "unread responses");
      const { codes } = await child.call("state");
      assert.ok(codes.RC_ERR_TOTAL_BUFFERED_BYTES > 0);
      await child.assertUnharmed();
    },
  );
}
