// The network between the clients and the server of a test: connections in memory that can be cut, held up and watched.
import { Agent, type ClientRequestArgs, type Server as HttpServer } from "node:http";
import type { Duplex } from "node:stream";
import { nextTick } from "../support/tick";
import { now } from "./expect";
import { MemorySocket } from "./memory-connection";

/** Turns of the event loop without any activity after which nothing is under way. */
const QUIET_TURNS = 8;
/** A program that never stops sending is not waited for any longer, in real time. */
export const BUSY_MS = 10_000;
const setImmediateOfNode = setImmediate; // fake clocks replace it later

interface Connection {
  readonly clientEnd: MemorySocket;
  readonly serverEnd: MemorySocket;
}

/** How the connections of one client are at the moment. `silent` and `slow` differ in the direction that is held up. */
type LineState = "up" | "cut" | "silent" | "slow";

/** The connections of one client, as an agent for `node:http` and for the option `agent` of clients. */
export class Line extends Agent {
  readonly connections = new Set<Connection>();
  private readonly network: Network;
  private state: LineState = "up";
  private waiting: (() => void)[] = [];

  constructor(network: Network) {
    super({ keepAlive: false });
    this.network = network;
  }

  override createConnection(_options: ClientRequestArgs): Duplex {
    const [clientEnd, serverEnd] = MemorySocket.pair(() => this.network.note());
    const connection = { clientEnd, serverEnd };
    if (this.state === "cut") {
      const refused = Object.assign(new Error("connect ECONNREFUSED roomcast.test"), { code: "ECONNREFUSED", syscall: "connect" });
      nextTick(() => clientEnd.destroy(refused));
      return clientEnd;
    }
    this.connections.add(connection);
    const forget = (): void => void (clientEnd.closed && serverEnd.closed && this.connections.delete(connection));
    clientEnd.once("close", forget);
    serverEnd.once("close", forget); // which may come late: what tells of the client's end is held up, too
    this.applyTo(connection);
    const open = (): void => {
      if (clientEnd.destroyed) serverEnd.destroy();
      else this.network.server.emit("connection", serverEnd);
    };
    if (this.state === "silent") this.waiting.push(open);
    else nextTick(open);
    return clientEnd;
  }

  set(state: LineState): void {
    this.state = state;
    for (const connection of this.connections) {
      const { clientEnd, serverEnd } = connection;
      if (state !== "cut") this.applyTo(connection);
      else for (const end of [clientEnd, serverEnd]) end.reset(); // one may have closed before, and no longer know the other
    }
    if (state === "up" || state === "slow") for (const open of this.waiting.splice(0)) open();
  }

  private applyTo({ clientEnd, serverEnd }: Connection): void {
    if (this.state === "silent" || this.state === "slow") clientEnd.hold();
    else clientEnd.release();
    if (this.state === "silent") serverEnd.hold();
    else serverEnd.release();
  }
}

/** All lines of one server. */
export class Network {
  readonly server: HttpServer;
  private readonly lines = new Set<Line>();
  private activity = 0;

  constructor(server: HttpServer) {
    this.server = server;
  }

  openLine(): Line {
    const line = new Line(this);
    this.lines.add(line);
    return line;
  }

  closeLine(line: Line): void {
    line.set("cut");
    this.lines.delete(line);
  }

  /** @internal Something has arrived somewhere. */
  note(): void {
    this.activity++;
  }

  set(state: LineState, line?: Line): void {
    for (const each of line === undefined ? this.lines : [line]) each.set(state);
  }

  /** Resolves when nothing is under way any more. What is held up does not count. */
  async settled(): Promise<void> {
    const until = now() + BUSY_MS;
    let seen = this.activity;
    for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
      await new Promise<void>((resolve) => setImmediateOfNode(resolve));
      if (this.activity === seen && !this.isBusy) continue;
      if (now() > until) throw new Error(`settled: something was under way for ${BUSY_MS} ms without a break`);
      seen = this.activity;
      quiet = 0;
    }
  }

  private get isBusy(): boolean {
    for (const { connections } of this.lines)
      for (const { clientEnd, serverEnd } of connections) if (clientEnd.isArriving || serverEnd.isArriving) return true;
    return false;
  }

  close(): void {
    for (const line of this.lines) this.closeLine(line);
  }
}
