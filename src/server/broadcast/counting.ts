// Counts sockets and names rooms, also over adapters of other packages, which only have `fetchSockets()`.
import { isReplaced } from "../../support/replaced-methods";
import { Adapter } from "../adapter/adapter";
import type { BroadcastOptions, NodeDescription, Room, SocketId } from "../adapter/contract";
import { describeSingleNode } from "../adapter/nodes";

const fetchOwnSockets: unknown = Adapter.prototype.fetchSockets;
const countOwnSockets: unknown = Adapter.prototype.count;

/** Whether an adapter answers for the whole cluster: the method of the in-memory adapter, inherited, knows the sockets of this process only. */
function canCount(adapter: Adapter): boolean {
  if (typeof adapter.count !== "function") return false;
  return (
    isReplaced("adapter.count", adapter.count, countOwnSockets) ||
    !isReplaced("adapter.fetchSockets", adapter.fetchSockets, fetchOwnSockets)
  );
}

/** Gives the number of matching sockets, on all servers. */
export async function countSockets(adapter: Adapter, opts: BroadcastOptions): Promise<number> {
  return canCount(adapter) ? adapter.count!(opts) : (await adapter.fetchSockets(opts)).length;
}

/** Whether a socket is among the matching ones, on any server. */
export async function hasSocket(adapter: Adapter, opts: BroadcastOptions, id: SocketId): Promise<boolean> {
  if (canCount(adapter)) return adapter.has!(opts, id);
  return (await adapter.fetchSockets(opts)).some((socket) => socket.id === id);
}

/** Gives the names of all rooms but those of single sockets, on all servers. */
export async function allRooms(adapter: Adapter): Promise<Set<Room>> {
  return canCount(adapter) ? adapter.listRooms!() : roomsOfSockets(adapter);
}

/** The same by fetching all sockets, which every adapter can. */
export async function roomsOfSockets(adapter: Adapter): Promise<Set<Room>> {
  const sockets = await adapter.fetchSockets({ rooms: new Set() });
  const rooms = new Set<Room>(sockets.flatMap((socket) => [...socket.rooms]));
  for (const { id } of sockets) rooms.delete(id);
  return rooms;
}

/** Describes the servers of the cluster. */
export function nodesOf(adapter: Adapter): Promise<NodeDescription[]> {
  return adapter.nodes?.() ?? Promise.resolve([describeSingleNode(adapter.nsp.server)]);
}
