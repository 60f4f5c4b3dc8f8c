import { PacketType } from "../protocol/packet";
import { Adapter, type BroadcastFlags, type BroadcastOptions, type Room, type SocketId } from "./adapter";
import { answersAsPromise, BroadcastAnswers, forgetAcks, type AckCallback } from "./acks";
import type {
  AllButLast,
  DecorateAcknowledgements,
  EventNames,
  EventNamesWithError,
  EventParams,
  EventsMap,
  FirstNonErrorArg,
  Last,
  TypedEventBroadcaster,
} from "./events";
import { RemoteSocket, type SocketDetails } from "./remote-socket";
import { RESERVED_EVENTS, reservedEventError } from "./reserved-events";

/*
 * Step of the walk "a broadcast out": a target (rooms, exceptions, flags) and what can be done to it. Comes from a
 * server, namespace or socket; what is emitted goes on to the namespace's adapter.
 */

/** Flags of a target; the private one tells a target of exactly one socket. */
export type TargetFlags = BroadcastFlags & { expectSingleResponse?: boolean };

const { EVENT } = PacketType;
/** Finds sockets of this server alone; whoever replaces it may find others. */
const fetchOwnSockets: unknown = Adapter.prototype.fetchSockets;

/**
 * The sockets that an event, or an order, is meant for. Immutable: each modifier gives a new target.
 *
 * Several rooms make a union, each socket is reached once; no room at all means the whole namespace.
 */
export class BroadcastOperator<EmitEvents extends EventsMap, SocketData> implements TypedEventBroadcaster<EmitEvents> {
  private readonly adapter: Adapter;
  private readonly rooms: Set<Room>;
  private readonly exceptRooms: Set<Room>;
  private readonly flags: TargetFlags;

  /** For the classes of this package; programs start from `io.to()`, `io.except()` and the like. */
  constructor(adapter: Adapter, rooms: Set<Room> = new Set(), exceptRooms: Set<Room> = new Set(), flags: TargetFlags = {}) {
    this.adapter = adapter;
    this.rooms = rooms;
    this.exceptRooms = exceptRooms;
    this.flags = flags;
  }

  // Modifiers

  /**
   * Adds rooms to the target.
   * @param room  a room or an array of rooms; an empty array adds none, so that `io.to([])` reaches everybody
   */
  to(room: Room | Room[]): BroadcastOperator<EmitEvents, SocketData> {
    return new BroadcastOperator(this.adapter, withRooms(this.rooms, room), this.exceptRooms, this.flags);
  }

  /** Same as `to`. */
  in(room: Room | Room[]): BroadcastOperator<EmitEvents, SocketData> {
    return this.to(room);
  }

  /**
   * Leaves out whoever is in one of these rooms, whatever else he is in.
   * @param room  a room or an array of rooms
   */
  except(room: Room | Room[]): BroadcastOperator<EmitEvents, SocketData> {
    return new BroadcastOperator(this.adapter, this.rooms, withRooms(this.exceptRooms, room), this.flags);
  }

  /** Tells transports that negotiated compression whether to use it. Default `true`. */
  compress(compress: boolean): BroadcastOperator<EmitEvents, SocketData> {
    return this.withFlags({ compress });
  }

  /** The same target, for events that may get lost: whoever cannot take one right now doesn't get it. */
  get volatile(): BroadcastOperator<EmitEvents, SocketData> {
    return this.withFlags({ volatile: true });
  }

  /** The same target, without the sockets of other servers. */
  get local(): BroadcastOperator<EmitEvents, SocketData> {
    return this.withFlags({ local: true });
  }

  /**
   * Limits the time that clients have for their answers.
   * @param timeout  milliseconds
   */
  timeout(timeout: number): BroadcastOperator<DecorateAcknowledgements<EmitEvents>, SocketData> {
    return this.withFlags({ timeout });
  }

  // Events

  /**
   * Sends an event.
   *
   * With a callback in last place the clients are asked for answers: it gets `(err, responses)`, where `responses`
   * holds the first value of each answer in order of arrival. Without `timeout()` it waits until all have answered.
   * @returns true
   * @throws  UsageError RC_ERR_RESERVED_EVENT; what the encoder throws on values it cannot encode
   */
  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean;
  emit(...data: any[]): boolean {
    if (RESERVED_EVENTS.has(data[0])) throw reservedEventError(data[0]);
    if (data.length > 1 && typeof data[data.length - 1] === "function") this.emitExpectingAnswers(data);
    else void this.adapter.broadcast({ type: EVENT, data }, this.options);
    return true;
  }

  /**
   * Sends an event and gives the answers of all clients.
   * @returns the first value of each answer, in order of arrival; rejects when the time set by `timeout()` is over,
   *          with an error whose member `responses` holds what came until then
   */
  emitWithAck<Ev extends EventNamesWithError<EmitEvents>>(
    ev: Ev,
    ...args: AllButLast<EventParams<EmitEvents, Ev>>
  ): Promise<FirstNonErrorArg<Last<EventParams<EmitEvents, Ev>>>>;
  emitWithAck(...data: any[]): Promise<any> {
    return answersAsPromise((callback) => {
      data.push(callback);
      (this.emit as (...data: any[]) => boolean)(...data);
    });
  }

  private emitExpectingAnswers(data: any[]): void {
    const { adapter, flags } = this;
    const packet: { type: number; data: any[]; id?: number } = { type: EVENT, data };
    const answers = new BroadcastAnswers(data.pop() as AckCallback, {
      timeoutMs: flags.timeout,
      onlyOne: flags.expectSingleResponse === true,
      forget: () => ("_forgetAcks" in adapter ? (adapter as AcksOwner)._forgetAcks(packet) : forgetAcks(adapter, packet.id)),
    });
    try {
      adapter.broadcastWithAck(
        packet,
        this.options,
        (count) => answers.addClients(count),
        (value) => answers.addResponse(value),
      );
    } catch (error) {
      answers.cancel();
      throw error;
    }
    // Asynchronously in any case, so that nobody is called back before `emit` returns.
    if (flags.local === true) void Promise.resolve().then(() => answers.expectServers(1));
    else adapter.serverCount().then((count) => answers.expectServers(count), ignore);
  }

  // Sockets

  /**
   * Gives the ids of the sockets in the target's rooms, of all servers; exceptions and flags don't count.
   * @deprecated use `fetchSockets()`
   */
  allSockets(): Promise<Set<SocketId>> {
    return this.adapter.sockets(this.rooms);
  }

  /** Gives the matching sockets: those of this server themselves, those of others as `RemoteSocket`. */
  fetchSockets(): Promise<RemoteSocket<EmitEvents, SocketData>[]> {
    const { adapter } = this;
    const found = adapter.fetchSockets(this.options);
    if (adapter.fetchSockets === fetchOwnSockets) return found;
    return found.then((sockets) =>
      sockets.map((socket) => (socket.server ? socket : new RemoteSocket(adapter, socket as SocketDetails<SocketData>))),
    );
  }

  /**
   * Makes the matching sockets join rooms.
   * @param room  a room or an array of rooms
   */
  socketsJoin(room: Room | Room[]): void {
    void this.adapter.addSockets(this.options, Array.isArray(room) ? room : [room]);
  }

  /**
   * Makes the matching sockets leave rooms.
   * @param room  a room or an array of rooms
   */
  socketsLeave(room: Room | Room[]): void {
    void this.adapter.delSockets(this.options, Array.isArray(room) ? room : [room]);
  }

  /**
   * Disconnects the matching sockets.
   * @param close  whether their connections are closed as well, and with them their sockets in other namespaces
   */
  disconnectSockets(close: boolean = false): void {
    void this.adapter.disconnectSockets(this.options, close);
  }

  private get options(): BroadcastOptions {
    return { rooms: this.rooms, except: this.exceptRooms, flags: this.flags };
  }

  private withFlags(flags: TargetFlags): BroadcastOperator<EmitEvents, SocketData> {
    return new BroadcastOperator(this.adapter, this.rooms, this.exceptRooms, { ...this.flags, ...flags });
  }
}

/** An adapter that itself knows where the acknowledgements of a packet wait. */
export interface AcksOwner {
  _forgetAcks(packet: object): void;
}

/** How many servers there are cannot be told: the answers are complete at the deadline only. */
function ignore(): void {}

function withRooms(rooms: ReadonlySet<Room>, room: Room | Room[]): Set<Room> {
  const union = new Set(rooms);
  if (Array.isArray(room)) for (const one of room) union.add(one);
  else union.add(room);
  return union;
}
