import type { Room as RoomName, SocketId } from "./adapter";
import type { Audience, Group } from "./audience";
import { Member, NO_PLACE, NOT_LISTED, Room } from "./room";

/*
 * The two-way index of sockets and rooms behind `MemoryAdapter`.
 *
 *   members   id → Member → the rooms it joined, in order
 *   rooms     name → Room → its members, in order of joining
 *
 * The room that bears a socket's own id, joined first, is the common case of every connection and costs nothing: it
 * is one boolean of the member, and becomes a Room when it must be told apart (a second member, a full view).
 *
 * Outsiders see real Maps and Sets of names and ids. Each is built when somebody first asks for it and kept up to date
 * from then on; nobody asks on a server without adapters or tools that look.
 */

/** What happens to rooms, as it happens; `null` when nobody listens. */
export interface RoomObserver {
  onCreate(room: RoomName): void;
  onJoin(room: RoomName, id: SocketId): void;
  onLeave(room: RoomName, id: SocketId): void;
  onDelete(room: RoomName): void;
}

/**
 * So many rooms that are gone are kept beside as many as there are. A Map that shrinks and grows again is copied each time, and the copies
 * outlive V8's young generation together with all rooms that were ever in them: that was half of a join.
 */
const SPARE_ROOMS = 1024;

export class RoomIndex implements Group {
  version = 0;
  audience: Audience | null = null;
  /** Rooms that are gone included: see `SPARE_ROOMS`. */
  private readonly rooms = new Map<RoomName, Room>();
  private goneCount = 0;
  private readonly members = new Map<SocketId, Member>();
  /** Rooms whose `onCreate` runs: they may be empty. */
  private readonly inCreation = new Set<Room>();
  private epoch = 0;
  private roomsView: Map<RoomName, Set<SocketId>> | null = null;
  private sidsView: Map<SocketId, Set<RoomName>> | null = null;

  // Changes

  /** Makes sure that the index knows `id`. */
  enter(id: SocketId): Member {
    let member = this.members.get(id);
    if (member === undefined) {
      this.members.set(id, (member = new Member(id)));
      this.version++;
      if (this.sidsView !== null) this.sidsView.set(id, namesOf(member));
    }
    return member;
  }

  /** Adds a member to a room. Hot: bench scenario "join". */
  join(member: Member, name: RoomName, observer: RoomObserver | null): void {
    if (member.isInOwnRoom && name === member.id) return;
    if (name === member.id) this.onAdmitted(member);
    let room = this.find(name);
    if (room === undefined) {
      if (name === member.id && member.isNowhere && observer === null && this.roomsView === null) {
        member.isInOwnRoom = true;
        member.names?.add(name);
        return;
      }
      // A stranger joins the room of somebody's own id.
      const owner = this.members.get(name);
      if (owner !== undefined && owner.isInOwnRoom) room = this.makeOwnRoomReal(owner);
    }
    let place = NOT_LISTED;
    if (room !== undefined) place = member.placeIn(room);
    else {
      room = this.create(name);
      if (observer !== null) {
        this.announce(room, member, observer);
        place = member.placeIn(room);
        if (place === NOT_LISTED) return this.dropIfEmpty(room, observer); // a listener has made it leave
      }
    }
    if (place >= 0) return;
    if (place === NOT_LISTED) member.push(room, room.append(member));
    else member.move(room, room.append(member));
    room.ids?.add(member.id);
    observer?.onJoin(name, member.id);
  }

  private create(name: RoomName): Room {
    let room = this.rooms.get(name);
    if (room === undefined) this.rooms.set(name, (room = new Room(name)));
    else {
      room.isGone = false;
      this.goneCount--;
    }
    if (this.roomsView !== null) this.roomsView.set(name, idsOf(room));
    return room;
  }

  /** While `onCreate` runs, the room is there, empty, and on the list of the member it is made for: listeners look him up. */
  private announce(room: Room, member: Member, observer: RoomObserver): void {
    if (member.placeIn(room) === NOT_LISTED) member.push(room, NO_PLACE);
    this.inCreation.add(room);
    let isTold = false;
    try {
      observer.onCreate(room.name);
      isTold = true;
    } finally {
      this.inCreation.delete(room);
      if (!isTold && member.placeIn(room) === NO_PLACE) member.take(room);
      if (!isTold) this.dropIfEmpty(room, null);
    }
  }

  /** A member that was somewhere before it was connected: now broadcasts reach it there. */
  private onAdmitted(member: Member): void {
    this.version++;
    for (const room of member.rooms) room.version++;
  }

  /** Takes a member out of one room. */
  leave(id: SocketId, name: RoomName, observer: RoomObserver | null): void {
    const member = this.members.get(id);
    if (member === undefined) return;
    if (member.isInOwnRoom && name === id) {
      if (observer === null) {
        member.isInOwnRoom = false;
        member.names?.delete(name);
        return;
      }
      this.makeOwnRoomReal(member);
    }
    const room = this.find(name);
    if (room === undefined) return;
    const place = member.take(room);
    if (place !== NOT_LISTED) this.vacate(member, room, place, observer);
  }

  /** Takes a member out of all its rooms, in order, and forgets it. */
  forget(id: SocketId, observer: RoomObserver | null): void {
    const member = this.members.get(id);
    if (member === undefined) return;
    if (observer === null) member.isInOwnRoom = false;
    else {
      if (member.isInOwnRoom) this.makeOwnRoomReal(member);
      this.leaveRooms(member, observer);
    }
    member.takeAll((room, place) => this.vacate(member, room, place, null));
    this.members.delete(id);
    this.version++;
    this.sidsView?.delete(id);
  }

  /** A member's socket is gone; mostly the member went before it. */
  release(id: SocketId): void {
    const member = this.members.get(id);
    if (member === undefined || member.socket === null) return;
    member.socket = null;
    this.version++;
    for (const room of member.rooms) room.version++;
  }

  /**
   * Takes a member out of its rooms and leaves them on its list, where whoever observes still finds them. He may make it join others
   * meanwhile, and again what it left: that is left without a word, or it would go on forever.
   */
  private leaveRooms(member: Member, observer: RoomObserver): void {
    const told = new Set<RoomName>();
    for (let rooms = member.rooms; rooms.length > 0;) {
      for (const room of rooms) {
        const place = member.placeIn(room);
        if (place < 0) continue;
        told.add(room.name);
        member.move(room, NO_PLACE);
        this.vacate(member, room, place, observer);
      }
      rooms = member.rooms.filter((room) => member.placeIn(room) >= 0 && !told.has(room.name));
    }
  }

  /** Frees a member's place in a room that doesn't know him any more. */
  private vacate(member: Member, room: Room, place: number, observer: RoomObserver | null): void {
    if (place >= 0) {
      room.vacate(place);
      room.ids?.delete(member.id);
      observer?.onLeave(room.name, member.id);
    }
    this.dropIfEmpty(room, observer);
  }

  private dropIfEmpty(room: Room, observer: RoomObserver | null): void {
    if (!room.isEmpty || room.isGone || this.inCreation.has(room)) return;
    room.retire();
    this.roomsView?.delete(room.name);
    const hasRoomFor = this.rooms.size - this.goneCount + SPARE_ROOMS;
    if (++this.goneCount > hasRoomFor) this.sweep();
    observer?.onDelete(room.name);
  }

  private sweep(): void {
    this.goneCount = 0;
    for (const room of this.rooms.values()) if (room.isGone) this.rooms.delete(room.name);
  }

  private makeOwnRoomReal(member: Member): Room {
    const room = this.create(member.id);
    member.unshift(room, room.append(member));
    room.ids?.add(member.id);
    return room;
  }

  // Questions

  /**
   * Gives the members of any of `rooms` (of all, if empty) that are in none of `except`, each once, in the order of
   * the rooms and, within one, of joining. `choose` must not change the index. Hot: bench scenario "broadcast".
   */
  select(rooms: ReadonlySet<RoomName>, except: ReadonlySet<RoomName> | undefined, choose: (member: Member) => void): void {
    const hasExceptions = except !== undefined && except.size > 0;
    const isOneGroup = rooms.size < 2 && !hasExceptions; // in which each is met once: no need to mark anybody
    const epoch = (this.epoch = (this.epoch + 1) | 0);
    if (hasExceptions) {
      const exclude = (member: Member): void => void (member.mark = epoch);
      for (const name of except) {
        const room = this.find(name);
        if (room !== undefined) room.forEach(exclude);
        else this.ownerOf(name, exclude);
      }
    }
    const chooseOnce = (member: Member): void => {
      if (member.mark === epoch) return;
      member.mark = epoch;
      choose(member);
    };
    const visit = isOneGroup ? choose : chooseOnce;
    if (rooms.size === 0) {
      for (const member of this.members.values()) visit(member);
      return;
    }
    for (const name of rooms) {
      const room = this.find(name);
      if (room !== undefined) room.forEach(visit);
      else this.ownerOf(name, visit);
    }
  }

  private ownerOf(name: RoomName, visit: (member: Member) => void): void {
    const owner = this.members.get(name);
    if (owner !== undefined && owner.isInOwnRoom) visit(owner);
  }

  private find(name: RoomName): Room | undefined {
    const room = this.rooms.get(name);
    return room === undefined || room.isGone ? undefined : room;
  }

  /** The group that `select` would go through for these rooms, if it is one. */
  groupOf(rooms: ReadonlySet<RoomName>): Group | null {
    if (rooms.size === 0) return this;
    if (rooms.size > 1) return null;
    const [name] = rooms;
    return this.find(name) ?? null;
  }

  /** How many members there are. */
  get size(): number {
    return this.members.size;
  }

  has(id: SocketId): boolean {
    return this.members.has(id);
  }

  /** Whether a member hasn't been forgotten. */
  knows(member: Member): boolean {
    return this.members.get(member.id) === member;
  }

  /** Whether anybody is in any of `rooms` (is there at all, if empty). */
  hasAny(rooms: readonly RoomName[]): boolean {
    if (rooms.length === 0) return this.members.size > 0;
    return rooms.some((name) => this.find(name) !== undefined || this.members.get(name)?.isInOwnRoom === true);
  }

  // Views

  /** The rooms of one member, live; `undefined` for an unknown id. */
  namesOf(id: SocketId): Set<RoomName> | undefined {
    const member = this.members.get(id);
    return member === undefined ? undefined : namesOf(member);
  }

  /** Every room with the ids in it, live. */
  viewRooms(): Map<RoomName, Set<SocketId>> {
    if (this.roomsView !== null) return this.roomsView;
    // In the order in which they came to be, as far as that is known: own rooms are virtual until now.
    const view = (this.roomsView = new Map<RoomName, Set<SocketId>>());
    for (const member of this.members.values()) {
      if (member.isInOwnRoom) this.makeOwnRoomReal(member);
    }
    for (const room of this.rooms.values()) if (!room.isGone) view.set(room.name, idsOf(room));
    return view;
  }

  /** Every member with the names of its rooms, live. */
  viewSids(): Map<SocketId, Set<RoomName>> {
    if (this.sidsView !== null) return this.sidsView;
    const view = (this.sidsView = new Map<SocketId, Set<RoomName>>());
    for (const member of this.members.values()) view.set(member.id, namesOf(member));
    return view;
  }
}

function namesOf(member: Member): Set<RoomName> {
  if (member.names !== null) return member.names;
  const names = (member.names = new Set<RoomName>());
  if (member.isInOwnRoom) names.add(member.id);
  for (const room of member.rooms) names.add(room.name);
  return names;
}

function idsOf(room: Room): Set<SocketId> {
  if (room.ids !== null) return room.ids;
  room.ids = new Set();
  room.forEach((member) => room.ids!.add(member.id));
  return room.ids;
}
