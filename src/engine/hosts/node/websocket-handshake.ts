// The opening handshake of plain WebSockets.
import { hash } from "node:crypto";
import type { IncomingMessage } from "node:http";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; // RFC 6455, section 1.3
const KEY = /^[+/0-9A-Za-z]{22}==$/;

/**
 * Validates an opening handshake without subprotocols (RFC 6455, section 4.2).
 * @returns status line and headers of the 101 response; null for any other handshake, which `ws` answers then
 */
export function acceptanceOf({ method, headers }: IncomingMessage): readonly string[] | null {
  const key = headers["sec-websocket-key"];
  const version = headers["sec-websocket-version"];
  const isPlain =
    method === "GET" &&
    headers.upgrade !== undefined &&
    headers.upgrade.toLowerCase() === "websocket" &&
    (version === "13" || version === "8") &&
    headers["sec-websocket-protocol"] === undefined &&
    key !== undefined &&
    KEY.test(key);
  if (!isPlain) return null;
  const accept = hash("sha1", key + GUID, "base64");
  return ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${accept}`];
}
