// Cached recipients of a group: consecutive broadcasts to the same sockets are written by one call of the host, where it offers that.
import { hasBlob } from "../../engine/blob-reading";
import type { MulticastGroup } from "../../engine/multicast-group";
import type { Session } from "../../engine/session";
import type { BroadcastFlags, LocalSocket } from "./contract";
import { deliver, prepareAll } from "./delivery";

/*
 * Replaces the last step of "a broadcast out" (`delivery.ts`) for a room, or a whole namespace, whose sockets stay the same from one
 * broadcast to the next. The observable result is that of `deliver`.
 */

/** The cache is filled after this many broadcasts in a row to the same sockets. */
const UNCHANGED_BROADCASTS = 2;
/** With fewer sockets a single write for all of them gains nothing. */
const MIN_SOCKETS = 3;
/** After a failed attempt to fill the cache, this many broadcasts pass before the next attempt. */
const RETRY_AFTER_BROADCASTS = 50;

/** Sockets that broadcasts address together: those of a room, or of a namespace. */
export interface Group {
  /** Changes whenever the set of sockets may have changed. */
  readonly version: number;
  /** The cached recipients; null if the host of the sockets has no use for a cache. */
  recipients: RecipientCache | null;
}

/** Incremented whenever the route of a broadcast to some socket may change. */
let changes = 0;

/** Makes every cache check its sockets again: one of them has got an outgoing listener, or is about to leave. */
export function noteChange(): void {
  changes++;
}

/** The sockets of a group while they stay the same. */
export class RecipientCache {
  /** Whether the cache is filled, so that `write` may succeed. */
  isFilled = false;
  private version = -1;
  /** Broadcasts in a row to the same sockets; negative while the cache waits before the next attempt to fill it. */
  private unchangedBroadcasts = 0;
  private changesSeen = 0;
  private multicastGroup: MulticastGroup | null = null;
  private groupSockets: readonly LocalSocket[] = [];
  private others: readonly LocalSocket[] = [];

  /** How many sockets `write` reaches. */
  get size(): number {
    return this.groupSockets.length + this.others.length;
  }

  /** Whether the host of a socket can write to many connections by one call. */
  static isUsefulFor(socket: LocalSocket): boolean {
    return sessionOf(socket)?.transport.multicastWire != null;
  }

  /**
   * Sends a packet to the cached sockets. Hot: bench scenario "broadcast".
   * @param version  the version of the group
   * @returns        false if nothing was sent, since the cache is empty or outdated, or the packet must be written one by one
   */
  write(version: number, packet: any, frames: readonly unknown[], flags: BroadcastFlags | undefined, shown: object): boolean {
    if (!this.isFilled || version !== this.version) return false;
    if (this.changesSeen !== changes && !this.isUnchanged()) return false;
    if (hasBlob(frames)) return false; // each session has to wait until the Blob is read (ROB-540)
    const prepared = prepareAll(frames, flags?.compress);
    if (prepared === null || !this.multicastGroup!.write(prepared)) return false;
    if (this.others.length > 0) deliver(packet, frames, this.others, flags, { shown });
    return true;
  }

  /** Records the sockets that a broadcast was delivered to. */
  record(version: number, sockets: readonly LocalSocket[]): void {
    if (version !== this.version) {
      this.version = version;
      this.isFilled = false;
      this.unchangedBroadcasts = 0;
    }
    if (!this.isFilled && ++this.unchangedBroadcasts >= UNCHANGED_BROADCASTS) this.fill(sockets);
  }

  private isUnchanged(): boolean {
    this.changesSeen = changes;
    this.isFilled = this.groupSockets.every((socket) => sessionOf(socket) !== null);
    return this.isFilled;
  }

  private fill(sockets: readonly LocalSocket[]): void {
    const bySession = new Map<Session, LocalSocket>();
    const others: LocalSocket[] = [];
    for (const socket of sockets) {
      const session = sessionOf(socket);
      if (session === null) others.push(socket);
      else bySession.set(session, socket);
    }
    this.multicastGroup ??= createMulticastGroup(bySession.keys(), () => this.clear());
    if (this.multicastGroup === null) return this.retryLater();
    for (const session of this.multicastGroup.setMembers([...bySession.keys()])) {
      others.push(bySession.get(session)!);
      bySession.delete(session);
    }
    if (bySession.size < MIN_SOCKETS || bySession.size < others.length) return this.retryLater();
    this.groupSockets = [...bySession.values()];
    this.others = others;
    this.changesSeen = changes;
    this.isFilled = true;
  }

  private retryLater(): void {
    this.multicastGroup?.setMembers([]);
    this.groupSockets = this.others = [];
    this.unchangedBroadcasts = -RETRY_AFTER_BROADCASTS;
  }

  private clear(): void {
    this.multicastGroup = null;
    this.version = -1;
    this.isFilled = false;
    this.groupSockets = this.others = [];
  }
}

function sessionOf(socket: LocalSocket): Session | null {
  return socket._directSession?.() ?? null;
}

function createMulticastGroup(sessions: Iterable<Session>, onForgotten: () => void): MulticastGroup | null {
  for (const { transport } of sessions)
    if (transport.multicastWire !== null) return transport.multicastWire.createMulticastGroup(onForgotten);
  return null;
}
