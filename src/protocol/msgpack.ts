/*
 * A parser for the option `parser`: one MessagePack map per packet, one binary message per map, in the form of
 * `socket.io-msgpack-parser`. Judges packets as the text decoder does.
 */
import { ProtocolError } from "../errors";
import { LeanEmitter } from "../support/lean-emitter";
import { isBinary, toBuffer } from "./engine-packet";
import { decodeMsgpack } from "./msgpack-reader";
import { encodeMsgpack } from "./msgpack-writer";
import { isDataValid, PacketType, type Packet } from "./packet";

/** Bounds of a decoder. */
export interface MsgpackDecoderOptions {
  /** Nesting depth of a payload. Default 1000; over it: `invalid payload`. */
  maxDepth?: number | undefined;
}

/** Turns packets into messages: a map with `type`, `nsp`, and `data` and `id` where there are any. */
export class Encoder {
  /**
   * Encodes one packet, which stays as it is.
   * @returns one binary message
   * @throws TypeError, RangeError when the payload cannot be encoded (BigInt, Blob, Symbol, cyclic)
   */
  encode(packet: Packet): Buffer[] {
    const { type, nsp, data, id } = packet;
    const map: Record<string, unknown> = { type, nsp: nsp || "/" };
    if (data !== undefined) map["data"] = data;
    if (id !== undefined && id !== null) map["id"] = id;
    return [encodeMsgpack(map)];
  }
}

/** Takes messages, emits `decoded` with the packet of each. */
export class Decoder extends LeanEmitter {
  private readonly maxDepth: number;

  constructor(options?: MsgpackDecoderOptions) {
    super();
    this.maxDepth = options?.maxDepth ?? 1000;
  }

  /**
   * Takes one message; `decoded` is emitted synchronously.
   * @throws ProtocolError on anything that is not a well-formed packet
   */
  add(chunk: unknown): void {
    if (!isBinary(chunk)) throw new ProtocolError("RC_ERR_PAYLOAD", `invalid payload: expected binary, met ${typeof chunk}`);
    // The packet's own map is one level more than its payload.
    this.emit("decoded", toPacket(decodeMsgpack(toBuffer(chunk), this.maxDepth + 1)));
  }

  /** Called when the connection closes; there is no state to drop. */
  destroy(): void {}
}

function toPacket(value: unknown): Packet {
  const { type, nsp, data, id } = (value ?? {}) as Record<string, unknown>;
  if (!isPlainType(type)) throw new ProtocolError("RC_ERR_PACKET_TYPE", "invalid packet type");
  if (typeof nsp !== "string") throw new ProtocolError("RC_ERR_PAYLOAD", "invalid namespace");
  if (!isDataValid(type, data)) throw new ProtocolError("RC_ERR_PAYLOAD", "invalid payload");
  if (id !== undefined && !isId(id)) throw new ProtocolError("RC_ERR_PAYLOAD", "invalid packet id");
  const packet: Packet = { type, nsp };
  if (data !== undefined) packet.data = data;
  if (id !== undefined) packet.id = id;
  return packet;
}

/** Binary values travel inside the payload, so there are no binary types. */
function isPlainType(type: unknown): type is number {
  return typeof type === "number" && Number.isInteger(type) && type >= PacketType.CONNECT && type <= PacketType.CONNECT_ERROR;
}

function isId(id: unknown): id is number {
  return typeof id === "number" && Number.isSafeInteger(id) && id >= 0;
}
