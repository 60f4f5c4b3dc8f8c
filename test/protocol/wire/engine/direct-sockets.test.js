// Sockets that are read and written below their streams: what programs do to a connection has its effect all the same.
import assert from "node:assert/strict";
import { once as onceEvent } from "node:events";
import { test } from "node:test";
import { once } from "../../../support/client.js";
import { ending, messages, openWebSocket, webSocketPair } from "../../../support/engine.js";
import { startEngine } from "../../../support/server.js";
import { oursOnly } from "../../../support/target.js";
import { within } from "../../../support/wait.js";
import { frame, messageFrame, OPCODE } from "../../../support/wire-client.js";

const optional = oursOnly("the option is ours");

/** An engine with one WebSocket session, and the server's end of its connection. */
async function pairWithSocket(t, options) {
  const started = await startEngine(t, options);
  const connected = onceEvent(started.httpServer, "connection");
  const pair = await openWebSocket(started);
  const [net] = await connected;
  return { ...started, ...pair, net };
}

test("carries texts and bytes of every size both ways, with every value of the option sockets [ENG-115, ENG-201]", optional, async (t) => {
  for (const sockets of ["direct", "stream", undefined]) {
    const { session, ws } = await webSocketPair(t, { sockets });
    session.on("data", (data) => session.send(data));
    for (const size of [0, 1, 125, 126, 65_535, 65_536, 300_000]) {
      const text = "ä€x".repeat(size / 3 + 1).slice(0, size);
      const bytes = Buffer.from(text);
      ws.write(Buffer.concat([messageFrame(`4${text}`), messageFrame(bytes)]));
      assert.equal(await ws.next(), `4${text}`);
      assert.deepEqual(await ws.next(), bytes);
    }
  }
  const wrong = startEngine(t, { sockets: "raw" });
  await assert.rejects(wrong, /option sockets: expected "direct" or "stream", met "raw"/);
});

test("gives each binary message bytes of its own [ENG-201]", async (t) => {
  const { session, ws } = await webSocketPair(t);
  const got = messages(session);
  for (let i = 0; i < 10; i++) {
    const next = once(session, "data");
    ws.write(messageFrame(Buffer.alloc(100, i)));
    await next;
  }
  assert.deepEqual(
    got,
    Array.from({ length: 10 }, (_, i) => Buffer.alloc(100, i)),
  );
});

test("keeps parts of frames over many chunks [ENG-201]", async (t) => {
  const { session, ws } = await webSocketPair(t);
  const bytes = Buffer.concat([
    messageFrame("4first"),
    frame(OPCODE.text, "4sec", { fin: false }),
    frame(OPCODE.ping, "here?"),
    frame(OPCODE.continuation, "ond"),
    messageFrame(Buffer.from("third")),
  ]);
  const got = messages(session);
  for (const byte of bytes) {
    const read = net(session).bytesRead;
    ws.write(Buffer.from([byte]));
    await until(() => net(session).bytesRead > read, "a byte to be read");
  }
  assert.deepEqual(got, ["first", "second", Buffer.from("third")]);
});

/** Waits for something that no event tells. */
function until(isTrue, what) {
  let over = false;
  const met = (async () => {
    while (!over && !isTrue()) await new Promise(setImmediate);
  })();
  return within(met, what).finally(() => (over = true));
}

/** The connection of a session, found without making a WebSocket object of `ws`. */
function net(session) {
  return session.request.socket;
}

test("lets a program listen to the bytes of a connection beside the session [ENG-201]", async (t) => {
  const { net, session, ws } = await pairWithSocket(t);
  const got = messages(session);
  const read = [];
  const listener = (chunk) => read.push(chunk);
  net.on("data", listener);
  const sent = messageFrame("4seen by both");
  const copy = Buffer.from(sent);
  const first = once(session, "data");
  net.prependOnceListener("data", (chunk) => assert.deepEqual(chunk, copy));
  ws.write(sent);
  await first;
  assert.equal(read.length, 1);
  net.removeListener("data", listener);
  const second = once(session, "data");
  ws.write(messageFrame("4by one"));
  await second;
  assert.deepEqual(got, ["seen by both", "by one"]);
  assert.equal(read.length, 1);
});

test("emits data for each chunk on a connection when a program has replaced its emit [ENG-201]", async (t) => {
  const { net, session, ws } = await pairWithSocket(t);
  const { emit } = net;
  const heard = [];
  net.emit = function (event, ...values) {
    if (event === "data") heard.push(values[0].length);
    return emit.call(this, event, ...values);
  };
  const sent = messageFrame("4hello");
  const got = once(session, "data");
  ws.write(sent);
  assert.deepEqual(await got, ["hello"]);
  assert.deepEqual(heard, [sent.length]);
});

test("stops reading while a program has paused the connection, and loses nothing [ENG-201]", async (t) => {
  const started = await pairWithSocket(t);
  const { net, session, ws } = started;
  const other = await openWebSocket(started);
  const got = messages(session);
  const count = 500;
  net.pause();
  for (let i = 0; i < count; i++) ws.write(messageFrame(`4${i}`.padEnd(1000, "-")));
  for (let i = 0; i < 5; i++) {
    const heard = once(other.session, "data"); // the server has read meanwhile
    other.ws.write(messageFrame("4barrier"));
    await heard;
  }
  assert.deepEqual(got, []);
  assert.ok(net.readableLength < 2 * 65_536, `${net.readableLength} bytes are held`);
  const all = within(new Promise((resolve) => session.on("data", () => got.length === count && resolve())), "all messages");
  net.resume();
  await all;
  assert.deepEqual(
    got.map((text) => parseInt(text)),
    Array.from({ length: count }, (_, i) => i),
  );
});

test("keeps the order of what a program writes to the connection itself [ENG-115]", async (t) => {
  const { net, session, ws } = await pairWithSocket(t);
  const ownFrame = (text) => Buffer.concat([Buffer.from([0x81, text.length]), Buffer.from(text)]);
  const large = "x".repeat(3_000_000); // more than the system takes at once
  session.send("before");
  await ws.expect("4before");
  net.write(ownFrame("4own"));
  session.send("behind");
  await ws.expect("4own");
  await ws.expect("4behind");
  ws.pause();
  session.send(large);
  await new Promise(setImmediate);
  session.send("later");
  ws.resume();
  assert.equal((await ws.next()).length, large.length + 1);
  await ws.expect("4later");
});

test("hands every byte to a write that a program has put in place [ENG-115]", async (t) => {
  const { net, session, ws } = await pairWithSocket(t);
  const { write } = net;
  const sizes = [];
  net.write = function (chunk, ...rest) {
    if (chunk.length > 0) sizes.push(chunk.length);
    return write.call(this, chunk, ...rest);
  };
  session.send("counted");
  await ws.expect("4counted");
  assert.deepEqual(sizes, ["\x81\x084counted".length]);
  delete net.write;
  session.send("not counted");
  await ws.expect("4not counted");
  assert.equal(sizes.length, 1);
});

test("counts what it writes as activity for a time-out that a program has set [ENG-115]", async (t) => {
  const { net, session, ws } = await pairWithSocket(t);
  let idle = 0;
  net.setTimeout(400, () => idle++);
  const end = performance.now() + 1200;
  while (performance.now() < end) {
    session.send("tick");
    await ws.expect("4tick");
    await new Promise((resolve) => setTimeout(resolve, 20)); // the clock is what is tested
  }
  assert.equal(idle, 0);
});

test("counts the bytes of a connection as its streams would [ENG-115]", async (t) => {
  const { net, session, ws } = await pairWithSocket(t);
  const [read, written] = [net.bytesRead, net.bytesWritten];
  session.on("data", (data) => session.send(data));
  const sent = messageFrame("4hello");
  ws.write(sent);
  await ws.expect("4hello");
  assert.equal(net.bytesRead - read, sent.length);
  assert.equal(net.bytesWritten - written, 8);
});

test("ends the session when the peer resets the connection while much waits for it [ENG-115]", async (t) => {
  const { session, ws } = await pairWithSocket(t);
  ws.pause();
  for (let i = 0; i < 40; i++) session.send("x".repeat(200_000));
  await new Promise(setImmediate);
  assert.ok(session.bufferedBytes > 1_000_000, `${session.bufferedBytes} bytes wait`);
  const end = ending(session);
  ws.abort({ reset: true });
  assert.ok(["transport close", "transport error"].includes((await end).reason));
});

test("loses nothing that was written to a peer that has sent its last byte [ENG-115]", async (t) => {
  const message = "x".repeat(200_000);
  for (const isHeldUp of [false, true]) {
    const { session, ws } = await pairWithSocket(t);
    ws.pause();
    let sent = 0;
    for (; sent === 0 || (isHeldUp && session.bufferedBytes === 0); sent++) {
      session.send(message);
      await new Promise(setImmediate);
    }
    assert.equal(session.bufferedBytes > 0, isHeldUp);
    const end = ending(session);
    ws.socket.end();
    if (isHeldUp) ws.resume();
    assert.equal((await end).reason, "transport close");
    if (!isHeldUp) ws.resume();
    for (let i = 0; i < sent; i++) await ws.expect(`4${message}`);
    assert.deepEqual(await ws.closed(), { code: 1006, reason: "", hasFrame: false });
  }
});
