// Steps of the walk "a broadcast out": selects the receivers in `room-index.ts`, then hands the packet to `delivery.ts`.
import { EventEmitter } from "node:events";
import createDebug from "debug";
import { LimitError } from "../../errors";
import { describePacket } from "../../protocol/packet";
import { quoted, quotedList } from "../../support/log-text";
import { isReplaced } from "../../support/replaced-methods";
import { nextTick } from "../../support/tick";
import { broadcastDeliver } from "../channels";
import { RecipientCache, type Group } from "./recipient-cache";
import { deliver } from "./delivery";
import { describeSingleNode } from "./nodes";
import { RoomIndex, type Member } from "./room-index";
import type {
  BroadcastOptions,
  LocalSocket,
  NodeDescription,
  PacketEncoder,
  PrivateSessionId,
  RestorableSession,
  Room,
  SessionToPersist,
  SocketId,
} from "./contract";

/*
 * The adapter of one process, and the base class of all other adapters. Other packages extend it, read its maps and construct it with
 * a stand-in for a namespace (MEM-7). So it uses only the members in `NamespaceOfAdapter`, and every method may be replaced.
 */

const debug = createDebug("socket.io-adapter");

/**
 * The in-memory adapter: keeps the sockets and rooms of one namespace in one process, and sends broadcasts to them.
 *
 * Room events (`create-room`, `join-room`, `leave-room`, `delete-room`) are emitted synchronously. `rooms`, `sids` and `socketRooms()` give
 * real Maps and Sets: created at the first access and kept up to date from then on. Read them only; don't change them.
 */
export class Adapter extends EventEmitter {
  readonly nsp: any;
  /** @internal */
  readonly encoder: PacketEncoder;
  /** @internal */
  readonly _index: RoomIndex;
  /** @internal */
  _hasWarned = false;

  constructor(nsp: any) {
    super();
    this.nsp = nsp;
    this.encoder = nsp.server.encoder;
    this._index = new RoomIndex(this, () => this._isObserved());
  }

  /** The socket ids of each room that has members. Every socket id is a room, too. A live view. */
  get rooms(): Map<Room, Set<SocketId>> {
    return this._index.viewRooms();
  }

  /** The rooms of each socket, in the order of joining. A live view. */
  get sids(): Map<SocketId, Set<Room>> {
    return this._index.viewSids();
  }

  /** Whether room events may be observed: by a listener, or by a replaced `emit` (MEM-9). @internal */
  _isObserved(): boolean {
    return isReplaced("adapter.emit", this.emit, EventEmitter.prototype.emit) || ROOM_EVENTS.some((event) => this.listenerCount(event) > 0);
  }

  // Life cycle

  /** Called by the namespace after it has stored the adapter. Programs may call it again (ADP-2). */
  init(): Promise<void> | void {}

  /** Called when the namespace is closed. */
  close(): Promise<void> | void {}

  /** Gives the number of servers in the cluster, including this one. */
  serverCount(): Promise<number> {
    return Promise.resolve(1);
  }

  /** Gives a description of each server of the cluster that is known to be there, this one first. */
  nodes?(): Promise<NodeDescription[]> {
    return Promise.resolve([describeSingleNode(this.nsp.server)]);
  }

  /**
   * Gives the sizes of the adapter's tables, for `io.stats()`. Subclasses add their own. Optional, as adapters of other packages don't have it.
   * @example tableSizes() { return { ...super.tableSizes?.(), requests: this.pending.size }; }
   */
  tableSizes?(): Record<string, number> {
    return { members: this._index.size, rooms: this._index.roomCount };
  }

  // Rooms

  /** Adds a socket to rooms. */
  addAll(id: SocketId, rooms: Set<Room>): Promise<void> | void {
    this._index.add(id, rooms);
  }

  /** Removes a socket from a room. */
  del(id: SocketId, room: Room): Promise<void> | void {
    this._index.remove(id, room);
  }

  /** Removes a socket from all its rooms and from the adapter. */
  delAll(id: SocketId): void {
    this._index.removeAll(id);
  }

  /** Drops the reference to a socket that left the namespace. Called by the namespace, since a replaced `delAll` may not do it. @internal */
  _release(id: SocketId): void {
    this._index.release(id);
  }

  /** Gives the rooms of a socket, as a live view. */
  socketRooms(id: SocketId): Set<Room> | undefined {
    return this._index.viewNames(id);
  }

  /** Gives the ids of the connected sockets in any of the rooms. Empty `rooms`: of all connected sockets. */
  sockets(rooms: Set<Room>): Promise<Set<SocketId>> {
    const ids = new Set<SocketId>();
    for (const socket of this._select({ rooms })) ids.add(socket.id);
    return Promise.resolve(ids);
  }

  /**
   * Selects the connected sockets that a broadcast reaches, each once (ADP-31). The list is a copy: listeners that join, leave or
   * disconnect sockets during the delivery don't change who receives it (ADP-32).
   * @internal
   */
  _select({ rooms, except }: BroadcastOptions): LocalSocket[] {
    // Allocated at full size: growing the array step by step is half of the cost with tens of thousands of sockets.
    const chosen: LocalSocket[] = rooms.size === 0 ? new Array<LocalSocket>(this._index.size) : [];
    let count = 0;
    this._index.select(rooms, except, (member) => {
      const socket = this._socketOf(member);
      if (socket !== undefined) chosen[count++] = socket;
    });
    chosen.length = count;
    return chosen;
  }

  /** The connected socket of a member, or undefined. For sockets of this package the result of the look-up is kept. @internal */
  _socketOf(member: Member): LocalSocket | undefined {
    if (member.socket !== null) return member.socket;
    const socket = (this.nsp.sockets as ReadonlyMap<SocketId, LocalSocket>).get(member.id);
    if (socket !== undefined && typeof socket._writePrepared === "function") member.socket = socket;
    return socket;
  }

  // Broadcasts

  /** Sends a packet to the matching sockets. */
  broadcast(packet: any, opts: BroadcastOptions): Promise<void> | void {
    this._sendLocally(packet, null, opts, packet);
  }

  /**
   * Sends a packet to the matching sockets of this process.
   * @param frames  the encoded packet; null: it is encoded here if any socket matches
   * @param shown   the packet as `onAnyOutgoing` listeners see it
   * @internal
   */
  _sendLocally(packet: any, frames: readonly unknown[] | null, opts: BroadcastOptions, shown: any): void {
    const { rooms, except, flags } = opts;
    packet.nsp = this.nsp.name;
    const isForAll = (except === undefined || except.size === 0) && !flags?.volatile;
    const group = isForAll ? this._index.groupOf(rooms) : null;
    if (group !== null && group.recipients !== null && group.recipients.isFilled) {
      frames ??= this.encoder.encode(packet);
      if (group.recipients.write(group.version, packet, frames, flags, shown)) {
        if (isDeliveryObserved()) reportDelivery(this.nsp, packet, opts, group.recipients.size);
        return;
      }
    }
    const version = group?.version;
    const sockets = this._select(opts);
    if (isDeliveryObserved()) reportDelivery(this.nsp, packet, opts, sockets.length);
    if (sockets.length === 0) return;
    deliver(packet, frames ?? this.encoder.encode(packet), sockets, flags, { shown });
    if (group !== null && group.version === version) rememberRecipients(group, sockets); // else a listener changed the group during delivery
  }

  /**
   * Sends a packet to the matching sockets and expects an acknowledgement from each.
   * @param clientCountCallback  called once with the number of matching sockets
   * @param ack                  called once per socket that acknowledges, with the values it sent
   */
  broadcastWithAck(
    packet: any,
    opts: BroadcastOptions,
    clientCountCallback: (clientCount: number) => void,
    ack: (...args: any[]) => void,
  ): void {
    packet.nsp = this.nsp.name;
    packet.id = this.nsp._ids++; // MEM-3, ADP-20
    const sockets = this._select(opts);
    if (isDeliveryObserved()) reportDelivery(this.nsp, packet, opts, sockets.length);
    if (sockets.length > 0) deliver(packet, this.encoder.encode(packet), sockets, opts.flags, { ack });
    clientCountCallback(sockets.length);
  }

  /**
   * The acknowledgements of a broadcast are complete, or have failed.
   * @returns ids of the servers that have told nothing
   * @internal
   */
  _onAcksEnd(_packet: object): string[] {
    return [];
  }

  /**
   * Sends an event to the other servers of the cluster. This adapter has none: it prints a warning and calls back with no responses.
   * @param packet  event name and arguments; optionally a callback `(err, responses)` as last element
   */
  serverSideEmit(packet: any[]): Promise<unknown> | void {
    if (!this._hasWarned) {
      this._hasWarned = true;
      console.warn("this adapter does not support the serverSideEmit() functionality");
    }
    const ack = packet[packet.length - 1];
    if (typeof ack === "function") nextTick(ack, null, []); // SSE-6: the original never calls it
  }

  // Operations on matching sockets

  /** Gives the matching sockets. Adapters of a cluster add plain descriptions of remote sockets, without a member `server` (MEM-6). */
  fetchSockets(opts: BroadcastOptions): Promise<any[]> {
    return Promise.resolve(this._select(opts));
  }

  /** Gives the number of matching sockets. Optional, as the three below, since adapters of other packages don't have it. */
  count?(opts: BroadcastOptions): Promise<number> {
    return Promise.resolve(this._select(opts).length);
  }

  /** Whether the socket `id` is among the matching ones. */
  has?(opts: BroadcastOptions, id: SocketId): Promise<boolean> {
    return Promise.resolve(this._select(opts).some((socket) => socket.id === id));
  }

  /** Gives the names of all rooms but those of single sockets, which have the name of their socket. */
  listRooms?(): Promise<Set<Room>> {
    return Promise.resolve(new Set(this._index.sharedRooms()));
  }

  /** Makes the matching sockets join rooms. */
  addSockets(opts: BroadcastOptions, rooms: Room[]): Promise<void> | void {
    for (const socket of this._select(opts)) {
      try {
        void socket.join(rooms);
      } catch (error) {
        if (!(error instanceof LimitError)) throw error; // ROB-776: the others join
      }
    }
  }

  /** Makes the matching sockets leave rooms. */
  delSockets(opts: BroadcastOptions, rooms: Room[]): Promise<void> | void {
    for (const socket of this._select(opts)) {
      for (const room of rooms) socket.leave(room);
    }
  }

  /** Disconnects the matching sockets. `close`: closes their connections as well. */
  disconnectSockets(opts: BroadcastOptions, close: boolean): Promise<void> | void {
    for (const socket of this._select(opts)) socket.disconnect(close);
  }

  // Connection state recovery

  /** Stores the session of a disconnected socket whose client may reconnect. This adapter stores nothing. */
  persistSession(_session: SessionToPersist): void {}

  /** Gives a stored session with the packets that its client missed after `offset`, or null. */
  restoreSession(_pid: PrivateSessionId, _offset: string): Promise<RestorableSession | null> | RestorableSession | null {
    return null;
  }
}

const ROOM_EVENTS = ["create-room", "join-room", "leave-room", "delete-room"];

function isDeliveryObserved(): boolean {
  return debug.enabled || broadcastDeliver.hasSubscribers;
}

function reportDelivery(namespace: any, packet: any, opts: BroadcastOptions, receivers: number): void {
  if (debug.enabled) logBroadcast(packet, opts, receivers);
  if (!broadcastDeliver.hasSubscribers) return;
  const { rooms, except, flags } = opts;
  broadcastDeliver.publish({ namespace, event: packet.data?.[0], rooms, except, flags, receivers });
}

function logBroadcast(packet: any, { rooms, except, flags }: BroadcastOptions, count: number): void {
  const to = rooms.size === 0 ? "everybody" : quotedList(rooms);
  const but = except !== undefined && except.size > 0 ? ` except ${quotedList(except)}` : "";
  const how = flags?.volatile ? ", volatile" : "";
  debug("%s of %s to %s%s%s: %d receivers on this server", describePacket(packet), quoted(packet.nsp), to, but, how, count);
}

function rememberRecipients(group: Group, sockets: readonly LocalSocket[]): void {
  if (group.recipients === null && RecipientCache.isUsefulFor(sockets[0])) group.recipients = new RecipientCache();
  group.recipients?.record(group.version, sockets);
}
