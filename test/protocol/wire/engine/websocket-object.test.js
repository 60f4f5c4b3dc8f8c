/** The WebSocket object that programs reach through a transport or a request: one of `ws`, made when somebody asks for it. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { once } from "../../../support/client.js";
import { ending, WEBSOCKET, webSocketPair } from "../../../support/engine.js";
import { startEngine } from "../../../support/server.js";
import { ours, oursOnly } from "../../../support/target.js";
import { within } from "../../../support/wait.js";
import { frame, messageFrame, OPCODE, WireSocket } from "../../../support/wire-client.js";

const { WebSocket } = createRequire(import.meta.url)("ws");

const texts = (count, from = 0) => Array.from({ length: count }, (_, index) => `4message ${from + index}`);

/** Collects what a session receives until there are `count`. */
function collect(session, count) {
  const got = [];
  return within(
    new Promise((resolve) => session.on("data", (data) => got.push(data) === count && resolve(got))),
    `${count} messages`,
    () => got,
  );
}

test("is one of ws, the same at each access, and hears what comes from then on [ENG-201]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  const { socket } = session.transport;
  ours("programs may have another copy of ws than the original", () => assert.ok(socket instanceof WebSocket));
  assert.equal(session.transport.socket, socket);
  assert.equal(socket.readyState, 1);
  const heard = [];
  socket.on("message", (data, isBinary) => heard.push([data.toString(), isBinary]));
  const all = collect(session, 2);
  ws.write(Buffer.concat([messageFrame("4one"), messageFrame("4two")]));
  assert.deepEqual(await all, ["one", "two"]);
  assert.deepEqual(heard, [
    ["4one", false],
    ["4two", false],
  ]);
  session.send("reply");
  session.transport.socket.send("4by hand"); // reached through the transport, so that it leaves behind what waits
  session.send("again");
  for (const text of ["4reply", "4by hand", "4again"]) await ws.expect(text);
});

test("loses and repeats nothing when a program accesses the object between the frames of one chunk [ENG-201]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  const all = collect(session, 20);
  session.once("data", () => assert.equal(session.transport.socket.readyState, 1));
  ws.write(Buffer.concat(texts(20).map((text) => messageFrame(text))));
  assert.deepEqual(
    await all,
    texts(20).map((text) => text.slice(1)),
  );
});

const whole = messageFrame("4whole");
const start = frame(OPCODE.text, "4w", { fin: false });
const last = frame(OPCODE.continuation, "hole");
for (const [what, first, rest] of [
  ["a header", whole.subarray(0, 1), whole.subarray(1)],
  ["a payload", whole.subarray(0, 9), whole.subarray(9)],
  ["a fragmented message", start, last],
  ["the payload of a fragment", Buffer.concat([start, last.subarray(0, 7)]), last.subarray(7)],
]) {
  test(`loses nothing when it is asked for in the middle of ${what} [ENG-201]`, async (t) => {
    const { ws, session } = await webSocketPair(t);
    const before = once(session, "data");
    ws.write(Buffer.concat([messageFrame("4before"), first]));
    await before;
    const all = collect(session, 2);
    assert.ok(session.transport.socket);
    ws.write(Buffer.concat([rest, messageFrame("4after")]));
    assert.deepEqual(await all, ["whole", "after"]);
  });
}

test(
  "delivers frames sent directly after the handshake when a program accesses the object at once [ENG-120, ENG-201]",
  oursOnly("it loses early frames"),
  async (t) => {
    const { engine, port } = await startEngine(t);
    const all = new Promise((resolve) =>
      engine.once("connection", (session) => {
        assert.equal(session.transport.socket.readyState, 1);
        resolve(collect(session, 2));
      }),
    );
    const early = Buffer.concat([messageFrame("4early"), messageFrame("4and more")]);
    const ws = await WireSocket.open(port, WEBSOCKET, {}, { early });
    assert.deepEqual(await all, ["early", "and more"]);
    assert.match(await ws.next(), /^0\{/);
  },
);

test("is found at request.websocket [ENG-205]", async (t) => {
  for (const options of [{}, { allowRequest: (req, decide) => decide(null, true) }]) {
    const { session } = await webSocketPair(t, options);
    assert.equal(session.request.websocket, session.transport.socket);
  }
});

test("closes and terminates the session [ENG-201]", async (t) => {
  const first = await webSocketPair(t);
  let end = ending(first.session);
  first.session.transport.socket.close(3001, "by hand");
  assert.deepEqual(await first.ws.closed().then(({ code, reason }) => [code, reason.toString()]), [3001, "by hand"]);
  assert.equal((await end).reason, "transport close");
  const second = await webSocketPair(t);
  end = ending(second.session);
  second.session.transport.socket.terminate();
  assert.equal((await end).reason, "transport close");
});

test("shows the state of a connection that has ended, asked for late", oursOnly("there it is always there"), async (t) => {
  const { ws, session } = await webSocketPair(t);
  const { transport } = session;
  const end = ending(session);
  ws.abort();
  await end;
  assert.equal(transport.socket.readyState, 3);
  transport.socket.send("4nobody hears", (error) => assert.match(error.message, /not open/));
  transport.socket.terminate();
});

test('isn\'t needed, unless receive is "ws" [ENG-201]', oursOnly("the option is ours"), async (t) => {
  for (const receive of ["own", "ws"]) {
    const { ws, session } = await webSocketPair(t, { receive });
    const all = collect(session, 5);
    ws.write(Buffer.concat(texts(5).map((text) => messageFrame(text))));
    await all;
    session.send("back");
    await ws.expect("4back");
    ws.write(frame(3, "bad"));
    assert.equal((await ws.closed()).code, 1002);
  }
  await assert.rejects(startEngine(t, { receive: "theirs" }), /option receive: expected "own" or "ws", met "theirs"/);
});

const KINDS = {
  "": {},
  ", through the stream": { sockets: "stream" },
  ", with compression": { perMessageDeflate: { threshold: 1e9 } },
  ", with context takeover": { perMessageDeflate: { threshold: 1e9, serverNoContextTakeover: false } },
};
for (const [how, options] of Object.entries(KINDS)) {
  test(`counts in bufferedAmount all bytes that wait for a client that doesn't read${how} [ROB-360]`, async (t) => {
    const started = await startEngine(t, options);
    const connected = once(started.engine, "connection");
    const headers = { "Sec-WebSocket-Extensions": "permessage-deflate" };
    const ws = await WireSocket.open(started.port, WEBSOCKET, headers);
    t.after(() => ws.abort());
    const [session] = await connected;
    const { socket } = session.transport;
    assert.equal(socket.bufferedAmount, 0);
    ws.pause();
    for (let i = 0; i < 24; i++) session.send("x".repeat(1024 * 1024));
    await new Promise(setImmediate); // what the system takes at once, it has taken
    assert.ok(socket.bufferedAmount > 8 * 1024 * 1024, `${socket.bufferedAmount} bytes`);
    ours("conn.bufferedBytes is ours", () => assert.ok(session.bufferedBytes > 8 * 1024 * 1024));
    const drained = new Promise((resolve) => session.send("last", resolve));
    ws.resume();
    await within(drained, "the last message to leave", () => socket.bufferedAmount, 20_000);
    assert.equal(socket.bufferedAmount, 0);
  });
}
