// A step of the walks "an emit out" and "a broadcast out": the packets of a session, in order, until its transport takes them.
import { nextTick } from "../support/tick";
import type { BufferedTotal } from "./totals";
import { PACKET_OVERHEAD_BYTES } from "./limits";
import type { Prepared, PublicPacket, SendCallback } from "./prepared";
import { StallWatch, type StallOwner } from "./stall-watch";
import { HANDED_LIMIT_BYTES, HANDED_LIMIT_PACKETS, type Transport } from "./transport";
import { atTickEnd, atTurnEnd, type Deferred } from "./turn";

/** What an outbox needs of its session. */
export interface OutboxOwner extends StallOwner {
  /** @internal */
  readonly transport: Transport;
  /** @internal */
  readonly server: StallOwner["server"];
  /** Whether `onFlush` and `onDrain` have to be called, because the program observes these events. @internal */
  readonly isFlushObserved: boolean;
  /** Packets are about to be written, or are the lead (see `Outbox`): the event `flush` (ENG-136). @internal */
  onFlush(packets: PublicPacket[]): void;
  /** After `onFlush`: the event `drain`. @internal */
  onDrain(): void;
  /** All packets were written to the transport. @internal */
  onOutboxEmpty(): void;
}

/**
 * The packets that a session sends, with their size, their limits and their state:
 *
 *     idle --push--> pending --end of the tick--> writing --all taken--> idle
 *                                                     \--held up, no poll, not ready--> blocked --transport ready--> writing
 *     any --close--> closed
 *
 * The first packet of a tick, `lead`, counts as written at once: its events are emitted in `push`. It is really written at the end of the
 * tick, in one write with the packets behind it.
 */
export class Outbox implements Deferred {
  isDeferred: boolean;
  private readonly owner: OutboxOwner;
  private state: "idle" | "pending" | "writing" | "blocked" | "closed";
  private lead: Prepared | null;
  /** The packets behind the lead, oldest first; those before `head` have been written. */
  private packets: Prepared[] | null;
  private head: number;
  /** Memory of `packets` in bytes (ROB-120); a packet that is shared with other sessions counts fully. */
  cost: number;
  /** How many of `packets` are counted in the engine's total. A packet that is written in its own tick is never counted. */
  private counted: number;
  /** How many of `packets` are special, see `isSpecial`. */
  private special: number;
  /** Callbacks of packets that were written, and not reported as taken by the system (ENG-137). */
  private callbacks: SendCallback[] | null;
  /** @internal */ stall: StallWatch | null;

  constructor(owner: OutboxOwner) {
    this.isDeferred = false;
    this.owner = owner;
    this.state = "idle";
    this.lead = null;
    this.packets = null;
    this.head = 0;
    this.cost = 0;
    this.counted = 0;
    this.special = 0;
    this.callbacks = null;
    this.stall = null;
  }

  /** Whether nothing waits and the transport is free. */
  get isIdle(): boolean {
    return this.state === "idle";
  }

  /** Whether no packets wait for the transport; the lead counts as written. */
  get isEmpty(): boolean {
    return this.packets === null && this.state !== "writing";
  }

  /** How many packets wait for the transport. */
  get length(): number {
    return this.packets === null ? 0 : this.packets.length - this.head;
  }

  /** Bytes of all packets with the lead, as in `Prepared.size`. */
  get bytes(): number {
    return this.cost - this.length * PACKET_OVERHEAD_BYTES + (this.lead === null ? 0 : this.lead.size);
  }

  /** The packets that wait for the transport; a copy. */
  toArray(): Prepared[] {
    return this.packets === null ? [] : this.packets.slice(this.head);
  }

  /** Callbacks of packets that were written, and not reported as taken by the system. */
  get sentCallbacks(): readonly SendCallback[] {
    return this.callbacks ?? [];
  }

  /** The watch, created when it is first needed. @internal */
  get stallWatch(): StallWatch {
    return (this.stall ??= new StallWatch(this.owner));
  }

  private get total(): BufferedTotal {
    return this.owner.server.total;
  }

  // -- adding packets --------------------------------------------------------------------------------

  /**
   * Adds a packet. Hot: echo with ack, 8 in flight; broadcast 64 B to 1000: a single packet of a tick needs no array. The plain way is
   * `append` for all packets.
   */
  push(packet: Prepared): void {
    const { transport } = this.owner;
    if (this.state !== "idle" || !transport.writable || packet.reading !== null || (transport.compresses && packet.isLarge)) {
      return this.append(packet);
    }
    this.state = "pending";
    this.lead = packet;
    transport.writable = false;
    if (packet.callback !== null || transport.writesAtOnce || this.owner.isFlushObserved) this.pushObserved(packet);
    else atTickEnd(this);
  }

  /** A lead that the program observes. A polling response is written at once then, so that the program sees no delay. */
  private pushObserved(packet: Prepared): void {
    const { owner } = this;
    const { transport } = owner;
    const isObserved = owner.isFlushObserved;
    if (packet.callback !== null) (this.callbacks ??= []).push(packet.callback);
    try {
      if (isObserved) owner.onFlush([packet.toPublic()]);
    } finally {
      if (transport.name === "polling" || transport.writesAtOnce) this.writeLead();
      else atTickEnd(this);
    }
    if (isObserved) owner.onDrain();
  }

  private append(packet: Prepared): void {
    if (this.state === "closed") return; // a listener of `packetCreate` has ended the session
    if (this.packets === null) this.packets = [packet];
    else this.packets.push(packet);
    this.cost += packet.size + PACKET_OVERHEAD_BYTES;
    if (isSpecial(packet)) this.appendSpecial(packet);
    if (this.state === "blocked") {
      this.count();
      if ((this.state as string) === "closed") return; // the program has ended the session
    }
    if (this.cost > this.owner.server.limits.watchedBytes) this.watch();
    if (this.state !== "idle") return;
    this.state = "pending"; // the transport isn't writable (its poll was answered with a noop), or the packet is not ready
    atTickEnd(this);
  }

  private appendSpecial(packet: Prepared): void {
    this.special++;
    if (packet.reading !== null) packet.reading.addWaiter(this);
  }

  /** Sends the packets of the handshake. A polling response contains these and no later ones (ENG-89). */
  open(packets: readonly Prepared[]): void {
    if (this.owner.transport.name !== "polling") {
      for (const packet of packets) this.push(packet);
      return;
    }
    this.state = "pending";
    for (const packet of packets) this.append(packet);
    this.flush();
  }

  // -- writing packets -------------------------------------------------------------------------------

  /** Called at the end of the tick, or of the turn if the transport asks for that. @internal */
  runDeferred(): void {
    if (this.state !== "pending") return;
    if (this.packets !== null && this.owner.transport.waitsForTurnEnd) atTurnEnd(this);
    else this.advance();
  }

  /** Writes now what would be written at the end of the tick. */
  flush(): void {
    if (this.state !== "pending") return;
    this.isDeferred = false;
    this.advance();
  }

  /** Writes the lead now, because something else is about to be written to the connection. The other packets follow at the end of the tick. */
  writeLead(): void {
    const { lead } = this;
    if (lead === null) return;
    const { transport } = this.owner;
    this.lead = null;
    transport.write(lead, null);
    if (this.state !== "pending") return;
    const { flow } = transport;
    if (flow === "free" || flow === "in flight") return atTickEnd(this);
    this.block();
    this.settle();
  }

  /** Removes and returns the lead, for a transport that is closed. */
  takeLead(): Prepared | null {
    const { lead } = this;
    this.lead = null;
    return lead;
  }

  /** Packets can be written again: the last ones are taken, a poll arrived, the session was upgraded, or a packet is ready. */
  onTransportReady(): void {
    if (this.state === "blocked" || this.state === "idle") this.advance();
  }

  /** The system has not taken what was written. */
  onTransportHeldUp(): void {
    if (this.state === "closed") return;
    if (this.state === "idle") this.state = "blocked";
    this.stallWatch.recount();
  }

  /** Writes packets until none are left or the transport takes no more. */
  private advance(): void {
    const { owner } = this;
    let isDone = false;
    this.state = "writing";
    try {
      while (this.lead !== null || this.packets !== null) {
        const { flow } = owner.transport;
        if (flow !== "free" && flow !== "in flight") break;
        if (!this.writeSome(owner.transport)) break; // the next packet is not ready
        if ((this.state as string) !== "writing") return; // the session has ended
      }
      isDone = true;
    } finally {
      if (!isDone && this.state === "writing") this.retry(); // a listener threw
    }
    this.block();
    this.settle();
  }

  /** Writes the rest at the end of the next tick. */
  private retry(): void {
    this.state = "pending";
    atTickEnd(this);
  }

  /** Writes the lead, and as many packets as the transport takes at a time. @returns false when nothing could be written */
  private writeSome(transport: Transport): boolean {
    const { lead } = this;
    this.lead = null;
    let first = lead;
    let more: Prepared[] | null = null;
    let observed: PublicPacket[] | null = null;
    if (this.packets !== null) {
      more = this.take(transport, lead === null ? 0 : 1);
      if (more.length > 0 && this.owner.isFlushObserved) observed = more.map((packet) => packet.toPublic());
      if (first === null && more.length > 0) first = more.shift()!;
      if (more.length === 0) more = null;
    }
    if (first === null) return false;
    transport.writable = false;
    if (observed === null) {
      transport.write(first, more);
      return true;
    }
    try {
      this.owner.onFlush(observed);
    } finally {
      if (this.state === "writing") transport.write(first, more);
    }
    this.owner.onDrain();
    return true;
  }

  /** What is left waits for the peer, and counts in the engine's total. */
  private block(): void {
    this.state = "blocked";
    if (this.packets !== null) this.count();
  }

  /** Reports what was written, and returns to `idle` when the transport is free. */
  private settle(): void {
    const { owner } = this;
    if (this.packets === null && this.lead === null) owner.onOutboxEmpty();
    if (this.state !== "blocked") return; // the session was closing, and has ended
    const { transport } = owner;
    const { flow } = transport;
    if (flow === "held up") return this.onTransportHeldUp();
    if (this.stall !== null) this.stall.recount();
    else if (flow === "no poll" && transport.heldBytes > 0) this.stallWatch.recount(); // a response that isn't read counts in the total (ROB-155)
    if (flow === "in flight" || (this.state as string) === "closed") return;
    if (flow === "free" && this.packets === null) this.state = "idle";
    if (flow === "free" && !transport.writable) transport.onTaken();
    if (this.callbacks !== null) this.callBack();
  }

  /** Calls the callbacks of packets that were taken (ENG-137). */
  private callBack(): void {
    const callbacks = this.callbacks!;
    this.callbacks = null;
    for (const callback of callbacks) callback(this.owner.transport);
  }

  /**
   * Removes the packets of one write: up to the one that reaches the limit, or is not ready. Packets whose Blobs could not be read are
   * dropped (ROB-541).
   * @param ahead  packets that are written in front of them: the lead
   */
  private take(transport: Transport, ahead: number): Prepared[] {
    const packets = this.packets!;
    const { head } = this;
    const isResponse = transport.name === "polling";
    const limitBytes = isResponse ? Infinity : HANDED_LIMIT_BYTES;
    const limitPackets = (isResponse ? transport.maxPackets : HANDED_LIMIT_PACKETS) - ahead;
    if (this.special === 0 && this.counted === 0 && packets.length - head <= limitPackets && this.cost <= limitBytes) {
      this.clear();
      return head === 0 ? packets : packets.slice(head);
    }
    const batch: Prepared[] = [];
    let end = head;
    for (let taken = 0; end < packets.length && batch.length < limitPackets && taken < limitBytes; end++) {
      const packet = packets[end];
      const { reading, callback } = packet;
      if (reading !== null && reading.state === "pending") break;
      if (packet.isLarge && !this.isPrepared(packet, transport)) break;
      if (isSpecial(packet)) this.special--;
      if (reading === null || reading.state === "ready") {
        batch.push(packet);
        taken += packet.size;
        if (callback !== null) (this.callbacks ??= []).push(callback);
      }
      this.cost -= packet.size + PACKET_OVERHEAD_BYTES;
      if (this.counted > 0) this.uncount(packet);
    }
    this.head = end;
    if (end === packets.length) this.clear();
    else if (end > WRITTEN_KEPT_MAX) this.trim();
    return batch;
  }

  /** Whether a large packet can be written: a transport that compresses prepares it first (ROB-615). */
  private isPrepared(packet: Prepared, transport: Transport): boolean {
    const readiness = transport.preparationOf(packet);
    if (readiness === null || readiness.state !== "pending") return true;
    readiness.addWaiter(this);
    return false;
  }

  private clear(): void {
    this.packets = null;
    this.head = this.cost = this.counted = this.special = 0;
  }

  /** Drops references to packets that were written. */
  private trim(): void {
    this.packets = this.packets!.slice(this.head);
    this.head = 0;
  }

  // -- limits --------------------------------------------------------------------------------------

  /** Adds the packets that aren't counted yet to the engine's total; a shared packet counts once (ROB-122). */
  private count(): void {
    const { total } = this;
    const packets = this.packets!;
    for (let index = this.head + this.counted; index < packets.length; index++) {
      const packet = packets[index];
      this.counted++;
      if (packet.shared) {
        total.bytes += PACKET_OVERHEAD_BYTES;
        packet.addWaiter(total);
      } else {
        total.bytes += packet.size + PACKET_OVERHEAD_BYTES;
      }
    }
    if (total.isOver) total.check();
    if (this.cost > this.owner.server.limits.slowReaderBytes) this.stallWatch.onLongQueue();
  }

  /** Removes waiting packets, without Blobs and callbacks, from a queue that is blocked (ROB-750). @param left  the others, in order */
  remove(packets: readonly Prepared[], left: Prepared[]): void {
    for (const packet of packets) {
      if (isSpecial(packet)) this.special--;
      this.cost -= packet.size + PACKET_OVERHEAD_BYTES;
      this.uncount(packet);
    }
    this.packets = left;
    this.head = 0;
  }

  private uncount(packet: Prepared): void {
    this.counted--;
    if (packet.shared) {
      this.total.bytes -= PACKET_OVERHEAD_BYTES;
      packet.removeWaiter();
    } else {
      this.total.bytes -= packet.size + PACKET_OVERHEAD_BYTES;
    }
  }

  /** The queue is long: ends the session if it is over a limit, else watches its progress. */
  private watch(): void {
    this.stallWatch.check();
    this.total.check();
  }

  /** The session closes when all packets are written: limits the time for that (ROB-161). */
  watchClosing(): void {
    this.stallWatch.watchClosing();
  }

  /** Bytes in the engine's total for which this session is responsible. */
  get heldBytes(): number {
    return this.cost + (this.stall === null ? 0 : this.stall.countedBytes);
  }

  /** The session has ended: removes its packets from the total. `writeBuffer` shows them until the next tick (ROB-523). */
  close(): void {
    this.state = "closed";
    this.isDeferred = false;
    this.lead = null;
    this.callbacks = null;
    this.stall?.cancel();
    this.stall?.leaveTransport();
    if (this.packets === null) return;
    for (let index = this.head; this.counted > 0; index++) this.uncount(this.packets[index]);
    nextTick(drop, this);
  }

  /** @internal */
  drop(): void {
    this.clear();
  }
}

/** Whether `take` has to look at a packet: it has Blobs, a callback, or may have to be compressed before it is written. */
function isSpecial(packet: Prepared): boolean {
  return packet.reading !== null || packet.callback !== null || packet.isLarge;
}

/** Up to so many written packets stay referenced, so that the queue isn't copied at each write. */
const WRITTEN_KEPT_MAX = 1024;

function drop(outbox: Outbox): void {
  outbox.drop();
}
