// Messages between nodes as the official adapter for PostgreSQL writes them, and the names of its channels.
import { createHash } from "node:crypto";
import { hasBinary } from "../../protocol/attachments";
import { decodePlainMsgpack, encodePlainMsgpack } from "../../protocol/plain-msgpack";
import { type ClusterMessage, type ClusterResponse, MessageType } from "../messages";

/** NOTIFY takes payloads below this number of bytes (PG-6). */
export const PAYLOAD_BYTES_MAX = 8_000;
/** Room for the offset of a message, which the statement adds. */
export const OFFSET_BYTES = 32;
/** A larger attachment is neither written nor read. */
export const ATTACHMENT_BYTES_MAX = 64 * 1024 * 1024;
const CHANNEL_BYTES_MAX = 63;

/**
 * A message in its form for PostgreSQL.
 * `text`: what is notified; with an attachment it goes on with the id of its row and `"}`. `attachment`: what is stored in the table.
 */
export interface EncodedMessage {
  text: string;
  attachment: Buffer | null;
}

/** What a notification says: a message, or where it is. */
export interface Notified {
  message: Record<string, unknown>;
  attachmentId: string | null;
  /** Its id in the log of packets, if it has one. */
  offset: string | undefined;
}

/** Name of the channel of a namespace (PG-2). LISTEN would cut a name above 63 bytes, which NOTIFY refuses: such a name is hashed (ROB-840). */
export function channelName(prefix: string, namespace: string): string {
  const name = `${prefix}#${namespace}`;
  if (Buffer.byteLength(name) <= CHANNEL_BYTES_MAX && !name.includes("\0")) return name;
  return `roomcast#${createHash("sha256").update(name).digest("base64url")}`;
}

/**
 * Encodes a message: as JSON if it has no binary values and less than `threshold` bytes (PG-3), otherwise as an attachment (PG-4).
 * @throws what `toJSON` of a value throws; TypeError on values without an encoding
 */
export function encode({ uid, nsp, type, data }: ClusterMessage | ClusterResponse, threshold: number): EncodedMessage {
  if (!mayHaveBinary(type) || !hasBinary(data)) {
    const text = JSON.stringify({ uid, nsp, type, data });
    if (isBelow(text, threshold)) return { text, attachment: null };
  }
  // `nsp`, so that each node knows its own (PG-5)
  const header = JSON.stringify({ uid, nsp, type });
  const attachment = encodePlainMsgpack({ uid, nsp, type, data });
  if (attachment.length > ATTACHMENT_BYTES_MAX)
    throw new RangeError(`a message to the other servers has ${attachment.length} bytes, at most ${ATTACHMENT_BYTES_MAX} can be sent`);
  return { text: `${header.slice(0, -1)},"attachmentId":"`, attachment };
}

/** The beginning of all that a node sends: what comes from itself is skipped without decoding. */
export function beginningOf(uid: string): string {
  return `{"uid":${JSON.stringify(uid)},`;
}

/** Decodes a notification. @param namespace  that of the channel, for messages that name none (PG-14). @throws on anything malformed */
export function decode(payload: string, namespace: string): Notified {
  const message = toMessage(JSON.parse(payload), namespace);
  const { attachmentId } = message;
  const offset = isRowId(message["offset"]) ? message["offset"] : undefined;
  if (attachmentId === undefined) return { message, attachmentId: null, offset };
  const id = typeof attachmentId === "number" ? String(attachmentId) : attachmentId;
  if (!isRowId(id)) throw new TypeError("the id of an attachment is no number");
  return { message, attachmentId: id, offset };
}

/** The offset that a statement has added to a message of this node. */
export function offsetOf(payload: string): string | undefined {
  return /,"offset":"(\d{1,18})"\}$/.exec(payload)?.[1];
}

/** Whether a value is the id of a row, as text. */
export function isRowId(value: unknown): value is string {
  return typeof value === "string" && /^\d{1,18}$/.test(value);
}

/** Decodes an attachment. @throws on anything malformed */
export function decodeAttachment(bytes: unknown, namespace: string): Record<string, unknown> {
  if (!Buffer.isBuffer(bytes)) throw new TypeError("an attachment is missing, or too large");
  return toMessage(decodePlainMsgpack(bytes), namespace);
}

function toMessage(value: unknown, namespace: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null) throw new TypeError("a message is no object");
  const message = value as Record<string, unknown>;
  message["nsp"] ??= namespace;
  return message;
}

function mayHaveBinary(type: number): boolean {
  return type !== MessageType.INITIAL_HEARTBEAT && type !== MessageType.HEARTBEAT && type !== MessageType.ADAPTER_CLOSE;
}

/** Whether a text has fewer bytes in UTF-8. */
export function isBelow(text: string, bytes: number): boolean {
  return text.length * 3 < bytes || (text.length < bytes && Buffer.byteLength(text) < bytes);
}
