// Polling payloads of revision 4: packets joined by a separator (Engine.IO protocol, "HTTP long-polling").
import { codeOf, decodePacket, type EnginePacket, type EnginePacketType } from "./engine-packet";

const SEPARATOR = "\x1e";

/** Joins packets into the body of a response; bytes are encoded as `b` and base64 (EIO-30, EIO-31). */
export function encodePayload(
  packets: readonly { readonly type: EnginePacketType | "raw"; readonly data?: string | Buffer | undefined }[],
): string {
  let payload = "";
  for (let index = 0; index < packets.length; index++) {
    const { type, data } = packets[index];
    if (index > 0) payload += SEPARATOR;
    payload += data === undefined ? codeOf(type) : typeof data === "string" ? codeOf(type) + data : "b" + data.toString("base64");
  }
  return payload;
}

/** Splits the body of a request into packets, in order; stops after the first malformed one (EIO-32). The result is never empty. */
export function decodePayload(body: string): EnginePacket[] {
  const packets: EnginePacket[] = [];
  for (const piece of body.split(SEPARATOR)) {
    const packet = decodePacket(piece);
    packets.push(packet);
    if (packet.type === "error") break;
  }
  return packets;
}
