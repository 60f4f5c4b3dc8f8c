import { EventEmitter } from "node:events";

/** Rooms as plain Maps and Sets of texts, the obvious way: what an adapter's index has to agree with. */
export class PlainRooms extends EventEmitter {
  rooms = new Map();
  sids = new Map();

  constructor(nsp) {
    super();
    this.nsp = nsp;
  }

  addAll(id, rooms) {
    let joined = this.sids.get(id);
    if (joined === undefined) this.sids.set(id, (joined = new Set()));
    for (const room of rooms) {
      joined.add(room);
      let members = this.rooms.get(room);
      if (members === undefined) {
        this.rooms.set(room, (members = new Set()));
        this.emit("create-room", room);
      }
      if (members.has(id)) continue;
      members.add(id);
      this.emit("join-room", room, id);
    }
  }

  del(id, room) {
    this.sids.get(id)?.delete(room);
    this.#leave(id, room);
  }

  delAll(id) {
    const joined = this.sids.get(id);
    if (joined === undefined) return;
    for (const room of joined) this.#leave(id, room);
    this.sids.delete(id);
  }

  #leave(id, room) {
    const members = this.rooms.get(room);
    if (members === undefined || !members.delete(id)) return;
    this.emit("leave-room", room, id);
    if (members.size > 0) return;
    this.rooms.delete(room);
    this.emit("delete-room", room);
  }

  socketRooms(id) {
    return this.sids.get(id);
  }

  _select({ rooms, except }) {
    const excluded = new Set();
    for (const room of except ?? []) for (const id of this.rooms.get(room) ?? []) excluded.add(id);
    const ids = new Set();
    if (rooms.size === 0) for (const id of this.sids.keys()) ids.add(id);
    else for (const room of rooms) for (const id of this.rooms.get(room) ?? []) ids.add(id);
    return [...ids].filter((id) => !excluded.has(id) && this.nsp.sockets.has(id)).map((id) => this.nsp.sockets.get(id));
  }
}
