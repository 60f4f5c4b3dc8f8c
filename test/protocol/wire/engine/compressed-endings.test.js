/** What happens to large messages when something else comes while they are compressed: they arrive, or are dropped, as without compression. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { once } from "../../../support/client.js";
import { ending, messages, openWebSocket } from "../../../support/engine.js";
import { startEngine, startServer } from "../../../support/server.js";
import { oursOnly } from "../../../support/target.js";
import {
  compressedFragments,
  compressedFrame,
  frame,
  OFFERS_DEFLATE,
  OPCODE,
  PollingSession,
  WireSocket,
} from "../../../support/wire-client.js";

const KINDS = {
  plain: [{}, {}],
  compressed: [{ perMessageDeflate: true }, OFFERS_DEFLATE],
  "compressed, through the stream": [{ perMessageDeflate: true, sockets: "stream" }, OFFERS_DEFLATE],
};
/** Large enough to be compressed outside of the main thread. */
const LARGE = randomBytes(200_000).toString("base64");
const large = (number) => `${number}:${LARGE}`;

async function pairOf(t, kind, more) {
  const [options, headers] = KINDS[kind];
  const { io, port } = await startServer(t, { ...options, ...more });
  const connected = once(io, "connection");
  const ws = await WireSocket.open(port, "/socket.io/?EIO=4&transport=websocket", headers, { windowBits: 15 });
  t.after(() => ws.abort());
  await ws.next();
  ws.send("40");
  const [socket] = await connected;
  await ws.next();
  return { io, ws, socket };
}

for (const kind of Object.keys(KINDS)) {
  for (const [what, end, last] of [
    ["disconnect()", ({ socket }) => socket.disconnect(), ["41"]],
    ["disconnect(true)", ({ socket }) => socket.disconnect(true), ["41"]],
    ["conn.close()", ({ socket }) => socket.conn.close(), []],
    ["io.disconnectSockets(true)", ({ io }) => io.disconnectSockets(true), ["41"]],
  ]) {
    test(`sends what was emitted before ${what}, ${kind} [ROB-657, DIS-2, DIS-3]`, async (t) => {
      const { io, ws, socket } = await pairOf(t, kind);
      socket.emit("m", large(1));
      io.emit("m", large(2));
      socket.emit("m", 3);
      end({ io, socket });
      socket.emit("m", "late");
      for (const value of [large(1), large(2), 3]) await ws.expect(`42${JSON.stringify(["m", value])}`);
      for (const packet of last) await ws.expect(packet);
      if (what !== "disconnect()") assert.equal((await ws.closed()).code, 1005);
    });
  }

  for (const [what, end] of [
    ["the client cuts the connection", ({ ws }) => ws.abort({ reset: true })],
    ["the client closes", ({ ws }) => ws.close(1000)],
    ["conn.close(true)", ({ socket }) => socket.conn.close(true)],
    ["the transport is closed", ({ socket }) => socket.conn.transport.close()],
  ]) {
    test(`ends once when ${what} while messages are compressed, ${kind} [ROB-657]`, async (t) => {
      const { io, ws, socket } = await pairOf(t, kind);
      const ends = [];
      socket.on("disconnect", (reason) => ends.push(reason));
      const closed = ending(socket.conn);
      for (let number = 0; number < 5; number++) {
        socket.emit("m", large(number));
        io.volatile.emit("m", large(number));
      }
      setImmediate(end, { ws, socket });
      await closed;
      assert.equal(ends.length, 1);
      socket.conn.send(large(6));
      assert.equal(io.engine.clientsCount, 0);
      const other = await pairOf(t, kind); // the process goes on, and compressions that ran have ended
      other.socket.emit("m", large(7));
      await other.ws.expect(`42${JSON.stringify(["m", large(7)])}`);
      assert.equal(ends.length, 1);
    });
  }

  test(`closes the server while messages are compressed, ${kind} [ROB-657]`, async (t) => {
    const { io, ws, socket } = await pairOf(t, kind);
    const left = once(socket, "disconnect");
    socket.emit("m", large(1));
    await io.close();
    assert.equal((await left)[0], "server shutting down");
    await ws.closed();
  });

  test(`loses nothing that is sent while a client of compressed messages upgrades, ${kind} [ROB-657, EIO-88]`, async (t) => {
    const [options, headers] = KINDS[kind];
    const { engine, port } = await startEngine(t, { ...options, httpCompression: false });
    const connected = once(engine, "connection");
    const polling = await PollingSession.open(port);
    const [session] = await connected;
    const send = (number) => session.send(number % 2 === 0 ? large(number) : `${number}`);
    const waiting = polling.poll();
    const ws = await WireSocket.open(port, polling.url("websocket"), headers, { windowBits: 15 });
    t.after(() => ws.abort());
    for (const number of [0, 1, 2]) send(number);
    ws.send("2probe");
    await ws.expect("3probe");
    for (const number of [3, 4]) send(number);
    const seen = await waiting;
    ws.send("5");
    const upgraded = once(session, "upgrade");
    for (const number of [5, 6]) send(number);
    await upgraded;
    for (const number of [7, 8]) send(number);
    const wanted = [0, 1, 2, 3, 4, 5, 6, 7, 8].map((number) => `4${number % 2 === 0 ? large(number) : number}`);
    while (seen.filter((packet) => packet !== "6").length < wanted.length) seen.push(await ws.next());
    assert.deepEqual(
      seen.filter((packet) => packet !== "6").map((packet) => packet.slice(0, 9)),
      wanted.map((packet) => packet.slice(0, 9)),
    );
  });
}

const OURS = oursOnly("ws reads from the beginning");
const whole = compressedFrame(`4${LARGE}`);
const [one, two, three] = compressedFragments(`4${LARGE}`, 3);
const bomb = compressedFrame(`4${"x".repeat(300_000)}`);
/** What the server has of the client's bytes when the program asks, and the rest; the messages of both. */
const STATES = [
  ["between messages", compressedFrame("4a"), compressedFrame("4b"), ["a", "b"]],
  ["in the middle of a compressed frame", whole.subarray(0, 1000), whole.subarray(1000), [LARGE]],
  ["between the fragments of a compressed message", one, Buffer.concat([two, frame(OPCODE.ping, "p"), three]), [LARGE]],
  [
    "in the middle of the second fragment",
    Buffer.concat([one, two.subarray(0, 1000)]),
    Buffer.concat([two.subarray(1000), three]),
    [LARGE],
  ],
  [
    "while compressed messages wait for the next turn",
    Buffer.concat(Array(8).fill(bomb)),
    compressedFrame("4b"),
    [...Array(8).fill("x".repeat(300_000)), "b"],
  ],
];
for (const [when, before, after, expected] of STATES) {
  test(`hands the connection to the WebSocket object ${when} [ROB-614]`, OURS, async (t) => {
    const started = await startEngine(t, { perMessageDeflate: true });
    const { ws, session } = await openWebSocket(started, { headers: OFFERS_DEFLATE });
    ws.windowBits = 15;
    const seen = messages(session);
    session.send(large(1)); // is being compressed when the program asks
    ws.write(before);
    await new Promise(setImmediate);
    const { socket } = session.transport;
    assert.equal(socket.extensions, "permessage-deflate");
    session.send(large(2));
    ws.write(Buffer.concat([after, compressedFrame("4end")]));
    await waitUntil(() => seen.at(-1) === "end", session);
    assert.deepEqual(seen, [...expected, "end"]);
    await ws.expect(`4${large(1)}`);
    await ws.expect(`4${large(2)}`);
    session.send("small");
    await ws.expect("4small");
    const closed = ending(session);
    ws.close(1000);
    assert.equal((await closed).reason, "transport close");
  });
}

async function waitUntil(isDone, session) {
  while (!isDone()) await once(session, "data");
}
