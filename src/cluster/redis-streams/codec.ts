// Messages between nodes as the official adapter for Redis Streams writes them.
import { hasBinary } from "../../protocol/attachments";
import { decodePlainMsgpack, encodePlainMsgpack, NESTING_MAX } from "../../protocol/plain-msgpack";
import { type ClusterMessage, type ClusterResponse, MessageType, QUESTION } from "../messages";

/** An entry of a stream: its id, and its fields in pairs. */
export type Entry = readonly [id: string, fields: readonly string[]];

/** Messages whose data may be MessagePack (STR-4). */
const BINARY_TYPES = new Set<number>([
  MessageType.BROADCAST,
  MessageType.FETCH_SOCKETS_RESPONSE,
  MessageType.SERVER_SIDE_EMIT,
  MessageType.SERVER_SIDE_EMIT_RESPONSE,
  MessageType.BROADCAST_ACK,
]);

/** Whether a message goes by pub/sub, not by the stream (STR-3): what is asked now, and needs no log. */
export function isEphemeral(message: ClusterMessage): boolean {
  switch (message.type) {
    case MessageType.BROADCAST:
      return message.data.requestId !== undefined;
    case MessageType.SERVER_SIDE_EMIT:
    case MessageType.FETCH_SOCKETS:
    case QUESTION:
      return true;
    default:
      return false;
  }
}

/** The fields of an entry (STR-2, STR-4). @throws on values without an encoding */
export function toFields({ uid, nsp, type, data }: ClusterMessage, onlyPlaintext: boolean): string[] {
  const fields = ["uid", uid, "nsp", nsp, "type", String(type)];
  if (data === undefined) return fields;
  const isBinary = !onlyPlaintext && BINARY_TYPES.has(type) && hasBinary(data);
  return [...fields, "data", isBinary ? encodePlainMsgpack(data).toString("base64") : JSON.stringify(data)];
}

/** The command that appends an entry. */
export function appendCommand(stream: string, maxLen: number, fields: readonly string[]): string[] {
  return ["XADD", stream, "MAXLEN", "~", String(maxLen), "*", ...fields];
}

/** The channel of the requests of a namespace, to which all its nodes are subscribed. */
export function requestsOf(channelPrefix: string, namespace: string): string {
  return `${channelPrefix}#${namespace}#`;
}

/** The message of an entry. @throws on anything malformed */
export function fromFields(fields: ReadonlyMap<string, string>): Record<string, unknown> {
  const message: Record<string, unknown> = { uid: fields.get("uid"), nsp: fields.get("nsp"), type: Number(fields.get("type")) };
  const data = fields.get("data");
  if (data !== undefined)
    message["data"] = data.startsWith("{") ? JSON.parse(data) : decodePlainMsgpack(Buffer.from(data, "base64"), NESTING_MAX);
  return message;
}

/** The payload of pub/sub (STR-3). */
export function encodeMessage(message: ClusterMessage | ClusterResponse): Buffer {
  return encodePlainMsgpack(message);
}

/** @throws on anything malformed */
export function decodeMessage(bytes: Buffer): unknown {
  return decodePlainMsgpack(bytes, NESTING_MAX);
}

/** The fields by name. @param pairs  a list, or an object as Redis gives it by its protocol RESP 3 */
export function fieldsOf(pairs: unknown): Map<string, string> {
  const fields = new Map<string, string>();
  if (!Array.isArray(pairs)) {
    for (const [name, value] of Object.entries(pairs ?? {})) fields.set(name, String(value));
    return fields;
  }
  for (let index = 0; index + 1 < pairs.length; index += 2) fields.set(String(pairs[index]), String(pairs[index + 1]));
  return fields;
}

/** The stream of a namespace. The original counts from a hash with a sign, so that it may name a stream that no node reads (STR-8). */
export function streamOf(namespace: string, name: string, count: number): string {
  if (count === 1) return name;
  let hash = 0;
  for (let index = 0; index < namespace.length; index++) hash = (hash * 31 + namespace.charCodeAt(index)) | 0;
  return `${name}-${((hash % count) + count) % count}`;
}

/** Whether a text is the id of an entry (STR-10). */
export function isEntryId(value: unknown): value is string {
  return typeof value === "string" && /^\d{1,18}-\d{1,18}$/.test(value);
}

/** Whether the id of an entry is greater than another one. */
export function isAfter(id: string, other: string): boolean {
  const [ms, sequence] = id.split("-").map(BigInt);
  const [otherMs, otherSequence] = other.split("-").map(BigInt);
  return ms > otherMs || (ms === otherMs && sequence > otherSequence);
}

/** The smallest id that is greater. Ranges that exclude their start are unknown to Redis before 6.2. */
export function idAfter(id: string): string {
  const [ms, sequence] = id.split("-");
  return `${ms}-${BigInt(sequence) + 1n}`;
}
