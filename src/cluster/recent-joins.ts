// Rooms that this node has lately made sockets of other nodes join, for backends with a subscription per room.
import { type ClusterMessage, MessageType } from "./messages";

/** Far more than a node needs to subscribe to a room. */
const MEMORY_MS = 2_000;

/**
 * A node subscribes to a room when its first socket has joined, and a broadcast right behind `socketsJoin` would be too early for it. So for a
 * while broadcasts to such a room are sent to all nodes of the namespace.
 */
export class RecentJoins {
  private readonly until = new Map<unknown, number>();

  /** @returns whether a broadcast to this room must be sent to all nodes */
  has(room: unknown): boolean {
    if (this.until.size === 0) return false;
    const until = this.until.get(room);
    return until !== undefined && until > performance.now();
  }

  /** A message was published. */
  note(message: ClusterMessage): void {
    if (message.type !== MessageType.SOCKETS_JOIN) return;
    const now = performance.now();
    for (const [room, until] of this.until) {
      if (until > now) break; // the oldest come first
      this.until.delete(room);
    }
    for (const room of message.data.rooms) {
      this.until.delete(room);
      this.until.set(room, now + MEMORY_MS);
    }
  }
}
