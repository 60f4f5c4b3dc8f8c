// Engine.IO packets of revision 3 on a transport with message framing (Engine.IO protocol v3).
import { decodePacket, ERROR_PACKET, type EnginePacket, type EnginePacketType } from "../engine-packet";

const TYPES: readonly EnginePacketType[] = ["open", "close", "ping", "pong", "message", "upgrade", "noop"];
const MESSAGE = 4;

/** Encodes a binary message: type byte and data, or `b4` and base64 for a peer without binary support (EIO-92, EIO-93). */
export function encodeBinaryV3(data: Buffer, supportsBinary: boolean): string | Buffer {
  if (!supportsBinary) return `b${MESSAGE}${data.toString("base64")}`;
  const form = Buffer.allocUnsafe(data.length + 1);
  form[0] = MESSAGE;
  data.copy(form, 1);
  return form;
}

/** Decodes one packet (EIO-93, EIO-94). Never throws: the result for a malformed one is `ERROR_PACKET`. */
export function decodePacketV3(encoded: string | Buffer): EnginePacket {
  if (typeof encoded === "string") {
    if (encoded.charCodeAt(0) !== 98) return decodePacket(encoded);
    const type = TYPES[encoded.charCodeAt(1) - 48];
    return type === undefined ? ERROR_PACKET : { type, data: Buffer.from(encoded.slice(2), "base64") };
  }
  const type = encoded.length === 0 ? undefined : TYPES[encoded[0]];
  return type === undefined ? ERROR_PACKET : { type, data: encoded.subarray(1) };
}
