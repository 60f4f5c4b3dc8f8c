// Engine.IO packets and payloads of revision 4 with the callbacks and stream transformers that programs for Engine.IO expect.
import { TransformStream } from "node:stream/web";
import {
  decodePacket as decode,
  encodePacket as encode,
  isBinary,
  toBuffer,
  type EnginePacket,
  type EnginePacketType,
} from "./engine-packet";
import { decodePayload as splitPayload, encodePayload as joinPackets } from "./polling-payload";
import { encodeFrame, FrameDecoder } from "./webtransport-frame";

/** Types of packets; `error` is what a malformed one decodes to. */
export type PacketType = EnginePacketType;

/** A packet. Without payload, `data` is absent; of `error`, it is `parser error`. */
export interface Packet {
  type: PacketType;
  options?: { compress: boolean };
  data?: RawData;
}

/** A payload, or an encoded packet: text or binary; of no particular type, as programs for Engine.IO expect. */
export type RawData = ReturnType<typeof JSON.parse>;

/** The form in which binary payloads are decoded: a Buffer (default), or an ArrayBuffer. */
export type BinaryType = "nodebuffer" | "arraybuffer" | "blob";

/** Revision of the Engine.IO protocol. */
export const protocol = 4;

/**
 * Encodes a packet for a transport that frames messages.
 * @param supportsBinary  false: bytes become `b` and base64
 * @param callback        called synchronously with the result, text or Buffer
 */
export function encodePacket(packet: Packet, supportsBinary: boolean, callback: (encodedPacket: RawData) => void): void {
  callback(encode(packet.type, packet.data, supportsBinary));
}

/** Decodes one packet; a malformed one gives `{ type: "error", data: "parser error" }`. */
export function decodePacket(encodedPacket: RawData, binaryType?: BinaryType): Packet {
  return inForm(decode(isBinary(encodedPacket) ? toBuffer(encodedPacket) : String(encodedPacket)), binaryType);
}

/** Joins packets into the body of a polling response; `callback` is called synchronously. */
export function encodePayload(packets: Packet[], callback: (encodedPayload: string) => void): void {
  const encoded = packets.map(({ type, data }) => ({ type, data: isBinary(data) ? toBuffer(data) : data ? String(data) : "" }));
  callback(joinPackets(encoded));
}

/** Splits the body of a polling request into packets; stops behind the first malformed one. */
export function decodePayload(encodedPayload: string, binaryType?: BinaryType): Packet[] {
  return splitPayload(encodedPayload).map((packet) => inForm(packet, binaryType));
}

function inForm(packet: EnginePacket, binaryType: BinaryType | undefined): Packet {
  const { type, data } = packet;
  if (binaryType !== "arraybuffer" || typeof data !== "object") return packet;
  return { type, data: Uint8Array.from(data).buffer };
}

/** Gives a stream that turns packets into the bytes of a WebTransport stream, header and body one after the other. */
export function createPacketEncoderStream(): TransformStream<Packet, Uint8Array> {
  return new TransformStream({
    transform(packet, controller) {
      for (const part of encodeFrame(packet)) controller.enqueue(part);
    },
  });
}

/**
 * Gives a stream that turns the bytes of a WebTransport stream into packets.
 * @param maxPayload  longest body, in bytes; over it: one `error` packet, and no more packets
 */
export function createPacketDecoderStream(maxPayload: number, binaryType?: BinaryType): TransformStream<Uint8Array, Packet> {
  const decoder = new FrameDecoder(maxPayload);
  return new TransformStream({
    transform(chunk, controller) {
      for (const packet of decoder.decode(chunk)) controller.enqueue(inForm(packet, binaryType));
    },
  });
}
