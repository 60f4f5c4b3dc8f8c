// A step of the walk "a frame in": the packets of one connection that were received together, until their listeners have run.
import { dispatchInTick, type Dispatch } from "../../engine/turn";
import { PacketType } from "../../protocol/packet";
import type { Event } from "../socket/socket-middleware";
import type { SocketPacket } from "../socket/client-port";

/** What the queue needs of a socket. */
export interface PacketReceiver {
  readonly connected: boolean;
  _onpacket(packet: SocketPacket): void;
  _raise(event: Event): void;
}

const { DISCONNECT, EVENT, ACK, BINARY_EVENT, BINARY_ACK } = PacketType;

/** A packet for a socket (null: a CONNECT), and the event that the socket has made of it. */
class QueuedPacket {
  readonly socket: PacketReceiver | null;
  readonly packet: SocketPacket;
  next: QueuedPacket | null = null;
  event: Event | null = null;

  constructor(socket: PacketReceiver | null, packet: SocketPacket) {
    this.socket = socket;
    this.packet = packet;
  }
}

/**
 * The packets of one connection that were received together, from their decoding until their listeners have run.
 *
 *     collecting --next tick--> dispatching packets --each socket has its packets--> running listeners
 *
 * First each packet is passed to its socket, which runs acknowledgements, catch-all listeners and middlewares. Then the listeners of the
 * events run; a CONNECT is processed at its place among them. The order is the same as with a tick for each packet and each event (SIO-58,
 * EVT-21), which the original uses. When user code throws, the remaining packets are processed in a new tick.
 */
export class InboundQueue implements Dispatch {
  private readonly owner: InboundQueueOwner;
  private first: QueuedPacket | null = null;
  private last: QueuedPacket | null = null;
  /** While dispatching: the packet being passed to its socket. Afterwards: the first packet whose listeners haven't run. */
  private current: QueuedPacket | null = null;
  private state: "collecting" | "dispatching packets" | "running listeners" = "collecting";
  /** False after an event that runs its listeners in a tick of its own (middlewares, catch-all listeners): later events must not overtake it. */
  private defersListeners = true;
  // Sets, since packets must not be compared with all packets before them (ROB-110).
  private disconnecting: Set<PacketReceiver> | null = null;
  private connectNames: Set<string> | null = null;

  constructor(owner: InboundQueueOwner) {
    this.owner = owner;
  }

  /** Adds a packet for a socket. Hot: once per packet. */
  add(socket: PacketReceiver, packet: SocketPacket): void {
    if (packet.type === DISCONNECT) (this.disconnecting ??= new Set()).add(socket);
    this.append(socket, packet);
  }

  /** Adds a CONNECT, for `onConnectTurn` of the owner. Ignored if one for the same namespace is queued (ROB-112). */
  addConnect(name: string, packet: SocketPacket): void {
    this.connectNames ??= new Set();
    if (this.connectNames.has(name)) return;
    this.connectNames.add(name);
    this.append(null, packet);
  }

  /** Whether a DISCONNECT of the socket is queued. */
  hasDisconnectOf(socket: PacketReceiver): boolean {
    return this.disconnecting !== null && this.disconnecting.has(socket);
  }

  /** Appends a packet. The first packet schedules the dispatch. */
  private append(socket: PacketReceiver | null, packet: SocketPacket): void {
    const queued = new QueuedPacket(socket, packet);
    if (this.last === null) {
      this.first = queued;
      dispatchInTick(this);
    } else {
      this.last.next = queued;
    }
    this.last = queued;
  }

  /** Runs the listeners of an event after all packets were dispatched; false if the event isn't the first one of the current packet. */
  deferListeners(socket: object, event: Event): boolean {
    const { current } = this;
    if (this.state !== "dispatching packets" || !this.defersListeners) return false;
    if (current === null || current.socket !== socket || current.event !== null) return false;
    current.event = event;
    return true;
  }

  /** Processes the queue; after user code has thrown, the rest of it. @internal */
  dispatch(): void {
    this.dispatchPackets();
    this.runListeners();
  }

  private dispatchPackets(): void {
    if (this.state === "collecting") {
      this.state = "dispatching packets";
      this.current = this.first;
      this.owner.onDispatchStart(this);
    } else if (this.state === "dispatching packets") {
      this.current = this.current!.next; // user code threw while the current packet was dispatched
    }
    if (this.state !== "dispatching packets") return;
    for (; this.current !== null; this.current = this.current.next) {
      const { socket, packet } = this.current;
      if (socket === null || !(socket.connected || packet.type === ACK || packet.type === BINARY_ACK)) continue; // SIO-58
      socket._onpacket(packet);
      if (this.current.event === null && (packet.type === EVENT || packet.type === BINARY_EVENT)) this.defersListeners = false;
    }
    this.state = "running listeners";
    this.current = this.first;
    this.owner.onPacketsDispatched();
  }

  private runListeners(): void {
    while (this.current !== null) {
      const { socket, packet, event, next } = this.current;
      this.current = next;
      if (socket === null) this.owner.onConnectTurn(packet);
      else if (event !== null) socket._raise(event);
    }
  }
}

/** What the queue needs of the connection; `Client` implements it. */
export interface InboundQueueOwner {
  /** The dispatch starts: further packets go into a new queue, and `deferListeners` may be called. @internal */
  onDispatchStart(inbound: InboundQueue): void;
  /** All packets were dispatched: `deferListeners` gives false from now on. @internal */
  onPacketsDispatched(): void;
  /** A queued CONNECT is to be processed now. @internal */
  onConnectTurn(packet: SocketPacket): void;
}
