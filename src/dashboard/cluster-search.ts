// What other servers know of a socket or a room. Servers of other software are only asked for an id or a room, never for all sockets.
import { LinkedAdapter } from "../cluster/linked-adapter";
import { FOUND_MAX, readFound } from "../server/broadcast/finding";
import type { Namespace } from "../server/namespace";
import type { RemoteSocket } from "../server/broadcast/remote-socket";
import type { Server } from "../server/server";
import type { Socket } from "../server/socket/socket";
import { cut, describeSocket, namespacesOf, transportOf, type SocketRow } from "./listing";

type AnyServer = Server<any, any, any, any>;
type AnyNamespace = Namespace<any, any, any, any>;
type AnySocket = Socket<any, any, any, any>;
type AnyRemote = RemoteSocket<any, any>;

/** Sockets of other servers. */
export interface Elsewhere {
  /** The first 200; none if there are more and a server runs other software. */
  readonly rows: readonly SocketRow[];
  readonly total: number;
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
const NAMESPACES_MAX = 20;
const ROOM_NAMES_MAX = 200;

/**
 * Looks for sockets by a part of their id or address, or by the name of a room, in one namespace or, with an empty name, in the first 20. Where a
 * server runs other software, by a whole id or a room.
 */
export async function searchElsewhere(io: AnyServer, namespace: string, search: string): Promise<Elsewhere> {
  const namespaces = namespacesOf(io, namespace).slice(0, NAMESPACES_MAX);
  const found = await Promise.all(namespaces.map((nsp) => searchIn(nsp, search)));
  return {
    rows: found.flatMap(({ rows }) => rows).slice(0, FOUND_MAX),
    total: found.reduce((sum, { total }) => sum + total, 0),
    silent: Math.max(0, ...found.map(({ silent }) => silent)),
  };
}

async function searchIn(nsp: AnyNamespace, search: string): Promise<Elsewhere> {
  const { adapter } = nsp;
  if (!(adapter instanceof LinkedAdapter) || !(await adapter.isUniform())) return searchExactly(nsp, search);
  const { answers, silent } = await answersOf(adapter.find(search, TIMEOUT_MS));
  const found = answers
    .slice(1)
    .map(readFound)
    .filter((each) => each !== null);
  const rows = found.flatMap(({ sockets }) => sockets).map((socket) => ({ namespace: nsp.name, ...socket }));
  return { rows: rows.slice(0, FOUND_MAX), total: found.reduce((sum, { total }) => sum + total, 0), silent };
}

async function searchExactly(nsp: AnyNamespace, idOrRoom: string): Promise<Elsewhere> {
  const { count, silent } = await countIn(nsp, idOrRoom);
  const total = Math.max(0, count - (nsp.adapter.rooms.get(idOrRoom)?.size ?? 0));
  if (total === 0 || total > FOUND_MAX) return { rows: [], total, silent };
  const { sockets } = await nsp.in(idOrRoom).timeout(TIMEOUT_MS).fetchSockets({ partial: true });
  const rows = sockets.filter(({ id }) => !nsp.sockets.has(id)).map((socket) => describeRemote(nsp.name, socket));
  return { rows, total, silent };
}

/** Counts the sockets of a room on all servers. `silent`: servers that did not answer. */
export async function countIn(nsp: AnyNamespace, room: string): Promise<{ count: number; silent: number }> {
  const counting = nsp.in(room).timeout(TIMEOUT_MS).count();
  const { answers, silent } = await answersOf(counting.then((count) => [count]));
  return { count: answers.reduce<number>((sum, count) => sum + (typeof count === "number" ? count : 0), 0), silent };
}

/** What has arrived in time. */
async function answersOf(asked: Promise<unknown[]>): Promise<{ answers: unknown[]; silent: number }> {
  try {
    return { answers: await asked, silent: 0 };
  } catch (error) {
    const { responses, silent } = error as { responses?: unknown; silent?: unknown };
    return { answers: Array.isArray(responses) ? responses : [], silent: Array.isArray(silent) ? Math.max(1, silent.length) : 1 };
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
      .map(cut),
    userAgent: cut(headers["user-agent"] ?? ""),
    forwardedFor: cut(headers["x-forwarded-for"] ?? ""),
    isSecure: secure,
  };
}

function describeRemote(namespace: string, { id, handshake, rooms }: AnyRemote): SocketRow {
  return { namespace, id, address: handshake.address, rooms: rooms.size, since: handshake.issued };
}
