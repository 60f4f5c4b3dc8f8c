import type { Audience, Group } from "./audience";
import type { LocalSocket, Room as RoomName, SocketId } from "./adapter";

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

/** One room that exists, that is, has members (or is about to, while its `onCreate` runs). */
export class Room implements Group {
  readonly name: RoomName;
  version: number;
  audience: Audience | null;
  /** Live view; `null` until asked for. */
  ids: Set<SocketId> | null;
  /** The members in order of joining; a Set from the second on, since many rooms never have one. */
  private members: Member | Set<Member> | null;

  constructor(name: RoomName) {
    this.name = name;
    this.version = 0;
    this.audience = null;
    this.ids = null;
    this.members = null;
  }

  get isEmpty(): boolean {
    return this.members === null || (this.members instanceof Set && this.members.size === 0);
  }

  /** Gives false if it was in already. */
  add(member: Member): boolean {
    const { members } = this;
    if (members === member) return false;
    this.version++;
    if (members === null) this.members = member;
    else if (members instanceof Set) {
      const before = members.size;
      return members.add(member).size > before; // cheaper than to ask first
    } else this.members = new Set([members, member]);
    return true;
  }

  /** Gives false if it wasn't in. */
  delete(member: Member): boolean {
    this.version++;
    if (this.members === member) this.members = null;
    else if (!(this.members instanceof Set && this.members.delete(member))) return false;
    return true;
  }

  /** Calls `visit` for each member, in order. */
  forEach(visit: (member: Member) => void): void {
    if (this.members instanceof Set) this.members.forEach(visit);
    else if (this.members !== null) visit(this.members);
  }
}

/** One socket that joined rooms. */
export class Member {
  readonly id: SocketId;
  /** The socket, if it is one of ours: kept from when it was first found in its namespace until it leaves that. */
  socket: LocalSocket | null;
  /** Epoch of the last selection that chose or excluded this member. */
  mark: number;
  /** In the room of its own id, which is the first it joined and isn't a `Room`. */
  isInOwnRoom: boolean;
  /** The other rooms, in the order of joining. A short list is joined, left and walked faster than a Set. */
  private joined: Room | Room[] | Set<Room> | null;
  /** Live view; `null` until asked for. */
  names: Set<RoomName> | null;

  constructor(id: SocketId) {
    this.id = id;
    this.socket = null;
    this.mark = 0;
    this.isInOwnRoom = false;
    this.joined = null;
    this.names = null;
  }

  /** The rooms but a virtual own one, in order; a copy. */
  get rooms(): Room[] {
    if (this.joined === null) return [];
    return this.joined instanceof Room ? [this.joined] : [...this.joined];
  }

  get isNowhere(): boolean {
    return this.joined === null && !this.isInOwnRoom;
  }

  /** Adds a room behind the others. */
  push(room: Room): void {
    const { joined } = this;
    if (joined === null) this.joined = room;
    else if (joined instanceof Room) this.joined = [joined, room];
    else if (joined instanceof Set) joined.add(room);
    else if (joined.push(room) > LIST_MAX) this.joined = new Set(joined);
    this.names?.add(room.name);
  }

  /** Adds the room of its own id, in front of the others. */
  unshift(room: Room): void {
    this.isInOwnRoom = false;
    const others = this.rooms;
    this.joined = others.length === 0 ? room : others.length < LIST_MAX ? [room, ...others] : new Set([room, ...others]);
  }

  /** Takes a room out; false if it wasn't in. */
  remove(room: Room): boolean {
    const { joined } = this;
    if (joined === room) this.joined = null;
    else if (joined instanceof Set) {
      if (!joined.delete(room)) return false;
    } else if (Array.isArray(joined)) {
      if (!takeOut(joined, room)) return false;
      if (joined.length === 0) this.joined = null;
    } else return false;
    this.names?.delete(room.name);
    return true;
  }
}

/** Removes a room from a list: mostly the one joined last or first, which need no search. Hot: bench scenario "leave". */
function takeOut(list: Room[], room: Room): boolean {
  if (list[list.length - 1] === room) list.pop();
  else if (list[0] === room) list.shift();
  else {
    const at = list.indexOf(room);
    if (at === -1) return false;
    list.splice(at, 1);
  }
  return true;
}

/** Up to so many rooms of one socket stand in a list. */
const LIST_MAX = 128;

export class RoomIndex implements Group {
  version = 0;
  audience: Audience | null = null;
  private readonly rooms = new Map<RoomName, Room>();
  private readonly members = new Map<SocketId, Member>();
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
    let room = this.rooms.get(name);
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
    if (room !== undefined) {
      if (room.isEmpty) member.remove(room); // it is being created by us, and a listener joins it
      if (!room.add(member)) return;
      member.push(room);
    } else {
      room = new Room(name);
      this.rooms.set(name, room);
      if (this.roomsView !== null) this.roomsView.set(name, idsOf(room));
      member.push(room); // before onCreate: listeners tell private rooms by looking the socket up
      observer?.onCreate(name);
      if (!room.add(member)) return;
    }
    room.ids?.add(member.id);
    observer?.onJoin(name, member.id);
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
    const room = this.rooms.get(name);
    if (room !== undefined && member.remove(room)) this.removeFromRoom(member, room, observer);
  }

  /** Takes a member out of all its rooms, in order, and forgets it. */
  forget(id: SocketId, observer: RoomObserver | null): void {
    const member = this.members.get(id);
    if (member === undefined) return;
    if (observer === null) member.isInOwnRoom = false;
    else if (member.isInOwnRoom) this.makeOwnRoomReal(member);
    const told = observer === null ? null : new Set<RoomName>();
    while (this.leaveRooms(member, observer, told) && told !== null); // whoever observes may make it join others meanwhile
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
   * Takes a member out of its rooms; gives false when it was in none.
   * @param told  rooms whose end was observed: one that is joined again there is left without a word, or it would go on forever
   */
  private leaveRooms(member: Member, observer: RoomObserver | null, told: Set<RoomName> | null): boolean {
    let found = false;
    for (const room of member.rooms) {
      const isNews = told !== null && !told.has(room.name);
      if (isNews) told.add(room.name);
      if (this.removeFromRoom(member, room, isNews ? observer : null)) found = true;
    }
    return found;
  }

  /** Gives false if it wasn't in. */
  private removeFromRoom(member: Member, room: Room, observer: RoomObserver | null): boolean {
    if (!room.delete(member)) return false;
    room.ids?.delete(member.id);
    observer?.onLeave(room.name, member.id);
    if (!room.isEmpty || this.rooms.get(room.name) !== room) return true;
    this.rooms.delete(room.name);
    this.roomsView?.delete(room.name);
    observer?.onDelete(room.name);
    return true;
  }

  private makeOwnRoomReal(member: Member): Room {
    const room = new Room(member.id);
    room.add(member);
    this.rooms.set(member.id, room);
    member.unshift(room);
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
        const room = this.rooms.get(name);
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
      const room = this.rooms.get(name);
      if (room !== undefined) room.forEach(visit);
      else this.ownerOf(name, visit);
    }
  }

  private ownerOf(name: RoomName, visit: (member: Member) => void): void {
    const owner = this.members.get(name);
    if (owner !== undefined && owner.isInOwnRoom) visit(owner);
  }

  /** The group that `select` would go through for these rooms, if it is one. */
  groupOf(rooms: ReadonlySet<RoomName>): Group | null {
    if (rooms.size === 0) return this;
    if (rooms.size > 1) return null;
    const [name] = rooms;
    return this.rooms.get(name) ?? null;
  }

  /** How many members there are. */
  get size(): number {
    return this.members.size;
  }

  has(id: SocketId): boolean {
    return this.members.has(id);
  }

  /** Whether anybody is in any of `rooms` (is there at all, if empty). */
  hasAny(rooms: readonly RoomName[]): boolean {
    if (rooms.length === 0) return this.members.size > 0;
    return rooms.some((name) => this.rooms.has(name) || this.members.get(name)?.isInOwnRoom === true);
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
    for (const room of this.rooms.values()) view.set(room.name, idsOf(room));
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
