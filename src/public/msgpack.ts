/*
 * The door `roomcast/msgpack`: a `parser` whose packets are MessagePack, one binary message each.
 */
export { Decoder, Encoder, type MsgpackDecoderOptions } from "../protocol/msgpack";
export { PacketType, protocol, type Packet } from "../protocol/packet";
