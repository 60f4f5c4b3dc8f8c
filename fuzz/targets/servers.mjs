// A whole server on loopback: raw bytes as requests, WebSockets, bodies and HTTP/2 streams. It survives, answers a good client, and its tables
// are as they were.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { createSecureServer } from "node:http2";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { connect as connectSecurely } from "node:tls";
import { deflateRawSync } from "node:zlib";
import { tlsFixture } from "../../test/support/server.js";
import { frame, http, messageFrame, WireSocket } from "../../test/support/wire-client.js";
import { messagesOf, packetSeeds, packetWords } from "./codecs.mjs";

const require = createRequire(import.meta.url);
const { Server } = require("../../dist/index.js");

/** Inputs between two looks whether the server is whole. */
const LOOK_EVERY = 100;
/** A connection is given up after so many milliseconds without a byte. */
const SILENCE_MS = 30;
/** How long a good client waits: the machine may be shared. */
const PATIENCE_MS = 30_000;

/** Listeners that use most of the API, so that what arrives goes far. */
function listen(io) {
  io.of(/^\/dyn-\w{1,3}$/);
  io.use((socket, next) => next(socket.handshake.auth.refuse ? new Error("refused") : undefined));
  for (const nsp of [io.of("/"), io.of("/a")]) {
    nsp.on("connection", (socket) => {
      socket.onAny(() => {});
      socket.on("error", () => {});
      socket.on("echo", (...args) => {
        if (typeof args.at(-1) === "function") args.at(-1)(...args.slice(0, -1));
        else socket.emit("echo", ...args);
      });
      socket.on("join", (room) => socket.join(room));
      socket.on("leave", (room) => socket.leave(room));
      socket.on("say", (...args) => socket.broadcast.to("room").emit("said", ...args));
      socket.on("ask", () => socket.timeout(50).emit("question", () => {}));
      socket.on("bye", (isClose) => socket.disconnect(isClose === true));
    });
  }
}

async function start(httpServer) {
  const io = new Server(httpServer, {
    allowEIO3: true,
    serveClient: false,
    connectTimeout: 200,
    upgradeTimeout: 200,
    httpRequestBodyTimeout: 200,
    pingTimeout: 300,
    pingInterval: 300,
    maxHttpBufferSize: 10_000,
    perMessageDeflate: true,
    cleanupEmptyChildNamespaces: true,
    connectionStateRecovery: { maxDisconnectionDuration: 500 },
  });
  listen(io);
  httpServer.listen(0, "127.0.0.1");
  await once(httpServer, "listening");
  return { io, port: httpServer.address().port, tls: "setSecureContext" in httpServer };
}

/** The sizes that must be as at the start: all that belongs to clients. */
function held(io) {
  const { sessions, clients, joins, upgrades, requests, outbox, heldInput, namespaces, childNamespaces } = io.stats();
  const sockets = Object.values(namespaces).map(({ sockets, joining, acks, adapter }) => [
    sockets,
    joining,
    acks,
    adapter.members,
    adapter.rooms,
  ]);
  return { sessions, clients, joins, upgrades, requests, outbox, heldInput, childNamespaces, sockets };
}

/** A good client is answered, and when all clients have left, no table has grown. */
async function expectWhole({ io, port, tls }, empty) {
  const ws = await WireSocket.open(port, "/socket.io/?EIO=4&transport=websocket", {}, { tls });
  await ws.next(PATIENCE_MS);
  const answer = (isExpected) =>
    ws.until((message) => {
      if (message === "2") ws.send("3");
      return isExpected(message);
    }, PATIENCE_MS);
  ws.send("40");
  await answer((message) => String(message).startsWith("40"));
  ws.send('421["echo",1]');
  await answer((message) => message === "431[1]");
  ws.abort();
  const until = performance.now() + PATIENCE_MS;
  while (performance.now() < until) {
    if (JSON.stringify(held(io)) === empty) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(JSON.stringify(held(io)), empty, "a table has not been emptied");
}

/** Sends bytes on a new connection, and reads until the server closes it or is silent. */
function exchange({ port, tls }, chunks) {
  return new Promise((resolve) => {
    const socket = tls
      ? connectSecurely({ port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: ["h2"] })
      : connect(port, "127.0.0.1");
    let timer = setTimeout(finish, SILENCE_MS);
    let received = "";
    function finish() {
      clearTimeout(timer);
      socket.destroy();
      resolve(received);
    }
    socket.on("connect", () => {
      for (const chunk of chunks) socket.write(chunk);
    });
    socket.on("data", (data) => {
      if (received.length < 10_000) received += data.toString("latin1");
      clearTimeout(timer);
      timer = setTimeout(finish, SILENCE_MS / 3);
    });
    socket.on("error", finish);
    socket.on("close", finish);
  });
}

/** A target whose inputs go to one server, several at a time. */
async function serverTarget(httpServer, parts, send) {
  const server = await start(httpServer);
  const empty = JSON.stringify(held(server.io));
  const running = new Set();
  let count = 0;
  return {
    ...parts,
    batch: LOOK_EVERY,
    isTimed: false,
    async run(input) {
      const one = send(server, input).finally(() => running.delete(one));
      running.add(one);
      if (running.size >= 8) await Promise.race(running);
      if (++count % LOOK_EVERY !== 0) return;
      await Promise.all(running);
      await expectWhole(server, empty);
    },
    async end() {
      await Promise.all(running);
      await expectWhole(server, empty);
      await server.io.close();
    },
  };
}

const KEY = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
const request = (line, headers = "", body = "") => `${line} HTTP/1.1\r\nHost: a\r\n${headers}\r\n${body}`;
const requestSeeds = [
  request("GET /socket.io/?EIO=4&transport=polling"),
  request("GET /socket.io/?EIO=3&transport=polling&b64=1&j=0"),
  request("GET /socket.io/?EIO=4&transport=websocket", KEY, frame(1, "40").toString("latin1")),
  request("GET /socket.io/?EIO=4&transport=websocket", `${KEY}Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n`),
  request("GET /socket.io/?EIO=4&transport=websocket&sid=abc", KEY),
  request("POST /socket.io/?EIO=4&transport=polling&sid=abc", "Content-Length: 2\r\n", "40"),
  request("POST /socket.io/?EIO=4&transport=polling", "Transfer-Encoding: chunked\r\n", "2\r\n40\r\n0\r\n\r\n"),
  request("OPTIONS /socket.io/?EIO=4&transport=polling", "Origin: http://b\r\n"),
  request("GET //socket.io//?EIO=4&transport=polling&EIO=3", "Cookie: io=1\r\nAccept-Encoding: gzip, br;q=0\r\n"),
];
const requestWords = [
  ...["GET ", "POST ", "PUT ", "HEAD ", "OPTIONS ", "/socket.io/", "//", "?", "&", "=", "%", "%00", "%zz", "\r\n", "\r\n\r\n", "\0", "\t"],
  ...[
    "EIO=3",
    "EIO=4",
    "EIO=5",
    "transport=polling",
    "transport=websocket",
    "transport=webtransport",
    "sid=",
    "sid=__proto__",
    "j=0",
    "b64=1",
    "t=x",
  ],
  ...[
    "Connection: Upgrade\r\n",
    "Upgrade: websocket\r\n",
    "Sec-WebSocket-Key: ",
    "Sec-WebSocket-Version: 13\r\n",
    "Sec-WebSocket-Protocol: a, b\r\n",
  ],
  ...[
    "Sec-WebSocket-Extensions: permessage-deflate\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Expect: 100-continue\r\n",
  ],
  ...[
    "Content-Type: application/octet-stream\r\n",
    "Origin: null\r\n",
    "User-Agent: ;MSIE\r\n",
    "Accept-Encoding: gzip\r\n",
    "0\r\n\r\n",
    "40",
    "2probe",
  ],
];

const sessionWords = [
  ...packetWords,
  ...[
    "\xc0",
    "\xc02probe\xc05",
    "\xc0" + "40\xc0",
    '42["echo"]',
    '421["echo",',
    '["join","room"]',
    '["leave","room"]',
    '["say",',
    '["ask"]',
    '["bye"]',
    '["bye",true]',
  ],
  ...["40/a,", "40/dyn-1,", "41/a,", "2", "3", "6", "1", "b", '40{"refuse":1}', '40{"pid":"x","offset":"y"}'],
];
/** What a client sends on a session: engine packets, joined by \xc0. */
const sessionSeeds = [
  ...packetSeeds.filter((seed) => seed.length < 100).map((seed) => `40\xc04${seed.replaceAll("\xc0", "\xc0")}`),
  '40\xc0420["echo",1]\xc042["join","room"]\xc042["say",1]\xc042["ask"]\xc0430[]\xc041',
  '40\xc040/a,\xc040/dyn-1,\xc042/a,1["echo",{}]\xc041/a,\xc042["bye",true]',
  '40\xc0451-["echo",{"_placeholder":true,"num":0}]\xc0\0abc',
];

async function overWebSocket({ port }, input) {
  let ws;
  const isDeflated = input[0] === 2 || input[0] === 3;
  const headers = isDeflated ? { "Sec-WebSocket-Extensions": "permessage-deflate" } : {};
  try {
    ws = await WireSocket.open(port, "/socket.io/?EIO=4&transport=websocket", headers);
  } catch {
    return; // the listen queue is full
  }
  ws.socket.on("error", () => {});
  ws.write(framesOf(input));
  await Promise.race([ws.end, new Promise((resolve) => setTimeout(resolve, SILENCE_MS / 2))]);
  ws.abort({ reset: input.length % 3 === 0 });
}

/** Frames as they are, compressed messages, a message whose compressed bytes are made up, or plain messages: by the first byte. */
function framesOf(input) {
  const rest = input.subarray(1);
  if (input[0] === 1) return rest;
  if (input[0] === 2)
    return Buffer.concat(messagesOf(rest).map((each) => frame(typeof each === "string" ? 1 : 2, deflated(each), { rsv: 4 })));
  if (input[0] === 3) return Buffer.concat([frame(1, deflated("40"), { rsv: 4 }), frame(1, rest, { rsv: 4 })]);
  return Buffer.concat(messagesOf(input).map((message) => messageFrame(message)));
}

/** RFC 7692, section 7.2.1: without the last four bytes. */
function deflated(message) {
  return deflateRawSync(message, { finishFlush: 2 }).subarray(0, -4);
}

async function overPolling({ port }, input) {
  const eio = input.length % 4 === 0 ? 3 : 4;
  const path = `/socket.io/?EIO=${eio}&transport=polling`;
  try {
    const { text } = await http(port, { path });
    const sid = /"sid":"([^"]+)"/.exec(text)?.[1];
    const at = `${path}&sid=${sid}`;
    const headers = input[0] === 2 ? { "Content-Type": "application/octet-stream" } : {};
    const body =
      eio === 4 && input[0] !== 2
        ? Buffer.concat([Buffer.from("40\x1e"), Buffer.from(input.toString("latin1").replaceAll("\xc0", "\x1e"), "latin1")])
        : input;
    const post = http(port, { method: "POST", path: at, headers, body, ms: PATIENCE_MS });
    const poll = http(port, { path: at, ms: PATIENCE_MS });
    await Promise.all([post, poll]);
    await http(port, { path: at, ms: PATIENCE_MS }).catch(() => {}); // ends with the session, at the latest
    void exchange({ port }, [request(`GET ${at}`)]);
  } catch (error) {
    if (/waited/.test(error.message)) throw error; // a request without an answer; else the server has closed the connection
  }
}

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/** A frame of HTTP/2. */
function http2Frame(type, flags, stream, payload) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, Buffer.from(payload, "latin1")]).toString("latin1");
}
/** Header fields without compression. */
const fields = (headers) =>
  Object.entries(headers)
    .map(([name, value]) => `\0${String.fromCharCode(name.length)}${name}${String.fromCharCode(value.length)}${value}`)
    .join("");
const pseudo = (more) =>
  fields({ ":method": "GET", ":scheme": "https", ":authority": "a", ":path": "/socket.io/?EIO=4&transport=polling", ...more });
const SETTINGS = http2Frame(4, 0, 0, "");
const http2Seeds = [
  SETTINGS + http2Frame(1, 5, 1, pseudo()),
  SETTINGS +
    http2Frame(1, 4, 1, pseudo({ ":method": "POST", ":path": "/socket.io/?EIO=4&transport=polling&sid=a" })) +
    http2Frame(0, 1, 1, "40"),
  SETTINGS +
    http2Frame(1, 4, 1, pseudo({ ":method": "CONNECT", ":protocol": "websocket", ":path": "/socket.io/?EIO=4&transport=websocket" })) +
    http2Frame(0, 0, 1, frame(1, "40").toString("latin1")),
  SETTINGS + http2Frame(1, 5, 1, pseudo()) + http2Frame(3, 0, 1, "\0\0\0\b") + http2Frame(1, 5, 3, pseudo()),
  SETTINGS + http2Frame(6, 0, 0, "12345678") + http2Frame(8, 0, 0, "\0\0\x10\0") + http2Frame(7, 0, 0, "\0\0\0\0\0\0\0\0"),
];

const frameSeeds = [
  `\x01${frame(1, "40").toString("latin1")}`,
  `\x01${frame(1, "4", { fin: false }).toString("latin1")}${frame(0, "0").toString("latin1")}`,
  ...sessionSeeds.slice(-3).map((seed) => `\x02${seed}`),
  `\x03${deflated('42["echo","xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]').toString("latin1")}`,
  `\x03${deflated("4" + "x".repeat(20_000)).toString("latin1")}`,
];

export const targets = {
  "http-requests": () =>
    serverTarget(createServer(), { seeds: requestSeeds, dictionary: requestWords }, (server, input) => {
      const at = input.length % 5 === 0 ? input.length >> 1 : input.length;
      return exchange(server, [input.subarray(0, at), input.subarray(at)]);
    }),
  "websocket-server": () =>
    serverTarget(createServer(), { seeds: [...sessionSeeds, ...frameSeeds], dictionary: sessionWords }, overWebSocket),
  "polling-server": () =>
    serverTarget(createServer(), { seeds: sessionSeeds, dictionary: [...sessionWords, "\x1e", "2:40", "\0\x02\xff40"] }, overPolling),
  "http2-server": () => {
    const httpServer = createSecureServer({ ...tlsFixture, allowHTTP1: true });
    httpServer.on("sessionError", () => {});
    const words = [
      ...http2Seeds,
      http2Frame(0, 1, 1, ""),
      http2Frame(3, 0, 1, "\0\0\0\0"),
      "\0\0\0",
      "\x01",
      "\x05",
      pseudo(),
      fields({ a: "b" }),
    ];
    return serverTarget(httpServer, { seeds: http2Seeds, dictionary: words }, (server, input) => exchange(server, [PREFACE, input]));
  },
};
