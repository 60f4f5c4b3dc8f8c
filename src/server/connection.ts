import type { IncomingMessage } from "node:http";
import createDebug from "debug";
import type { CloseReason } from "../engine/close-reason";
import { Prepared, type SendOptions } from "../engine/prepared";
import { interruptRead } from "../engine/read-turn";
import { Session, type SessionOwner } from "../engine/session";
import { ProtocolError } from "../errors";
import { PacketType } from "../protocol/packet";
import type { PacketDecoder } from "../protocol/packet-decoder";
import { Deadline } from "../support/deadline";
import { Admission } from "./admission";
import { NO_AUTH } from "./handshake";
import { Arrivals, type ArrivalsOwner } from "./arrivals";
import type { SocketId } from "./adapter";
import type { DisconnectReason } from "./disconnect-reason";
import { flawOf, type PacketSource } from "./custom-parser";
import { forEachInTurn } from "./each-in-turn";
import type { DefaultEventsMap, EventsMap } from "./events";
import { listenTo } from "./foreign-engine";
import { normaliseLegacyName, parseLegacyName } from "./legacy-name";
import type { Server } from "./server";
import type { Socket } from "./socket";
import type { Event } from "./socket-middleware";
import type { SocketPacket } from "./socket-packet";

/*
 * Walks "a frame in" and "an emit out": gets messages from the engine's session, decodes them and hands the packets to
 * the sockets of their namespaces; encodes packets of sockets and hands them to the session.
 */

const debug = createDebug("socket.io:client");

const { CONNECT, DISCONNECT, CONNECT_ERROR } = PacketType;

type AnySocket = Socket<any, any, any, any>;

/** How a packet, or messages that are encoded already, are written. */
export interface WriteOptions {
  /** Drop it if it cannot leave right now. */
  volatile?: boolean | undefined;
  /** Whether transports that negotiated compression may use it. Default `true`. */
  compress?: boolean | undefined;
  /** The packet is an array of messages, encoded already. */
  preEncoded?: boolean | undefined;
  /** The complete WebSocket frame of a single text. */
  wsPreEncodedFrame?: readonly Buffer[] | undefined;
}

/**
 * One client, over all its namespaces (`socket.client`).
 *
 * Most clients are in one namespace: their socket stands in a field, the maps `sockets` and `nsps` are made when there
 * are more, or when somebody looks.
 */
export class Client<
  ListenEvents extends EventsMap = DefaultEventsMap,
  EmitEvents extends EventsMap = ListenEvents,
  ServerSideEvents extends EventsMap = DefaultEventsMap,
  SocketData = any,
>
  implements SessionOwner, ArrivalsOwner
{
  /** The engine's socket. */
  readonly conn: Session;
  /** @internal */
  readonly server: Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>;
  /** @internal */
  encoder: { encode(packet: any): any[] };
  /** Null with an engine of somebody else's. */
  private readonly session: Session | null;

  // Coming in
  private directDecoder: PacketDecoder | null;
  private customDecoder: PacketSource | null;
  private decoded: SocketPacket[] | null;
  private arrivals: Arrivals | null;
  private handedOver: Arrivals | null;

  // Sockets
  private onlySocket: AnySocket | null;
  private socketsByName: Map<string, AnySocket> | null;
  private socketsById: Map<SocketId, AnySocket> | null;
  private admissions: Admission | null;
  private joinDeadline: Deadline<AnyClient> | null;
  private isClosed: boolean;

  /** For the server. */
  constructor(server: Server<ListenEvents, EmitEvents, ServerSideEvents, SocketData>, conn: Session) {
    this.conn = conn;
    this.server = server;
    this.encoder = server.encoder;
    this.session = conn instanceof Session ? conn : null;
    this.directDecoder = server._createDirectDecoder();
    this.customDecoder = null;
    this.decoded = null;
    this.arrivals = null;
    this.handedOver = null;
    this.onlySocket = null;
    this.socketsByName = null;
    this.socketsById = null;
    this.admissions = null;
    this.joinDeadline = new Deadline(onJoinDeadline, this as AnyClient);
    this.isClosed = false;
    this.joinDeadline.start(server._connectTimeout);
    if (this.directDecoder === null) void this.decoder;
    if (this.session !== null) this.session.owner = this;
    else listenTo(conn, this as AnyClient);
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
    if (this.socketsById === null) {
      this.socketsById = new Map();
      for (const socket of this.allSockets()) this.socketsById.set(socket.id, socket);
    }
    return this.socketsById;
  }

  /** Sockets by name of their namespace. @internal */
  get nsps(): Map<string, AnySocket> {
    if (this.socketsByName === null) {
      this.socketsByName = new Map();
      if (this.onlySocket !== null) this.socketsByName.set(this.onlySocket.nsp.name, this.onlySocket);
    }
    return this.socketsByName;
  }

  private allSockets(): AnySocket[] {
    if (this.socketsByName !== null) return [...this.socketsByName.values()];
    return this.onlySocket === null ? [] : [this.onlySocket];
  }

  private socketIn(name: string): AnySocket | undefined {
    if (this.socketsByName !== null) return this.socketsByName.get(name);
    const only = this.onlySocket;
    return only !== null && only.nsp.name === name ? only : undefined;
  }

  // Messages in

  /**
   * What decodes this connection's messages. Whoever looks at it gets a decoder as the option `parser` describes it,
   * and from then on it is the one in use; until then the default parser works without one.
   * @internal
   */
  get decoder(): PacketSource {
    if (this.customDecoder === null) this.decoder = this.server._createDecoder();
    return this.customDecoder!;
  }

  set decoder(decoder: PacketSource) {
    this.directDecoder = null;
    this.customDecoder = decoder;
    decoder.on("decoded", (packet) => {
      if (this.decoded !== null) this.decoded.push(packet);
      else this.takeJudged(packet); // a decoder that takes its time
    });
  }

  /** @internal */
  onMessage(data: string | Buffer | undefined): void {
    this.ondata(data);
  }

  /** Takes a message. Hot: once per message. @internal */
  ondata(data: unknown): void {
    if (this.directDecoder === null) return this.decodeCustom(data);
    let packet: SocketPacket | null;
    try {
      packet = this.directDecoder.decode(data);
    } catch (error) {
      return this.onerror(error as Error);
    }
    if (packet !== null) this.ondecoded(packet);
  }

  /** Keeps what the decoder makes apart from what becomes of it: an error of a program isn't one of the peer. */
  private decodeCustom(data: unknown): void {
    const packets: SocketPacket[] = (this.decoded = []);
    interruptRead();
    try {
      this.customDecoder!.add(data);
    } catch (error) {
      return this.onerror(error as Error);
    } finally {
      this.decoded = null;
    }
    for (const packet of packets) {
      if (!this.takeJudged(packet)) return;
    }
  }

  /** Takes a packet of a custom parser, unless it must not reach the sockets: then the connection ends. */
  private takeJudged(packet: SocketPacket): boolean {
    if (this.isClosed) return false;
    const flaw = flawOf(packet);
    if (flaw === null) this.ondecoded(packet);
    else this.onerror(new ProtocolError("RC_ERR_PAYLOAD", flaw));
    return flaw === null;
  }

  /** Takes a packet. @internal */
  ondecoded(packet: SocketPacket): void {
    if (this.isClosed) return;
    const { type } = packet;
    let name = packet.nsp as string;
    let auth: unknown = packet.data;
    if (this.conn.protocol === 3) ({ name, auth } = this.readLegacyName(name));

    const socket = this.socketIn(name);
    if (type === CONNECT) {
      if (socket !== undefined && !this.isLeaving(socket)) this.violate("a second CONNECT for a namespace");
      else if (this.arrivals === null) this.connect(name, isObject(auth) ? auth : NO_AUTH);
      else this.arrivals.add(null, packet); // its middlewares see what listeners make of the packets before it
    } else if (socket === undefined) {
      this.violate("a packet for a namespace that was not joined");
    } else if (type === CONNECT_ERROR) {
      this.violate("CONNECT_ERROR from a client");
    } else {
      (this.arrivals ??= new Arrivals(this)).add(socket, packet);
    }
  }

  /** Names of old clients come with a query, and perhaps in another spelling than the namespace's. */
  private readLegacyName(target: string): { name: string; auth: Record<string, string> } {
    const { name, auth } = parseLegacyName(target);
    if (this.server._nsps.has(name)) return { name, auth };
    const normalised = normaliseLegacyName(name);
    return { name: normalised !== null && this.server._nsps.has(normalised) ? normalised : name, auth };
  }

  private violate(what: string): void {
    if (debug.enabled) debug("%s: %s", this.id, what);
    this.close();
  }

  private isLeaving(socket: AnySocket): boolean {
    return this.arrivals !== null && this.arrivals.some((receiver, { type }) => receiver === socket && type === DISCONNECT);
  }

  /** @internal */
  onArrivalsTaken(arrivals: Arrivals): void {
    this.arrivals = null;
    this.handedOver = arrivals;
  }

  /** @internal */
  onHandedOver(): void {
    this.handedOver = null;
  }

  /** Its turn is behind all ticks: events that came before it may have taken one of their own. @internal */
  onUnclaimed(packet: SocketPacket): void {
    queueMicrotask(() => this.ondecoded(packet));
  }

  /** Has an event's listeners run after the packets that came with it; false if it isn't of the packet at hand. @internal */
  _raiseLater(socket: object, event: Event): boolean {
    return this.handedOver !== null && this.handedOver.raiseLater(socket, event);
  }

  // Joining and leaving

  /** Has the client join a namespace. @internal */
  connect(name: string, auth: Record<string, unknown> = NO_AUTH): void {
    let count = this.socketsByName?.size ?? (this.onlySocket === null ? 0 : 1);
    for (let admission = this.admissions; admission !== null; admission = admission.next) {
      if (admission.name === name) return; // the answer is on its way
      count++;
    }
    if (count >= this.server._limits.namespaces) return this._refuse(name, "Too many namespaces");
    interruptRead();
    this.admissions = new Admission(this as AnyClient, name, auth, this.admissions);
    this.admissions.start();
  }

  /** @internal */
  _removeAdmission(admission: Admission): void {
    if (this.admissions === admission) {
      this.admissions = admission.next;
      return;
    }
    for (let before = this.admissions; before !== null; before = before.next) {
      if (before.next === admission) before.next = admission.next;
    }
  }

  /** Answers a CONNECT for which there is no socket. @internal */
  _refuse(name: string, message: string): void {
    this._packet({ type: CONNECT_ERROR, nsp: name, data: { message } });
  }

  /** A socket has joined its namespace: from now on it gets its packets. @internal */
  _add(socket: AnySocket): void {
    this.joinDeadline?.cancel();
    this.joinDeadline = null;
    if (this.socketsByName === null && this.onlySocket === null) this.onlySocket = socket;
    else this.nsps.set(socket.nsp.name, socket);
    this.socketsById?.set(socket.id, socket);
  }

  /** A socket has ended. @internal */
  _remove(socket: AnySocket): void {
    if (this.onlySocket === socket) this.onlySocket = null;
    const { name } = socket.nsp;
    if (this.socketsByName?.get(name) === socket) this.socketsByName.delete(name);
    if (this.socketsById?.get(socket.id) === socket) this.socketsById.delete(socket.id);
  }

  /** Disconnects every socket, then the connection. @internal */
  _disconnect(): void {
    forEachInTurn(this.allSockets(), (socket) => socket.disconnect());
    this.close();
  }

  /** Closes the connection; its sockets end now, even if the engine takes its time. @internal */
  close(): void {
    if (this.conn.readyState === "open") this.conn.close();
    this.onclose("forced server close");
  }

  // The end

  /** A message could not be decoded. @internal */
  onerror(error: Error): void {
    if (debug.enabled) debug("%s: %s", this.id, error?.message);
    forEachInTurn(this.allSockets(), (socket) => socket._onerror(error));
    this.conn.close();
  }

  /** @internal */
  onSessionClose(reason: CloseReason, description?: unknown): void {
    this.onclose(reason, description);
  }

  /** The connection has ended. @internal */
  onclose(reason: DisconnectReason, description?: unknown): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (debug.enabled) debug("%s: closed, %s", this.id, reason);
    this.joinDeadline?.cancel();
    this.joinDeadline = null;
    this.directDecoder?.reset();
    this.customDecoder?.destroy();
    while (this.admissions !== null) this.admissions.cancel();
    forEachInTurn(this.allSockets(), (socket) => socket._onclose(reason, description));
  }

  // Packets out

  /**
   * Writes a packet; dropped unless the connection is open. Hot: once per emit.
   * @param packet  with `preEncoded`, an array of messages
   * @internal
   */
  _packet(packet: SocketPacket | readonly unknown[], options: WriteOptions | null = null): void {
    if (this.conn.readyState !== "open") return;
    if (options !== null) {
      if (options.preEncoded === true) return this.writeToEngine(packet as readonly unknown[], options);
      if (options.volatile === true && !this.takesVolatile) return;
    }
    const compress = options === null || options.compress !== false;
    const messages = this.encoder.encode(packet);
    for (let i = 0; i < messages.length; i++) this.writeMessage(messages[i], compress);
  }

  private writeMessage(message: unknown, compress: boolean): void {
    const { session } = this;
    const isPlain = (typeof message === "string" && message !== "") || Buffer.isBuffer(message);
    if (isPlain && session !== null && session.write === Session.prototype.write) {
      session.writePrepared(new Prepared("message", message, compress, false, null, null));
    } else {
      this.conn.write(message, { compress });
    }
  }

  private get takesVolatile(): boolean {
    return this.session === null ? this.conn.transport.writable : this.session.transport.takesVolatile;
  }

  /** The session that broadcasts are written to; null with an engine of somebody else's. @internal */
  get _directSession(): Session | null {
    return this._writePrepared === Client.prototype._writePrepared ? this.session : null;
  }

  /** Writes the messages of a broadcast. Hot: once per recipient. @internal */
  _writePrepared(messages: readonly Prepared[], isVolatile: boolean): void {
    const { session } = this;
    if (session !== null && session.write === Session.prototype.write) {
      if (isVolatile && !session.transport.takesVolatile) return;
      for (let i = 0; i < messages.length; i++) session.writePrepared(messages[i]);
      return;
    }
    if (isVolatile && !this.takesVolatile) return;
    for (const { data, compress } of messages) this.conn.write(data, { preEncoded: true, volatile: isVolatile, compress } as SendOptions);
  }

  /**
   * Writes messages that are encoded already, in order; adapters call it.
   * @param messages  texts and binary values of one packet
   * @param options   with `volatile` all are dropped unless the transport can take them now
   */
  writeToEngine(messages: readonly unknown[] | string | Buffer, options: WriteOptions = {}): void {
    if (options.volatile && !this.takesVolatile) return;
    const list = Array.isArray(messages) ? messages : [messages];
    for (const message of list) this.conn.write(message, options);
  }
}

type AnyClient = Client<any, any, any, any>;

function onJoinDeadline(client: AnyClient): void {
  if (debug.enabled) debug("%s: joined nothing in time", client.id);
  client.close();
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
