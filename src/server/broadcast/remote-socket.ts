// A socket of another server, as `fetchSockets()` gives it.
import type { Room, SocketId } from "../adapter/contract";
import type { BroadcastOperator } from "./broadcast-operator";
import type { DecorateAcknowledgements, EventNames, EventParams, EventsMap, TypedEventBroadcaster } from "../events";
import type { DisconnectOptions } from "../socket/disconnect-reason";
import type { Handshake } from "../socket/handshake";

/** The description of a socket of another server that an adapter gives. */
export interface SocketDetails<SocketData> {
  id: SocketId;
  handshake: Handshake;
  rooms: Room[];
  data: SocketData;
}

/**
 * A socket of another server. Its attributes are a snapshot: changes of `data` and `rooms` are not sent to that server (REM-2).
 * The methods (`emit`, `join`, `leave`, `disconnect`) act on the socket itself, through the adapter.
 */
export class RemoteSocket<EmitEvents extends EventsMap, SocketData> implements TypedEventBroadcaster<EmitEvents> {
  /** Id of the socket. */
  readonly id: SocketId;
  /** Handshake of the socket. */
  readonly handshake: Handshake;
  /** The rooms that the socket was in. */
  readonly rooms: Set<Room>;
  /** The value of `socket.data` on its server. */
  readonly data: SocketData;
  private readonly operator: BroadcastOperator<EmitEvents, SocketData>;

  /**
   * Called by `fetchSockets()`.
   * @param operator  a target of this socket only
   */
  constructor(operator: BroadcastOperator<EmitEvents, SocketData>, details: SocketDetails<SocketData>) {
    this.id = details.id;
    this.handshake = details.handshake;
    this.rooms = new Set(details.rooms);
    this.data = details.data;
    this.operator = operator;
  }

  /**
   * Sends an event to this socket.
   *
   * If the last argument is a function, it is called with `(err, value)` when the client acknowledges the event. Without `timeout()`
   * there is no time limit.
   * @returns true
   * @example
   * const [socket] = await io.in(id).fetchSockets();
   * socket.emit("news", "hello");
   */
  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean {
    return this.operator.emit(ev, ...args);
  }

  /**
   * Sets the time in which the client has to acknowledge the event.
   * @param timeout  milliseconds
   * @returns a target of this socket only
   * @example
   * socket.timeout(1000).emit("question", (err, answer) => console.log(answer));
   */
  timeout(timeout: number): BroadcastOperator<DecorateAcknowledgements<EmitEvents>, SocketData> {
    return this.operator.timeout(timeout);
  }

  /**
   * Makes the socket join rooms.
   * @param room  a room or an array of rooms
   * @example
   * socket.join("room-1");
   */
  join(room: Room | Room[]): void {
    void this.operator.socketsJoin(room);
  }

  /**
   * Makes the socket leave a room.
   * @example
   * socket.leave("room-1");
   */
  leave(room: Room): void {
    void this.operator.socketsLeave(room);
  }

  /**
   * Disconnects the socket.
   * @param close    true: closes its connection as well. Default false
   * @param options  `reason`: a text that the client gets as an event before (ROB-719)
   * @returns this object
   * @example
   * socket.disconnect(true);
   */
  disconnect(close: boolean = false, options?: DisconnectOptions): this {
    void this.operator.disconnectSockets(close, options);
    return this;
  }
}
