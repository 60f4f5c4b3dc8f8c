// The link between the workers of one machine, over unix sockets.
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { atTickEnd, type Deferred } from "../../engine/turn";
import type { Room } from "../../server/adapter/contract";
import { SOCKET_ID } from "../../server/adapter/room-index";
import type { Channel, Link, LinkListener, Receipt, Receiver } from "../link";
import { type ClusterMessage, type ClusterResponse, MessageType, type ServerId } from "../messages";
import { isOfPrimary, leaveDirectory } from "./directory";
import { BodyReader, type Content, encodeFrame, encodeMessage, encodeResponse, FRAME_BYTES_MAX, FrameKind } from "./frames";
import { Handover } from "./handover";
import { bitOf, hashOf, OwnInterest } from "./interest";
import { Mesh } from "./mesh";

const SENT: Promise<Receipt> = Promise.resolve({});

/** One per server. */
export class WorkersLink implements Link, Deferred {
  readonly name = "cluster";
  readonly hasEcho = false;
  isDeferred = false;
  mesh: Mesh | null = null;
  private handover: Handover | null = null;
  private readonly directory: string | null;
  private readonly maxQueuedBytes: number;
  private readonly channels = new Map<string, WorkersChannel>();
  private readonly own = new OwnInterest();
  private listener: LinkListener | null = null;
  private hasMetUnreadable = false;

  /** @param directory  of the sockets, exists; null: there are no other workers */
  constructor(directory: string | null, maxQueuedBytes: number) {
    this.directory = directory;
    this.maxQueuedBytes = maxQueuedBytes;
  }

  async open(listener: LinkListener, uid: ServerId): Promise<void> {
    if (this.directory === null) return;
    this.listener = listener;
    this.mesh = new Mesh(uid, this.directory, this.maxQueuedBytes, this.own, {
      onFrame: (from, kind, body) => this.onFrame(from, kind, body),
      onGone: (uid) => listener.onGone(uid),
      onMalformed: (reason) => listener.onMalformed(reason),
      onUnreadable: (error) => this.onUnreadable(error),
      onLost: (messages) => listener.onLost(messages),
      onSlow: (isSlow) => (isSlow ? listener.onDown("another worker reads too slowly: messages to it are dropped") : listener.onUp()),
    });
    process.on("exit", this.onExit);
    const { onConnection } = listener;
    if (onConnection && isOfPrimary(this.directory)) this.handover = new Handover(uid, onConnection);
    await this.mesh.open();
  }

  channel(receiver: Receiver): Channel {
    const channel = new WorkersChannel(this, receiver);
    this.channels.set(receiver.namespace, channel);
    return channel;
  }

  others(): Promise<readonly ServerId[]> {
    return this.mesh === null ? Promise.resolve([]) : this.mesh.listed();
  }

  sendPulse(text: string): Promise<unknown> {
    this.mesh?.send(encodeFrame(FrameKind.Pulse, text), null);
    return SENT;
  }

  sendDirect(to: ServerId, bytes: Buffer): Promise<unknown> {
    if (bytes.length >= FRAME_BYTES_MAX) return Promise.reject(new RangeError(`${bytes.length} bytes are too many for a frame`));
    return this.sendTo(to, encodeFrame(FrameKind.Direct, bytes));
  }

  handOver(to: ServerId, request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    return this.handover?.give(to, request, socket, head) === true;
  }

  /** Rejects if the worker is gone, or reads too slowly. */
  sendTo(to: ServerId, frame: Buffer): Promise<unknown> {
    return this.mesh?.sendTo(to, frame) === true ? SENT : Promise.reject(new Error(`the worker ${to} cannot be reached`));
  }

  /** Something is here, or no more. The others are told at the end of this tick, before what a listener has sent to a client (ROB-861). */
  note(bit: number, isHere: boolean): void {
    if (this.directory !== null && this.own.note(bit, isHere)) atTickEnd(this);
  }

  /** @internal */
  runDeferred(): void {
    this.mesh?.tellInterest();
  }

  private onFrame(from: ServerId, kind: number, body: Buffer): void {
    if (kind === FrameKind.Pulse) return this.listener!.onPulse(body.toString("utf8"));
    if (kind === FrameKind.Direct) return this.listener!.onDirect(body);
    if (kind !== FrameKind.Message && kind !== FrameKind.Response) return; // of a later version
    let channel: WorkersChannel | undefined;
    let content: Content;
    try {
      const reader = new BodyReader(body);
      channel = this.channels.get(reader.text());
      if (channel === undefined || (kind === FrameKind.Message && !channel.isConcerned(reader))) return;
      content = reader.value();
    } catch (error) {
      return this.listener!.onMalformed(error);
    }
    channel.onContent(from, kind, content);
  }

  /** Told once: that worker connects again and again. */
  private onUnreadable(error: unknown): void {
    if (!this.hasMetUnreadable) this.listener!.onProblem("run the same version of roomcast in all workers of a directory", error);
    this.hasMetUnreadable = true;
  }

  remove(namespace: string): void {
    this.channels.delete(namespace);
  }

  private readonly onExit = (): void => {
    this.mesh!.leave();
    leaveDirectory(this.directory!);
  };

  async close(): Promise<void> {
    process.off("exit", this.onExit);
    this.handover?.close();
    await this.mesh?.close();
  }
}

class WorkersChannel implements Channel {
  private readonly link: WorkersLink;
  private readonly receiver: Receiver;
  private readonly hash: number;
  /** Of the namespace. */
  private readonly bits: readonly number[];

  constructor(link: WorkersLink, receiver: Receiver) {
    this.link = link;
    this.receiver = receiver;
    this.hash = hashOf(receiver.namespace);
    this.bits = [bitOf(this.hash)];
    link.note(this.bits[0], true);
  }

  publish(message: ClusterMessage): Promise<Receipt> {
    const { mesh } = this.link;
    if (mesh === null || mesh.isAlone) return SENT;
    const rooms = roomsOf(message);
    const areTold = rooms.length > 0 && !rooms.some((room) => SOCKET_ID.test(room));
    const bits = areTold ? rooms.map((room) => bitOf(this.hash, room)) : this.bits;
    try {
      mesh.send(encodeMessage(this.receiver.namespace, rooms, message), bits);
      return SENT;
    } catch (error) {
      return rejection(error); // it cannot be encoded
    }
  }

  respond(to: ServerId, response: ClusterResponse): Promise<unknown> {
    try {
      const sent = this.link.sendTo(to, encodeResponse(this.receiver.namespace, response));
      return sent.then(() => this.link.mesh?.hasTaken(to));
    } catch (error) {
      return rejection(error);
    }
  }

  onRoom(room: Room, isHere: boolean): void {
    this.link.note(bitOf(this.hash, room), isHere);
  }

  /** Whether a message concerns this worker: the header has a room that is here, or none. */
  isConcerned(reader: BodyReader): boolean {
    const count = reader.byte();
    let isConcerned = count === 0;
    for (let i = 0; i < count; i++) {
      const room = reader.text();
      isConcerned ||= this.receiver.hasRoom(room);
    }
    return isConcerned;
  }

  onContent(uid: ServerId, kind: number, { type, data }: Content): void {
    const content = { uid, nsp: this.receiver.namespace, type, data };
    if (kind === FrameKind.Message) this.receiver.onMessage(content);
    else this.receiver.onResponse(content);
  }

  close(): Promise<unknown> {
    this.link.note(this.bits[0], false);
    this.link.remove(this.receiver.namespace);
    return SENT;
  }
}

/** The rooms by which workers may skip a message; none if all have to get it. */
function roomsOf(message: ClusterMessage): readonly string[] {
  if (message.type !== MessageType.BROADCAST || message.data.requestId !== undefined) return [];
  const { rooms } = message.data.opts;
  return rooms.every((room) => typeof room === "string") ? rooms : [];
}

function rejection(reason: unknown): Promise<never> {
  return Promise.reject(reason instanceof Error ? reason : new Error(String(reason)));
}
