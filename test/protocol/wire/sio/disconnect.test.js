import assert from "node:assert/strict";
import { test } from "node:test";
import { startServer } from "../../../support/server.js";
import { ours } from "../../../support/target.js";
import { Inbox } from "../../../support/wait.js";
import { PollingSession, frame, OPCODE } from "../../../support/wire-client.js";
import { join, joinedPeer, journal, nextSocket, TRANSPORTS } from "./peer.js";

for (const transport of TRANSPORTS) {
  test(`answers nothing to a DISCONNECT and keeps the session, over ${transport} [SIO-59, SIO-93, DIS-20]`, async (t) => {
    const { io, port } = await startServer(t, { pingInterval: 200 });
    const entries = journal(io);
    const peer = await joinedPeer(t, port, transport);
    peer.send("41");
    assert.deepEqual(await entries.next(), ["/", "disconnect", "client namespace disconnect"]);
    await peer.expect("2");
    peer.send("3");
    await join(peer);
  });

  test(`survives an event of one namespace directly after the DISCONNECT of another, over ${transport} [SIO-59, SIO-94]`, async (t) => {
    const { io, port } = await startServer(t);
    io.of("/custom");
    io.on("connection", (socket) => socket.on("message", (...args) => socket.emit("message-back", ...args)));
    const peer = await joinedPeer(t, port, transport);
    await join(peer, "/custom");
    peer.send("41/custom");
    peer.send('42["message","x"]');
    await peer.expect('42["message-back","x"]');
  });

  test(`sends DISCONNECT for the namespace that the server leaves, and keeps the session, over ${transport} [SIO-10, SIO-59, DIS-2]`, async (t) => {
    const { io, port } = await startServer(t);
    const entries = journal(io, "/", "/admin");
    const both = Promise.all([nextSocket(io), nextSocket(io.of("/admin"))]);
    const peer = await joinedPeer(t, port, transport);
    await join(peer, "/admin");
    const [main, admin] = await both;
    admin.disconnect();
    await peer.expect("41/admin,");
    main.disconnect();
    await peer.expect("41");
    assert.deepEqual(entries.drain(), [
      ["/admin", "disconnect", "server namespace disconnect"],
      ["/", "disconnect", "server namespace disconnect"],
    ]);
    await join(peer);
  });

  test(`sends DISCONNECT to every namespace, then closes, when the server disconnects with close, over ${transport} [SIO-59, DIS-3]`, async (t) => {
    const { io, port } = await startServer(t);
    const entries = journal(io, "/", "/admin");
    const joined = nextSocket(io);
    const peer = await joinedPeer(t, port, transport);
    await join(peer, "/admin");
    (await joined).disconnect(true);
    assert.deepEqual([await peer.next(), await peer.next()].sort(), ["41", "41/admin,"]);
    await peer.closed();
    assert.deepEqual([await entries.next(), await entries.next()].sort(), [
      ["/", "disconnect", "server namespace disconnect"],
      ["/admin", "disconnect", "server namespace disconnect"],
    ]);
  });
}

const ENGINE_ENDS = [
  ["transport close", "the WebSocket is closed", {}, (peer) => peer.ws.close(1000), () => true],
  ["transport close", "the connection is cut", {}, (peer) => peer.abort(), () => true],
  [
    "transport error",
    "a frame breaks the rules",
    {},
    (peer) => peer.ws.write(frame(OPCODE.text, "x", { rsv: 3 })),
    (description) => description instanceof Error,
  ],
  [
    "transport error",
    "a message is too large",
    { maxHttpBufferSize: 100 },
    (peer) => peer.send(`42["${"x".repeat(100)}"]`),
    (description) => description instanceof Error && description.message.includes("Max payload size exceeded"),
  ],
  [
    "transport error",
    "a ping comes the wrong way",
    {},
    (peer) => peer.send("2"),
    (description) => description instanceof Error && description.message.includes("invalid heartbeat direction"),
  ],
  ["parse error", "the engine can't parse", {}, (peer) => peer.send("abc"), (description) => description === undefined],
  ["ping timeout", "no pong comes", { pingInterval: 40, pingTimeout: 40 }, () => {}, (description) => description === undefined],
];
for (const [reason, cause, options, act, isDescription] of ENGINE_ENDS) {
  test(`gives every socket "${reason}" and the engine's description when ${cause} [SIO-52, SIO-60, DIS-23, DIS-24, DIS-25, DIS-26, DIS-30]`, async (t) => {
    const { io, port } = await startServer(t, options);
    const ends = new Inbox("an end");
    for (const name of ["/", "/admin"]) {
      io.of(name).on("connection", (socket) => {
        socket.on("error", (error) => ends.push(["error", error]));
        socket.on("disconnecting", (...args) => ends.push(["disconnecting", name, ...args]));
        socket.on("disconnect", (...args) => ends.push(["disconnect", name, ...args]));
      });
    }
    const joined = nextSocket(io);
    const peer = await joinedPeer(t, port);
    await join(peer, "/admin");
    const engineEnd = new Inbox("the engine's end");
    (await joined).conn.once("close", (...args) => engineEnd.push(args));
    act(peer);
    for (let i = 0; i < 4; i++) await ends.next();
    assert.deepEqual(ends.all.map(([event, name, met]) => [event, name, met]).sort(), [
      ["disconnect", "/", reason],
      ["disconnect", "/admin", reason],
      ["disconnecting", "/", reason],
      ["disconnecting", "/admin", reason],
    ]);
    const [, description] = await engineEnd.next();
    assert.ok(isDescription(description), `description ${description}`);
    for (const [, , , met] of ends.all) {
      if (description !== undefined) assert.equal(met, description);
      else
        assert.equal(
          met?.message,
          ours("it gives no description", () => reason),
        ); // ROB-711
    }
  });
}

test('gives every socket "transport close" when a polling client closes [SIO-60, DIS-24]', async (t) => {
  const { io, port } = await startServer(t);
  const entries = journal(io);
  const peer = await joinedPeer(t, port, "polling");
  peer.send("1");
  assert.deepEqual(await entries.next(), ["/", "disconnect", "transport close"]);
});

test('gives every socket "forced close" when the program closes the engine session [SIO-60, DIS-27]', async (t) => {
  const { io, port } = await startServer(t);
  const entries = journal(io, "/", "/admin");
  const joined = nextSocket(io);
  const peer = await joinedPeer(t, port);
  await join(peer, "/admin");
  (await joined).conn.close();
  assert.deepEqual([await entries.next(), await entries.next()].sort(), [
    ["/", "disconnect", "forced close"],
    ["/admin", "disconnect", "forced close"],
  ]);
  assert.equal((await peer.closed()).code, 1005);
});

test("sends nothing once the WebSocket session is closed [SIO-61, EVT-4]", async (t) => {
  const { io, port } = await startServer(t);
  const joined = nextSocket(io);
  const peer = await joinedPeer(t, port);
  const socket = await joined;
  socket.emit("before");
  socket.conn.close();
  assert.equal(socket.emit("after"), true);
  io.emit("after");
  await peer.expect('42["before"]');
  await peer.closed();
  assert.deepEqual(peer.drain(), []);
});

test("sends nothing more while a polling session waits to be told that it is closed [SIO-61]", async (t) => {
  const { io, port } = await startServer(t);
  const joined = nextSocket(io);
  const session = await PollingSession.open(port, "", { path: "/socket.io/" });
  await session.post("40");
  assert.match((await session.poll())[0], /^40\{/);
  const socket = await joined;
  socket.emit("before");
  socket.conn.close();
  socket.emit("after");
  io.emit("after");
  assert.deepEqual(await session.poll(), ['42["before"]']);
  assert.equal((await session.poll()).at(-1), "1");
});

test("drops an emit after the server's own DISCONNECT [EVT-4, SIO-61]", async (t) => {
  const { io, port } = await startServer(t);
  io.of("/custom").on("connection", (socket) => socket.on("done", () => socket.emit("done")));
  const joined = nextSocket(io);
  const peer = await joinedPeer(t, port);
  await join(peer, "/custom");
  const socket = await joined;
  socket.disconnect();
  assert.equal(socket.emit("late"), true);
  peer.send('42/custom,["done"]');
  await peer.expect("41");
  const rest = [await peer.next()];
  if (rest[0] === '42["late"]') rest.push(await peer.next());
  assert.equal(rest.at(-1), '42/custom,["done"]');
  ours("it writes an event of a namespace that was left", () => assert.equal(rest.length, 1));
});
