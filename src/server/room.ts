import type { Audience, Group } from "./audience";
import type { LocalSocket, Room as RoomName, SocketId } from "./adapter";

/*
 * The two ends of the index in `rooms.ts`. A room has a list of its members, a member one of its rooms and of its place in each:
 * to leave is to make a gap at that place.
 */

/** A member's place in a room that it stands on the list of without being in it: it is about to come in, or has just left. */
export const NO_PLACE = -1;
/** What is said of the place in a room that isn't on the list at all. */
export const NOT_LISTED = -2;
/** Shorter lists of members aren't worth closing up. */
const GAPS_MIN = 16;

/** One room: it has members, or is about to have them (while its `onCreate` runs), or is gone. */
export class Room implements Group {
  readonly name: RoomName;
  /** Gone for everybody, and kept in the index only in case that it comes again. */
  isGone: boolean;
  version: number;
  audience: Audience | null;
  /** Live view; `null` until asked for. */
  ids: Set<SocketId> | null;
  /**
   * The members in order of joining, each at the place it knows, with gaps where some have left; the last is never one.
   * A list from the second member on, since many rooms never have one. No search, no hashing: bench scenario "disconnect".
   */
  private members: Member | (Member | null)[] | null;
  private gaps: number;

  constructor(name: RoomName) {
    this.name = name;
    this.isGone = false;
    this.version = 0;
    this.audience = null;
    this.ids = null;
    this.members = null;
    this.gaps = 0;
  }

  get isEmpty(): boolean {
    return this.members === null;
  }

  /** Takes in a member that isn't in yet. @returns its place */
  append(member: Member): number {
    this.version++;
    const { members } = this;
    if (Array.isArray(members)) return members.push(member) - 1;
    this.members = members === null ? member : listOf<Member | null>(members, member);
    return members === null ? 0 : 1;
  }

  /** Lets go of the member at a place. */
  vacate(place: number): void {
    this.version++;
    const { members } = this;
    if (!Array.isArray(members)) this.members = null;
    else if (place < members.length - 1) {
      members[place] = null;
      this.gaps++;
      if (members.length > GAPS_MIN && this.gaps > members.length * 0.75) this.closeGaps(members);
    } else {
      members.pop();
      for (; members.length > 0 && members[members.length - 1] === null; this.gaps--) members.pop();
      if (members.length === 0) this.members = null;
    }
  }

  /** Nobody is in any more: what belongs to this time of its life is let go. */
  retire(): void {
    this.isGone = true;
    this.audience = null;
    this.ids = null;
  }

  /** Calls `visit` for each member, in order. */
  forEach(visit: (member: Member) => void): void {
    const { members } = this;
    if (Array.isArray(members)) {
      for (const member of members) if (member !== null) visit(member);
    } else if (members !== null) visit(members);
  }

  private closeGaps(members: readonly (Member | null)[]): void {
    const remaining: Member[] = [];
    for (const member of members) if (member !== null) member.move(this, remaining.push(member) - 1);
    this.members = remaining;
    this.gaps = 0;
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
  /** The other rooms, in the order of joining. A short list is joined, left and walked faster than a Map of their places. */
  private joined: Room | Room[] | Map<Room, number> | null;
  /** The place in the one room. */
  private place: number;
  /** The places in the rooms of the list. */
  private places: number[] | null;
  /** Live view; `null` until asked for. */
  names: Set<RoomName> | null;

  constructor(id: SocketId) {
    this.id = id;
    this.socket = null;
    this.mark = 0;
    this.isInOwnRoom = false;
    this.joined = null;
    this.place = NO_PLACE;
    this.places = null;
    this.names = null;
  }

  /** The rooms but a virtual own one, in order; a copy. */
  get rooms(): Room[] {
    const { joined } = this;
    if (joined === null) return [];
    return joined instanceof Room ? [joined] : Array.isArray(joined) ? [...joined] : [...joined.keys()];
  }

  get isNowhere(): boolean {
    return this.joined === null && !this.isInOwnRoom;
  }

  /** Its place in a room, NO_PLACE or NOT_LISTED. Hot: bench scenario "join". */
  placeIn(room: Room): number {
    const { joined } = this;
    if (joined === room) return this.place;
    if (Array.isArray(joined)) {
      const at = joined.indexOf(room);
      return at === -1 ? NOT_LISTED : this.places![at];
    }
    return joined instanceof Map ? (joined.get(room) ?? NOT_LISTED) : NOT_LISTED;
  }

  /** Puts a room that isn't on the list behind the others. */
  push(room: Room, place: number): void {
    const { joined } = this;
    if (joined === null) {
      this.joined = room;
      this.place = place;
    } else if (joined instanceof Room) {
      this.joined = listOf(joined, room);
      this.places = listOf(this.place, place);
    } else if (joined instanceof Map) joined.set(room, place);
    else {
      this.places!.push(place);
      if (joined.push(room) > LIST_MAX) this.setPlaces(joined, this.places!);
    }
    this.names?.add(room.name);
  }

  /** Puts the room of its own id in front of the others. */
  unshift(room: Room, place: number): void {
    this.isInOwnRoom = false;
    const others = this.rooms;
    if (others.length === 0) {
      this.joined = room;
      this.place = place;
    } else this.setPlaces([room, ...others], [place, ...others.map((other) => this.placeIn(other))]);
  }

  private setPlaces(rooms: Room[], places: number[]): void {
    const isLong = rooms.length > LIST_MAX;
    this.joined = isLong ? new Map(rooms.map((room, at) => [room, places[at]])) : rooms;
    this.places = isLong ? null : places;
  }

  /** Has another place in a room of the list. */
  move(room: Room, place: number): void {
    const { joined } = this;
    if (Array.isArray(joined)) this.places![joined.indexOf(room)] = place;
    else if (joined instanceof Map) joined.set(room, place);
    else this.place = place;
  }

  /** Takes a room off the list. @returns the place it had there, NO_PLACE or NOT_LISTED */
  take(room: Room): number {
    const { joined } = this;
    let place = NOT_LISTED;
    if (joined === room) {
      place = this.place;
      this.joined = null;
    } else if (joined instanceof Map) {
      place = joined.get(room) ?? NOT_LISTED;
      joined.delete(room);
    } else if (Array.isArray(joined)) {
      const at = takeOut(joined, room);
      if (at !== -1) place = takeAt(this.places!, at);
      if (joined.length === 0) this.clear();
    }
    if (place !== NOT_LISTED) this.names?.delete(room.name);
    return place;
  }

  /** Empties the list, and calls `leave` with each room of it and the place there. Hot: bench scenario "disconnect". */
  takeAll(leave: (room: Room, place: number) => void): void {
    const { joined, places } = this;
    this.clear();
    if (joined instanceof Room) leave(joined, this.place);
    else if (joined instanceof Map) for (const [room, place] of joined) leave(room, place);
    else if (joined !== null) for (let at = 0; at < joined.length; at++) leave(joined[at], places![at]);
  }

  private clear(): void {
    this.joined = null;
    this.places = null;
  }
}

/** Removes a room from a list: mostly the one joined last or first, which need no search. Hot: bench scenario "leave". @returns where it was */
function takeOut(list: Room[], room: Room): number {
  const at = list[list.length - 1] === room ? list.length - 1 : list.indexOf(room);
  if (at !== -1) takeAt(list, at);
  return at;
}

function takeAt<Item>(list: Item[], at: number): Item {
  if (at === list.length - 1) return list.pop()!;
  return at === 0 ? list.shift()! : list.splice(at, 1)[0];
}

/** A list of two that has room for four more. The first `push` onto one that hasn't takes memory for sixteen, which most never need. */
function listOf<Item>(first: Item, second: Item): Item[] {
  const list = [first, second, first, first, first, first];
  for (let spare = 0; spare < 4; spare++) list.pop();
  return list;
}

/** Up to so many rooms of one socket stand in a list. */
const LIST_MAX = 128;
