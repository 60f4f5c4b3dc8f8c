// Socket.IO packets: types and shapes (Socket.IO protocol revision 5).

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

/** What a packet carries, of whatever shape: the type of what `JSON.parse` gives. */
export type Payload = ReturnType<typeof JSON.parse>;

/** A packet. `data` is an array for events and acknowledgements, whose first element is the event's name. */
export interface Packet {
  type: number;
  nsp: string;
  data?: Payload;
  id?: number | undefined;
  attachments?: number | undefined;
}

/** Event names that only the server itself emits; refused from the network. */
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

function isEventData(data: unknown): boolean {
  if (!Array.isArray(data)) return false;
  const name: unknown = data[0];
  return typeof name === "string" ? !RESERVED_EVENTS.has(name) : typeof name === "number";
}

/** Whether a payload fits its packet type; binary types count as the plain ones. */
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
      return Array.isArray(data);
    case PacketType.CONNECT_ERROR:
      return typeof data === "string" || isPlainObject(data);
    default:
      return false;
  }
}

/** Whether a decoded packet is well-formed: namespace a string, id an integer or absent, payload as its type asks. */
export function isPacketValid(packet: Packet): boolean {
  const { type, nsp, id, data } = packet;
  if (typeof nsp !== "string" || (id !== undefined && !Number.isInteger(id))) return false;
  return type <= PacketType.CONNECT_ERROR && isDataValid(type, data);
}
