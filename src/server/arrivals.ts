import { holdFlush, releaseFlush } from "../engine/flush";
import { afterRead, type Turn } from "../engine/read-turn";
import { PacketType } from "../protocol/packet";
import { nextTick } from "../support/tick";
import type { Socket } from "./socket";
import type { Event } from "./socket-middleware";
import type { SocketPacket } from "./socket-packet";

type AnySocket = Socket<any, any, any, any>;

const { EVENT, ACK, BINARY_EVENT, BINARY_ACK } = PacketType;

/** A packet on its way to a socket, and what the socket made of it. */
class Arrival {
  readonly socket: AnySocket | null;
  readonly packet: SocketPacket;
  next: Arrival | null = null;
  event: Event | null = null;

  constructor(socket: AnySocket | null, packet: SocketPacket) {
    this.socket = socket;
    this.packet = packet;
  }
}

/**
 * The packets of one connection that came in one go, between their decoding and their listeners.
 *
 * Two rounds in one go, when all of the chunk is taken: first each packet is handed to its socket (catch-all listeners, answers), then the listeners
 * of the events run; what has no socket yet has its turn among them. A tick of its own for each packet and each event
 * would give the same order. When user code throws, the rest has its turn in a new tick.
 */
export class Arrivals implements Turn {
  private readonly owner: ArrivalsOwner;
  private first: Arrival | null = null;
  private last: Arrival | null = null;
  /** The packet being handed over, and the first one whose listeners haven't run. */
  private current: Arrival | null = null;
  private state: "collecting" | "handing over" | "raising" = "collecting";
  /** False once an event has gone its own way, through middlewares or catch-all listeners: those behind it must not overtake it. */
  private takesEvents = true;

  constructor(owner: ArrivalsOwner) {
    this.owner = owner;
  }

  /** Adds a packet; the first one schedules the rounds. @param socket null: `onUnclaimed` of the owner takes it */
  add(socket: AnySocket | null, packet: SocketPacket): void {
    const arrival = new Arrival(socket, packet);
    if (this.last === null) {
      this.first = arrival;
      afterRead(this);
    } else {
      this.last.next = arrival;
    }
    this.last = arrival;
  }

  /** Whether a packet that passes `test` waits. */
  some(test: (socket: AnySocket | null, packet: SocketPacket) => boolean): boolean {
    for (let arrival = this.first; arrival !== null; arrival = arrival.next) {
      if (test(arrival.socket, arrival.packet)) return true;
    }
    return false;
  }

  /** Puts an event in for the second round; false if it isn't the first one of the packet that is being handed over. */
  raiseLater(socket: object, event: Event): boolean {
    const { current } = this;
    if (this.state !== "handing over" || !this.takesEvents) return false;
    if (current === null || current.socket !== socket || current.event !== null) return false;
    current.event = event;
    return true;
  }

  /** Runs the rounds, or what is left of them. */
  take(): void {
    let isDone = false;
    holdFlush();
    try {
      this.handOver();
      this.raise();
      isDone = true;
    } finally {
      releaseFlush(isDone);
      if (!isDone) nextTick(takeRest, this);
    }
  }

  private handOver(): void {
    if (this.state === "collecting") {
      this.state = "handing over";
      this.current = this.first;
      this.owner.onArrivalsTaken(this);
    } else if (this.state === "handing over") {
      this.current = this.current!.next; // the one before threw
    }
    if (this.state !== "handing over") return;
    for (; this.current !== null; this.current = this.current.next) {
      const { socket, packet } = this.current;
      if (socket === null || !(socket.connected || packet.type === ACK || packet.type === BINARY_ACK)) continue;
      socket._onpacket(packet);
      if (this.current.event === null && (packet.type === EVENT || packet.type === BINARY_EVENT)) this.takesEvents = false;
    }
    this.state = "raising";
    this.current = this.first;
    this.owner.onHandedOver();
  }

  private raise(): void {
    while (this.current !== null) {
      const { socket, packet, event, next } = this.current;
      this.current = next;
      if (socket === null) this.owner.onUnclaimed(packet);
      else if (event !== null) socket._raise(event);
    }
  }
}

/** The connection. */
export interface ArrivalsOwner {
  /** From now on packets are collected anew; `raiseLater` is open. @internal */
  onArrivalsTaken(arrivals: Arrivals): void;
  /** `raiseLater` is closed. @internal */
  onHandedOver(): void;
  /** A packet that had to wait for those before it. @internal */
  onUnclaimed(packet: SocketPacket): void;
}

function takeRest(arrivals: Arrivals): void {
  arrivals.take();
}
