import type { Adapter, Room, SocketId } from "./adapter";
import { BroadcastOperator } from "./broadcast";
import type { DecorateAcknowledgements, EventNames, EventParams, EventsMap, TypedEventBroadcaster } from "./events";
import type { Handshake } from "./handshake";

/** A socket of another server, as its adapter describes it. */
export interface SocketDetails<SocketData> {
  id: SocketId;
  handshake: Handshake;
  rooms: Room[];
  data: SocketData;
}

/**
 * A socket that lives on another server, as it was when it was asked for: changes of `data` and `rooms` stay here.
 * What is ordered (`emit`, `join`, `leave`, `disconnect`) travels to it.
 */
export class RemoteSocket<EmitEvents extends EventsMap, SocketData> implements TypedEventBroadcaster<EmitEvents> {
  /** Id of the socket. */
  readonly id: SocketId;
  /** Its handshake. */
  readonly handshake: Handshake;
  /** The rooms it was in. */
  readonly rooms: Set<Room>;
  /** What its server kept in `socket.data`. */
  readonly data: SocketData;
  private readonly operator: BroadcastOperator<EmitEvents, SocketData>;

  /** For `fetchSockets`. */
  constructor(adapter: Adapter, details: SocketDetails<SocketData>) {
    this.id = details.id;
    this.handshake = details.handshake;
    this.rooms = new Set(details.rooms);
    this.data = details.data;
    this.operator = new BroadcastOperator(adapter, new Set([this.id]), new Set(), { expectSingleResponse: true });
  }

  /**
   * Sends an event to this socket.
   *
   * A callback in last place gets `(err, value)`; without `timeout()` it waits until the client answers.
   * @returns true
   */
  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean {
    return this.operator.emit(ev, ...args);
  }

  /**
   * Limits the time that the client has for its answer.
   * @param timeout  milliseconds
   * @returns a target of this socket alone
   */
  timeout(timeout: number): BroadcastOperator<DecorateAcknowledgements<EmitEvents>, SocketData> {
    return this.operator.timeout(timeout);
  }

  /**
   * Makes the socket join rooms.
   * @param room  a room or an array of rooms
   */
  join(room: Room | Room[]): void {
    this.operator.socketsJoin(room);
  }

  /** Makes the socket leave a room. */
  leave(room: Room): void {
    this.operator.socketsLeave(room);
  }

  /**
   * Disconnects the socket.
   * @param close  whether its connection is closed as well
   * @returns this object
   */
  disconnect(close: boolean = false): this {
    this.operator.disconnectSockets(close);
    return this;
  }
}
