// Orders to the servers of a cluster, from a process without sockets. Each backend has its emitter in its folder.
import { UsageError } from "../errors";
import { encodingError } from "../protocol/encoding-failure";
import { PacketType } from "../protocol/packet";
import { Encoder } from "../protocol/packet-encoder";
import type { BroadcastFlags, Room } from "../server/adapter/contract";
import type { DefaultEventsMap, EventNames, EventParams, EventsMap, TypedEventBroadcaster } from "../server/events";
import { expectEventName, SERVER_RESERVED_EVENTS } from "../server/reserved-events";
import { type DisconnectOptions, reasonEvent } from "../server/socket/disconnect-reason";
import { textOf } from "../support/log-text";
import { Warnings } from "../support/warnings";
import { encodeForAll } from "./encode-for-all";
import { type ClusterMessage, EMITTER, type EncodedOptions, MessageType, type UnsignedMessage } from "./messages";

const { EVENT } = PacketType;

/** Options of every emitter. */
export interface EmitterOptions {
  /**
   * Called with the reason when an order was not sent, and with errors of the connection. Default: the first one is a process warning,
   * `ROOMCAST_CLUSTER_LINK`.
   * @example
   * onError: (error) => console.error("not sent:", error.message)
   */
  onError?: (error: Error) => void;
}

/** Encodes a message and sends it to the servers that have its namespace. Throws if it cannot be encoded, rejects if it was not sent. */
export type Send = (message: ClusterMessage) => Promise<unknown>;

/** What all targets of an emitter share. */
export interface Outlet {
  readonly send: Send;
  readonly onError: (error: Error) => void;
  readonly encoder: Encoder;
}

/**
 * A target: the sockets of all servers that an order is meant for. Immutable: each modifier gives a new target. Without rooms the target is the whole
 * namespace. Orders are not answered: nothing tells whether a server was there.
 */
export class EmitterTarget<EmitEvents extends EventsMap = DefaultEventsMap> implements TypedEventBroadcaster<EmitEvents> {
  /** The namespace. */
  readonly nsp: string;
  /** @internal */
  protected readonly _outlet: Outlet;
  private readonly opts: EncodedOptions;

  /** @internal Programs get one from an emitter. */
  constructor(outlet: Outlet, nsp: string, opts: EncodedOptions = { rooms: [], flags: {}, except: [] }) {
    this._outlet = outlet;
    this.nsp = nsp;
    this.opts = opts;
  }

  // Modifiers

  /**
   * Adds rooms to the target; a socket that is in several of them gets an event once.
   * @param room  a room or an array of rooms, also ids of sockets
   * @example
   * emitter.to("room-1").to(["room-2", "room-3"]).emit("news", "hello");
   */
  to(room: Room | Room[]): EmitterTarget<EmitEvents> {
    return this.with({ rooms: union(this.opts.rooms, room) });
  }

  /**
   * Same as `to`.
   * @example
   * emitter.in("room-1").socketsJoin("room-2");
   */
  in(room: Room | Room[]): EmitterTarget<EmitEvents> {
    return this.to(room);
  }

  /**
   * Excludes sockets that are in any of these rooms, even if they are also in a target room.
   * @example
   * emitter.to("room-1").except("muted").emit("news", "hello");
   */
  except(room: Room | Room[]): EmitterTarget<EmitEvents> {
    return this.with({ except: union(this.opts.except, room) });
  }

  /**
   * Enables or disables compression of the event, on connections that have negotiated compression. Default `true`.
   * @example
   * emitter.to("room-1").compress(false).emit("image", buffer);
   */
  compress(compress: boolean): EmitterTarget<EmitEvents> {
    return this.with({ flags: { ...this.opts.flags, compress } });
  }

  /**
   * The same target with volatile events: an event is dropped for each socket whose transport is not writable when it reaches the server.
   * @example
   * emitter.volatile.emit("position", { x: 1, y: 2 });
   */
  get volatile(): EmitterTarget<EmitEvents> {
    return this.with({ flags: { ...this.opts.flags, volatile: true } });
  }

  private with(change: { rooms?: Room[]; except?: Room[]; flags?: BroadcastFlags }): EmitterTarget<EmitEvents> {
    return new EmitterTarget(this._outlet, this.nsp, { ...this.opts, ...change });
  }

  // Orders

  /**
   * Sends an event to the matching sockets.
   * @returns true
   * @throws  UsageError RC_ERR_RESERVED_EVENT, RC_ERR_EVENT_NAME, RC_ERR_ARGUMENT (a function as last value); EncodingError RC_ERR_ENCODING
   * @example
   * emitter.to("room-1").emit("news", { title: "hello" });
   */
  emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): true;
  emit(...data: any[]): true {
    expectEventName(data[0]);
    expectNoAck(data);
    this.broadcast(data);
    return true;
  }

  /**
   * Makes the matching sockets join rooms.
   * @example
   * emitter.in("room-1").socketsJoin(["room-2", "room-3"]);
   */
  socketsJoin(rooms: Room | Room[]): void {
    this._order({ type: MessageType.SOCKETS_JOIN, data: { opts: this.opts, rooms: union([], rooms) } });
  }

  /**
   * Makes the matching sockets leave rooms.
   * @example
   * emitter.in("room-1").socketsLeave("room-1");
   */
  socketsLeave(rooms: Room | Room[]): void {
    this._order({ type: MessageType.SOCKETS_LEAVE, data: { opts: this.opts, rooms: union([], rooms) } });
  }

  /**
   * Disconnects the matching sockets.
   * @param close    true: closes their connections as well, and so their sockets in other namespaces. Default false
   * @param options  `reason`: a text that the clients get as an event before
   * @throws UsageError RC_ERR_ARGUMENT, RC_ERR_RESERVED_EVENT on invalid options
   * @example
   * emitter.in("room-1").disconnectSockets(true, { reason: "the room was closed" });
   */
  disconnectSockets(close: boolean = false, options?: DisconnectOptions): void {
    if (options !== undefined) this.broadcast(reasonEvent(options));
    this._order({ type: MessageType.DISCONNECT_SOCKETS, data: { opts: this.opts, close } });
  }

  /** As of a server, an event is first encoded as for clients: what they cannot get is an error here (ROB-422). */
  private broadcast(data: any[]): void {
    encodeForAll(this._outlet.encoder, { type: EVENT, nsp: this.nsp, data }, this.nsp);
    this._order({ type: MessageType.BROADCAST, data: { opts: this.opts, packet: { type: EVENT, data, nsp: this.nsp } } });
  }

  /** @internal */
  protected _order(message: UnsignedMessage): void {
    const { send, onError } = this._outlet;
    send({ ...message, uid: EMITTER, nsp: this.nsp }).catch((error: unknown) => {
      onError(error instanceof Error ? error : new Error(textOf(error)));
    });
  }
}

/** The emitter of a backend; its target is the whole namespace. */
export class Emitter<
  EmitEvents extends EventsMap = DefaultEventsMap,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
> extends EmitterTarget<EmitEvents> {
  /** @internal Programs make one of the class of a backend. */
  constructor(outlet: Outlet, nsp: string) {
    if (typeof nsp !== "string") throw new UsageError("RC_ERR_ARGUMENT", `nsp: expected the name of a namespace, met ${textOf(nsp)}`);
    super(outlet, nsp.startsWith("/") ? nsp : `/${nsp}`);
  }

  /**
   * An emitter for another namespace, on the same connection.
   * @param nsp  a leading slash may be left out
   * @example
   * emitter.of("/chat").emit("news", "hello");
   */
  of(nsp: string): Emitter<EmitEvents, ServerSideEvents> {
    return new Emitter(this._outlet, nsp);
  }

  /**
   * Sends an event to the servers themselves: to the listeners of `io.on(event, …)`, or of the namespace.
   * @throws UsageError, EncodingError as `emit`
   * @example
   * emitter.serverSideEmit("reload", { configuration: 2 });
   */
  serverSideEmit<Ev extends EventNames<ServerSideEvents>>(ev: Ev, ...args: EventParams<ServerSideEvents, Ev>): void;
  serverSideEmit(...data: any[]): void {
    expectEventName(data[0], SERVER_RESERVED_EVENTS);
    expectNoAck(data);
    try {
      this._order({ type: MessageType.SERVER_SIDE_EMIT, data: { packet: data } });
    } catch (error) {
      throw encodingError({ type: EVENT, nsp: this.nsp, data }, error);
    }
  }
}

/** A client of a driver: without a listener, an `error` of it would end the process. */
interface Emitting {
  listenerCount?(event: "error"): number;
  on?(event: "error", listener: (error: Error) => void): unknown;
}

/**
 * What an emitter sends by.
 * @param name    of the backend, for the warning
 * @param client  of the driver; its errors are told to `onError`, if the program does not listen to them
 * @throws UsageError RC_ERR_OPTION on an `onError` that cannot be called
 */
export function outletOf(name: string, client: unknown, options: EmitterOptions, send: Send): Outlet {
  if (options.onError !== undefined && typeof options.onError !== "function")
    throw new UsageError("RC_ERR_OPTION", `option onError: expected a function, met ${textOf(options.onError)}`);
  const onError = options.onError ?? warnOnce(name);
  const emitting = client as Emitting;
  if (emitting.listenerCount?.("error") === 0) emitting.on?.("error", onError);
  return { send, onError, encoder: new Encoder() };
}

function warnOnce(name: string): (error: Error) => void {
  const warnings = new Warnings();
  let hasWarned = false;
  return (error) => {
    if (hasWarned) return;
    hasWarned = true;
    warnings.warn("ROOMCAST_CLUSTER_LINK", `${name}: orders of an emitter do not reach the servers (see its option onError)`, error);
  };
}

function union(rooms: readonly Room[], more: Room | Room[]): Room[] {
  return [...new Set(rooms.concat(more))];
}

/** @throws UsageError RC_ERR_ARGUMENT: nobody would call the function (RED-22) */
function expectNoAck(data: readonly unknown[]): void {
  if (data.length > 1 && typeof data[data.length - 1] === "function")
    throw new UsageError("RC_ERR_ARGUMENT", "Acknowledgements are not supported by emitters: expected no function as last value");
}
