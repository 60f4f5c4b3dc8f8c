/** What programs do on the server. Each act gets the world and a command with its target and socket resolved. */

/** At the target of a broadcast, or at a single socket. */
const targetActs = {
  emit(world, { target, ev, args }) {
    world.note("emit", target.emit(ev, ...args) === true);
  },
  send(world, { target, args }) {
    target.send(...args);
  },
  ask(world, { target, ev, args }) {
    target.emit(ev, ...args, (...answers) => world.noteSettled("answer", answers));
  },
  askWithPromise(world, { target, ev, args }) {
    world.notePromise("emitWithAck", target.emitWithAck(ev, ...args));
  },
  fetchSockets(world, { target }) {
    const found = target.fetchSockets?.().then((sockets) => sockets.map((socket) => [socket.id, [...socket.rooms], socket.data]));
    if (found) world.notePromise("fetchSockets", found);
  },
  allSockets(world, { target }) {
    if (target.allSockets) world.notePromise("allSockets", target.allSockets());
  },
  steerFetched(world, { target, rooms, close }) {
    const steered = target.fetchSockets?.().then(([socket]) => {
      if (socket === undefined) return "nobody";
      socket.join(rooms);
      socket.emit("e2", "steered");
      if (rooms.length > 1) socket.leave(rooms[0]);
      if (close) socket.disconnect();
      return [socket.id, [...socket.rooms], socket.handshake.auth.token];
    });
    if (steered) world.notePromise("steered", steered);
  },
  socketsJoin(world, { target, rooms }) {
    target.socketsJoin?.(rooms);
  },
  socketsLeave(world, { target, rooms }) {
    target.socketsLeave?.(rooms);
  },
  disconnectSockets(world, { target, close }) {
    target.disconnectSockets?.(close);
  },
  serverSideEmit(world, { target, ev }) {
    if (target.serverSideEmit) world.note("serverSideEmit", target.serverSideEmit(ev, 1) === true);
  },
  emitToParent({ parent }, { ev, args }) {
    parent.emit(ev, ...args);
  },
  addMiddleware(world, { close }) {
    world.io.use((socket, next) => {
      world.note("late middleware", socket.id, [...socket.rooms]);
      if (close) setImmediate(next);
      else next();
    });
  },
};

/** At one socket, connected or not. */
const socketActs = {
  join(world, { socket, rooms }) {
    world.note("join", socket.join(rooms) === undefined);
  },
  leave(world, { socket, rooms }) {
    world.note("leave", socket.leave(rooms[0] ?? "r1") === undefined);
  },
  disconnect(world, { socket, close }) {
    world.note("disconnects", socket.disconnect(close) === socket);
  },
  closeConnection(world, { socket, close }) {
    if (socket.conn.readyState === "open") socket.conn.close(close); // the original takes its time with a second one
  },
  look(world, { socket }) {
    const { id, connected, disconnected, nsp } = socket;
    const names = ["r1", "r2", "r3", ...world.sockets.map((other) => other.id)]; // in an order of our own: who looks late finds rooms of ids in another
    const rooms = names.filter((name) => nsp.adapter.rooms.has(name)).map((name) => [name, [...nsp.adapter.rooms.get(name)]]);
    const sids = [...nsp.adapter.sids].map(([sid, names]) => [sid, [...names]]);
    world.note("look", id, connected, disconnected, [...socket.rooms], nsp.sockets.has(id), [...nsp.sockets.keys()]);
    world.note("rooms", nsp.adapter.rooms.size, rooms, sids);
  },
  setData(world, { socket, args }) {
    socket.data.value = args;
  },
  onAny(world, { socket }) {
    socket.onAny((...all) => world.noteWhileConnected("any", socket, all));
  },
  prependAny(world, { socket }) {
    socket.prependAny((...all) => world.noteWhileConnected("any first", socket, all));
  },
  offAny(world, { socket }) {
    socket.offAny();
  },
  onAnyOutgoing(world, { socket }) {
    socket.onAnyOutgoing((...all) => world.noteOutgoing(socket, all));
  },
  offAnyOutgoing(world, { socket }) {
    socket.offAnyOutgoing();
  },
  use(world, { socket }) {
    socket.use((event, next) => {
      world.noteWhileConnected("use", socket, event);
      next(event[1] === "refuse" ? new Error("refused") : undefined);
    });
  },
  off(world, { socket, ev }) {
    socket.removeAllListeners(ev);
  },
  once(world, { socket, ev }) {
    socket.once(ev, (...all) => world.note("once", socket.id, all));
  },
};

/** The names of all acts, once each. */
export const ACTS = [...Object.keys(targetActs), ...Object.keys(socketActs)];

const EMITTING = ["emit", "send", "ask", "askWithPromise"];

/** @param self  the socket whose listener does it, or null */
export function act(world, command, self) {
  const { io, sockets } = world;
  const socket = command.from === "self" && self !== null ? self : sockets[command.socket % sockets.length];
  const namespace = io.of(command.namespace);
  let target = { io, namespace, socket, self: socket }[command.from];
  if (target === undefined) return;
  for (const [name, value] of command.modifiers) target = modify(world, target, name, value);
  if (EMITTING.includes(command.act)) {
    if (target === socket && socket.disconnected) return; // the original's still write to a client that has come back
    const hasTime = command.modifiers.some(([name]) => name === "timeout");
    if (command.act.startsWith("ask") && target !== socket && !hasTime) target = target.timeout(LONG_MS); // the original's broadcasts give up at once
  }
  if (socket === undefined && command.act in socketActs) return;
  const perform = targetActs[command.act] ?? socketActs[command.act];
  perform(world, { ...command, target, socket, args: command.args.map(revive) });
}

/** So long that nothing times out within a program. */
const LONG_MS = 10_000;

/** A modifier that the target doesn't have is left out. */
function modify(world, target, name, value) {
  switch (name) {
    case "toSocket":
      return target.to(world.sockets[value % world.sockets.length]?.id ?? "nobody");
    case "timeout":
      return target.timeout?.(LONG_MS) ?? target;
    case "compress":
      return target.compress(true);
    case "volatile":
    case "local":
    case "broadcast":
      return target[name] ?? target;
    default:
      return target[name](value);
  }
}

/** What stands for values that a printed program can't show. */
const VALUES = {
  "<bytes>": () => Buffer.from([1, 2, 3]),
  "<nested bytes>": () => ({ deep: [new Uint8Array([4, 5]), { none: new ArrayBuffer(0) }] }),
  "<views>": () => [new Float32Array([1]), new DataView(new ArrayBuffer(2))],
  "<undefined>": () => undefined,
  "<sparse>": () => Object.assign(new Array(3), { 2: { gone: undefined, call() {} } }),
  "<date>": () => new Date(0),
  "<nan>": () => NaN,
  "<map>": () => new Map([[1, 2]]),
  "<error>": () => new Error("e"),
  "<toJSON>": () => ({ toJSON: () => ["as", "told"] }),
};

/** Their names. */
export const VALUE_NAMES = Object.keys(VALUES);

function revive(value) {
  return typeof value === "string" && Object.hasOwn(VALUES, value) ? VALUES[value]() : value;
}
