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
 *
 * The socket travels with the message. The bytes of the request do so, too: the other worker reads them as if its own server had accepted the
 * connection. When the primary knows no worker with that id, the socket returns; the WebSocket is carried over the link then.
 */

/** To the primary, with the id of the sender: it can be handed connections, or can't any more, or hands one over. */
type ToPrimary =
  | { readonly roomcast: "here"; readonly uid: ServerId }
  | { readonly roomcast: "gone"; readonly uid: ServerId }
  | { readonly roomcast: "hand over"; readonly uid: ServerId; readonly to: ServerId; readonly bytes: string };

/** To a worker. `bytes`: of the request, in base64. */
interface ToWorker {
  readonly roomcast: "handed over";
  readonly to: ServerId;
  readonly bytes: string;
}

/** Sockets on the way to one process: above this number they are carried, or closed in the primary. */
const PENDING_MAX = 256;
/** Bytes behind the head of the request; a client sends none before it has the answer. */
const HEAD_BYTES_MAX = 64 * 1024;

/** Handing over, in a worker. */
export class Handover {
  private readonly uid: ServerId;
  private readonly onConnection: (socket: Socket) => void;
  /** Sockets that were handed over once, or have returned. */
  private readonly handed = new WeakSet<object>();
  private pending = 0;

  /** @param onConnection  gets the connections for this worker, whose requests have still to be read */
  constructor(uid: ServerId, onConnection: (socket: Socket) => void) {
    this.uid = uid;
    this.onConnection = onConnection;
    process.on("message", this.onMessage);
    this.tell("here");
  }

  /**
   * Gives the connection of an upgrade request away. It must not be used afterwards.
   * @returns false if it stays here: TLS, HTTP/2, too many on the way, no primary, a Node.js that isn't known
   */
  give(to: ServerId, request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    if (!isPlain(socket) || this.handed.has(socket) || this.pending >= PENDING_MAX || head.length > HEAD_BYTES_MAX) return false;
    if (process.connected !== true) return false;
    if (!stopReading(socket)) return false;
    const bytes = Buffer.concat([headOf(request), head, (socket.read() as Buffer | null) ?? EMPTY]).toString("base64");
    (socket as { server?: unknown }).server = null; // or Node would count it as a connection of this server's that the primary has
    this.pending++;
    process.send!({ roomcast: "hand over", uid: this.uid, to, bytes } satisfies ToPrimary, socket, undefined, () => {
      this.pending--;
      socket.destroy();
    });
    return true;
  }

  private readonly onMessage = (message: unknown, socket: unknown): void => {
    if (!isHandedOver(message) || !(socket instanceof Socket)) return;
    if (message.to !== this.uid) return;
    this.handed.add(socket);
    socket.on("error", ignore);
    socket.unshift(Buffer.from(message.bytes, "base64"));
    this.onConnection(socket);
  };

  close(): void {
    process.off("message", this.onMessage);
    this.tell("gone");
  }

  private tell(what: "here" | "gone"): void {
    if (process.connected) process.send!({ roomcast: what, uid: this.uid }, undefined, undefined, ignore);
  }
}

/** Passes connections on, in the primary. Called once. */
export function relayHandovers(): void {
  const workers = new Map<ServerId, Worker>();
  const pending = new Map<Worker, number>();
  cluster.on("message", (from: Worker, message: unknown, socket: unknown) => {
    if (!isToPrimary(message)) return;
    if (message.roomcast === "here") return void workers.set(message.uid, from);
    if (message.roomcast === "gone") return void workers.delete(message.uid);
    if (!(socket instanceof Socket)) return; // the peer has left
    const { uid, bytes } = message;
    const to = workers.has(message.to) ? message.to : uid; // a process that isn't a worker of this primary: it returns
    const worker = workers.get(to) ?? from;
    const count = pending.get(worker) ?? 0;
    if (!worker.isConnected() || count >= PENDING_MAX || !stopReading(socket)) return void socket.destroy(); // the client goes on with polling
    pending.set(worker, count + 1);
    worker.send({ roomcast: "handed over", to, bytes } satisfies ToWorker, socket, undefined, () => {
      if (pending.has(worker)) pending.set(worker, pending.get(worker)! - 1);
      socket.destroy();
    });
  });
  cluster.on("exit", (worker) => {
    pending.delete(worker);
    for (const [uid, each] of workers) if (each === worker) workers.delete(uid);
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

function isToPrimary(message: unknown): message is ToPrimary {
  const { roomcast, uid, to, bytes } = (message ?? {}) as Record<string, unknown>;
  if (typeof uid !== "string") return false;
  return roomcast === "here" || roomcast === "gone" || (roomcast === "hand over" && typeof to === "string" && typeof bytes === "string");
}

function isHandedOver(message: unknown): message is ToWorker {
  const { roomcast, to, bytes } = (message ?? {}) as Record<string, unknown>;
  return roomcast === "handed over" && typeof to === "string" && typeof bytes === "string";
}
