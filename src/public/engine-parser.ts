/*
 * The entry `roomcast/engine-parser`: Engine.IO packets and payloads of revision 4.
 */
export {
  type BinaryType,
  type Packet,
  type PacketType,
  type RawData,
  createPacketDecoderStream,
  createPacketEncoderStream,
  decodePacket,
  decodePayload,
  encodePacket,
  encodePayload,
  protocol,
} from "../protocol/engine-parser";
