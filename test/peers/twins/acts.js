/** What programs do on the server. Each act gets the node that does it, and a command with its target and socket resolved. */

/** At the target of a broadcast, or at a single socket. */
const targetActs = {
  emit(node, { target, ev, args }) {
    node.note("emit", target.emit(ev, ...args) === true);
  },
  send(node, { target, args }) {
    target.send(...args);
  },
  ask(node, { target, ev, args }) {
    target.emit(ev, ...args, (...answers) => {
      if (!isOfLeaver(answers[0])) node.noteSettled("answer", answers);
    });
  },
  askWithPromise(node, { target, ev, args }) {
    const answered = target.emitWithAck(ev, ...args);
    node.notePromise(
      "emitWithAck",
      answered.catch((error) => (isOfLeaver(error) ? new Promise(() => {}) : Promise.reject(error))),
    );
  },
  fetchSockets(node, { target }) {
    const found = target.fetchSockets?.().then((sockets) => sockets.map((socket) => [socket.id, [...socket.rooms], socket.data]));
    if (found) node.notePromise("fetchSockets", found);
  },
  allSockets(node, { target }) {
    if (target.allSockets) node.notePromise("allSockets", target.allSockets());
  },
  steerFetched(node, { target, rooms, close }) {
    const steered = target.fetchSockets?.().then(([socket]) => {
      if (socket === undefined || socket.connected === false) return "nobody";
      socket.join(rooms);
      socket.emit("e2", "steered");
      if (rooms.length > 1) socket.leave(rooms[0]);
      if (close) socket.disconnect();
      return [socket.id, [...socket.rooms], socket.handshake.auth.token];
    });
    if (steered) node.notePromise("steered", steered);
  },
  socketsJoin(node, { target, rooms }) {
    target.socketsJoin?.(rooms);
  },
  socketsLeave(node, { target, rooms }) {
    target.socketsLeave?.(rooms);
  },
  disconnectSockets(node, { target, close }) {
    target.disconnectSockets?.(close);
  },
  serverSideEmit(node, { target, ev }) {
    if (ev === "error") return; // kills the original's other nodes
    if (target.serverSideEmit) node.note("serverSideEmit", target.serverSideEmit(ev, 1) === true);
  },
  askServers(node, { target, ev }) {
    if (ev === "error" || node.program.nodes === 1) return; // the original's adapter of a single server forgets the callback
    target.serverSideEmit?.(ev, (...answers) => node.noteSettled("answer of servers", answers));
  },
  emitToParent({ parent }, { ev, args }) {
    parent.emit(ev, ...args);
  },
  addMiddleware(node, { close }) {
    node.io.use((socket, next) => {
      node.note("late middleware", socket.id, [...socket.rooms]);
      if (close) setImmediate(next);
      else next();
    });
  },
};

/** At one socket, connected or not. */
const socketActs = {
  join(node, { socket, rooms }) {
    node.note("join", socket.join(rooms) === undefined);
  },
  leave(node, { socket, rooms }) {
    node.note("leave", socket.leave(rooms[0] ?? "r1") === undefined);
  },
  disconnect(node, { socket, close }) {
    node.note("disconnects", socket.disconnect(close) === socket);
  },
  closeConnection(node, { socket, close }) {
    if (socket.conn.readyState === "open") socket.conn.close(close); // the original takes its time with a second one
  },
  look(node, { socket }) {
    const { id, connected, disconnected, nsp } = socket;
    const names = ["r1", "r2", "r3", ...node.sockets.map((other) => other.id)]; // in an order of our own: who looks late finds rooms of ids in another
    const rooms = names.filter((name) => nsp.adapter.rooms.has(name)).map((name) => [name, [...nsp.adapter.rooms.get(name)]]);
    const sids = [...nsp.adapter.sids].map(([sid, names]) => [sid, [...names]]);
    node.note("look", id, connected, disconnected, [...socket.rooms], nsp.sockets.has(id), [...nsp.sockets.keys()]);
    node.note("rooms", nsp.adapter.rooms.size, rooms, sids);
  },
  setData(node, { socket, args }) {
    socket.data.value = args;
  },
  onAny(node, { socket }) {
    socket.onAny((...all) => node.noteWhileConnected("any", socket, all));
  },
  prependAny(node, { socket }) {
    socket.prependAny((...all) => node.noteWhileConnected("any first", socket, all));
  },
  offAny(node, { socket }) {
    socket.offAny();
  },
  onAnyOutgoing(node, { socket }) {
    socket.onAnyOutgoing((...all) => node.noteOutgoing(socket, all));
  },
  offAnyOutgoing(node, { socket }) {
    socket.offAnyOutgoing();
  },
  use(node, { socket }) {
    socket.use((event, next) => {
      node.noteWhileConnected("use", socket, event);
      next(event[1] === "refuse" ? new Error("refused") : undefined);
    });
  },
  off(node, { socket, ev }) {
    socket.removeAllListeners(ev);
  },
  once(node, { socket, ev }) {
    socket.once(ev, (...all) => node.note("once", socket.id, all));
  },
};

/** The names of all acts, once each. */
export const ACTS = [...Object.keys(targetActs), ...Object.keys(socketActs)];

const EMITTING = ["emit", "send", "ask", "askWithPromise"];

/** @param self  the socket whose listener does it, or null */
export function act(node, command, self) {
  const { io, sockets } = node;
  const socket = command.from === "self" && self !== null ? self : sockets[command.socket % sockets.length];
  const namespace = io.of(command.namespace);
  let target = { io, namespace, socket, self: socket }[command.from];
  if (target === undefined) return;
  const isAsking = command.act === "ask" || command.act === "askWithPromise";
  for (const [name, value] of command.modifiers) {
    if (isAsking && name === "local" && node.program.nodes > 1) continue; // the original waits for the other nodes
    target = modify(node, target, name, value);
  }
  if (EMITTING.includes(command.act)) {
    if (target === socket && socket.disconnected) return; // the original's still write to a client that has come back
    const hasTime = command.modifiers.some(([name]) => name === "timeout");
    if (isAsking && target !== socket && !hasTime) target = target.timeout(LONG_MS); // the original's broadcasts give up at once
  }
  if (socket === undefined && command.act in socketActs) return;
  const perform = targetActs[command.act] ?? socketActs[command.act];
  perform(node, { ...command, target, socket, args: command.args.map(revive) });
}

/** So long that nothing times out within a program. */
const LONG_MS = 10_000;

/** A broadcast whose clients have left fails at once; the original's at its time-out, which no program waits for (ROB-715). */
function isOfLeaver(error) {
  return error?.code === "RC_ERR_DISCONNECTED";
}

/** A modifier that the target doesn't have is left out. */
function modify(node, target, name, value) {
  switch (name) {
    case "toSocket":
      return target.to(node.sockets[value % node.sockets.length]?.id ?? "nobody");
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
