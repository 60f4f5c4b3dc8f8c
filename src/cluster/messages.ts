// The messages between the nodes of a cluster: types, and the checks of those that arrive.
import { randomBytes } from "node:crypto";
import { MAX_VALUES, PacketType } from "../protocol/packet";
import type { BroadcastFlags, BroadcastOptions, Room } from "../server/adapter/contract";
import { traceTextsOf } from "../support/trace-texts";

/*
 * Messages of other nodes are untrusted input: `readMessage` and `readResponse` take `unknown` and give a new message whose members were
 * checked, or null. Unknown members are never copied.
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

/** The message types by name and, as in an `enum`, their names by number. */
export const MessageType: MessageTypes = namesAndNumbers();
export type MessageType = MessageTypes[Exclude<keyof MessageTypes, number>];

/** A response that the original doesn't know and ignores, and so no member of `MessageType`: a client has left without an acknowledgement (ROB-715). */
export const BROADCAST_LEAVE = 14;

/** A question that is answered without the data of sockets, and its answer. The original knows neither. */
export const QUESTION = 15;
export const ANSWER = 16;

/** The name of a message type, for the log. */
export function nameOfType(type: number): string {
  return OWN_NAMES[type] ?? MessageType[type] ?? "a message of an unknown type";
}

const OWN_NAMES: Record<number, string> = { [BROADCAST_LEAVE]: "BROADCAST_LEAVE", [QUESTION]: "QUESTION", [ANSWER]: "ANSWER" };

/** Identifies one adapter instance: 16 lower-case hexadecimal digits. */
export type ServerId = string;
/** The `uid` of responses whose form on the wire names no sender: each may come from another node. */
export const UNNAMED = "unnamed";
/** The `uid` of emitters: processes that publish without a server, and don't count as nodes (CLU-23, ENC-6). */
export const EMITTER = "emitter";
/** Position of a message in the log of the transport; empty if the transport keeps no log. */
export type Offset = string;

/** `BroadcastOptions` with arrays in place of Sets, which cannot be serialised (CLU-5). */
export interface EncodedOptions {
  rooms: Room[];
  except: Room[];
  flags: BroadcastFlags;
}

/**
 * `count`: of matching sockets; `has`: whether the socket `id` is among them; `rooms`: names of all rooms but those of single sockets; `find`:
 * sockets with a part of their id or address, or in a room.
 */
export type Question = { about: "count" } | { about: "has"; id: string } | { about: "rooms" } | { about: "find"; text: string };

type MessageBody =
  | {
      type: MessageTypes["INITIAL_HEARTBEAT"] | MessageTypes["HEARTBEAT"] | MessageTypes["ADAPTER_CLOSE"];
      data?: undefined;
    }
  | { type: MessageTypes["BROADCAST"]; data: { opts: EncodedOptions; packet: any; requestId?: string } }
  | {
      type: MessageTypes["SOCKETS_JOIN"] | MessageTypes["SOCKETS_LEAVE"];
      /** With `requestId` (which the original ignores) the nodes answer when it is done. */
      data: { opts: EncodedOptions; rooms: Room[]; requestId?: string };
    }
  | { type: MessageTypes["DISCONNECT_SOCKETS"]; data: { opts: EncodedOptions; close?: boolean; requestId?: string } }
  | { type: MessageTypes["FETCH_SOCKETS"]; data: { opts: EncodedOptions; requestId: string } }
  | { type: MessageTypes["SERVER_SIDE_EMIT"]; data: { packet: any[]; requestId?: string } }
  | { type: typeof QUESTION; data: { opts: EncodedOptions; question: Question; requestId: string } };

type ResponseBody =
  | { type: MessageTypes["FETCH_SOCKETS_RESPONSE"]; data: { requestId: string; sockets: unknown[] } }
  | { type: MessageTypes["SERVER_SIDE_EMIT_RESPONSE"]; data: { requestId: string; packet: unknown } }
  | { type: MessageTypes["BROADCAST_CLIENT_COUNT"]; data: { requestId: string; clientCount: number } }
  | { type: MessageTypes["BROADCAST_ACK"]; data: { requestId: string; packet: unknown } }
  | { type: typeof BROADCAST_LEAVE; data: { requestId: string } }
  | { type: typeof ANSWER; data: { requestId: string; value: unknown } };

interface Envelope {
  uid: ServerId;
  nsp: string;
}

/** A message to all nodes. */
export type ClusterMessage = Envelope & MessageBody;
/** A response to the node that sent the request. */
export type ClusterResponse = Envelope & ResponseBody;
/** A message without `uid` and `nsp`, which are added when it is sent. */
export type UnsignedMessage = MessageBody;
/** A response without `uid` and `nsp`. */
export type UnsignedResponse = ResponseBody;

/** The description of a socket of another node. */
export interface RemoteDescription {
  id: string;
  handshake: any;
  rooms: Room[];
  data: any;
}

/** Gives 16 random lower-case hexadecimal digits, for the id of a node or request (CLU-1). */
export function randomId(): string {
  return randomBytes(8).toString("hex");
}

/** The description of a socket for other nodes, without `sessionStore`, which Express sessions add and which is circular (CLU-15). */
export function describeSocket(socket: any): RemoteDescription {
  const { sessionStore: _, ...handshake } = socket.handshake ?? {};
  return { id: socket.id, handshake, rooms: [...(socket.rooms ?? [])], data: socket.data };
}

export function encodeOptions(opts: BroadcastOptions): EncodedOptions {
  return { rooms: [...opts.rooms], except: [...(opts.except ?? [])], flags: { ...opts.flags } };
}

export function decodeOptions(opts: EncodedOptions): BroadcastOptions {
  return { rooms: new Set(opts.rooms), except: new Set(opts.except), flags: opts.flags };
}

/** Whether a value has the type of a response. Its other members are not checked. */
export function isResponse(value: unknown): boolean {
  if (!isObject(value)) return false;
  switch (value["type"]) {
    case MessageType.FETCH_SOCKETS_RESPONSE:
    case MessageType.SERVER_SIDE_EMIT_RESPONSE:
    case MessageType.BROADCAST_CLIENT_COUNT:
    case MessageType.BROADCAST_ACK:
    case BROADCAST_LEAVE:
    case ANSWER:
      return true;
    default:
      return false;
  }
}

/** Checks a message of another node. Gives null for an invalid message and for an unknown type. */
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
    if (!Array.isArray(packet) || packet.length > MAX_VALUES || !isEventName(packet[0])) return null; // ROB-111
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
      if (!Array.isArray(rooms) || !rooms.every(isRoom)) return null;
      return { uid, nsp, type, data: requestId === undefined ? { opts, rooms: [...rooms] } : { opts, rooms: [...rooms], requestId } };
    }
    case MessageType.DISCONNECT_SOCKETS: {
      const close = data["close"] === true;
      return { uid, nsp, type, data: requestId === undefined ? { opts, close } : { opts, close, requestId } };
    }
    case QUESTION: {
      const question = readQuestion(data["question"]);
      return requestId === undefined || question === null ? null : { uid, nsp, type, data: { opts, question, requestId } };
    }
    case MessageType.FETCH_SOCKETS:
      return requestId === undefined ? null : { uid, nsp, type, data: { opts, requestId } };
    default:
      return null;
  }
}

/** Checks a response of another node. Gives null for an invalid one. */
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
    case BROADCAST_LEAVE:
      return { uid, nsp, type, data: { requestId } };
    case ANSWER:
      return { uid, nsp, type, data: { requestId, value: data["value"] } };
    case MessageType.BROADCAST_CLIENT_COUNT: {
      const clientCount = data["clientCount"];
      if (!Number.isSafeInteger(clientCount) || (clientCount as number) < 0) return null;
      return { uid, nsp, type, data: { requestId, clientCount: clientCount as number } };
    }
    default:
      return null;
  }
}

/** Some of the sockets of a node: which of how many parts. */
export interface SocketsPart {
  readonly part: number;
  readonly parts: number;
  readonly sockets: readonly RemoteDescription[];
}

/** Checks the value of an answer. Gives null for anything but a part of an answer to `FETCH_SOCKETS`. */
export function readSocketsPart(value: unknown): SocketsPart | null {
  if (!isObject(value)) return null;
  const { part, parts, sockets } = value as { part?: number; parts?: number; sockets?: unknown };
  if (!Number.isSafeInteger(part) || !Number.isSafeInteger(parts) || part! < 0 || part! >= parts! || !Array.isArray(sockets)) return null;
  return { part: part!, parts: parts!, sockets: readDescriptions(sockets) };
}

const ID_LENGTH_MAX = 256;
const { EVENT } = PacketType;

function readEnvelope(value: unknown): (Envelope & { type: unknown; data: unknown }) | null {
  if (!isObject(value)) return null;
  const { uid, nsp, type, data } = value;
  return isId(uid) && typeof nsp === "string" ? { uid, nsp, type, data } : null;
}

function readOptions(value: unknown): EncodedOptions | null {
  if (!isObject(value)) return null;
  const { rooms, except, flags } = value;
  // Invalid entries are kept: they match no socket, whereas a list without them could be empty and match all sockets.
  if (!Array.isArray(rooms) || !(except === undefined || Array.isArray(except))) return null;
  return { rooms, except: except ?? [], flags: isObject(flags) ? readFlags(flags) : {} };
}

function readQuestion(value: unknown): Question | null {
  if (!isObject(value)) return null;
  const { about, id, text } = value;
  if (about === "find") return typeof text === "string" ? { about, text } : null;
  if (about === "has") return isId(id) ? { about, id } : null;
  return about === "count" || about === "rooms" ? { about } : null;
}

const BOOLEAN_FLAGS = new Set(["volatile", "compress", "local", "broadcast", "binary", "expectSingleResponse"]);

function readFlags(value: Record<string, unknown>): BroadcastFlags {
  const flags: Record<string, unknown> = {};
  for (const name in value) {
    const flag = value[name];
    if (BOOLEAN_FLAGS.has(name) ? typeof flag === "boolean" : name === "timeout" && typeof flag === "number" && flag >= 0)
      flags[name] = flag;
    else if (name === "trace") {
      const texts = traceTextsOf(flag);
      if (texts !== undefined) flags[name] = texts;
    }
  }
  return flags;
}

/** Checks the packet of a broadcast. Only events are allowed: other nodes must not send CONNECT, ACK and the like to clients. */
function readPacket(value: unknown): { type: number; data: unknown[] } | null {
  if (!isObject(value) || value["type"] !== EVENT) return null;
  const data = value["data"];
  if (!Array.isArray(data)) return null;
  return isEventName(data[0]) ? { type: EVENT, data } : null;
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

function isEventName(value: unknown): boolean {
  return typeof value === "string" || typeof value === "number";
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
