// A step of the walk "a broadcast out": a target (rooms, exceptions, flags) and the operations on its sockets.
// Targets are created by a server, namespace or socket. Events and other operations are passed to the adapter of the namespace.
import { PacketType } from "../../protocol/packet";
import { Adapter } from "../adapter/adapter";
import type { BroadcastFlags, BroadcastOptions, Room, SocketId } from "../adapter/contract";
import { answersAsPromise, BroadcastAnswers, forgetAcksOfBroadcast, lifetimeOf, withLeave, type AckCallback } from "../socket/acks";
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
} from "../events";
import { allDrained, type DrainedOptions } from "../socket/drained";
import type { Socket } from "../socket/socket";
import { reasonEvent, type DisconnectOptions } from "../socket/disconnect-reason";
import { RemoteSocket, type SocketDetails } from "./remote-socket";
import { expectEventName } from "../reserved-events";
import { runSpanned } from "../../support/channel";
import { ignore } from "../../support/ignore";
import { broadcastEnd, broadcastStart, type BroadcastMessage } from "../channels";
import { isAckObserved, observedAck } from "../socket/observed-ack";
import { countSockets, hasSocket } from "./counting";
import { isReplaced } from "../../support/replaced-methods";

/** Flags of a target. `expectSingleResponse`: the target is a single socket, so an acknowledgement is one value, not an array (ACK-28). */
export type TargetFlags = BroadcastFlags & { expectSingleResponse?: boolean };

const { EVENT } = PacketType;
/** Gives sockets of this server only. An adapter with another `fetchSockets` may give remote ones. */
const fetchOwnSockets: unknown = Adapter.prototype.fetchSockets;

/**
 * A target: the sockets that an event or another operation is meant for. Immutable: each modifier gives a new target.
 *
 * Several rooms form a union in which each socket occurs once. Without rooms the target is the whole namespace.
 */
export class BroadcastOperator<EmitEvents extends EventsMap, SocketData> implements TypedEventBroadcaster<EmitEvents> {
  private readonly adapter: Adapter;
  private readonly rooms: Set<Room>;
  private readonly exceptRooms: Set<Room>;
  private readonly flags: TargetFlags;

  /** Called by this package. Programs get a target from `io.to()`, `io.except()` and similar methods. */
  constructor(adapter: Adapter, rooms: Set<Room> = new Set(), exceptRooms: Set<Room> = new Set(), flags: TargetFlags = {}) {
    this.adapter = adapter;
    this.rooms = rooms;
    this.exceptRooms = exceptRooms;
    this.flags = flags;
  }

  // Modifiers

  /**
   * Adds rooms to the target.
   * @param room  a room or an array of rooms; an empty array adds none, so that `io.to([])` reaches all sockets
   * @example
   * io.to("room-1").to(["room-2", "room-3"]).emit("news", "hello");
   */
  to(room: Room | Room[]): BroadcastOperator<EmitEvents, SocketData> {
    return new BroadcastOperator(this.adapter, withRooms(this.rooms, room), this.exceptRooms, this.flags);
  }

  /**
   * Same as `to`.
   * @example
   * await io.in("room-1").fetchSockets();
   */
  in(room: Room | Room[]): BroadcastOperator<EmitEvents, SocketData> {
    return this.to(room);
  }

  /**
   * Excludes sockets that are in any of these rooms, even if they are also in a target room.
   * @param room  a room or an array of rooms
   * @example
   * io.to("room-1").except("muted").emit("news", "hello");
   */
  except(room: Room | Room[]): BroadcastOperator<EmitEvents, SocketData> {
    return new BroadcastOperator(this.adapter, this.rooms, withRooms(this.exceptRooms, room), this.flags);
  }

  /**
   * Enables or disables compression of the event, on connections that have negotiated compression. Default `true`.
   * @example
   * io.to("room-1").compress(false).emit("image", buffer);
   */
  compress(compress: boolean): BroadcastOperator<EmitEvents, SocketData> {
    return this.withFlags({ compress });
  }

  /**
   * The same target with volatile events: an event is dropped for each socket whose transport is not writable at that moment.
   * @example
   * io.to("room-1").volatile.emit("position", { x: 1, y: 2 });
   */
  get volatile(): BroadcastOperator<EmitEvents, SocketData> {
    return this.withFlags({ volatile: true });
  }

  /**
   * The same target, limited to the sockets of this server.
   * @example
   * io.local.to("room-1").emit("only this server");
   */
  get local(): BroadcastOperator<EmitEvents, SocketData> {
    return this.withFlags({ local: true });
  }

  /**
   * Sets the time in which clients have to acknowledge the event.
   * @param timeout  milliseconds
   * @example
   * io.to("room-1").timeout(1000).emit("question", (err, answers) => console.log(err ? "some did not answer" : answers));
   */
  timeout(timeout: number): BroadcastOperator<DecorateAcknowledgements<EmitEvents>, SocketData> {
    return this.withFlags({ timeout });
  }

  // Events

  /**
   * Sends an event.
   *
   * If the last argument is a function, clients are asked to acknowledge the event. The function is called once with `(err, responses)`;
   * `responses` holds the first value of each acknowledgement, in order of arrival. Without `timeout()` there is no time limit.
   * A client that disconnects is not waited for: `err` is set once all others have acknowledged (RC_ERR_DISCONNECTED).
   * @returns true
   * @throws  UsageError RC_ERR_RESERVED_EVENT, RC_ERR_EVENT_NAME; EncodingError RC_ERR_ENCODING
   * @example
   * io.to("room-1").emit("news", { title: "hello" });
   */
  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean;
  emit(...data: any[]): boolean {
    expectEventName(data[0]);
    if (broadcastStart.hasSubscribers || broadcastEnd.hasSubscribers) this.emitObserved(data);
    else this.emitNow(data);
    return true;
  }

  private emitNow(data: any[]): void {
    if (data.length > 1 && typeof data[data.length - 1] === "function") this.emitExpectingAnswers(data);
    else void this.adapter.broadcast({ type: EVENT, data }, this.options);
  }

  private emitObserved(data: any[]): void {
    const [event, ...args] = data;
    const { rooms, exceptRooms: except, flags } = this;
    const { nsp: namespace } = this.adapter;
    const message: BroadcastMessage = { namespace, event, args, rooms, except, flags, trace: null, error: undefined, run: null };
    broadcastStart.publish(message);
    const target = message.trace === null ? this : this.withFlags({ trace: message.trace });
    try {
      runSpanned(message, () => target.emitNow(data));
    } catch (error) {
      message.error = error;
      throw error;
    } finally {
      broadcastEnd.publish(message);
    }
  }

  /**
   * Sends an event and waits for the acknowledgements of all clients.
   * @returns the first value of each acknowledgement, in order of arrival; rejects after the time set by `timeout()`, with an error
   *          whose `responses` holds the values received so far
   * @example
   * const answers = await io.to("room-1").timeout(1000).emitWithAck("question");
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
    const { server } = adapter.nsp ?? {};
    const timeout = flags.timeout ?? lifetimeOf(server); // other servers forget it after the life time, too
    const packet: { type: number; data: any[]; id?: number } = { type: EVENT, data };
    let callback = data.pop() as AckCallback;
    const isSingle = flags.expectSingleResponse === true;
    if (isAckObserved()) callback = observedAck(null, adapter.nsp, data[0], callback, true, !isSingle);
    const answers = new BroadcastAnswers(callback, {
      timeoutMs: flags.timeout,
      isSingle,
      server,
      forget: () =>
        "_forgetAcksOfBroadcast" in adapter
          ? (adapter as AcksOwner)._forgetAcksOfBroadcast(packet)
          : forgetAcksOfBroadcast(adapter, packet.id),
      onEnd: () => adapter._onAcksEnd?.(packet), // adapters of other packages have none
    });
    try {
      adapter.broadcastWithAck(
        packet,
        timeout === undefined ? this.options : { ...this.options, flags: { ...flags, timeout } },
        (count) => answers.addClients(count),
        withLeave(
          (value) => answers.addResponse(value),
          () => answers.onLeave(),
        ),
      );
    } catch (error) {
      answers.cancel();
      throw error;
    }
    // ACK-23: always asynchronous, so that the callback never runs before `emit` has returned.
    if (flags.local === true) void Promise.resolve().then(() => answers.expectServers(1));
    else adapter.serverCount().then((count) => answers.expectServers(count), ignore);
  }

  // Sockets

  /**
   * Gives the ids of the sockets in the target's rooms, on all servers. Excluded rooms and flags are ignored.
   * @deprecated use `fetchSockets()`
   */
  allSockets(): Promise<Set<SocketId>> {
    return this.adapter.sockets(this.rooms);
  }

  /**
   * Gives the matching sockets: `Socket` instances for this server, `RemoteSocket` instances for other servers.
   * @param options  `partial: true`: gives what has arrived in time, and the servers that were silent, instead of failing
   * @returns rejects if a server doesn't answer in time (`timeout()`, default 5 seconds), with a ClusterError: `responses` has the sockets
   *          that have arrived, `silent` the ids of the servers that have not answered
   * @example
   * for (const socket of await io.in("room-1").fetchSockets()) console.log(socket.id, socket.data);
   * const { sockets, silent } = await io.in("room-1").fetchSockets({ partial: true });
   */
  fetchSockets(options: { partial: true }): Promise<PartialSockets<RemoteSocket<EmitEvents, SocketData>>>;
  fetchSockets(): Promise<RemoteSocket<EmitEvents, SocketData>[]>; // the last one: mocks and `ReturnType` see it
  fetchSockets(options?: { partial?: boolean }): Promise<any> {
    const { adapter } = this;
    const found = adapter.fetchSockets(this.options);
    if (!isReplaced("adapter.fetchSockets", adapter.fetchSockets, fetchOwnSockets)) return options?.partial ? partially(found) : found;
    const withMethods = (sockets: any[]): any[] => sockets.map((socket) => (socket.server ? socket : this.remoteSocket(socket))); // BRO-10, MEM-6
    if (options?.partial) return partially(found).then(({ sockets, silent }) => ({ sockets: withMethods(sockets), silent }));
    return found.then(withMethods, (error: { responses?: unknown }) => {
      if (Array.isArray(error?.responses)) error.responses = withMethods(error.responses);
      throw error;
    });
  }

  /**
   * Counts the matching sockets, on all servers, without moving their data.
   * @returns rejects as `fetchSockets()` does, with counts in `responses`
   * @example
   * console.log(await io.in("room-1").count());
   */
  count(): Promise<number> {
    return countSockets(this.adapter, this.options);
  }

  /**
   * Whether a socket is among the matching ones, on any server.
   * @example
   * if (await io.in("room-1").has(socketId)) console.log("is there");
   */
  has(id: SocketId): Promise<boolean> {
    return hasSocket(this.adapter, this.options, id);
  }

  private remoteSocket(details: SocketDetails<SocketData>): RemoteSocket<EmitEvents, SocketData> {
    const target = new BroadcastOperator<EmitEvents, SocketData>(this.adapter, new Set([details.id]), new Set(), {
      expectSingleResponse: true,
    });
    return new RemoteSocket(target, details);
  }

  /**
   * Makes the matching sockets join rooms.
   * @param room  a room or an array of rooms
   * @returns over several servers a promise that resolves when all have done it, if their adapters tell (those of this package do). Need not be awaited;
   *          rejects with a ClusterError if a server doesn't tell in time
   * @example
   * await io.in("room-1").socketsJoin("room-2");
   */
  socketsJoin(room: Room | Room[]): Promise<void> | void {
    return settled(this.adapter.addSockets(this.options, Array.isArray(room) ? room : [room]));
  }

  /**
   * Makes the matching sockets leave rooms.
   * @param room  a room or an array of rooms
   * @returns as `socketsJoin`
   * @example
   * io.in("room-1").socketsLeave(["room-1", "room-2"]);
   */
  socketsLeave(room: Room | Room[]): Promise<void> | void {
    return settled(this.adapter.delSockets(this.options, Array.isArray(room) ? room : [room]));
  }

  /**
   * Disconnects the matching sockets.
   * @param close    true: closes their connections as well, and so their sockets in other namespaces. Default false
   * @param options  `reason`: a text that the clients get as an event before, also those of other servers (ROB-719)
   * @returns as `socketsJoin`
   * @example
   * io.in("room-1").disconnectSockets(true, { reason: "the room was closed" });
   */
  disconnectSockets(close: boolean = false, options?: DisconnectOptions): Promise<void> | void {
    if (options !== undefined) void this.adapter.broadcast({ type: EVENT, data: reasonEvent(options) }, this.options);
    return settled(this.adapter.disconnectSockets(this.options, close));
  }

  /**
   * Waits until fewer than `below` bytes (default 65536) wait for each matching socket of this server, at once if so already. Sockets of
   * other servers are not waited for, nor sockets that are disconnected meanwhile or leave the rooms of the target, nor those that join later.
   * @returns rejects with the reason of `signal` when that is aborted, and with UsageError RC_ERR_ARGUMENT
   * @example
   * io.to("room-1").emit("chunk", bytes);
   * await io.to("room-1").drained();
   */
  async drained(options?: DrainedOptions): Promise<void> {
    const { adapter } = this;
    const target = { ...this.options, flags: { ...this.flags, local: true } };
    const sockets = "_fetchOfChildren" in adapter ? (adapter as ChildrenOwner)._fetchOfChildren(target) : adapter.fetchSockets(target);
    return allDrained(await sockets, options, this.rooms);
  }

  private get options(): BroadcastOptions {
    return { rooms: this.rooms, except: this.exceptRooms, flags: this.flags };
  }

  private withFlags(flags: TargetFlags): BroadcastOperator<EmitEvents, SocketData> {
    return new BroadcastOperator(this.adapter, this.rooms, this.exceptRooms, { ...this.flags, ...flags });
  }
}

/** What `fetchSockets({ partial: true })` gives. */
export interface PartialSockets<S> {
  /** The sockets that were told in time. */
  sockets: S[];
  /** Ids of the servers that have not answered, as far as they are known (see `io.nodes()`). */
  silent: string[];
}

/** Turns the error of an incomplete answer into the part that has arrived. */
async function partially(found: Promise<any[]>): Promise<PartialSockets<any>> {
  try {
    return { sockets: await found, silent: [] };
  } catch (error) {
    const { responses, silent } = error as { responses?: unknown; silent?: string[] };
    if (!Array.isArray(responses)) throw error;
    return { sockets: responses, silent: silent ?? [] };
  }
}

/** A promise of what an adapter does, which need not be awaited; undefined if it is done already (BRO-2). */
function settled(done: Promise<unknown> | void): Promise<void> | void {
  if (!(done instanceof Promise)) return;
  const result = done.then(ignore);
  result.catch(ignore);
  return result;
}

/** An adapter that removes the pending acknowledgements of a packet itself. */
export interface AcksOwner {
  _forgetAcksOfBroadcast(packet: object): void;
}

/** The adapter of a parent namespace: the sockets are those of its children. */
export interface ChildrenOwner {
  _fetchOfChildren(target: BroadcastOptions): Promise<Socket[]>;
}

/** Adds rooms. An empty array adds none (BRO-4). */
function withRooms(rooms: ReadonlySet<Room>, room: Room | Room[]): Set<Room> {
  const union = new Set(rooms);
  if (Array.isArray(room)) for (const one of room) union.add(one);
  else union.add(room);
  return union;
}
