// What a restored session has missed: packets of the log of a backend, and those that arrive while it is being restored.
import type { PrivateSessionId, RestorableSession, Room, SessionToPersist } from "../server/adapter/contract";
import { type ClusterMessage, MessageType, type Offset, readMessage } from "./messages";

/** Packets that one restoration may collect while it is under way. */
const COLLECTED_MAX = 10_000;
/** A session whose socket hasn't joined in this time (its middlewares are slow) misses what arrives later. */
const COLLECTING_MS = 60_000;

/** A broadcast that is delivered to the sockets of this node. */
export interface DeliveredPacket {
  readonly message: unknown;
  /** Null if it was delivered before its offset is known. */
  offset: Offset | null;
}

/**
 * The restorations of one channel. From the log a session gets what was published until it was read; until its socket has joined, what
 * arrives here is collected for it, so that nothing is missed in between.
 */
export class Replay {
  private readonly collectors = new Set<Set<DeliveredPacket>>();
  private readonly isAfter: (offset: Offset, other: Offset) => boolean;

  /** @param isAfter  whether an offset comes behind another one */
  constructor(isAfter: (offset: Offset, other: Offset) => boolean) {
    this.isAfter = isAfter;
  }

  /** Whether a session is being restored, and all packets matter. */
  get isActive(): boolean {
    return this.collectors.size > 0;
  }

  /** A broadcast is about to be delivered to the sockets of this node, or its offset is known now. */
  onPacket(packet: DeliveredPacket): void {
    for (const collector of this.collectors) if (collector.size < COLLECTED_MAX) collector.add(packet);
  }

  /**
   * Restores a session.
   * @param seen  the last offset that its client has received
   * @param read  reads it from the log, with the messages behind its offset; when it resolves, all these were delivered here, too
   */
  async restore(
    seen: Offset,
    read: () => Promise<{ session: SessionToPersist; missed: { offset: Offset; message: unknown }[] } | null>,
  ): Promise<RestorableSession | null> {
    const collected = new Set<DeliveredPacket>();
    this.collectors.add(collected);
    const stop = (): boolean => this.collectors.delete(collected);
    try {
      const found = await read();
      if (found === null || collected.size >= COLLECTED_MAX) {
        stop();
        return null;
      }
      setTimeout(stop, COLLECTING_MS).unref?.();
      const rooms = new Set(found.session.rooms);
      const { isAfter } = this;
      let missedPackets: unknown[][] | undefined;
      return {
        ...found.session,
        get missedPackets() {
          if (missedPackets !== undefined) return missedPackets;
          stop();
          const last = found.missed.at(-1)?.offset ?? seen;
          const later = [...collected].filter(({ offset }) => offset === null || isAfter(offset, last));
          return (missedPackets = [...found.missed, ...later].flatMap(({ message, offset }) => dataFor(rooms, message, offset ?? last)));
        },
      };
    } catch (error) {
      stop();
      throw error;
    }
  }
}

/** Whether a message is a broadcast that gets an offset (CSR-3): neither volatile nor with an acknowledgement. */
export function isRecoverable(message: ClusterMessage): boolean {
  if (message.type !== MessageType.BROADCAST) return false;
  const { opts, packet, requestId } = message.data;
  return requestId === undefined && !opts.flags.volatile && packet.type === 2 && packet.id === undefined;
}

/** The data of a packet with its offset, in an array, if the packet was for a session in these rooms (CSR-11); else an empty array. */
function dataFor(rooms: ReadonlySet<Room>, message: unknown, offset: Offset): unknown[][] {
  const checked = readMessage(message);
  if (checked === null || checked.type !== MessageType.BROADCAST || !isRecoverable(checked)) return [];
  const { opts, packet } = checked.data;
  if (opts.rooms.length > 0 && !opts.rooms.some((room) => rooms.has(room))) return [];
  if (opts.except.some((room) => rooms.has(room))) return [];
  return [[...packet.data, offset]];
}

/** Checks a stored session; null for an invalid one. */
export function readSession(value: unknown, pid: PrivateSessionId): SessionToPersist | null {
  if (typeof value !== "object" || value === null) return null;
  const { sid, rooms, data } = value as Record<string, unknown>;
  if (typeof sid !== "string" || !Array.isArray(rooms) || (value as { pid?: unknown }).pid !== pid) return null;
  return { sid, pid, rooms: rooms.filter((room): room is Room => typeof room === "string" || typeof room === "number"), data };
}
