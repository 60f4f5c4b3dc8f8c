// A packet for clients of several servers, encoded before it is published.
import { hasBlob } from "../engine/blob-reading";
import { EncodingError } from "../errors";
import { titleOf } from "../protocol/encoding-failure";
import type { Packet } from "../protocol/packet";

interface PacketEncoder {
  encode(packet: any): any[];
}

/** @throws EncodingError also on a Blob: the message would have to wait until it is read (ROB-542) */
export function encodeForAll(encoder: PacketEncoder, packet: Packet, nsp: string): readonly unknown[] {
  const frames = encoder.encode({ ...packet, nsp });
  if (!hasBlob(frames)) return frames;
  throw new EncodingError(
    "RC_ERR_ENCODING",
    `cannot encode ${titleOf(packet)} for other servers: a Blob, send its bytes (await blob.arrayBuffer())`,
    undefined,
  );
}
