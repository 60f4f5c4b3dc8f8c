import { test } from "node:test";
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { createRequire } from "node:module";
import { once, record } from "../../../support/client.js";
import { OPCODE, PollingSession, WireSocket, frame, http, messageFrame, refusedUpgrade } from "../../../support/wire-client.js";
import { POLLING, WEBSOCKET, ending, openWebSocket, startEcho, webSocketPair } from "../../../support/engine.js";
import { startEngine } from "../../../support/server.js";
import { within } from "../../../support/wait.js";
import { ours, oursOnly } from "../../../support/target.js";

const { WebSocketServer } = createRequire(import.meta.url)("ws");

test("answers the handshake with a 101 for the key given [EIO-42]", async (t) => {
  const { port } = await startEngine(t);
  const { response } = await WireSocket.open(port, WEBSOCKET);
  assert.equal(response.status, 101);
  assert.equal(response.statusText, "Switching Protocols");
  assert.equal(response.headers.upgrade, "websocket");
  assert.equal(response.headers.connection, "Upgrade");
  assert.equal(response.headers["sec-websocket-extensions"], undefined);
  assert.equal(response.headers["set-cookie"], undefined);
});

test("echoes text and binary [EIO-20, EIO-21, EIO-136]", async (t) => {
  const { port } = await startEcho(t);
  const ws = await WireSocket.open(port, WEBSOCKET);
  await ws.next();
  ws.send("4hello");
  await ws.expect("4hello");
  ws.send(Buffer.from([1, 2, 3, 4]));
  await ws.expect(Buffer.from([1, 2, 3, 4]));
});

test(
  "takes frames that arrive in the same write as the handshake [ENG-120]",
  oursOnly("it loses frames that arrive before the id is there"),
  async (t) => {
    const { engine, port } = await startEngine(t);
    const data = new Promise((resolve) => engine.once("connection", (session) => session.once("data", resolve)));
    await WireSocket.open(port, WEBSOCKET, {}, { early: messageFrame("4early") });
    assert.equal(await within(data, "the early message"), "early");
  },
);

for (const rsv of [1, 2, 3, 4]) {
  test(`survives an invalid frame (rsv ${rsv}) in the same write as the handshake [ENG-120, EIO-124]`, async (t) => {
    const { engine, port } = await startEngine(t);
    const early = frame(OPCODE.text, "4x", { rsv });
    const ws = await WireSocket.open(port, WEBSOCKET, {}, { early });
    assert.equal((await ws.closed()).code, 1002);
    assert.equal((await http(port, { path: POLLING })).status, 200);
    assert.equal(engine.clientsCount, 1);
  });
}

test("survives an invalid frame directly after the handshake while allowRequest is pending [ENG-120]", async (t) => {
  const { engine, port } = await startEngine(t, { allowRequest: (req, decide) => setImmediate(decide, null, true) });
  const early = frame(OPCODE.text, "4x", { rsv: 3 });
  const ws = await WireSocket.open(port, WEBSOCKET, {}, { early }).catch((error) => error);
  if (ws instanceof WireSocket) await ws.closed();
  assert.equal((await http(port, { path: POLLING })).status, 200);
  assert.equal(engine.clientsCount, 1);
});

for (const [name, bytes, code, text] of [
  ["a frame longer than maxHttpBufferSize", frame(OPCODE.text, `4${"x".repeat(100)}`), 1009, "Error: Max payload size exceeded"],
  [
    "a frame announced longer than maxHttpBufferSize",
    frame(OPCODE.binary, "", { length: 268435456 }),
    1009,
    "Error: Max payload size exceeded",
  ],
  [
    "a message longer than maxHttpBufferSize in fragments",
    Buffer.concat([frame(OPCODE.text, "4".repeat(60), { fin: false }), frame(OPCODE.continuation, "x".repeat(60))]),
    1009,
    "Error: Max payload size exceeded",
  ],
  [
    "text that is not UTF-8",
    frame(OPCODE.text, Buffer.from([0x34, 0xff, 0xfe])),
    1007,
    "Error: Invalid WebSocket frame: invalid UTF-8 sequence",
  ],
  ["a reserved opcode", frame(3, "4x"), 1002, "Error: Invalid WebSocket frame: invalid opcode 3"],
  ["a reserved bit", frame(OPCODE.text, "4x", { rsv: 1 }), 1002, "Error: Invalid WebSocket frame: RSV2 and RSV3 must be clear"],
  ["a frame without mask", frame(OPCODE.text, "4x", { mask: false }), 1002, "Error: Invalid WebSocket frame: MASK must be set"],
  ["a continuation of nothing", frame(OPCODE.continuation, "4x"), 1002, "Error: Invalid WebSocket frame: invalid opcode 0"],
  ["a ping in fragments", frame(OPCODE.ping, "x", { fin: false }), 1002, "Error: Invalid WebSocket frame: FIN must be set"],
]) {
  test(`closes with ${code} on ${name} [EIO-124, ENG-114, ENG-162]`, async (t) => {
    const { ws, session } = await webSocketPair(t, { maxHttpBufferSize: 100 });
    const end = ending(session);
    ws.write(bytes);
    const { reason, description } = await end;
    assert.equal(reason, "transport error");
    assert.ok(description instanceof Error);
    assert.equal(description.type, "TransportError");
    assert.ok(description.message.endsWith(text), description.message);
    assert.equal((await ws.closed()).code, code);
  });
}

test("takes a message of exactly maxHttpBufferSize bytes [EIO-54, ENG-10]", async (t) => {
  const { ws, session } = await webSocketPair(t, { maxHttpBufferSize: 100 });
  const data = once(session, "data");
  ws.send(`4${"x".repeat(99)}`);
  assert.deepEqual(await data, ["x".repeat(99)]);
});

for (const code of [undefined, 1000, 1001, 3000, 4321]) {
  test(`ends the session with transport close when the peer closes with ${code} [EIO-123, ENG-162]`, async (t) => {
    const { ws, session } = await webSocketPair(t);
    const end = ending(session);
    ws.close(code);
    assert.equal((await end).reason, "transport close");
    const { code: answered } = await ws.closed();
    assert.equal(answered, code ?? 1005);
  });
}

test("ends the session with transport close when the connection just ends [EIO-123, ENG-162]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  const end = ending(session);
  ws.abort();
  assert.equal((await end).reason, "transport close");
});

test("closes with an empty close frame after everything queued was written [EIO-122, ENG-118, ENG-160]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  const end = ending(session);
  session.send("bye");
  session.send("bye again");
  session.close();
  await ws.expect("4bye");
  await ws.expect("4bye again");
  assert.deepEqual(await ws.closed(), { code: 1005, reason: "", hasFrame: true });
  const last = ws.frames.at(-1);
  assert.deepEqual([last.opcode, last.payload.length], [8, 0]);
  assert.equal((await end).reason, "forced close");
});

test("answers WebSocket pings with the same bytes, and does not take them for heartbeats [ENG-119]", async (t) => {
  const { ws, session } = await webSocketPair(t, { pingInterval: 100, pingTimeout: 200 });
  const end = ending(session);
  const packets = record(session, "packet", "heartbeat");
  ws.ping("abc");
  const pong = await ws.controls.next();
  assert.deepEqual([pong.opcode, pong.payload.toString()], [OPCODE.pong, "abc"]);
  ws.write(frame(OPCODE.pong, "3"));
  assert.equal((await end).reason, "ping timeout");
  assert.deepEqual(packets.names, []);
});

test("selects the first subprotocol a client offers [ENG-112]", async (t) => {
  const { port } = await startEngine(t);
  const { response } = await WireSocket.open(port, WEBSOCKET, { "Sec-WebSocket-Protocol": "first, second" });
  assert.equal(response.headers["sec-websocket-protocol"], "first");
});

for (const [name, headers] of [
  [
    "extensions named like prototype members",
    { "Sec-WebSocket-Extensions": "constructor, __proto__, permessage-deflate; __proto__; constructor=1" },
  ],
  ["a subprotocol header of 15,000 spaces", { "Sec-WebSocket-Protocol": `a${" ".repeat(15000)}b` }],
]) {
  test(`answers or refuses ${name} without harm [ENG-46, ENG-112]`, async (t) => {
    const { port } = await startEngine(t, { perMessageDeflate: true });
    const ws = await WireSocket.open(port, WEBSOCKET, headers).catch((error) => error);
    if (!(ws instanceof WireSocket)) assert.equal(ws.response?.status, 400, ws.message);
    assert.equal((await http(port, { path: POLLING })).status, 200);
  });
}

test("hands its options to the WebSocket engine given [ENG-110]", async (t) => {
  const constructed = [];
  class Recording extends WebSocketServer {
    constructor(options) {
      super(options);
      constructed.push(options);
    }
  }
  const { port } = await startEcho(t, { wsEngine: Recording, maxHttpBufferSize: 4321, perMessageDeflate: { threshold: 10 } });
  const ws = await WireSocket.open(port, WEBSOCKET);
  await ws.next();
  ws.send("4a");
  await ws.expect("4a");
  assert.ok(constructed.length > 0);
  for (const { noServer, clientTracking, maxPayload, perMessageDeflate } of constructed) {
    assert.deepEqual({ noServer, clientTracking, maxPayload }, { noServer: true, clientTracking: false, maxPayload: 4321 });
    assert.equal(perMessageDeflate.threshold, 10);
  }
});

/** A WebSocket engine with nothing but what the contract names; `sockets` are the objects it handed out. */
function minimalEngine() {
  const sockets = [];
  class MinimalEngine {
    handleUpgrade(req, socket, head, done) {
      const ws = new EventEmitter();
      ws.sent = [];
      ws.send = (data, callback) => {
        ws.sent.push(data);
        ws.emit("test:sent");
        setImmediate(callback);
      };
      ws.close = () => {
        socket.destroy();
        setImmediate(() => ws.emit("close"));
      };
      sockets.push(ws);
      done(ws);
    }

    close() {}
  }
  return { MinimalEngine, sockets };
}

test("works with a WebSocket engine that is only what the contract names [ENG-110]", async (t) => {
  const { MinimalEngine, sockets } = minimalEngine();
  const { engine, port } = await startEngine(t, { wsEngine: MinimalEngine });
  const connection = once(engine, "connection");
  WireSocket.open(port, WEBSOCKET).catch(() => {});
  const [session] = await connection;
  const data = once(session, "data");
  sockets[0].emit("message", Buffer.from("4hello"), false);
  assert.deepEqual(await data, ["hello"]);
  const binary = once(session, "data");
  sockets[0].emit("message", Buffer.from([1, 2]), true);
  assert.deepEqual(await binary, [Buffer.from([1, 2])]);
  const sent = once(sockets[0], "test:sent");
  session.send("back");
  if (!sockets[0].sent.some((data) => String(data) === "4back")) await sent;
  assert.match(String(sockets[0].sent[0]), /^0\{/);
  assert.equal(String(sockets[0].sent[1]), "4back");
  const end = ending(session);
  sockets[0].emit("close");
  assert.equal((await end).reason, "transport close");
});

test("ends the session when a write fails [ENG-116]", async (t) => {
  const { MinimalEngine, sockets } = minimalEngine();
  const { engine, port } = await startEngine(t, { wsEngine: MinimalEngine });
  const connection = once(engine, "connection");
  WireSocket.open(port, WEBSOCKET).catch(() => {});
  const [session] = await connection;
  if (!session.transport.writable) await once(session.transport, "ready");
  const end = ending(session);
  sockets[0].send = (data, callback) => setImmediate(callback, new Error("broken pipe"));
  session.send("x");
  const { reason, description } = await end;
  assert.deepEqual([reason, description.type, description.message], ["transport error", "TransportError", "write error"]);
});

test("does not let errors of a retired WebSocket surface [ENG-120]", async (t) => {
  const { MinimalEngine, sockets } = minimalEngine();
  const { engine, port } = await startEngine(t, { wsEngine: MinimalEngine });
  const connection = once(engine, "connection");
  WireSocket.open(port, WEBSOCKET).catch(() => {});
  const [session] = await connection;
  const end = ending(session);
  session.close(true);
  await end;
  sockets[0].emit("error", new Error("late"));
  assert.equal((await http(port, { path: POLLING })).status, 200);
});

test("queues what is sent while a write is under way, and flushes it next [ENG-115]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  if (!session.transport.writable) await once(session.transport, "ready");
  const flushes = [];
  session.on("flush", (buffer) => flushes.push(buffer.length));
  for (const text of ["a", "b", "c"]) session.send(text);
  for (const text of ["4a", "4b", "4c"]) await ws.expect(text);
  assert.equal(
    flushes.reduce((sum, size) => sum + size, 0),
    3,
  );
  ours("our flush may wait for the end of the tick", () => assert.ok(flushes.length <= 2));
});

test("ends with 503 or a refusal once the engine is closed, for WebSockets [ENG-111]", async (t) => {
  const { engine, port } = await startEngine(t);
  engine.close();
  const response = await refusedUpgrade(port, WEBSOCKET);
  assert.ok(response.status >= 400, `status ${response.status}`);
});

test("negotiates permessage-deflate only when it is on and offered [ENG-14, ENG-113]", async (t) => {
  const offer = { "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits" };
  const off = await startEngine(t);
  assert.equal((await WireSocket.open(off.port, WEBSOCKET, offer)).response.headers["sec-websocket-extensions"], undefined);
  const on = await startEngine(t, { perMessageDeflate: true });
  assert.match((await WireSocket.open(on.port, WEBSOCKET, offer)).response.headers["sec-websocket-extensions"], /^permessage-deflate/);
  assert.equal((await WireSocket.open(on.port, WEBSOCKET)).response.headers["sec-websocket-extensions"], undefined);
});

for (const [name, data, options, compressed] of [
  ["a long message", "x".repeat(2000), {}, true],
  ["a short message", "short", {}, false],
  ["a long message with compress: false", "x".repeat(2000), { compress: false }, false],
]) {
  test(
    `${compressed ? "compresses" : "does not compress"} ${name} [ENG-14, ENG-113]`,
    oursOnly("it ignores the flag and, with context takeover, the threshold"),
    async (t) => {
      const offer = { "Sec-WebSocket-Extensions": "permessage-deflate" };
      const { ws, session } = await webSocketPair(t, { perMessageDeflate: true }, { headers: offer });
      session.send(data, options);
      await ws.next();
      assert.equal(ws.frames.at(-1).rsv, compressed ? 4 : 0);
    },
  );
}

test("gives no answer that grows with the number of unread pings [ENG-119]", async (t) => {
  const { ws, session } = await webSocketPair(t);
  const data = once(session, "data");
  ws.write(Buffer.concat([...Array.from({ length: 1000 }, () => frame(OPCODE.ping, Buffer.alloc(125))), messageFrame("4after")]));
  assert.deepEqual(await data, ["after"]);
});

test("keeps serving others while one WebSocket misbehaves [EIO-124]", async (t) => {
  const { engine, port, ws, session } = await webSocketPair(t);
  const other = await openWebSocket({ engine, port });
  const end = ending(session);
  ws.write(frame(3, "bad"));
  await end;
  other.session.send("fine");
  await other.ws.expect("4fine");
  assert.equal((await PollingSession.open(port)).response.status, 200);
});
