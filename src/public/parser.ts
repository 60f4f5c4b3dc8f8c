/*
 * The entry `roomcast/parser`: encodes and decodes Socket.IO packets; the classes that a custom `parser` replaces.
 */
export { Encoder } from "../protocol/packet-encoder";
export { Decoder, type DecoderOptions } from "../protocol/packet-decoder";
export { PacketType, isPacketValid, protocol, type Packet } from "../protocol/packet";
