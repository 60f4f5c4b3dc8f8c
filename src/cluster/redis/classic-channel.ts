// One namespace on classic pub/sub of Redis.
import type { Room } from "../../server/adapter/contract";
import { BROADCAST_LEAVE, type ClusterMessage, type ClusterResponse, EMITTER, MessageType, type ServerId } from "../messages";
import type { Channel, Receipt, Receiver } from "../link";
import { RecentJoins } from "../recent-joins";
import {
  decodeBroadcast,
  decodeRequest,
  decodeResponse,
  encodeBroadcast,
  encodeRequest,
  encodeResponse,
  type Parser,
} from "./classic-codec";
import type { RedisBus } from "./bus";
import type { Handler } from "./subscriptions";

/** The length of a socket id, in bytes: what the pattern of ids matches. */
const ID_BYTES = 20;
const OWN_UID = /^[0-9a-f]{16}$/;

export interface ClassicOptions {
  key: string;
  publishOnSpecificResponseChannel: boolean;
  parser: Parser;
  /** `dynamic`: a subscription per room; `static`: a pattern for all of them. */
  subscriptionMode: "dynamic" | "static";
}

/**
 * A node hears of rooms that it has sockets in, and of no others: it subscribes to a channel per room, and to all ids of sockets by a pattern.
 * Official nodes subscribe to all rooms by a pattern; the channels that messages are sent to are the same (RED-2, RED-3).
 */
export class ClassicChannel implements Channel {
  private readonly bus: RedisBus;
  private readonly receiver: Receiver;
  private readonly options: ClassicOptions;
  private readonly onMalformed: (reason: unknown) => void;
  /** The channel of broadcasts to all sockets, and the beginning of those to rooms. */
  private readonly prefix: string;
  private readonly requestChannel: string;
  private readonly responsePrefix: string;
  /** What a broadcast of this node begins with: an array of three, and its uid. */
  private readonly ownHead: Buffer;
  private readonly names: [string, Handler][] = [];
  private readonly rooms = new Set<string>();
  private readonly recentJoins = new RecentJoins();

  constructor(bus: RedisBus, receiver: Receiver, options: ClassicOptions, onMalformed: (reason: unknown) => void) {
    this.bus = bus;
    this.receiver = receiver;
    this.options = options;
    this.onMalformed = onMalformed;
    const { key } = options;
    const { namespace, uid } = receiver;
    this.prefix = `${key}#${namespace}#`;
    this.requestChannel = `${key}-request#${namespace}#`;
    this.responsePrefix = `${key}-response#${namespace}#`;
    this.ownHead = Buffer.from(`\x93${String.fromCharCode(0xa0 + uid.length)}${uid}`, "latin1");
    const pattern = escapePattern(this.prefix) + (options.subscriptionMode === "static" ? "?*" : `${"?".repeat(ID_BYTES)}#`);
    this.subscribe("channel", this.prefix, this.onBroadcast);
    this.subscribe("pattern", pattern, this.onBroadcast);
    this.subscribe("channel", this.requestChannel, this.onRequest);
    this.subscribe("channel", this.responsePrefix, this.onResponse);
    this.subscribe("channel", `${this.responsePrefix}${uid}#`, this.onResponse);
  }

  private subscribe(kind: "channel" | "pattern", name: string, handler: Handler): void {
    this.names.push([name, handler]);
    this.bus.subscriptions.add(kind, name, handler);
  }

  /** What the pattern of ids matches would arrive twice with a subscription of its own. Patterns count bytes. */
  onRoom(room: Room, isHere: boolean): void {
    if (this.options.subscriptionMode === "static" || Buffer.byteLength(String(room)) === ID_BYTES) return;
    const name = `${this.prefix}${room}#`;
    if (isHere === this.rooms.has(name)) return;
    if (isHere) {
      this.rooms.add(name);
      this.bus.subscriptions.add("channel", name, this.onBroadcast);
    } else {
      this.rooms.delete(name);
      this.bus.subscriptions.remove(name, this.onBroadcast);
    }
  }

  settled(): Promise<void> | null {
    return this.bus.subscriptions.settled();
  }

  // Messages of other nodes

  /** Hot: most messages are for rooms that other nodes have, or are echoes: neither is decoded. */
  private readonly onBroadcast: Handler = (message, channel) => {
    if (channel.length > this.prefix.length && !this.hasRoom(channel.slice(this.prefix.length, -1))) return;
    const { ownHead } = this;
    if (message.length > ownHead.length && message.compare(ownHead, 0, ownHead.length, 0, ownHead.length) === 0) return;
    let broadcast: unknown;
    try {
      broadcast = decodeBroadcast(message, this.receiver.namespace, this.options.parser);
    } catch (error) {
      return this.onMalformed(error);
    }
    if (broadcast !== null) this.receiver.onMessage(broadcast);
  };

  private readonly onRequest: Handler = (message) => {
    let request: unknown;
    try {
      request = decodeRequest(message, this.receiver.namespace, this.options.parser, (room) => this.receiver.hasRoom(room));
    } catch (error) {
      return this.onMalformed(error);
    }
    if (request !== null) this.receiver.onMessage(request);
  };

  private readonly onResponse: Handler = (message) => {
    let response;
    try {
      response = decodeResponse(message, this.receiver.namespace, this.options.parser);
    } catch (error) {
      return this.onMalformed(error);
    }
    // The shared channel brings what other nodes have asked for, too.
    if (this.receiver.isWaitingFor(String(response.data.requestId))) this.receiver.onResponse(response);
  };

  /** A room may also be known by a number (RED-4). */
  private hasRoom(room: string): boolean {
    return this.receiver.hasRoom(room) || (String(Number(room)) === room && this.receiver.hasRoom(Number(room) as unknown as Room));
  }

  // Messages to other nodes

  async publish(message: ClusterMessage): Promise<Receipt> {
    const { channel, payload } = publicationOf(message, this.options, this.recentJoins);
    if (channel === this.requestChannel) return this.bus.publishRequest("channel", channel, payload);
    await this.bus.publish("channel", channel, payload);
    return NOTHING_KNOWN;
  }

  async respond(to: ServerId, response: ClusterResponse): Promise<void> {
    const isOwn = OWN_UID.test(to);
    if (response.type === BROADCAST_LEAVE && !isOwn) return;
    const isTargeted = isOwn || (this.options.publishOnSpecificResponseChannel && to !== EMITTER);
    const isShared = !isTargeted || (!isOwn && response.type === MessageType.SERVER_SIDE_EMIT_RESPONSE); // RED-10
    const channel = isShared ? this.responsePrefix : `${this.responsePrefix}${to}#`;
    await this.bus.publish("channel", channel, encodeResponse(response, isOwn ? this.receiver.uid : undefined, this.options.parser));
  }

  countOthers(): Promise<number> {
    return this.bus.countOthers("channel", this.requestChannel);
  }

  async close(): Promise<void> {
    const { subscriptions } = this.bus;
    for (const [name, handler] of this.names) subscriptions.remove(name, handler);
    for (const name of this.rooms) subscriptions.remove(name, this.onBroadcast);
    this.rooms.clear();
    await subscriptions.settled();
  }
}

const NOTHING_KNOWN: Receipt = {};

/** What a message is published as: broadcasts on the channel of their room or of the namespace, all others on that of requests. */
export function publicationOf(
  message: ClusterMessage,
  { key, parser }: Pick<ClassicOptions, "key" | "parser">,
  recentJoins: RecentJoins,
): { channel: string; payload: string | Buffer } {
  const { nsp } = message;
  if (message.type !== MessageType.BROADCAST || message.data.requestId !== undefined) {
    recentJoins.note(message);
    return { channel: `${key}-request#${nsp}#`, payload: encodeRequest(message, parser) };
  }
  const { rooms } = message.data.opts;
  const room = rooms.length === 1 && !recentJoins.has(rooms[0]) ? `${rooms[0]}#` : "";
  return { channel: `${key}#${nsp}#${room}`, payload: encodeBroadcast(message, parser) };
}

/** Redis reads `*`, `?`, `[` and `\\` in patterns in their own way. */
function escapePattern(text: string): string {
  return text.replace(/[*?[\]\\]/g, "\\$&");
}
