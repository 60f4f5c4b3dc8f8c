/** A link over an event emitter: several servers of one process behave as a cluster. Messages travel as bytes, later, like on a wire. */
import { EventEmitter } from "node:events";
import { deserialize, serialize } from "node:v8";
import { adapters } from "./packages.js";
import { eventually } from "./pairs.js";
import { startServer } from "./server.js";

/** The wire between the nodes. `cut`: nothing travels, and those who send are told. `stall`: nothing travels, and nobody is told. */
export class Bus extends EventEmitter {
  state = "up";

  constructor() {
    super();
    this.setMaxListeners(0);
  }

  send(frame) {
    if (this.state === "cut") return Promise.reject(new Error("the bus is cut"));
    const bytes = serialize(frame);
    if (this.state === "up") setImmediate(() => this.emit("frame", bytes));
    return Promise.resolve();
  }

  set(state) {
    this.state = state;
    this.emit(state);
  }
}

/** A `Link` on a bus. */
export class BusLink {
  name = "bus";
  hasEcho = true;
  renewals = 0;

  constructor(bus) {
    this.bus = bus;
  }

  async open(listener, uid) {
    this.onFrame = (bytes) => {
      const { channel, message } = deserialize(bytes);
      if (channel === "pulse") listener.onPulse(message);
      else if (channel === `direct ${uid}`) listener.onDirect(Buffer.from(message));
    };
    this.onUp = () => listener.onUp();
    this.onCut = () => listener.onDown(new Error("the bus is cut"));
    this.bus.on("frame", this.onFrame).on("up", this.onUp).on("cut", this.onCut);
  }

  channel(receiver) {
    const { bus } = this;
    const onFrame = (bytes) => {
      const { channel, message, namespace } = deserialize(bytes);
      if (namespace !== receiver.namespace) return;
      if (channel === "all") receiver.onMessage(message);
      else if (channel === receiver.uid) receiver.onResponse(message);
    };
    bus.on("frame", onFrame);
    const namespace = receiver.namespace;
    return {
      publish: async (message) => {
        await bus.send({ channel: "all", namespace, message });
        return {};
      },
      respond: (to, message) => bus.send({ channel: to, namespace, message }),
      close: async () => void setImmediate(() => bus.off("frame", onFrame)),
    };
  }

  sendPulse(text) {
    return this.bus.send({ channel: "pulse", message: text });
  }

  sendDirect(to, message) {
    return this.bus.send({ channel: `direct ${to}`, message });
  }

  async renew() {
    this.renewals++;
  }

  async close() {
    setImmediate(() => this.bus.off("frame", this.onFrame).off("up", this.onUp).off("cut", this.onCut));
  }
}

/** Starts `count` servers that know each other. @returns `{ bus, links, nodes }` */
export async function linkedNodes(t, count, { options = {}, presence = { heartbeatInterval: 50, heartbeatTimeout: 400 } } = {}) {
  const bus = new Bus();
  const links = [];
  const nodes = [];
  for (let i = 0; i < count; i++) {
    const adapter = adapters.linkedAdapter(() => {
      const link = new BusLink(bus);
      links.push(link);
      return link;
    }, presence);
    nodes.push(await startServer(t, { ...options, adapter }));
  }
  for (const { io } of nodes) await eventually(async () => (await io.nodes()).length === count, "the nodes to find each other");
  return { bus, links, nodes };
}
