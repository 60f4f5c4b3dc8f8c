// The end of the walk "a broadcast out" to those who got the last ones, too: one call into uWebSockets.js, which has them subscribe a
// topic and writes to each of them at the end of the turn, or in front of what it is sent next.
import { runInRoot } from "../../../support/tick";
import type { Crowd } from "../../crowd";
import { afterFlush, isExiting, schedule, type Flushable } from "../../flush";
import type { Prepared } from "../../prepared";
import type { Session } from "../../session";
import type { Transport } from "../../transport";
import { afterTurn } from "./cork";
import type { UwsWire, UwsWireSettings } from "./wire";

/** Up to this part of the members may have to be written to by themselves. */
const FEW = 1 / 8;
/** A crowd that nobody spoke to is forgotten after this time, or twice as long: it holds wires that may be closed. */
const IDLE_MS = 10_000;

interface Member {
  readonly session: Session;
  readonly transport: Transport;
  readonly wire: UwsWire;
  isSubscribed: boolean;
}

let lastTopic = 0;

/** WebSockets of one app that get the same broadcasts. */
export class UwsCrowd implements Crowd, Flushable {
  isScheduled = false;
  private readonly topic = `roomcast ${++lastTopic}`;
  private readonly settings: UwsWireSettings;
  private readonly onForgotten: () => void;
  private members: Member[] = [];
  private isComplete = true;
  private wasUsed = true;

  /** @param onForgotten  called when it has let its members go, since nobody spoke to them for a while */
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
      const wire = transport.crowdWire as UwsWire | null;
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

  /** Hot: once per broadcast, with a look at each member. */
  write(packets: readonly Prepared[]): boolean {
    const { members } = this;
    let bytes = 0;
    for (let i = 0; i < packets.length; i++) bytes += packets[i].toPayload().length;
    if (members.length === 0 || isExiting()) return false;
    const alone = this.count(bytes);
    if (alone === null) return false;
    if (alone.size > 0 || !this.isComplete) this.arrange(alone);

    for (let i = 0; i < packets.length; i++) this.publish(packets[i]);
    this.wasUsed = true;
    schedule(this); // for the end of the tick to be told, see `UwsWire.notePublished`
    if (unwritten.size === 0) afterTurn(onWritten);
    unwritten.add(this);
    for (const { session } of alone) for (const packet of packets) session.writePrepared(packet);
    return true;
  }

  /**
   * Counts the bytes for each member but those who have something else to send first, or are watched.
   * @returns these; null if they are too many, and all are to be written to by themselves, which makes up for what was counted
   */
  private count(bytes: number): ReadonlySet<Member> | null {
    const { members } = this;
    let found: Set<Member> | null = null;
    for (let i = 0; i < members.length; i++) {
      const member = members[i];
      const { session } = member;
      if (session.transport === member.transport && session.isTransparent && member.wire.notePublished(bytes)) continue;
      found ??= new Set();
      if (found.add(member).size > members.length * FEW) return null;
    }
    return found ?? NOBODY;
  }

  /** Has everybody subscribe but `alone`. */
  private arrange(alone: ReadonlySet<Member>): void {
    for (const member of this.members) {
      const isAlone = alone.has(member);
      if (member.isSubscribed !== isAlone) continue;
      if (isAlone) member.wire.unsubscribe(this.topic);
      else member.wire.subscribe(this.topic);
      member.isSubscribed = !isAlone;
    }
    this.isComplete = alone.size === 0;
  }

  private publish(packet: Prepared): void {
    const { app, compressFrom } = this.settings;
    const isCompressed = compressFrom !== null && packet.compress && packet.size >= compressFrom;
    app.publish(this.topic, packet.toPayload(), typeof packet.data === "object", isCompressed);
  }

  flushScheduled(): void {}

  /** Has the library write, now. */
  writeOut(): void {
    for (const { wire, isSubscribed } of this.members) if (isSubscribed) wire.writeOut();
  }

  /** Lets the members go unless it was used since the last call. */
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

const NOBODY: ReadonlySet<Member> = new Set();

// -- what the library has been given, and may not have written -----------------------------------------

const unwritten = new Set<UwsCrowd>();

function onWritten(): void {
  unwritten.clear();
}

afterFlush(() => {
  if (isExiting()) for (const crowd of unwritten) crowd.writeOut(); // no turn follows
});

// -- crowds that nobody speaks to any more ----------------------------------------------------------------

const every = setInterval; // not a clock that tests replace
const known = new Set<UwsCrowd>();
let sweeper: NodeJS.Timeout | null = null;

function keep(crowd: UwsCrowd): void {
  known.add(crowd);
  if (sweeper === null) runInRoot(startSweeper);
}

function startSweeper(): void {
  sweeper = every(sweep, IDLE_MS).unref();
}

function sweep(): void {
  for (const crowd of known) if (crowd.forget()) known.delete(crowd);
  if (known.size > 0) return;
  clearInterval(sweeper!);
  sweeper = null;
}
