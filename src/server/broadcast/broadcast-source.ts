// The base class of `Server` and `Namespace`: methods that address all sockets of a namespace.
import type { Adapter } from "../adapter/adapter";
import type { NodeDescription, Room, SocketId } from "../adapter/contract";
import { answersAsPromise } from "../socket/acks";
import { BroadcastOperator, type PartialSockets } from "./broadcast-operator";
import { allRooms, nodesOf } from "./counting";
import {
  StrictEventEmitter,
  type AllButLast,
  type DecorateAcknowledgements,
  type DecorateAcknowledgementsWithMultipleResponses,
  type DecorateAcknowledgementsWithTimeoutAndMultipleResponses,
  type EventNames,
  type EventNamesWithAck,
  type EventParams,
  type EventsMap,
  type FirstNonErrorArg,
  type Last,
  type RemoveAcknowledgements,
} from "../events";
import type { DisconnectOptions } from "../socket/disconnect-reason";
import type { RemoteSocket } from "./remote-socket";
import type { DrainedOptions } from "../socket/drained";
import { expectEventName, SERVER_RESERVED_EVENTS } from "../reserved-events";

type Target<EmitEvents extends EventsMap, SocketData> = BroadcastOperator<
  DecorateAcknowledgementsWithMultipleResponses<EmitEvents>,
  SocketData
>;

/**
 * An emitter that addresses all sockets of a namespace: the namespace itself, or the server for the main namespace.
 * Each method starts from a target (`BroadcastOperator`) without rooms, that is, all sockets.
 */
export abstract class BroadcastSource<
  EmitEvents extends EventsMap,
  ServerSideEvents extends EventsMap,
  SocketData,
  ReservedEvents extends EventsMap,
> extends StrictEventEmitter<ServerSideEvents, RemoveAcknowledgements<EmitEvents>, ReservedEvents> {
  /** @internal */
  abstract get _broadcastAdapter(): Adapter;

  /** A target of all sockets. @internal */
  _target(): Target<EmitEvents, SocketData> {
    return new BroadcastOperator(this._broadcastAdapter);
  }

  /**
   * Adds rooms to the target of an event.
   * @param room  a room or an array of rooms
   * @returns a new target
   * @example
   * io.to("room-1").emit("news", "hello");
   */
  to(room: Room | Room[]): Target<EmitEvents, SocketData> {
    return this._target().to(room);
  }

  /**
   * Same as `to`.
   * @example
   * io.in("room-1").disconnectSockets();
   */
  in(room: Room | Room[]): Target<EmitEvents, SocketData> {
    return this._target().to(room);
  }

  /**
   * Targets all sockets except those that are in any of these rooms.
   * @param room  a room or an array of rooms
   * @returns a new target
   * @example
   * io.except("room-1").emit("news", "hello");
   */
  except(room: Room | Room[]): Target<EmitEvents, SocketData> {
    return this._target().except(room);
  }

  /**
   * Enables or disables compression of the event, on connections that have negotiated compression. Default `true`.
   * @returns a new target
   * @example
   * io.compress(false).emit("image", buffer);
   */
  compress(compress: boolean): Target<EmitEvents, SocketData> {
    return this._target().compress(compress);
  }

  /**
   * A target for volatile events: an event is dropped for each socket whose transport is not writable at that moment.
   * @example
   * io.volatile.emit("position", { x: 1, y: 2 });
   */
  get volatile(): Target<EmitEvents, SocketData> {
    return this._target().volatile;
  }

  /**
   * A target limited to the sockets of this server.
   * @example
   * io.local.emit("only this server");
   */
  get local(): Target<EmitEvents, SocketData> {
    return this._target().local;
  }

  /**
   * Sets the time in which clients have to acknowledge the event.
   * @param timeout  milliseconds
   * @returns a new target
   * @example
   * io.timeout(1000).emit("question", (err, answers) => console.log(err ? "some did not answer" : answers));
   */
  timeout(
    timeout: number,
  ): BroadcastOperator<DecorateAcknowledgements<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>>, SocketData> {
    return this._target().timeout(timeout);
  }

  /**
   * Sends an event to all connected sockets of the namespace and waits for their acknowledgements.
   * @returns the first value of each acknowledgement, once all have arrived; without `timeout()` there is no time limit
   * @example
   * const answers = await io.timeout(1000).emitWithAck("question");
   */
  emitWithAck<Ev extends EventNamesWithAck<EmitEvents>>(
    ev: Ev,
    ...args: AllButLast<EventParams<EmitEvents, Ev>>
  ): Promise<FirstNonErrorArg<Last<EventParams<EmitEvents, Ev>>>[]>;
  emitWithAck(...data: any[]): Promise<any> {
    return (this._target() as { emitWithAck(...data: any[]): Promise<any> }).emitWithAck(...data);
  }

  /**
   * Sends an event named `message`.
   * @returns this object
   * @example
   * io.send("hello");
   */
  send(...args: EventParams<EmitEvents, "message">): this {
    (this.emit as Emit).call(this, "message", ...args);
    return this;
  }

  /**
   * Same as `send`.
   * @example
   * io.write("hello");
   */
  write(...args: EventParams<EmitEvents, "message">): this {
    (this.emit as Emit).call(this, "message", ...args);
    return this;
  }

  // Other servers

  /**
   * Sends an event to the same namespace of the other servers. Their listeners are added by `namespace.on(ev, …)`.
   *
   * If the last argument is a function, it is called with `(err, responses)`: the first value that each server answered.
   * @returns true
   * @throws  UsageError RC_ERR_RESERVED_EVENT on `connect`, `connection`, `new_namespace`; RC_ERR_EVENT_NAME
   * @example
   * io.on("ping", (from, answer) => answer("pong")); // on the other servers
   * io.serverSideEmit("ping", "me", (err, answers) => console.log(answers));
   */
  serverSideEmit<Ev extends EventNames<ServerSideEvents>>(
    ev: Ev,
    ...args: EventParams<DecorateAcknowledgementsWithTimeoutAndMultipleResponses<ServerSideEvents>, Ev>
  ): boolean;
  serverSideEmit(...data: any[]): boolean {
    expectEventName(data[0], SERVER_RESERVED_EVENTS);
    void this._broadcastAdapter.serverSideEmit(data);
    return true;
  }

  /**
   * Sends an event to the same namespace of the other servers and waits for their answers.
   * @returns the first value of each answer; rejects if an answer is late, with an error whose `responses` holds the values received so far
   * @example
   * const answers = await io.serverSideEmitWithAck("ping", "me");
   */
  serverSideEmitWithAck<Ev extends EventNamesWithAck<ServerSideEvents>>(
    ev: Ev,
    ...args: AllButLast<EventParams<ServerSideEvents, Ev>>
  ): Promise<FirstNonErrorArg<Last<EventParams<ServerSideEvents, Ev>>>[]>;
  serverSideEmitWithAck(...data: any[]): Promise<any> {
    return answersAsPromise((callback) => {
      (this.serverSideEmit as Emit).call(this, ...data, callback);
    });
  }

  // Sockets

  /**
   * Gives the ids of all sockets of the namespace, on all servers of the cluster.
   * @deprecated use `fetchSockets()`
   */
  allSockets(): Promise<Set<SocketId>> {
    return this._target().allSockets();
  }

  /**
   * Gives all sockets of the namespace: `Socket` instances for this server, `RemoteSocket` instances for other servers.
   * @param options  `partial: true`: gives what has arrived in time, and the servers that were silent, instead of failing
   * @returns rejects if a server doesn't answer in time, with a ClusterError that has the sockets that have arrived as `responses`
   * @example
   * const sockets = await io.fetchSockets();
   */
  fetchSockets(options: { partial: true }): Promise<PartialSockets<RemoteSocket<EmitEvents, SocketData>>>;
  fetchSockets(): Promise<RemoteSocket<EmitEvents, SocketData>[]>; // the last one: mocks and `ReturnType` see it
  fetchSockets(options?: { partial: true }): Promise<any> {
    return options === undefined ? this._target().fetchSockets() : this._target().fetchSockets(options);
  }

  /**
   * Counts the sockets of the namespace, on all servers, without moving their data.
   * @example
   * console.log(await io.count());
   */
  count(): Promise<number> {
    return this._target().count();
  }

  /**
   * Gives the names of all rooms of the namespace, on all servers, but those of single sockets, which have the name of their socket.
   * @example
   * for (const room of await io.rooms()) console.log(room);
   */
  rooms(): Promise<Set<Room>> {
    return allRooms(this._broadcastAdapter);
  }

  /**
   * Describes the servers of the cluster that are known to be there, this one first: id, address, clients, lag, version, since when. Adapters of
   * other packages don't tell: then it is this server alone.
   * @example
   * for (const { address, clients } of await io.nodes()) console.log(address, clients);
   */
  nodes(): Promise<NodeDescription[]> {
    return nodesOf(this._broadcastAdapter);
  }

  /**
   * Makes all sockets of the namespace join rooms.
   * @param room  a room or an array of rooms
   * @example
   * io.socketsJoin("room-1");
   */
  socketsJoin(room: Room | Room[]): Promise<void> | void {
    return this._target().socketsJoin(room);
  }

  /**
   * Makes all sockets of the namespace leave rooms.
   * @param room  a room or an array of rooms
   * @example
   * io.socketsLeave("room-1");
   */
  socketsLeave(room: Room | Room[]): Promise<void> | void {
    return this._target().socketsLeave(room);
  }

  /**
   * Disconnects all sockets of the namespace.
   * @param close    true: closes their connections as well. Default false
   * @param options  `reason`: a text that the clients get as an event before (ROB-719)
   * @example
   * io.of("/admin").disconnectSockets(true);
   */
  disconnectSockets(close: boolean = false, options?: DisconnectOptions): Promise<void> | void {
    return this._target().disconnectSockets(close, options);
  }

  /**
   * Waits until fewer than `below` bytes (default 65536) wait for each socket of the namespace on this server, at once if so already.
   * @returns rejects with the reason of `signal` when that is aborted, and with UsageError RC_ERR_ARGUMENT
   * @example
   * io.emit("chunk", bytes);
   * await io.drained();
   */
  drained(options?: DrainedOptions): Promise<void> {
    return this._target().drained(options);
  }
}

/** `emit` without the types of event maps. */
type Emit = (...data: any[]) => boolean;
