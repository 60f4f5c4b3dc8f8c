/** One server with its clients, which does what a program says and writes down what a program or a peer can see. */
import { createServer } from "node:http";
import { act } from "./acts.js";
import { Client } from "./client.js";

/** Session ids, socket ids, secrets of recovery. */
const ID = /[A-Za-z0-9_-]{20}/g;
/** The offset that recovery adds to an event, and the one that a client asks for; everybody makes his own. */
const SENT_OFFSET = /,\\"[\w-]{6,9}(?:\.\w+)?\\"\]"(?=\]?$)/;
const ASKED_OFFSET = /,\\*"offset\\*":\\*"[^"]*"/;

const CLIENTS_MAX = 5;
const RETURNS_MAX = 3;
/** Listeners that emit make other listeners emit: so deep, and no deeper. */
const DEPTH_MAX = 3;

export class World {
  /** @param Server  of the package under test */
  static async start(Server, program) {
    const world = new World(Server, program);
    world.httpServer.listen(0, "127.0.0.1");
    await new Promise((resolve) => world.httpServer.once("listening", resolve));
    return world;
  }

  constructor(Server, program) {
    this.program = program;
    this.httpServer = createServer();
    this.io = new Server(this.httpServer, {
      allowEIO3: true,
      serveClient: false,
      pingInterval: 300_000,
      pingTimeout: 300_000,
      cleanupEmptyChildNamespaces: program.cleanup,
      flush: program.flush, // the original doesn't know it
      ...(program.recovery ? { connectionStateRecovery: {} } : {}),
    });
    this.parent = this.io.of(/^\/dyn-\d$/);
    this.clients = [];
    this.sockets = [];
    this.log = [];
    this.settled = [];
    this.names = new Map();
    this.depth = 0;
    this.isLeaving = false;
    this.marks = 0;
    this.listen();
  }

  // -- listeners -------------------------------------------------------------------------------------

  listen() {
    const { io, parent } = this;
    for (const nsp of [io.of("/"), io.of("/a")]) {
      this.watchRooms(nsp);
      nsp.on("connection", (socket) => this.onConnection(socket));
    }
    parent.on("connection", (socket) => this.onConnection(socket));
    io.on("new_namespace", (nsp) => this.watchRooms(nsp));
    io.of("/a").use((socket, next) => {
      this.note("middleware", socket.id, socket.handshake.auth, socket.connected, [...socket.rooms]);
      if (!this.program.refuses || socket.handshake.auth.token === "yes") next();
      else next(Object.assign(new Error("not you"), { data: { why: "token" } }));
    });
  }

  watchRooms(nsp) {
    if (!this.program.watchesRooms) return;
    for (const event of ["create-room", "join-room", "leave-room", "delete-room"]) {
      nsp.adapter.on(event, (...args) => this.note(nsp.name, event, ...args));
    }
  }

  onConnection(socket) {
    this.note("connection", socket.nsp.name, socket.id, socket.recovered, [...socket.rooms], socket.handshake.auth);
    this.sockets.push(socket);
    for (const event of ["disconnecting", "disconnect"]) {
      socket.on(event, (reason) => {
        this.note(event, socket.id, reason, [...socket.rooms], socket.connected, socket.nsp.sockets.has(socket.id));
        this.isLeaving = event === "disconnecting";
        this.runListener(event, socket);
        this.isLeaving = false;
      });
    }
    socket.on("error", (error) => this.noteWhileConnected("error", socket, [error.message]));
    for (const event of ["e1", "e2", "message"]) {
      socket.on(event, (...args) => {
        const answer = typeof args.at(-1) === "function" ? args.pop() : undefined;
        this.note("event", socket.id, event, args, answer ? "asks" : "tells");
        this.runListener(event, socket);
        if (socket.connected) answer?.(...args); // the original answers for a socket that has left, too
      });
    }
    this.runListener("connection", socket);
  }

  runListener(event, socket) {
    if (this.depth >= DEPTH_MAX) return;
    this.depth++;
    for (const command of this.program.listeners[event]) this.act(command, socket);
    this.depth--;
  }

  // -- what is written down --------------------------------------------------------------------------

  note(...what) {
    this.log.push(this.tell(what));
  }

  /** When a promise settles depends on how many promises are behind it. */
  noteSettled(...what) {
    this.settled.push(this.tell(what));
  }

  notePromise(what, promise) {
    promise.then(
      (value) => this.noteSettled(what, value),
      (error) => this.noteSettled(what, "fails", error.message),
    );
  }

  /** The original calls some listeners for events of a socket that has ended. */
  noteWhileConnected(what, socket, args) {
    if (socket.connected) this.note(what, socket.id, args);
  }

  /** With recovery the original shows its listeners the offset, and calls none of a socket that has ended. */
  noteOutgoing(socket, args) {
    if (this.program.recovery && socket.disconnected) return;
    const last = args.length > 1 ? args.at(-1) : undefined;
    const isOffset = this.program.recovery && typeof last === "string" && /^(?=.*[A-Z\d])[\w-]{6,9}(\.\w+)?$/.test(last);
    this.note("outgoing", socket.id, isOffset ? args.slice(0, -1) : args);
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
    this.log = [];
    this.settled = [];
    for (const client of this.clients) client.seen = [];
    if (command.by === "client") await this.clientAct(command);
    else if (command.by === "server") this.act(command, null);
    else await this.actTogether(command.commands);
    await this.settle();
    return {
      server: [...this.log],
      settled: this.settled.toSorted(),
      namespaces: [...this.io._nsps.keys()],
      sessions: this.io.engine.clientsCount,
      clients: this.clients.map((client) => client.seen.map((message) => this.tell(message))),
    };
  }

  /** Twice: what arrives may set more in motion. */
  async settle() {
    for (let round = 0; round < 2; round++) {
      await Promise.all(this.clients.map((client) => client.deliver()));
      await turn();
      await turn();
      const mark = ++this.marks;
      await Promise.all(this.clients.map((client) => client.catchUp(mark)));
    }
  }

  act(command, self) {
    try {
      act(this, command, self);
    } catch (error) {
      this.note("throws", error.message);
    }
  }

  /**
   * Several things without a pause; what a client sends leaves in one piece. The original takes leaving and joining again in one
   * piece for a violation, joining twice gives two sockets, and what is sent behind a CONNECT may come before it.
   */
  async actTogether(commands) {
    for (const client of this.clients) client.line.cork();
    for (const command of commands) {
      if (command.by === "server") this.act(command, null);
      else if (["part", "say", "sayBytes", "answer"].includes(command.act)) await this.clientAct(command);
    }
    const parts = commands.some((command) => command.act === "part");
    const join = commands.find((command) => command.act === "join" && command.by === "client" && command.namespace !== "/nope");
    if (join !== undefined && !parts) await this.clientAct(join);
    for (const client of this.clients) client.line.uncork();
  }

  async clientAct(command) {
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
    if (this.clients.length < CLIENTS_MAX) this.clients.push(await Client.open(this, command));
  }

  /** A new connection of a client that asks for its earlier session, if it has had an event and is away; once, since the original gives it twice. */
  async comeBack(earlier) {
    if (!earlier.isOver || earlier.pid === null || earlier.offset === undefined) return;
    if (this.clients.length >= CLIENTS_MAX + RETURNS_MAX) return;
    const client = await Client.open(this);
    this.clients.push(client);
    client.send(`40${JSON.stringify({ pid: earlier.pid, offset: earlier.offset })}`);
    earlier.pid = null;
  }

  async end() {
    for (const client of this.clients) client.line.abort();
    await new Promise((resolve) => this.io.close(() => resolve()));
  }
}

function turn() {
  return new Promise((resolve) => setImmediate(resolve));
}
