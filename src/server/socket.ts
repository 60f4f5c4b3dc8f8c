import type { IncomingMessage } from "node:http";
import createDebug from "debug";
import { PacketType } from "../protocol/packet";
import { generateId } from "../support/ids";
import type { Prepared } from "../engine/prepared";
import type { Session as EngineSession } from "../engine/session";
import type { Adapter, BroadcastFlags, Room, Session, SocketId } from "./adapter";
import { noteChange } from "./audience";
import { expectAck, type AckCallback } from "./acks";
import { BroadcastOperator } from "./broadcast";
import type { Client } from "./connection";
import { RECOVERABLE_REASONS, type DisconnectReason } from "./disconnect-reason";
import type {
  AllButLast,
  DecorateAcknowledgements,
  DecorateAcknowledgementsWithMultipleResponses,
  DefaultEventsMap,
  EventNames,
  EventNamesWithAck,
  EventParams,
  EventsMap,
  FirstNonErrorArg,
  Last,
} from "./events";
import { EventReceiver } from "./event-receiver";
import { describeHandshake, type Handshake } from "./handshake";
import { legacyId } from "./legacy-name";
import { MemoryAdapter } from "./memory-adapter";
import type { Namespace } from "./namespace";
import { warnJoinCallback } from "./removed-api";
import { RESERVED_EVENTS, reservedEventError, type SocketReservedEventsMap } from "./reserved-events";
import type { Server } from "./server";
import type { SocketPacket } from "./socket-packet";

/*
 * Walk "an emit out": turns what is emitted into packets and hands them to `connection.ts`. What comes in is taken by
 * the base class, `event-receiver.ts`.
 */

const debug = createDebug("socket.io:socket");

type AnySocket = Socket<any, any, any, any>;

const { CONNECT, DISCONNECT, EVENT, CONNECT_ERROR } = PacketType;

/**
 * One client in one namespace.
 *
 *     joining --middlewares passed--> connected --_onclose--> leaving (listeners of "disconnecting") --> left
 *     joining --refused, or connection lost--> left
 *
 * Events: those the client sends, `disconnecting(reason, description)`, `disconnect(reason, description)`,
 * `error(error)`. `emit` does not raise events here: it sends them to the client.
 */
export class Socket<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> extends EventReceiver<ListenEvents, EmitEvents, SocketReservedEventsMap> {
  // Who it is
  /** The namespace. */
  readonly nsp: Namespace<ListenEvents, EmitEvents, ServerSideEvents>;
  /** The connection, which sockets of other namespaces may share. */
  readonly client: Client<ListenEvents, EmitEvents, ServerSideEvents>;
  /** Public id: 20 characters of `[A-Za-z0-9_-]`, unguessable. Also the name of the socket's own room. */
  readonly id: SocketId;
  /** Whether this socket takes up an earlier one, with its id, rooms and data. */
  readonly recovered: boolean;
  private readonly pid: string;

  // Where it stands
  private _flags: BroadcastFlags | null;

  // What it keeps, made when first needed
  private _data: SocketData | undefined;
  private readonly _auth: { [key: string]: any };
  private readonly _issuedMs: number;
  private _handshake: Handshake | null;

  /** For the namespace. */
  constructor(
    nsp: Namespace<ListenEvents, EmitEvents, ServerSideEvents>,
    client: Client<ListenEvents, EmitEvents, ServerSideEvents>,
    auth: Record<string, unknown>,
    previousSession?: Session,
  ) {
    super();
    this.nsp = nsp;
    this.client = client;
    if (previousSession !== undefined) {
      this.id = previousSession.sid;
      this.recovered = true;
      this.pid = previousSession.pid;
    } else {
      this.id = client.conn.protocol === 3 ? legacyId(nsp.name, client.conn.id) : generateId();
      this.recovered = false;
      this.pid = nsp.server._recovery === null ? "" : generateId();
    }
    this._flags = null;
    this._data = previousSession === undefined ? undefined : (previousSession.data as SocketData);
    this._auth = auth;
    this._issuedMs = Date.now();
    this._handshake = null;
    if (this.pid !== "") nsp._socketsByPid.set(this.pid, this as AnySocket);
  }

  // Attributes

  /** What was known at the handshake: headers, query, address, and what the client sent along as `auth`. */
  get handshake(): Handshake {
    return (this._handshake ??= describeHandshake(this.client.conn, this._auth, this._issuedMs));
  }

  /** A place for the program's own values; also seen by `fetchSockets()` on other servers. Initially `{}`. */
  get data(): SocketData {
    return (this._data ??= {} as SocketData);
  }

  set data(value: SocketData) {
    this._data = value;
  }

  /** Whether events can be exchanged. */
  get connected(): boolean {
    return this._state === "connected" || this._state === "leaving";
  }

  /** The contrary of `connected`. */
  get disconnected(): boolean {
    return !this.connected;
  }

  /** The request that opened the connection. */
  get request(): IncomingMessage {
    return this.client.request;
  }

  /** The engine's socket beneath: `conn.id`, `conn.transport.name`, events `upgrade`, `packet`, `drain`, `close`. */
  get conn(): Client<any, any, any>["conn"] {
    return this.client.conn;
  }

  /** The rooms it is in; empty after the disconnection. To be read, not written. */
  get rooms(): Set<Room> {
    return this.adapter.socketRooms(this.id) ?? new Set();
  }

  /** @internal */
  get server(): Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData> {
    return this.nsp.server as Server<any, any, any, any>;
  }

  /** @internal */
  get adapter(): Adapter {
    return this.nsp.adapter;
  }

  /** Flags of the next emission. @internal */
  get flags(): BroadcastFlags {
    return (this._flags ??= {});
  }

  set flags(value: BroadcastFlags) {
    this._flags = value;
  }

  // Emitting to this client

  /**
   * Sends an event to this client.
   *
   * With a function in last place the client is asked for an answer: it gets the answer's values, after
   * `timeout(ms)` with an error (or null) in front.
   * @returns true; also when the client is gone and the event is dropped
   * @throws  UsageError RC_ERR_RESERVED_EVENT; what the encoder throws on values it cannot encode
   */
  override emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean;
  override emit(...data: any[]): boolean {
    if (RESERVED_EVENTS.has(data[0])) throw reservedEventError(data[0]);
    const flags = this._takeFlags();
    const callback = data.length > 1 ? data[data.length - 1] : undefined;
    if (typeof callback === "function") {
      data.length--;
      this._emitExpectingAck(data, callback, flags);
      return true;
    }
    const packet: SocketPacket = { type: EVENT, nsp: this.nsp.name, data };
    if (this.nsp.server._recovery !== null && this._state !== "joining") {
      this._emitRecoverably(packet, flags);
      return true;
    }
    if (this._anyOutgoingListeners !== null) this.notifyOutgoingListeners(packet);
    if (this._state === "joining" || this._state === "connected") this.packet(packet, flags);
    return true;
  }

  /**
   * Sends an event to this client and gives its answer.
   * @returns the first value of the answer; after `timeout(ms)` it rejects when the time is over, otherwise it waits
   */
  emitWithAck<Ev extends EventNamesWithAck<EmitEvents>>(
    ev: Ev,
    ...args: AllButLast<EventParams<EmitEvents, Ev>>
  ): Promise<FirstNonErrorArg<Last<EventParams<EmitEvents, Ev>>>>;
  emitWithAck(...data: any[]): Promise<any> {
    const withError = this._flags?.timeout !== undefined;
    return new Promise((resolve, reject) => {
      data.push(withError ? (error: Error | null, value: unknown) => (error ? reject(error) : resolve(value)) : resolve);
      (this.emit as (...data: any[]) => boolean)(...data);
    });
  }

  /**
   * Sends an event named `message`.
   * @returns the socket
   */
  send(...args: EventParams<EmitEvents, "message">): this {
    (this.emit as (...data: any[]) => boolean)("message", ...args);
    return this;
  }

  /** Same as `send`. */
  write(...args: EventParams<EmitEvents, "message">): this {
    (this.emit as (...data: any[]) => boolean)("message", ...args);
    return this;
  }

  private _emitExpectingAck(data: any[], callback: AckCallback, flags: BroadcastFlags | null): void {
    const id = this.nsp._ids++;
    const packet: SocketPacket = { type: EVENT, nsp: this.nsp.name, data, id };
    if (this._anyOutgoingListeners !== null) this.notifyOutgoingListeners(packet);
    const errors = this.nsp.server._listenerErrors;
    const guarded = errors === null ? callback : errors.guard(callback, this as Socket<any, any, any, any>, data[0] as string);
    expectAck(this, id, guarded, flags?.timeout);
    if (this._state !== "joining" && this._state !== "connected") return;
    try {
      this.packet(packet, flags);
    } catch (error) {
      this._forgetAck(id);
      throw error;
    }
  }

  /** With recovery, events go through the adapter, which keeps them for a client that is away for a moment. */
  private _emitRecoverably(packet: SocketPacket, flags: BroadcastFlags | null): void {
    if (!this.connected && this._anyOutgoingListeners !== null) this.notifyOutgoingListeners(packet);
    void this.adapter.broadcast(packet, { rooms: new Set([this.id]), except: new Set(), flags: flags ?? {} });
  }

  private _takeFlags(): BroadcastFlags | null {
    const flags = this._flags;
    if (flags !== null) this._flags = null;
    return flags;
  }

  // Modifiers of the next emission

  /**
   * Tells transports that negotiated compression whether to use it for the next event. Default `true`.
   * @returns the socket
   */
  compress(compress: boolean): this {
    this.flags.compress = compress;
    return this;
  }

  /** Marks the next event as one that may get lost: when it cannot leave right now, it is dropped. */
  get volatile(): this {
    this.flags.volatile = true;
    return this;
  }

  /**
   * Limits the time that the client has for its answer to the next event.
   * @param timeout  milliseconds
   * @returns the socket
   */
  timeout(timeout: number): Socket<ListenEvents, DecorateAcknowledgements<EmitEvents>, ServerSideEvents, SocketData> {
    this.flags.timeout = timeout;
    return this;
  }

  // Emitting to others

  /**
   * Targets the sockets of rooms, this one excepted.
   * @param room  a room or an array of rooms
   * @returns a new target
   */
  to(room: Room | Room[]): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return this._others().to(room);
  }

  /** Same as `to`. */
  in(room: Room | Room[]): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return this._others().to(room);
  }

  /**
   * Targets everybody but this socket and those in one of these rooms.
   * @param room  a room or an array of rooms
   * @returns a new target
   */
  except(room: Room | Room[]): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return this._others().except(room);
  }

  /** Targets everybody but this socket. */
  get broadcast(): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return this._others();
  }

  /** Targets everybody on this server but this socket. */
  get local(): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return this._others().local;
  }

  private _others(): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return new BroadcastOperator(this.adapter, new Set(), new Set([this.id]), this._takeFlags() ?? {});
  }

  // Rooms

  /**
   * Joins rooms; a no-op once disconnected.
   * @param rooms  a room or an array of rooms
   * @returns what the adapter gives: nothing with the in-memory one, perhaps a promise with others
   */
  join(rooms: Room | Array<Room>): Promise<void> | void;
  join(rooms: Room | Array<Room>, callback?: unknown): Promise<void> | void {
    if (this._state === "left") return undefined;
    if (typeof callback === "function") warnJoinCallback("join");
    const adapter = this.adapter;
    if (typeof rooms === "string" && adapter.addAll === MemoryAdapter.prototype.addAll) {
      return (adapter as MemoryAdapter)._add(this.id, rooms);
    }
    return adapter.addAll(this.id, new Set(Array.isArray(rooms) ? rooms : [rooms]));
  }

  /**
   * Leaves a room.
   * @returns what the adapter gives
   */
  leave(room: Room): Promise<void> | void;
  leave(room: Room, callback?: unknown): Promise<void> | void {
    if (typeof callback === "function") warnJoinCallback("leave");
    return this.adapter.del(this.id, room);
  }

  /** Leaves all rooms, its own included. @internal */
  leaveAll(): void {
    this.adapter.delAll(this.id);
  }

  // Coming and going

  /**
   * Disconnects from the namespace.
   * @param close  whether the connection is closed as well, and with it the client's sockets in other namespaces
   * @returns the socket
   */
  disconnect(close: boolean = false): this {
    if (this._state !== "connected") return this;
    if (close) {
      this.client._disconnect();
    } else {
      this.packet({ type: DISCONNECT, nsp: this.nsp.name });
      this._onclose("server namespace disconnect");
    }
    return this;
  }

  /** The namespace has admitted the socket: joins its own room and answers the client. @internal */
  _onconnect(previousSession: Session | null): void {
    this._state = "connected";
    void this.join(this.id);
    if (previousSession !== null) {
      for (const data of previousSession.missedPackets) this.packet({ type: EVENT, nsp: this.nsp.name, data });
    }
    const reply: SocketPacket = { type: CONNECT, nsp: this.nsp.name };
    if (this.conn.protocol !== 3) reply.data = this.pid === "" ? { sid: this.id } : { sid: this.id, pid: this.pid };
    this.packet(reply);
  }

  /** Ends the socket, whatever the cause. @internal */
  _onclose(reason: DisconnectReason, description?: any): this | undefined {
    if (this._state !== "connected") return undefined;
    if (debug.enabled) debug("%s leaves %s: %s", this.id, this.nsp.name, reason);
    this._state = "leaving";
    noteChange();
    // Whatever a listener or an adapter throws: it goes on to the caller, and the socket is gone.
    try {
      this._raiseOwn("disconnecting", reason, description);
    } finally {
      try {
        if (this.nsp.server._recovery !== null && RECOVERABLE_REASONS.has(reason)) this._persist();
      } finally {
        this._cleanup();
        this.client._remove(this);
        this._raiseOwn("disconnect", reason, description);
      }
    }
    return undefined;
  }

  /** Hands what is needed for a return to the adapter. @internal */
  _persist(): void {
    void this.adapter.persistSession({ sid: this.id, pid: this.pid, rooms: [...this.rooms], data: this.data });
  }

  /** Leaves all rooms and the namespace, for good. @internal */
  _cleanup(): void {
    this.leaveAll();
    if (this.nsp._socketsByPid.get(this.pid) === (this as AnySocket)) this.nsp._socketsByPid.delete(this.pid);
    this.nsp._remove(this as AnySocket);
    this._state = "left";
  }

  // Packets out

  /** Tells the client that it may not join. @internal */
  _error(payload: any): void {
    this.packet({ type: CONNECT_ERROR, nsp: this.nsp.name, data: payload });
  }

  /** Writes a packet to the connection. @internal */
  packet(packet: SocketPacket, flags: BroadcastFlags | null = null): void {
    if (packet.nsp === undefined) packet.nsp = this.nsp.name;
    this.client._packet(packet, flags);
  }

  /** The session that gets them, if nobody would notice that they went around this. @internal */
  _directSession(): EngineSession | null {
    const isPlain = this._state === "connected" && this._writePrepared === Socket.prototype._writePrepared && !this._isHeardOutgoing;
    return isPlain ? this.client._directSession : null;
  }

  /** Writes the messages of a broadcast. Hot: once per recipient. @internal */
  _writePrepared(messages: readonly Prepared[], isVolatile: boolean): void {
    if (this._state === "connected") this.client._writePrepared(messages, isVolatile);
  }
}
