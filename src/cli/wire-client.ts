// A small Socket.IO client. Who runs `npx roomcast` has no other one installed.
import { EventEmitter } from "node:events";
import { Decoder } from "../protocol/packet-decoder";
import { Encoder } from "../protocol/packet-encoder";
import { PacketType, type Packet } from "../protocol/packet";
import { handshakeOf } from "./handshake";
import { PollingTransport, WebSocketTransport, type Transport, type TransportOptions } from "./transports";

export interface WireClientOptions extends TransportOptions {
  readonly namespace: string;
  readonly auth: unknown;
  readonly transport: "websocket" | "polling";
}

/** Events of a client: `connect(sid)`, `refused(data)`, `packet(packet)`, `ignored(packet)` for what is not this client's, then once `close(reason)`. */
interface WireClientEvents {
  connect: [sid: string];
  refused: [data: unknown];
  packet: [packet: Packet];
  ignored: [packet: Packet];
  close: [reason: string];
}

/**
 *     connecting --CONNECT--> joined --> closed
 *     connecting --CONNECT_ERROR, time-out, error--> closed
 */
export class WireClient extends EventEmitter<WireClientEvents> {
  private readonly transport: Transport;
  private readonly options: WireClientOptions;
  private readonly encoder = new Encoder();
  private readonly decoder = new Decoder();
  /** Decoded, and not yet given to listeners. */
  private readonly decoded: Packet[] = [];
  private readonly timer: NodeJS.Timeout;
  private heartbeat: NodeJS.Timeout | null = null;
  private nextId = 0;
  private isJoined = false;
  /** Set once it is closed. */
  private ended: Promise<void> | null = null;

  constructor(options: WireClientOptions) {
    super();
    this.options = options;
    this.timer = setTimeout(() => void this.end(`no answer within ${options.timeoutMs} ms`), options.timeoutMs);
    this.decoder.on("decoded", (packet: Packet) => this.decoded.push(packet));
    const Transport = options.transport === "polling" ? PollingTransport : WebSocketTransport;
    this.transport = new Transport(options, {
      onPacket: (packet) => this.onEnginePacket(packet),
      onClose: (reason) => void this.end(reason),
    });
  }

  /** @returns whether it was sent: not once the client is closed */
  emitEvent(data: unknown[]): boolean {
    return this.send({ type: PacketType.EVENT, nsp: this.options.namespace, data });
  }

  /** Sends an event that asks for an acknowledgement. @returns its id, or null when it was not sent */
  ask(data: unknown[]): number | null {
    const id = this.nextId++;
    return this.send({ type: PacketType.EVENT, nsp: this.options.namespace, data, id }) ? id : null;
  }

  answer(id: number, data: unknown[]): void {
    this.send({ type: PacketType.ACK, nsp: this.options.namespace, id, data });
  }

  /** @returns resolves when what was sent is on its way and the connection ended, at the latest after one second */
  close(): Promise<void> {
    this.send({ type: PacketType.DISCONNECT, nsp: this.options.namespace });
    return this.end("closed here");
  }

  private send(packet: Packet): boolean {
    if (this.ended !== null) return false;
    const parts = this.encoder.encode(packet) as (string | Buffer)[];
    this.transport.send(parts.map((part) => (typeof part === "string" ? `4${part}` : part)));
    return true;
  }

  private onEnginePacket(packet: string | Buffer): void {
    if (this.ended !== null) return;
    this.heartbeat?.refresh();
    try {
      if (typeof packet !== "string") this.decoder.add(packet);
      else if (packet.startsWith("0")) this.onHandshake(packet.slice(1));
      else if (packet === "2") this.transport.send(["3"]);
      else if (packet.startsWith("4")) this.decoder.add(packet.slice(1));
    } catch (error) {
      void this.end(`the server sent what is no packet: ${(error as Error).message}`);
    }
    // Outside of the try: an exception of a listener is not the server's fault.
    for (const each of this.decoded.splice(0)) this.onPacket(each);
  }

  private onHandshake(json: string): void {
    const handshake = handshakeOf(json);
    if (handshake === null) throw new Error(`a handshake ${json.slice(0, 100)}`);
    this.heartbeat ??= setTimeout(() => void this.end("ping timeout"), handshake.pingInterval + handshake.pingTimeout);
    const { namespace, auth } = this.options;
    this.send({ type: PacketType.CONNECT, nsp: namespace, ...(auth === undefined ? {} : { data: auth as never }) });
  }

  private onPacket(packet: Packet): void {
    if (this.ended !== null) return;
    const isAnswer = packet.type === PacketType.CONNECT || packet.type === PacketType.CONNECT_ERROR;
    if (packet.nsp !== this.options.namespace || isAnswer === this.isJoined) {
      this.emit("ignored", packet);
      return;
    }
    if (packet.type === PacketType.CONNECT) {
      this.isJoined = true;
      clearTimeout(this.timer);
      this.emit("connect", (packet.data as { sid?: string } | undefined)?.sid ?? "");
    } else if (packet.type === PacketType.CONNECT_ERROR) {
      this.emit("refused", packet.data);
      void this.end("refused");
    } else if (packet.type === PacketType.DISCONNECT) void this.end("io server disconnect");
    else this.emit("packet", packet);
  }

  private end(reason: string): Promise<void> {
    if (this.ended !== null) return this.ended;
    clearTimeout(this.timer);
    if (this.heartbeat !== null) clearTimeout(this.heartbeat);
    this.ended = this.transport.close();
    this.emit("close", reason);
    return this.ended;
  }
}
