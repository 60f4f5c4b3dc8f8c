/** A reason that the client can read, with `disconnect(close, { reason })`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { linkedServers } from "../../support/bus-adapter.js";
import { record } from "../../support/client.js";
import { crowd, joinServer, nextSocket, pair, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";

const REASON = oursOnly("its disconnect takes no reason");
const BY_SERVER = ["disconnect", "io server disconnect"];

/** What a client sees until it is disconnected, as `[event, first value]`. */
async function seen(client, event = "disconnect_reason") {
  const log = record(client, event, "disconnect");
  return (await log.until((events) => events.some(([name]) => name === "disconnect"))).map(([name, value]) => [name, value]);
}

for (const transport of ["polling", "websocket"]) {
  for (const close of [false, true]) {
    test(`tells the reason by an event before the end, disconnect(${close}) over ${transport} [ROB-718]`, REASON, async (t) => {
      const { client, socket } = await pair(t, {}, { client: { transports: [transport] } });
      const events = seen(client);
      const outgoing = [];
      socket.onAnyOutgoing((...event) => outgoing.push(event));
      assert.equal(socket.disconnect(close, { reason: "signed out" }), socket);
      assert.deepEqual(await events, [["disconnect_reason", "signed out"], BY_SERVER]);
      assert.deepEqual(outgoing, [["disconnect_reason", "signed out"]]);
    });
  }
}

test("names the event as the program wants it, also with recovery [ROB-718]", REASON, async (t) => {
  const { client, socket } = await pair(t, { connectionStateRecovery: true });
  const events = seen(client, "kicked");
  socket.disconnect(true, { reason: "flood", event: "kicked" });
  assert.deepEqual(await events, [["kicked", "flood"], BY_SERVER]);
});

test(
  "sends the reason as that of the Close frame as well, cut to what fits, when the connection is closed [ROB-718]",
  REASON,
  async (t) => {
    for (const [reason, inFrame] of [
      ["signed out", "signed out"],
      ["ä".repeat(100), "ä".repeat(61)],
      ["😀".repeat(100), "😀".repeat(30)],
      ["", ""],
    ]) {
      const { io, port } = await startServer(t);
      const admitted = nextSocket(io);
      const peer = await wirePeer(t, port);
      (await admitted).disconnect(true, { reason });
      await peer.expect(`42${JSON.stringify(["disconnect_reason", reason])}`);
      await peer.expect("41");
      assert.deepEqual(await peer.closed(), { code: 1000, reason: inFrame, hasFrame: true });
    }
  },
);

test("closes without a code when no reason is given, as before [ROB-718, ENG-118]", async (t) => {
  const { io, port } = await startServer(t);
  const admitted = nextSocket(io);
  const peer = await wirePeer(t, port);
  (await admitted).disconnect(true);
  await peer.expect("41");
  assert.equal((await peer.closed()).code, 1005);
});

test("refuses a reason that is no text, and a reserved event [ROB-718]", REASON, async (t) => {
  const { io, socket } = await pair(t);
  for (const [options, code] of [
    [{}, "RC_ERR_ARGUMENT"],
    [{ reason: 5 }, "RC_ERR_ARGUMENT"],
    [null, "RC_ERR_ARGUMENT"],
    [{ reason: "x", event: "disconnect" }, "RC_ERR_RESERVED_EVENT"],
  ]) {
    assert.throws(() => socket.disconnect(true, options), { code });
    assert.throws(() => io.disconnectSockets(true, options), { code });
  }
  assert.equal(socket.connected, true);
});

test("tells the reason to all sockets of a room, also those of other servers [ROB-719]", REASON, async (t) => {
  const servers = await linkedServers(t, 2);
  const members = await Promise.all(servers.map((server) => joinServer(t, server)));
  const other = await joinServer(t, servers[0]);
  for (const { socket } of members) socket.join("room");
  const events = members.map(({ client }) => seen(client));
  servers[0].io.in("room").disconnectSockets(true, { reason: "closed" });
  for (const one of events) assert.deepEqual(await one, [["disconnect_reason", "closed"], BY_SERVER]);
  assert.equal(other.socket.connected, true);
});

test("tells the reason to one socket of another server [ROB-719]", REASON, async (t) => {
  const servers = await linkedServers(t, 2);
  const { client } = await joinServer(t, servers[1]);
  const [remote] = await servers[0].io.fetchSockets();
  const events = seen(client);
  remote.disconnect(false, { reason: "moved" });
  assert.deepEqual(await events, [["disconnect_reason", "moved"], BY_SERVER]);
});

test("tells the reason to all sockets of the namespace on this server [ROB-719]", REASON, async (t) => {
  const { io, clients } = await crowd(t, 2);
  const events = clients.map((client) => seen(client));
  io.disconnectSockets(false, { reason: "bye" });
  for (const one of events) assert.deepEqual(await one, [["disconnect_reason", "bye"], BY_SERVER]);
});
