/** A bus between adapters of one process, with peers that may lie, dawdle or die. */
import { ClusterAdapter } from "../../../dist/cluster/cluster-adapter.js";
import { ClusterAdapterWithHeartbeat } from "../../../dist/cluster/heartbeat-cluster-adapter.js";
import { connect, standIn } from "./stand-in.js";

/** What a serialising transport does to a message. */
const serialise = (message) => JSON.parse(JSON.stringify(message));

export class Bus {
  constructor() {
    this.members = new Set();
    this.log = [];
    this.offset = "";
    this.delay = () => Promise.resolve();
    this.failure = null;
  }

  async publish(message) {
    if (this.failure !== null) throw this.failure;
    const copy = serialise(message);
    this.log.push(copy);
    const { offset } = this;
    await this.delay(copy);
    for (const member of [...this.members]) member.receive(copy, offset);
    return offset;
  }

  /** Messages of a type, in order. */
  published(type) {
    return this.log.filter((message) => message.type === type);
  }

  /** A peer of the test's own: gets every message; sends whatever the test likes. */
  addPeer(receive = () => {}) {
    const peer = { receive };
    this.members.add(peer);
    return { send: (message) => this.publish(message), leave: () => this.members.delete(peer) };
  }
}

function onBus(Base) {
  return class extends Base {
    constructor(nsp, bus, opts) {
      super(nsp, opts);
      this.bus = bus;
      this.id = this.uid;
      bus.members.add(this);
    }

    receive(message, offset) {
      this.onMessage(serialise(message), offset);
    }

    doPublish(message) {
      return this.bus.publish(message);
    }

    async doPublishResponse(_requesterUid, response) {
      await this.bus.publish(response);
    }

    die() {
      this.bus.members.delete(this);
    }
  };
}

/** Knows how many nodes there are from the bus. */
export class CountingAdapter extends onBus(ClusterAdapter) {
  serverCount() {
    return Promise.resolve(this.bus.members.size);
  }
}

export class HeartbeatAdapter extends onBus(ClusterAdapterWithHeartbeat) {}

/**
 * Starts nodes `0` to `count - 1`; node i has the sockets `i.1` and `i.2`, both in room `all`, the first in room `ones`.
 * `join`, `leave` and `disconnect` of these sockets act on their adapter.
 */
export function startNodes(t, AdapterClass, count, { bus = new Bus(), adapterOptions, ...options } = {}) {
  const nodes = Array.from({ length: count }, (_, i) => {
    const nsp = standIn([], options);
    const adapter = new AdapterClass(nsp, bus, adapterOptions);
    nsp.serverSideEvents = [];
    nsp._onServerSideEmit = (args) => void nsp.serverSideEvents.push(args);
    for (const n of [1, 2]) {
      const id = `${i}.${n}`;
      const socket = connect(nsp, id, { handshake: { auth: { id } }, data: { n } });
      socket.join = (rooms) => adapter.addAll(id, new Set([rooms].flat()));
      socket.leave = (room) => adapter.del(id, room);
      Object.defineProperty(socket, "rooms", { get: () => adapter.socketRooms(id) });
      adapter.addAll(id, new Set([id, "all", ...(n === 1 ? ["ones"] : [])]));
    }
    t.after(() => adapter.close());
    return { nsp, adapter, bus };
  });
  for (const { adapter } of nodes) adapter.init();
  return { bus, nodes };
}

/** What the sockets of all nodes received: socket id to event data. */
export function received(nodes) {
  const table = {};
  for (const { nsp } of nodes) {
    for (const socket of nsp.sockets.values()) {
      const events = socket.written.map(({ frames }) => JSON.parse(frames[0]).data);
      if (events.length > 0) table[socket.id] = events;
    }
  }
  return table;
}

/** Everything that needs no clock has happened when this settles. */
export async function settle() {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}
