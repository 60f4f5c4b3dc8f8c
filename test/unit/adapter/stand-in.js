/** A bare stand-in for a namespace, as authors of adapters use it: no server of ours is loaded. */

/** @param ids  sockets that are connected from the start */
export function standIn(ids = [], { name = "/", opts = {}, encode = (packet) => [JSON.stringify(packet)] } = {}) {
  const nsp = {
    name,
    encoded: 0,
    server: {
      encoder: {
        encode(packet) {
          nsp.encoded++;
          return encode(packet);
        },
      },
      opts,
    },
    sockets: new Map(),
    _ids: 0,
    _onServerSideEmit() {},
  };
  for (const id of ids) connect(nsp, id);
  return nsp;
}

/** Adds a connected socket that remembers what is done to it. */
export function connect(nsp, id, extra = {}) {
  const socket = {
    id,
    written: [],
    calls: [],
    acks: new Map(),
    client: {
      writeToEngine(frames, options) {
        socket.written.push({ frames, options });
      },
    },
    join: (rooms) => void socket.calls.push(["join", rooms]),
    leave: (room) => void socket.calls.push(["leave", room]),
    disconnect: (close) => void socket.calls.push(["disconnect", close]),
    ...extra,
  };
  nsp.sockets.set(id, socket);
  return socket;
}

/** The ids of those who were written to, in the order of the sockets' connecting. */
export function reached(nsp) {
  return [...nsp.sockets.values()].filter((socket) => socket.written.length > 0).map((socket) => socket.id);
}

/** Room events as text, in order. */
export function logRoomEvents(adapter) {
  const log = [];
  for (const event of ["create-room", "join-room", "leave-room", "delete-room"]) {
    adapter.on(event, (room, id) => log.push(id === undefined ? `${event} ${room}` : `${event} ${room} ${id}`));
  }
  return log;
}

export const to = (rooms = [], except, flags) => ({
  rooms: new Set(rooms),
  ...(except === undefined ? {} : { except: new Set(except) }),
  ...(flags === undefined ? {} : { flags }),
});

export const event = (...data) => ({ type: 2, data });
