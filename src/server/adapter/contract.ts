// The types of the contract between a namespace and its adapter, which adapters of other packages use as well.
import type { Prepared } from "../../engine/prepared";
import type { Session } from "../../engine/session";

/** Public id of a socket. */
export type SocketId = string;
/** Secret id of a socket, known to its client alone: with it the client recovers its session. */
export type PrivateSessionId = string;
/** Name of a room; used as given, never converted to a string (ROOM-2). */
export type Room = string;

/** How a broadcast is sent. `timeout`: milliseconds in which clients have to acknowledge it. */
export interface BroadcastFlags {
  volatile?: boolean;
  compress?: boolean;
  local?: boolean;
  broadcast?: boolean;
  binary?: boolean;
  timeout?: number;
  /** Texts of a tracer, such as `traceparent`, which travel with the broadcast to other servers. At most 8, of 512 characters. */
  trace?: Record<string, string>;
}

/** A server of the cluster, as `io.nodes()` gives it. */
export interface NodeDescription {
  /** Id of this run of the server. */
  id: string;
  /** Host name and process id. */
  address: string;
  /** Number of its clients. */
  clients: number;
  /** How late the timers of its event loop were of late, in milliseconds. */
  lag: number;
  /** Version of roomcast. */
  version: string;
  /** When it was started, in milliseconds since 1970. */
  since: number;
  /** Whether it is this server. */
  isSelf: boolean;
}

/** The target of a broadcast, and how it is sent. */
export interface BroadcastOptions {
  /** Sockets in any of these rooms; empty: all sockets of the namespace. */
  rooms: Set<Room>;
  /** Excludes sockets that are in any of these rooms. */
  except?: Set<Room>;
  flags?: BroadcastFlags;
}

/** What is stored of a disconnected socket whose client may recover the session. */
export interface SessionToPersist {
  sid: SocketId;
  pid: PrivateSessionId;
  rooms: Room[];
  data: unknown;
}

/** A stored session with `missedPackets`: the data arrays of the packets that the client missed, offsets included, in order. */
export type RestorableSession = SessionToPersist & { missedPackets: unknown[][] };

/** The members of a socket that adapters use. Only sockets of this package have the last three: a check, and the fast path (MEM-7). */
export interface LocalSocket {
  readonly id: SocketId;
  readonly client: { writeToEngine(frames: readonly unknown[], options: object): void };
  readonly acks: { set(id: number, answer: (...values: any[]) => void): unknown };
  notifyOutgoingListeners?(packet: any): void;
  join(rooms: Room | Room[]): unknown;
  leave(room: Room): unknown;
  disconnect(close?: boolean): unknown;
  /** A broadcast has added an acknowledgement. */
  _checkPendingAcks?(): void;
  /** Writes one encoded packet to this socket's connection. `isVolatile`: drops it unless the transport is writable. */
  _writePrepared?(frames: readonly Prepared[], isVolatile: boolean): void;
  /** The session that `_writePrepared` writes to; null if `_writePrepared` would do more than write to it. */
  _directSession?(): Session | null;
}

/** The members of a namespace that adapters use. */
export interface NamespaceOfAdapter {
  readonly name: string;
  readonly server: { readonly encoder: PacketEncoder; readonly opts?: any };
  /** Connected sockets of this process. */
  readonly sockets: ReadonlyMap<SocketId, LocalSocket>;
  /** Next acknowledgement id. */
  _ids: number;
  _onServerSideEmit(args: any[]): void;
}

/** Encodes a packet as one or more messages of a connection. */
export interface PacketEncoder {
  encode(packet: any): (string | Buffer)[];
}
