// Lists of sockets and rooms: sorted and searched at the server, and given in windows.
import { addressOf, findSockets } from "../server/broadcast/finding";
import type { Server } from "../server/server";
import type { Socket } from "../server/socket/socket";
import type { Namespace } from "../server/namespace";

type AnyServer = Server<any, any, any, any>;
type AnyNamespace = Namespace<any, any, any, any>;
type AnySocket = Socket<any, any, any, any>;

/** A line of the list of sockets. */
export interface SocketRow {
  readonly namespace: string;
  readonly id: string;
  readonly address: string;
  /** Undefined for sockets of other servers. */
  readonly transport?: string;
  readonly rooms: number;
  readonly waitingBytes?: number;
  /** When it was created, in milliseconds since 1970. */
  readonly since: number;
}

/** A line of the list of rooms. */
export interface RoomRow {
  readonly namespace: string;
  readonly room: string;
  /** Sockets of this server. */
  readonly sockets: number;
}

/** Lines of a list. */
export interface Window<Row> {
  readonly total: number;
  readonly offset: number;
  readonly rows: readonly Row[];
}

/** What a page asks for. */
export interface ListQuery {
  /** Empty: all namespaces. */
  readonly namespace: string;
  /** Part of an id or an address, or the name of a room; of a list of rooms: part of a name. Empty: all. */
  readonly search: string;
  readonly sort: string;
  readonly offset: number;
  readonly limit: number;
}

export const SOCKET_SORTS = ["newest", "oldest", "waiting", "rooms", "address"];
export const ROOM_SORTS = ["largest", "name"];
/** Longest text that is shown or taken, in characters. */
export const TEXT_MAX = 500;
/** Most lines of a window. */
export const LIMIT_MAX = 200;
/** Different questions that are remembered. */
const LISTS_MAX = 20;

/** The lists of a server. Each is made at most once in an interval, for all pages that scroll in it. */
export class Listing {
  private readonly io: AnyServer;
  private readonly intervalMs: number;
  private readonly made = new Map<string, { readonly at: number; readonly items: readonly unknown[] }>();

  constructor(io: AnyServer, intervalMs: number) {
    this.io = io;
    this.intervalMs = intervalMs;
  }

  sockets(query: ListQuery): Window<SocketRow> {
    const sockets = this.list("sockets", query, () => sortSockets(findOwnSockets(this.io, query), query.sort));
    return windowOf(sockets, query, describeSocket);
  }

  rooms(query: ListQuery): Window<RoomRow> {
    const rooms = this.list("rooms", query, () => sortRooms(findRooms(this.io, query), query.sort));
    return windowOf(rooms, query, (room) => room);
  }

  /** Forgets the lists, and so the sockets in them. */
  clear(): void {
    this.made.clear();
  }

  private list<Item>(kind: string, { namespace, search, sort }: ListQuery, make: () => Item[]): readonly Item[] {
    const key = JSON.stringify([kind, namespace, search, sort]);
    const known = this.made.get(key);
    const now = performance.now();
    if (known !== undefined && now - known.at < 0.9 * this.intervalMs) return known.items as Item[];
    const items = make();
    this.made.delete(key);
    this.made.set(key, { at: now, items });
    if (this.made.size > LISTS_MAX) this.made.delete(this.made.keys().next().value!);
    return items;
  }
}

/** A text of a client: the rest of a long one is not sent. An action refuses a text that was cut, as it is longer than `TEXT_MAX`. */
export function cut(text: unknown): string {
  const whole = String(text);
  return whole.length > TEXT_MAX ? `${whole.slice(0, TEXT_MAX)}…` : whole;
}

/** The namespace of a name, or all of them for an empty one. */
export function namespacesOf(io: AnyServer, name: string): AnyNamespace[] {
  if (name === "") return [...io._nsps.values()];
  const nsp = io._nsps.get(name);
  return nsp === undefined ? [] : [nsp];
}

function findOwnSockets(io: AnyServer, { namespace, search }: ListQuery): AnySocket[] {
  return namespacesOf(io, namespace).flatMap((nsp) => findSockets(nsp, search) as AnySocket[]);
}

/** Sockets come in the order of joining. A sort computes each key once. */
function sortSockets(sockets: AnySocket[], sort: string): AnySocket[] {
  switch (sort) {
    case "oldest":
      return sockets;
    case "waiting":
      return sortedBy(sockets, ({ bufferedBytes }) => -bufferedBytes);
    case "rooms":
      return sortedBy(sockets, ({ rooms }) => -rooms.size);
    case "address":
      return sortedBy(sockets, addressOf);
    default:
      return sockets.reverse();
  }
}

function findRooms(io: AnyServer, { namespace, search }: ListQuery): RoomRow[] {
  const found: RoomRow[] = [];
  for (const nsp of namespacesOf(io, namespace)) {
    for (const [room, members] of nsp.adapter.rooms) {
      if (nsp.sockets.has(room) || !String(room).includes(search)) continue; // each socket has a room of its own
      found.push({ namespace: nsp.name, room: cut(room), sockets: members.size });
    }
  }
  return found;
}

function sortRooms(rooms: RoomRow[], sort: string): RoomRow[] {
  return sort === "name" ? sortedBy(rooms, ({ room }) => room) : sortedBy(rooms, ({ sockets }) => -sockets);
}

function sortedBy<Item, Key extends number | string>(items: Item[], keyOf: (item: Item) => Key): Item[] {
  return items
    .map((item) => ({ item, key: keyOf(item) }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ item }) => item);
}

function windowOf<Item, Row>(items: readonly Item[], { offset, limit }: ListQuery, describe: (item: Item) => Row): Window<Row> {
  return { total: items.length, offset, rows: items.slice(offset, offset + limit).map(describe) };
}

/** Sockets of this server that bytes wait for, most first. */
export function waitingSockets(io: AnyServer, limit: number): SocketRow[] {
  const waiting: AnySocket[] = [];
  for (const nsp of io._nsps.values()) {
    for (const socket of nsp.sockets.values()) if (socket.bufferedBytes > 0) waiting.push(socket);
  }
  return sortSockets(waiting, "waiting").slice(0, limit).map(describeSocket);
}

export function describeSocket(socket: AnySocket): SocketRow {
  return {
    namespace: socket.nsp.name,
    id: socket.id,
    address: addressOf(socket),
    transport: transportOf(socket),
    rooms: socket.rooms.size,
    waitingBytes: socket.bufferedBytes,
    since: socket.handshake.issued,
  };
}

/** Engines of other packages may lack these members. */
export function transportOf({ conn }: AnySocket): string {
  return (conn as { transport?: { name?: string } }).transport?.name ?? "";
}
