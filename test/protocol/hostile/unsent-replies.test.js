/** Peers that cause replies and never read them: row 39 of the list of known attacks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertBounded, openAttacker, openBystander, sessionEnd, startChild, WEBSOCKET_PATH } from "../../support/hostile/child.js";
import { oursOnly } from "../../support/target.js";
import { PollingSession, SEPARATOR, WireSocket, messageFrame } from "../../support/wire-client.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const NO_LIMITS = oursOnly("it buffers without limit");

/** What a packet counts beside its payload. */
const OVERHEAD = 320;

/** A polling session that has joined and never polls again, so that all it is sent waits in its queue. */
async function openSilent(child) {
  const session = await PollingSession.open(child.port, "", { path: "/socket.io/" });
  await session.post("40");
  const [answer] = await session.poll();
  session.socketId = JSON.parse(answer.slice(2)).sid;
  return session;
}

/** Polls until so many events have come. */
async function receive(session, count) {
  for (let got = 0; got < count;) got += (await session.poll()).filter((packet) => packet.startsWith("4")).length;
}

/** Asks until it gives the same twice, with other clients served in between. */
async function settled(ask, bystander) {
  for (let before = -1; ;) {
    for (let i = 0; i < 20; i++) await bystander.check(20_000);
    const now = await ask();
    if (now === before) return now;
    before = now;
  }
}

for (const [what, size] of Object.entries({ "tiny events": 0, "events of 100 characters": 100 })) {
  test(`counts ${what} that wait as what they take of the memory [ROB-120]`, NO_LIMITS, async (t) => {
    const limits = { bufferedBytes: false, bufferedPackets: false, totalBufferedBytes: false };
    const child = await startChild(t, { app: "answering", options: { limits } });
    const session = await openSilent(child);
    const before = await child.heldBytes();
    const { packets, bytes } = await child.call("fill", session.socketId, { packets: 100_000, size, shared: false });
    assert.equal(packets, 100_000);
    const held = (await child.heldBytes()) - before;
    const counted = bytes + packets * OVERHEAD;
    assert.ok(held < counted && held > counted / 4, `${held / packets} bytes are held for a packet, ${counted / packets} are counted`);
  });
}

const WIRES = [
  ["below the stream", {}, {}],
  ["through the stream", { sockets: "stream" }, {}],
  ["by us, compressed", { perMessageDeflate: { threshold: 1e9 } }, { "Sec-WebSocket-Extensions": "permessage-deflate" }],
  [
    "by a library that compresses",
    { perMessageDeflate: { threshold: 1e9, serverNoContextTakeover: false } },
    { "Sec-WebSocket-Extensions": "permessage-deflate" },
  ],
  ["by an application that listens to its requests", { wsEngine: undefined, keepRequest: true }, {}],
];
for (const [how, options, headers] of WIRES) {
  test(
    `stops reading from a WebSocket, read ${how}, while its replies cannot be written, and loses none [ROB-123]`,
    NO_LIMITS,
    async (t) => {
      const child = await startChild(t, { app: "answering", options: { ...options, pingInterval: 60_000 } });
      const bystander = await openBystander(t, child);
      const ws = await WireSocket.open(child.port, WEBSOCKET_PATH, headers);
      t.after(() => ws.abort());
      ws.send("40");
      await ws.until((message) => message.startsWith("40"));
      const before = await child.heldBytes();
      ws.pause();
      const count = 100_000;
      ws.write(Buffer.concat(Array(count).fill(messageFrame('420["ask",200]'))));
      const answered = await settled(() => child.call("answered"), bystander);
      assert.ok(answered < count, "all of it was read");
      assertBounded(before, await child.heldBytes(), 16 * MIB, "while it doesn't read");
      let read = 0;
      ws.socket.removeAllListeners("data");
      const all = new Promise((resolve) =>
        ws.socket.on("data", (chunk) => (read += chunk.length) >= count * (4 + `430["${"x".repeat(200)}"]`.length) && resolve()),
      );
      ws.resume();
      await all;
      assert.equal(await child.call("answered"), count);
      await bystander.check(20_000);
      await child.assertUnharmed();
    },
  );
}

test("answers no further POST of a client that doesn't poll, until it does [ROB-123]", NO_LIMITS, async (t) => {
  const child = await startChild(t, { app: "answering", options: { pingInterval: 60_000 } });
  const bystander = await openBystander(t, child);
  const session = await openSilent(child);
  const body = Array(1000).fill('420["ask",4000]').join(SEPARATOR);
  let posts = 0;
  let isHeld = false;
  let posting;
  while (!isHeld && posts < 10) {
    posts++;
    posting = session.post(body);
    isHeld = await Promise.race([posting.then(() => false), settled(() => child.call("answered"), bystander).then(() => true)]);
  }
  assert.ok(isHeld && posts > 1, `${posts} POSTs were answered`);
  assert.equal(await child.call("answered"), (posts - 1) * 1000);
  await receive(session, posts * 1000);
  await posting;
  await child.assertUnharmed();
});

test("keeps a client that is not read from as long as it reads, and ends one that doesn't [ROB-124]", NO_LIMITS, async (t) => {
  const child = await startChild(t, { app: "answering", options: { pingInterval: 300, pingTimeout: 2500 } });
  const bystander = await openBystander(t, child);
  const silent = await openAttacker(t, child);
  const reading = await openAttacker(t, child);
  const flood = Buffer.concat(Array(100_000).fill(messageFrame('420["ask",200]')));
  for (const ws of [silent, reading]) {
    ws.pause();
    ws.write(flood);
  }
  let read = 0;
  let paused = 0;
  reading.socket.removeAllListeners("data");
  const all = new Promise((resolve) => {
    reading.socket.on("data", (chunk) => {
      read += chunk.length;
      if (read > 100_000 * 209) resolve();
      reading.pause();
      paused += 12;
      setTimeout(() => reading.resume(), 12);
    });
  });
  reading.resume();
  const pongs = setInterval(() => reading.send("3"), 100); // they stand behind what it has sent
  t.after(() => clearInterval(pongs));
  const { reason } = await sessionEnd(child, silent.sid, 20_000);
  assert.equal(reason, "ping timeout");
  await all;
  assert.ok(paused > 3000, `it took ${paused} ms`);
  assert.equal((await child.call("state")).sockets, 2);
  await bystander.check(20_000);
  await child.assertUnharmed();
});

test("keeps a heap of 512 MiB and its other clients, with ten peers that ask and read no answer [ROB-123]", NO_LIMITS, async (t) => {
  const child = await startChild(t, { app: "answering", execArgv: ["--max-old-space-size=512"] });
  const bystanders = [];
  for (let i = 0; i < 20; i++) bystanders.push(await openBystander(t, child));
  const before = await child.heldBytes();
  const flood = Buffer.concat(Array(100_000).fill(messageFrame('420["ask",500]')));
  for (let i = 0; i < 10; i++) {
    const ws = await openAttacker(t, child);
    ws.pause();
    ws.write(flood);
  }
  for (let round = 0; round < 10; round++) await Promise.all(bystanders.map((bystander) => bystander.check(30_000)));
  assertBounded(before, await child.heldBytes(), 160 * MIB, "with ten floods");
  await child.assertUnharmed();
  assert.ok((await child.call("state")).sockets >= 20, "somebody was disturbed");
});

test("ends the connection for which most waits when all together are over the limit [ROB-122]", NO_LIMITS, async (t) => {
  const child = await startChild(t, { app: "sender", options: { limits: { totalBufferedBytes: 8 * MIB } } });
  const sessions = [];
  for (let i = 0; i < 4; i++) sessions.push(await openSilent(child));
  const [largest, ...others] = sessions;
  await child.call("pour", largest.socketId, { bytes: 3 * MIB, size: 64 * KIB });
  for (const { socketId } of others) await child.call("pour", socketId, { bytes: 2 * MIB, size: 64 * KIB });
  const { reason, description } = await sessionEnd(child, largest.sid);
  assert.deepEqual([reason, description.code, description.limit], ["transport error", "RC_ERR_TOTAL_BUFFERED_BYTES", 8 * MIB]);
  for (const session of others) await receive(session, 32);
  await child.untilClients(3);
  // What has left or was dropped doesn't count any more.
  for (const { socketId } of others) await child.call("pour", socketId, { bytes: 2 * MIB, size: 64 * KIB });
  for (const session of others) await receive(session, 32);
  await child.assertUnharmed();
});

test("counts a broadcast that waits for many once [ROB-122]", NO_LIMITS, async (t) => {
  const child = await startChild(t, { app: "answering", options: { limits: { totalBufferedBytes: 3 * MIB } } });
  const sessions = [];
  for (let i = 0; i < 10; i++) sessions.push(await openSilent(child));
  for (let round = 0; round < 3; round++) {
    await child.call("fill", sessions[0].socketId, { packets: 2, size: MIB, shared: true });
    for (const session of sessions) await receive(session, 2);
  }
  await child.untilClients(10);
  await child.assertUnharmed();
});
