/** The object behind `socket.client`: one connection with all its namespaces. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { once, record } from "../../support/client.js";
import { fence, nextSocket, pair, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";

test("shows the connection and its sockets [CLI-1, CLI-2]", async (t) => {
  const { io, socket, client } = await pair(t);
  io.of("/other");
  const other = client.io.socket("/other");
  const connected = once(other, "connect");
  await connected;
  const { client: connection } = socket;
  assert.deepEqual([connection.id, connection.conn.id, connection.request], [client.io.engine.id, client.io.engine.id, socket.request]);
  assert.ok(connection.sockets instanceof Map);
  assert.deepEqual([...connection.sockets.keys()].sort(), [socket.id, other.id].sort());
  assert.deepEqual([...connection.nsps.keys()].sort(), ["/", "/other"]);
  assert.equal(connection.nsps.get("/"), socket);
});

test("writes encoded frames in order [CLI-3, ADP-35]", async (t) => {
  const { io, port } = await startServer(t);
  const admitted = nextSocket(io);
  const peer = await wirePeer(t, port);
  const { client } = await admitted;
  client.writeToEngine(['51-["e",{"_placeholder":true,"num":0}]', Buffer.from([1])], { compress: true });
  await peer.expect('451-["e",{"_placeholder":true,"num":0}]');
  await peer.expect(Buffer.from([1]));
  client.writeToEngine(['2["plain"]'], { preEncoded: true });
  await peer.expect('42["plain"]');
});

test("writes frames that were framed for WebSocket, and to polling what they mean [CLI-3, ADP-33]", async (t) => {
  for (const transports of [["websocket"], ["polling"]]) {
    const { socket, client } = await pair(t, {}, { client: { transports } });
    const text = '42["framed"]';
    const frame = [Buffer.from([0x81, text.length]), Buffer.from(text)];
    const log = record(client, "framed");
    socket.client.writeToEngine(['2["framed"]'], { preEncoded: true, wsPreEncodedFrame: frame });
    await fence(socket, client);
    assert.equal(log.events.length, 1);
  }
});

test("skips all frames of a volatile packet when the wire is busy [CLI-3, EVT-9]", async (t) => {
  const { io, port } = await startServer(t);
  const admitted = nextSocket(io);
  const peer = await wirePeer(t, port);
  const socket = await admitted;
  socket.emit("first");
  socket.client.writeToEngine(['51-["e",{"_placeholder":true,"num":0}]', Buffer.from([1])], { volatile: true });
  socket.emit("last");
  await peer.expect('42["first"]');
  await peer.expect('42["last"]');
});

test("waits for a first namespace, and never again [CLI-4]", async (t) => {
  const { io, port } = await startServer(t, { connectTimeout: 200, pingInterval: 600, pingTimeout: 5000 });
  const admitted = nextSocket(io);
  const joined = await wirePeer(t, port);
  const idle = await wirePeer(t, port, { join: false });
  const ending = once(await admitted, "disconnect");
  joined.send("41");
  await ending;
  await idle.closed();
  await joined.expect("2");
  assert.equal(io.engine.clientsCount, 1);
});

test("closes all sockets with the reason of the connection [CLI-5]", async (t) => {
  const { io, socket, client } = await pair(t);
  const reasons = [];
  io.of("/other").on("connection", (other) => other.on("disconnect", (reason) => reasons.push(["/other", reason])));
  socket.on("disconnect", (reason) => reasons.push(["/", reason]));
  const other = client.io.socket("/other");
  const connected = once(other, "connect");
  await connected;
  const closed = once(socket.conn, "close");
  client.io.engine.close();
  await closed;
  assert.deepEqual(reasons, [
    ["/", "transport close"],
    ["/other", "transport close"],
  ]);
  assert.equal(socket.client.sockets.size, 0);
});
