/*
 * The door `roomcast/engine-parser`: Engine.IO packets and payloads of revision 4, with callbacks as programs for it expect.
 */
import { TransformStream } from "node:stream/web";
import { decodePacket as decode, encodePacket as encode, type EnginePacket, type EnginePacketType } from "../protocol/engine-packet";
import { decodePayload, encodePayload as joinPackets } from "../protocol/polling-payload";
import { encodeFrame, FrameDecoder } from "../protocol/webtransport-frame";

export { decodePayload };

/** A packet; of `error`, `data` is `parser error`. */
export type Packet = EnginePacket;
/** Types of packets. */
export type PacketType = EnginePacketType;
/** An encoded packet. */
export type RawData = string | Buffer;

/** Revision of the Engine.IO protocol. */
export const protocol = 4;

/**
 * Encodes a packet for a transport that frames messages.
 * @param supportsBinary  false: bytes become `b` and base64
 * @param callback        called synchronously with the result
 */
export function encodePacket(packet: { type: EnginePacketType; data?: unknown }, supportsBinary: boolean, callback: (encoded: RawData) => void): void {
  callback(encode(packet.type, packet.data, supportsBinary));
}

/** Decodes one packet; a malformed one gives `{ type: "error", data: "parser error" }`. */
export function decodePacket(encoded: RawData | ArrayBuffer | ArrayBufferView, _binaryType?: string): EnginePacket {
  if (typeof encoded === "string" || Buffer.isBuffer(encoded)) return decode(encoded);
  return decode(encoded instanceof ArrayBuffer ? Buffer.from(encoded) : Buffer.from(encoded.buffer as ArrayBuffer, encoded.byteOffset, encoded.byteLength));
}

/** Joins packets into the payload of a polling response; `callback` is called synchronously. */
export function encodePayload(packets: readonly { type: EnginePacketType; data?: unknown }[], callback: (payload: string) => void): void {
  const encoded = packets.map(({ type, data }) => {
    const form = encode(type, data, true);
    return typeof form === "string" ? { type, data: form.slice(1) } : { type, data: form };
  });
  callback(joinPackets(encoded));
}

/** A stream that turns packets into WebTransport frames. */
export function createPacketEncoderStream(): TransformStream<EnginePacket, Uint8Array> {
  return new TransformStream({
    transform(packet, controller) {
      for (const part of encodeFrame(packet)) controller.enqueue(part);
    },
  });
}

/** A stream that turns the bytes of a WebTransport stream into packets. */
export function createPacketDecoderStream(maxPayload: number, _binaryType?: string): TransformStream<Uint8Array, EnginePacket> {
  const decoder = new FrameDecoder(maxPayload);
  return new TransformStream({
    transform(chunk, controller) {
      for (const packet of decoder.decode(chunk)) controller.enqueue(packet);
    },
  });
}
