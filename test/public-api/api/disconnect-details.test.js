/** The description of `disconnect`, and the details of `connection_error`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { nextSocket, pair, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";
import { http, PollingSession } from "../../support/wire-client.js";

const DETAILS = oursOnly("its description is undefined, or an Error without these members");

/** The reason and description of a socket's end; ages and lag are checked, and left out. */
async function ending(socket) {
  const [reason, description] = await once(socket, "disconnect");
  const { lastInMs, lastOutMs, loopLagMs, ...rest } = description;
  for (const ms of [lastInMs, lastOutMs, loopLagMs]) assert.ok(Number.isInteger(ms) && ms >= 0, `${ms} is no age`);
  return { reason, description, isError: description instanceof Error, rest, message: description.message };
}

/** A server with a hand-made WebSocket, or with a polling session: `{ io, socket, peer }`. */
async function byHand(t, options) {
  const { io, port } = await startServer(t, options);
  const admitted = nextSocket(io);
  const peer = await wirePeer(t, port);
  return { io, socket: await admitted, peer };
}

for (const [name, act, reason, expected] of [
  [
    "the client leaves the namespace",
    ({ client }) => client.disconnect(),
    "client namespace disconnect",
    { layer: "namespace", code: "CLIENT_NAMESPACE_DISCONNECT" },
  ],
  [
    "the program disconnects it",
    ({ socket }) => socket.disconnect(),
    "server namespace disconnect",
    { layer: "application", code: "SERVER_NAMESPACE_DISCONNECT" },
  ],
  [
    "the program closes the connection",
    ({ socket }) => socket.conn.close(),
    "forced close",
    { layer: "application", code: "FORCED_CLOSE" },
  ],
  ["the server closes", ({ io }) => void io.close(), "server shutting down", { layer: "application", code: "SERVER_SHUTTING_DOWN" }],
  [
    "the connection is lost",
    ({ client }) => client.io.engine.transport.ws._socket.destroy(),
    "transport close",
    { layer: "transport", code: "TRANSPORT_CLOSE" },
  ],
]) {
  test(`describes the end when ${name}, with a plain object [ROB-711]`, DETAILS, async (t) => {
    const both = await pair(t);
    const end = ending(both.socket);
    act(both);
    const { rest, isError, ...more } = await end;
    delete rest.closeCode; // the client's WebSocket may close first
    delete rest.closeReason;
    assert.equal(isError, false);
    assert.equal(more.reason, reason);
    assert.deepEqual(rest, { ...expected, message: reason });
  });
}

test("describes a missing pong, with the age of the last bytes, and the lag of a loop that was blocked [ROB-711]", DETAILS, async (t) => {
  const { socket } = await byHand(t, { pingInterval: 1500, pingTimeout: 100 });
  socket.conn.on("packetCreate", () => {
    const until = performance.now() + 1200; // over at least one tick of the clock
    while (performance.now() < until);
  });
  const { reason, rest, description } = await ending(socket);
  assert.equal(reason, "ping timeout");
  assert.deepEqual(rest, { layer: "engine", code: "PING_TIMEOUT", message: "ping timeout" });
  assert.ok(description.lastInMs >= 1500, `last bytes ${description.lastInMs} ms ago`);
  assert.ok(description.lastOutMs < description.lastInMs, `written ${description.lastOutMs} ms ago`);
  assert.ok(description.loopLagMs >= 100, `lag of ${description.loopLagMs} ms`);
});

for (const [code, reason, frame] of [
  [1000, "bye", [1000, "bye"]],
  [4321, "own code", [4321, "own code"]],
  [1005, "", []],
]) {
  test(`tells code ${code} of the peer's Close frame [ROB-712]`, DETAILS, async (t) => {
    for (const options of [{}, { receive: "ws" }, { perMessageDeflate: true }]) {
      const { socket, client } = await pair(t, options);
      const end = ending(socket);
      client.io.engine.transport.ws.close(...frame);
      const { description } = await end;
      assert.deepEqual([description.closeCode, description.closeReason], [code, reason], JSON.stringify(options));
    }
  });
}

test("keeps the Error of a transport error, and adds to it [ROB-711]", DETAILS, async (t) => {
  const { socket, peer } = await byHand(t);
  const end = ending(socket);
  peer.socket.write(Buffer.from([0x81, 1, 0x32])); // without a mask
  const { reason, description, isError } = await end;
  assert.equal(reason, "transport error");
  assert.equal(isError, true);
  assert.equal(description.type, "TransportError");
  assert.equal(description.message, "RangeError: Invalid WebSocket frame: MASK must be set");
  assert.equal(description.description.code, "WS_ERR_EXPECTED_MASK");
  assert.deepEqual([description.layer, description.code], ["transport", "WS_ERR_EXPECTED_MASK"]);
});

for (const [name, options, client] of [
  ["", {}, {}],
  [" that ws reads", { receive: "ws" }, {}],
  [" with compression", { perMessageDeflate: true }, { perMessageDeflate: { threshold: 0 } }],
]) {
  test(
    `closes a WebSocket${name} with 1009 when a message is larger than maxHttpBufferSize, and names limit and size [ROB-713]`,
    DETAILS,
    async (t) => {
      const both = await pair(t, { maxHttpBufferSize: 1000, ...options }, { client });
      const end = ending(both.socket);
      const seen = once(both.client.io.engine.transport.ws, "close");
      both.client.emit("large", "x".repeat(2000));
      const { description, reason } = await end;
      assert.deepEqual(
        [reason, description.layer, description.code, description.limit],
        ["transport error", "engine", "RC_ERR_MESSAGE_BYTES", 1000],
      );
      const [event] = await seen;
      assert.equal(event.code ?? event, 1009);
      if (name === "") assert.ok(description.met >= 2000, `met ${description.met}`);
      assert.equal(both.io.engine.counts.codes.RC_ERR_MESSAGE_BYTES, 1);
    },
  );
}

test("tells the reason in the Close frame 1009 [ROB-713]", DETAILS, async (t) => {
  const { peer } = await byHand(t, { maxHttpBufferSize: 1000 });
  peer.send("4".repeat(1001));
  assert.deepEqual(await peer.closed(), { code: 1009, reason: "Max payload size exceeded", hasFrame: true });
});

test("describes a LimitError and an invalid packet on both transports by their codes [ROB-711]", DETAILS, async (t) => {
  const { io, port } = await startServer(t, { maxHttpBufferSize: 1000 });
  const admitted = nextSocket(io);
  const polling = await PollingSession.open(port, "", { path: "/socket.io/" });
  await polling.post("40");
  const large = ending(await admitted);
  await polling.post("4".repeat(1001));
  const { rest, isError } = await large;
  assert.equal(isError, true);
  assert.deepEqual(rest, { layer: "engine", code: "RC_ERR_BODY_BYTES", limit: 1000, met: 1001 });

  const next = nextSocket(io);
  const peer = await wirePeer(t, port);
  const invalid = ending(await next);
  peer.send("49");
  const end = await invalid;
  assert.equal(end.reason, "forced close");
  assert.deepEqual([end.isError, end.rest.layer, end.rest.code], [false, "namespace", "RC_ERR_PACKET_TYPE"]);
});

test("does not touch what a program passes to conn.onError, unless it is an Error [ROB-711, ROB-521]", DETAILS, async (t) => {
  for (const [given, hasLayer] of [
    ["a text", false],
    [Object.freeze(new Error("frozen")), false],
    [Object.assign(new Error("own"), { code: "OWN", layer: "mine" }), true],
    [Object.assign(new Error("own"), { code: "OWN" }), true],
  ]) {
    const { socket } = await pair(t);
    const end = once(socket, "disconnect");
    const code = given.code;
    socket.conn.onError(given);
    const [, description] = await end;
    assert.equal(description, given);
    assert.equal(description.code, code);
    assert.equal(Object.hasOwn(Object(description), "layer"), hasLayer);
  }
});

test("gives a refusal details: a code, the text, and how late the event loop is [ROB-714]", DETAILS, async (t) => {
  const { io, port } = await startServer(t, { allowRequest: (request, answer) => answer("not you", false) });
  const details = [];
  io.engine.on("connection_error", (error) => details.push(error.details));
  for (const query of ["foo", "polling&sid=x", "websocket", "polling"]) await http(port, { path: `/socket.io/?EIO=4&transport=${query}` });
  assert.deepEqual(
    details.map(({ loopLagMs, ...rest }) => (assert.ok(loopLagMs >= 0), rest)),
    [
      { layer: "engine", code: "TRANSPORT_UNKNOWN", message: "Transport unknown" },
      { layer: "engine", code: "SESSION_ID_UNKNOWN", message: "Session ID unknown" },
      { layer: "engine", code: "TRANSPORT_HANDSHAKE_ERROR", message: "Bad request" },
      { layer: "engine", code: "FORBIDDEN", message: "not you" },
    ],
  );
});
