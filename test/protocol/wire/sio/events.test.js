import assert from "node:assert/strict";
import { test } from "node:test";
import { catchProcess } from "../../../support/pairs.js";
import { startServer } from "../../../support/server.js";
import { ours } from "../../../support/target.js";
import { Inbox } from "../../../support/wait.js";
import { PollingSession } from "../../../support/wire-client.js";
import { join, joinedPeer, nextSocket, openPeer, TRANSPORTS } from "./peer.js";

const bytes = (...values) => Buffer.from(values);
const hole = (num) => `{"_placeholder":true,"num":${num}}`;

/** `message` is answered by `message-back`, `message-with-ack` by an acknowledgement, with the same arguments; `done` by `done`. */
function echo(namespace) {
  namespace.on("connection", (socket) => {
    socket.on("message", (...args) => socket.emit("message-back", ...args));
    socket.on("message-with-ack", (...args) => args.pop()(...args));
    socket.on("done", () => socket.emit("done"));
  });
}

const ROUND_TRIPS = [
  ["an event [SIO-95]", ['42["message",1,"2",{"3":[true]}]'], ['42["message-back",1,"2",{"3":[true]}]']],
  ["an event of another namespace [SIO-10]", ['42/custom,["message",1]'], ['42/custom,["message-back",1]']],
  [
    "an event with binary [SIO-17, SIO-28, SIO-96]",
    [`452-["message",${hole(0)},${hole(1)}]`, bytes(1, 2, 3), bytes(4, 5, 6)],
    [`452-["message-back",${hole(0)},${hole(1)}]`, bytes(1, 2, 3), bytes(4, 5, 6)],
  ],
  [
    "an event with binary in another namespace [SIO-10, SIO-17]",
    [`451-/custom,["message",{"deep":[${hole(0)}]}]`, bytes(9)],
    [`451-/custom,["message-back",{"deep":[${hole(0)}]}]`, bytes(9)],
  ],
  [
    "attachments out of order, one twice, one not at all [SIO-19, SIO-28]",
    [`453-["message",${hole(2)},${hole(0)},${hole(2)}]`, bytes(0), bytes(1), bytes(2)],
    [`453-["message-back",${hole(0)},${hole(1)},${hole(2)}]`, bytes(2), bytes(0), bytes(2)],
  ],
  ["an empty attachment [SIO-17]", [`451-["message",${hole(0)}]`, bytes()], [`451-["message-back",${hole(0)}]`, bytes()]],
  [
    "an object whose _placeholder is not true [SIO-28]",
    [`451-["message",{"_placeholder":1,"num":0},${hole(0)}]`, bytes(5)],
    [`451-["message-back",{"_placeholder":1,"num":0},${hole(0)}]`, bytes(5)],
  ],
  ["an acknowledgement [SIO-55, SIO-97]", ['42456["message-with-ack",1,"2",{"3":[false]}]'], ['43456[1,"2",{"3":[false]}]']],
  ["an acknowledgement with id 0 [SIO-10, SIO-55]", ['420["message-with-ack"]'], ["430[]"]],
  ["an acknowledgement in another namespace [SIO-55]", ['42/custom,7["message-with-ack","x"]'], ['43/custom,7["x"]']],
  [
    "a binary acknowledgement [SIO-97, SIO-30]",
    [`452-789["message-with-ack",${hole(0)},${hole(1)}]`, bytes(1, 2, 3), bytes(4, 5, 6)],
    [`462-789[${hole(0)},${hole(1)}]`, bytes(1, 2, 3), bytes(4, 5, 6)],
  ],
  ["an id of fifteen digits [SIO-24]", ['42999999999999999["message-with-ack"]'], ["43999999999999999[]"]],
  ["the main namespace written out [SIO-23]", ['42/,["message"]'], ['42["message-back"]']],
  ["text beyond the basic plane [SIO-11]", ['42["message","€😀\\u2028"]'], ['42["message-back","€😀\u2028"]']],
  ["an own __proto__ key [SIO-31]", ['42["message",{"__proto__":{"x":1}}]'], ['42["message-back",{"__proto__":{"x":1}}]']],
];
for (const transport of TRANSPORTS) {
  for (const [what, sent, answered] of ROUND_TRIPS) {
    test(`answers ${what}, over ${transport}`, async (t) => {
      const { io, port } = await startServer(t);
      echo(io);
      echo(io.of("/custom"));
      const peer = await joinedPeer(t, port, transport);
      await join(peer, "/custom");
      peer.send(...sent);
      await peer.expect(...answered);
    });
  }
}

const EMISSIONS = [
  ["no arguments", ["a"], ['42["a"]']],
  ["nothing that JSON has no word for [SIO-11]", ["a", undefined, () => {}, Symbol("s"), NaN, 1], ['42["a",null,null,null,null,1]']],
  ["an undefined member and a function member [SIO-11]", ["a", { x: undefined, f() {}, y: 1 }], ['42["a",{"y":1}]']],
  ["a Date and a Map [SIO-11, SIO-16]", ["a", new Date(0), new Map([[1, 2]])], ['42["a","1970-01-01T00:00:00.000Z",{}]']],
  ["a Buffer [SIO-10, SIO-17]", ["baz", bytes(1, 2, 3, 4)], [`451-["baz",${hole(0)}]`, bytes(1, 2, 3, 4)]],
  [
    "an ArrayBuffer and a view of a part [SIO-16]",
    ["a", Uint8Array.of(1, 2).buffer, new Uint8Array(Uint8Array.of(9, 3, 4, 9).buffer, 1, 2)],
    [`452-["a",${hole(0)},${hole(1)}]`, bytes(1, 2), bytes(3, 4)],
  ],
  [
    "binary at depth, in order of appearance [SIO-16, SIO-17]",
    ["a", { z: [bytes(1)], b: { c: bytes(2) } }, bytes(3)],
    [`453-["a",{"z":[${hole(0)}],"b":{"c":${hole(1)}}},${hole(2)}]`, bytes(1), bytes(2), bytes(3)],
  ],
  ["binary from toJSON [SIO-18]", ["m", { toJSON: () => ({ b: bytes(9) }) }], [`451-["m",{"b":${hole(0)}}]`, bytes(9)]],
  [
    "the same Buffer twice [SIO-19]",
    ((same) => [
      ["a", same, same],
      [`452-["a",${hole(0)},${hole(1)}]`, same, same],
    ])(bytes(5)),
  ].flat(),
  [
    "more attachments than a receiver takes [SIO-19]",
    ["a", ...Array.from({ length: 11 }, (_, i) => bytes(i))],
    [`4511-["a",${Array.from({ length: 11 }, (_, i) => hole(i)).join(",")}]`, ...Array.from({ length: 11 }, (_, i) => bytes(i))],
  ],
];
for (const transport of TRANSPORTS) {
  for (const [what, args, sent] of EMISSIONS) {
    test(`emits ${what}, over ${transport} [SIO-10]`, async (t) => {
      const { io, port } = await startServer(t);
      io.on("connection", (socket) => socket.emit(...args));
      const peer = await joinedPeer(t, port, transport);
      await peer.expect(...sent);
    });
  }
}

test("throws out of emit and sends nothing when an argument can't be encoded [SIO-11, EVT-2]", async (t) => {
  const { io, port } = await startServer(t);
  const joined = nextSocket(io);
  const peer = await joinedPeer(t, port);
  const socket = await joined;
  const cyclic = {};
  cyclic.self = cyclic;
  assert.throws(() => socket.emit("x", 1n), { name: "TypeError", message: /Do not know how to serialize a BigInt/ });
  assert.throws(() => socket.emit("x", cyclic));
  socket.emit("after");
  await peer.expect('42["after"]');
});

test("leaves the caller's objects as they were when it takes binary out of them [SIO-17]", async (t) => {
  const { io, port } = await startServer(t);
  const joined = nextSocket(io);
  const peer = await joinedPeer(t, port);
  const given = { list: [bytes(1)], view: new Uint8Array([2]) };
  (await joined).emit("x", given);
  assert.deepEqual(given, { list: [bytes(1)], view: new Uint8Array([2]) });
  await peer.expect(`452-["x",{"list":[${hole(0)}],"view":${hole(1)}}]`, bytes(1), bytes(2));
});

for (const transport of TRANSPORTS) {
  test(`writes a header and its attachments back to back, over ${transport} [SIO-21]`, async (t) => {
    const { io, port } = await startServer(t);
    io.of("/custom");
    const both = Promise.all([nextSocket(io), nextSocket(io.of("/custom"))]);
    const peer = await joinedPeer(t, port, transport);
    await join(peer, "/custom");
    const [main, custom] = await both;
    const expected = [];
    for (let i = 0; i < 5; i++) {
      main.emit("a", bytes(i), bytes(i, i));
      custom.emit("b", bytes(9));
      io.emit("c", i);
      expected.push(`452-["a",${hole(0)},${hole(1)}]`, bytes(i), bytes(i, i), `451-/custom,["b",${hole(0)}]`, bytes(9), `42["c",${i}]`);
    }
    await peer.expect(...expected);
  });
}

test("lets only the first call of an acknowledgement send [SIO-55, ACK-5]", async (t) => {
  const { io, port } = await startServer(t);
  io.on("connection", (socket) =>
    socket.on("x", (answer) => {
      assert.equal(answer(1), undefined);
      answer(2);
      setImmediate(() => {
        answer(3);
        socket.emit("after");
      });
    }),
  );
  const peer = await joinedPeer(t, port);
  peer.send('425["x"]');
  await peer.expect("435[1]", '42["after"]');
});

test("counts acknowledgement ids per namespace from 0 [SIO-56, ACK-1]", async (t) => {
  const { io, port } = await startServer(t);
  io.of("/custom").on("connection", (socket) => socket.emit("ack", 3, () => {}));
  io.on("connection", (socket) => {
    socket.emit("ack", 1, () => {});
    socket.emit("plain");
    socket.emit("ack", 2, () => {});
  });
  const peer = await joinedPeer(t, port);
  await peer.expect('420["ack",1]', '42["plain"]', '421["ack",2]');
  const other = await joinedPeer(t, port);
  await other.expect('422["ack",1]', '42["plain"]', '423["ack",2]');
  await join(peer, "/custom");
  await peer.expect('42/custom,0["ack",3]');
});

test("hands the arguments of ACK to the callback, binary ones too, once [SIO-30, SIO-57, ACK-1]", async (t) => {
  const { io, port } = await startServer(t);
  const answers = new Inbox("an answer");
  io.on("connection", (socket) => {
    socket.on("done", () => socket.emit("done"));
    socket.emit("q", (...args) => answers.push(args));
    socket.emit("q", (...args) => answers.push(args));
  });
  const peer = await joinedPeer(t, port);
  await peer.expect('420["q"]', '421["q"]');
  peer.send('430["a",1]', `461-1[${hole(0)}]`, bytes(7), '430["again"]', '421["done"]');
  await peer.expect('42["done"]');
  assert.deepEqual(answers.all, [["a", 1], [bytes(7)]]);
});

const STRAY_ACKS = ["43999[]", "43[]", '43["x"]', "43/custom,0[]"];
for (const stray of STRAY_ACKS) {
  test(`ignores the unexpected acknowledgement ${stray} [SIO-57, ACK-2]`, async (t) => {
    const { io, port } = await startServer(t);
    echo(io);
    io.of("/custom");
    const peer = await joinedPeer(t, port);
    await join(peer, "/custom");
    peer.send(stray, '42["done"]');
    await peer.expect('42["done"]');
  });
}

test("ignores an acknowledgement that comes after the time-out [SIO-57, ACK-3]", async (t) => {
  const { io, port } = await startServer(t);
  const answers = new Inbox("an answer");
  io.on("connection", (socket) => {
    socket.timeout(20).emit("q", (error, ...args) => answers.push([error?.message, ...args]));
    socket.on("done", () => socket.emit("done"));
  });
  const peer = await joinedPeer(t, port);
  await peer.expect('420["q"]');
  assert.deepEqual(await answers.next(), ["operation has timed out"]);
  peer.send('430["late"]', '42["done"]');
  await peer.expect('42["done"]');
  assert.equal(answers.all.length, 1);
});

test("hands events over one tick after they were decoded, in order over namespaces [SIO-58, EVT-21]", async (t) => {
  const { io, port } = await startServer(t);
  const heard = new Inbox("an event");
  for (const name of ["/", "/custom"]) {
    io.of(name).on("connection", (socket) => socket.onAny((event) => heard.push(`${name} ${event}`)));
  }
  const joined = nextSocket(io);
  const peer = await joinedPeer(t, port);
  await join(peer, "/custom");
  const { conn } = await joined;
  conn.on("packet", ({ data }) => heard.push(`packet ${data}`));
  peer.send('42["a"]');
  assert.deepEqual([await heard.next(), await heard.next()], ['packet 2["a"]', "/ a"]);
  peer.send('42/custom,["b"]', '42["c"]', '42/custom,["d"]');
  for (let i = 0; i < 6; i++) await heard.next();
  assert.deepEqual(
    heard.all.filter((entry) => !entry.startsWith("packet")),
    ["/ a", "/custom b", "/ c", "/custom d"],
  );
});

test("runs listeners after the ticks that a listener of the connection has scheduled [SIO-58, EVT-21]", async (t) => {
  const { io, port } = await startServer(t);
  const heard = new Inbox("a step");
  const joined = nextSocket(io);
  const peer = await joinedPeer(t, port);
  const socket = await joined;
  socket.conn.on("packet", ({ data }) => process.nextTick(() => heard.push(`tick of ${data}`)));
  socket.on("a", () => {
    heard.push("listener");
    process.nextTick(() => heard.push("tick of the listener"));
  });
  for (let round = 0; round < 2; round += 1) {
    peer.send('42["a"]');
    assert.deepEqual([await heard.next(), await heard.next(), await heard.next()], ['tick of 2["a"]', "listener", "tick of the listener"]);
  }
});

for (const transport of TRANSPORTS) {
  test(`goes on with the rest of a chunk when a listener throws, over ${transport} [EVT-26]`, async (t) => {
    const { io, port } = await startServer(t);
    const heard = new Inbox("a step");
    io.on("connection", (socket) =>
      socket.on("a", (n) => {
        heard.push(n);
        if (n < 3) throw new Error(`at ${n}`);
      }),
    );
    const peer = await joinedPeer(t, port, transport);
    const { caught } = catchProcess(t, "uncaughtException");
    peer.send('42["a",1]', '42["a",2]', '42["a",3]');
    assert.deepEqual([await heard.next(), await heard.next(), await heard.next()], [1, 2, 3]);
    assert.deepEqual(
      caught.map(({ message }) => message),
      ["at 1", "at 2"],
    );
  });
}

for (const transport of TRANSPORTS) {
  test(`runs no ordinary listener for an event after a DISCONNECT, over ${transport} [SIO-58, EVT-22]`, async (t) => {
    const { io, port } = await startServer(t);
    const heard = [];
    echo(io.of("/custom"));
    io.on("connection", (socket) => {
      socket.onAny((event) => heard.push(`any ${event}`));
      socket.use(([event], next) => (heard.push(`use ${event}`), next()));
      socket.on("x", () => heard.push("on x"));
      socket.on("disconnect", () => heard.push("disconnect"));
    });
    const peer = await joinedPeer(t, port, transport);
    await join(peer, "/custom");
    peer.send("41", '42/custom,["done"]');
    await peer.expect('42/custom,["done"]');
    assert.deepEqual(heard, ["disconnect"]);
    heard.length = 0;
    await join(peer);
    peer.send('42["before"]', "41", '42["x"]', '42/custom,["done"]');
    await peer.expect('42/custom,["done"]');
    assert.ok(heard.includes("disconnect"));
    assert.ok(!heard.includes("on x"));
    ours("its catch-all listeners and middlewares still run", () => {
      assert.ok(!heard.includes("any x") && !heard.includes("use x"), heard.join());
    });
  });
}

test("drops a volatile event with all its attachments while the transport is busy, and sends it whole when it is not, over websocket [SIO-62, EVT-9]", async (t) => {
  const { io, port } = await startServer(t);
  io.on("connection", (socket) => {
    socket.on("busy", () => {
      socket.emit("first");
      socket.volatile.emit("lost", bytes(1), bytes(2));
    });
    socket.on("idle", () => socket.volatile.emit("kept", bytes(3), bytes(4)));
  });
  const peer = await joinedPeer(t, port);
  peer.send('42["busy"]');
  await peer.expect('42["first"]');
  peer.send('42["idle"]');
  await peer.expect(`452-["kept",${hole(0)},${hole(1)}]`, bytes(3), bytes(4));
});

test("drops a volatile event while no poll waits [SIO-62, EVT-9]", async (t) => {
  const { io, port } = await startServer(t);
  const joined = nextSocket(io);
  const session = await PollingSession.open(port, "", { path: "/socket.io/" });
  await session.post("40");
  assert.match((await session.poll())[0], /^40\{/);
  const socket = await joined;
  socket.volatile.emit("lost", bytes(1));
  socket.emit("kept");
  assert.deepEqual(await session.poll(), ['42["kept"]']);
});

test("keeps the order of events and broadcasts for one peer [SIO-21, EVT-10]", async (t) => {
  const { io, port } = await startServer(t);
  const joined = nextSocket(io);
  const peer = await joinedPeer(t, port);
  const socket = await joined;
  const expected = [];
  for (let i = 0; i < 200; i++) {
    if (i % 3 === 0) io.emit("n", i);
    else if (i % 3 === 1) socket.emit("n", i);
    else io.to(socket.id).emit("n", i);
    expected.push(`42["n",${i}]`);
  }
  await peer.expect(...expected);
});

test("sends nothing to a peer that has not joined [SIO-45]", async (t) => {
  const { io, port } = await startServer(t);
  const idle = await openPeer(t, port);
  const peer = await joinedPeer(t, port);
  io.emit("x");
  await peer.expect('42["x"]');
  await join(idle);
  io.emit("y");
  await idle.expect('42["y"]');
});
