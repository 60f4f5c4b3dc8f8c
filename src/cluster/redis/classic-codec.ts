// The messages of a cluster as the official adapter for classic pub/sub has them, and back. Numbers of requests differ from `messages.ts`.
import { ANSWER, BROADCAST_LEAVE, type ClusterMessage, type ClusterResponse, EMITTER, MessageType, QUESTION, UNNAMED } from "../messages";

/** MessagePack, or what the program puts in its place. */
export interface Parser {
  encode(value: unknown): Buffer | Uint8Array | string;
  decode(bytes: Buffer): unknown;
}

const SOCKETS = 0;
const ALL_ROOMS = 1;
const REMOTE_JOIN = 2;
const REMOTE_LEAVE = 3;
const REMOTE_DISCONNECT = 4;
const REMOTE_FETCH = 5;
const SERVER_SIDE_EMIT = 6;
const BROADCAST = 7;
const CLIENT_COUNT = 8;
const ACK = 9;

type Members = Record<string, unknown>;
type Broadcast = Extract<ClusterMessage, { type: 3 }>;
type Payload = string | Buffer;

const CURLY = 0x7b;

export function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** JSON, or what the parser has made: tells by the first byte (ENC-1). */
export function decodeEither(bytes: Buffer, parser: Parser): unknown {
  return bytes[0] === CURLY ? JSON.parse(bytes.toString()) : parser.decode(bytes);
}

export function toBuffer(bytes: Buffer | Uint8Array | string): Buffer {
  if (typeof bytes === "string") return Buffer.from(bytes);
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

// Broadcasts: `[uid, packet, opts]` (RED-3)

export function encodeBroadcast({ uid, nsp, data }: Broadcast, parser: Parser): Buffer {
  const { type, data: values } = data.packet as { type: number; data: unknown };
  return toBuffer(parser.encode([uid, { type, data: values, nsp }, data.opts]));
}

/** Gives null for a broadcast in another namespace (RED-4). */
export function decodeBroadcast(bytes: Buffer, namespace: string, parser: Parser): unknown {
  const value = parser.decode(bytes);
  const [uid, packet, opts] = Array.isArray(value) ? (value as unknown[]) : [];
  if (!isObject(packet)) throw new TypeError("a broadcast without a packet");
  return (packet["nsp"] ?? "/") === namespace ? { uid, nsp: namespace, type: MessageType.BROADCAST, data: { packet, opts } } : null;
}

// Requests

export function encodeRequest(message: ClusterMessage, parser: Parser): Payload {
  const { nsp, type } = message;
  const isUnsigned = message.uid === EMITTER && type !== MessageType.SERVER_SIDE_EMIT; // RED-22
  const uid = isUnsigned ? undefined : message.uid;
  switch (type) {
    case MessageType.BROADCAST: {
      const { packet, opts, requestId } = message.data;
      const { type: packetType, data } = packet as { type: number; data: unknown };
      return toBuffer(parser.encode({ uid, requestId, type: BROADCAST, packet: { type: packetType, data, nsp }, opts }));
    }
    case MessageType.SOCKETS_JOIN:
    case MessageType.SOCKETS_LEAVE: {
      const { opts, rooms, requestId } = message.data;
      return JSON.stringify({
        uid,
        type: type === MessageType.SOCKETS_JOIN ? REMOTE_JOIN : REMOTE_LEAVE,
        opts: targetOf(opts),
        rooms,
        requestId,
      });
    }
    case MessageType.DISCONNECT_SOCKETS: {
      const { opts, close, requestId } = message.data;
      return JSON.stringify({ uid, type: REMOTE_DISCONNECT, opts: targetOf(opts), close, requestId });
    }
    case MessageType.FETCH_SOCKETS:
      return JSON.stringify({ uid, requestId: message.data.requestId, type: REMOTE_FETCH, opts: targetOf(message.data.opts) });
    case MessageType.SERVER_SIDE_EMIT:
      return JSON.stringify({ uid, requestId: message.data.requestId, type: SERVER_SIDE_EMIT, data: message.data.packet });
    case QUESTION:
      return JSON.stringify({ uid, type, ...message.data, opts: targetOf(message.data.opts) });
    default:
      throw new TypeError(`no request of type ${type}`);
  }
}

/** Flags are not transported (RED-11). */
function targetOf({ rooms, except }: { rooms: unknown; except: unknown }): Members {
  return { rooms, except };
}

/**
 * @param hasRoom  whether a room has sockets here
 * @returns a value for `Receiver.onMessage`, null for what needs no answer of this node. The request id begins with the type of the request and
 * a colon, for `encodeResponse`
 */
export function decodeRequest(bytes: Buffer, nsp: string, parser: Parser, hasRoom: (room: string) => boolean): unknown {
  const request = decodeEither(bytes, parser);
  if (!isObject(request)) throw new TypeError("a request that is no object");
  const { type, uid = EMITTER, opts, rooms } = request;
  const requestId = typeof request["requestId"] === "string" ? `${String(type)}:${request["requestId"]}` : undefined;
  const message = (kind: number, data: Members): unknown => ({ uid, nsp, type: kind, data: { ...data, requestId } });
  const isLegacy = opts === undefined; // about one socket, and answered by the node that has it
  const { sid } = request;
  const target = isLegacy ? { rooms: [sid] } : opts;
  if (isLegacy && (type === REMOTE_JOIN || type === REMOTE_LEAVE || type === REMOTE_DISCONNECT))
    if (typeof sid !== "string" || !hasRoom(sid)) return null;
  switch (type) {
    case SOCKETS:
      return message(MessageType.FETCH_SOCKETS, { opts: { rooms } });
    case ALL_ROOMS:
      return message(MessageType.FETCH_SOCKETS, { opts: { rooms: [] } });
    case REMOTE_JOIN:
      return message(MessageType.SOCKETS_JOIN, { opts: target, rooms: isLegacy ? [request["room"]] : rooms });
    case REMOTE_LEAVE:
      return message(MessageType.SOCKETS_LEAVE, { opts: target, rooms: isLegacy ? [request["room"]] : rooms });
    case REMOTE_DISCONNECT:
      return message(MessageType.DISCONNECT_SOCKETS, { opts: target, close: request["close"] });
    case REMOTE_FETCH:
      return message(MessageType.FETCH_SOCKETS, { opts });
    case SERVER_SIDE_EMIT:
      return message(MessageType.SERVER_SIDE_EMIT, { packet: request["data"] });
    case BROADCAST:
      return message(MessageType.BROADCAST, { packet: request["packet"], opts });
    case QUESTION:
      return message(QUESTION, { opts, question: request["question"] });
    default:
      throw new TypeError("a request of an unknown type");
  }
}

// Responses

/** @param uid  of this node, for a node of this software; the official one tells nodes apart by their number alone */
export function encodeResponse(response: ClusterResponse, uid: string | undefined, parser: Parser): Payload {
  const { type, data } = response;
  const [asked, requestId] = splitOnce(data.requestId);
  switch (type) {
    case MessageType.FETCH_SOCKETS_RESPONSE: {
      const sockets = response.data.sockets as { id: string; rooms: unknown[] }[];
      if (asked === SOCKETS) return JSON.stringify({ requestId, sockets: sockets.map(({ id }) => id) });
      if (asked === ALL_ROOMS) return JSON.stringify({ requestId, rooms: [...new Set(sockets.flatMap(({ rooms }) => rooms))] });
      return JSON.stringify({ requestId, sockets, uid });
    }
    case MessageType.SERVER_SIDE_EMIT_RESPONSE:
      return JSON.stringify({ type: SERVER_SIDE_EMIT, requestId, data: response.data.packet, uid });
    case MessageType.BROADCAST_CLIENT_COUNT:
      return JSON.stringify({ type: CLIENT_COUNT, requestId, clientCount: response.data.clientCount, uid });
    case MessageType.BROADCAST_ACK:
      return toBuffer(parser.encode({ type: ACK, requestId, packet: response.data.packet, uid }));
    case BROADCAST_LEAVE:
      return JSON.stringify({ type, requestId, uid });
    case ANSWER:
      return JSON.stringify(uid === undefined ? { requestId } : { type, requestId, value: response.data.value, uid });
  }
}

/** @returns a value for `Receiver.onResponse` */
export function decodeResponse(bytes: Buffer, nsp: string, parser: Parser): { data: { requestId: unknown } } {
  const response = decodeEither(bytes, parser);
  if (!isObject(response)) throw new TypeError("a response that is no object");
  const { type, requestId, uid = UNNAMED } = response;
  const message = (kind: number, data: Members): { data: { requestId: unknown } } => {
    return { uid, nsp, type: kind, data: { ...data, requestId } } as { data: { requestId: unknown } };
  };
  switch (type) {
    case SERVER_SIDE_EMIT:
      return message(MessageType.SERVER_SIDE_EMIT_RESPONSE, { packet: response["data"] });
    case CLIENT_COUNT:
      return message(MessageType.BROADCAST_CLIENT_COUNT, { clientCount: response["clientCount"] });
    case ACK:
      return message(MessageType.BROADCAST_ACK, { packet: response["packet"] });
    case BROADCAST_LEAVE:
      return message(BROADCAST_LEAVE, {});
    case ANSWER:
      return message(ANSWER, { value: response["value"] });
    default:
      return message(MessageType.FETCH_SOCKETS_RESPONSE, { sockets: response["sockets"] });
  }
}

function splitOnce(id: string): [number, string] {
  const colon = id.indexOf(":");
  return [Number(id.slice(0, colon)), id.slice(colon + 1)];
}
