// A hand-written server on `ws`. `{ "preframed": false }` uses the public API of `ws` and JSON for every event;
// `true` writes ready frames to the connection's own socket, one write per tick, without JSON.
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
import { config, control, KEEP_ALIVE_MS, MAX_PAYLOAD } from "./common.mjs";

const { WebSocketServer } = createRequire(new URL("../package.json", import.meta.url))("ws");
const onEvent = config.preframed ? onEventWithoutJson : onEventWithJson;
means.makeReady = config.preframed ? makeFrame : makeMessage;

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

function makeMessage(data) {
  return typeof data === "string" ? { data: Buffer.from(data), binary: false } : { data, binary: true };
}

/** A frame as bytes and, if it is a short text, also as a latin1 string, which is cheap to join with others. */
function makeFrame(data) {
  if (typeof data !== "string") return { bytes: Buffer.concat([Buffer.from([0x82, ...frameHead(data.length)]), data]), text: null };
  const text = textFrame(data);
  return { bytes: Buffer.from(text, "latin1"), text: text.length < 2048 ? text : null };
}

function textFrame(data) {
  return String.fromCharCode(0x81, ...frameHead(data.length)) + data;
}

function frameHead(length) {
  if (length < 126) return [length];
  return length < 65536 ? [126, length >> 8, length & 255] : longLength(length);
}

function longLength(length) {
  return [127, 0, 0, 0, 0, length >>> 24, (length >> 16) & 255, (length >> 8) & 255, length & 255];
}

const dirty = [];

/** Pending output: one prepared frame, or one text of several frames, or a list of both. */
class FramedLink {
  constructor(socket) {
    this.socket = socket;
    this.ready = null;
    this.text = "";
    this.list = null;
  }

  send(data) {
    if (this.isIdle()) dirty.push(this) === 1 && process.nextTick(flushAll);
    else if (this.ready !== null) this.join();
    if (this.list === null) this.text += textFrame(data);
    else this.list.push(Buffer.from(textFrame(data), "latin1"));
  }

  sendReady(ready) {
    if (this.isIdle()) {
      this.ready = ready;
      if (dirty.push(this) === 1) process.nextTick(flushAll);
      return;
    }
    if (this.ready !== null) this.join();
    if (this.list === null && ready.text !== null) return void (this.text += ready.text);
    this.list ??= this.text === "" ? [] : [Buffer.from(this.text, "latin1")];
    this.list.push(ready.bytes);
  }

  isIdle() {
    return this.ready === null && this.text === "" && this.list === null;
  }

  /** Called for a second frame: the prepared one becomes the first of several. */
  join() {
    if (this.ready.text !== null) this.text = this.ready.text;
    else this.list = [this.ready.bytes];
    this.ready = null;
  }

  flush() {
    const { ready, text, list, socket } = this;
    this.ready = null;
    this.text = "";
    this.list = null;
    if (ready !== null) socket.write(ready.bytes);
    else if (list === null) socket.write(text, "latin1");
    else socket.write(Buffer.concat(list));
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
httpServer.keepAliveTimeout = KEEP_ALIVE_MS;
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
