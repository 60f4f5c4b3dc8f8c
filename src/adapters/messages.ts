import { randomBytes } from "node:crypto";
import type { BroadcastFlags, BroadcastOptions, Room } from "../server/adapter";

/*
 * The messages between the nodes of a cluster, and the judge of those that arrive.
 *
 * What comes over a bus is outside input like any other: `readMessage` and `readResponse` take `unknown` and give a
 * message made of checked parts, or `null`. Nothing is copied by key from what a peer sent.
 */

const NAMES = [
  "INITIAL_HEARTBEAT",
  "HEARTBEAT",
  "BROADCAST",
  "SOCKETS_JOIN",
  "SOCKETS_LEAVE",
  "DISCONNECT_SOCKETS",
  "FETCH_SOCKETS",
  "FETCH_SOCKETS_RESPONSE",
  "SERVER_SIDE_EMIT",
  "SERVER_SIDE_EMIT_RESPONSE",
  "BROADCAST_CLIENT_COUNT",
  "BROADCAST_ACK",
  "ADAPTER_CLOSE",
] as const;

interface MessageTypes {
  readonly INITIAL_HEARTBEAT: 1;
  readonly HEARTBEAT: 2;
  readonly BROADCAST: 3;
  readonly SOCKETS_JOIN: 4;
  readonly SOCKETS_LEAVE: 5;
  readonly DISCONNECT_SOCKETS: 6;
  readonly FETCH_SOCKETS: 7;
  readonly FETCH_SOCKETS_RESPONSE: 8;
  readonly SERVER_SIDE_EMIT: 9;
  readonly SERVER_SIDE_EMIT_RESPONSE: 10;
  readonly BROADCAST_CLIENT_COUNT: 11;
  readonly BROADCAST_ACK: 12;
  readonly ADAPTER_CLOSE: 13;
  readonly [type: number]: string;
}

/** Numbers by name and, as in an enumeration, names by number. */
export const MessageType: MessageTypes = namesAndNumbers();
export type MessageType = MessageTypes[Exclude<keyof MessageTypes, number>];

/** Identifies one adapter instance: 16 lower-case hexadecimal digits. */
export type ServerId = string;
/** Where a message stands in the log of a transport that keeps one; empty if it keeps none. */
export type Offset = string;

/** `BroadcastOptions` in a form that survives serialisation. */
export interface EncodedOptions {
  rooms: Room[];
  except: Room[];
  flags: BroadcastFlags;
}

type MessageBody =
  | {
      type: MessageTypes["INITIAL_HEARTBEAT"] | MessageTypes["HEARTBEAT"] | MessageTypes["ADAPTER_CLOSE"];
      data?: undefined;
    }
  | { type: MessageTypes["BROADCAST"]; data: { opts: EncodedOptions; packet: any; requestId?: string } }
  | {
      type: MessageTypes["SOCKETS_JOIN"] | MessageTypes["SOCKETS_LEAVE"];
      data: { opts: EncodedOptions; rooms: Room[] };
    }
  | { type: MessageTypes["DISCONNECT_SOCKETS"]; data: { opts: EncodedOptions; close?: boolean } }
  | { type: MessageTypes["FETCH_SOCKETS"]; data: { opts: EncodedOptions; requestId: string } }
  | { type: MessageTypes["SERVER_SIDE_EMIT"]; data: { packet: any[]; requestId?: string } };

type ResponseBody =
  | { type: MessageTypes["FETCH_SOCKETS_RESPONSE"]; data: { requestId: string; sockets: unknown[] } }
  | { type: MessageTypes["SERVER_SIDE_EMIT_RESPONSE"]; data: { requestId: string; packet: unknown } }
  | { type: MessageTypes["BROADCAST_CLIENT_COUNT"]; data: { requestId: string; clientCount: number } }
  | { type: MessageTypes["BROADCAST_ACK"]; data: { requestId: string; packet: unknown } };

interface Envelope {
  uid: ServerId;
  nsp: string;
}

/** To all nodes. */
export type ClusterMessage = Envelope & MessageBody;
/** To the node that asked. */
export type ClusterResponse = Envelope & ResponseBody;
/** A message before it is signed with node and namespace. */
export type UnsignedMessage = MessageBody;
export type UnsignedResponse = ResponseBody;

/** A socket of another node. */
export interface RemoteDescription {
  id: string;
  handshake: any;
  rooms: Room[];
  data: any;
}

/** Gives 16 random lower-case hexadecimal digits: the shape of node and request ids. */
export function randomId(): string {
  return randomBytes(8).toString("hex");
}

export function encodeOptions(opts: BroadcastOptions): EncodedOptions {
  return { rooms: [...opts.rooms], except: [...(opts.except ?? [])], flags: { ...opts.flags } };
}

export function decodeOptions(opts: EncodedOptions): BroadcastOptions {
  return { rooms: new Set(opts.rooms), except: new Set(opts.except), flags: opts.flags };
}

/** Whether a message is meant for the node that asked, whatever else is wrong with it. */
export function isResponse(value: unknown): boolean {
  if (!isObject(value)) return false;
  switch (value["type"]) {
    case MessageType.FETCH_SOCKETS_RESPONSE:
    case MessageType.SERVER_SIDE_EMIT_RESPONSE:
    case MessageType.BROADCAST_CLIENT_COUNT:
    case MessageType.BROADCAST_ACK:
      return true;
    default:
      return false;
  }
}

/** Judges a message from another node. Gives `null` for anything that isn't one, unknown types included. */
export function readMessage(value: unknown): ClusterMessage | null {
  const envelope = readEnvelope(value);
  if (envelope === null) return null;
  const { uid, nsp, type, data } = envelope;
  if (type === MessageType.INITIAL_HEARTBEAT || type === MessageType.HEARTBEAT || type === MessageType.ADAPTER_CLOSE) {
    return { uid, nsp, type };
  }
  if (!isObject(data)) return null;
  const requestId = data["requestId"];
  if (requestId !== undefined && !isId(requestId)) return null;
  if (type === MessageType.SERVER_SIDE_EMIT) {
    const packet = data["packet"];
    if (!Array.isArray(packet) || typeof packet[0] !== "string") return null;
    return { uid, nsp, type, data: requestId === undefined ? { packet } : { packet, requestId } };
  }
  const opts = readOptions(data["opts"]);
  if (opts === null) return null;
  switch (type) {
    case MessageType.BROADCAST: {
      const packet = readPacket(data["packet"]);
      if (packet === null) return null;
      return { uid, nsp, type, data: requestId === undefined ? { opts, packet } : { opts, packet, requestId } };
    }
    case MessageType.SOCKETS_JOIN:
    case MessageType.SOCKETS_LEAVE: {
      const rooms = data["rooms"];
      return Array.isArray(rooms) && rooms.every(isRoom) ? { uid, nsp, type, data: { opts, rooms: [...rooms] } } : null;
    }
    case MessageType.DISCONNECT_SOCKETS:
      return { uid, nsp, type, data: { opts, close: data["close"] === true } };
    case MessageType.FETCH_SOCKETS:
      return requestId === undefined ? null : { uid, nsp, type, data: { opts, requestId } };
    default:
      return null;
  }
}

/** Judges a response from another node. */
export function readResponse(value: unknown): ClusterResponse | null {
  const envelope = readEnvelope(value);
  if (envelope === null || !isObject(envelope.data)) return null;
  const { uid, nsp, type, data } = envelope;
  const requestId = data["requestId"];
  if (!isId(requestId)) return null;
  switch (type) {
    case MessageType.FETCH_SOCKETS_RESPONSE: {
      const sockets = data["sockets"];
      return Array.isArray(sockets) ? { uid, nsp, type, data: { requestId, sockets: readDescriptions(sockets) } } : null;
    }
    case MessageType.SERVER_SIDE_EMIT_RESPONSE:
    case MessageType.BROADCAST_ACK:
      return { uid, nsp, type, data: { requestId, packet: data["packet"] } };
    case MessageType.BROADCAST_CLIENT_COUNT: {
      const clientCount = data["clientCount"];
      if (!Number.isSafeInteger(clientCount) || (clientCount as number) < 0) return null;
      return { uid, nsp, type, data: { requestId, clientCount: clientCount as number } };
    }
    default:
      return null;
  }
}

const ID_LENGTH_MAX = 256;
const EVENT = 2;

function readEnvelope(value: unknown): (Envelope & { type: unknown; data: unknown }) | null {
  if (!isObject(value)) return null;
  const { uid, nsp, type, data } = value;
  return isId(uid) && typeof nsp === "string" ? { uid, nsp, type, data } : null;
}

function readOptions(value: unknown): EncodedOptions | null {
  if (!isObject(value)) return null;
  const { rooms, except, flags } = value;
  // An entry that is no room is kept: it matches nobody, whereas an empty list would match everybody.
  if (!Array.isArray(rooms) || !(except === undefined || Array.isArray(except))) return null;
  return { rooms, except: except ?? [], flags: isObject(flags) ? readFlags(flags) : {} };
}

const BOOLEAN_FLAGS = new Set(["volatile", "compress", "local", "broadcast", "binary", "expectSingleResponse"]);

function readFlags(value: Record<string, unknown>): BroadcastFlags {
  const flags: Record<string, unknown> = {};
  for (const name in value) {
    const flag = value[name];
    if (BOOLEAN_FLAGS.has(name) ? typeof flag === "boolean" : name === "timeout" && typeof flag === "number" && flag >= 0)
      flags[name] = flag;
  }
  return flags;
}

/** Only events are broadcast: no peer may speak to clients in the protocol's own packets. */
function readPacket(value: unknown): { type: number; data: unknown[] } | null {
  if (!isObject(value) || value["type"] !== EVENT) return null;
  const data = value["data"];
  if (!Array.isArray(data)) return null;
  return typeof data[0] === "string" || typeof data[0] === "number" ? { type: EVENT, data } : null;
}

function readDescriptions(values: unknown[]): RemoteDescription[] {
  const descriptions: RemoteDescription[] = [];
  for (const value of values) {
    if (!isObject(value) || typeof value["id"] !== "string") continue;
    const { id, handshake, rooms, data } = value;
    descriptions.push({
      id,
      handshake: isObject(handshake) ? handshake : {},
      rooms: Array.isArray(rooms) ? rooms.filter(isRoom) : [],
      data,
    });
  }
  return descriptions;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isId(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= ID_LENGTH_MAX;
}

function isRoom(value: unknown): value is Room {
  return typeof value === "string" || typeof value === "number";
}

function namesAndNumbers(): MessageTypes {
  const table: Record<string | number, string | number> = {};
  NAMES.forEach((name, i) => {
    table[name] = i + 1;
    table[i + 1] = name;
  });
  return table as unknown as MessageTypes;
}
