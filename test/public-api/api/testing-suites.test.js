/** The suites of roomcast/testing, for what this package has itself, and for things that are broken in one way each. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { requireFromTarget } from "../../support/packages.js";
import { isReference, oursOnly } from "../../support/target.js";

const OURS = oursOnly("it has no such entry");
const { createTestServer, MemoryBus, testAdapter, testLink, testParser, testTransport } = isReference
  ? {}
  : requireFromTarget("roomcast/testing");
const runOurs = (title, run) => test(`${title} [ROB-964]`, OURS, run);

if (!isReference) {
  for (const name of ["parser", "msgpack"])
    testParser({ name: `roomcast/${name}`, test: runOurs, parser: requireFromTarget(`roomcast/${name}`) });
  testLink({ name: "MemoryBus", test: runOurs, start: startBus });
  const { linkedAdapter } = requireFromTarget("roomcast/adapter");
  const startAdapter = async () => {
    const bus = new MemoryBus();
    return () => linkedAdapter(() => bus.link(), {});
  };
  testAdapter({ name: "linkedAdapter", test: runOurs, start: startAdapter });
  for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]])
    testTransport({ name: transports.join(" and "), test: runOurs, start: (options, after) => startServer(options, after, transports) });
}

async function startBus() {
  const bus = new MemoryBus();
  return () => bus.link();
}

async function startServer(options, after, transports) {
  const { io, connect, close } = createTestServer(options);
  after(close);
  return { io, connect: () => connect("/", { transports }) };
}

/** Declares a suite, and runs the tests whose titles begin so. @returns the titles of those that fail, with the errors behind them */
async function failuresOf(start, declare) {
  const tests = [];
  declare((title, run) => tests.push({ title, run }));
  assert.ok(tests.length >= 5, "the suite has no tests");
  const chosen = tests.filter(({ title }) => title.startsWith(start));
  assert.ok(chosen.length >= 1, `no test begins with ${start}`);
  const failed = [];
  for (const { title, run } of chosen)
    await run().then(
      () => {},
      (error) => failed.push(`${title}: ${error.message}`),
    );
  return failed;
}

test("the suite for parsers finds a parser that loses bytes [ROB-964]", OURS, async () => {
  const { Encoder, Decoder } = requireFromTarget("roomcast/parser");
  class Lossy extends Encoder {
    encode(packet) {
      return super.encode({ ...packet, data: packet.data === undefined ? undefined : JSON.parse(JSON.stringify(packet.data)) });
    }
  }
  const failed = await failuresOf('carries EVENT / ["bytes"', (run) =>
    testParser({ name: "lossy", test: run, parser: { Encoder: Lossy, Decoder } }),
  );
  assert.equal(failed.length, 1);
});

test("the suite for links finds a link that brings messages to every namespace [ROB-964]", OURS, async () => {
  const start = async () => {
    const bus = new MemoryBus();
    return () => {
      const link = bus.link();
      const channel = link.channel.bind(link);
      link.channel = (receiver) => channel({ ...receiver, namespace: "/" });
      return link;
    };
  };
  const failed = await failuresOf("brings a message to all servers of its namespace", (run) =>
    testLink({ name: "wide", test: run, start }),
  );
  assert.equal(failed.length, 1);
});

test("the suite for adapters finds an adapter that broadcasts twice [ROB-964]", OURS, async () => {
  const { linkedAdapter } = requireFromTarget("roomcast/adapter");
  const start = async () => {
    const bus = new MemoryBus();
    const make = linkedAdapter(() => bus.link(), {});
    return () => (nsp) => {
      const adapter = make(nsp);
      const broadcast = adapter.broadcast.bind(adapter);
      adapter.broadcast = (...args) => [broadcast(...args), broadcast(...args)][0];
      return adapter;
    };
  };
  const failed = await failuresOf("broadcasts to every client once", (run) => testAdapter({ name: "double", test: run, start }));
  assert.equal(failed.length, 1);
});

test("the suite for adapters waits for one whose rooms have a slower way than the rest [ROB-964]", OURS, async () => {
  const { linkedAdapter } = requireFromTarget("roomcast/adapter");
  const start = async () => {
    const bus = new MemoryBus();
    const make = linkedAdapter(() => bus.link(), {});
    return () => (nsp) => {
      const adapter = make(nsp);
      const broadcast = adapter.broadcast.bind(adapter);
      let before = Promise.resolve();
      adapter.broadcast = (packet, options) => {
        if (options.rooms.size === 0) return broadcast(packet, options);
        before = before.then(() => delay(50)).then(() => broadcast(packet, options));
      };
      return adapter;
    };
  };
  assert.deepEqual(
    await failuresOf("chooses by rooms, exceptions and locality", (run) => testAdapter({ name: "slow rooms", test: run, start })),
    [],
  );
});

/** A function for `testLink`: links of a bus, each changed before it is used. */
function startLinks(change) {
  return async () => {
    const bus = new MemoryBus();
    return () => {
      const link = bus.link();
      change(link);
      return link;
    };
  };
}

test("the suite for links finds a link that brings answers to everybody [ROB-964]", OURS, async () => {
  const uids = new Set();
  const start = startLinks((link) => {
    const open = link.channel.bind(link);
    link.channel = (receiver) => {
      uids.add(receiver.uid);
      const channel = open(receiver);
      return { ...channel, respond: (_uid, response) => Promise.all(Array.from(uids, (uid) => channel.respond(uid, response))) };
    };
  });
  const failed = await failuresOf("brings an answer to the server that asked", (run) =>
    testLink({ name: "wide answers", test: run, start }),
  );
  assert.equal(failed.length, 1);
});

test("the suite for links fails for what a link could not decode, and throws nothing into the link [ROB-964]", OURS, async () => {
  const thrown = [];
  const start = startLinks((link) => {
    const open = link.open.bind(link);
    link.open = async (listener, uid) => {
      await open(listener, uid);
      try {
        listener.onMalformed(new Error("half a message"));
      } catch (error) {
        thrown.push(error);
      }
    };
  });
  const failed = await failuresOf("carries a message of a megabyte", (run) => testLink({ name: "garbled", test: run, start }));
  assert.deepEqual(thrown, []);
  assert.match(failed.join(), /the link could not decode what arrived/);
});

test("the suite for links does not flood a link that needs time to begin [ROB-964]", OURS, async () => {
  let published = 0;
  const beginning = delay(500);
  let hasBegun = false;
  void beginning.then(() => (hasBegun = true));
  const start = startLinks((link) => {
    const open = link.channel.bind(link);
    link.channel = (receiver) => {
      const channel = open(receiver);
      const publish = (message) => {
        published++;
        return hasBegun ? channel.publish(message) : Promise.resolve({});
      };
      return { ...channel, publish };
    };
  });
  const failed = await failuresOf("carries a message of a megabyte", (run) => testLink({ name: "late", test: run, start }));
  assert.deepEqual(failed, []);
  assert.ok(published < 200, `${published} messages`);
});

test("the suite for transports fails for a limit that does not hold, and throws nothing into the server [ROB-964]", OURS, async () => {
  const start = async (options, after) => {
    const { io, connect, close } = createTestServer({ ...options, maxHttpBufferSize: 1_000_000 });
    after(close);
    io.on("connection", (socket) => socket.on("large", () => setImmediate(() => socket.disconnect(true))));
    return { io, connect };
  };
  const failed = await failuresOf("ends a connection that sends more than", (run) => testTransport({ name: "open", test: run, start }));
  assert.match(failed.join(), /the event arrived/);
});

test("a suite runs every clean-up, and tells of the test's own error before those of clean-ups [ROB-964]", OURS, async () => {
  const done = [];
  const fail = (what) => {
    done.push(what);
    throw new Error(what);
  };
  const start = (isBroken) => async (options, after) => {
    const { io, connect, close } = createTestServer(options);
    after(close);
    after(() => fail("the first"));
    after(async () => fail("the second"));
    if (isBroken) throw new Error("the start");
    return { io, connect };
  };
  for (const [isBroken, what] of [
    [true, "the start"],
    [false, "the second"],
  ]) {
    const failed = await failuresOf("tells the server that the client has left", (run) =>
      testTransport({ name: "x", test: run, start: start(isBroken) }),
    );
    assert.deepEqual(failed, [`tells the server that the client has left: x: ${what}`]);
    assert.deepEqual(done.splice(0), ["the second", "the first"]);
  }
});
