import type { Adapter, Room, SocketId } from "./adapter";
import { answersAsPromise } from "./acks";
import { BroadcastOperator } from "./broadcast";
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
} from "./events";
import type { RemoteSocket } from "./remote-socket";
import { reservedEventError, SERVER_RESERVED_EVENTS } from "./reserved-events";

type Target<EmitEvents extends EventsMap, SocketData> = BroadcastOperator<
  DecorateAcknowledgementsWithMultipleResponses<EmitEvents>,
  SocketData
>;

/**
 * Something that speaks to all sockets of a namespace: the namespace itself, or the server on behalf of the main one.
 * Each verb here starts a target (`broadcast.ts`) that means everybody.
 */
export abstract class BroadcastSource<
  EmitEvents extends EventsMap,
  ServerSideEvents extends EventsMap,
  SocketData,
  ReservedEvents extends EventsMap,
> extends StrictEventEmitter<ServerSideEvents, RemoveAcknowledgements<EmitEvents>, ReservedEvents> {
  /** @internal */
  abstract get _broadcastAdapter(): Adapter;

  /** Everybody. @internal */
  _target(): Target<EmitEvents, SocketData> {
    return new BroadcastOperator(this._broadcastAdapter);
  }

  /**
   * Adds rooms to the target of an event.
   * @param room  a room or an array of rooms
   * @returns a new target
   */
  to(room: Room | Room[]): Target<EmitEvents, SocketData> {
    return this._target().to(room);
  }

  /** Same as `to`. */
  in(room: Room | Room[]): Target<EmitEvents, SocketData> {
    return this._target().to(room);
  }

  /**
   * Targets everybody but those in one of these rooms.
   * @param room  a room or an array of rooms
   * @returns a new target
   */
  except(room: Room | Room[]): Target<EmitEvents, SocketData> {
    return this._target().except(room);
  }

  /**
   * Tells transports that negotiated compression whether to use it for the event. Default `true`.
   * @returns a new target
   */
  compress(compress: boolean): Target<EmitEvents, SocketData> {
    return this._target().compress(compress);
  }

  /** A target for events that may get lost: whoever cannot take one right now doesn't get it. */
  get volatile(): Target<EmitEvents, SocketData> {
    return this._target().volatile;
  }

  /** A target without the sockets of other servers. */
  get local(): Target<EmitEvents, SocketData> {
    return this._target().local;
  }

  /**
   * Limits the time that clients have for their answers.
   * @param timeout  milliseconds
   * @returns a new target
   */
  timeout(
    timeout: number,
  ): BroadcastOperator<DecorateAcknowledgements<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>>, SocketData> {
    return this._target().timeout(timeout);
  }

  /**
   * Sends an event to every connected socket of the namespace and gives their answers.
   * @returns the first value of each answer, once all have answered; there is no limit without `timeout()`
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
   */
  send(...args: EventParams<EmitEvents, "message">): this {
    (this.emit as Emit).call(this, "message", ...args);
    return this;
  }

  /** Same as `send`. */
  write(...args: EventParams<EmitEvents, "message">): this {
    (this.emit as Emit).call(this, "message", ...args);
    return this;
  }

  // Other servers

  /**
   * Sends an event to the same namespace of the other servers, which meet it as `namespace.on(ev, …)`.
   *
   * A callback in last place gets `(err, responses)`, with the first value of each server's answer.
   * @returns true
   * @throws  UsageError RC_ERR_RESERVED_EVENT on `connect`, `connection`, `new_namespace`
   */
  serverSideEmit<Ev extends EventNames<ServerSideEvents>>(
    ev: Ev,
    ...args: EventParams<DecorateAcknowledgementsWithTimeoutAndMultipleResponses<ServerSideEvents>, Ev>
  ): boolean;
  serverSideEmit(...data: any[]): boolean {
    if (SERVER_RESERVED_EVENTS.has(data[0])) throw reservedEventError(data[0]);
    void this._broadcastAdapter.serverSideEmit(data);
    return true;
  }

  /**
   * Sends an event to the same namespace of the other servers and gives their answers.
   * @returns the first value of each answer; rejects when an answer is late, with what came until then as `responses`
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
   * Gives the ids of all sockets of the namespace, on all servers.
   * @deprecated use `fetchSockets()`
   */
  allSockets(): Promise<Set<SocketId>> {
    return this._target().allSockets();
  }

  /** Gives all sockets of the namespace: those of this server themselves, those of others as `RemoteSocket`. */
  fetchSockets(): Promise<RemoteSocket<EmitEvents, SocketData>[]> {
    return this._target().fetchSockets();
  }

  /**
   * Makes all sockets of the namespace join rooms.
   * @param room  a room or an array of rooms
   */
  socketsJoin(room: Room | Room[]): void {
    this._target().socketsJoin(room);
  }

  /**
   * Makes all sockets of the namespace leave rooms.
   * @param room  a room or an array of rooms
   */
  socketsLeave(room: Room | Room[]): void {
    this._target().socketsLeave(room);
  }

  /**
   * Disconnects all sockets of the namespace.
   * @param close  whether their connections are closed as well
   */
  disconnectSockets(close: boolean = false): void {
    this._target().disconnectSockets(close);
  }
}

/** `emit` without event maps, as it is at run time. */
type Emit = (...data: any[]) => boolean;
