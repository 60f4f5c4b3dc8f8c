/*
 * A MessagePack parser for the option `parser`: each packet is one map in one binary message, compatible with
 * `socket.io-msgpack-parser`. Validates packets as the text decoder does.
 */
import { ProtocolError } from "../errors";
import { LeanEmitter } from "../support/lean-emitter";
import { encodingError } from "./encoding-failure";
import { watchCollections, type CollectionWatch } from "./encoding-hints";
import { isBinary, toBuffer } from "./engine-packet";
import { decodeMsgpack } from "./msgpack-reader";
import { encodeMsgpack } from "./msgpack-writer";
import { isDataValid, PacketType, type Packet } from "./packet";

/** Bounds of a decoder. */
export interface MsgpackDecoderOptions {
  /** Nesting depth of a payload. Default 1000; over it: `invalid payload`. */
  maxDepth?: number | undefined;
}

/** Encodes packets: a map with `type`, `nsp`, and `data` and `id` if present (SIO-42). */
export class Encoder {
  private watch: CollectionWatch | null = watchCollections();

  /**
   * Encodes one packet without changing it.
   * @returns one binary message
   * @throws EncodingError RC_ERR_ENCODING when the payload cannot be encoded (BigInt, Blob, Symbol, circular, `toJSON` that throws)
   */
  encode(packet: Packet): Buffer[] {
    const { type, nsp, data, id } = packet;
    const map: Record<string, unknown> = { type, nsp: nsp || "/" };
    if (data !== undefined) map["data"] = data;
    if (id !== undefined && id !== null) map["id"] = id;
    const { watch } = this;
    try {
      const message = encodeMsgpack(map, watch);
      if (watch !== null && watch.met !== null) {
        this.watch = null; // once
        watch.warn(packet);
      }
      return [message];
    } catch (error) {
      throw encodingError(packet, error);
    }
  }
}

/** Decodes messages; emits `decoded` with the packet of each. */
export class Decoder extends LeanEmitter {
  private readonly maxDepth: number;

  constructor(options?: MsgpackDecoderOptions) {
    super();
    this.maxDepth = options?.maxDepth ?? 1000;
  }

  /**
   * Decodes one message; emits `decoded` synchronously.
   * @throws ProtocolError on anything that is not a well-formed packet
   */
  add(chunk: unknown): void {
    if (!isBinary(chunk)) throw new ProtocolError("RC_ERR_PAYLOAD", `invalid payload: expected binary, met ${typeof chunk}`);
    // The map of the packet adds one level to the depth of the payload.
    this.emit("decoded", toPacket(decodeMsgpack(toBuffer(chunk), this.maxDepth + 1)));
  }

  /** Called when the connection closes; this decoder keeps no state. */
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

/** Whether a type is valid. The types 5 and 6 are not, since binary values are inside the payload. */
function isPlainType(type: unknown): type is number {
  return typeof type === "number" && Number.isInteger(type) && type >= PacketType.CONNECT && type <= PacketType.CONNECT_ERROR;
}

function isId(id: unknown): id is number {
  return typeof id === "number" && Number.isSafeInteger(id) && id >= 0;
}
