import { randomBytes } from "node:crypto";
import { runInRoot } from "../support/tick";
import type { BroadcastOptions, PrivateSessionId, Room, Session, SessionToPersist, SocketId } from "./adapter";
import { MemoryAdapter } from "./memory-adapter";

/*
 * The in-memory adapter for connection state recovery: it keeps what was sent, and who may come back for it.
 *
 * Each stored packet has a position (1, 2, 3 …), and the offset appended to it is that position in writing. So an
 * offset can be judged after its packet is gone: all that matters is whether a packet behind it has been dropped that
 * this client may not have. What a client has for certain follows from the heartbeat: a connection is ordered, so
 * whoever answers a ping has everything written before it, and who answers none is gone within `graceMs`.
 */

const EVENT = 2;
const MINUTE_MS = 60_000;
const DEFAULT_MAX_DISCONNECTION_MS = 120_000;
const DEFAULT_MAX_BYTES = 64 * 1024 * 1024;
const DEFAULT_PING_INTERVAL_MS = 25_000;
const DEFAULT_PING_TIMEOUT_MS = 20_000;
/** What a stored packet or session takes beside its own bytes, roughly. */
const OVERHEAD_BYTES = 256;

/** Members of the option `connectionStateRecovery` that the adapter reads. */
export interface RecoveryOptions {
  /** How long a client may stay away, in milliseconds. Default 120,000. */
  maxDisconnectionDuration?: number;
  /** How many bytes of packets and sessions a namespace keeps; the oldest are dropped first. Default 64 MiB. */
  maxBytes?: number;
}

interface StoredPacket {
  readonly data: unknown[];
  readonly rooms: readonly Room[];
  readonly except: readonly Room[];
  readonly emittedAt: number;
  readonly bytes: number;
}

interface StoredSession {
  readonly session: SessionToPersist;
  readonly life: Life;
  readonly disconnectedAt: number;
  readonly bytes: number;
}

/** From where on a socket is owed packets, and since when its present connection has served it. */
interface Life {
  readonly position: number;
  readonly connectedAt: number;
}

/** In the beginning: for a session persisted by somebody whose socket never joined a room here. */
const UNKNOWN_LIFE: Life = { position: 0, connectedAt: 0 };

/**
 * Keeps sessions and packets of one namespace for `maxDisconnectionDuration`, within `maxBytes`.
 *
 * A session is given back once. Emits `session-expired` (`{ sid, rooms, data }`) for each session that nobody came
 * back for.
 */
export class SessionAwareAdapter extends MemoryAdapter {
  /** @internal */ readonly _maxDisconnectionMs: number;
  /** @internal */ readonly _maxBytes: number;
  /** @internal What is behind an offset of this adapter only. */ readonly _offsetPrefix: string;
  /** @internal By pid, in the order of disconnection. */ readonly _sessions: Map<PrivateSessionId, StoredSession>;
  /** @internal */ readonly _lives: Map<SocketId, Life>;
  /** @internal */ readonly _packets: PacketLog;
  /** @internal */ _sessionBytes: number;
  /** @internal */ _timer: NodeJS.Timeout | null;
  /** @internal */ _timerAt: number;

  constructor(nsp: any) {
    super(nsp);
    const options: RecoveryOptions = nsp.server.opts.connectionStateRecovery ?? {};
    this._maxDisconnectionMs = options.maxDisconnectionDuration ?? DEFAULT_MAX_DISCONNECTION_MS;
    this._maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
    this._offsetPrefix = randomBytes(3).toString("base64url");
    this._sessions = new Map();
    this._lives = new Map();
    this._packets = new PacketLog();
    this._sessionBytes = 0;
    this._timer = null;
    this._timerAt = 0;
  }

  /** Stops the clean-up timer. What is kept stays: the server may be attached again. */
  override close(): Promise<void> | void {
    if (this._timer !== null) clearTimeout(this._timer);
    this._timer = null;
  }

  override addAll(id: SocketId, rooms: Set<Room>): Promise<void> | void {
    if (!this._lives.has(id)) this._lives.set(id, { position: this._packets.last, connectedAt: Date.now() });
    return super.addAll(id, rooms);
  }

  override delAll(id: SocketId): void {
    super.delAll(id);
    this._lives.delete(id);
  }

  /** Sends a packet to the matching sockets; an event that can be recovered is numbered and kept first. */
  override broadcast(packet: any, opts: BroadcastOptions): Promise<void> | void {
    const isRecoverable = packet.type === EVENT && packet.id === undefined && !opts.flags?.volatile;
    if (!isRecoverable) return super.broadcast(packet, opts);

    const shown = { ...packet, nsp: this.nsp.name, data: packet.data.slice() }; // `onAnyOutgoing` doesn't see the offset
    packet.nsp = this.nsp.name;
    packet.data.push(this._offsetPrefix + writePosition(this._packets.last + 1));
    const frames = this.encoder.encode(packet); // before it is kept: what cannot be encoded must not be replayed
    this._packets.append({
      data: packet.data,
      rooms: [...opts.rooms],
      except: opts.except === undefined ? [] : [...opts.except],
      emittedAt: Date.now(),
      bytes: OVERHEAD_BYTES + totalLength(frames),
    });
    this._sendLocally(packet, frames, opts, shown);
    this._prune(); // last: listeners of `session-expired` may broadcast, and order must hold
  }

  override persistSession(session: SessionToPersist): void {
    this._removeSession(session.pid);
    const bytes = OVERHEAD_BYTES + totalLength(session.rooms);
    const life = this._lives.get(session.sid) ?? UNKNOWN_LIFE;
    this._sessions.set(session.pid, { session: { ...session, rooms: [...session.rooms] }, life, disconnectedAt: Date.now(), bytes });
    this._sessionBytes += bytes;
    this._prune();
  }

  /**
   * Gives a session back, once, if everything its client has missed is still here.
   *
   * `missedPackets` is determined when it is first read: whoever admits the socket reads it at that moment, so that
   * nothing falls between.
   * @param offset  the last one the client has seen; `undefined` if it has seen none yet
   */
  override restoreSession(pid: PrivateSessionId, offset?: string): Promise<Session | null> | Session | null {
    const stored = this._sessions.get(pid);
    if (stored === undefined) return null;
    if (stored.disconnectedAt + this._maxDisconnectionMs < Date.now()) {
      this._expire(stored);
      return null;
    }
    const seen = offset === undefined ? 0 : this._readOffset(offset);
    if (seen === null) return null;
    const position = Math.max(seen, stored.life.position);
    if (this._hasLost(stored, position)) return null;
    const { sid, rooms, data } = stored.session;
    if (this.nsp.sockets.has(sid) || this._index.has(sid)) return null; // the id lives: never two sockets with one

    this._removeSession(pid);
    this._lives.set(sid, { position, connectedAt: Date.now() });
    const packets = this._packets;
    let missed: unknown[][] | undefined;
    return {
      sid,
      pid,
      rooms,
      data,
      get missedPackets() {
        return (missed ??= packets.after(position, new Set(rooms)));
      },
    };
  }

  private _readOffset(offset: unknown): number | null {
    if (typeof offset !== "string" || !offset.startsWith(this._offsetPrefix)) return null;
    const position = readPosition(offset.slice(this._offsetPrefix.length));
    return position !== null && position <= this._packets.last ? position : null;
  }

  /** Whether a packet behind `position` was dropped that the client may not have received. */
  private _hasLost({ life, disconnectedAt }: StoredSession, position: number): boolean {
    const { dropped, droppedAt } = this._packets;
    if (dropped <= position) return false;
    const writtenAt = Math.max(droppedAt, life.connectedAt); // what came before this connection was written at its start
    return writtenAt >= disconnectedAt - this._graceMs();
  }

  /** The longest time between the last ping that a client has answered and the moment it is declared gone. */
  private _graceMs(): number {
    const options = this.nsp.server.engine?.opts ?? this.nsp.server.opts;
    const interval = options.pingInterval ?? DEFAULT_PING_INTERVAL_MS;
    const timeout = options.pingTimeout ?? DEFAULT_PING_TIMEOUT_MS;
    return interval + 2 * timeout;
  }

  private _removeSession(pid: PrivateSessionId): void {
    const stored = this._sessions.get(pid);
    if (stored === undefined) return;
    this._sessions.delete(pid);
    this._sessionBytes -= stored.bytes;
  }

  private _expire({ session: { sid, pid, rooms, data } }: StoredSession): void {
    this._removeSession(pid);
    this.emit("session-expired", { sid, rooms, data });
  }

  // Bounds: time, then bytes

  /** @internal */
  _prune(): void {
    const now = Date.now();
    for (const stored of this._sessions.values()) {
      if (stored.disconnectedAt + this._maxDisconnectionMs >= now) break;
      this._expire(stored);
    }
    const keptSince = now - this._maxDisconnectionMs - this._graceMs();
    while (this._packets.oldest !== undefined && this._packets.oldest.emittedAt < keptSince) this._packets.drop();

    while (this._packets.bytes + this._sessionBytes > this._maxBytes) {
      const [session] = this._sessions.values();
      const packet = this._packets.oldest;
      if (packet !== undefined && (session === undefined || packet.emittedAt <= session.disconnectedAt)) this._packets.drop();
      else if (session !== undefined) this._expire(session);
      else break;
    }
    this._schedule(now);
  }

  /** One timer, to the next session that expires; packets alone are looked at once a minute. */
  private _schedule(now: number): void {
    const [next] = this._sessions.values();
    if (next === undefined && this._packets.oldest === undefined) return;
    const expiresAt = next === undefined ? Infinity : next.disconnectedAt + this._maxDisconnectionMs + 1;
    const at = Math.min(expiresAt, now + MINUTE_MS);
    if (this._timer !== null) {
      if (this._timerAt <= at) return;
      clearTimeout(this._timer);
    }
    this._timerAt = at;
    runInRoot(() => {
      this._timer = setTimeout(onTimer, Math.max(at - now, 1), this);
      this._timer.unref?.();
    });
  }
}

function onTimer(adapter: SessionAwareAdapter): void {
  adapter._timer = null;
  adapter._prune();
}

/** Packets by position: a queue whose front is dropped. */
class PacketLog {
  /** Position of the last packet appended. */
  last = 0;
  /** Position of the last packet dropped, and when it had been emitted. */
  dropped = 0;
  droppedAt = 0;
  bytes = 0;
  private packets: (StoredPacket | undefined)[] = [];
  private front = 0;

  get oldest(): StoredPacket | undefined {
    return this.packets[this.front];
  }

  append(packet: StoredPacket): void {
    this.packets.push(packet);
    this.last++;
    this.bytes += packet.bytes;
  }

  drop(): void {
    const packet = this.packets[this.front]!;
    this.packets[this.front++] = undefined;
    this.bytes -= packet.bytes;
    this.dropped++;
    this.droppedAt = packet.emittedAt;
    if (this.front * 2 < this.packets.length) return;
    this.packets = this.packets.slice(this.front);
    this.front = 0;
  }

  /** The data of all packets behind `position` that a socket in `rooms` was meant to get. */
  after(position: number, rooms: ReadonlySet<Room>): unknown[][] {
    const data: unknown[][] = [];
    const start = this.front + Math.max(0, position - this.dropped);
    for (let i = start; i < this.packets.length; i++) {
      const packet = this.packets[i]!;
      if (packet.rooms.length > 0 && !packet.rooms.some((room) => rooms.has(room))) continue;
      if (packet.except.some((room) => rooms.has(room))) continue;
      data.push(packet.data);
    }
    return data;
  }
}

/** A number in base 36 behind its own length, so that later offsets are also greater as texts. */
function writePosition(position: number): string {
  const digits = position.toString(36);
  return digits.length.toString(36) + digits;
}

function readPosition(text: string): number | null {
  if (!/^[1-9a-z][1-9a-z][0-9a-z]*$/.test(text)) return null;
  const position = Number.parseInt(text.slice(1), 36);
  return writePosition(position) === text ? position : null;
}

/** Bytes of buffers and UTF-16 units of texts. */
function totalLength(parts: unknown): number {
  if (!Array.isArray(parts)) return 0;
  let total = 0;
  for (const part of parts) if (typeof part?.length === "number") total += part.length;
  return total;
}
