// A step of the walk "an emit out": one client in one namespace. Events become packets for `client.ts`.
import type { IncomingMessage } from "node:http";
import createDebug from "debug";
import { describePacket, PacketType } from "../../protocol/packet";
import { generateId } from "../../support/ids";
import { quoted, quotedList } from "../../support/log-text";
import type { Prepared } from "../../engine/prepared";
import { describeEnd } from "../../engine/disconnect-details";
import type { Session } from "../../engine/session";
import type { Adapter } from "../adapter/adapter";
import type { BroadcastFlags, RestorableSession, Room, SocketId } from "../adapter/contract";
import { noteChange } from "../adapter/recipient-cache";
import { checkPendingAcks, expectAck, leaveOf, promiseCallback, settleAcksLater, type AckCallback } from "./acks";
import { expectRoomsWithin } from "./room-limit";
import { BroadcastOperator } from "../broadcast/broadcast-operator";
import type { Client } from "../client/client";
import { RECOVERABLE_REASONS, sendReason } from "./disconnect-reason";
import type { DisconnectDescription, DisconnectOptions, DisconnectReason } from "./disconnect-reason";
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
} from "../events";
import { packetSend, socketDisconnect } from "../channels";
import { EventReceiver } from "./event-receiver";
import { isAckObserved, observedAck } from "./observed-ack";
import { socketDrained, tellDrains, type DrainedOptions } from "./drained";
import { describeHandshake, requestAtHandshake, type Handshake } from "./handshake";
import { legacyId } from "../compat/socket.io-2";
import type { Namespace } from "../namespace";
import { warnJoinCallback } from "../compat/removed-api";
import { expectEventName, type SocketReservedEventsMap } from "../reserved-events";
import type { Server } from "../server";
import type { SocketPacket } from "./client-port";

const debug = createDebug("socket.io:socket");

type AnySocket = Socket<any, any, any, any>;

const { CONNECT, DISCONNECT, EVENT, CONNECT_ERROR } = PacketType;

/**
 * One client in one namespace. The base class (`event-receiver.ts`) receives the packets of the client.
 *
 *     joining --middlewares passed--> connected --_onclose--> leaving (listeners of "disconnecting" run) --> left
 *     joining --refused, or connection closed--> left
 *
 * Events: those that the client sends, `disconnecting(reason, description)`, `disconnect(reason, description)`, `error(error)`.
 * `emit` sends an event to the client; it doesn't call listeners of this object.
 */
export class Socket<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
> extends EventReceiver<ListenEvents, EmitEvents, SocketReservedEventsMap> {
  // Identity
  /** The namespace. */
  readonly nsp: Namespace<ListenEvents, EmitEvents, ServerSideEvents>;
  /** The connection, which sockets of other namespaces may share. */
  readonly client: Client<ListenEvents, EmitEvents, ServerSideEvents>;
  /** Public id: 20 characters of `[A-Za-z0-9_-]`, unguessable. Also the name of the room that the socket joins on admission. */
  readonly id: SocketId;
  /** Whether this socket was recovered: it has the id, rooms and data of an earlier socket of the client. */
  readonly recovered: boolean;
  /** @internal Empty if the session can't be recovered. */ pid: string;
  private _flags: BroadcastFlags | null;
  private _data: SocketData | undefined;
  private readonly _auth: { [key: string]: any };
  private readonly _issuedMs: number;
  private _handshake: Handshake | null;

  /** Called when a client joins the namespace. */
  constructor(
    nsp: Namespace<ListenEvents, EmitEvents, ServerSideEvents>,
    client: Client<ListenEvents, EmitEvents, ServerSideEvents>,
    auth: Record<string, unknown>,
    previousSession?: RestorableSession,
  ) {
    super();
    this.nsp = nsp;
    this.client = client;
    this.id = previousSession?.sid ?? (client.conn.protocol === 3 ? legacyId(nsp.name, client.conn.id) : generateId());
    this.recovered = previousSession !== undefined;
    this.pid = previousSession?.pid ?? (nsp.server._recovery === null ? "" : generateId());
    this._flags = null;
    this._data = previousSession === undefined ? undefined : (previousSession.data as SocketData);
    this._auth = auth;
    this._issuedMs = Date.now();
    this._handshake = "request" in client.conn ? null : describeHandshake(client.conn, null, auth, this._issuedMs);
    if (this.pid !== "") nsp._socketsByPid.set(this.pid, this as AnySocket);
  }

  // Attributes

  /** Details of the handshake: headers, query and address of the request, and the `auth` payload of the client.
   * @example const { token } = socket.handshake.auth; */
  get handshake(): Handshake {
    return (this._handshake ??= describeHandshake(this.client.conn, requestAtHandshake(this.client.conn), this._auth, this._issuedMs));
  }

  /** Values of the program for this socket. `fetchSockets()` on other servers gives a copy. Initially `{}`.
   * @example socket.data.user = user; */
  get data(): SocketData {
    return (this._data ??= {} as SocketData);
  }

  set data(value: SocketData) {
    this._data = value;
  }

  /** Whether the socket is connected to the namespace. */
  get connected(): boolean {
    return this._state === "connected" || this._state === "leaving";
  }

  /** The opposite of `connected`. */
  get disconnected(): boolean {
    return !this.connected;
  }

  /** The request that opened the connection. */
  get request(): IncomingMessage {
    return this.client.request;
  }

  /** The session of the engine: `conn.id`, `conn.transport.name`, events `upgrade`, `packet`, `drain`, `close`. */
  get conn(): Client<any, any, any>["conn"] {
    return this.client.conn;
  }

  /** The rooms that the socket is in; empty after the disconnection. Read-only: use `join` and `leave` to change it.
   * @example if (!socket.rooms.has(room)) return; */
  get rooms(): Set<Room> {
    return this.adapter.socketRooms(this.id) ?? new Set();
  }

  /** Bytes that wait for this client: queued, or written and not yet taken by the system. They are those of the connection, so a client's
   * sockets in all its namespaces have the same value. 0 with an engine of another package. */
  get bufferedBytes(): number {
    return this.client._directSession?.bufferedBytes ?? 0;
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

  /** Sends an event to this client.
   * If the last argument is a function, the client is asked to acknowledge the event. The function gets the values of the acknowledgement;
   * after `timeout(ms)` an error or null comes first.
   * @returns true, also if the socket is disconnected and the event is dropped
   * @throws  UsageError RC_ERR_RESERVED_EVENT, RC_ERR_EVENT_NAME; EncodingError RC_ERR_ENCODING
   * @example socket.emit("news", { text: "hello" }); */
  override emit<Ev extends EventNames<EmitEvents>>(ev: Ev, ...args: EventParams<EmitEvents, Ev>): boolean;
  override emit(...data: any[]): boolean {
    expectEventName(data[0]);
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
    if (this._state === "joining" || this._state === "connected")
      this.packet(packet, flags); // NSP-24, EVT-4
    else if (debug.enabled) debug("%s: %s dropped: the socket has left", quoted(this.id), describePacket(packet));
    return true;
  }

  /** Sends an event to this client and waits for its acknowledgement.
   * @returns the first value of the acknowledgement; rejects after the time set by `timeout(ms)`. Without `timeout(ms)` after `limits.ackLifetimeMs`, or never
   * @example const answer = await socket.timeout(5000).emitWithAck("question", "ready?"); */
  emitWithAck<Ev extends EventNamesWithAck<EmitEvents>>(
    ev: Ev,
    ...args: AllButLast<EventParams<EmitEvents, Ev>>
  ): Promise<FirstNonErrorArg<Last<EventParams<EmitEvents, Ev>>>>;
  emitWithAck(...data: any[]): Promise<any> {
    const isTimed = this._flags?.timeout !== undefined;
    return new Promise((resolve, reject) => {
      (this.emit as (...data: any[]) => boolean)(...data, promiseCallback(this, isTimed, resolve, reject));
    });
  }

  /** Sends an event named `message`. @example socket.send("hello"); */
  send(...args: EventParams<EmitEvents, "message">): this {
    (this.emit as (...data: any[]) => boolean)("message", ...args);
    return this;
  }

  /** Same as `send`. @example socket.write("hello"); */
  write(...args: EventParams<EmitEvents, "message">): this {
    (this.emit as (...data: any[]) => boolean)("message", ...args);
    return this;
  }

  /** Waits until fewer than `below` bytes (default 65536) wait for this client, at once if so already; see `bufferedBytes`.
   * @returns rejects with RC_ERR_DISCONNECTED when the socket is disconnected, with the reason of `signal` when that is aborted, and with
   *          UsageError RC_ERR_ARGUMENT
   * @example for (const row of rows) { socket.emit("row", row); await socket.drained(); } */
  drained(options?: DrainedOptions): Promise<void> {
    return socketDrained(this, options);
  }

  private _emitExpectingAck(data: any[], callback: AckCallback, flags: BroadcastFlags | null): void {
    const id = this.nsp._ids++;
    if (isAckObserved()) callback = observedAck(this as AnySocket, this.nsp as any, data[0], callback, flags?.timeout !== undefined);
    const packet: SocketPacket = { type: EVENT, nsp: this.nsp.name, data, id };
    if (this._anyOutgoingListeners !== null) this.notifyOutgoingListeners(packet);
    const errors = this.nsp.server._listenerErrors;
    const guarded = errors === null ? callback : errors.guard(callback, this, data[0] as string);
    expectAck(this, id, guarded, flags?.timeout, leaveOf(callback));
    if (this._state !== "joining" && this._state !== "connected") return settleAcksLater(this.acks);
    try {
      this.packet(packet, flags);
    } catch (error) {
      this._forgetAck(id);
      throw error;
    }
  }

  /** With connection state recovery, events go through the adapter, which stores them for a client that reconnects (CSR-4). */
  private _emitRecoverably(packet: SocketPacket, flags: BroadcastFlags | null): void {
    if (!this.connected && this._anyOutgoingListeners !== null) this.notifyOutgoingListeners(packet);
    void this.adapter.broadcast(packet, { rooms: new Set([this.id]), except: new Set(), flags: flags ?? {} });
  }

  /** Gives the flags of this emission and clears them (EVT-6). */
  private _takeFlags(): BroadcastFlags | null {
    const flags = this._flags;
    if (flags !== null) this._flags = null;
    return flags;
  }

  // Modifiers of the next emission

  /** Enables or disables compression of the next event, if the connection has negotiated compression. Default `true`.
   * @example socket.compress(false).emit("image", bytes); */
  compress(compress: boolean): this {
    this.flags.compress = compress;
    return this;
  }

  /** Makes the next event volatile: it is dropped if the transport is not writable at that moment. Gives the socket.
   * @example socket.volatile.emit("position", x, y); */
  get volatile(): this {
    this.flags.volatile = true;
    return this;
  }

  /** Sets the time in which the client has to acknowledge the next event.
   * @param timeout  milliseconds
   * @example socket.timeout(5000).emit("question", (err, answer) => {}); */
  timeout(timeout: number): Socket<ListenEvents, DecorateAcknowledgements<EmitEvents>, ServerSideEvents, SocketData> {
    this.flags.timeout = timeout;
    return this;
  }

  // Emitting to other sockets. Their targets always exclude this socket (EVT-7, BRO-6).

  /** Targets the sockets in any of the rooms, except this socket. Gives a new target.
   * @param room  a room or an array of rooms
   * @example socket.to("room-1").emit("said", "hello"); */
  to(room: Room | Room[]): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return this._others().to(room);
  }

  /** Same as `to`. @example socket.in(["room-1", "room-2"]).emit("said", "hello"); */
  in(room: Room | Room[]): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return this._others().to(room);
  }

  /** Targets all sockets of the namespace except this one and those in any of these rooms. Gives a new target.
   * @param room  a room or an array of rooms
   * @example socket.except("muted").emit("said", "hello"); */
  except(room: Room | Room[]): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return this._others().except(room);
  }

  /** Targets all sockets of the namespace except this one. @example socket.broadcast.emit("user joined", socket.id); */
  get broadcast(): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return this._others();
  }

  /** Targets all sockets of the namespace on this server except this one.
   * @example socket.local.emit("user joined", socket.id); */
  get local(): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return this._others().local;
  }

  private _others(): BroadcastOperator<DecorateAcknowledgementsWithMultipleResponses<EmitEvents>, SocketData> {
    return new BroadcastOperator(this.adapter, new Set(), new Set([this.id]), this._takeFlags() ?? {});
  }

  // Rooms

  /** Joins rooms. Does nothing after the disconnection (ROOM-5).
   * @param rooms  a room or an array of rooms
   * @returns the result of the adapter: undefined from the in-memory adapter; other adapters may give a promise
   * @throws LimitError RC_ERR_ROOMS above `limits.roomsPerSocket`, which is off by default: it joins none of the rooms then
   * @example socket.join("room-1"); */
  join(rooms: Room | Array<Room>): Promise<void> | void;
  join(rooms: Room | Array<Room>, callback?: unknown): Promise<void> | void {
    if (this._state === "left") return undefined; // ROOM-5, MID-3
    if (typeof callback === "function") warnJoinCallback("join");
    const names = new Set(Array.isArray(rooms) ? rooms : [rooms]);
    if (this.nsp.server._limits.roomsPerSocket !== Infinity) expectRoomsWithin(this.nsp.server._limits.roomsPerSocket, this, names);
    if (debug.enabled) debug("%s: joins %s", quoted(this.id), quotedList(names));
    return this.adapter.addAll(this.id, names);
  }

  /** Leaves a room. Returns the same as `join`. @example socket.leave("room-1"); */
  leave(room: Room): Promise<void> | void;
  leave(room: Room, callback?: unknown): Promise<void> | void {
    if (typeof callback === "function") warnJoinCallback("leave");
    if (debug.enabled) debug("%s: leaves %s", quoted(this.id), quoted(room));
    const result = this.adapter.del(this.id, room);
    tellDrains(this);
    return result;
  }

  /** Leaves all rooms, including the room of its own id. @internal */
  leaveAll(): void {
    this.adapter.delAll(this.id);
  }

  // Connection and disconnection

  /** Disconnects from the namespace.
   * @param close    true: closes the connection as well, and so the client's sockets in other namespaces. Default false
   * @param options  `reason`: a text that the client gets before, as an event (ROB-718)
   * @example socket.disconnect(true, { reason: "signed out" }); // on the client: socket.on("disconnect_reason", (reason) => {}) */
  disconnect(close: boolean = false, options?: DisconnectOptions): this {
    const status = options === undefined ? null : sendReason(this, options);
    if (this._state !== "connected") return this; // DIS-1, MID-6
    if (close) this.client._disconnect(status);
    else {
      this.packet({ type: DISCONNECT, nsp: this.nsp.name });
      this._onclose("server namespace disconnect");
    }
    return this;
  }

  /** The namespace has admitted the socket: joins the room of its own id and answers the CONNECT (NSP-21). @internal */
  _onconnect(previousSession: RestorableSession | null): void {
    this._state = "connected";
    void this.join(this.id);
    if (previousSession !== null) {
      this.client._sendReplayAtOnce(); // CSR-8: missed packets, then the CONNECT
      for (const data of previousSession.missedPackets) this.packet({ type: EVENT, nsp: this.nsp.name, data });
    }
    const reply: SocketPacket = { type: CONNECT, nsp: this.nsp.name };
    // SIO-71: clients of revision 3 get no payload.
    if (this.conn.protocol !== 3) reply.data = this.pid === "" ? { sid: this.id } : { sid: this.id, pid: this.pid };
    this.packet(reply);
  }

  /** Disconnects the socket, whatever the cause: the only way out of `connected` (DIS-4, DIS-5). @internal */
  _onclose(reason: DisconnectReason, cause?: unknown): this | undefined {
    if (this._state !== "connected") return undefined;
    const description = describeEnd(this.client.conn, reason, cause) as DisconnectDescription | undefined;
    if (debug.enabled) debug("%s: leaves the namespace %s: %s", quoted(this.id), quoted(this.nsp.name), reason);
    this._state = "leaving";
    noteChange();
    // Errors of listeners and adapters are thrown to the caller, after the socket was disconnected completely.
    try {
      this._raiseOwn("disconnecting", reason, description);
    } finally {
      try {
        if (this.pid !== "" && RECOVERABLE_REASONS.has(reason)) {
          void this.adapter.persistSession({ sid: this.id, pid: this.pid, rooms: [...this.rooms], data: this.data }); // CSR-6
        }
      } finally {
        this._cleanup();
        this.client._remove(this, reason);
        if (socketDisconnect.hasSubscribers) socketDisconnect.publish({ socket: this as AnySocket, reason, description });
        this._raiseOwn("disconnect", reason, description);
      }
    }
    return undefined;
  }

  /** Leaves all rooms and the namespace. @internal */
  _cleanup(): void {
    this.leaveAll();
    if (this.nsp._socketsByPid.get(this.pid) === (this as AnySocket)) this.nsp._socketsByPid.delete(this.pid);
    this.nsp._remove(this as AnySocket);
    this._state = "left";
    tellDrains(this);
    if (this._acks !== null) settleAcksLater(this._acks);
  }

  // Packets out

  /** Sends a CONNECT_ERROR: the client was refused. @internal */
  _error(payload: any): void {
    this.packet({ type: CONNECT_ERROR, nsp: this.nsp.name, data: payload });
  }

  /** Writes a packet to the connection. @internal */
  packet(packet: SocketPacket, flags: BroadcastFlags | null = null): void {
    if (packet.nsp === undefined) packet.nsp = this.nsp.name;
    if (debug.enabled) debug("%s: sends %s", quoted(this.id), describePacket(packet));
    if (packetSend.hasSubscribers) packetSend.publish({ socket: this as AnySocket, packet });
    this.client._packet(packet, flags);
  }

  /** The session that broadcasts may be written to directly; null if a listener or a replaced method would miss the packet. @internal */
  _directSession(): Session | null {
    return this._state === "connected" && this._anyOutgoingListeners === null ? this.client._directSession : null;
  }

  /** @internal */ _checkPendingAcks(): void {
    checkPendingAcks(this);
  }

  /** Writes the messages of a broadcast. Hot: once per recipient. @internal */
  _writePrepared(messages: readonly Prepared[], isVolatile: boolean): void {
    if (this._state === "connected") this.client._writePrepared(messages, isVolatile);
  }
}
