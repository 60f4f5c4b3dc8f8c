// Hands the connections of WebSockets to the workers that have their sessions, through the primary of node:cluster.
import cluster, { type Worker } from "node:cluster";
import type { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { ignore } from "../../support/ignore";
import { stopReading } from "../../support/node-internals";
import type { ServerId } from "../messages";

/*
 * worker with the connection --"hand over"--> primary --"handed over"--> worker with the session
 *                            <---"taken"-----         <----"taken"-----
 *
 * The socket travels with the message. The bytes of the request do so, too: the other worker reads them as if its own server had accepted the
 * connection. Who sends a socket keeps its own descriptor until the next one says that it was taken, and closes it when that one dies. If there is no
 * such worker, or it can take no more, the socket returns; the messages of the WebSocket are carried over the link then.
 */

/** To the primary: it can be handed connections, or can't any more, or it has taken one. */
type FromWorker =
  | { readonly roomcast: "here"; readonly uid: ServerId }
  | { readonly roomcast: "gone"; readonly uid: ServerId }
  | { readonly roomcast: "taken"; readonly id: number }
  | HandOver;

/** `uid`: of the sender. `bytes`: of the request, in base64. */
interface HandOver {
  readonly roomcast: "hand over";
  readonly id: number;
  readonly uid: ServerId;
  readonly to: ServerId;
  readonly bytes: string;
}

/** To a worker: the primary passes connections on, it has taken one, or here is one. */
type FromPrimary =
  | { readonly roomcast: "welcome"; readonly uid: ServerId }
  | { readonly roomcast: "taken"; readonly id: number }
  | { readonly roomcast: "handed over"; readonly id: number; readonly to: ServerId; readonly bytes: string };

/** Sockets on the way to one process: further ones stay where they are. */
const PENDING_MAX = 256;
/** Bytes behind the head of the request; a client sends none before it has the answer. */
const EARLY_BYTES_MAX = 16 * 1024;

/** Sockets that were sent, until they are taken. */
class Pending {
  private readonly sockets = new Map<number, Socket>();
  private count = 0;

  get isFull(): boolean {
    return this.sockets.size >= PENDING_MAX;
  }

  add(socket: Socket): number {
    this.sockets.set(++this.count, socket);
    return this.count;
  }

  /** The other process has the connection; or there is none, as the other end is gone. */
  release(id: number): void {
    this.sockets.get(id)?.destroy();
    this.sockets.delete(id);
  }

  /** That process has died. */
  releaseAll(): void {
    for (const socket of this.sockets.values()) socket.destroy();
    this.sockets.clear();
  }
}

// In a worker

/** Those of this process. */
const handovers = new Map<ServerId, Handover>();
/** Sockets that were handed over once, or have returned: they stay. */
const handed = new WeakSet<object>();
const pending = new Pending();
let isListening = false;

/** Handing over, for one server of a worker. */
export class Handover {
  private readonly uid: ServerId;
  private readonly onConnection: (socket: Socket) => void;
  private isWelcome = false;

  /** @param onConnection  gets the connections for this server, whose requests have still to be read */
  constructor(uid: ServerId, onConnection: (socket: Socket) => void) {
    this.uid = uid;
    this.onConnection = onConnection;
    handovers.set(uid, this);
    listen();
    tellPrimary({ roomcast: "here", uid });
  }

  /**
   * Gives the connection of an upgrade request away. It must not be used afterwards.
   * @returns false if it stays here: TLS, HTTP/2, too many on the way, a primary that passes none on, a Node.js that isn't known
   */
  give(to: ServerId, request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    if (!this.isWelcome || process.connected !== true || pending.isFull) return false;
    if (!isPlain(socket) || handed.has(socket) || head.length + socket.readableLength > EARLY_BYTES_MAX) return false;
    if (!stopReading(socket)) return false;
    const bytes = Buffer.concat([headOf(request), head, (socket.read() as Buffer | null) ?? EMPTY]).toString("base64");
    const id = pending.add(socket);
    const message: HandOver = { roomcast: "hand over", id, uid: this.uid, to, bytes };
    sendSocket(process as SocketSender, message, socket, () => pending.release(id));
    return true;
  }

  onWelcome(): void {
    this.isWelcome = true;
  }

  take(socket: Socket, bytes: string): void {
    handed.add(socket);
    socket.unshift(Buffer.from(bytes, "base64"));
    this.onConnection(socket);
  }

  close(): void {
    handovers.delete(this.uid);
    tellPrimary({ roomcast: "gone", uid: this.uid });
  }
}

/** Once, and for good: a socket that arrives when its server has closed has to be closed, too. */
function listen(): void {
  if (isListening) return;
  isListening = true;
  process.on("message", onMessage);
  process.on("disconnect", () => pending.releaseAll());
}

function onMessage(message: unknown, socket: unknown): void {
  if (!isFromPrimary(message)) return;
  if (message.roomcast === "welcome") return handovers.get(message.uid)?.onWelcome();
  if (message.roomcast === "taken") return pending.release(message.id);
  tellPrimary({ roomcast: "taken", id: message.id });
  if (!(socket instanceof Socket)) return; // the peer has left
  socket.on("error", ignore);
  const handover = handovers.get(message.to);
  if (handover === undefined) socket.destroy();
  else handover.take(socket, message.bytes);
}

function tellPrimary(message: FromWorker): void {
  if (process.connected) process.send!(message, undefined, undefined, ignore);
}

// In the primary

/** Passes connections on. Called once. */
export function relayHandovers(): void {
  const workers = new Map<ServerId, Worker>();
  const pendingOf = new Map<Worker, Pending>();
  const forget = (worker: Worker): void => {
    pendingOf.get(worker)?.releaseAll();
    pendingOf.delete(worker);
    for (const [uid, each] of workers) if (each === worker) workers.delete(uid);
  };
  cluster.on("disconnect", forget).on("exit", forget);
  cluster.on("message", (from: Worker, message: unknown, socket: unknown) => {
    if (!isFromWorker(message)) return;
    if (message.roomcast === "taken") return pendingOf.get(from)?.release(message.id);
    const { uid } = message;
    if (message.roomcast === "here") {
      workers.set(uid, from);
      return tellWorker(from, { roomcast: "welcome", uid });
    }
    if (message.roomcast === "gone") return void workers.delete(uid);
    tellWorker(from, { roomcast: "taken", id: message.id });
    if (!(socket instanceof Socket)) return; // the peer has left
    socket.on("error", ignore);
    const canTake = (worker: Worker | undefined): worker is Worker =>
      worker?.isConnected() === true && pendingOf.get(worker)?.isFull !== true;
    const owner = workers.get(message.to);
    const [worker, to] = canTake(owner) ? [owner, message.to] : [from, uid];
    if (!canTake(worker) || !stopReading(socket)) return void socket.destroy(); // the client goes on with polling
    let sent = pendingOf.get(worker);
    if (sent === undefined) pendingOf.set(worker, (sent = new Pending()));
    const id = sent.add(socket);
    sendSocket(worker, { roomcast: "handed over", id, to, bytes: message.bytes }, socket, () => sent.release(id));
  });
}

function tellWorker(worker: Worker, message: FromPrimary): void {
  if (worker.isConnected()) worker.send(message, ignore);
}

// In both

interface SocketSender {
  send(message: object, socket: Socket, options: { keepOpen: boolean }, callback: (error: Error | null) => void): unknown;
}

/** Sends a socket, whose own descriptor stays open. */
function sendSocket(to: SocketSender, message: HandOver | FromPrimary, socket: Socket, onFailure: () => void): void {
  (socket as { server?: unknown }).server = null; // or Node would go on counting it as a connection of the server here
  to.send(message, socket, { keepOpen: true }, (error) => {
    if (error !== null) onFailure();
  });
}

const EMPTY = Buffer.alloc(0);

/** Whether Node can pass it to another process: a connection without TLS. */
function isPlain(socket: Duplex): socket is Socket {
  return socket instanceof Socket && (socket as { encrypted?: boolean }).encrypted !== true && !socket.destroyed;
}

/** The head of a request, as it was read. */
function headOf({ method, url, httpVersion, rawHeaders }: IncomingMessage): Buffer {
  let text = `${method} ${url} HTTP/${httpVersion}\r\n`;
  for (let i = 0; i < rawHeaders.length; i += 2) text += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`;
  return Buffer.from(`${text}\r\n`, "latin1");
}

function isFromWorker(message: unknown): message is FromWorker {
  const { roomcast, id, uid, to, bytes } = (message ?? {}) as Record<string, unknown>;
  if (roomcast === "taken") return typeof id === "number";
  if (typeof uid !== "string") return false;
  if (roomcast === "here" || roomcast === "gone") return true;
  return roomcast === "hand over" && typeof id === "number" && typeof to === "string" && typeof bytes === "string";
}

function isFromPrimary(message: unknown): message is FromPrimary {
  const { roomcast, id, uid, to, bytes } = (message ?? {}) as Record<string, unknown>;
  if (roomcast === "welcome") return typeof uid === "string";
  if (typeof id !== "number") return false;
  return roomcast === "taken" || (roomcast === "handed over" && typeof to === "string" && typeof bytes === "string");
}
