// A step of the walks "a frame in" and "an emit out": the connection of one client, shared by its sockets in all namespaces.
import type { IncomingMessage } from "node:http";
import createDebug from "debug";
import type { CloseReason } from "../../engine/close-reason";
import { hasBlob, prepareWithBlobs } from "../../engine/blob-reading";
import { limitError } from "../../engine/limits";
import { COMPRESSIBLE, Prepared, UNCOMPRESSED, type SendOptions } from "../../engine/prepared";
import { Session, type SessionOwner } from "../../engine/session";
import type { CloseStatus } from "../../engine/transport";
import { EncodingError, ProtocolError } from "../../errors";
import { describePacket, PacketType } from "../../protocol/packet";
import type { PacketDecoder } from "../../protocol/packet-decoder";
import { Deadline } from "../../support/deadline";
import { detachText } from "../../support/detach";
import { quoted } from "../../support/log-text";
import { isReplaced } from "../../support/replaced-methods";
import { NamespaceJoin } from "./namespace-join";
import { relieveSlowReader } from "./slow-readers";
import { NO_AUTH } from "../socket/handshake";
import { InboundQueue, type InboundQueueOwner } from "./inbound-queue";
import type { SocketId } from "../adapter/contract";
import type { DisconnectReason } from "../socket/disconnect-reason";
import { shapeErrorOf, type PacketSource } from "../compat/custom-parser";
import { forEachInTurn } from "../../support/each-in-turn";
import type { DefaultEventsMap, EventsMap } from "../events";
import { listenTo } from "../compat/foreign-engine";
import { readLegacyTarget } from "../compat/socket.io-2";
import { socketRefuse } from "../channels";
import type { ServerContext } from "../server-context";
import type { ClientPort, SocketPacket, WriteOptions } from "../socket/client-port";
import type { Socket } from "../socket/socket";
import type { Event } from "../socket/socket-middleware";

const debug = createDebug("socket.io:client");

const { CONNECT, CONNECT_ERROR } = PacketType;

type AnySocket = Socket<any, any, any, any>;

/**
 * The connection of one client (`socket.client`): decodes the messages of the engine's session and passes the packets to the sockets of
 * their namespaces; encodes the packets of the sockets and writes them to the session.
 *
 * Most clients are in one namespace: then `onlySocket` is set. The maps `sockets` and `nsps` are created for the second namespace, or when
 * a program reads them.
 */
export class Client<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
>
  implements SessionOwner, InboundQueueOwner, ClientPort
{
  /** The session of the engine. */ readonly conn: Session;
  /** @internal */ readonly server: ServerContext;
  /** @internal */ encoder: { encode(packet: any): any[] };
  /** The same as `conn`; null with an engine of another package. */ private readonly session: Session | null;

  // Packets in
  /** @internal */ _directDecoder: PacketDecoder | null;
  private customDecoder: PacketSource | null;
  private decoded: SocketPacket[] | null;
  private inbound: InboundQueue | null;
  /** The queue whose packets are being passed to their sockets. */ private dispatching: InboundQueue | null;

  // Sockets
  private onlySocket: Socket<ListenEvents, EmitEvents, ServerSideEvents, SocketData> | null;
  private socketsByName: Map<string, AnySocket> | null;
  private socketsById: Map<SocketId, AnySocket> | null;
  /** Pending joins by name of the namespace; null if there are none. @internal */ _joins: Map<string, NamespaceJoin> | null;
  /** @internal */ _joinDeadline: Deadline<any> | null;
  /** Events that want an answer are not passed on any more (ROB-995). @internal */ _isEnding: boolean;
  private isClosed: boolean;

  /** Called by the server. */
  constructor(server: ServerContext, conn: Session) {
    this.conn = conn;
    this.server = server;
    this.encoder = server.encoder;
    this.session = conn instanceof Session ? conn : null;
    this._directDecoder = server._createDirectDecoder();
    this.customDecoder = null;
    this.decoded = null;
    this.inbound = null;
    this.dispatching = null;
    this.onlySocket = null;
    this.socketsByName = null;
    this.socketsById = null;
    this._joins = null;
    this._joinDeadline = new Deadline(onJoinDeadline, this as AnyClient);
    this._isEnding = false;
    this.isClosed = false;
    this._joinDeadline.start(server._connectTimeout);
    if (this._directDecoder === null) void this.decoder;
    if (this.session !== null) this.session.owner = this;
    else listenTo(conn, this);
  }

  /** Id of the connection. */
  get id(): string {
    return this.conn.id;
  }

  /** The request that opened the connection. */
  get request(): IncomingMessage {
    return this.conn.request as unknown as IncomingMessage;
  }

  /** Sockets by id. @internal */
  get sockets(): Map<SocketId, AnySocket> {
    return (this.socketsById ??= new Map(this._allSockets().map((socket) => [socket.id, socket])));
  }

  /** Sockets by name of their namespace. @internal */
  get nsps(): Map<string, AnySocket> {
    if (this.socketsByName === null) {
      this.socketsByName = new Map();
      if (this.onlySocket !== null) this.socketsByName.set(this.onlySocket.nsp.name, this.onlySocket);
    }
    return this.socketsByName;
  }

  /** @internal */
  _allSockets(): AnySocket[] {
    if (this.socketsByName !== null) return [...this.socketsByName.values()];
    return this.onlySocket === null ? [] : [this.onlySocket];
  }

  private socketIn(name: string): AnySocket | undefined {
    if (this.socketsByName !== null) return this.socketsByName.get(name);
    const only = this.onlySocket;
    return only !== null && only.nsp.name === name ? only : undefined;
  }

  // Messages in

  /** The decoder of this connection. Until it is read or set, the built-in parser decodes directly, without such an object. @internal */
  get decoder(): PacketSource {
    if (this.customDecoder === null) this.decoder = this.server._createDecoder();
    return this.customDecoder!;
  }

  set decoder(decoder: PacketSource) {
    this._directDecoder = null;
    this.customDecoder = decoder;
    decoder.on("decoded", (packet) => {
      if (this.decoded !== null) this.decoded.push(packet);
      else this.onCustomPacket(packet); // from a decoder that is asynchronous
    });
  }

  /** @internal */
  get heldInputBytes(): number {
    return this._directDecoder === null ? 0 : this._directDecoder.heldBytes;
  }

  /** @internal */ onMessage(data: string | Buffer | undefined): void {
    this.ondata(data);
  }

  /** Receives a message: from a session of our engine by `onMessage`, from another engine directly (foreign-engine.ts). What has to be checked
   * before a packet is decoded goes here. Programs replace this method (MEM-8). @internal */
  ondata(data: unknown): void {
    if (this._directDecoder === null) return this.decodeCustom(data);
    let packet: SocketPacket | null;
    try {
      packet = this._directDecoder.decode(data);
    } catch (error) {
      return this.onerror(error as Error);
    }
    if (packet !== null) this.ondecoded(packet);
    else this.session?.server.inputTotal.add((data as string | Buffer).length);
  }

  /** Decodes first and dispatches afterwards, so that errors of listeners are not taken for decoding errors. */
  private decodeCustom(data: unknown): void {
    const packets: SocketPacket[] = (this.decoded = []);
    try {
      this.customDecoder!.add(data);
    } catch (error) {
      return this.onerror(error as Error);
    } finally {
      this.decoded = null;
    }
    for (const packet of packets) {
      if (!this.onCustomPacket(packet)) return;
    }
  }

  /** Receives a packet of a custom parser. @returns false if the packet is invalid and the connection was closed (EVT-24, ROB-111) */
  private onCustomPacket(packet: SocketPacket): boolean {
    if (this.isClosed) return false;
    const shapeError = shapeErrorOf(packet);
    if (shapeError === null) this.ondecoded(packet);
    else this.onerror(new ProtocolError("RC_ERR_PAYLOAD", shapeError));
    return shapeError === null;
  }

  /** Receives a packet. @internal */
  ondecoded(packet: SocketPacket): void {
    if (this.isClosed) return;
    const { type } = packet;
    let name = packet.nsp as string;
    let auth: unknown = packet.data;
    if (this.conn.protocol === 3) ({ name, auth } = readLegacyTarget(type === CONNECT ? detachText(name) : name, this.server._nsps));

    const socket = this.socketIn(name);
    if (type === CONNECT) {
      if (this._joins !== null && this._joins.has(name)) return; // SIO-53, NSP-25, ROB-112
      if (socket !== undefined && !(this.inbound !== null && this.inbound.hasDisconnectOf(socket))) {
        this.violate("a second CONNECT for a namespace", name); // SIO-51
      } else if (this.inbound === null) {
        this.connect(name, isObject(auth) ? auth : NO_AUTH);
      } else {
        this.inbound.addConnect(name, packet); // middlewares run after the listeners of earlier packets
      }
    } else if (socket === undefined) {
      this.violate("a packet for a namespace that was not joined", name); // SIO-51
    } else if (type === CONNECT_ERROR) {
      this.violate("CONNECT_ERROR from a client", name); // SIO-51
    } else {
      (this.inbound ??= new InboundQueue(this)).add(socket, packet);
    }
  }

  private violate(what: string, name: string): void {
    if (debug.enabled) debug("%s: %s, %s: the connection is closed", quoted(this.id), what, quoted(name));
    this.close();
  }

  /** @internal */
  onDispatchStart(inbound: InboundQueue): void {
    this.inbound = null;
    this.dispatching = inbound;
  }

  /** @internal */ onPacketsDispatched(): void {
    this.dispatching = null;
  }

  /** In a microtask, since events that were received earlier may have scheduled a tick of their own. @internal */
  onConnectTurn(packet: SocketPacket): void {
    queueMicrotask(() => this.ondecoded(packet));
  }

  /** Runs the listeners of an event after the packets received with it; false if the event isn't that of the current packet. @internal */
  _deferListeners(socket: object, event: Event): boolean {
    return this.dispatching !== null && this.dispatching.deferListeners(socket, event);
  }

  // Joining and leaving

  /** Starts to join a namespace on behalf of the client. @internal */
  connect(name: string, auth: Record<string, unknown> = NO_AUTH): void {
    if (this.server._isClosing) return; // ROB-207: the connection is about to end
    if (this._joins !== null && this._joins.has(name)) return; // NSP-25: the first CONNECT is still pending
    const joined = this.socketsByName?.size ?? (this.onlySocket === null ? 0 : 1);
    const pending = this._joins === null ? 0 : this._joins.size;
    if (joined + pending >= this.server._limits.namespaces) {
      this.session?.server.counts.add("RC_ERR_NAMESPACES"); // ROB-815
      return this._refuse(name, "Too many namespaces");
    }
    const join = new NamespaceJoin(this as AnyClient, detachText(name), auth);
    (this._joins ??= new Map()).set(join.name, join);
    join.start();
  }

  /** @internal */
  _removeJoin(join: NamespaceJoin): void {
    this._joins?.delete(join.name);
    if (this._joins?.size === 0) this._joins = null;
  }

  /** Answers a CONNECT by CONNECT_ERROR, if no socket was created for it. @internal */
  _refuse(name: string, message: string): void {
    if (debug.enabled) debug("%s: may not join %s: %s", quoted(this.id), quoted(name), message);
    if (socketRefuse.hasSubscribers) socketRefuse.publish({ client: this as AnyClient, namespace: name, message });
    this._packet({ type: CONNECT_ERROR, nsp: name, data: { message } });
  }

  /** The client recovers a session: the missed packets and the CONNECT after them must leave in one polling response (ROB-461). A client
   * that received only some of these packets would keep them, and receive them again after its next attempt. @internal */
  _sendReplayAtOnce(): void {
    if (this.session !== null) this.session.transport.maxPackets = Infinity;
  }

  /** A socket has joined its namespace: from now on it receives packets. @internal */
  _add(socket: AnySocket): void {
    this._joinDeadline?.cancel(); // SIO-54, CLI-4: it isn't started again
    this._joinDeadline = null;
    if (this.socketsByName === null && this.onlySocket === null) this.onlySocket = socket;
    else this.nsps.set(socket.nsp.name, socket);
    this.socketsById?.set(socket.id, socket);
  }

  /** A socket was disconnected. @internal */
  _remove(socket: AnySocket, reason: DisconnectReason): void {
    this.session?.server.counts.onDisconnect(reason);
    if (this.onlySocket === socket) this.onlySocket = null;
    const { name } = socket.nsp;
    if (this.socketsByName?.get(name) === socket) this.socketsByName.delete(name);
    if (this.socketsById?.get(socket.id) === socket) this.socketsById.delete(socket.id);
    if (this.server._limits.idleSessionMs !== Infinity) this.watchIdle();
  }

  /** ROB-775: the client has left its last namespace, and has to join one in time. */
  private watchIdle(): void {
    if (this.isClosed || this.session === null || this._allSockets().length > 0) return;
    this._joinDeadline = new Deadline(onIdleDeadline, this.session);
    this._joinDeadline.start(this.server._limits.idleSessionMs);
  }

  /** Disconnects all sockets, then closes the connection (DIS-3). @internal */
  _disconnect(status: CloseStatus | null = null): void {
    forEachInTurn(this._allSockets(), (socket) => socket.disconnect());
    this.close(status);
  }

  /** Closes the connection. Its sockets are disconnected now, even if the engine first sends what is queued. @internal */
  close(status: CloseStatus | null = null): void {
    if (this.conn.readyState === "open") this.conn.close(false, status);
    this.onclose("forced server close"); // SIO-51, DIS-28
  }

  // Errors and close

  /** A message could not be decoded (SIO-50, DIS-29). @internal */
  onerror(error: Error): void {
    if (debug.enabled) debug("%s: %s", quoted(this.id), quoted(error?.message));
    if (this.session !== null) this.session.violation = error;
    forEachInTurn(this._allSockets(), (socket) => socket._onerror(error));
    this.conn.close();
  }

  /** @internal */
  onLongQueue(): void {
    relieveSlowReader(this.session!, this._allSockets(), this.server._warnings);
  }

  /** @internal */
  onSessionClose(reason: CloseReason, description?: unknown): void {
    this.onclose(reason, description);
  }

  /** The connection was closed. @internal */
  onclose(reason: DisconnectReason, description?: unknown): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (debug.enabled) debug("%s: closed, %s", quoted(this.id), reason);
    this._joinDeadline?.cancel();
    this._joinDeadline = null;
    this._directDecoder?.reset();
    this.customDecoder?.destroy();
    if (this._joins !== null) for (const join of this._joins.values()) join.cancel();
    forEachInTurn(this._allSockets(), (socket) => socket._onclose(reason, description));
  }

  // Packets out

  /** Writes a packet. Does nothing unless the connection is open (SIO-61). Hot: once per emit.
   * @param packet  with the option `preEncoded`, an array of encoded messages (ADP-35) @internal */
  _packet(packet: SocketPacket | readonly unknown[], options: WriteOptions | null = null): void {
    if (this.conn.readyState !== "open") return logDropped(this.id, packet, "the connection is not open");
    if (options !== null) {
      if (options.preEncoded === true) return this.writeToEngine(packet as readonly unknown[], options);
      // SIO-62: decided once for all messages of the packet.
      if (options.volatile === true && !this.takesVolatile) return this.dropVolatile(packet);
    }
    const compress = options === null || options.compress !== false;
    const messages = this.encoder.encode(packet);
    if (messages.length > 1 && hasBlob(messages)) return this.writeWithBlobs(messages, compress);
    for (let i = 0; i < messages.length; i++) this.writeMessage(messages[i], compress);
  }

  private writeWithBlobs(messages: readonly unknown[], compress: boolean): void {
    if (this.session === null)
      throw new EncodingError("RC_ERR_ENCODING", "cannot encode a Blob for an engine of another package: send its bytes", undefined);
    for (const message of prepareWithBlobs(messages, { compress, shared: false })) this.session.writePrepared(message);
  }

  private writeMessage(message: unknown, compress: boolean): void {
    const { session } = this;
    const isPlain = (typeof message === "string" && message !== "") || Buffer.isBuffer(message);
    if (isPlain && session !== null && !isReplaced("conn.write", session.write, Session.prototype.write)) {
      session.writePrepared(new Prepared("message", message, compress ? COMPRESSIBLE : UNCOMPRESSED));
    } else {
      this.conn.write(message, { compress });
    }
  }

  private get takesVolatile(): boolean {
    return this.session === null ? this.conn.transport.writable : this.session.transport.takesVolatile;
  }

  /** @param packet  null for a broadcast */
  private dropVolatile(packet: object | null): void {
    this.session?.server.counts.onDropped("volatile");
    logDropped(this.id, packet, "volatile, and the transport is busy");
  }

  /** The session that broadcasts are written to; null with an engine of another package. @internal */ get _directSession(): Session | null {
    return this.session;
  }

  /** Writes the messages of a broadcast. Hot: once per recipient. @internal */
  _writePrepared(messages: readonly Prepared[], isVolatile: boolean): void {
    const { session } = this;
    if (session !== null && !isReplaced("conn.write", session.write, Session.prototype.write)) {
      if (isVolatile && !session.transport.takesVolatile) return this.dropVolatile(null);
      for (let i = 0; i < messages.length; i++) session.writePrepared(messages[i]);
      return;
    }
    if (isVolatile && !this.takesVolatile) return this.dropVolatile(null);
    for (const { data, compress } of messages) this.conn.write(data, { preEncoded: true, volatile: isVolatile, compress } as SendOptions);
  }

  /**
   * Writes encoded messages in order. Adapters call this method (CLI-3).
   * @param messages  the strings and binary values of one packet
   * @param options   `volatile`: all messages are dropped if the transport is not writable
   */
  writeToEngine(messages: readonly unknown[] | string | Buffer, options: WriteOptions = {}): void {
    if (options.volatile && !this.takesVolatile) return this.dropVolatile(null);
    const list = Array.isArray(messages) ? messages : [messages];
    for (const message of list) this.conn.write(message, options);
  }
}

type AnyClient = Client<any, any, any, any>;

function logDropped(id: string, packet: object | null, why: string): void {
  if (debug.enabled) debug("%s: %s dropped: %s", quoted(id), packet && "type" in packet ? describePacket(packet) : "a broadcast", why);
}

function onJoinDeadline(client: AnyClient): void {
  if (debug.enabled) debug("%s: no namespace was joined within connectTimeout", quoted(client.id));
  client.close();
}

function onIdleDeadline(session: Session): void {
  const { idleSessionMs } = session.server.limits;
  session.endForLimit(limitError("RC_ERR_IDLE_SESSION", "milliseconds in no namespace (idleSessionMs)", idleSessionMs, idleSessionMs));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
