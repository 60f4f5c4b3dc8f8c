import { prepare, type Prepared } from "../engine/prepared";
import type { BroadcastFlags, LocalSocket } from "./adapter";

/*
 * The last step of a broadcast: one packet, encoded once, written to each chosen socket. `adapter.ts` and
 * `memory-adapter.ts` choose; `socket.ts` hands what it gets to its connection.
 */

export interface DeliveryOptions {
  /** Called with each client's answer; the packet carries the id. */
  readonly ack?: (...values: any[]) => void;
  /** The packet as `onAnyOutgoing` listeners see it, where that differs from what is sent. */
  readonly shown?: object;
}

/**
 * Writes one packet to many sockets.
 *
 * A socket of ours takes the shared, prepared messages; anything else gets the encoded ones through
 * `client.writeToEngine`, as adapters have always done. Hot: bench scenario "broadcast".
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
  let prepared: Prepared[] | null | undefined; // undefined: not asked for yet; null: cannot be had
  let writeOptions: object | undefined;

  for (let i = 0; i < sockets.length; i++) {
    const socket = sockets[i];
    if (ack !== undefined) socket.acks.set(packet.id, ack);
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

/** Prepares each message of a packet; a parser of the user's may give other things than texts and Buffers. */
export function prepareAll(frames: readonly unknown[], compress: boolean | undefined): Prepared[] | null {
  const prepared: Prepared[] = [];
  for (const frame of frames) {
    if (typeof frame !== "string" && !Buffer.isBuffer(frame)) return null;
    prepared.push(prepare(frame, compress === undefined ? null : { compress }));
  }
  return prepared;
}
