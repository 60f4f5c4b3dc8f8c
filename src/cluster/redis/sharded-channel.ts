// One namespace on sharded pub/sub of Redis 7.
import { hasBinary } from "../../protocol/attachments";
import type { Room } from "../../server/adapter/contract";
import type { Channel, Receipt, Receiver } from "../link";
import { RecentJoins } from "../recent-joins";
import { ANSWER, type ClusterMessage, type ClusterResponse, MessageType, type ServerId } from "../messages";
import { decodeEither, isObject, type Parser, toBuffer } from "./classic-codec";
import type { RedisBus } from "./bus";
import type { Handler } from "./subscriptions";

/** The length of a socket id, in characters: what a room of that length is taken for (SHR-4). */
const ID_LENGTH = 20;

export interface ShardedOptions {
  channelPrefix: string;
  subscriptionMode: "static" | "dynamic" | "dynamic-private";
  parser: Parser;
}

/** Messages that are MessagePack where they hold binary (SHR-8). */
const BINARY_TYPES = new Set<number>([
  MessageType.BROADCAST,
  MessageType.FETCH_SOCKETS_RESPONSE,
  MessageType.SERVER_SIDE_EMIT,
  MessageType.SERVER_SIDE_EMIT_RESPONSE,
  MessageType.BROADCAST_ACK,
  ANSWER, // sockets in parts (ROB-988)
]);

/** Subscribes to a channel of the namespace, one for responses, and one per room as the mode says (SHR-2, SHR-3). */
export class ShardedChannel implements Channel {
  private readonly bus: RedisBus;
  private readonly receiver: Receiver;
  readonly needsRoomOfIds: boolean;
  private readonly options: ShardedOptions;
  private readonly onMalformed: (reason: unknown) => void;
  private readonly prefix: string;
  private readonly responseChannel: string;
  private readonly rooms = new Set<string>();
  private readonly recentJoins = new RecentJoins();

  constructor(bus: RedisBus, receiver: Receiver, options: ShardedOptions, onMalformed: (reason: unknown) => void) {
    this.bus = bus;
    this.receiver = receiver;
    this.options = options;
    this.needsRoomOfIds = options.subscriptionMode === "dynamic-private";
    this.onMalformed = onMalformed;
    this.prefix = `${options.channelPrefix}#${receiver.namespace}#`;
    this.responseChannel = `${this.prefix}${receiver.uid}#`;
    bus.subscriptions.add("shard", this.prefix, this.onMessage);
    bus.subscriptions.add("shard", this.responseChannel, this.onResponse);
  }

  onRoom(room: Room, isHere: boolean): void {
    if (!hasChannel(room, this.options.subscriptionMode)) return;
    const name = `${this.prefix}${room}#`;
    if (isHere === this.rooms.has(name) || name === this.responseChannel) return;
    if (isHere) {
      this.rooms.add(name);
      this.bus.subscriptions.add("shard", name, this.onMessage);
    } else {
      this.rooms.delete(name);
      this.bus.subscriptions.remove(name, this.onMessage);
    }
  }

  settled(): Promise<void> | null {
    return this.bus.subscriptions.settled();
  }

  private readonly onMessage: Handler = (bytes) => {
    const message = this.decode(bytes);
    if (message !== null) this.receiver.onMessage(message);
  };

  private readonly onResponse: Handler = (bytes) => {
    const response = this.decode(bytes);
    if (response !== null) this.receiver.onResponse(response);
  };

  private decode(bytes: Buffer): unknown {
    try {
      const message = decodeEither(bytes, this.options.parser);
      if (!isObject(message)) throw new TypeError("a message that is no object");
      return message;
    } catch (error) {
      this.onMalformed(error);
      return null;
    }
  }

  async publish(message: ClusterMessage): Promise<Receipt> {
    const { channel, payload } = publicationOf(message, this.options, this.recentJoins);
    const isRequest = message.data !== undefined && "requestId" in message.data && message.data.requestId !== undefined;
    if (isRequest) return this.bus.publishRequest("shard", channel, payload);
    await this.bus.publish("shard", channel, payload);
    return NOTHING_KNOWN;
  }

  async respond(to: ServerId, response: ClusterResponse): Promise<unknown> {
    return this.bus.publish("shard", `${this.prefix}${to}#`, encode(response, this.options.parser));
  }

  countOthers(): Promise<number> {
    return this.bus.countOthers("shard", this.prefix);
  }

  async close(): Promise<void> {
    const { subscriptions } = this.bus;
    subscriptions.remove(this.prefix, this.onMessage);
    subscriptions.remove(this.responseChannel, this.onResponse);
    for (const name of this.rooms) subscriptions.remove(name, this.onMessage);
    this.rooms.clear();
    await subscriptions.settled();
  }
}

const NOTHING_KNOWN: Receipt = {};

/** Ids of an unusual form are published on a channel of their own, too (SHR-5). */
function hasChannel(room: Room, mode: ShardedOptions["subscriptionMode"]): boolean {
  return mode === "dynamic-private" || (mode === "dynamic" && String(room).length !== ID_LENGTH);
}

/** What a message is published as: broadcasts on the channel of their room if it has one, all others on that of the namespace (SHR-4). */
export function publicationOf(
  message: ClusterMessage,
  { channelPrefix, subscriptionMode, parser }: ShardedOptions,
  recentJoins: RecentJoins,
): { channel: string; payload: string | Buffer } {
  const payload = encode(message, parser);
  recentJoins.note(message);
  const channel = `${channelPrefix}#${message.nsp}#`;
  if (message.type !== MessageType.BROADCAST || message.data.requestId !== undefined) return { channel, payload };
  const { rooms } = message.data.opts;
  const isForRoom = rooms.length === 1 && hasChannel(rooms[0], subscriptionMode) && !recentJoins.has(rooms[0]);
  return { channel: isForRoom ? `${channel}${rooms[0]}#` : channel, payload };
}

function encode(message: ClusterMessage | ClusterResponse, parser: Parser): string | Buffer {
  const hasBytes = BINARY_TYPES.has(message.type) && hasBinary(message.data);
  return hasBytes ? toBuffer(parser.encode(message)) : JSON.stringify(message);
}
