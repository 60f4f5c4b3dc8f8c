import { PacketType } from "../protocol/packet";
import { RESERVED_EVENTS } from "./reserved-events";
import type { SocketPacket } from "./socket-packet";

const { EVENT, ACK, BINARY_EVENT, BINARY_ACK } = PacketType;

/** A decoder as the option `parser` brings it. */
export interface PacketSource {
  on(event: "decoded", listener: (packet: SocketPacket) => void): unknown;
  removeListener?(event: "decoded", listener: (packet: SocketPacket) => void): unknown;
  add(chunk: unknown): void;
  destroy(): void;
}

/** What a custom parser has let pass and must not reach the sockets; our own doesn't let it pass. */
export function flawOf(packet: SocketPacket): string | null {
  if (typeof packet !== "object" || packet === null || typeof packet.nsp !== "string") return "invalid namespace";
  const { type, data } = packet;
  const isEvent = type === EVENT || type === BINARY_EVENT;
  if (!isEvent && type !== ACK && type !== BINARY_ACK) return null;
  if (!Array.isArray(data)) return "invalid payload";
  if (!isEvent) return null;
  const [event] = data as unknown[];
  if (typeof event !== "string" && typeof event !== "number") return "invalid payload";
  return RESERVED_EVENTS.has(event) ? "invalid payload" : null;
}
