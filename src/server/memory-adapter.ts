import { EventEmitter } from "node:events";
import { hasAnyListener, hasListeners } from "../support/lean-emitter";
import { Audience } from "./audience";
import { Adapter, type BroadcastOptions, type LocalSocket, type Room, type SocketId } from "./adapter";
import type { Member } from "./room";
import { RoomIndex, type RoomObserver } from "./rooms";

/*
 * The default adapter: the sockets of one process. It chooses the receivers of a broadcast out of the index in
 * `rooms.ts`; what the base class says about everything else holds here too.
 *
 * `rooms`, `sids` and `socketRooms()` give real Maps and Sets, made when first asked for and kept up to date from then
 * on. They are to be read: what is written into them changes nothing here.
 */
export class MemoryAdapter extends Adapter {
  /** @internal */
  _index!: RoomIndex;
  /** @internal */
  _roomEvents!: RoomEvents;

  /** @internal */
  override _createIndex(): void {
    this._index = new RoomIndex();
    this._roomEvents = new RoomEvents(this);
  }

  override addAll(id: SocketId, rooms: Set<Room>): Promise<void> | void {
    const member = this._index.enter(id);
    const observer = this._observer();
    for (const room of rooms) {
      this._index.join(member, room, observer);
      if (observer !== null && !this._index.knows(member)) return; // a listener has disconnected it
    }
  }

  /**
   * `addAll` with one room, without a Set around it; for callers that know the adapter's `addAll` is this class's own.
   * @internal Hot: once for each connection and each `socket.join`.
   */
  _add(id: SocketId, room: Room): void {
    this._index.join(this._index.enter(id), room, this._observer());
  }

  override del(id: SocketId, room: Room): Promise<void> | void {
    this._index.leave(id, room, this._observer());
  }

  override delAll(id: SocketId): void {
    this._index.forget(id, this._observer());
  }

  override socketRooms(id: SocketId): Set<Room> | undefined {
    return this._index.namesOf(id);
  }

  /** @internal */
  override _select(opts: BroadcastOptions): LocalSocket[] {
    const { rooms, except } = opts;
    // A list that grows to tens of thousands is copied again and again, which is half of the cost.
    const chosen: LocalSocket[] = rooms.size === 0 ? new Array<LocalSocket>(this._index.size) : [];
    let count = 0;
    this._index.select(rooms, except, (member) => {
      const socket = this._socketOf(member);
      if (socket !== undefined) chosen[count++] = socket;
    });
    chosen.length = count;
    return chosen;
  }

  /** Those who got the last broadcasts of their group, too, may get it without being chosen one by one. @internal */
  override _sendLocally(packet: any, frames: readonly unknown[] | null, opts: BroadcastOptions, shown: any): readonly LocalSocket[] {
    const { rooms, except, flags } = opts;
    const isForAll = (except === undefined || except.size === 0) && !flags?.volatile;
    const group = isForAll ? this._index.groupOf(rooms) : null;
    if (group === null) return super._sendLocally(packet, frames, opts, shown);

    if (group.audience !== null && group.audience.isGathered) {
      frames ??= this.encoder.encode(packet);
      if (group.audience.write(group.version, packet, frames, flags, shown)) return NOBODY;
    }
    const { version } = group;
    const sockets = super._sendLocally(packet, frames, opts, shown);
    if (sockets.length === 0 || group.version !== version) return sockets; // a listener on the way changed it
    if (group.audience === null && Audience.isOfUseFor(sockets[0])) group.audience = new Audience();
    group.audience?.watch(version, sockets);
    return sockets;
  }

  /** The namespace has lost a socket; whatever a program's own `delAll` has left of it here is nobody's. @internal */
  _release(id: SocketId): void {
    this._index.release(id);
  }

  /**
   * The connected socket of a member, if there is one. A socket of ours is looked up once, and not even looked at after
   * that: with tens of thousands of them each look is a miss of the processor's caches. Hot: "fetchSockets".
   */
  private _socketOf(member: Member): LocalSocket | undefined {
    if (member.socket !== null) return member.socket;
    const socket = (this.nsp.sockets as ReadonlyMap<SocketId, LocalSocket>).get(member.id);
    if (socket !== undefined && typeof socket._writePrepared === "function") member.socket = socket;
    return socket;
  }

  /** Nothing is built for room events that nobody hears. */
  private _observer(): RoomObserver | null {
    return hasRoomListeners(this) ? this._roomEvents : null;
  }
}

const NOBODY: readonly LocalSocket[] = [];

/** Turns what happens in the index into the adapter's events. */
class RoomEvents implements RoomObserver {
  private readonly adapter: Adapter;

  constructor(adapter: Adapter) {
    this.adapter = adapter;
  }

  onCreate(room: Room): void {
    this.adapter.emit("create-room", room);
  }

  onJoin(room: Room, id: SocketId): void {
    this.adapter.emit("join-room", room, id);
  }

  onLeave(room: Room, id: SocketId): void {
    this.adapter.emit("leave-room", room, id);
  }

  onDelete(room: Room): void {
    this.adapter.emit("delete-room", room);
  }
}

const ROOM_EVENTS = ["create-room", "join-room", "leave-room", "delete-room"];

function hasRoomListeners(adapter: MemoryAdapter): boolean {
  if (adapter.emit !== EventEmitter.prototype.emit) return true; // somebody watches in another way
  return hasAnyListener(adapter) && ROOM_EVENTS.some((event) => hasListeners(adapter, event));
}

// The base class has them as fields; here they are made on demand.
Object.defineProperties(MemoryAdapter.prototype, {
  rooms: {
    configurable: true,
    get(this: MemoryAdapter) {
      return this._index.viewRooms();
    },
  },
  sids: {
    configurable: true,
    get(this: MemoryAdapter) {
      return this._index.viewSids();
    },
  },
});
