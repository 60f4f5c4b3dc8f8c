/*
 * The door `roomcast/parser`: Socket.IO packets to messages and back; the classes a custom `parser` replaces.
 */
export { Encoder } from "../protocol/packet-encoder";
export { Decoder, type DecoderOptions } from "../protocol/packet-decoder";
export { PacketType, isPacketValid, protocol, type Packet } from "../protocol/packet";
