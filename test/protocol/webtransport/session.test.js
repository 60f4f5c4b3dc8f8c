/** An open session on WebTransport: its frames, its back-pressure and its end. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { ending, messages } from "../../support/engine.js";
import { catchProcess, eventually } from "../../support/pairs.js";
import { startEngine, startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { pass } from "../../support/wait.js";
import { openWebTransport, packetBytes, sessionPair } from "./simulated.js";

const TRANSPORTS = { transports: ["webtransport"] };

/** An engine with one session: `{ engine, session, stream, client, server }`. */
async function open(t, options = {}, network) {
  const { engine } = await startEngine(t, { ...TRANSPORTS, ...options });
  const connection = once(engine, "connection");
  const opened = await openWebTransport(engine, network);
  const [session] = await connection;
  return { engine, session, ...opened };
}

/** Runs a program of its own, since this process ends its tests at an uncaught exception. */
function runFixture(name) {
  const file = fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));
  return new Promise((resolve) => execFile(process.execPath, [file], (error, output) => resolve({ output, code: error?.code ?? 0 })));
}

// -- frames --------------------------------------------------------------------------------------

for (const [message, header] of [
  ["hello", "06"],
  ["x".repeat(124), "7d"],
  ["x".repeat(125), "7e007e"],
  ["x".repeat(65534), "7effff"],
  ["x".repeat(65535), "7f0000000000010000"],
  ["€", "04"],
  [Buffer.from([1, 2, 3]), "83"],
  [Buffer.alloc(0), "80"],
  [Buffer.alloc(125), "fd"],
  [Buffer.alloc(126), "fe007e"],
  [Buffer.alloc(65535), "feffff"],
  [Buffer.alloc(65536), "ff0000000000010000"],
]) {
  test(`writes ${message.length} of ${typeof message === "string" ? "text" : "binary"} behind the header ${header}, each a chunk of its own [EIO-35, EIO-36, ENG-174, ROB-550]`, async (t) => {
    const { session, stream } = await open(t);
    const before = stream.chunks.length;
    session.send(message);
    session.send("behind it");
    const body = typeof message === "string" ? Buffer.from(`4${message}`) : message;
    await eventually(() => stream.chunks.length === before + 4, "both packets");
    const chunks = stream.chunks.slice(before).map((chunk) => chunk.toString("hex"));
    assert.deepEqual(chunks, [header, body.toString("hex"), "0a", Buffer.from("4behind it").toString("hex")]);
  });
}

for (const [flush, bytes] of [
  ["tick", 0],
  ["immediate", 7],
]) {
  test(`with flush: ${flush}, ${bytes} bytes of two emits are with the stream before send returns [ROB-350]`, async (t) => {
    const { session, stream } = await open(t, { flush });
    const before = stream.chunks.length;
    if (!session.transport.writable) await once(session.transport, "ready"); // the open packet is taken
    session.send("first");
    session.send("behind it");
    assert.equal(session.transport.bufferedBytes, bytes); // a header of one byte, and "4first"
    await eventually(() => stream.chunks.length === before + 4, "both packets");
  });
}

test("reads messages of every length, cut into chunks anywhere [EIO-35, EIO-37, EIO-39]", async (t) => {
  const { session, stream } = await open(t, { maxHttpBufferSize: 200_000 });
  const seen = messages(session);
  const sent = ["", "a", "€".repeat(50), "x".repeat(130), "y".repeat(70_000)]
    .flatMap((text) => [text, Buffer.from(text)])
    .filter(({ length }) => length > 0);
  const bytes = Buffer.concat(sent.map((message) => packetBytes(typeof message === "string" ? `4${message}` : message)));
  for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 7) % 4099) await stream.write(bytes.subarray(at, at + size));
  await stream.send("4last");
  while (seen.at(-1) !== "last") await once(session, "data");
  assert.deepEqual(seen, [...sent, "last"]);
});

for (const [what, bytes] of [
  ["a length of zero", [0x00]],
  ["a binary length of zero", [0x80]],
  ["more than maxPayload", [0x7f, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x41]],
  ["a length above 2^53-1", [0x7f, 0, 0x20, 0, 0, 0, 0, 0, 0]],
  ["an unknown type", [0x01, 0x39]],
]) {
  test(`closes the session that sends ${what}, from the header alone [EIO-38]`, async (t) => {
    const { session, stream, client } = await open(t);
    const end = ending(session);
    await stream.write(bytes);
    assert.equal((await end).reason, "parse error");
    await client.ended();
  });
}

for (const chunk of ["text", 7, null, { byteLength: -1 }]) {
  test(`closes the session whose stream gives ${JSON.stringify(chunk)} in place of bytes [ROB-143]`, async (t) => {
    const unhandled = catchProcess(t, "unhandledRejection");
    const { session, stream, client } = await open(t);
    const end = ending(session);
    await stream.writer.write(chunk).catch(() => {});
    assert.equal((await end).reason, "parse error");
    await client.ended();
    assert.deepEqual(unhandled.caught, []);
  });
}

test("takes a message of exactly maxPayload [EIO-38]", async (t) => {
  const { session, stream } = await open(t, { maxHttpBufferSize: 1000 });
  const data = once(session, "data");
  await stream.send(`4${"x".repeat(999)}`);
  assert.equal((await data)[0].length, 999);
});

test("ends the session of a client that sends a close packet [EIO-66]", async (t) => {
  const { session, stream, client } = await open(t);
  const end = ending(session);
  await stream.send("1");
  assert.equal((await end).reason, "transport close");
  await client.ended();
});

test("pings, and closes a client that doesn't answer [EIO-72, ENG-162]", async (t) => {
  const { session, stream, client } = await open(t, { pingInterval: 20, pingTimeout: 30 });
  const end = ending(session);
  assert.equal(await stream.next(), "2");
  await stream.send("3");
  assert.equal(await stream.next(), "2");
  assert.equal((await end).reason, "ping timeout");
  await client.ended();
});

// -- back-pressure -------------------------------------------------------------------------------

test("is writable again once the system has taken everything, and calls back then [ENG-137, ENG-174]", async (t) => {
  const { session, stream } = await open(t, {}, { window: 0 });
  stream.pause();
  const taken = [];
  for (const name of ["a", "b", "c", "d"]) session.send(name, null, () => taken.push(name));
  await pass(20);
  assert.equal(session.transport.writable, false);
  assert.ok(session.bufferedBytes > 0);
  assert.ok(taken.length < 4);
  stream.resume();
  for (const name of ["a", "b", "c", "d"]) assert.equal(await stream.next(), `4${name}`);
  await pass(0);
  assert.deepEqual(taken, ["a", "b", "c", "d"]);
  assert.deepEqual([session.transport.writable, session.bufferedBytes], [true, 0]);
});

test("drops volatile packets while the client doesn't read, and loses no other [ENG-174, EVT-9]", async (t) => {
  const { io } = await startServer(t, { transports: ["polling", "webtransport"] });
  const connection = once(io, "connection");
  const { stream } = await openWebTransport(io.engine, { window: 0 });
  await stream.send("40");
  const [socket] = await connection;
  await stream.next();
  stream.pause();
  for (let i = 0; i < 100; i++) socket.emit("kept", i);
  await pass(10);
  for (let i = 0; i < 100; i++) socket.volatile.emit("lost", i);
  stream.resume();
  for (let i = 0; i < 100; i++) assert.equal(await stream.next(), `42["kept",${i}]`);
  await pass(10);
  assert.deepEqual(stream.received.drain(), []);
});

test("closes a client that stopped reading when bufferedBytes wait for it [ENG-162]", async (t) => {
  const { session, stream, client } = await open(t, { limits: { bufferedBytes: 1_000_000 } }, { window: 0 });
  stream.pause();
  const end = ending(session);
  for (let i = 0; i < 30 && session.readyState === "open"; i++) session.send("x".repeat(50_000));
  const { reason, description } = await end;
  assert.deepEqual([reason, description.code], ["transport error", "RC_ERR_BUFFERED_BYTES"]);
  await client.ended(); // at once: nobody waits for a client that doesn't read
});

test("closes a client that makes no progress for stalledAfterMs [ENG-162]", async (t) => {
  const { session, stream, client } = await open(t, { limits: { stalledBytes: 100_000, stalledAfterMs: 50 } }, { window: 0 });
  stream.pause();
  const end = ending(session);
  for (let i = 0; i < 10; i++) session.send("x".repeat(50_000));
  const { reason, description } = await end;
  assert.deepEqual([reason, description.code], ["transport error", "RC_ERR_STALLED"]);
  await client.ended();
});

test("gives a client that doesn't read half a minute for the rest, then cuts it [ENG-175]", async (t) => {
  const { session, stream, client } = await open(t, {}, { window: 0 });
  stream.pause();
  for (let i = 0; i < 5; i++) {
    session.send("filling what the network holds");
    await pass(1);
  }
  assert.equal(session.transport.writable, false);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  session.close(true);
  for (let turns = 0; turns < 20; turns++) await null;
  t.mock.timers.tick(29_000);
  for (let turns = 0; turns < 20; turns++) await null;
  assert.equal(client.isOver, false);
  t.mock.timers.tick(2_000);
  await client.ended();
});

// -- the end -------------------------------------------------------------------------------------

test("closes after what was queued has left [ENG-174, EIO-66]", async (t) => {
  const { session, stream, client } = await open(t, {}, { window: 0 });
  stream.pause();
  const end = ending(session);
  for (const name of ["a", "b", "c", "d"]) session.send(name);
  session.close();
  stream.resume();
  for (const name of ["a", "b", "c", "d"]) assert.equal(await stream.next(), `4${name}`);
  assert.equal((await end).reason, "forced close");
  await client.ended();
});

test("sends the DISCONNECT packet before the session is closed [ENG-174, DIS-2]", async (t) => {
  const { io } = await startServer(t, { transports: ["polling", "webtransport"] });
  io.on("connection", (socket) => {
    socket.emit("bye");
    socket.disconnect();
    socket.conn.close();
  });
  const { stream, client } = await openWebTransport(io.engine);
  await stream.send("40");
  assert.match(await stream.next(), /^40/);
  assert.deepEqual([await stream.next(), await stream.next()], ['42["bye"]', "41"]);
  await client.ended();
});

for (const [how, act] of [
  ["closes the session", ({ client }) => client.close()],
  ["loses its connection", ({ client }) => client.fail()],
  ["ends its stream", ({ stream }) => stream.finish()],
  ["resets its stream", ({ stream }) => stream.reset()],
  ["stops reading for good", ({ stream, session }) => stream.reader.cancel().then(() => session.send("x"))],
]) {
  test(`ends the session by "transport close" when the client ${how}, once [ENG-175]`, async (t) => {
    const opened = await open(t);
    const { session, engine, client } = opened;
    let count = 0;
    session.on("close", () => count++);
    const end = ending(session);
    await act(opened);
    assert.equal((await end).reason, "transport close");
    await client.ended();
    await pass(0);
    assert.deepEqual([count, session.readyState, session.transport.readyState, engine.clientsCount], [1, "closed", "closed", 0]);
  });
}

test("ends every session when the engine is closed [ENG-170]", async (t) => {
  const { session, client, engine } = await open(t);
  const end = ending(session);
  engine.close();
  assert.equal((await end).reason, "forced close");
  await client.ended();
});

test("survives a close() that throws and bytes that come after the end [ENG-175]", async (t) => {
  const { session, server, stream } = await open(t);
  const end = ending(session);
  server.close = () => {
    throw new Error("closed already");
  };
  const seen = messages(session);
  stream.send("1", "4late");
  await end;
  await stream.send("4later");
  await pass(0);
  assert.deepEqual(seen, []);
});

test("raises a listener's error as any event does, and goes on reading [EVT-26]", async () => {
  const { output, code } = await runFixture("throwing-listener.js");
  assert.deepEqual([code, output.trim().split("\n").sort()], [0, ["4good", "uncaughtException: of the listener"]]);
});

test("leaves no timer, lock or session after a thousand sessions that open and close [ENG-170, ENG-175]", async (t) => {
  const { engine } = await startEngine(t, TRANSPORTS);
  const ends = [
    ({ client }) => client.close(),
    ({ client }) => client.fail(),
    ({ stream }) => stream.finish(),
    ({ stream }) => stream.send("1"),
  ];
  for (let round = 0; round < 10; round++) {
    const opened = await Promise.all(Array.from({ length: 100 }, () => openWebTransport(engine)));
    assert.equal(engine.clientsCount, 100);
    await Promise.all(opened.map((one, at) => Promise.all([ends[at % ends.length](one), one.client.ended()])));
  }
  await pass(0);
  assert.equal(engine.clientsCount, 0);
  const timers = process.getActiveResourcesInfo().filter((name) => name === "Timeout");
  assert.deepEqual(timers, []);
});

// -- limits --------------------------------------------------------------------------------------

test(
  "bounds the incomplete packets of all sessions and handshakes together, and closes what holds most [ROB-814]",
  oursOnly("it has no limit on all connections together"),
  async (t) => {
    const { engine, session, stream, client } = await open(t, { limits: { totalHeldBytes: 1_000_000 } });
    const end = ending(session);
    const bytes = packetBytes("4" + "x".repeat(900_000));
    const others = [];
    for (let i = 0; i < 2; i++) {
      others.push(sessionPair());
      void engine.onWebTransportSession(others[i].server);
    }
    const streams = await Promise.all(others.map((other) => other.client.openStream()));
    await streams[0].write(bytes.subarray(0, 400_000));
    await streams[1].write(bytes.subarray(0, 300_000));
    await stream.write(bytes.subarray(0, 350_000)); // the handshake of 400,000 bytes has to go
    await others[0].client.ended();
    assert.equal(engine.counts.codes.RC_ERR_TOTAL_HELD_BYTES, 1);
    await stream.write(bytes.subarray(350_000, 800_000)); // and now the session
    const { reason, description } = await end;
    assert.equal(reason, "transport error");
    assert.deepEqual([description.code, description.limit], ["RC_ERR_TOTAL_HELD_BYTES", 1_000_000]);
    await client.ended();
    assert.equal(engine.counts.codes.RC_ERR_TOTAL_HELD_BYTES, 2);
    assert.equal(engine.handshakes.size, 1);
  },
);
