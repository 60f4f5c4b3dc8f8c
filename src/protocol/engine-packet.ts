// Engine.IO packets of revision 4, encoded as text or binary messages (Engine.IO protocol, "Packet encoding").
import { types } from "node:util";

/** Packet types; a malformed packet is decoded as the pseudo packet `error`. */
export type EnginePacketType = "open" | "close" | "ping" | "pong" | "message" | "upgrade" | "noop" | "error";

/** A packet; `data` is absent if there is no payload. */
export interface EnginePacket {
  readonly type: EnginePacketType;
  readonly data?: string | Buffer;
}

const TYPES: readonly EnginePacketType[] = ["open", "close", "ping", "pong", "message", "upgrade", "noop"];
const CODES = { open: "0", close: "1", ping: "2", pong: "3", message: "4", upgrade: "5", noop: "6", error: "", raw: "" } as const;
const ZERO = 48;
const BASE64 = 98; // "b"

/** The result of decoding a malformed packet (EIO-13). */
export const ERROR_PACKET: EnginePacket = { type: "error", data: "parser error" };

/** The character of a packet type. Hot: once per packet; most are messages. */
export function codeOf(type: EnginePacketType | "raw"): string {
  return type === "message" ? CODES.message : CODES[type];
}

/** Whether a value is sent as bytes: an ArrayBuffer or a view, such as a Buffer, also of another realm, as in test runners (EIO-15). */
export function isBinary(value: unknown): value is ArrayBuffer | ArrayBufferView {
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer || types.isArrayBuffer(value);
}

/** The bytes of a binary value, not copied; of a view, only those in its range. */
export function toBuffer(value: ArrayBuffer | ArrayBufferView): Buffer {
  if (Buffer.isBuffer(value)) return value;
  return ArrayBuffer.isView(value) ? Buffer.from(value.buffer as ArrayBuffer, value.byteOffset, value.byteLength) : Buffer.from(value);
}

/** The payload of a message: bytes as they are, other values converted to text, falsy values to "" (EIO-14). */
export function toPayload(data: unknown): string | Buffer {
  if (typeof data === "string") return data;
  if (isBinary(data)) return toBuffer(data);
  return data ? `${data as string}` : "";
}

/**
 * Encodes a packet for a transport with message framing (EIO-14, EIO-16).
 * @param supportsBinary  false: bytes are sent as `b` and base64 (EIO-22)
 */
export function encodePacket(type: EnginePacketType, data: unknown, supportsBinary: boolean): string | Buffer {
  const payload = toPayload(data);
  if (typeof payload === "string") return CODES[type] + payload;
  return supportsBinary ? payload : "b" + payload.toString("base64");
}

/** Decodes one packet. Never throws: the result for a malformed one is `ERROR_PACKET`. */
export function decodePacket(encoded: string | Buffer): EnginePacket {
  if (typeof encoded !== "string") return { type: "message", data: encoded }; // EIO-16
  const code = encoded.charCodeAt(0);
  if (code === BASE64) return { type: "message", data: Buffer.from(encoded.slice(1), "base64") }; // EIO-23
  const type = TYPES[code - ZERO];
  if (type === undefined) return ERROR_PACKET; // EIO-13
  return encoded.length === 1 ? { type } : { type, data: encoded.slice(1) };
}
