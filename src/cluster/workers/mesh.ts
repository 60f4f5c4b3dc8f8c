// Unix sockets between the workers of one machine: who is there, and bytes to each.
import { renameSync, unlinkSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import createDebug from "debug";
import { atTurnEnd, type Deferred } from "../../engine/turn";
import { ignore } from "../../support/ignore";
import { quoted } from "../../support/log-text";
import { nextTick } from "../../support/tick";
import type { ServerId } from "../messages";
import { WORKER_ID } from "./directory";
import { encodeFrame, FrameKind, StreamReader, PREAMBLE } from "./frames";
import { type OwnInterest, PeerInterest } from "./interest";

const debug = createDebug("socket.io-adapter");

/*
 * Each worker listens on a socket in the directory, named by its id. It writes on connections that it has opened, and reads from those that it
 * has accepted, so there are two between any two workers. A newcomer opens one to each socket of the directory; the others open theirs when they
 * get its hello. Who has died is known by the end of its connection.
 */

/** Limit of known workers, far above the cores of any machine. */
const PEERS_MAX = 1_024;
/** While more waits for a worker, responses to it are not reported as sent. */
const RESPONSE_BYTES = 1024 * 1024;
const RETRY_MS = 500;
const CLOSE_MS = 1_000;

/** What the mesh tells. Nothing of it is checked but the id. */
export interface MeshListener {
  onFrame(from: ServerId, kind: number, body: Buffer): void;
  onGone(uid: ServerId): void;
  onMalformed(reason: unknown): void;
  /** A connection was closed, as what another worker sends cannot be read. */
  onUnreadable(error: unknown): void;
  /** Messages were dropped, since a worker reads too slowly. */
  onLost(messages: number): void;
  /** The first worker reads too slowly, or none does any more. */
  onSlow(isSlow: boolean): void;
}

/** A connection to another worker. */
interface Peer {
  readonly uid: ServerId;
  readonly socket: Socket;
  isSlow: boolean;
  readonly isLook: boolean;
}

/** A connection from another worker. */
interface Incoming {
  readonly socket: Socket;
  readonly interest: PeerInterest;
}

interface Queued {
  readonly frame: Buffer;
  /** Workers with one of these bits get it; null: all. */
  readonly bits: readonly number[] | null;
  /** The only worker that gets it; null: all. */
  readonly to: ServerId | null;
}

/** The connections of one worker. */
export class Mesh implements Deferred {
  isDeferred = false;
  private readonly uid: ServerId;
  private readonly directory: string;
  private readonly maxQueuedBytes: number;
  private readonly own: OwnInterest;
  private readonly listener: MeshListener;
  private readonly server: Server;
  private readonly peers = new Map<ServerId, Peer>();
  private readonly incoming = new Map<ServerId, Incoming>();
  private readonly accepted = new Set<Socket>();
  private queue: Queued[] = [];
  private isClosed = false;

  /** @param maxQueuedBytes  what may wait for one worker */
  constructor(uid: ServerId, directory: string, maxQueuedBytes: number, own: OwnInterest, listener: MeshListener) {
    this.uid = uid;
    this.directory = directory;
    this.maxQueuedBytes = maxQueuedBytes;
    this.own = own;
    this.listener = listener;
    this.server = createServer((socket) => this.onConnection(socket));
  }

  /** Listens, and connects to the workers that are there. */
  async open(): Promise<void> {
    // Renamed once it listens: a socket under its final name that refuses a connection is one of a dead worker.
    const path = join(this.directory, `.${this.uid}`);
    await new Promise<void>((resolve, reject) => {
      this.server.once("error", reject).listen({ path, exclusive: true }, resolve); // not through the primary
    });
    this.server.on("error", ignore).unref();
    renameSync(path, this.path(this.uid));
    this.tellInterest();
    for (const uid of await this.listed()) this.connect(uid);
  }

  /** The other workers whose sockets are in the directory. */
  async listed(): Promise<ServerId[]> {
    const names = await readdir(this.directory);
    return names.filter((name) => WORKER_ID.test(name) && name !== this.uid);
  }

  get isAlone(): boolean {
    return this.peers.size === 0;
  }

  /** Sends a frame to all workers that have one of the bits, at the end of this turn. @param bits  null: to all */
  send(frame: Buffer, bits: readonly number[] | null): void {
    this.push({ frame, bits, to: null });
  }

  /** Sends a frame to one worker, at the end of this turn. @returns false if it is not there, or reads too slowly */
  sendTo(uid: ServerId, frame: Buffer): boolean {
    const peer = this.peers.get(uid);
    if (peer === undefined || peer.socket.writableLength > this.maxQueuedBytes) return false;
    this.push({ frame, bits: null, to: uid });
    return true;
  }

  /** Resolves when less than `RESPONSE_BYTES` wait for a worker, or it is gone: what answers with much sends no more until then. */
  async hasTaken(uid: ServerId): Promise<void> {
    const socket = this.peers.get(uid)?.socket;
    if (socket === undefined || socket.writableLength < RESPONSE_BYTES) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        socket.off("drain", done).off("close", done);
        resolve();
      };
      socket.on("drain", done).on("close", done);
    });
  }

  private push(queued: Queued): void {
    if (this.isClosed || this.peers.size === 0) return;
    this.queue.push(queued);
    atTurnEnd(this); // after all that has arrived in this turn: a room that another worker has told of is known (ROB-861)
  }

  /** Writes the frames of this turn: one write for each worker. @internal */
  runDeferred(): void {
    const { queue } = this;
    this.queue = [];
    let whole: Buffer | null = null;
    for (const peer of this.peers.values()) {
      const interest = this.incoming.get(peer.uid)?.interest; // until it has connected it may have everything
      const wanted = queue.filter(
        ({ bits, to }) => (to === null || to === peer.uid) && (bits === null || interest === undefined || interest.includesAny(bits)),
      );
      if (wanted.length === 0) continue;
      // Mostly all workers get all frames: then they share one buffer.
      const bytes: Buffer = wanted.length < queue.length ? joined(wanted) : (whole ??= joined(queue));
      if (this.hasRoomFor(peer, bytes)) peer.socket.write(bytes);
      else this.drop(peer, wanted);
    }
  }

  private hasRoomFor({ socket }: Peer, bytes: Buffer): boolean {
    return !socket.writableNeedDrain || socket.writableLength + bytes.length <= this.maxQueuedBytes;
  }

  /** Drops what was for all. What was for this worker alone was accepted by `sendTo`, which looks at its queue. */
  private drop(peer: Peer, queued: readonly Queued[]): void {
    const own = queued.filter(({ to }) => to !== null);
    if (own.length > 0) peer.socket.write(joined(own));
    if (own.length < queued.length) this.listener.onLost(queued.length - own.length);
    this.setSlow(peer, true);
  }

  /** Tells all workers what has changed in `own`, at once. */
  tellInterest(): void {
    const changes = this.own.takeChanges();
    if (changes === null) return;
    const frame = encodeFrame(changes.isWhole ? FrameKind.Interest : FrameKind.Changes, changes.body);
    for (const peer of this.peers.values()) {
      if (peer.socket.writableLength > this.maxQueuedBytes) this.setSlow(peer, true);
      if (!peer.isSlow) peer.socket.write(frame); // otherwise the whole set follows
    }
  }

  private setSlow(peer: Peer, isSlow: boolean): void {
    if (peer.isSlow === isSlow) return;
    const wasAny = this.isAnySlow();
    peer.isSlow = isSlow;
    if (debug.enabled) debug("the worker %s reads %s", quoted(peer.uid), isSlow ? "too slowly: messages to it are dropped" : "again");
    if (!isSlow) peer.socket.write(encodeFrame(FrameKind.Interest, this.own.whole));
    if (this.isAnySlow() !== wasAny) this.listener.onSlow(isSlow);
  }

  private isAnySlow(): boolean {
    for (const { isSlow } of this.peers.values()) if (isSlow) return true;
    return false;
  }

  // Connections

  /** @param isLook  only to see whether a worker that has gone without a word is dead */
  private connect(uid: ServerId, isLook = false): void {
    if (this.isClosed || this.peers.has(uid) || this.peers.size >= PEERS_MAX) return;
    const socket = connect(this.path(uid));
    const peer: Peer = { uid, socket, isSlow: false, isLook };
    this.peers.set(uid, peer);
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED") unlinkSafely(this.path(uid));
    });
    socket.on("drain", () => this.setSlow(peer, false));
    socket.on("close", () => this.onOutgoingClosed(peer));
    socket.unref();
    socket.write(Buffer.concat([PREAMBLE, encodeFrame(FrameKind.Hello, this.uid), encodeFrame(FrameKind.Interest, this.own.whole)]));
  }

  private onOutgoingClosed(peer: Peer): void {
    this.setSlow(peer, false);
    this.peers.delete(peer.uid);
    // If its own connection is open, it lives, and ours is opened again. Else one look: a process that is being killed still accepts connections.
    const isThere = (): boolean => this.incoming.has(peer.uid);
    const again = (): void => (isThere() || !peer.isLook ? this.connect(peer.uid, !isThere()) : undefined);
    if (isThere() || !peer.isLook) setTimeout(again, RETRY_MS).unref();
  }

  private onConnection(socket: Socket): void {
    if (this.isClosed || this.accepted.size >= PEERS_MAX) return void socket.destroy();
    this.accepted.add(socket);
    const reader = new StreamReader();
    let uid: ServerId | null = null;
    const onFrame = (kind: number, body: Buffer): void => {
      if (uid === null) this.onHello(socket, (uid = readHello(kind, body)));
      else if (kind === FrameKind.Interest || kind === FrameKind.Changes) this.onInterest(uid, kind, body);
      else if (!this.isClosed) this.give(uid, kind, body);
    };
    socket.on("data", (chunk: Buffer) => {
      try {
        reader.read(chunk, onFrame);
      } catch (error) {
        this.listener.onMalformed(error);
        this.listener.onUnreadable(error);
        socket.destroy();
      }
    });
    socket.on("error", ignore);
    socket.on("close", () => {
      this.accepted.delete(socket);
      if (uid !== null) this.onIncomingClosed(uid, socket);
    });
    socket.unref();
  }

  /** What throws here is thrown by a listener of the program: in a tick of its own, so that the frames behind are read. */
  private give(uid: ServerId, kind: number, body: Buffer): void {
    try {
      this.listener.onFrame(uid, kind, body);
    } catch (error) {
      nextTick(() => {
        throw error;
      });
    }
  }

  private onHello(socket: Socket, uid: ServerId): void {
    if (debug.enabled) debug("the worker %s has connected", quoted(uid));
    this.incoming.set(uid, { socket, interest: new PeerInterest() });
    this.connect(uid);
  }

  private onInterest(uid: ServerId, kind: number, body: Buffer): void {
    const interest = this.incoming.get(uid)?.interest;
    if (interest === undefined) return;
    if (!(kind === FrameKind.Interest ? interest.replace(body) : interest.change(body)))
      this.listener.onMalformed("rooms of a worker that make no sense");
  }

  private onIncomingClosed(uid: ServerId, socket: Socket): void {
    if (this.incoming.get(uid)?.socket !== socket) return;
    this.incoming.delete(uid);
    this.peers.get(uid)?.socket.destroy();
    if (!this.isClosed) this.listener.onGone(uid);
  }

  /** Sends what waits, and closes all. */
  async close(): Promise<void> {
    if (this.isDeferred) {
      this.isDeferred = false;
      this.runDeferred();
    }
    this.isClosed = true;
    unlinkSafely(this.path(this.uid));
    const sockets = Array.from(this.peers.values(), ({ socket }) => socket);
    for (const socket of sockets) socket.destroySoon();
    setTimeout(() => sockets.forEach((socket) => socket.destroy()), CLOSE_MS).unref(); // those that nobody reads
    for (const socket of this.accepted) socket.destroy();
    if (this.server.listening) await new Promise((resolve) => this.server.close(resolve));
  }

  /** The process exits without a `close`. */
  leave(): void {
    unlinkSafely(this.path(this.uid));
  }

  private path(uid: ServerId): string {
    return join(this.directory, uid);
  }
}

function readHello(kind: number, body: Buffer): ServerId {
  const uid = body.toString("latin1");
  if (kind !== FrameKind.Hello || !WORKER_ID.test(uid)) throw new Error("expected the hello of a worker");
  return uid;
}

function joined(queued: readonly Queued[]): Buffer {
  return queued.length === 1 ? queued[0].frame : Buffer.concat(queued.map(({ frame }) => frame));
}

function unlinkSafely(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // it is gone already
  }
}
