// The limit on the rooms of one socket.
import type { Counts } from "../../engine/counts";
import { limitError } from "../../engine/limits";
import type { Room } from "../adapter/contract";

/** What this file needs of a socket. */
export interface RoomSocket {
  readonly id: string;
  readonly rooms: ReadonlySet<Room>;
  readonly recovered: boolean;
  readonly connected: boolean;
  readonly conn: { readonly server?: { readonly counts?: Counts } };
}

/**
 * Throws if a socket that joins these rooms would be in more than `limit`. The room of its own id doesn't count, nor do rooms that are restored.
 * @throws LimitError RC_ERR_ROOMS
 */
export function expectRoomsWithin(limit: number, socket: RoomSocket, names: ReadonlySet<Room>): void {
  if (socket.recovered && !socket.connected) return;
  const { id, rooms, conn } = socket;
  let count = rooms.size - (rooms.has(id) ? 1 : 0);
  for (const name of names) if (name !== id && !rooms.has(name)) count++;
  if (count <= limit) return;
  conn.server?.counts?.add("RC_ERR_ROOMS");
  throw limitError("RC_ERR_ROOMS", "rooms of one socket (roomsPerSocket)", limit, count);
}
