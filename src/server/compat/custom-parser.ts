// Custom parsers (option `parser`): their decoder, and the checks of the packets that it gives.
import { MAX_VALUES, PacketType } from "../../protocol/packet";
import { RESERVED_EVENTS } from "../reserved-events";
import type { SocketPacket } from "../socket/client-port";

const { EVENT, ACK, BINARY_EVENT, BINARY_ACK } = PacketType;

/** The decoder of a custom parser (SIO-37). */
export interface PacketSource {
  on(event: "decoded", listener: (packet: SocketPacket) => void): unknown;
  removeListener?(event: "decoded", listener: (packet: SocketPacket) => void): unknown;
  add(chunk: unknown): void;
  destroy(): void;
}

/** Why a packet of a custom parser must not reach the sockets; null if it may. The built-in parser makes these checks itself (EVT-24). */
export function shapeErrorOf(packet: SocketPacket): string | null {
  if (typeof packet !== "object" || packet === null || typeof packet.nsp !== "string") return "invalid namespace";
  const { type, data } = packet;
  const isEvent = type === EVENT || type === BINARY_EVENT;
  if (!isEvent && type !== ACK && type !== BINARY_ACK) return null;
  if (!Array.isArray(data) || data.length > MAX_VALUES) return "invalid payload";
  if (!isEvent) return null;
  const [event] = data as unknown[];
  if (typeof event !== "string" && typeof event !== "number") return "invalid payload";
  return RESERVED_EVENTS.has(event) ? "invalid payload" : null;
}
