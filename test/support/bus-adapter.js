/** An adapter whose link is an event emitter: several servers of one process behave as a cluster. */
import { EventEmitter } from "node:events";
import { deserialize, serialize } from "node:v8";
import { adapters } from "./packages.js";
import { eventually } from "./pairs.js";
import { startServer } from "./server.js";

/**
 * A constructor for the option `adapter`; messages travel as bytes, later, like on a wire.
 * @param Base  the class with heartbeats that it extends
 */
export function busAdapter(bus, options = {}, Base = adapters.ClusterAdapterWithHeartbeat) {
  return class BusAdapter extends Base {
    constructor(namespace) {
      super(namespace, options);
      /** A mute node neither sends nor hears, as behind a cut wire. */
      this.isMute = false;
      this.onFrame = (bytes) => {
        const { channel, message } = deserialize(bytes);
        if (message.nsp !== this.nsp.name || this.isMute) return;
        if (channel === "all") this.onMessage(message);
        else if (channel === this.uid) this.onResponse(message);
      };
      bus.on("frame", this.onFrame);
    }

    close() {
      const closing = super.close();
      setImmediate(() => bus.off("frame", this.onFrame));
      return closing;
    }

    doPublish(message) {
      return this.transmit("all", message);
    }

    doPublishResponse(requesterUid, response) {
      return this.transmit(requesterUid, response);
    }

    transmit(channel, message) {
      const bytes = serialize({ channel, message: plain(message) });
      if (!this.isMute) setImmediate(() => bus.emit("frame", bytes));
      return Promise.resolve("");
    }
  };
}

/** What a message is on a wire: no undefined members, no accessors, bytes kept. */
function plain(value) {
  if (ArrayBuffer.isView(value) || value === null || typeof value !== "object") return typeof value === "function" ? undefined : value;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value.toJSON === "function") return plain(value.toJSON());
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, entry]) => entry !== undefined)
      .map(([key, entry]) => [key, plain(entry)]),
  );
}

/**
 * Starts `count` servers that know each other.
 * @param adapterOptions  options of the adapter, such as `heartbeatInterval`
 */
export async function linkedServers(t, count, options = {}, adapterOptions = {}) {
  const bus = new EventEmitter().setMaxListeners(0);
  const nodes = [];
  for (let i = 0; i < count; i += 1) nodes.push(await startServer(t, { ...options, adapter: busAdapter(bus, adapterOptions) }));
  await knowEachOther(nodes.map(({ io }) => io.of("/")));
  return nodes;
}

/** Waits until the adapters of these namespaces, one per node, count each other. */
export async function knowEachOther(namespaces) {
  for (const { adapter } of namespaces) {
    await eventually(async () => (await adapter.serverCount()) === namespaces.length, "the nodes to find each other");
  }
}
