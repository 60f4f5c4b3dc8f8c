import assert from "node:assert/strict";
import { test } from "node:test";
import FakeTimers from "@sinonjs/fake-timers";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { joinedPeer, nextSocket, openPeer } from "./sio/peer.js";

/** Real time that a test may take: its waits stand still with the clock. */
const options = { timeout: 20_000 };
const realSetImmediate = globalThis.setImmediate;

/** Node's own streams live on nextTick: a clock that takes it from everybody stops them too. */
const OF_NODE = ["nextTick", "queueMicrotask"];

const CLOCKS = {
  "Sinon's clock": () => {
    const clock = FakeTimers.install({ toNotFake: OF_NODE });
    return { tick: (ms) => clock.tick(ms), uninstall: () => clock.uninstall() };
  },
  "the clock of node:test": ({ mock: { timers } }) => {
    timers.enable({ apis: ["setTimeout", "setInterval", "setImmediate", "Date"] });
    const { setTimeout: set, clearTimeout: clear } = globalThis;
    const own = new WeakSet(); // this clock (of Node 20) loses a timer of its own when it is asked to clear that of another clock
    globalThis.setTimeout = (...args) => {
      const timer = set(...args);
      own.add(timer);
      return timer;
    };
    globalThis.clearTimeout = (timer) => own.has(timer) && clear(timer);
    return { tick: (ms) => timers.tick(ms), uninstall: () => timers.reset() };
  },
  "a clock that leaves nextTick to Node alone": () => {
    const clock = FakeTimers.install({ toNotFake: OF_NODE });
    const { nextTick } = process;
    process.nextTick = (...args) => {
      const [, , caller] = new Error().stack.split("\n");
      if (caller.includes("node:")) nextTick(...args); // what a program asks for waits for ever
    };
    return {
      tick: (ms) => clock.tick(ms),
      uninstall() {
        process.nextTick = nextTick;
        clock.uninstall();
      },
    };
  },
};

for (const [name, install] of Object.entries(CLOCKS)) {
  const skipClock = name.includes("alone") ? oursOnly("it looks process.nextTick up at each call, so its deliveries stop") : {};

  /** Runs `work` while time stands still; `isBefore`: the server is made under the fake clock too. */
  const stopped = (title, serverOptions, work, skip = skipClock) => {
    for (const isBefore of [false, true]) {
      test(
        `${title} under ${name}, installed ${isBefore ? "before" : "after"} the server is made [MEM-10]`,
        { ...options, ...skip },
        async (t) => {
          let clock = isBefore ? install(t) : null;
          try {
            const { io, port } = await startServer(t, serverOptions);
            clock ??= install(t);
            await work(t, { io, port, tick: clock.tick });
            await io.close();
            await new Promise((resolve) => realSetImmediate(resolve)); // timers of this clock are cleared under it, not under the next
          } finally {
            clock?.uninstall();
          }
        },
      );
    }
  };

  for (const transport of ["websocket", "polling"]) {
    stopped(`delivers messages, acknowledgements and broadcasts over ${transport}`, {}, async (t, { io, port }) => {
      io.of("/a").on("connection", (socket) => {
        socket.on("x", (value, answer) => answer(value));
        socket.on("y", () => socket.emit("q", (value) => io.of("/a").emit("all", value)));
      });
      const peer = await joinedPeer(t, port, transport, "/a");
      peer.send('42/a,1["x","one"]');
      await peer.expect('43/a,1["one"]');
      peer.send('42/a,["y"]');
      await peer.expect('42/a,0["q"]');
      peer.send('43/a,0["two"]');
      await peer.expect('42/a,["all","two"]');
      peer.abort();
    });
  }

  stopped("lets acknowledgements time out by the fake clock", {}, async (t, { io, port, tick }) => {
    const joined = nextSocket(io);
    const peer = await joinedPeer(t, port);
    const socket = await joined;
    const outcomes = [];
    socket.timeout(5000).emit("q", (error) => outcomes.push(["emit", error?.message]));
    socket
      .timeout(5000)
      .emitWithAck("q")
      .catch((error) => outcomes.push(["emitWithAck", error.message]));
    io.timeout(5000).emit("q", (error, answers) => outcomes.push(["broadcast", error?.message, answers]));
    await peer.expect('420["q"]', '421["q"]', '422["q"]');
    tick(4999);
    await Promise.resolve();
    assert.deepEqual(outcomes, []);
    tick(1);
    for (let i = 0; i < 5; i++) await Promise.resolve();
    assert.deepEqual(outcomes.sort(), [
      ["broadcast", "operation has timed out", []],
      ["emit", "operation has timed out"],
      ["emitWithAck", "operation has timed out"],
    ]);
  });

  stopped(
    "sends pings and misses pongs by the fake clock",
    { pingInterval: 25_000, pingTimeout: 20_000 },
    async (t, { io, port, tick }) => {
      const joined = nextSocket(io);
      const peer = await joinedPeer(t, port);
      const socket = await joined;
      const reasons = [];
      socket.on("disconnect", (reason) => reasons.push(reason));
      for (let i = 0; i < 3; i++) {
        tick(25_000);
        await peer.expect("2");
        const beat = new Promise((resolve) => socket.conn.once("heartbeat", resolve));
        peer.send("3");
        await beat;
      }
      tick(25_000);
      await peer.expect("2");
      tick(19_999);
      assert.deepEqual(reasons, []);
      tick(1);
      assert.deepEqual(reasons, ["ping timeout"]);
      await peer.closed();
    },
    name.includes("node:test") ? oursOnly("it refreshes its timers, which this clock of Node 20 can't do") : skipClock,
  );

  stopped(
    "gives up sessions that join nothing by the fake clock",
    { connectTimeout: 45_000, pingInterval: 100_000 },
    async (t, { io, port, tick }) => {
      const peer = await openPeer(t, port);
      tick(44_999);
      assert.equal(io.engine.clientsCount, 1);
      tick(1);
      assert.equal(io.engine.clientsCount, 0);
      await peer.closed();
    },
  );
}

test("starts new time-outs after a fake clock has forgotten all timers [MEM-10]", options, async (t) => {
  const clock = FakeTimers.install({ toNotFake: OF_NODE });
  try {
    const { io, port } = await startServer(t);
    const joined = nextSocket(io);
    const peer = await joinedPeer(t, port);
    const socket = await joined;
    for (let i = 0; i < 2; i++) {
      socket.timeout(700).emit("q", () => {});
      peer.send(`43${i}[]`);
      await peer.expect(`42${i}["q"]`);
      clock.reset();
    }
    let outcome;
    socket.timeout(700).emit("q", (error) => (outcome = error?.message));
    clock.tick(700);
    assert.equal(outcome, "operation has timed out");
    await io.close();
    await new Promise((resolve) => realSetImmediate(resolve));
  } finally {
    clock.uninstall();
  }
});

test("goes on by the real clock when the fake one is gone [MEM-10]", options, async (t) => {
  const clock = FakeTimers.install({ toNotFake: OF_NODE });
  const { io, port } = await startServer(t, {}).finally(() => clock.uninstall());
  const joined = nextSocket(io);
  const peer = await joinedPeer(t, port);
  const socket = await joined;
  await assert.rejects(socket.timeout(30).emitWithAck("q"), { message: "operation has timed out" });
  await peer.expect('420["q"]');
});
