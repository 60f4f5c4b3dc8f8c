/** One server of a world, with the program's listeners. It writes down what they see. */
import { act } from "./acts.js";

/** Listeners that emit make other listeners emit: so deep, and no deeper. */
const DEPTH_MAX = 3;

export class ServerNode {
  /**
   * @param parsers  by the name that the program uses; the default one goes without
   * @param host     what the server is attached to: `{ attach(io), listen() → port, close() }`
   * @param options  of the server, beside those of the program
   */
  constructor(world, { Server, parsers }, host, options) {
    const { program } = world;
    this.world = world;
    this.program = program;
    this.host = host;
    this.port = 0;
    this.io = new Server({
      allowEIO3: true,
      serveClient: false,
      pingInterval: 300_000,
      pingTimeout: 300_000,
      // In a cluster, requests of a namespace that was taken down under them stay open in the original.
      cleanupEmptyChildNamespaces: program.cleanup && program.nodes === 1,
      flush: program.flush, // the original doesn't know it
      ...(program.recovery && program.nodes === 1 ? { connectionStateRecovery: {} } : {}),
      ...(program.parser === "default" ? {} : { parser: parsers[program.parser] }),
      ...options,
    });
    host.attach(this.io);
    this.parent = this.io.of(/^\/dyn-\d$/);
    this.log = [];
    this.settled = [];
    this.depth = 0;
    this.isLeaving = false;
    this.listen();
  }

  /** The sockets of all nodes that ever connected. */
  get sockets() {
    return this.world.sockets;
  }

  async start() {
    this.port = await this.host.listen();
  }

  async end() {
    await new Promise((resolve) => this.io.close(() => resolve()));
    this.host.close();
  }

  /** Does what a command says; `self` is the socket whose listener does it, or null. */
  act(command, self) {
    try {
      act(this, command, self);
    } catch (error) {
      this.note("throws", error.message);
    }
  }

  /** What was seen since the last call. */
  take() {
    const { log, settled, io } = this;
    this.log = [];
    this.settled = [];
    return { log, settled: settled.sort(), namespaces: [...io._nsps.keys()], sessions: io.engine.clientsCount };
  }

  // -- listeners -------------------------------------------------------------------------------------

  listen() {
    const { io, parent } = this;
    for (const nsp of [io.of("/"), io.of("/a")]) {
      this.watchRooms(nsp);
      nsp.on("connection", (socket) => this.onConnection(socket));
    }
    parent.on("connection", (socket) => this.onConnection(socket));
    for (const event of ["e1", "e2"]) io.on(event, (...args) => this.onServerSide(event, args));
    io.on("new_namespace", (nsp) => this.watchRooms(nsp));
    io.of("/a").use((socket, next) => {
      this.note("middleware", socket.id, socket.handshake.auth, socket.connected, [...socket.rooms]);
      if (!this.program.refuses || socket.handshake.auth.token === "yes") next();
      else next(Object.assign(new Error("not you"), { data: { why: "token" } }));
    });
  }

  /** An event that another node has raised. */
  onServerSide(event, args) {
    const answer = typeof args.at(-1) === "function" ? args.pop() : undefined;
    this.note("server side", event, args);
    answer?.("from another node");
  }

  watchRooms(nsp) {
    if (!this.program.watchesRooms) return;
    for (const event of ["create-room", "join-room", "leave-room", "delete-room"]) {
      nsp.adapter.on(event, (...args) => this.note(nsp.name, event, ...args));
    }
  }

  onConnection(socket) {
    this.note("connection", socket.nsp.name, socket.id, socket.recovered, [...socket.rooms], socket.handshake.auth);
    this.world.sockets.push(socket);
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
    this.log.push(this.world.tell(what));
  }

  /** When a promise settles depends on how many promises are behind it. */
  noteSettled(...what) {
    this.settled.push(this.world.tell(what));
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
}
