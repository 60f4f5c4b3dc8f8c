// The messages between nodes on NATS as bytes, format version 1, and back.
import { decodePlainMsgpack, encodePlainMsgpack, NESTING_MAX } from "../../protocol/plain-msgpack";
import { type ClusterMessage, type ClusterResponse, MessageType } from "../messages";

/*
 *     byte  1        version of the format
 *     byte           kind: 0 whole, 1 a part (`parts.ts`), 2 bytes for one node (`Link.sendDirect`)
 *
 * whole:
 *     byte           length of the uid
 *     …              uid of the sender, in ASCII; in a log with a dot and the number of the message, if the sender has to know its own again
 *     4 bytes        length of the rooms, 0: the message concerns every node that gets it
 *     …              rooms of a broadcast: a node without any of them reads no further
 *     …              [type, namespace, data]
 *
 * Numbers are big-endian; rooms and the last part are MessagePack (`protocol/plain-msgpack.ts`).
 */
export const VERSION = 1;
export const WHOLE = 0;
export const PART = 1;
export const DIRECT = 2;

const UID_AT = 3;
const NO_ROOMS = Buffer.alloc(0);

/** @throws TypeError, RangeError on values without an encoding */
export function encodeMessage(message: ClusterMessage | ClusterResponse, number = 0): Buffer {
  const { nsp, type, data } = message;
  const uid = number === 0 ? message.uid : `${message.uid}.${number}`;
  const isSkippable = type === MessageType.BROADCAST && data.requestId === undefined && data.opts.rooms.length > 0;
  const rooms = isSkippable ? encodePlainMsgpack(data.opts.rooms) : NO_ROOMS;
  const body = encodePlainMsgpack([type, nsp, data]);
  const roomsAt = UID_AT + uid.length + 4;
  const bytes = Buffer.allocUnsafe(roomsAt + rooms.length + body.length);
  bytes[0] = VERSION;
  bytes[1] = WHOLE;
  bytes[2] = uid.length;
  bytes.write(uid, UID_AT, "latin1");
  bytes.writeUInt32BE(rooms.length, roomsAt - 4);
  rooms.copy(bytes, roomsAt);
  body.copy(bytes, roomsAt + rooms.length);
  return bytes;
}

/**
 * Hot: most messages are for rooms that only other nodes have, or come back to their sender: neither is decoded.
 * @param ownUid   messages of this sender are skipped
 * @param hasRoom  whether a room has sockets here
 * @returns a value for `Receiver.onMessage` or `onResponse`, null for what doesn't concern this node
 * @throws Error on bytes that make no sense
 */
export function decodeMessage(bytes: Buffer, ownUid: string, hasRoom: (room: any) => boolean): Record<string, unknown> | null {
  const roomsAt = UID_AT + bytes[2] + 4;
  if (bytes.length <= roomsAt) throw new TypeError("too short");
  const sender = bytes.toString("latin1", UID_AT, roomsAt - 4);
  const dot = sender.indexOf(".");
  const uid = dot === -1 ? sender : sender.slice(0, dot);
  if (uid === ownUid) return null;
  const bodyAt = roomsAt + bytes.readUInt32BE(roomsAt - 4);
  if (bodyAt >= bytes.length) throw new TypeError("too short");
  if (bodyAt > roomsAt) {
    const rooms = decodePlainMsgpack(bytes.subarray(roomsAt, bodyAt), 1);
    if (!Array.isArray(rooms)) throw new TypeError("no list of rooms");
    if (!rooms.some(hasRoom)) return null;
  }
  const body = decodePlainMsgpack(bytes.subarray(bodyAt), NESTING_MAX);
  if (!Array.isArray(body)) throw new TypeError("no message");
  const [type, nsp, data] = body as unknown[];
  return { uid, nsp, type, data };
}

/** The number of a message of this sender; 0 if it has none, or comes from another one. */
export function numberIn(bytes: Buffer, ownUid: string): number {
  const sender = bytes.toString("latin1", UID_AT, UID_AT + bytes[2]);
  return sender.startsWith(`${ownUid}.`) ? Number(sender.slice(ownUid.length + 1)) : 0;
}

/** Puts version and kind in front. */
export function frame(kind: number, content: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(2 + content.length);
  bytes[0] = VERSION;
  bytes[1] = kind;
  content.copy(bytes, 2);
  return bytes;
}
