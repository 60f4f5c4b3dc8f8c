// The index of sockets and rooms of one namespace: the first step of "a broadcast out", which selects its receivers.
import type { EventEmitter } from "node:events";
import type { LocalSocket, Room, SocketId } from "./contract";
import type { RecipientCache, Group } from "./recipient-cache";

/*
 * Maps and Sets of members. Every socket first joins the room of its own id. This room is "implicit", one boolean of the member, until
 * an entry in the table of rooms is needed: for a second member, a listener of room events, or the view of all rooms.
 *
 * Listeners of room events may join, leave and disconnect sockets while a change is under way. The rules: a room exists while its
 * `create-room` listeners run; a member that such a listener made leave the room is not added to it; `removeAll` leaves each room once,
 * with an event, and leaves the rooms that a listener made the member join again without one.
 */

/** The usual form of a socket's id. Programs may choose another one for sessions, and clients of 2.x get ids with the namespace in front. */
export const SOCKET_ID = /^[\w-]{20}$/;

/** A socket id that joined rooms. */
export class Member {
  readonly id: SocketId;
  /** The connected socket; set when it is first selected, null again after it has left the namespace. */
  socket: LocalSocket | null = null;
  /** Number of the last selection that chose or excluded this member. */
  mark = 0;
  /** Whether the member is in the room of its own id without an entry in the table of rooms. */
  hasImplicitRoom = false;
  /** Names of its rooms in the order of joining, given out as a live view; null until needed. */
  names: Set<Room> | null = null;

  constructor(id: SocketId) {
    this.id = id;
  }
}

/** One room. It exists while it has members, or while its `create-room` listeners run. */
export class RoomEntry implements Group {
  readonly name: Room;
  readonly members = new Set<Member>();
  /** Whether the listeners of `create-room` have run. */
  isAnnounced = false;
  version = 0;
  recipients: RecipientCache | null = null;
  /** Live view of the ids; null until asked for. */
  ids: Set<SocketId> | null = null;

  constructor(name: Room) {
    this.name = name;
  }
}

/** Is told of rooms that get their first member, or lose their last one, but not of implicit rooms. */
export interface RoomObserver {
  onRoom(room: Room, isHere: boolean): void;
  /** Whether the room of a member's own id must not be implicit. */
  needsRoomOf(id: SocketId): boolean;
}

/** The members and rooms of one namespace. As a `Group` it stands for all its sockets. */
export class RoomIndex implements Group {
  version = 0;
  recipients: RecipientCache | null = null;
  observer: RoomObserver | null = null;
  private readonly events: EventEmitter;
  private readonly isObserved: () => boolean;
  private readonly rooms = new Map<Room, RoomEntry>();
  private readonly members = new Map<SocketId, Member>();
  private selections = 0;
  private roomsView: Map<Room, Set<SocketId>> | null = null;
  private sidsView: Map<SocketId, Set<Room>> | null = null;

  /**
   * @param events      emits `create-room`, `join-room`, `leave-room` and `delete-room`, synchronously (rules ADP-40 to ADP-44)
   * @param isObserved  whether these events may be observed: if not, implicit rooms are joined and left without events
   */
  constructor(events: EventEmitter, isObserved: () => boolean) {
    this.events = events;
    this.isObserved = isObserved;
  }

  // Changes

  /** Adds a member to rooms, in order. */
  add(id: SocketId, rooms: Iterable<Room>): void {
    let member = this.members.get(id);
    if (member === undefined) {
      this.members.set(id, (member = new Member(id)));
      this.version++;
      this.sidsView?.set(id, namesOf(member));
    }
    for (const room of rooms) {
      this.join(member, room);
      if (this.members.get(id) !== member) return; // a listener has disconnected the socket
    }
  }

  private join(member: Member, name: Room): void {
    if (name === member.id) {
      if (member.hasImplicitRoom) return;
      this.bumpVersions(member);
      const isFirst = member.names === null || member.names.size === 0;
      const isNeeded = this.roomsView !== null || this.isObserved() || this.observer?.needsRoomOf(name) === true;
      if (isFirst && !this.rooms.has(name) && !isNeeded) {
        member.hasImplicitRoom = true;
        member.names?.add(name);
        return;
      }
    }
    const room = this.find(name) ?? this.create(name, member);
    if (room === null || room.members.has(member)) return;
    namesOf(member).add(name);
    room.members.add(member);
    room.version++;
    room.ids?.add(member.id);
    this.events.emit("join-room", name, member.id);
  }

  /** Creates a room for its first member. @returns null if a listener of `create-room` made that member leave this room or all rooms */
  private create(name: Room, member: Member): RoomEntry | null {
    const room = this.insert(name);
    const names = namesOf(member).add(name); // before the event: listeners may look up the room (ADP-41, ADP-42)
    let hasThrown = true;
    try {
      this.events.emit("create-room", name);
      hasThrown = false;
    } finally {
      room.isAnnounced = true;
      if (hasThrown && !room.members.has(member)) names.delete(name);
      if (hasThrown && room.members.size === 0) this.delete(room);
    }
    if (names.has(name) && this.members.get(member.id) === member) return room;
    this.deleteIfEmpty(room);
    return null;
  }

  /** Invalidates the cached recipients of all groups that contain the member, when its socket becomes connected or has left. */
  private bumpVersions(member: Member): void {
    this.version++;
    for (const name of member.names ?? NO_NAMES) {
      const room = this.rooms.get(name);
      if (room !== undefined) room.version++;
    }
  }

  /** Removes a member from one room. */
  remove(id: SocketId, name: Room): void {
    const member = this.members.get(id);
    if (member === undefined) return;
    if (member.hasImplicitRoom && name === id) this.makeRoomExplicit(member);
    if (member.names?.delete(name) === true) this.leave(member, name);
  }

  /** Removes a member from all its rooms, in the order of joining (ADP-18), then from the index. Its names stay while listeners run. */
  removeAll(id: SocketId): void {
    const member = this.members.get(id);
    if (member === undefined) return;
    if (member.hasImplicitRoom && this.isObserved()) this.makeRoomExplicit(member);
    member.hasImplicitRoom = false;
    const names = member.names ?? NO_NAMES;
    for (const name of names) this.leave(member, name);
    for (const name of names) {
      const room = this.rooms.get(name); // set if a listener made the member join again
      if (room?.members.delete(member) === true && room.members.size === 0) this.delete(room);
    }
    if (this.members.get(id) !== member) return;
    this.members.delete(id);
    this.version++;
    this.sidsView?.delete(id);
  }

  private leave(member: Member, name: Room): void {
    const room = this.rooms.get(name);
    if (room === undefined || !room.members.delete(member)) return;
    room.version++;
    room.ids?.delete(member.id);
    this.events.emit("leave-room", name, member.id);
    this.deleteIfEmpty(room);
  }

  /** Drops the socket of a member after it has left the namespace. */
  release(id: SocketId): void {
    const member = this.members.get(id);
    if (member === undefined || member.socket === null) return;
    member.socket = null;
    this.bumpVersions(member);
  }

  private insert(name: Room): RoomEntry {
    const room = new RoomEntry(name);
    this.rooms.set(name, room);
    this.roomsView?.set(name, idsOf(room));
    this.observer?.onRoom(name, true);
    return room;
  }

  private deleteIfEmpty(room: RoomEntry): void {
    if (room.members.size > 0 || !room.isAnnounced || this.rooms.get(room.name) !== room) return;
    this.delete(room);
    this.events.emit("delete-room", room.name);
  }

  private delete(room: RoomEntry): void {
    this.rooms.delete(room.name);
    this.roomsView?.delete(room.name);
    this.observer?.onRoom(room.name, false);
  }

  private makeRoomExplicit(member: Member): RoomEntry {
    const room = this.insert(member.id);
    room.isAnnounced = true;
    namesOf(member);
    member.hasImplicitRoom = false;
    room.members.add(member);
    room.ids?.add(member.id);
    return room;
  }

  private find(name: Room): RoomEntry | undefined {
    const room = this.rooms.get(name);
    if (room !== undefined) return room;
    const owner = this.members.get(name);
    return owner !== undefined && owner.hasImplicitRoom ? this.makeRoomExplicit(owner) : undefined;
  }

  // Queries

  /** The number of members. */
  get size(): number {
    return this.members.size;
  }

  /** The number of rooms that have members, the rooms of the members' own ids included. */
  get roomCount(): number {
    let count = this.rooms.size;
    for (const member of this.members.values()) if (member.hasImplicitRoom) count++;
    return count;
  }

  has(id: SocketId): boolean {
    return this.members.has(id);
  }

  /** The names of all rooms but those of single sockets, which have the name of their socket. */
  sharedRooms(): Room[] {
    const names: Room[] = [];
    for (const name of this.rooms.keys()) if (!this.members.has(name)) names.push(name);
    return names;
  }

  /** Whether any of `rooms` has a member; with empty `rooms`, whether the index has a member. */
  hasAny(rooms: readonly Room[]): boolean {
    if (rooms.length === 0) return this.members.size > 0;
    return rooms.some((name) => this.hasRoom(name));
  }

  /** Whether a room has a member. */
  hasRoom(name: Room): boolean {
    return this.rooms.has(name) || this.members.get(name)?.hasImplicitRoom === true;
  }

  /** The group that is exactly the members of these rooms: all members, or one room; null if there is no such group. */
  groupOf(rooms: ReadonlySet<Room>): Group | null {
    if (rooms.size === 0) return this;
    if (rooms.size > 1) return null;
    const [name] = rooms;
    return this.rooms.get(name) ?? null;
  }

  /**
   * Calls `choose` once with each member of any of `rooms` (empty: each member) that is in none of `except`; in the order of the rooms and,
   * within a room, in the order of joining (ADP-31). `choose` must not change the index. Hot: bench scenario "broadcast".
   */
  select(rooms: ReadonlySet<Room>, except: ReadonlySet<Room> | undefined, choose: (member: Member) => void): void {
    const selection = (this.selections = (this.selections + 1) | 0);
    const exclude = (member: Member): void => void (member.mark = selection);
    for (const name of except ?? []) this.forEachIn(name, exclude);
    const chooseOnce = (member: Member): void => {
      if (member.mark === selection) return;
      member.mark = selection;
      choose(member);
    };
    if (rooms.size === 0) for (const member of this.members.values()) chooseOnce(member);
    else for (const name of rooms) this.forEachIn(name, chooseOnce);
  }

  private forEachIn(name: Room, visit: (member: Member) => void): void {
    const room = this.rooms.get(name);
    if (room !== undefined) for (const member of room.members) visit(member);
    else {
      const owner = this.members.get(name);
      if (owner !== undefined && owner.hasImplicitRoom) visit(owner);
    }
  }

  // Views: real Maps and Sets, created at the first access and kept up to date from then on

  /** The rooms of one member; `undefined` for an unknown id. */
  viewNames(id: SocketId): Set<Room> | undefined {
    const member = this.members.get(id);
    return member === undefined ? undefined : namesOf(member);
  }

  /** The ids of the members of each room. */
  viewRooms(): Map<Room, Set<SocketId>> {
    if (this.roomsView !== null) return this.roomsView;
    for (const member of this.members.values()) if (member.hasImplicitRoom) this.makeRoomExplicit(member);
    this.roomsView = new Map();
    for (const room of this.rooms.values()) this.roomsView.set(room.name, idsOf(room));
    return this.roomsView;
  }

  /** The names of the rooms of each member. */
  viewSids(): Map<SocketId, Set<Room>> {
    if (this.sidsView !== null) return this.sidsView;
    this.sidsView = new Map();
    for (const member of this.members.values()) this.sidsView.set(member.id, namesOf(member));
    return this.sidsView;
  }
}

const NO_NAMES: ReadonlySet<Room> = new Set();

function namesOf(member: Member): Set<Room> {
  return (member.names ??= new Set(member.hasImplicitRoom ? [member.id] : []));
}

function idsOf(room: RoomEntry): Set<SocketId> {
  return (room.ids ??= new Set(Array.from(room.members, ({ id }) => id)));
}
