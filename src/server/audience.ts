import type { Crowd } from "../engine/crowd";
import type { Session } from "../engine/session";
import type { BroadcastFlags, LocalSocket } from "./adapter";
import { deliver, prepareAll } from "./delivery";

/*
 * A shorter last step of "a broadcast out" for groups that get one after another: the sockets that got the last ones are remembered,
 * and where their host can, it writes to all of them in one go. The outcome is that of `deliver`.
 */

/** So often in a row a broadcast has to be for the same sockets before they are gathered. */
const STEADY = 2;
/** Fewer are as quick by themselves. */
const LEAST = 3;
/** So many broadcasts pass before what failed is tried again. */
const PATIENCE = 50;

/** A group of sockets, changing over time: a room, or everybody. */
export interface Group {
  /** Another one whenever the sockets of the group may be others. */
  readonly version: number;
  /** Its sockets as of the last broadcasts, where that is of use. */
  audience: Audience | null;
}

/** Rises whenever broadcasts may have to go another way to some socket than before. */
let changes = 0;

/** Whoever remembers sockets has to look again: one is watched now, or is about to leave. */
export function noteChange(): void {
  changes++;
}

/** The sockets of a group while they stay the same ones. */
export class Audience {
  /** Whether `write` is worth a try. */
  isGathered = false;
  private version = -1;
  private steadiness = 0;
  private changesSeen = 0;
  private crowd: Crowd | null = null;
  private inCrowd: readonly LocalSocket[] = [];
  private others: readonly LocalSocket[] = [];

  /** Whether the host of a socket gains anything by writing to many at once. */
  static isOfUseFor(socket: LocalSocket): boolean {
    return sessionOf(socket)?.transport.crowdWire != null;
  }

  /**
   * Sends a packet to all of the group, if they are known and it can be done in one go. Hot: bench scenario "broadcast".
   * @param version  the group's
   */
  write(version: number, packet: any, frames: readonly unknown[], flags: BroadcastFlags | undefined, shown: object): boolean {
    if (!this.isGathered || version !== this.version) return false;
    if (this.changesSeen !== changes && !this.isUnchanged()) return false;
    const prepared = prepareAll(frames, flags?.compress);
    if (prepared === null || !this.crowd!.write(prepared)) return false;
    if (this.others.length > 0) deliver(packet, frames, this.others, flags, { shown });
    return true;
  }

  /** Learns to whom a broadcast went. */
  watch(version: number, sockets: readonly LocalSocket[]): void {
    if (version !== this.version) {
      this.version = version;
      this.isGathered = false;
      this.steadiness = 0;
    }
    if (!this.isGathered && ++this.steadiness >= STEADY) this.gather(sockets);
  }

  private isUnchanged(): boolean {
    this.changesSeen = changes;
    this.isGathered = this.inCrowd.every((socket) => sessionOf(socket) !== null);
    return this.isGathered;
  }

  private gather(sockets: readonly LocalSocket[]): void {
    const bySession = new Map<Session, LocalSocket>();
    const others: LocalSocket[] = [];
    for (const socket of sockets) {
      const session = sessionOf(socket);
      if (session === null) others.push(socket);
      else bySession.set(session, socket);
    }
    this.crowd ??= createCrowd(bySession.keys(), () => this.forget());
    if (this.crowd === null) return this.giveUp();
    for (const session of this.crowd.setMembers([...bySession.keys()])) {
      others.push(bySession.get(session)!);
      bySession.delete(session);
    }
    if (bySession.size < LEAST || bySession.size < others.length) return this.giveUp();
    this.inCrowd = [...bySession.values()];
    this.others = others;
    this.changesSeen = changes;
    this.isGathered = true;
  }

  private giveUp(): void {
    this.crowd?.setMembers([]);
    this.inCrowd = this.others = [];
    this.steadiness = -PATIENCE;
  }

  private forget(): void {
    this.crowd = null;
    this.version = -1;
    this.isGathered = false;
    this.inCrowd = this.others = [];
  }
}

function sessionOf(socket: LocalSocket): Session | null {
  return socket._directSession?.() ?? null;
}

function createCrowd(sessions: Iterable<Session>, onForgotten: () => void): Crowd | null {
  for (const { transport } of sessions) if (transport.crowdWire !== null) return transport.crowdWire.createCrowd(onForgotten);
  return null;
}
