// Socket.IO packets: types and validation (Socket.IO protocol revision 5).

import { quoted } from "../support/log-text";

/** Revision of the Socket.IO protocol. */
export const protocol = 5;

/** Packet types by name, and names by type. */
export const PacketType = {
  CONNECT: 0,
  DISCONNECT: 1,
  EVENT: 2,
  ACK: 3,
  CONNECT_ERROR: 4,
  BINARY_EVENT: 5,
  BINARY_ACK: 6,
  0: "CONNECT",
  1: "DISCONNECT",
  2: "EVENT",
  3: "ACK",
  4: "CONNECT_ERROR",
  5: "BINARY_EVENT",
  6: "BINARY_ACK",
} as const;
/** The number of a packet type. */
export type PacketType = 0 | 1 | 2 | 3 | 4 | 5 | 6;

/** The payload of a packet: the type that `JSON.parse` returns. */
export type Payload = ReturnType<typeof JSON.parse>;

/** A packet. `data` is an array for events and acknowledgements; the first element of an event is its name. */
export interface Packet {
  type: number;
  nsp: string;
  data?: Payload;
  id?: number | undefined;
  attachments?: number | undefined;
}

/** The namespace of an encoded event that expects no acknowledgement, and the number of messages behind it; null for other messages. */
export function plainEventOf(text: unknown): { nsp: string; attachments: number } | null {
  const match = typeof text !== "string" ? null : /^(?:2|5(\d+)-)(?:(\/[^,]*),)?\[/.exec(text);
  return match === null ? null : { nsp: match[2] ?? "/", attachments: Number(match[1] ?? 0) };
}

/** Event names that only the server itself emits; refused from the network (SIO-40). */
export const RESERVED_EVENTS: ReadonlySet<string> = new Set([
  "connect",
  "connect_error",
  "disconnect",
  "disconnecting",
  "newListener",
  "removeListener",
]);

function isPlainObject(value: unknown): boolean {
  return Object.prototype.toString.call(value) === "[object Object]";
}

/** Greatest nesting depth of values that are encoded: deeper ones count as cyclic. `JSON.stringify` overflows the stack at little more. */
export const MAX_SEARCH_DEPTH = 5000;

/** Greatest number of values in an event, its name included, or acknowledgement: each becomes an argument, and takes space on the stack (ROB-111). */
export const MAX_VALUES = 10_000;

function isEventData(data: unknown): boolean {
  if (!Array.isArray(data) || data.length > MAX_VALUES) return false;
  const name: unknown = data[0];
  return typeof name === "string" ? !RESERVED_EVENTS.has(name) : typeof name === "number";
}

/** Whether a payload is valid for its packet type (SIO-25). */
export function isDataValid(type: number, data: unknown): boolean {
  switch (type) {
    case PacketType.CONNECT:
      return data === undefined || isPlainObject(data);
    case PacketType.DISCONNECT:
      return data === undefined;
    case PacketType.EVENT:
    case PacketType.BINARY_EVENT:
      return isEventData(data);
    case PacketType.ACK:
    case PacketType.BINARY_ACK:
      return Array.isArray(data) && data.length <= MAX_VALUES;
    case PacketType.CONNECT_ERROR:
      return typeof data === "string" || isPlainObject(data);
    default:
      return false;
  }
}

/** Whether a decoded packet is valid: the namespace a string, the id an integer or absent, the payload valid for the type (SIO-41). */
export function isPacketValid(packet: Packet): boolean {
  const { type, nsp, id, data } = packet;
  if (typeof nsp !== "string" || (id !== undefined && !Number.isInteger(id))) return false;
  return type <= PacketType.CONNECT_ERROR && isDataValid(type, data);
}

/** A packet as a log shows it: its type, the name of its event, the id of its acknowledgement; no values. */
export function describePacket({ type, data, id }: { type: unknown; data?: unknown; id?: unknown }): string {
  const isEvent = type === PacketType.EVENT || type === PacketType.BINARY_EVENT;
  const name = isEvent && Array.isArray(data) ? ` ${quoted(data[0])}` : "";
  const ack = id === undefined || id === null ? "" : `${isEvent ? " with ack id" : " with id"} ${typeof id === "number" ? id : quoted(id)}`;
  return `${PacketType[type as PacketType] ?? quoted(type)}${name}${ack}`;
}
