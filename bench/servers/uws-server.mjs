// A hand-written server on uWebSockets.js: JSON for every event, rooms and broadcasts by the library's own `publish`.
import { createRequire } from "node:module";
import { ready } from "../lib/serve.mjs";
import {
  askBare,
  assignBare,
  closeSession,
  means,
  onEventWithJson,
  openPacket,
  openSession,
  PollLink,
  rooms,
  sessions,
  take,
  upgrader,
} from "./bare.mjs";
import { control, MAX_PAYLOAD } from "./common.mjs";

const uws = createRequire(new URL("../uws/package.json", import.meta.url))("uwebsockets");
const app = uws.App();
const EVERYBODY = "*";

class UwsLink {
  constructor(ws) {
    this.ws = ws;
  }

  send(text) {
    this.ws.send(text, false);
  }

  sendReady(ready) {
    this.ws.send(ready, typeof ready !== "string");
  }
}

means.publish = (room, text, { link: { ws } }) => ws.publish(room, text, false);

// Polls are answered from `setImmediate`, because a response is corked only outside the handler of another one.
function respond(res, body) {
  if (res.aborted) return;
  res.cork(() => res.writeHeader("Content-Type", "text/plain; charset=UTF-8").end(body));
}

app.get("/socket.io/", (res, req) => {
  res.onAborted(() => (res.aborted = true));
  const sid = req.getQuery("sid");
  if (!sid) return respond(res, openPacket(openSession(new PollLink(respond, setImmediate)), '["websocket"]'));
  const session = sessions.get(sid);
  if (session === undefined) return void res.writeStatus("400 Bad Request").end();
  session.link.poll(res);
});

app.post("/socket.io/", (res, req) => {
  const session = sessions.get(req.getQuery("sid"));
  let body = "";
  res.onAborted(() => (res.aborted = true));
  res.onData((piece, isLast) => {
    body += Buffer.from(piece).toString();
    if (!isLast) return;
    for (const packet of body.split("\x1e")) take(session, packet, onEventWithJson);
    respond(res, "ok");
  });
});

app.ws("/socket.io/", {
  maxPayloadLength: MAX_PAYLOAD,
  idleTimeout: 0,
  maxBackpressure: 16 * 1024 * 1024,
  upgrade(res, req, context) {
    res.upgrade(
      { sid: req.getQuery("sid") ?? "", session: null, onPacket: null },
      req.getHeader("sec-websocket-key"),
      req.getHeader("sec-websocket-protocol"),
      req.getHeader("sec-websocket-extensions"),
      context,
    );
  },
  open(ws) {
    const data = ws.getUserData();
    const link = new UwsLink(ws);
    const isUpgrade = data.sid !== "";
    data.session = isUpgrade ? sessions.get(data.sid) : openSession(link);
    data.onPacket = isUpgrade ? upgrader(data.session, link, onEventWithJson) : null;
    ws.subscribe(EVERYBODY);
    if (!isUpgrade) link.send(openPacket(data.session, "[]"));
  },
  message(ws, message) {
    const { session, onPacket } = ws.getUserData();
    const text = Buffer.from(message).toString();
    if (onPacket === null) take(session, text, onEventWithJson);
    else onPacket(text);
  },
  close(ws) {
    const { session } = ws.getUserData();
    closeSession(session);
  },
});

const publish = (text) => app.publish(EVERYBODY, text, false);

control({
  broadcast(payload, room = EVERYBODY) {
    if (typeof payload === "string") return app.publish(room, `42${JSON.stringify(["item", payload])}`, false);
    app.publish(room, '451-["item",{"_placeholder":true,"num":0}]', false);
    app.publish(room, payload, true);
  },
  assign(count) {
    assignBare(count);
    for (const [name, members] of rooms) for (const { link } of members) link.ws.subscribe(name);
  },
  ask: (number) => askBare(number, publish),
});

app.listen("0.0.0.0", 0, (token) => ready({ port: uws.us_socket_local_port(token) }));
