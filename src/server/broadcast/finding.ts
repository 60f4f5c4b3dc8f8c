// Finds the sockets of this server by a part of their id or address, or by the name of a room.
import type { Room, SocketId } from "../adapter/contract";

/** Most sockets that are described for another server. */
export const FOUND_MAX = 200;

/** A socket that was found. */
export interface FoundSocket {
  readonly id: SocketId;
  readonly address: string;
  /** The number of its rooms. */
  readonly rooms: number;
  /** When it was created, in milliseconds since 1970. */
  readonly since: number;
}

/** What one server has found. */
export interface FoundSockets {
  readonly total: number;
  /** The first `FOUND_MAX` of them. */
  readonly sockets: readonly FoundSocket[];
}

/** What this file needs of a socket. */
interface Findable {
  readonly id: SocketId;
  readonly conn: object;
  readonly rooms: ReadonlySet<Room>;
  readonly handshake: { readonly issued: number };
}

/** What this file needs of a namespace. */
interface Searchable<Socket extends Findable> {
  readonly sockets: ReadonlyMap<SocketId, Socket>;
  readonly adapter: { readonly rooms: ReadonlyMap<Room, ReadonlySet<SocketId>> };
}

/** @param text  an empty one finds all */
export function findSockets<Socket extends Findable>({ sockets, adapter }: Searchable<Socket>, text: string): Socket[] {
  if (text === "") return [...sockets.values()];
  const members = adapter.rooms.get(text);
  const found: Socket[] = [];
  for (const socket of sockets.values())
    if (members?.has(socket.id) || socket.id.includes(text) || addressOf(socket).includes(text)) found.push(socket);
  return found;
}

/** The same for another server. */
export function describeFound(nsp: Searchable<Findable>, text: string): FoundSockets {
  const found = findSockets(nsp, text);
  const sockets = found.slice(0, FOUND_MAX).map((socket) => {
    const { id, rooms, handshake } = socket;
    return { id, address: addressOf(socket), rooms: rooms.size, since: handshake.issued };
  });
  return { total: found.length, sockets };
}

/** Reads what another server has found. @returns null for anything else */
export function readFound(value: unknown): FoundSockets | null {
  const { total, sockets } = (value ?? {}) as Partial<FoundSockets>;
  if (typeof total !== "number" || !Array.isArray(sockets)) return null;
  return { total, sockets: (sockets as unknown[]).slice(0, FOUND_MAX).filter(isFound) };
}

function isFound(value: unknown): value is FoundSocket {
  const { id, address, rooms, since } = (value ?? {}) as Partial<FoundSocket>;
  return typeof id === "string" && typeof address === "string" && typeof rooms === "number" && typeof since === "number";
}

/** Engines of other packages may not tell it. */
export function addressOf({ conn }: Pick<Findable, "conn">): string {
  return (conn as { remoteAddress?: string }).remoteAddress ?? "";
}
