// The public codec of Engine.IO packets and payloads of revision 4: the callbacks and streams that programs for Engine.IO expect.
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

/** Packet types; a malformed packet is decoded as `error`. */
export type PacketType = EnginePacketType;

/** A packet; `data` is absent if there is no payload, and `parser error` for the type `error`. */
export interface Packet {
  type: PacketType;
  options?: { compress: boolean };
  data?: RawData;
}

/** A payload or an encoded packet, text or binary; typed `any`, as programs for Engine.IO expect. */
export type RawData = ReturnType<typeof JSON.parse>;

/** The class of decoded binary payloads: `nodebuffer` (default) for Buffer, `arraybuffer` for ArrayBuffer. */
export type BinaryType = "nodebuffer" | "arraybuffer" | "blob";

/** Revision of the Engine.IO protocol. */
export const protocol = 4;

/**
 * Encodes a packet for a transport with message framing.
 * @param supportsBinary  false: bytes are encoded as `b` and base64
 * @param callback        called synchronously with the result: text, or the binary payload itself, not a copy (ROB-531)
 */
export function encodePacket(packet: Packet, supportsBinary: boolean, callback: (encodedPacket: RawData) => void): void {
  const { type, data } = packet;
  callback(supportsBinary && isBinary(data) ? data : encode(type, data, supportsBinary));
}

/** Decodes one packet; the result for a malformed one is `{ type: "error", data: "parser error" }`. */
export function decodePacket(encodedPacket: RawData, binaryType?: BinaryType): Packet {
  return withBinaryType(decode(isBinary(encodedPacket) ? toBuffer(encodedPacket) : String(encodedPacket)), binaryType);
}

/** Joins packets into the body of a polling response; `callback` is called synchronously. */
export function encodePayload(packets: Packet[], callback: (encodedPayload: string) => void): void {
  const encoded = packets.map(({ type, data }) => ({ type, data: isBinary(data) ? toBuffer(data) : data ? String(data) : "" }));
  callback(joinPackets(encoded));
}

/** Splits the body of a polling request into packets; stops after the first malformed one. */
export function decodePayload(encodedPayload: string, binaryType?: BinaryType): Packet[] {
  return splitPayload(encodedPayload).map((packet) => withBinaryType(packet, binaryType));
}

function withBinaryType(packet: EnginePacket, binaryType: BinaryType | undefined): Packet {
  const { type, data } = packet;
  if (binaryType !== "arraybuffer" || typeof data !== "object") return packet;
  return { type, data: Uint8Array.from(data).buffer };
}

/**
 * Returns a stream that encodes packets for a WebTransport stream; header and body are separate chunks.
 * A body that is a `Uint8Array` is passed on as it is, any other binary body as a view of its bytes (ROB-532).
 */
export function createPacketEncoderStream(): TransformStream<Packet, Uint8Array> {
  return new TransformStream({
    transform(packet, controller) {
      const [header, body] = encodeFrame(packet);
      controller.enqueue(plain(header));
      controller.enqueue(isBinary(packet.data) ? (packet.data instanceof Uint8Array ? packet.data : body) : plain(body));
    },
  });
}

/** The same bytes as a plain `Uint8Array`, which is what readers of a web stream compare with. */
function plain(bytes: Buffer): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Returns a stream that decodes the bytes of a WebTransport stream into packets.
 * @param maxPayload  greatest length of a body in bytes; a longer one is decoded as an `error` packet, and is the last packet
 */
export function createPacketDecoderStream(maxPayload: number, binaryType?: BinaryType): TransformStream<Uint8Array, Packet> {
  const decoder = new FrameDecoder(maxPayload);
  return new TransformStream({
    transform(chunk, controller) {
      for (const packet of decoder.decode(chunk)) controller.enqueue(withBinaryType(packet, binaryType));
    },
  });
}
