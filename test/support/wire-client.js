/**
 * A client that speaks the bytes by hand over `node:net`: HTTP/1.1, WebSocket frames, long-polling sessions.
 * It hides nothing and corrects nothing, so that a test sees exactly what the server wrote.
 */
import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import { createHash, randomBytes } from "node:crypto";
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import { Inbox, PATIENCE_MS, show, within } from "./wait.js";

/** U+001E, between the packets of a payload. */
export const SEPARATOR = "\x1e";

function dial(port, { tls = false } = {}) {
  const options = { port, host: "127.0.0.1" };
  const socket = tls ? connectTls({ ...options, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] }) : connectTcp(options);
  socket.setNoDelay(true);
  socket.unref(); // a left-over connection keeps no test process alive
  return socket;
}

/**
 * Sends `bytes` as they are and gives everything the server wrote until it closed the connection.
 * @param until  stop earlier: a predicate on the bytes received so far
 */
export function rawRequest(port, bytes, { tls = false, until, ms = PATIENCE_MS } = {}) {
  const socket = dial(port, { tls });
  const chunks = [];
  const answer = new Promise((resolve, reject) => {
    socket.on("data", (chunk) => {
      chunks.push(chunk);
      if (until?.(Buffer.concat(chunks))) finish();
    });
    socket.on("close", finish);
    socket.on("error", (error) => (chunks.length > 0 ? finish() : reject(error)));
    function finish() {
      resolve(Buffer.concat(chunks));
      socket.destroy();
    }
  });
  socket.write(bytes);
  return within(answer, "the raw answer to end", () => Buffer.concat(chunks).toString("latin1"), ms).finally(() => socket.destroy());
}

/** One HTTP/1.1 connection that may carry several requests, one after the other or pipelined. */
export class HttpConnection {
  static async open(port, options) {
    const connection = new HttpConnection(port, options);
    await connection.connected;
    return connection;
  }

  constructor(port, options = {}) {
    this.port = port;
    this.socket = dial(port, options);
    this.received = Buffer.alloc(0);
    this.waiting = [];
    this.isClosed = false;
    this.connected = within(
      new Promise((resolve, reject) => {
        this.socket.once(options.tls ? "secureConnect" : "connect", resolve);
        this.socket.once("error", reject);
        this.socket.once("close", () => reject(new Error("closed before it was connected")));
      }),
      "a connection",
    );
    this.connected.catch(() => {});
    this.closed = new Promise((resolve) => this.socket.once("close", resolve));
    this.socket.on("data", (chunk) => this.onData(chunk));
    this.socket.on("error", (error) => this.onEnd(error));
    this.socket.on("close", () => this.onEnd());
  }

  /** Sends one request; resolves with its whole response. */
  request(options = {}) {
    const { method = "GET" } = options;
    this.socket.write(requestBytes(this.port, options));
    return this.response(method, options.ms);
  }

  /** The next response, for a request that was written by hand. */
  response(method = "GET", ms = PATIENCE_MS) {
    const entry = { method };
    const response = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
    if (this.isClosed) entry.reject(new Error("the connection is closed"));
    else this.waiting.push(entry);
    this.parse();
    return within(response, `the response to a ${method}`, () => this.received.toString("latin1"), ms);
  }

  write(bytes) {
    this.socket.write(bytes);
  }

  /** Cuts the connection at once, with whatever was outstanding. */
  abort() {
    this.socket.destroy();
  }

  onData(chunk) {
    this.received = Buffer.concat([this.received, chunk]);
    this.parse();
  }

  onEnd(error) {
    if (this.isClosed) return;
    this.isClosed = true;
    this.parse();
    const received = show(this.received.toString("latin1"));
    for (const { reject } of this.waiting.splice(0)) {
      reject(Object.assign(new Error(`the connection closed without a response; received ${received}`), { cause: error }));
    }
  }

  parse() {
    while (this.waiting.length > 0) {
      const parsed = parseResponse(this.received, this.waiting[0].method, this.isClosed);
      if (!parsed) return;
      this.received = this.received.subarray(parsed.size);
      if (parsed.response.status >= 100 && parsed.response.status < 200 && parsed.response.status !== 101) continue;
      this.waiting.shift().resolve(parsed.response);
    }
  }
}

/**
 * One HTTP request by hand.
 * @param options  `{ method, path, headers, body, agent, tls, ms }`; `headers` is an object (array values give several lines);
 *                 `agent` is an `HttpConnection` to reuse, otherwise the connection is new and closed after the response
 * @returns        a promise of `{ status, statusText, headers, rawHeaders, head, body, text }` with `abort()` and `connection`
 */
export function http(port, options = {}) {
  const connection = options.agent ?? new HttpConnection(port, options);
  const headers = options.agent ? options.headers : { Connection: "close", ...options.headers };
  const response = connection.request({ ...options, headers });
  if (!options.agent) response.finally(() => connection.abort()).catch(() => {});
  return Object.assign(response, { abort: () => connection.abort(), connection });
}

/** The bytes of a request: request line, headers, body with its length. */
export function requestBytes(port, { method = "GET", path = "/", headers = {}, body } = {}) {
  const lines = [`${method} ${path} HTTP/1.1`];
  const given = new Set(Object.keys(headers ?? {}).map((name) => name.toLowerCase()));
  if (!given.has("host")) lines.push(`Host: 127.0.0.1:${port}`);
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) lines.push(`${name}: ${one}`);
  }
  const bytes = body === undefined ? Buffer.alloc(0) : Buffer.from(body);
  if (body !== undefined && !given.has("content-length") && !given.has("transfer-encoding")) {
    lines.push(`Content-Length: ${bytes.length}`);
  }
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), bytes]);
}

function parseResponse(bytes, method, ended) {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return null;
  const head = parseHead(bytes.subarray(0, end).toString("latin1"));
  const start = end + 4;
  const rest = bytes.subarray(start);
  const body = responseBody(head, rest, method, ended);
  if (!body) return null;
  const response = { ...head, body: body.bytes, text: body.bytes.toString("utf8") };
  return { response, size: start + body.size };
}

function responseBody(head, rest, method, ended) {
  const isBodyless = method === "HEAD" || head.status === 204 || head.status === 304 || head.status < 200;
  if (isBodyless) return { bytes: Buffer.alloc(0), size: 0 };
  if (/chunked/i.test(head.headers["transfer-encoding"] ?? "")) return parseChunks(rest);
  const length = head.headers["content-length"];
  if (length !== undefined) {
    return rest.length < Number(length) ? null : { bytes: Buffer.from(rest.subarray(0, Number(length))), size: Number(length) };
  }
  return ended ? { bytes: Buffer.from(rest), size: rest.length } : null;
}

function parseChunks(rest) {
  const chunks = [];
  let at = 0;
  for (;;) {
    const lineEnd = rest.indexOf("\r\n", at);
    if (lineEnd < 0) return null;
    const length = parseInt(rest.subarray(at, lineEnd).toString("latin1"), 16);
    if (rest.length < lineEnd + 2 + length + 2) return null;
    if (length === 0) return { bytes: Buffer.concat(chunks), size: lineEnd + 4 };
    chunks.push(rest.subarray(lineEnd + 2, lineEnd + 2 + length));
    at = lineEnd + 2 + length + 2;
  }
}

/** Splits a response head: `headers` has lower-case names, repeated ones joined by ", "; `rawHeaders` keeps every line as `[name, value]`. */
export function parseHead(text) {
  const [statusLine, ...lines] = text.split("\r\n");
  const [, version, status, statusText] = /^HTTP\/(\d\.\d) (\d{3}) ?(.*)$/.exec(statusLine) ?? [];
  const rawHeaders = lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
  const headers = {};
  for (const [name, value] of rawHeaders) {
    const key = name.toLowerCase();
    headers[key] = key in headers ? `${headers[key]}, ${value}` : value;
  }
  return { version, status: Number(status), statusText, headers, rawHeaders, head: text };
}

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

/**
 * The bytes of one frame.
 * @param options  `fin` (true), `rsv` (0..7), `mask` (true), `length`: announce another length than the payload has
 */
export function frame(opcode, payload = Buffer.alloc(0), { fin = true, rsv = 0, mask = true, length } = {}) {
  const bytes = Buffer.from(payload);
  const size = BigInt(length ?? bytes.length);
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  const maskBit = mask ? 0x80 : 0;
  if (size < 126n) head.push(maskBit | Number(size));
  else if (size < 65536n) head.push(maskBit | 126, Number(size >> 8n), Number(size & 255n));
  else {
    head.push(maskBit | 127);
    for (let shift = 56n; shift >= 0n; shift -= 8n) head.push(Number((size >> shift) & 255n));
  }
  if (!mask) return Buffer.concat([Buffer.from(head), bytes]);
  const key = randomBytes(4);
  return Buffer.concat([Buffer.from(head), key, bytes.map((byte, i) => byte ^ key[i & 3])]);
}

/** A text or binary frame, by the type of the message. */
export function messageFrame(message, options) {
  return frame(typeof message === "string" ? OPCODE.text : OPCODE.binary, message, options);
}

/** Header that offers compression. */
export const OFFERS_DEFLATE = { "Sec-WebSocket-Extensions": "permessage-deflate" };
/** The end of a compressed message, which is not sent (RFC 7692, section 7.2.1). */
const DEFLATE_TAIL = Buffer.from([0, 0, 0xff, 0xff]);

/** The payload of a compressed message, without context takeover; `options` are those of zlib. */
export function deflated(message, options = {}) {
  const bytes = deflateRawSync(message, { ...options, finishFlush: constants.Z_SYNC_FLUSH });
  return bytes.subarray(0, -DEFLATE_TAIL.length);
}

/** The message that was compressed without context takeover; fails when it needs a larger window. */
export function inflated(payload, windowBits = 15) {
  const chunkSize = windowBits < 15 ? constants.Z_MIN_CHUNK : constants.Z_DEFAULT_CHUNK; // what is in the same chunk counts as in the window
  return inflateRawSync(Buffer.concat([payload, DEFLATE_TAIL]), { finishFlush: constants.Z_SYNC_FLUSH, windowBits, chunkSize });
}

/** A message in one compressed frame. */
export function compressedFrame(message, options) {
  return frame(typeof message === "string" ? OPCODE.text : OPCODE.binary, deflated(message, options), { rsv: 4 });
}

/** A compressed message in several frames; RSV1 is set on the first. */
export function compressedFragments(message, pieces) {
  const payload = deflated(message);
  const size = Math.ceil(payload.length / pieces);
  const first = typeof message === "string" ? OPCODE.text : OPCODE.binary;
  return Array.from({ length: pieces }, (_, i) =>
    frame(i === 0 ? first : OPCODE.continuation, payload.subarray(i * size, (i + 1) * size), {
      fin: i === pieces - 1,
      rsv: i === 0 ? 4 : 0,
    }),
  );
}

/** The bytes of a WebSocket handshake request. */
export function upgradeBytes(port, path, headers = {}, key = randomBytes(16).toString("base64")) {
  return requestBytes(port, {
    path,
    headers: {
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": key,
      ...headers,
    },
  });
}

/**
 * A WebSocket whose frames are written and read by hand. Pings are not answered unless asked; a close frame is answered once. Compressed
 * messages come as the bytes on the wire, unless `windowBits` is set: then they are inflated, each by itself.
 */
export class WireSocket {
  /**
   * Opens a WebSocket.
   * @param headers  more request headers, or others in place of the usual ones (`undefined` leaves one out)
   * @param options  `early`: bytes to send in the same write as the handshake; `tls`; `windowBits`
   * @throws         an error with `response` when the server does not answer 101
   */
  static async open(port, path, headers = {}, { early, tls = false, answerPings = false, windowBits = null } = {}) {
    const socket = dial(port, { tls });
    const ws = new WireSocket(socket, answerPings);
    ws.windowBits = windowBits;
    const key = randomBytes(16).toString("base64");
    const request = upgradeBytes(port, path, headers, key);
    socket.write(early ? Buffer.concat([request, early]) : request);
    ws.response = await within(ws.handshake, "the WebSocket handshake", () => ws.received.toString("latin1"));
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    if (ws.response.status !== 101 || ws.response.headers["sec-websocket-accept"] !== accept) {
      socket.destroy();
      throw Object.assign(new Error(`the handshake was answered ${ws.response.head}`), { response: ws.response });
    }
    return ws;
  }

  constructor(socket, answerPings) {
    this.socket = socket;
    this.answerPings = answerPings;
    this.windowBits = null;
    this.received = Buffer.alloc(0);
    this.response = null;
    /** Every frame, control frames too: `{ fin, rsv, opcode, masked, payload }`. */
    this.frames = [];
    this.messages = new Inbox("a WebSocket message");
    this.controls = new Inbox("a WebSocket ping or pong");
    this.closeFrame = null;
    this.isOpen = false;
    this.fragments = [];
    this.end = new Promise((resolve) => (this.onEnded = resolve));
    this.handshake = new Promise((resolve, reject) => (this.onHandshake = { resolve, reject }));
    this.handshake.catch(() => {});
    socket.on("data", (chunk) => this.onData(chunk));
    socket.on("error", (error) => this.onClose(error));
    socket.on("close", () => this.onClose());
  }

  /** The next message: text as string, binary as Buffer. */
  next(ms) {
    return this.messages.next(ms);
  }

  /** Waits for the next message and checks it. */
  async expect(message, ms) {
    const met = await this.messages.next(ms);
    const same = typeof message === "string" ? met === message : Buffer.isBuffer(met) && met.equals(message);
    if (!same) throw new Error(`expected ${show(message)}, received ${show(met)}; all: ${show(this.messages.all)}`);
  }

  /** Reads messages until `isWanted` is true of one, and gives that one. */
  async until(isWanted, ms) {
    for (;;) {
      const message = await this.messages.next(ms);
      if (isWanted(message)) return message;
    }
  }

  /** Waits for the end: `{ code, reason, hasFrame }`; 1005 for a close frame without code, 1006 when there was none. */
  closed(ms) {
    return within(this.end, "the WebSocket to close", () => this.messages.all, ms);
  }

  /** Sends messages, each in one frame, all in one write. */
  send(...messages) {
    this.socket.write(Buffer.concat(messages.map((message) => messageFrame(message))));
  }

  /** Sends one message cut into fragments. */
  sendFragments(message, pieces) {
    const opcode = typeof message === "string" ? OPCODE.text : OPCODE.binary;
    const bytes = Buffer.from(message);
    const size = Math.ceil(bytes.length / pieces);
    const frames = Array.from({ length: pieces }, (_, i) =>
      frame(i === 0 ? opcode : OPCODE.continuation, bytes.subarray(i * size, (i + 1) * size), { fin: i === pieces - 1 }),
    );
    this.socket.write(Buffer.concat(frames));
  }

  ping(payload) {
    this.socket.write(frame(OPCODE.ping, payload));
  }

  /** Starts the closing handshake; without a code the close frame is empty. */
  close(code, reason = "") {
    const payload = code === undefined ? Buffer.alloc(0) : Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]);
    this.sentClose = true;
    this.socket.write(frame(OPCODE.close, payload));
  }

  write(bytes) {
    this.socket.write(bytes);
  }

  /** Cuts the connection, with a reset when asked. */
  abort({ reset = false } = {}) {
    if (reset && this.socket.resetAndDestroy) this.socket.resetAndDestroy();
    else this.socket.destroy();
  }

  pause() {
    this.socket.pause();
  }

  resume() {
    this.socket.resume();
  }

  onData(chunk) {
    this.received = Buffer.concat([this.received, chunk]);
    if (!this.isOpen) {
      const end = this.received.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = parseHead(this.received.subarray(0, end).toString("latin1"));
      if (head.status !== 101) return this.onRefusal(false);
      this.received = this.received.subarray(end + 4);
      this.isOpen = true;
      this.onHandshake.resolve(head);
    }
    for (let parsed = parseFrame(this.received); parsed; parsed = parseFrame(this.received)) {
      this.received = this.received.subarray(parsed.size);
      this.onFrame(parsed.frame);
    }
  }

  onRefusal(ended) {
    const parsed = parseResponse(this.received, "GET", ended);
    if (parsed) this.onHandshake.resolve({ ...parsed.response, raw: this.received.toString("latin1") });
  }

  onFrame(met) {
    this.frames.push(met);
    if (met.opcode === OPCODE.close) {
      const code = met.payload.length >= 2 ? met.payload.readUInt16BE(0) : 1005;
      this.closeFrame = { code, reason: met.payload.subarray(2).toString("utf8"), hasFrame: true };
      if (!this.sentClose) this.socket.end(frame(OPCODE.close, met.payload.subarray(0, 2)));
    } else if (met.opcode === OPCODE.ping || met.opcode === OPCODE.pong) {
      this.controls.push(met);
      if (met.opcode === OPCODE.ping && this.answerPings) this.socket.write(frame(OPCODE.pong, met.payload));
    } else {
      this.fragments.push(met);
      if (met.fin) this.onMessage(this.fragments.splice(0));
    }
  }

  onMessage(frames) {
    const payload = Buffer.concat(frames.map((met) => met.payload));
    const isCompressed = (frames[0].rsv & 4) !== 0;
    const isInflated = isCompressed && this.windowBits !== null;
    const bytes = isInflated ? inflated(payload, this.windowBits) : payload;
    const isText = frames[0].opcode === OPCODE.text && isCompressed === isInflated;
    this.messages.push(isText ? bytes.toString("utf8") : bytes);
  }

  onClose(error) {
    if (!this.isOpen) {
      this.onRefusal(true);
      const message = `the connection closed during the WebSocket handshake; received ${show(this.received.toString("latin1"))}`;
      this.onHandshake.reject(Object.assign(new Error(message), { cause: error }));
    }
    const end = this.closeFrame ?? { code: 1006, reason: "", hasFrame: false };
    this.messages.end(new Error(`the WebSocket closed (${end.code}) after ${show(this.messages.all)}`));
    this.controls.end(new Error(`the WebSocket closed (${end.code})`));
    this.onEnded(end);
  }
}

/** The first frame of `bytes`, its payload masked as it is: `{ size, frame }`; null while it isn't whole. */
export function parseFrame(bytes) {
  if (bytes.length < 2) return null;
  let length = bytes[1] & 127;
  let at = 2;
  if (length === 126) {
    if (bytes.length < 4) return null;
    length = bytes.readUInt16BE(2);
    at = 4;
  } else if (length === 127) {
    if (bytes.length < 10) return null;
    length = Number(bytes.readBigUInt64BE(2));
    at = 10;
  }
  const masked = (bytes[1] & 128) !== 0;
  if (masked) at += 4;
  if (bytes.length < at + length) return null;
  const payload = Buffer.from(bytes.subarray(at, at + length));
  return {
    size: at + length,
    frame: { fin: (bytes[0] & 128) !== 0, rsv: (bytes[0] >> 4) & 7, opcode: bytes[0] & 15, masked, payload },
  };
}

/** The refusal of a WebSocket handshake: `{ status, headers, text, raw }`; fails when the server accepts it. */
export async function refusedUpgrade(port, path, headers, options) {
  let ws;
  try {
    ws = await WireSocket.open(port, path, headers, options);
  } catch (error) {
    if (error.response) return error.response;
    throw error;
  }
  ws.abort();
  throw new Error("the WebSocket handshake was accepted");
}

/** A long-polling session held by hand. */
export class PollingSession {
  /**
   * Performs the handshake.
   * @param query    more query parameters, a string such as `j=0&b64=1`
   * @param options  `path` (`/engine.io/`), `headers`, `eio` (4), `tls`, `agent`
   */
  static async open(port, query = "", { path = "/engine.io/", headers, eio = 4, tls, agent } = {}) {
    const session = new PollingSession(port, { path, eio, tls, agent });
    session.response = await session.request("GET", { query, headers });
    if (session.response.status !== 200) {
      throw Object.assign(new Error(`the handshake was answered ${session.response.status} ${session.response.text}`), {
        response: session.response,
      });
    }
    session.handshake = JSON.parse(/\{.*?\}/s.exec(session.response.text.replaceAll('\\"', '"'))[0]);
    session.sid = session.handshake.sid;
    return session;
  }

  constructor(port, { path = "/engine.io/", eio = 4, sid = null, tls, agent } = {}) {
    Object.assign(this, { port, path, eio, tls, agent, sid, response: null, handshake: null });
  }

  /** The path and query of this session's requests. */
  url(transport = "polling", more = "") {
    const sid = this.sid === null ? "" : `&sid=${this.sid}`;
    return `${this.path}?EIO=${this.eio}&transport=${transport}${sid}${more ? `&${more}` : ""}`;
  }

  request(method, { query = "", headers, body, agent = this.agent, ms } = {}) {
    return http(this.port, { method, path: this.url("polling", query), headers, body, agent, tls: this.tls, ms });
  }

  /** One poll; the promise has `abort()`. */
  get(options) {
    return this.request("GET", options);
  }

  /** One poll that must be answered 200: its packets, as encoded. */
  async poll(options) {
    const response = await this.get(options);
    if (response.status !== 200) throw new Error(`the poll was answered ${response.status} ${response.text}`);
    return response.text.split(SEPARATOR);
  }

  /** Delivers packets in one body. */
  post(body, options) {
    return this.request("POST", { ...options, body });
  }

  /** A WebSocket candidate that asks to take this session over. */
  candidate({ query = "", headers, early } = {}) {
    return WireSocket.open(this.port, this.url("websocket", query), headers, { early, tls: this.tls });
  }

  /** Moves the session to a WebSocket, the way a browser does it, and gives the WebSocket. */
  async upgrade(options) {
    const ws = await this.candidate(options);
    ws.send("2probe");
    await ws.expect("3probe");
    ws.send("5");
    return ws;
  }
}
