// What other servers know of a socket or a room. They are only asked for an id or a room, never for all sockets.
import type { Namespace } from "../server/namespace";
import type { RemoteSocket } from "../server/broadcast/remote-socket";
import type { Server } from "../server/server";
import type { Socket } from "../server/socket/socket";
import { describeSocket, namespacesOf, transportOf, type SocketRow } from "./listing";

type AnyServer = Server<any, any, any, any>;
type AnyNamespace = Namespace<any, any, any, any>;
type AnySocket = Socket<any, any, any, any>;
type AnyRemote = RemoteSocket<any, any>;

/** Sockets of other servers with an id, or in a room. */
export interface Elsewhere {
  readonly rows: readonly SocketRow[];
  /** Sockets with this id or in this room on all servers, this one included. */
  readonly total: number;
  /** True if there are so many that they were only counted. */
  readonly isOnlyCounted: boolean;
  /** Servers that did not answer. */
  readonly silent: number;
}

/** A socket, with all that the page shows of it. */
export interface SocketDetails extends SocketRow {
  readonly isHere: boolean;
  readonly roomNames: readonly string[];
  readonly userAgent: string;
  readonly forwardedFor: string;
  readonly isSecure: boolean;
  readonly isRecovered: boolean;
  readonly protocol?: number;
}

const TIMEOUT_MS = 2000;
/** More sockets than that are counted, and not fetched. */
const FETCHED_MAX = 200;
const NAMESPACES_MAX = 20;
const ROOM_NAMES_MAX = 200;

/** Looks for sockets with an id or in a room, in one namespace or, with an empty name, in the first 20. */
export async function searchElsewhere(io: AnyServer, namespace: string, idOrRoom: string): Promise<Elsewhere> {
  const namespaces = namespacesOf(io, namespace).slice(0, NAMESPACES_MAX);
  const found = await Promise.all(namespaces.map((nsp) => searchIn(nsp, idOrRoom)));
  return {
    rows: found.flatMap(({ rows }) => rows).slice(0, FETCHED_MAX),
    total: found.reduce((sum, { total }) => sum + total, 0),
    isOnlyCounted: found.some(({ isOnlyCounted }) => isOnlyCounted),
    silent: Math.max(0, ...found.map(({ silent }) => silent)),
  };
}

async function searchIn(nsp: AnyNamespace, idOrRoom: string): Promise<Elsewhere> {
  const { count: total, silent } = await countIn(nsp, idOrRoom);
  if (total > FETCHED_MAX) return { rows: [], total, isOnlyCounted: true, silent };
  const here = nsp.adapter.rooms.get(idOrRoom)?.size ?? 0;
  if (total <= here) return { rows: [], total, isOnlyCounted: false, silent };
  const { sockets } = await nsp.in(idOrRoom).timeout(TIMEOUT_MS).fetchSockets({ partial: true });
  const rows = sockets.filter(({ id }) => !nsp.sockets.has(id)).map((socket) => describeRemote(nsp.name, socket));
  return { rows, total, isOnlyCounted: false, silent };
}

/** Counts the sockets of a room on all servers. `silent`: servers that did not answer. */
export async function countIn(nsp: AnyNamespace, room: string): Promise<{ count: number; silent: number }> {
  try {
    return { count: await nsp.in(room).timeout(TIMEOUT_MS).count(), silent: 0 };
  } catch (error) {
    const { responses, silent } = error as { responses?: unknown; silent?: unknown };
    const counts = Array.isArray(responses) ? (responses as unknown[]).filter((each) => typeof each === "number") : [];
    return { count: counts.reduce((sum, count) => sum + count, 0), silent: Array.isArray(silent) ? Math.max(1, silent.length) : 1 };
  }
}

/** @returns null if no server has the socket */
export async function findSocket(nsp: AnyNamespace, id: string): Promise<SocketDetails | null> {
  const own = nsp.sockets.get(id) as AnySocket | undefined;
  if (own !== undefined) return describeOwn(own);
  if ((await countIn(nsp, id)).count > 1) return null; // the name of a room
  const { sockets } = await nsp.in(id).timeout(TIMEOUT_MS).fetchSockets({ partial: true });
  const remote = sockets.find((socket) => socket.id === id);
  return remote === undefined ? null : { ...describeRemote(nsp.name, remote), ...detailsOf(remote), isHere: false, isRecovered: false };
}

function describeOwn(socket: AnySocket): SocketDetails {
  const { protocol } = socket.conn as { protocol?: number };
  return {
    ...describeSocket(socket),
    ...detailsOf(socket),
    transport: transportOf(socket),
    isHere: true,
    isRecovered: socket.recovered,
    ...(protocol !== undefined && { protocol }),
  };
}

function detailsOf({ rooms, handshake, id }: AnySocket | AnyRemote) {
  const { headers, secure } = handshake;
  return {
    roomNames: [...rooms]
      .filter((room) => room !== id)
      .slice(0, ROOM_NAMES_MAX)
      .map(String),
    userAgent: String(headers["user-agent"] ?? ""),
    forwardedFor: String(headers["x-forwarded-for"] ?? ""),
    isSecure: secure,
  };
}

function describeRemote(namespace: string, { id, handshake, rooms }: AnyRemote): SocketRow {
  return { namespace, id, address: handshake.address, rooms: rooms.size, since: handshake.issued };
}
