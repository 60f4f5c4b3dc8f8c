import { EventEmitter } from "node:events";
import type { Prepared } from "../engine/prepared";
import type { Session as EngineSession } from "../engine/session";
import { nextTick } from "../support/tick";
import { deliver } from "./delivery";

/*
 * The contract between a namespace and what spreads its broadcasts, and the plain base class for adapters written by
 * others. A broadcast comes here from `broadcast.ts`; what is chosen here goes on to `delivery.ts`.
 *
 * Other people's adapters extend `Adapter`, read its maps and run it on stand-ins for a namespace. So it keeps real
 * Maps and Sets and asks nothing of a namespace beyond what `NamespaceOfAdapter` names. Our own adapters extend
 * `MemoryAdapter`, which does the same with an index of sockets.
 */

/** Public id of a socket. */
export type SocketId = string;
/** Secret id of a socket, known to its client: allows it to recover its session. */
export type PrivateSessionId = string;
/** Name of a room; used as given, nothing is made a text of. */
export type Room = string;

/** How a broadcast is to be sent; `timeout` in milliseconds. */
export interface BroadcastFlags {
  volatile?: boolean;
  compress?: boolean;
  local?: boolean;
  broadcast?: boolean;
  binary?: boolean;
  timeout?: number;
}

/** Whom a broadcast is for, and how it is to be sent. */
export interface BroadcastOptions {
  /** Union of target rooms; empty: the whole namespace. */
  rooms: Set<Room>;
  /** Whoever is in one of these is left out. */
  except?: Set<Room>;
  flags?: BroadcastFlags;
}

/** What is kept of a socket that may come back. */
export interface SessionToPersist {
  sid: SocketId;
  pid: PrivateSessionId;
  rooms: Room[];
  data: unknown;
}

/** A kept socket with what it missed: the data arrays of the packets, offsets included, in order. */
export type Session = SessionToPersist & { missedPackets: unknown[][] };

/** What the adapter asks of a socket. Sockets of ours also offer the three last members, which make up the fast path. */
export interface LocalSocket {
  readonly id: SocketId;
  readonly client: { writeToEngine(frames: readonly unknown[], options: object): void };
  readonly acks: { set(id: number, answer: (...values: any[]) => void): unknown };
  notifyOutgoingListeners?(packet: any): void;
  join(rooms: Room | Room[]): unknown;
  leave(room: Room): unknown;
  disconnect(close?: boolean): unknown;
  /** Writes one packet, already encoded, to this socket's connection; with `isVolatile` only if it can go out now. */
  _writePrepared?(frames: readonly Prepared[], isVolatile: boolean): void;
  /** The session that `_writePrepared` would write to, if nothing else would come of it. */
  _directSession?(): EngineSession | null;
}

/** What the adapter asks of a namespace. */
export interface NamespaceOfAdapter {
  readonly name: string;
  readonly server: { readonly encoder: PacketEncoder; readonly opts?: any };
  /** Connected sockets of this process. */
  readonly sockets: ReadonlyMap<SocketId, LocalSocket>;
  /** Next acknowledgement id. */
  _ids: number;
  _onServerSideEmit(args: any[]): void;
}

/** What turns a packet into the messages of one connection. */
export interface PacketEncoder {
  encode(packet: any): (string | Buffer)[];
}

/**
 * The in-memory adapter for subclasses: plain maps, every method replaceable.
 *
 * Room events (`create-room`, `join-room`, `leave-room`, `delete-room`) are emitted synchronously.
 */
export class Adapter extends EventEmitter {
  readonly nsp: any;
  /** Every existing room, that is, every room with members; also one for each socket id. */
  rooms!: Map<Room, Set<SocketId>>;
  /** The rooms of each socket, in the order in which it joined them. */
  sids!: Map<SocketId, Set<Room>>;
  /** @internal */
  readonly encoder: PacketEncoder;
  /** @internal */
  _hasWarned = false;

  constructor(nsp: any) {
    super();
    this.nsp = nsp;
    this.encoder = nsp.server.encoder;
    this._createIndex();
  }

  /** @internal */
  _createIndex(): void {
    this.rooms = new Map();
    this.sids = new Map();
  }

  // Life cycle

  /** Called by the namespace once it holds the adapter; may be called again by others. */
  init(): Promise<void> | void {}

  /** Called when the namespace ends. */
  close(): Promise<void> | void {}

  /** Gives the number of servers that hold this namespace, this one included. */
  serverCount(): Promise<number> {
    return Promise.resolve(1);
  }

  // Rooms

  /** Adds a socket to rooms. */
  addAll(id: SocketId, rooms: Set<Room>): Promise<void> | void {
    let joined = this.sids.get(id);
    if (joined === undefined) this.sids.set(id, (joined = new Set()));
    for (const room of rooms) {
      joined.add(room);
      let members = this.rooms.get(room);
      if (members === undefined) {
        this.rooms.set(room, (members = new Set()));
        this.emit("create-room", room);
        if (!this.sids.get(id)?.has(room)) {
          this._dropIfEmpty(room, members); // a listener has made it leave
          if (this.sids.get(id) !== joined) return;
          continue;
        }
      }
      if (members.has(id)) continue;
      members.add(id);
      this.emit("join-room", room, id);
      if (this.sids.get(id) !== joined) return; // a listener has disconnected it
    }
  }

  /** Takes a socket out of a room. */
  del(id: SocketId, room: Room): Promise<void> | void {
    this.sids.get(id)?.delete(room);
    this._leave(id, room);
  }

  /** Takes a socket out of all its rooms and forgets it. */
  delAll(id: SocketId): void {
    const joined = this.sids.get(id);
    if (joined === undefined) return;
    for (const room of joined) this._leave(id, room);
    this.sids.delete(id);
    for (const room of joined) {
      const members = this.rooms.get(room); // a listener has made it join again
      if (members?.delete(id) && members.size === 0) this.rooms.delete(room);
    }
  }

  /** @internal */
  _leave(id: SocketId, room: Room): void {
    const members = this.rooms.get(room);
    if (members === undefined || !members.delete(id)) return;
    this.emit("leave-room", room, id);
    this._dropIfEmpty(room, members);
  }

  /** @internal */
  _dropIfEmpty(room: Room, members: ReadonlySet<SocketId>): void {
    if (members.size > 0 || this.rooms.get(room) !== members) return;
    this.rooms.delete(room);
    this.emit("delete-room", room);
  }

  /** Gives the rooms of a socket. The set is live: not a copy. */
  socketRooms(id: SocketId): Set<Room> | undefined {
    return this.sids.get(id);
  }

  /** Gives the ids of the connected sockets in any of the rooms, or of all if `rooms` is empty. */
  sockets(rooms: Set<Room>): Promise<Set<SocketId>> {
    const ids = new Set<SocketId>();
    for (const socket of this._select({ rooms })) ids.add(socket.id);
    return Promise.resolve(ids);
  }

  /**
   * Chooses the connected sockets that a broadcast reaches, each once, as a list of its own: whatever user code does
   * while the list is worked through, it changes nobody's turn.
   * @internal
   */
  _select(opts: BroadcastOptions): LocalSocket[] {
    const passed = new Set<SocketId>(); // chosen already, or excluded
    if (opts.except !== undefined) {
      for (const room of opts.except) for (const id of this.rooms.get(room) ?? []) passed.add(id);
    }
    const chosen: LocalSocket[] = [];
    const choose = (ids: Iterable<SocketId>): void => {
      for (const id of ids) {
        if (passed.has(id)) continue;
        passed.add(id);
        const socket = this.nsp.sockets.get(id);
        if (socket !== undefined) chosen.push(socket);
      }
    };
    if (opts.rooms.size === 0) choose(this.sids.keys());
    else for (const room of opts.rooms) choose(this.rooms.get(room) ?? []);
    return chosen;
  }

  // Broadcasts

  /** Sends a packet to the matching sockets. */
  broadcast(packet: any, opts: BroadcastOptions): Promise<void> | void {
    this._broadcastLocally(packet, opts, packet);
  }

  /**
   * Sends `packet` to the matching sockets of this process, whose `onAnyOutgoing` listeners see `shown`.
   * @internal
   */
  _broadcastLocally(packet: any, opts: BroadcastOptions, shown: any): void {
    packet.nsp = this.nsp.name;
    this._sendLocally(packet, null, opts, shown);
  }

  /**
   * @param frames  the packet encoded; null: to be encoded if anybody matches
   * @returns the sockets that were chosen for it one by one
   * @internal
   */
  _sendLocally(packet: any, frames: readonly unknown[] | null, opts: BroadcastOptions, shown: any): readonly LocalSocket[] {
    const sockets = this._select(opts);
    if (sockets.length > 0) deliver(packet, frames ?? this.encoder.encode(packet), sockets, opts.flags, { shown });
    return sockets;
  }

  /**
   * Sends a packet to the matching sockets and collects their answers.
   * @param clientCountCallback  called once with the number of sockets reached
   * @param ack                  called once for each socket that answers, with the values of its answer
   */
  broadcastWithAck(
    packet: any,
    opts: BroadcastOptions,
    clientCountCallback: (clientCount: number) => void,
    ack: (...args: any[]) => void,
  ): void {
    packet.nsp = this.nsp.name;
    packet.id = this.nsp._ids++;
    const sockets = this._select(opts);
    if (sockets.length > 0) deliver(packet, this.encoder.encode(packet), sockets, opts.flags, { ack });
    clientCountCallback(sockets.length);
  }

  /**
   * Sends an event to the other servers of the cluster, of which there are none.
   * @param packet  event name, values, perhaps a callback `(err, responses)`
   */
  serverSideEmit(packet: any[]): Promise<unknown> | void {
    if (!this._hasWarned) {
      this._hasWarned = true;
      console.warn("this adapter does not support the serverSideEmit() functionality");
    }
    const ack = packet[packet.length - 1];
    if (typeof ack === "function") nextTick(ack, null, []);
  }

  // Sockets from afar

  /** Gives the matching sockets; those of other servers as plain descriptions without `server`. */
  fetchSockets(opts: BroadcastOptions): Promise<any[]> {
    return Promise.resolve(this._select(opts));
  }

  /** Makes the matching sockets join rooms. */
  addSockets(opts: BroadcastOptions, rooms: Room[]): Promise<void> | void {
    for (const socket of this._select(opts)) socket.join(rooms);
  }

  /** Makes the matching sockets leave rooms. */
  delSockets(opts: BroadcastOptions, rooms: Room[]): Promise<void> | void {
    for (const socket of this._select(opts)) {
      for (const room of rooms) socket.leave(room);
    }
  }

  /** Disconnects the matching sockets, with `close` together with their connections. */
  disconnectSockets(opts: BroadcastOptions, close: boolean): Promise<void> | void {
    for (const socket of this._select(opts)) socket.disconnect(close);
  }

  // Recovery

  /** Keeps a socket that may come back. */
  persistSession(_session: SessionToPersist): void {}

  /** Gives a kept socket back together with what was sent to it after `offset`, or nothing. */
  restoreSession(_pid: PrivateSessionId, _offset: string): Promise<Session | null> | Session | null {
    return null;
  }
}
