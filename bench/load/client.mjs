// A WebSocket client that costs the load generator little: it frames by hand and looks at no more of a frame than it must.
import { connect } from "node:net";

const HEADERS = [
  "Host: 127.0.0.1",
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Origin: http://127.0.0.1",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
  "Accept-Encoding: gzip, deflate, br, zstd",
  "Accept-Language: en-GB,en;q=0.9,de;q=0.8",
  "Cache-Control: no-cache",
  "Pragma: no-cache",
].join("\r\n");

/** One masked text frame (mask 0, so that the payload stands as it is). */
export function textFrame(text) {
  const payload = Buffer.from(text);
  const head =
    payload.length < 126
      ? Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0])
      : Buffer.from([0x81, 0xfe, payload.length >> 8, payload.length & 255, 0, 0, 0, 0]);
  return Buffer.concat([head, payload]);
}

/**
 * Opens a connection and joins `/`.
 * @param onFrame  called for each later frame with its opcode, payload start and end in the chunk
 * @returns the client once CONNECT is answered
 */
export function openClient(port, { onFrame = null, query = "", localAddress } = {}) {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", localAddress, noDelay: true });
    const client = { socket, onFrame, frames: 0, sid: "" };
    let rest = null;
    let state = "head";
    socket.on("error", reject);
    socket.write(`GET /socket.io/?EIO=4&transport=websocket${query} HTTP/1.1\r\n${HEADERS}\r\n\r\n`);
    socket.on("data", (chunk) => {
      const data = rest === null ? chunk : Buffer.concat([rest, chunk]);
      rest = null;
      let at = 0;
      if (state === "head") {
        const end = data.indexOf("\r\n\r\n");
        if (end === -1) return void (rest = data);
        at = end + 4;
        state = "open";
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
        if (start + length > data.length) break;
        if (state === "ready") {
          client.frames++;
          if (client.onFrame !== null) client.onFrame(data, start, start + length, client);
        } else if (state === "open") {
          state = "joining";
          socket.write(textFrame("40"));
        } else {
          state = "ready";
          resolve(client);
        }
        at = start + length;
      }
      if (at < data.length) rest = data.subarray(at);
    });
  });
}

/** Opens `count` clients, at most `atOnce` handshakes under way. */
export async function openClients(port, count, options = {}, atOnce = 100) {
  const clients = [];
  while (clients.length < count) {
    const batch = Math.min(atOnce, count - clients.length);
    clients.push(...(await Promise.all(Array.from({ length: batch }, () => openClient(port, options)))));
  }
  return clients;
}

export function closeAll(clients) {
  for (const client of clients) client.socket.destroy();
}
