/** Servers with their clients, which do what a program says and give what a program or a peer can see. */
import { EventEmitter } from "node:events";
import { busAdapter } from "../../support/bus-adapter.js";
import { Client } from "./client.js";
import { ServerNode } from "./node.js";

/** Session ids, socket ids, secrets of recovery. */
const ID = /[A-Za-z0-9_-]{20}/g;
/** The offset that recovery adds to an event, and the one that a client asks for; everybody makes his own. */
const SENT_OFFSET = /,\\"[\w-]{6,9}(?:\.\w+)?\\"\]"(?=\]?$)/;
const ASKED_OFFSET = /,\\*"offset\\*":\\*"[^"]*"/;

const CLIENTS_MAX = 5;
const RETURNS_MAX = 3;

export class World {
  /** @param family  what belongs together: `Server`, `ClusterAdapterWithHeartbeat`, `parsers`, `createHost` */
  static async start(family, program) {
    const hosts = [];
    for (let count = 0; count < program.nodes; count++) hosts.push(await family.createHost());
    const world = new World(family, program, hosts);
    await Promise.all(world.nodes.map((node) => node.start()));
    if (program.nodes > 1) await world.link();
    return world;
  }

  constructor(family, program, hosts) {
    this.program = program;
    this.clients = [];
    this.sockets = [];
    this.names = new Map();
    this.marks = 0;
    const bus = new EventEmitter().setMaxListeners(0);
    const options = program.nodes > 1 ? { adapter: busAdapter(bus, {}, family.ClusterAdapterWithHeartbeat) } : {};
    this.nodes = hosts.map((host) => new ServerNode(this, family, host, options));
  }

  /** Waits until the nodes know each other. */
  async link() {
    for (const { io } of this.nodes) {
      for (const name of ["/", "/a"]) await this.countsAll(io.of(name).adapter);
    }
  }

  async countsAll(adapter) {
    while ((await adapter.serverCount()) < this.nodes.length) await turn();
  }

  /** A value as text, ids replaced by numbers in the order in which they came. */
  tell(value) {
    const text = JSON.stringify(value, (key, entry) => {
      if (typeof entry === "function") return "<function>";
      if (entry === undefined) return "<undefined>";
      if (entry?.type === "Buffer") return `<${Buffer.from(entry.data).toString("hex")}>`;
      if (ArrayBuffer.isView(entry)) return `<${Buffer.from(entry.buffer, entry.byteOffset, entry.byteLength).toString("hex")}>`;
      if (entry instanceof ArrayBuffer) return `<${Buffer.from(entry).toString("hex")}>`;
      if (entry instanceof Error) return `<${entry.name}: ${entry.message}>`;
      if (entry instanceof Set || entry instanceof Map) return [...entry];
      return entry;
    });
    const known = this.program.recovery ? text.replace(SENT_OFFSET, ',\\"<offset>\\"]"').replace(ASKED_OFFSET, "") : text;
    return known.replace(ID, (id) => {
      if (!this.names.has(id)) this.names.set(id, `#${this.names.size}`);
      return this.names.get(id);
    });
  }

  // -- steps -----------------------------------------------------------------------------------------

  /** Does what a command says, waits until all has come to rest, and gives what was seen. */
  async step(command) {
    for (const client of this.clients) client.seen = [];
    if (command.by === "client") await this.clientAct(command);
    else if (command.by === "server") this.serverAct(command);
    else this.actTogether(command.commands);
    await this.settle();
    const nodes = this.nodes.map((node) => node.take());
    return { nodes, clients: this.clients.map((client) => client.seen.map((message) => this.tell(message))) };
  }

  /** Several times: what arrives may set more in motion, and nodes answer each other. */
  async settle() {
    const rounds = this.nodes.length > 1 ? 4 : 2;
    for (let round = 0; round < rounds; round++) {
      await Promise.all(this.clients.map((client) => client.deliver()));
      for (let turns = 0; turns < 2 * rounds; turns++) await turn();
      const mark = ++this.marks;
      await Promise.all(this.clients.map((client) => client.catchUp(mark)));
    }
  }

  serverAct(command) {
    this.nodes[command.node % this.nodes.length].act(command, null);
  }

  /**
   * Several things without a pause; what a client sends leaves in one piece. The original takes leaving and joining again in one
   * piece for a violation, joining twice gives two sockets, and what is sent behind a CONNECT may come before it.
   */
  actTogether(commands) {
    const parts = commands.some((command) => command.act === "part");
    const join = commands.find((command) => command.act === "join" && command.by === "client" && command.namespace !== "/nope");
    const sent = commands.filter((command) => ["part", "say", "sayBytes", "answer"].includes(command.act));
    if (join !== undefined && !parts) sent.push(join);
    // Where frames that came in one piece are taken in one by one, one that ends the connection doesn't go before the others.
    if (this.program.host === "uWebSockets.js") sent.length = Math.min(sent.length, 1);
    for (const client of this.clients) client.line.cork();
    for (const command of commands) {
      if (command.by === "server") this.serverAct(command);
      else if (sent.includes(command) && command !== join) this.clientAct(command);
    }
    if (sent.includes(join)) this.clientAct(join);
    for (const client of this.clients) client.line.uncork();
  }

  /** Gives a promise where that takes time. */
  clientAct(command) {
    if (command.act === "open") return this.open(command);
    const client = this.clients[command.client % this.clients.length];
    if (command.act === "comeBack") return this.comeBack(client);
    if (client.isGone) return;
    const { namespace, ev, args, asks, auth } = command;
    const prefix = namespace === "/" ? "" : `${namespace},`;
    const id = asks ? ++client.asked : "";
    switch (command.act) {
      case "join":
        return client.send(`40${prefix}${auth === undefined ? "" : JSON.stringify(auth)}`);
      case "part":
        return client.send(`41${prefix}`);
      case "say":
        return client.send(`42${prefix}${id}${JSON.stringify([ev, ...args])}`);
      case "sayBytes":
        return client.send(`451-${prefix}${id}${JSON.stringify([ev, ...args, { _placeholder: true, num: 0 }])}`, Buffer.from([1, 2, 3]));
      case "answer": {
        const question = client.questions.shift();
        return question && client.send(`43${question.prefix}${question.id}${JSON.stringify(args)}`);
      }
      case "raw":
        return client.send(command.packet);
      case "upgrade":
        return client.upgrade();
      case "cut":
        return client.line.abort();
      case "close":
        return client.line.close();
    }
  }

  async open(command) {
    const { length } = this.clients;
    if (length < CLIENTS_MAX) this.clients.push(await Client.open(this.nodes[length % this.nodes.length], command));
  }

  /** A new connection of a client that asks for its earlier session, if it has had an event and is away; once, since the original gives it twice. */
  async comeBack(earlier) {
    if (!earlier.isOver || earlier.pid === null || earlier.offset === undefined) return;
    if (this.clients.length >= CLIENTS_MAX + RETURNS_MAX) return;
    const client = await Client.open(this.nodes[0]);
    this.clients.push(client);
    client.send(`40${JSON.stringify({ pid: earlier.pid, offset: earlier.offset })}`);
    earlier.pid = null;
  }

  async end() {
    for (const client of this.clients) client.line.abort();
    await Promise.all(this.nodes.map((node) => node.end()));
  }
}

function turn() {
  return new Promise((resolve) => setImmediate(resolve));
}
