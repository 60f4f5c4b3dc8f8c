/** Catalogue of usage examples, section G: disconnection. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { once, record } from "../../support/client.js";
import { nextSocket, pair, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { within } from "../../support/wait.js";

/** How a socket of the official client ends: what is done, and the reason that both sides see. */
const ENDINGS = [
  {
    what: "client.disconnect()",
    act: ({ client }) => client.disconnect(),
    reason: "client namespace disconnect",
    client: "io client disconnect",
  },
  {
    what: "socket.disconnect()",
    act: ({ socket }) => socket.disconnect(),
    reason: "server namespace disconnect",
    client: "io server disconnect",
  },
  {
    what: "socket.disconnect(true)",
    act: ({ socket }) => socket.disconnect(true),
    reason: "server namespace disconnect",
    client: "io server disconnect",
  },
  { what: "io.close()", act: ({ io }) => io.close(), reason: "server shutting down", client: "transport close" },
  { what: "the client's engine closing", act: ({ client }) => client.io.engine.close(), reason: "transport close", client: "forced close" },
  { what: "socket.conn.close()", act: ({ socket }) => socket.conn.close(), reason: "forced close", client: "transport close" },
  { what: "the server's engine closing", act: ({ io }) => io.engine.close(), reason: "forced close", client: "transport close" },
];

for (const { what, act, reason, client: clientReason } of ENDINGS) {
  test(`EX-140 ends with "${reason}" by ${what} [DIS-20, DIS-21, DIS-22, DIS-24, DIS-27]`, async (t) => {
    const server = await pair(t);
    const endings = [once(server.socket, "disconnect"), once(server.client, "disconnect")];
    act(server);
    const [[met], [clientMet]] = await Promise.all(endings);
    assert.deepEqual([met, clientMet], [reason, clientReason]);
  });
}

/** How a socket of a hand-made client ends. */
const VIOLATIONS = [
  { what: "a connection that is cut", act: (peer) => peer.abort(), reason: "transport close" },
  { what: "an undecodable engine packet", act: (peer) => peer.send("abc"), reason: "parse error" },
  { what: "an undecodable Socket.IO packet", act: (peer) => peer.send("4abc"), reason: "forced close" },
  { what: "an event for a namespace that was not joined", act: (peer) => peer.send('42/other,["x"]'), reason: "forced close" },
  { what: "a second CONNECT", act: (peer) => peer.send("40"), reason: "forced close" },
  { what: "a CONNECT_ERROR", act: (peer) => peer.send('44{"message":"x"}'), reason: "forced close" },
  { what: "a heartbeat in the wrong direction", act: (peer) => peer.send("2"), reason: "transport error" },
  { what: "a message that is too large", act: (peer) => peer.send(`42["x","${"x".repeat(2000)}"]`), reason: "transport error" },
  { what: "silence after a ping", act: () => {}, reason: "ping timeout", options: { pingInterval: 100, pingTimeout: 100 } },
];

for (const { what, act, reason, options } of VIOLATIONS) {
  test(`EX-140 ends with "${reason}" by ${what} [DIS-23, DIS-24, DIS-25, DIS-26, DIS-27]`, async (t) => {
    const { io, port } = await startServer(t, { maxHttpBufferSize: 1000, ...options });
    io.of("/other");
    const admitted = nextSocket(io);
    const peer = await wirePeer(t, port);
    const ending = once(await admitted, "disconnect");
    act(peer);
    const [met, description] = await ending;
    assert.equal(met, reason);
    if (reason === "transport error") assert.ok(description instanceof Error || typeof description === "string", String(description));
    await peer.closed();
  });
}

test("EX-141 is disconnecting, then disconnected, once each [DIS-4, DIS-5]", async (t) => {
  const { io, socket, client } = await pair(t);
  const log = [];
  for (const name of ["disconnecting", "disconnect"]) {
    socket.on(name, (reason) => log.push([name, reason, socket.connected, io.of("/").sockets.has(socket.id)]));
  }
  const ending = once(socket.conn, "close");
  client.disconnect();
  await ending;
  socket.disconnect();
  assert.deepEqual(log, [
    ["disconnecting", "client namespace disconnect", true, true],
    ["disconnect", "client namespace disconnect", false, false],
  ]);
});

test("EX-142 emits into the void after the end, and times out what was asked [EVT-4, DIS-6, DIS-1]", async (t) => {
  const { socket, client } = await pair(t);
  const log = record(client, "late");
  const ending = once(socket.conn, "close");
  const plain = [];
  socket.emit("unanswered", (...args) => plain.push(args));
  client.disconnect();
  await ending;
  assert.equal(socket.emit("late"), true);
  assert.equal(socket.disconnect(), socket);
  const [error] = await within(new Promise((resolve) => socket.timeout(20).emit("late", (...args) => resolve(args))), "the callback");
  assert.equal(error.message, "operation has timed out");
  assert.deepEqual([log.events, plain], [[], []]);
});

test("EX-143 closes a connection that joins nothing [CLI-4, DIS-31]", async (t) => {
  const { io, port } = await startServer(t, { connectTimeout: 50 });
  const connected = once(io.engine, "connection");
  const peer = await wirePeer(t, port, { join: false });
  const [conn] = await connected;
  const [reason] = await once(conn, "close");
  assert.equal(reason, "forced close");
  await peer.closed();
});

test("EX-144 keeps an idle connection that has left its only namespace [CLI-4]", async (t) => {
  const { io, port } = await startServer(t, { connectTimeout: 200, pingInterval: 600, pingTimeout: 5000 });
  const admitted = nextSocket(io);
  const peer = await wirePeer(t, port);
  const ending = once(await admitted, "disconnect");
  peer.send("41");
  assert.equal((await ending)[0], "client namespace disconnect");
  await peer.expect("2"); // the first ping comes long after connectTimeout
  peer.send("3", "40");
  await peer.until((message) => message.startsWith("40{"));
});
