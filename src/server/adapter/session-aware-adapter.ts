// The in-memory adapter with connection state recovery: stores the packets that were sent and the sessions of disconnected clients.
import { randomBytes } from "node:crypto";
import createDebug from "debug";
import { PacketType } from "../../protocol/packet";
import type { Limits } from "../../engine/limits";
import type { ErrorCode } from "../../errors";
import { sizeOf } from "../../support/size-of";
import { runInRoot } from "../../support/tick";
import { Adapter } from "./adapter";
import type { BroadcastOptions, PrivateSessionId, Room, RestorableSession, SessionToPersist, SocketId } from "./contract";

/*
 * Each stored packet has a position (1, 2, 3 …). The offset that is appended to its data is a random prefix and this position, as text.
 * So an offset can be checked after its packet was dropped: recovery fails only if a later packet was dropped as well and the client may
 * not have received it. The heartbeat tells what the client has received: a connection is ordered, so a client that answers a ping has
 * everything that was written before the ping, and a client that doesn't answer is disconnected within `_graceMs()`.
 */

const debug = createDebug("socket.io-adapter");

const { EVENT } = PacketType;
const MINUTE_MS = 60_000;
const DEFAULT_MAX_DISCONNECTION_MS = 120_000;
const DEFAULT_MAX_BYTES = 64 * 1024 * 1024;
const DEFAULT_PING_INTERVAL_MS = 25_000;
const DEFAULT_PING_TIMEOUT_MS = 20_000;
/** Estimated memory of a stored packet or session in addition to its payload. */
const OVERHEAD_BYTES = 256;

/** Members of the option `connectionStateRecovery` that the adapter reads. */
export interface RecoveryOptions {
  /** Time after its disconnection within which a client can recover its session, in milliseconds. Default 120,000. */
  maxDisconnectionDuration?: number;
  /** Bytes of packets and sessions that one namespace may store. Default 64 MiB. Above it the oldest are dropped. */
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
  readonly start: Start;
  readonly disconnectedAt: number;
  readonly bytes: number;
}

/** When a socket was connected or recovered: the position of the last packet before, and the time. */
interface Start {
  readonly position: number;
  readonly connectedAt: number;
  /** Recoveries of its session since `countedSince`, the first of them at most a minute ago. */
  readonly recoveries: number;
  readonly countedSince: number;
}

/** The start of a session whose socket never joined a room of this adapter: it may need every packet. */
const UNKNOWN_START: Start = { position: 0, connectedAt: 0, recoveries: 0, countedSince: 0 };

/**
 * The in-memory adapter with connection state recovery: stores sessions and packets of one namespace for `maxDisconnectionDuration`,
 * within `maxBytes`.
 *
 * A session can be restored once. Emits `session-expired` (`{ sid, rooms, data }`) for each session that was dropped without being restored.
 */
export class SessionAwareAdapter extends Adapter {
  /** @internal */ readonly _maxDisconnectionMs: number;
  /** @internal */ readonly _maxBytes: number;
  /** @internal Tells the offsets of this adapter from those of others, such as the one before a restart. */ readonly _offsetPrefix: string;
  /** @internal By pid, in the order of disconnection. */ readonly _sessions: Map<PrivateSessionId, StoredSession>;
  /** @internal */ readonly _starts: Map<SocketId, Start>;
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
    this._starts = new Map();
    this._packets = new PacketLog();
    this._sessionBytes = 0;
    this._timer = null;
    this._timerAt = 0;
  }

  /** Stops the clean-up timer (SES-7). Sessions and packets stay, since the server may be attached again. */
  override close(): Promise<void> | void {
    if (this._timer !== null) clearTimeout(this._timer);
    this._timer = null;
  }

  override tableSizes(): Record<string, number> {
    const { _sessions, _starts, _packets, _sessionBytes } = this;
    return {
      ...super.tableSizes?.(),
      starts: _starts.size,
      recoverySessions: _sessions.size,
      recoveryPackets: _packets.size,
      recoveryBytes: _packets.bytes + _sessionBytes,
    };
  }

  override addAll(id: SocketId, rooms: Set<Room>): Promise<void> | void {
    if (!this._starts.has(id)) this._starts.set(id, { ...UNKNOWN_START, position: this._packets.last, connectedAt: Date.now() });
    return super.addAll(id, rooms);
  }

  override delAll(id: SocketId): void {
    super.delAll(id);
    this._starts.delete(id);
  }

  /** Sends a packet to the matching sockets. An event that can be recovered first gets an offset and is stored. */
  override broadcast(packet: any, opts: BroadcastOptions): Promise<void> | void {
    const isRecoverable = packet.type === EVENT && packet.id === undefined && !opts.flags?.volatile; // CSR-3, SES-1
    if (!isRecoverable) return super.broadcast(packet, opts);

    const shown = { ...packet, nsp: this.nsp.name, data: packet.data.slice() }; // ANY-5: `onAnyOutgoing` listeners don't get the offset
    packet.nsp = this.nsp.name;
    packet.data.push(this._offsetPrefix + writePosition(this._packets.last + 1));
    const frames = this.encoder.encode(packet); // before the packet is stored: if encoding throws, it must not be replayed
    this._packets.append({
      data: packet.data,
      rooms: [...opts.rooms],
      except: opts.except === undefined ? [] : [...opts.except],
      emittedAt: Date.now(),
      bytes: OVERHEAD_BYTES + totalLength(frames),
    });
    this._sendLocally(packet, frames, opts, shown);
    this._prune(); // after sending: listeners of `session-expired` may broadcast, and packets must keep their order
  }

  override persistSession(session: SessionToPersist): void {
    this._removeSession(session.pid);
    const bytes = OVERHEAD_BYTES + sizeOf([session.rooms, session.data], this._maxBytes); // ROB-208
    const start = this._starts.get(session.sid) ?? UNKNOWN_START;
    this._sessions.set(session.pid, { session: { ...session, rooms: [...session.rooms] }, start, disconnectedAt: Date.now(), bytes });
    this._sessionBytes += bytes;
    this._prune();
  }

  /**
   * Gives a stored session, once, if all packets that its client missed are still stored.
   *
   * `missedPackets` is computed when it is first read. The namespace reads it in the tick in which it admits the socket, so that no
   * packet is lost in between.
   * @param offset  the last offset that the client received; `undefined` if it received none
   * @returns       null if the session or a missed packet is unknown or expired, a socket with its id is connected, or `limits` are exceeded
   */
  override restoreSession(pid: PrivateSessionId, offset?: string): Promise<RestorableSession | null> | RestorableSession | null {
    const stored = this._sessions.get(pid);
    if (stored === undefined) return notRestored("no session of this client is kept here");
    if (stored.disconnectedAt + this._maxDisconnectionMs < Date.now()) {
      this._expire(stored);
      return notRestored("it came back later than maxDisconnectionDuration");
    }
    const seen = offset === undefined ? 0 : this._readOffset(offset); // CSR-12: without an offset, all since the socket joined
    if (seen === null) return notRestored("its offset is none that this server gave"); // SES-5
    const position = Math.max(seen, stored.start.position);
    if (this._hasLost(stored, position)) return notRestored("a packet that it may have missed was dropped");
    const { sid, rooms, data } = stored.session;
    // CSR-14: never two sockets with one id
    if (this.nsp.sockets?.has(sid) || this._index.has(sid)) return notRestored("its socket is still connected");
    const now = Date.now();
    const isRecent = now - stored.start.countedSince < MINUTE_MS;
    const recoveries = isRecent ? stored.start.recoveries + 1 : 1;
    const exceeded = this._exceededLimit(recoveries, position, rooms);
    if (exceeded !== null) {
      this.nsp.server.engine?.counts?.add(exceeded);
      this._expire(stored);
      return notRestored(`a limit is exceeded: ${exceeded}`);
    }

    this._removeSession(pid); // CSR-14: a session is restored once
    this._starts.set(sid, { position, connectedAt: now, recoveries, countedSince: isRecent ? stored.start.countedSince : now });
    const packets = this._packets;
    let missed: unknown[][] | undefined;
    return {
      sid,
      pid,
      rooms,
      data,
      get missedPackets() {
        return (missed ??= packets.after(position, new Set(rooms)).map(({ data }) => data));
      },
    };
  }

  /** The limit that a recovery exceeds (ROB-780, ROB-781); null for none. A server of another package has no limits. */
  private _exceededLimit(recoveries: number, position: number, rooms: Room[]): ErrorCode | null {
    const limits = (this.nsp.server as { _limits?: Limits })._limits;
    if (limits === undefined) return null;
    if (recoveries > limits.recoveriesPerMinute) return "RC_ERR_RECOVERIES";
    if (Math.min(limits.replayedPackets, limits.replayedBytes) === Infinity) return null;
    const missed = this._packets.after(position, new Set(rooms));
    const bytes = missed.reduce((sum, packet) => sum + packet.bytes, 0);
    return missed.length > limits.replayedPackets || bytes > limits.replayedBytes ? "RC_ERR_REPLAY" : null;
  }

  private _readOffset(offset: unknown): number | null {
    if (typeof offset !== "string" || !offset.startsWith(this._offsetPrefix)) return null;
    const position = readPosition(offset.slice(this._offsetPrefix.length));
    return position !== null && position <= this._packets.last ? position : null;
  }

  /** Whether a packet after `position` was dropped that the client may not have received. */
  private _hasLost({ start, disconnectedAt }: StoredSession, position: number): boolean {
    const { dropped, droppedAt } = this._packets;
    if (dropped <= position) return false;
    const writtenAt = Math.max(droppedAt, start.connectedAt); // packets emitted before this connection were written when it was recovered
    return writtenAt >= disconnectedAt - this._graceMs();
  }

  /** The longest time from the last ping that a client has answered to its disconnection with `ping timeout`. */
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

  // Limits: first by time, then by bytes

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

  /** Sets the only timer: to the expiry of the next session, at most one minute ahead (SES-6). */
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

/** The stored packets in the order of their positions: appended at the end, dropped at the front. */
class PacketLog {
  /** Position of the last packet appended. */
  last = 0;
  /** Position of the last dropped packet, and the time at which that packet was emitted. */
  dropped = 0;
  droppedAt = 0;
  bytes = 0;
  private packets: (StoredPacket | undefined)[] = [];
  private front = 0;

  get size(): number {
    return this.packets.length - this.front;
  }

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

  /** All packets after `position` whose target includes a socket in `rooms` (CSR-11). */
  after(position: number, rooms: ReadonlySet<Room>): StoredPacket[] {
    const found: StoredPacket[] = [];
    const start = this.front + Math.max(0, position - this.dropped);
    for (let i = start; i < this.packets.length; i++) {
      const packet = this.packets[i]!;
      if (packet.rooms.length > 0 && !packet.rooms.some((room) => rooms.has(room))) continue;
      if (packet.except.some((room) => rooms.has(room))) continue;
      found.push(packet);
    }
    return found;
  }
}

/** A position as its number of digits, then its digits in base 36: so later offsets are greater when compared as strings (SES-2). */
function writePosition(position: number): string {
  const digits = position.toString(36);
  return digits.length.toString(36) + digits;
}

function readPosition(text: string): number | null {
  if (!/^[1-9a-z][1-9a-z][0-9a-z]*$/.test(text)) return null;
  const position = Number.parseInt(text.slice(1), 36);
  return writePosition(position) === text ? position : null;
}

/** The sum of the bytes of buffers and the UTF-16 code units of strings. */
function totalLength(parts: unknown): number {
  if (!Array.isArray(parts)) return 0;
  let total = 0;
  for (const part of parts) total += part?.byteLength ?? part?.size ?? part?.length ?? 0;
  return total;
}

function notRestored(why: string): null {
  if (debug.enabled) debug("a session is not restored: %s", why);
  return null;
}
