// `drained()` of sockets and of targets: waits until few bytes wait for clients.
import { RoomcastError, UsageError } from "../../errors";
import type { Session } from "../../engine/session";
import type { DrainWaiter } from "../../engine/stall-watch";
import type { Room } from "../adapter/contract";

/** Options of `drained()`. */
export interface DrainedOptions {
  /** Resolves when fewer bytes than this wait for the client. At least 1: nothing waits. Default 65536 (64 KiB). */
  below?: number;
  /** Rejects with the reason of this signal when it is aborted. */
  signal?: AbortSignal;
}

/** What is needed of a socket. */
interface DrainableSocket {
  readonly id: string;
  readonly bufferedBytes: number;
  readonly rooms: ReadonlySet<Room>;
  readonly _state: string;
  readonly client: { readonly _directSession: Session | null };
}

const DEFAULT_BELOW_BYTES = 64 * 1024;

/** Resolves when fewer than `below` bytes wait for this socket's client; rejects when the socket is disconnected (ROB-746, ROB-747). */
export function socketDrained(socket: DrainableSocket, options: DrainedOptions = {}): Promise<void> {
  return new Promise((resolve, reject) => new Drain([socket], options, null, resolve, reject));
}

/**
 * Resolves when fewer than `below` bytes wait for each of these sockets; those that are disconnected, or are in none of the rooms any more,
 * are not waited for (ROB-748).
 * @param rooms  empty: all sockets of the namespace
 */
export function allDrained(sockets: readonly DrainableSocket[], options: DrainedOptions = {}, rooms: ReadonlySet<Room>): Promise<void> {
  return new Promise((resolve, reject) => new Drain(sockets, options, rooms, resolve, reject));
}

/** A socket was disconnected, or has left a room. */
export function tellDrains(socket: DrainableSocket): void {
  const session = socket.client._directSession;
  if (session !== null && session.outbox.stall !== null) session.outbox.stall.tellLeft(socket);
}

/** One call of `drained()`. */
class Drain {
  readonly below: number;
  private readonly signal: AbortSignal | undefined;
  /** The rooms of a target; null for a single socket, whose disconnection is an error. */
  private readonly rooms: ReadonlySet<Room> | null;
  private readonly resolve: () => void;
  private readonly reject: (error: unknown) => void;
  private readonly members: Set<Member>;
  private readonly onAbort: () => void;

  constructor(
    sockets: readonly DrainableSocket[],
    { below = DEFAULT_BELOW_BYTES, signal }: DrainedOptions,
    rooms: ReadonlySet<Room> | null,
    resolve: () => void,
    reject: (error: unknown) => void,
  ) {
    if (typeof below !== "number" || !(below >= 1)) {
      throw new UsageError("RC_ERR_ARGUMENT", `drained: expected below to be a number of bytes, at least 1, met ${String(below)}`);
    }
    if (signal !== undefined && !(signal instanceof AbortSignal)) {
      throw new UsageError("RC_ERR_ARGUMENT", `drained: expected signal to be an AbortSignal, met ${typeof signal}`);
    }
    signal?.throwIfAborted();
    this.below = below;
    this.signal = signal;
    this.rooms = rooms;
    this.resolve = resolve;
    this.reject = reject;
    this.members = new Set();
    this.onAbort = () => this.fail(this.signal!.reason);
    for (const socket of sockets) {
      if (socket._state === "left") {
        if (rooms === null) throw disconnectedError(socket);
      } else if (socket.bufferedBytes >= below) this.add(socket);
    }
    if (this.members.size === 0) resolve();
    else signal?.addEventListener("abort", this.onAbort);
  }

  private add(socket: DrainableSocket): void {
    const session = socket.client._directSession;
    if (session === null) return; // an engine of another package doesn't tell
    const member = new Member(this, socket, session);
    this.members.add(member);
    session.outbox.stallWatch.addWaiter(member);
  }

  /** This member is not waited for any more. */
  remove(member: Member): void {
    this.members.delete(member);
    member.stop();
    if (this.members.size > 0) return;
    this.signal?.removeEventListener("abort", this.onAbort);
    this.resolve();
  }

  /** The socket of this member was disconnected, or has left a room. */
  onLeft(member: Member): void {
    const { socket } = member;
    const { rooms } = this;
    const isGone = socket._state === "left";
    if (isGone && rooms === null) this.fail(disconnectedError(socket));
    else if (isGone || (rooms !== null && rooms.size > 0 && !isInAny(socket, rooms))) this.remove(member);
  }

  private fail(error: unknown): void {
    this.signal?.removeEventListener("abort", this.onAbort);
    for (const member of this.members) member.stop();
    this.members.clear();
    this.reject(error);
  }
}

/** One socket that a call of `drained()` waits for. */
class Member implements DrainWaiter {
  readonly below: number;
  readonly socket: DrainableSocket;
  private readonly drain: Drain;
  private readonly session: Session;

  constructor(drain: Drain, socket: DrainableSocket, session: Session) {
    this.below = drain.below;
    this.drain = drain;
    this.socket = socket;
    this.session = session;
  }

  onDrained(): void {
    this.drain.remove(this);
  }

  onLeft(user: object): void {
    if (user === this.socket) this.drain.onLeft(this);
  }

  stop(): void {
    this.session.outbox.stall?.removeWaiter(this);
  }
}

function isInAny(socket: DrainableSocket, rooms: ReadonlySet<Room>): boolean {
  for (const room of socket.rooms) if (rooms.has(room)) return true;
  return false;
}

function disconnectedError({ id }: DrainableSocket): RoomcastError {
  return new RoomcastError("RC_ERR_DISCONNECTED", `the socket ${id} was disconnected while data waited for its client`);
}
