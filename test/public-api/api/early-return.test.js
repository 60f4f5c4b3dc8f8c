/** Recovery of clients that are back before the server has noticed that their connection is gone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { adapters } from "../../support/packages.js";
import { nextSocket, wirePeer } from "../../support/pairs.js";
import { startServer } from "../../support/server.js";
import { oursOnly } from "../../support/target.js";

const RECOVERY = { connectionStateRecovery: {} };
const difference = oursOnly("it restores only sessions whose connection it knows to be gone");

/** A server, and a peer that has joined and seen an event: from here on it says nothing by itself. */
async function silentPeer(t, options = RECOVERY) {
  const server = await startServer(t, options);
  const admitted = nextSocket(server.io);
  const peer = await wirePeer(t, server.port);
  const socket = await admitted;
  socket.emit("seen");
  const offset = JSON.parse((await peer.next()).slice(2)).at(-1);
  const { sid, pid } = peer.payload;
  return { ...server, peer, socket, sid, auth: { pid, offset } };
}

test("gives a session back while its old connection is still open but silent [CSR-8, CSR-14]", difference, async (t) => {
  const { io, port, peer, socket, sid, auth } = await silentPeer(t);
  socket.join("r");
  io.to("r").emit("missed", 1);
  const ending = once(socket, "disconnect");
  const admitted = nextSocket(io);
  const back = await wirePeer(t, port, { join: false });
  back.send(`40${JSON.stringify(auth)}`);
  assert.equal((await ending)[0], "ping timeout");
  assert.match(await back.next(), /^42\["missed",1,"[^"]+"\]$/);
  await back.expect(`40${JSON.stringify({ sid, pid: auth.pid })}`);
  const now = await admitted;
  assert.deepEqual([now.recovered, now.id, now.rooms.has("r")], [true, sid, true]);
  assert.equal(io.of("/").sockets.get(sid), now);
  await peer.closed();
});

test("gives what is emitted while it asks the old connection", difference, async (t) => {
  const { io, port, socket, auth } = await silentPeer(t);
  const back = await wirePeer(t, port, { join: false });
  back.send(`40${JSON.stringify(auth)}`);
  socket.conn.once("packetCreate", () => setImmediate(() => io.emit("meanwhile", 1)));
  assert.match(await back.next(), /^42\["meanwhile",1,"[^"]+"\]$/);
});

test("asks several namespaces' sessions of one connection at once [CSR-16]", difference, async (t) => {
  const { io, port, peer, sid, auth } = await silentPeer(t);
  io.of("/other");
  peer.send("40/other,");
  const other = JSON.parse((await peer.next()).slice("40/other,".length));
  const back = await wirePeer(t, port, { join: false });
  back.send(`40${JSON.stringify(auth)}`);
  back.send(`40/other,${JSON.stringify({ pid: other.pid })}`);
  await back.expect(`40${JSON.stringify({ sid, pid: auth.pid })}`);
  await back.expect(`40/other,${JSON.stringify(other)}`);
});

test("takes an answer to an earlier ping for no sign of life", difference, async (t) => {
  const { port, peer, sid, auth } = await silentPeer(t, { ...RECOVERY, pingInterval: 100 });
  await peer.expect("2");
  const back = await wirePeer(t, port, { join: false });
  back.send(`40${JSON.stringify(auth)}`);
  await peer.expect("2");
  peer.send("3");
  const answer = await back.until((message) => message.startsWith("40"));
  assert.equal(answer, `40${JSON.stringify({ sid, pid: auth.pid })}`);
});

test("keeps a session whose connection answers, and gives the client a new one [CSR-14]", difference, async (t) => {
  const { io, port, peer, socket, sid, auth } = await silentPeer(t);
  const asking = wirePeer(t, port, { auth });
  await peer.expect("2");
  peer.send("3");
  assert.notEqual((await asking).payload.sid, sid);
  assert.equal(io.of("/").sockets.get(sid), socket);
  assert.equal(socket.conn.listenerCount("heartbeat") + socket.conn.listenerCount("close"), 0);
});

test("restores when the old connection closes while it is asked", difference, async (t) => {
  const { port, peer, sid, auth } = await silentPeer(t);
  const asking = wirePeer(t, port, { auth });
  await peer.expect("2");
  peer.abort();
  assert.equal((await asking).payload.sid, sid);
});

test("keeps the session for the next attempt when the client that asks disconnects first", difference, async (t) => {
  const { io, port, peer, socket, sid, auth } = await silentPeer(t);
  const first = await wirePeer(t, port, { join: false });
  first.send(`40${JSON.stringify(auth)}`);
  await peer.expect("2");
  const ending = once(socket, "disconnect");
  first.abort();
  await ending;
  assert.equal(io.of("/").sockets.size, 0);
  assert.equal((await wirePeer(t, port, { auth })).payload.sid, sid);
});

test("gives the session to the last client that asks when those of earlier attempts are silent, too", difference, async (t) => {
  const { io, port, peer, sid, auth } = await silentPeer(t);
  const admissions = [];
  io.on("connection", (socket) => admissions.push(socket));
  const second = await wirePeer(t, port, { join: false });
  second.send(`40${JSON.stringify(auth)}`);
  await peer.expect("2");
  const third = await wirePeer(t, port, { auth }); // neither of the others says anything any more
  assert.equal(third.payload.sid, sid);
  assert.deepEqual(
    admissions.map(({ id, recovered, connected }) => [id, recovered, connected]),
    [
      [sid, true, false],
      [sid, true, true],
    ],
  );
});

test("also pings for the session of a socket that is still in a middleware [CSR-9]", difference, async (t) => {
  const { io, port, peer, socket, sid, auth } = await silentPeer(t, { connectionStateRecovery: { skipMiddlewares: false } });
  const ending = once(socket, "disconnect");
  peer.abort();
  await ending;
  const judged = [];
  io.use((candidate, next) => judged.push({ candidate, next }) > 1 && next());
  const second = await wirePeer(t, port, { join: false });
  second.send(`40${JSON.stringify(auth)}`);
  const third = await wirePeer(t, port, { auth }); // the second one says nothing any more
  assert.equal(third.payload.sid, sid);
  assert.deepEqual(
    judged.map(({ candidate }) => candidate.recovered),
    [true, true],
  );
});

test("persists before it restores, with an adapter that takes its time", difference, async (t) => {
  const calls = [];
  class Slow extends adapters.SessionAwareAdapter {
    persistSession(session) {
      calls.push("persist");
      return super.persistSession(session);
    }

    async restoreSession(pid, offset) {
      calls.push("restore");
      await new Promise((resolve) => setImmediate(resolve));
      return super.restoreSession(pid, offset);
    }
  }
  const { port, sid, auth } = await silentPeer(t, { ...RECOVERY, adapter: Slow });
  assert.equal((await wirePeer(t, port, { auth })).payload.sid, sid);
  assert.deepEqual(calls, ["persist", "restore"]);
});
