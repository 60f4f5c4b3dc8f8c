import { test } from "node:test";
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { once, record } from "../../support/client.js";
import { startEngine } from "../../support/server.js";
import { eventually } from "../../support/pairs.js";
import { within } from "../../support/wait.js";
import { hasUws } from "../uws/app.js";
import { transports } from "./clients.js";
import { plain } from "./peer.js";

const require = createRequire(import.meta.url);
const v6 = require("engine.io-client-6");
const clients = [
  { title: "engine.io-client 6", revision: 4, connect: (url, options) => new v6.Socket(url, options) },
  { title: "engine.io-client 3.5 (revision 3)", revision: 3, connect: require("engine.io-client-3.5") },
];
const hosts = [
  { title: "http", host: {} },
  { title: "https", host: { https: true } },
  { title: "http2 with allowHTTP1", host: { http2: true } },
  ...(hasUws() ? [{ title: "uWebSockets.js", host: { uws: true } }] : []),
];

async function startPair(t, row, options = {}) {
  const server = await startEngine(t, { allowEIO3: row.client.revision === 3, ...options }, row.host);
  return { ...server, ...(await join(t, row, server)) };
}

async function join(t, { client, transport }, { engine, url }) {
  const connected = once(engine, "connection");
  const socket = client.connect(url, { rejectUnauthorized: false, ...transport.options });
  t.after(() => socket.close());
  const [session] = await connected;
  if (socket.readyState !== "open") await once(socket, "open");
  const settled = () => session.transport.name === transport.settled && socket.transport.name === transport.settled;
  await eventually(settled, `both sides to use ${transport.settled}`);
  return { socket, session };
}

const behaviours = {
  "opens a session [EIO-40, EIO-42]": async (t, row) => {
    const { socket, session, engine } = await startPair(t, row);
    assert.equal(socket.id, session.id);
    assert.equal(session.protocol, row.client.revision);
    assert.deepEqual(Object.keys(engine.clients), [session.id]);
  },

  "carries text and bytes both ways, in order [EIO-60]": async (t, row) => {
    const { socket, session } = await startPair(t, row);
    const messages = ["1", "Ünïcödé € 🦊\u2028", Buffer.from([0, 1, 2, 255]), "b4", Buffer.from("text"), "end"];
    const seen = [record(session, "message"), record(socket, "message")];
    for (const message of messages) {
      socket.send(message);
      session.send(message);
    }
    for (const { until } of seen) {
      const events = await until((all) => all.length === messages.length);
      assert.deepEqual(
        events.map(([, message]) => plain(message)),
        plain(messages),
      );
    }
  },

  "keeps the session by heartbeats [EIO-70, EIO-76]": async (t, row) => {
    const { socket, session } = await startPair(t, row, { pingInterval: 50, pingTimeout: 1000 });
    let beats = 0;
    await within(new Promise((resolve) => session.on("heartbeat", () => ++beats === 4 && resolve())), "four heartbeats");
    assert.deepEqual([socket.readyState, session.readyState], ["open", "open"]);
  },

  "closes from the client [ENG-162]": async (t, row) => {
    const { socket, session, engine } = await startPair(t, row);
    const closed = once(session, "close");
    socket.close();
    assert.equal((await closed)[0], "transport close");
    assert.equal(engine.clientsCount, 0);
  },

  "closes from the server, after the last words [ENG-160]": async (t, row) => {
    const { socket, session } = await startPair(t, row);
    const seen = record(socket, "message", "close");
    const closed = once(session, "close");
    session.send("last words");
    session.close();
    const events = await seen.until((all) => all.length === 2);
    assert.deepEqual(events[0], ["message", "last words"]);
    assert.match(events[1][1], /^transport (close|error)$/);
    assert.equal((await closed)[0], "forced close");
  },

  "refuses a message that is too long, and only its sender feels it [ENG-97, ENG-114, ENG-188]": async (t, row) => {
    const server = await startPair(t, row, { maxHttpBufferSize: 2000 });
    const { socket, session } = server;
    const other = await join(t, row, server);
    const closed = [once(session, "close"), once(socket, "close")];
    socket.send("x".repeat(3000));
    assert.match((await closed[1])[0], /^transport (close|error)$/);
    if (row.transport.settled === "websocket") assert.equal((await closed[0])[0], "transport error");
    const heard = once(other.session, "message");
    other.socket.send("x".repeat(1500));
    assert.equal((await heard)[0].length, 1500);
  },
};

for (const client of clients) {
  for (const transport of transports) {
    for (const { title, host } of hosts) {
      for (const [behaviour, check] of Object.entries(behaviours)) {
        test(`${client.title}, ${transport.title}, ${title}: ${behaviour}`, (t) => check(t, { client, transport, host }));
      }
    }
  }
}
