// The last step of the walk "a broadcast out": writes one packet, encoded once, to each selected socket.
// `adapter.ts` and `room-index.ts` select the sockets; `socket.ts` passes the packet to its connection.
import { isBinary, toBuffer } from "../../protocol/engine-packet";
import { hasBlob, prepareWithBlobs } from "../../engine/blob-reading";
import { prepare, type Prepared } from "../../engine/prepared";
import type { BroadcastFlags, LocalSocket } from "./contract";

export interface DeliveryOptions {
  /** Called with the acknowledgement of each client. `packet.id` must be set. */
  readonly ack?: (...values: any[]) => void;
  /** The packet that `onAnyOutgoing` listeners get, if it differs from the one that is sent (ANY-5). */
  readonly shown?: object;
}

/**
 * Writes one packet to many sockets.
 *
 * Sockets of this package get the shared, prepared messages. Other sockets (stand-ins, MEM-7) get the encoded messages through
 * `client.writeToEngine`, as with the original (ADP-30). Hot: bench scenario "broadcast".
 * @param frames  the encoded packet: one text or Buffer, or a text and its binary attachments
 */
export function deliver(
  packet: any,
  frames: readonly unknown[],
  sockets: readonly LocalSocket[],
  flags: BroadcastFlags | undefined,
  options?: DeliveryOptions,
): void {
  const isVolatile = Boolean(flags?.volatile);
  const ack = options?.ack;
  const shown = options?.shown ?? packet;
  let prepared: Prepared[] | null | undefined; // undefined: not prepared yet; null: cannot be prepared
  let writeOptions: object | undefined;

  for (let i = 0; i < sockets.length; i++) {
    const socket = sockets[i];
    if (ack !== undefined) {
      socket.acks.set(packet.id, ack);
      socket._checkPendingAcks?.();
    }
    if (typeof socket.notifyOutgoingListeners === "function") socket.notifyOutgoingListeners(shown);
    if (typeof socket._writePrepared === "function") {
      if (prepared === undefined) prepared = prepareAll(frames, flags?.compress);
      if (prepared !== null) {
        socket._writePrepared(prepared, isVolatile);
        continue;
      }
    }
    writeOptions ??= { preEncoded: true, volatile: flags?.volatile, compress: flags?.compress };
    socket.client.writeToEngine(frames, writeOptions);
  }
}

/** Prepares each message of a packet. Gives null if a custom parser gave a message that is neither a string nor binary. */
export function prepareAll(frames: readonly unknown[], compress: boolean | undefined): Prepared[] | null {
  if (hasBlob(frames)) return prepareWithBlobs(frames, { compress: compress !== false, shared: true });
  const prepared: Prepared[] = [];
  for (const frame of frames) {
    if (typeof frame !== "string" && !isBinary(frame)) return null;
    prepared.push(prepare(typeof frame === "string" ? frame : toBuffer(frame), compress === undefined ? null : { compress }));
  }
  return prepared;
}
