// Engine.IO packets of revision 4, as text or as binary messages (Engine.IO protocol, "Packet encoding").
import { types } from "node:util";

/** Types of packets; `error` is the pseudo packet that a malformed one decodes to. */
export type EnginePacketType = "open" | "close" | "ping" | "pong" | "message" | "upgrade" | "noop" | "error";

/** A packet. Without payload, `data` is absent. */
export interface EnginePacket {
  readonly type: EnginePacketType;
  readonly data?: string | Buffer;
}

const TYPES: readonly EnginePacketType[] = ["open", "close", "ping", "pong", "message", "upgrade", "noop"];
const CODES = { open: "0", close: "1", ping: "2", pong: "3", message: "4", upgrade: "5", noop: "6", error: "", raw: "" } as const;
const ZERO = 48;
const BASE64 = 98; // "b"

/** What a malformed packet decodes to. */
export const ERROR_PACKET: EnginePacket = { type: "error", data: "parser error" };

/** The character of a packet type. Hot: once per packet, and most are messages. */
export function codeOf(type: EnginePacketType | "raw"): string {
  return type === "message" ? CODES.message : CODES[type];
}

/** True for what travels as bytes: a Buffer, an ArrayBuffer, a view; also those of another realm, as test runners make them. */
export function isBinary(value: unknown): value is ArrayBuffer | ArrayBufferView {
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer || types.isArrayBuffer(value);
}

/** The bytes of a binary value, without a copy; of a view, only what it views. */
export function toBuffer(value: ArrayBuffer | ArrayBufferView): Buffer {
  if (Buffer.isBuffer(value)) return value;
  return ArrayBuffer.isView(value) ? Buffer.from(value.buffer as ArrayBuffer, value.byteOffset, value.byteLength) : Buffer.from(value);
}

/** The payload of a message: bytes as they are, anything else as text, falsy values as none (""). */
export function toPayload(data: unknown): string | Buffer {
  if (typeof data === "string") return data;
  if (isBinary(data)) return toBuffer(data);
  return data ? `${data as string}` : "";
}

/**
 * Encodes a packet for a transport that frames messages.
 * @param supportsBinary  false: bytes travel as `b` and base64
 */
export function encodePacket(type: EnginePacketType, data: unknown, supportsBinary: boolean): string | Buffer {
  const payload = toPayload(data);
  if (typeof payload === "string") return CODES[type] + payload;
  return supportsBinary ? payload : "b" + payload.toString("base64");
}

/** Decodes one packet; never throws: a malformed one gives `ERROR_PACKET`. Bytes are a message. */
export function decodePacket(encoded: string | Buffer): EnginePacket {
  if (typeof encoded !== "string") return { type: "message", data: encoded };
  const code = encoded.charCodeAt(0);
  if (code === BASE64) return { type: "message", data: Buffer.from(encoded.slice(1), "base64") };
  const type = TYPES[code - ZERO];
  if (type === undefined) return ERROR_PACKET;
  return encoded.length === 1 ? { type } : { type, data: encoded.slice(1) };
}
