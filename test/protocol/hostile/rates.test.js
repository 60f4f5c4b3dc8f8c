/** Clients that send more per second than `limits` allow, on WebSocket and on polling. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertBounded, openAttacker, openBystander, sessionEnd, startChild } from "../../support/hostile/child.js";
import { eventually, pair } from "../../support/pairs.js";
import { oursOnly } from "../../support/target.js";
import { frame, messageFrame, OPCODE, PollingSession } from "../../support/wire-client.js";

const MIB = 1024 * 1024;
const NO_RATES = oursOnly("it takes what comes");

/** A joined client that answers pings: `send` sends messages together, `next` gives the next message of Socket.IO. */
const clients = {
  async websocket(t, child) {
    const ws = await openAttacker(t, child);
    return {
      sid: ws.sid,
      send: (...messages) => ws.write(Buffer.concat(messages.map((message) => messageFrame(message)))),
      async next(ms) {
        for (;;) {
          const message = await ws.next(ms);
          if (message !== "2") return typeof message === "string" ? message.slice(1) : message;
          ws.send("3");
        }
      },
    };
  },
  async polling(t, child) {
    const session = await PollingSession.open(child.port, "", { path: "/socket.io/" });
    const waiting = [];
    let posted = Promise.resolve();
    const client = {
      sid: session.sid,
      /** One POST at a time, as official clients do it. The end of the session ends its requests. */
      send(...messages) {
        posted = posted.then(() => session.post(messages.join("\x1e"), { ms: 20_000 })).catch(() => {});
        return posted;
      },
      async next(ms) {
        while (waiting.length === 0) {
          for (const packet of await session.poll({ ms })) {
            if (packet === "2") void client.send("3");
            else waiting.push(packet.slice(1));
          }
        }
        return waiting.shift();
      },
    };
    await client.send("40");
    await client.next();
    return client;
  },
};

/** Messages that ask for acknowledgements `from` to `to - 1`. */
const questions = (from, to) => Array.from({ length: to - from }, (_, i) => `42${from + i}["echo",${from + i}]`);

for (const [transport, open] of Object.entries(clients)) {
  test(
    `defers what comes above messagesPerSecond, keeps the order and loses nothing, ${transport} [ROB-765, ROB-766]`,
    NO_RATES,
    async (t) => {
      const child = await startChild(t, { options: { limits: { messagesPerSecond: 50, rateBurstMs: 400 } } });
      const client = await open(t, child);
      const start = performance.now();
      void client.send(...questions(0, 70));
      for (let i = 0; i < 70; i++) assert.equal(await client.next(10_000), `3${i}[${i}]`);
      assert.ok(performance.now() - start > 900, "50 of 70 messages need a second"); // a least time, however slow the machine is
      void client.send(...questions(70, 75));
      for (let i = 70; i < 75; i++) assert.equal(await client.next(10_000), `3${i}[${i}]`);
      const { codes } = await child.call("state");
      assert.ok(codes.RC_ERR_MESSAGE_RATE > 0, "it is counted");
      await child.assertUnharmed();
    },
  );

  test(
    `keeps a client whose pongs wait behind its own messages, and closes it when it is silent, ${transport} [ROB-768]`,
    NO_RATES,
    async (t) => {
      const options = { pingInterval: 200, pingTimeout: 300, limits: { messagesPerSecond: 30, rateBurstMs: 100 } };
      const child = await startChild(t, { options });
      const client = await open(t, child);
      void client.send(...questions(0, 60)); // two seconds
      for (let i = 0; i < 60; i++) assert.equal(await client.next(10_000), `3${i}[${i}]`);
      const { reason } = await sessionEnd(child, client.sid, 10_000);
      assert.equal(reason, "ping timeout");
      await child.assertUnharmed();
    },
  );

  test(`closes a client above messagesPerSecond with "close", ${transport} [ROB-765, ROB-769]`, NO_RATES, async (t) => {
    const child = await startChild(t, { options: { limits: { messagesPerSecond: 1, rateBurstMs: 20_000, overRate: "close" } } });
    const bystander = await openBystander(t, child);
    const client = await open(t, child);
    void client.send(...questions(0, 40));
    const { reason, description } = await sessionEnd(child, client.sid);
    assert.equal(reason, "transport error");
    assert.deepEqual([description.code, description.limit, description.met], ["RC_ERR_MESSAGE_RATE", 20, 21]);
    await bystander.check();
    await child.assertUnharmed();
  });

  test(`closes a client above bytesPerSecond with "close", ${transport} [ROB-765, ROB-769]`, NO_RATES, async (t) => {
    const child = await startChild(t, { options: { limits: { bytesPerSecond: 1000, rateBurstMs: 10_000, overRate: "close" } } });
    const client = await open(t, child);
    const large = `42["none","${"x".repeat(9000)}"]`;
    void client.send(large, large);
    const { reason, description } = await sessionEnd(child, client.sid);
    assert.equal(reason, "transport error");
    assert.deepEqual([description.code, description.limit], ["RC_ERR_BYTE_RATE", 10_000]);
    assert.ok(description.met > 17_000 && description.met < 19_000, `met ${description.met}`);
    await child.assertUnharmed();
  });

  test(
    `drops events with "drop", answers them only where told to, and takes everything else, ${transport} [ROB-767]`,
    NO_RATES,
    async (t) => {
      const limits = { messagesPerSecond: 1, rateBurstMs: 10_000, overRate: "drop", droppedAck: [{ error: "too many" }] };
      const child = await startChild(t, { app: "doors", options: { limits } });
      const client = await open(t, child);
      void client.send(...questions(0, 14));
      const answers = new Set();
      for (let i = 0; i < 14; i++) answers.add(await client.next());
      for (let i = 0; i < 14; i++) {
        const expected = i < 9 ? `3${i}[${i}]` : `3${i}[{"error":"too many"}]`; // the CONNECT was counted, too
        if (i !== 9) assert.ok(answers.has(expected), `${expected} in ${[...answers].join(" ")}`); // a token may be back by then
      }
      const { codes } = await child.call("state");
      assert.ok(codes.RC_ERR_MESSAGE_RATE >= 4, "they are counted");
      void client.send("40/known,"); // not an event
      assert.match(await client.next(), /^0\/known,\{"sid"/);
      await child.assertUnharmed();
    },
  );
}

test("drops an event with its attachments, and keeps those of an event that it took [ROB-767]", NO_RATES, async (t) => {
  const limits = { messagesPerSecond: 0.001, rateBurstMs: 2_000_000, overRate: "drop" }; // two messages: the CONNECT and one more
  const child = await startChild(t, { app: "relay", options: { limits } });
  const ws = await openAttacker(t, child);
  const event = (name) => `452-["${name}",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`;
  const attachments = [Buffer.from([1]), Buffer.from([2])];
  ws.send(event("first"), ...attachments, event("second"), ...attachments, "41");
  const [name, ...values] = await child.report("event");
  assert.deepEqual([name, values.map((value) => [...value])], ["first", [[1], [2]]]);
  const [, reason] = await child.report("disconnect", ws.socketId);
  assert.equal(reason, "client namespace disconnect");
  assert.ok(!child.reports.all.some(([kind, met]) => kind === "error" || met === "second"), "the second event was dropped");
  await child.assertUnharmed();
});

test("takes a message that is larger than the bucket, and makes the next one wait for it [ROB-765]", NO_RATES, async (t) => {
  const child = await startChild(t, { options: { limits: { bytesPerSecond: 10_000, rateBurstMs: 100 } } });
  const ws = await openAttacker(t, child);
  const start = performance.now();
  ws.send(`421["echo","${"x".repeat(10_000)}"]`, `422["echo",2]`);
  assert.match(await ws.next(), /^431\["x/);
  assert.equal(await ws.next(), "432[2]");
  assert.ok(performance.now() - start > 850, "10,000 bytes need a second, but for the burst");
  await child.assertUnharmed();
});

test("stops reading from a client that is deferred, and lets go of everything at its end [ROB-766]", NO_RATES, async (t) => {
  const child = await startChild(t, { options: { limits: { bytesPerSecond: 20_000 } } });
  const bystander = await openBystander(t, child);
  const ws = await openAttacker(t, child);
  const before = await child.heldBytes();
  const flood = Buffer.concat(Array.from({ length: 1000 }, () => messageFrame(`42["none","${"x".repeat(990)}"]`)));
  for (let i = 0; i < 30; i++) ws.write(flood);
  for (let i = 0; i < 5; i++) await bystander.check();
  assertBounded(before, await child.heldBytes(), 2 * MIB, "30 MB were sent");
  assert.ok(ws.socket.writableLength > 10 * MIB, "the rest waits at the client");
  ws.abort({ reset: true }); // seen with the next read
  await child.untilClients(1, 20_000);
  assertBounded(before, await child.heldBytes(), MIB, "after the end");
  await child.assertUnharmed();
});

test("closes a client of which more than deferredBytes wait [ROB-766]", NO_RATES, async (t) => {
  const child = await startChild(t, { options: { limits: { messagesPerSecond: 1, deferredBytes: 20_000 } } });
  const client = await clients.polling(t, child);
  void client.send(...Array.from({ length: 1000 }, () => `42["none"]`));
  const { reason, description } = await sessionEnd(child, client.sid);
  assert.equal(reason, "transport error");
  assert.deepEqual([description.code, description.limit], ["RC_ERR_DEFERRED_BYTES", 20_000]);
  await child.assertUnharmed();
});

test("goes on reading while a deferred client upgrades, and keeps the order over the upgrade [ROB-766]", NO_RATES, async (t) => {
  const child = await startChild(t, { options: { limits: { messagesPerSecond: 20, rateBurstMs: 100 } } });
  const session = await PollingSession.open(child.port, "", { path: "/socket.io/" });
  await session.post("40");
  await session.poll();
  await session.post(questions(0, 20).join("\x1e"));
  const later = session.post(questions(20, 25).join("\x1e"), { ms: 10_000 });
  const ws = await session.candidate();
  t.after(() => ws.abort());
  ws.send("2probe");
  assert.equal(await ws.next(), "3probe");
  const received = [];
  const polled = session.poll().then((packets) => received.push(...packets)); // answered with the first packets, or released by the probe
  assert.equal((await later).text, "ok");
  await polled;
  ws.send("5", ...questions(25, 30));
  while (!received.includes("4329[29]") && received.length < 60) received.push(await ws.next(10_000));
  const ids = received.filter((packet) => packet.startsWith("43")).map((packet) => Number(/\[(\d+)\]/.exec(packet)[1]));
  assert.deepEqual(
    ids,
    [...ids].sort((a, b) => a - b),
  );
  assert.equal(ids.at(-1), 29);
  await child.assertUnharmed();
});

test("counts packets without a message, such as pongs nobody asked for [ROB-769]", NO_RATES, async (t) => {
  const child = await startChild(t, { options: { limits: { messagesPerSecond: 10, overRate: "close" } } });
  const ws = await openAttacker(t, child);
  ws.write(Buffer.concat(Array.from({ length: 50 }, () => frame(OPCODE.text, "6"))));
  const { reason, description } = await sessionEnd(child, ws.sid);
  assert.deepEqual([reason, description.code], ["transport error", "RC_ERR_MESSAGE_RATE"]);
  await child.assertUnharmed();
});

for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
  test(
    `an official client that is deferred gets its pings and loses nothing, ${transports.join(" to ")} [ROB-766, ROB-768]`,
    NO_RATES,
    async (t) => {
      // Pongs wait behind messages for longer than `pingTimeout`. The client gives up after 2.9 s without a ping: a busy machine takes less.
      const options = { pingInterval: 2000, pingTimeout: 900, limits: { messagesPerSecond: 30, rateBurstMs: 200 } };
      const { socket, client } = await pair(t, options, { client: { transports, reconnection: false } });
      const received = [];
      let reason;
      let pings = 0;
      client.io.on("ping", () => pings++);
      socket.on("e", (i) => received.push(i));
      client.on("disconnect", (met) => (reason = met));
      for (let i = 0; i < 150; i++) client.emit("e", i, i % 10 === 0 ? Buffer.alloc(1000) : "x".repeat(500));
      await eventually(
        () => received.length === 150 || reason !== undefined || !socket.connected,
        "the messages",
        () => received.length,
        20_000,
      );
      assert.equal(reason, undefined);
      assert.deepEqual(
        received,
        Array.from({ length: 150 }, (_, i) => i),
      );
      assert.ok(pings >= 2, `${pings} pings while messages waited`);
    },
  );
}
