// The end of the walk "a broadcast out" to recipients that also got the broadcasts before: they subscribe to a topic, and one call of
// `publish` writes to all of them. uWebSockets.js writes at the end of the turn, or before the next message to a subscriber.
import { runInRoot } from "../../../support/tick";
import { coarseClock } from "../../coarse-clock";
import type { MulticastGroup } from "../../multicast-group";
import { afterTick, afterTurn, atTickEnd, isExiting, type Deferred } from "../../turn";
import type { Prepared } from "../../prepared";
import type { Session } from "../../session";
import type { Transport } from "../../transport";
import type { UwsWire, UwsWireSettings } from "./wire";

/** At most this part of the members may be written to one by one; with more, `publish` isn't used. */
const MAX_SEPARATE_PART = 1 / 8;
/** A group that is idle for this time, or up to twice as long, drops its members: their wires may be closed. */
const IDLE_MS = 10_000;

interface Member {
  readonly session: Session;
  readonly transport: Transport;
  readonly wire: UwsWire;
  isSubscribed: boolean;
}

let lastTopic = 0;

/** WebSockets of one app that get the same broadcasts (ENG-189). */
export class UwsMulticastGroup implements MulticastGroup, Deferred {
  isDeferred = false;
  private readonly topic = `roomcast ${++lastTopic}`;
  private readonly settings: UwsWireSettings;
  private readonly onForgotten: () => void;
  private members: Member[] = [];
  private isComplete = true;
  private wasUsed = true;

  /** @param onForgotten  called when the group has dropped its members, because it was idle */
  constructor(settings: UwsWireSettings, onForgotten: () => void) {
    this.settings = settings;
    this.onForgotten = onForgotten;
    keep(this);
  }

  setMembers(sessions: readonly Session[]): Session[] {
    const former = new Map(this.members.map((member) => [member.wire, member]));
    const refused: Session[] = [];
    this.members = [];
    for (const session of sessions) {
      const { transport } = session;
      const wire = transport.multicastWire as UwsWire | null;
      if (wire === null || wire.settings !== this.settings) {
        refused.push(session);
        continue;
      }
      const isSubscribed = former.get(wire)?.isSubscribed ?? wire.subscribe(this.topic);
      this.members.push({ session, transport, wire, isSubscribed });
      former.delete(wire);
    }
    for (const { wire, isSubscribed } of former.values()) if (isSubscribed) wire.unsubscribe(this.topic);
    this.isComplete = this.members.every(({ isSubscribed }) => isSubscribed);
    return refused;
  }

  /** Hot: broadcast 64 B to 1000 (uWebSockets.js). The plain way writes to each session by itself. */
  write(packets: readonly Prepared[]): boolean {
    const { members } = this;
    let bytes = 0;
    for (let i = 0; i < packets.length; i++) bytes += packets[i].toPayload().length;
    if (members.length === 0 || isExiting()) return false;
    const separate = this.notePublished(bytes);
    if (separate === null) return false;
    if (separate.size > 0 || !this.isComplete) this.arrange(separate);

    for (let i = 0; i < packets.length; i++) this.publish(packets[i]);
    this.wasUsed = true;
    atTickEnd(this); // requests the end of the tick, which changes `tick`, see `UwsWire.notePublished`
    if (unwritten.size === 0) afterTurn(onWritten);
    unwritten.add(this);
    for (const { session } of separate) for (const packet of packets) session.writePrepared(packet);
    return true;
  }

  /**
   * Adds the bytes to the published bytes of each member, except those that have other packets to send first, or whose events a program
   * observes.
   * @returns these exceptions; null if there are too many. Then all members are written to one by one, and those writes reset the count
   */
  private notePublished(bytes: number): ReadonlySet<Member> | null {
    const { members } = this;
    let found: Set<Member> | null = null;
    for (let i = 0; i < members.length; i++) {
      const member = members[i];
      const { session } = member;
      if (session.transport === member.transport && session.isTransparent && member.wire.notePublished(bytes)) {
        member.transport.lastOut = coarseClock.now;
        continue;
      }
      found ??= new Set();
      if (found.add(member).size > members.length * MAX_SEPARATE_PART) return null;
    }
    return found ?? NO_MEMBERS;
  }

  /** Subscribes all members except `separate`, which are unsubscribed. */
  private arrange(separate: ReadonlySet<Member>): void {
    for (const member of this.members) {
      const isSeparate = separate.has(member);
      if (member.isSubscribed !== isSeparate) continue;
      if (isSeparate) member.wire.unsubscribe(this.topic);
      else member.wire.subscribe(this.topic);
      member.isSubscribed = !isSeparate;
    }
    this.isComplete = separate.size === 0;
  }

  private publish(packet: Prepared): void {
    const { app, compressFrom } = this.settings;
    const isCompressed = compressFrom !== null && packet.compress && packet.size >= compressFrom;
    app.publish(this.topic, packet.toPayload(), packet.isBinary, isCompressed);
  }

  runDeferred(): void {}

  /** Makes the library write published messages now. */
  writeOut(): void {
    for (const { wire, isSubscribed } of this.members) if (isSubscribed) wire.writeOut();
  }

  /** Drops the members unless the group was used since the last call. @returns whether it has dropped them */
  forget(): boolean {
    const isForgotten = !this.wasUsed;
    this.wasUsed = false;
    if (isForgotten) {
      this.setMembers([]);
      this.onForgotten();
    }
    return isForgotten;
  }
}

const NO_MEMBERS: ReadonlySet<Member> = new Set();

// -- groups with published messages that the library may not have written ----------------------------------

const unwritten = new Set<UwsMulticastGroup>();

function onWritten(): void {
  unwritten.clear();
}

afterTick(() => {
  if (isExiting()) for (const group of unwritten) group.writeOut(); // no turn follows (ROB-340)
});

// -- idle groups --------------------------------------------------------------------------------------------

const setIntervalOfNode = setInterval; // tests replace timers later
const known = new Set<UwsMulticastGroup>();
let sweeper: NodeJS.Timeout | null = null;

function keep(group: UwsMulticastGroup): void {
  known.add(group);
  if (sweeper === null) runInRoot(startSweeper);
}

function startSweeper(): void {
  sweeper = setIntervalOfNode(sweep, IDLE_MS).unref();
}

function sweep(): void {
  for (const group of known) if (group.forget()) known.delete(group);
  if (known.size > 0) return;
  clearInterval(sweeper!);
  sweeper = null;
}
