// Polling payloads of revision 3: packets with length prefixes, as text or bytes (Engine.IO protocol v3, "Payload").
import { codeOf, ERROR_PACKET, type EnginePacket, type EnginePacketType } from "../engine-packet";
import { decodePacketV3, encodeBinaryV3 } from "./packet";

type Outgoing = { readonly type: EnginePacketType | "raw"; readonly data?: string | Buffer | undefined };

const TEXT = 0;
const BINARY = 1;
const END_OF_LENGTH = 255;
const MAX_LENGTH_DIGITS = 310;

/** Joins packets into a body: bytes if one of them is binary and the peer supports it, otherwise text (EIO-95 to EIO-97). */
export function encodePayloadV3(packets: readonly Outgoing[], supportsBinary: boolean): string | Buffer {
  if (supportsBinary && packets.some((packet) => typeof packet.data === "object")) return Buffer.concat(packets.flatMap(toBytes));
  if (packets.length === 0) return "0:";
  let payload = "";
  for (const packet of packets) {
    const text = typeof packet.data === "object" ? (encodeBinaryV3(packet.data, false) as string) : textOf(packet);
    payload += `${text.length}:${text}`;
  }
  return payload;
}

function textOf(packet: Outgoing): string {
  return codeOf(packet.type) + ((packet.data as string | undefined) ?? "");
}

function toBytes(packet: Outgoing): Buffer[] {
  const isText = typeof packet.data !== "object";
  const body = isText ? Buffer.from(textOf(packet)) : (encodeBinaryV3(packet.data, true) as Buffer);
  const digits = Array.from(String(body.length), Number);
  return [Buffer.from([isText ? TEXT : BINARY, ...digits, END_OF_LENGTH]), body];
}

/** Splits a body into packets, in order; stops after the first malformed one (EIO-100, EIO-101). */
export function decodePayloadV3(body: string | Buffer): EnginePacket[] {
  return typeof body === "string" ? decodeText(body) : decodeBytes(body);
}

function decodeText(body: string): EnginePacket[] {
  const packets: EnginePacket[] = [];
  if (body === "") return [ERROR_PACKET];
  for (let at = 0; at < body.length;) {
    const colon = body.indexOf(":", at);
    const digits = colon === -1 ? "" : body.slice(at, colon);
    const length = /^\d{1,15}$/.test(digits) ? Number(digits) : NaN;
    const end = colon + 1 + length;
    if (!(end <= body.length)) return [...packets, ERROR_PACKET];
    at = end;
    if (length === 0) continue;
    const packet = decodePacketV3(body.slice(colon + 1, end));
    packets.push(packet);
    if (packet.type === "error") break;
  }
  return packets;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeBytes(body: Buffer): EnginePacket[] {
  const packets: EnginePacket[] = [];
  if (body.length === 0) return [ERROR_PACKET];
  for (let at = 0; at < body.length;) {
    const kind = body[at];
    let length = 0;
    let position = at + 1;
    for (; position < body.length && body[position] !== END_OF_LENGTH; position++) {
      const digit = body[position];
      if (digit > 9 || position - at > MAX_LENGTH_DIGITS) return [...packets, ERROR_PACKET];
      length = length * 10 + digit;
    }
    const start = position + 1;
    const end = start + length;
    if (kind > BINARY || position === at + 1 || !(end <= body.length)) return [...packets, ERROR_PACKET];
    const packet = decodeBody(body.subarray(start, end), kind);
    packets.push(packet);
    if (packet.type === "error") break;
    at = end;
  }
  return packets;
}

function decodeBody(bytes: Buffer, kind: number): EnginePacket {
  if (kind === BINARY) return decodePacketV3(bytes);
  try {
    return decodePacketV3(utf8.decode(bytes));
  } catch {
    return ERROR_PACKET; // not UTF-8
  }
}
