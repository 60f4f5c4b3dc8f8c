/** A peer that speaks Socket.IO by hand: one face over WebSocket and over long-polling, messages exactly as they travel. */
import assert from "node:assert/strict";
import { Inbox, within } from "../../../support/wait.js";
import { PollingSession, SEPARATOR, WireSocket } from "../../../support/wire-client.js";

export const TRANSPORTS = ["websocket", "polling"];
const PATH = "/socket.io/";
const POLL_PATIENCE_MS = 30_000;

/** Opens an engine session without joining anything; `sid` is its id. */
export async function openPeer(t, port, transport = "websocket", { query = "" } = {}) {
  const peer = transport === "websocket" ? await openSocket(port, query) : await openPolling(port, query);
  t.after(() => peer.abort());
  return peer;
}

/** Opens a session and joins `namespace`; the payload of the answer is `peer.payload`. */
export async function joinedPeer(t, port, transport = "websocket", namespace = "/", auth) {
  const peer = await openPeer(t, port, transport);
  peer.payload = await join(peer, namespace, auth);
  return peer;
}

/** Sends CONNECT, gives the payload of the answer. */
export async function join(peer, namespace = "/", auth) {
  const head = namespace === "/" ? "40" : `40${namespace},`;
  peer.send(head + (auth === undefined ? "" : JSON.stringify(auth)));
  const answer = await peer.next();
  assert.ok(typeof answer === "string" && answer.startsWith(`${head}{"sid":"`), `CONNECT was answered ${answer}`);
  return JSON.parse(answer.slice(head.length));
}

/** Everything that ends or troubles a socket of these namespaces, in order: `[namespace, "error" | "disconnect", text]`. */
export function journal(io, ...namespaces) {
  const entries = new Inbox("an entry of the journal");
  for (const name of namespaces.length > 0 ? namespaces : ["/"]) {
    io.of(name).on("connection", (socket) => {
      socket.on("error", (error) => entries.push([name, "error", error.message]));
      socket.on("disconnect", (reason) => entries.push([name, "disconnect", reason]));
    });
  }
  return entries;
}

/** The next connected socket of a namespace. */
export function nextSocket(namespace) {
  return within(new Promise((resolve) => namespace.once("connection", resolve)), "a socket");
}

async function openSocket(port, query) {
  const ws = await WireSocket.open(port, `${PATH}?EIO=4&transport=websocket${query && `&${query}`}`);
  const open = await ws.next();
  return {
    transport: "websocket",
    ws,
    sid: JSON.parse(open.slice(1)).sid,
    send: (...messages) => ws.send(...messages),
    next: (ms) => ws.next(ms),
    expect: (...messages) => expectAll(ws, messages),
    drain: () => ws.messages.drain(),
    closed: (ms) => ws.closed(ms),
    abort: () => ws.abort(),
  };
}

async function openPolling(port, query) {
  const session = await PollingSession.open(port, query, { path: PATH });
  const inbox = new Inbox("a polled packet");
  let aborted = false;
  let waiting = null;
  let posts = Promise.resolve();
  const ended = poll().then(
    (end) => (inbox.end(new Error(`the session ended: ${end}`)), end),
    (error) => (inbox.end(error), error.message),
  );
  return {
    transport: "polling",
    session,
    sid: session.sid,
    send(...messages) {
      const body = messages.map((message) => (typeof message === "string" ? message : `b${message.toString("base64")}`)).join(SEPARATOR);
      posts = posts.then(() => aborted || session.post(body)).catch((error) => inbox.end(error));
    },
    next: (ms) => inbox.next(ms),
    expect: (...messages) => expectAll(inbox, messages),
    drain: () => inbox.drain(),
    closed: (ms) => within(ended, "the polling session to end", () => inbox.all, ms),
    abort() {
      aborted = true;
      waiting?.abort();
    },
  };

  async function poll() {
    while (!aborted) {
      waiting = session.get({ ms: POLL_PATIENCE_MS });
      const response = await waiting;
      if (response.status !== 200) return `status ${response.status}`;
      for (const packet of response.text.split(SEPARATOR)) {
        if (packet === "1") return "close packet";
        if (packet === "6") continue;
        inbox.push(packet.startsWith("b") ? Buffer.from(packet.slice(1), "base64") : packet);
      }
    }
    return "aborted";
  }
}

async function expectAll(source, messages) {
  for (const message of messages) assert.deepEqual(await source.next(), message);
}
