// A WebSocket client that uses little CPU time: it builds frames itself, reads into one shared buffer, and parses only the necessary part
// of a frame.
import { connect } from "node:net";
import { connect as connectSecurely } from "node:tls";
import { deflated, MessageReader } from "./message-reader.mjs";

export const BROWSER_HEADERS = [
  "Host: 127.0.0.1",
  "Origin: http://127.0.0.1",
  "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
  "Accept-Encoding: gzip, deflate, br, zstd",
  "Accept-Language: en-GB,en;q=0.9,de;q=0.8",
  "Cache-Control: no-cache",
  "Pragma: no-cache",
].join("\r\n");

const UPGRADE_HEADERS = [
  BROWSER_HEADERS,
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
].join("\r\n");

/** Bytes kept of a frame that arrives in several pieces: enough to recognise it. */
const HEAD_BYTES = 128;

const RSV1 = 0x40;
const TEXT_FINAL = 0x81;

/** One masked text frame; the mask is 0, so that the payload is unchanged. */
export function textFrame(text) {
  return frameOf(TEXT_FINAL, Buffer.from(text));
}

/** The same, compressed. */
export function deflatedTextFrame(text) {
  return frameOf(TEXT_FINAL | RSV1, deflated(text));
}

function frameOf(first, payload) {
  const head =
    payload.length < 126
      ? Buffer.from([first, 0x80 | payload.length, 0, 0, 0, 0])
      : Buffer.from([first, 0xfe, payload.length >> 8, payload.length & 255, 0, 0, 0, 0]);
  return Buffer.concat([head, payload]);
}

/** All sockets read into this buffer: each chunk is processed before the next read. */
const shared = Buffer.allocUnsafe(1 << 18);

/** Connects; `onChunk(chunk)` receives the data, which is valid during the call only. */
export function openSocket({ port, tls = false, localAddress }, onChunk, onError) {
  const target = { port, host: "127.0.0.1", localAddress, noDelay: true };
  const onread = { buffer: shared, callback: (length, buffer) => (onChunk(buffer.subarray(0, length)), true) };
  const socket = tls ? connectSecurely({ ...target, rejectUnauthorized: false }).on("data", onChunk) : connect({ ...target, onread });
  return socket.on("error", onError).on("end", () => onError(new Error("the server closed the connection")));
}

export class Client {
  /** @param settings  `{ port, tls, deflate, reads, query, localAddress }`; `deflate` offers compression, `reads` keeps all messages in `reader` */
  constructor(settings) {
    this.settings = settings;
    this.reader = settings.reads ? new MessageReader() : null;
    this.isCompressing = false;
    this.socket = null;
    this.bytes = 0;
    this.frames = 0;
    this.onFrame = null;
    this.rest = null;
    this.skip = 0;
    this.head = null;
    this.state = "http";
    this.onText = null;
    this.onOpen = null;
    this.polls = null;
  }

  /** Opens the WebSocket; passes the texts of the handshake to `onText`. */
  dial(onText, reject) {
    const { query = "", deflate } = this.settings;
    this.onText = onText;
    this.socket = openSocket(this.settings, (chunk) => this.take(chunk), reject);
    const extensions = deflate ? "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits" : "";
    this.socket.write(`GET /socket.io/?EIO=4&transport=websocket${query} HTTP/1.1\r\n${UPGRADE_HEADERS}${extensions}\r\n\r\n`);
  }

  /** Connects by WebSocket and joins `/`. */
  open() {
    return new Promise((resolve, reject) => {
      let texts = 0; // the first is the open packet, the second the answer to CONNECT; both may be compressed
      const onText = () => {
        if (++texts === 1) this.socket.write(textFrame("40"));
        else this.ready(resolve);
      };
      this.dial(onText, reject);
    });
  }

  ready(resolve) {
    this.state = "ready";
    this.onText = null;
    resolve(this);
  }

  take(chunk) {
    this.bytes += chunk.length;
    if (this.skip > 0) {
      if (chunk.length < this.skip) return void (this.skip -= chunk.length);
      const rest = chunk.subarray(this.skip);
      this.skip = 0;
      this.finish(this.head, 0, this.head.length);
      if (rest.length === 0) return;
      chunk = rest;
    }
    const data = this.rest === null ? chunk : Buffer.concat([this.rest, chunk]);
    this.rest = null;
    let at = 0;
    if (this.state === "http") {
      const end = data.indexOf("\r\n\r\n");
      if (end === -1) return this.keep(data);
      if (data.latin1Slice(9, 12) !== "101") return void this.socket.destroy(new Error(data.latin1Slice(0, 60)));
      this.isCompressing = data.latin1Slice(0, end).includes("permessage-deflate");
      at = end + 4;
      this.state = "frames";
      this.onOpen?.();
    }
    while (at + 2 <= data.length) {
      let length = data[at + 1] & 127;
      let start = at + 2;
      if (length === 126) {
        if (at + 4 > data.length) break;
        length = data.readUInt16BE(at + 2);
        start = at + 4;
      } else if (length === 127) {
        if (at + 10 > data.length) break;
        length = data.readUInt32BE(at + 6);
        start = at + 10;
      }
      const end = start + length;
      if (end > data.length) {
        if (this.state !== "ready" || this.reader !== null || data.length - start < HEAD_BYTES) break;
        this.head = Buffer.from(data.subarray(start, start + HEAD_BYTES));
        this.skip = end - data.length;
        return;
      }
      this.reader?.take(Buffer.from(data.subarray(start, end)), (data[at] & RSV1) !== 0);
      this.finish(data, start, end);
      at = end;
    }
    if (at < data.length) this.keep(data.subarray(at));
  }

  keep(bytes) {
    this.rest = Buffer.from(bytes);
  }

  finish(data, start, end) {
    if (this.state !== "ready") return this.onText(data.latin1Slice(start, end));
    this.frames++;
    if (this.onFrame !== null) this.onFrame(this, data, start, end);
  }

  close() {
    this.socket?.destroy();
    this.polls?.close();
  }
}
