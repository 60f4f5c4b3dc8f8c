/*
 * The entry `roomcast/msgpack`: a `parser` that encodes each packet as one binary MessagePack message.
 */
export { Decoder, Encoder, type MsgpackDecoderOptions } from "../protocol/msgpack";
export { PacketType, protocol, type Packet } from "../protocol/packet";
