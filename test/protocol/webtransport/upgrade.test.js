/** A polling session that moves to WebTransport, with the client done by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { once } from "../../support/client.js";
import { ending, messages, pollingPair, webSocketPair } from "../../support/engine.js";
import { startServer } from "../../support/server.js";
import { pass } from "../../support/wait.js";
import { PollingSession } from "../../support/wire-client.js";
import { openWebTransport, sessionPair } from "./simulated.js";

const TRANSPORTS = { transports: ["polling", "websocket", "webtransport"] };

/** A candidate for session `sid`, after its first packet. */
async function candidate(engine, sid, ...more) {
  const pair = sessionPair();
  const accepted = engine.onWebTransportSession(pair.server);
  const stream = pair.client.openStream();
  await stream.send(`0${JSON.stringify({ sid })}`, ...more);
  await accepted;
  return { ...pair, stream };
}

test("offers webtransport to a polling client [EIO-43, ENG-7]", async (t) => {
  const { client } = await pollingPair(t, TRANSPORTS);
  assert.deepEqual(client.handshake.upgrades, ["websocket", "webtransport"]);
});

test("moves a polling session with everything that waits for it, in order [EIO-45, ENG-173]", async (t) => {
  const { engine, client, session } = await pollingPair(t, TRANSPORTS);
  const upgrading = once(session, "upgrading");
  const upgrade = once(session, "upgrade");
  const seen = messages(session);
  const { stream } = await candidate(engine, client.sid);
  assert.equal(session.upgrading, true);
  await stream.send("2probe");
  assert.equal(await stream.next(), "3probe");
  assert.equal((await upgrading)[0].name, "webtransport");
  session.send("a");
  session.send(Buffer.from([1]));
  assert.deepEqual(await client.poll(), ["4a", "bAQ=="]);
  const waiting = client.poll();
  assert.deepEqual(await waiting, ["6"]); // the client can pause
  session.send("while nobody polls");
  await client.post("4posted");
  await stream.send("5");
  assert.equal((await upgrade)[0].name, "webtransport");
  assert.equal(await stream.next(), "4while nobody polls");
  session.send("over it");
  assert.equal(await stream.next(), "4over it");
  const bytes = once(session, "packet");
  await stream.send("4sent over it");
  await bytes;
  assert.deepEqual([session.upgraded, session.upgrading, session.transport.name, engine.clientsCount], [true, false, "webtransport", 1]);
  assert.deepEqual(seen.slice(0, 2), ["posted", "sent over it"]);
});

test("takes the probe that came in one chunk with the first packet [EIO-37, ENG-173]", async (t) => {
  const { engine, client } = await pollingPair(t, TRANSPORTS);
  const { stream } = await candidate(engine, client.sid, "2probe");
  assert.equal(await stream.next(), "3probe");
});

test("answers one probe, and ends the attempt at the second; the session stays [ROB-180, EIO-85]", async (t) => {
  const { engine, client, session } = await pollingPair(t, TRANSPORTS);
  const { stream } = await candidate(engine, client.sid, "2probe", "2probe", "2probe");
  assert.equal(await stream.next(), "3probe");
  assert.deepEqual([session.readyState, session.transport.name, session.upgrading], ["open", "polling", false]);
  await assert.rejects(stream.next());
});

test("keeps rooms and handshake of the socket over the upgrade [ENG-173]", async (t) => {
  const { io, port } = await startServer(t, TRANSPORTS);
  const connection = once(io, "connection");
  const client = await PollingSession.open(port, "", { path: "/socket.io/" });
  await client.post("40");
  const [socket] = await connection;
  await client.poll();
  socket.join("room");
  const { stream } = await candidate(io.engine, client.sid);
  await stream.send("2probe");
  await stream.next();
  const upgrade = once(socket.conn, "upgrade");
  await stream.send("5");
  await upgrade;
  io.to("room").emit("hello", 1);
  assert.equal(await stream.next(), '42["hello",1]');
  assert.equal(socket.handshake.query.EIO, "4");
});

for (const first of ["4message", "2", "2wrong", "1", "6"]) {
  test(`drops a candidate that sends ${first} in place of the probe, and keeps the session [ENG-173]`, async (t) => {
    const { engine, client, session } = await pollingPair(t, TRANSPORTS);
    const other = await candidate(engine, client.sid);
    await other.stream.send(first);
    await other.client.ended();
    session.send("still here");
    assert.deepEqual(await client.poll(), ["4still here"]);
    assert.equal(session.upgrading, false);
  });
}

test("drops a candidate that takes too long, and tries another one after it [ENG-173]", async (t) => {
  const { engine, client, session } = await pollingPair(t, { ...TRANSPORTS, upgradeTimeout: 50 });
  const slow = await candidate(engine, client.sid);
  await slow.client.ended();
  const { stream } = await candidate(engine, client.sid, "2probe");
  assert.equal(await stream.next(), "3probe");
  const upgrade = once(session, "upgrade");
  await stream.send("5");
  await upgrade;
});

test("refuses a second candidate while one is tried, and any once the session has moved [ENG-173]", async (t) => {
  const { engine, client, session } = await pollingPair(t, TRANSPORTS);
  const { stream } = await candidate(engine, client.sid, "2probe");
  const second = await candidate(engine, client.sid);
  await second.client.ended();
  assert.equal(await stream.next(), "3probe");
  const upgrade = once(session, "upgrade");
  await stream.send("5");
  await upgrade;
  const third = await candidate(engine, client.sid);
  await third.client.ended();
  session.send("x");
  assert.equal(await stream.next(), "4x");
});

test("refuses a candidate for a session of revision 3 [ENG-173]", async (t) => {
  const { engine, client } = await pollingPair(t, { ...TRANSPORTS, allowEIO3: true }, { eio: 3 });
  const other = await candidate(engine, client.sid);
  await other.client.ended();
  assert.equal(engine.clientsCount, 1);
});

test("lets a WebSocket session move as well [ENG-173]", async (t) => {
  const { engine, session } = await webSocketPair(t, TRANSPORTS);
  const { stream } = await candidate(engine, session.id, "2probe");
  assert.equal(await stream.next(), "3probe");
});

test("ends the candidate with its session [ENG-173, ENG-175]", async (t) => {
  const { engine, client, session } = await pollingPair(t, TRANSPORTS);
  const other = await candidate(engine, client.sid, "2probe");
  assert.equal(await other.stream.next(), "3probe");
  session.close(true);
  await other.client.ended();
  assert.equal(engine.clientsCount, 0);
});

test("keeps the session when a candidate loses its connection [ENG-173, ENG-175]", async (t) => {
  const { engine, client, session } = await pollingPair(t, TRANSPORTS);
  const other = await candidate(engine, client.sid, "2probe");
  await other.stream.next();
  other.client.fail();
  await other.client.ended();
  await pass(0);
  session.send("x");
  assert.deepEqual(await client.poll(), ["4x"]);
  assert.equal(session.upgrading, false);
});

test("ends the session with its transport after the move, once [ENG-175]", async (t) => {
  const { engine, client, session } = await pollingPair(t, TRANSPORTS);
  const upgrade = once(session, "upgrade");
  const other = await candidate(engine, client.sid, "5"); // a client may leave out the probe
  await upgrade;
  const end = ending(session);
  other.client.close();
  assert.equal((await end).reason, "transport close");
  assert.equal(engine.clientsCount, 0);
});

test("refuses to move a session that never existed any more than one that has ended [ENG-173, ENG-6]", async (t) => {
  const { engine, session } = await pollingPair(t, TRANSPORTS);
  session.close(true);
  const other = await candidate(engine, session.id);
  await other.client.ended();
});

test("takes two sessions of one client apart [EIO-45]", async (t) => {
  const { engine, client, session } = await pollingPair(t, TRANSPORTS);
  const fresh = await openWebTransport(engine);
  assert.notEqual(fresh.handshake.sid, client.sid);
  session.send("to the first");
  assert.deepEqual(await client.poll(), ["4to the first"]);
});
