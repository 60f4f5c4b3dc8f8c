// Bare `ws`: the protocols answered by hand. `{ "preframed": false }` uses ws's public API only and JSON for every event;
// `true` writes ready frames to the connection's own socket, one write per tick, and leaves JSON out.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { ready } from "../lib/serve.mjs";
import {
  askBare,
  assignBare,
  broadcastBare,
  closeSession,
  means,
  onEventWithJson,
  onEventWithoutJson,
  openPacket,
  openSession,
  PollLink,
  sessions,
  take,
  upgrader,
} from "./bare.mjs";
import { config, control, MAX_PAYLOAD } from "./common.mjs";

const { WebSocketServer } = createRequire(new URL("../package.json", import.meta.url))("ws");
const onEvent = config.preframed ? onEventWithoutJson : onEventWithJson;
means.makeReady = config.preframed
  ? frame
  : (data) => (typeof data === "string" ? { data: Buffer.from(data), binary: false } : { data, binary: true });

const asText = { binary: false };
const asBinary = { binary: true };

class WsLink {
  constructor(ws) {
    this.ws = ws;
  }

  send(text) {
    this.ws.send(text);
  }

  sendReady({ data, binary }) {
    this.ws.send(data, binary ? asBinary : asText);
  }
}

/** A whole frame: a latin1 string when it is a short text, which joins with others for little; else a Buffer. */
function frame(data) {
  const head =
    data.length < 126 ? [data.length] : data.length < 65536 ? [126, data.length >> 8, data.length & 255] : longLength(data.length);
  if (typeof data !== "string") return Buffer.concat([Buffer.from([0x82, ...head]), data]);
  const text = String.fromCharCode(0x81, ...head) + data;
  return text.length < 2048 ? text : Buffer.from(text, "latin1");
}

function longLength(length) {
  return [127, 0, 0, 0, 0, length >>> 24, (length >> 16) & 255, (length >> 8) & 255, length & 255];
}

const dirty = [];

class FramedLink {
  constructor(socket) {
    this.socket = socket;
    this.pending = null;
    this.more = null;
  }

  send(text) {
    this.sendReady(frame(text));
  }

  sendReady(ready) {
    if (this.pending === null) {
      this.pending = ready;
      if (dirty.push(this) === 1) process.nextTick(flushAll);
    } else if (this.more === null && typeof ready === "string" && typeof this.pending === "string") {
      this.pending += ready;
    } else {
      (this.more ??= []).push(ready);
    }
  }

  flush() {
    const { pending, more, socket } = this;
    this.pending = null;
    this.more = null;
    if (more === null) return void socket.write(pending, "latin1");
    socket.write(Buffer.concat([pending, ...more].map((piece) => (typeof piece === "string" ? Buffer.from(piece, "latin1") : piece))));
  }
}

function flushAll() {
  for (let i = 0; i < dirty.length; i++) dirty[i].flush();
  dirty.length = 0;
}

const sidOf = (url) => {
  const at = url.indexOf("&sid=");
  return at === -1 ? null : url.slice(at + 5, at + 25);
};

const TEXT = { "Content-Type": "text/plain; charset=UTF-8" };
function respond(res, body) {
  res.writeHead(200, { ...TEXT, "Content-Length": Buffer.byteLength(body) }).end(body);
}

const httpServer = createServer((req, res) => {
  const sid = sidOf(req.url);
  if (sid === null) {
    const session = openSession(new PollLink(respond));
    return respond(res, openPacket(session, '["websocket"]'));
  }
  const session = sessions.get(sid);
  if (session === undefined) return void res.writeHead(400).end();
  if (req.method === "GET") return session.link.poll(res);
  let body = "";
  req.setEncoding("utf8");
  req.on("data", (piece) => (body += piece));
  req.on("end", () => {
    for (const packet of body.split("\x1e")) take(session, packet, onEvent);
    respond(res, "ok");
  });
});

const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: MAX_PAYLOAD, clientTracking: false });
httpServer.on("upgrade", (req, socket, head) => wss.handleUpgrade(req, socket, head, onWebSocket));

function onWebSocket(ws, { url, socket }) {
  const link = config.preframed ? new FramedLink(socket) : new WsLink(ws);
  const sid = sidOf(url);
  const session = sid === null ? openSession(link) : sessions.get(sid);
  const onPacket = sid === null ? (text) => take(session, text, onEvent) : upgrader(session, link, onEvent);
  ws.on("message", (data) => onPacket(data.toString()));
  ws.on("close", () => closeSession(session));
  ws.on("error", () => {});
  if (sid === null) link.send(openPacket(session, "[]"));
}

control({ broadcast: broadcastBare, assign: assignBare, ask: (number) => askBare(number) });
httpServer.listen({ port: 0, host: "0.0.0.0", backlog: 4096 }, () => ready({ port: httpServer.address().port }));
