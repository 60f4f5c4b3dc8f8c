/* The types of sockets at the path from which programs import them, `dist/socket-types`. */
export type { DisconnectDescription, DisconnectReason } from "./server/socket/disconnect-reason";
export type { Handshake } from "./server/socket/handshake";
export { RESERVED_EVENTS, type EventEmitterReservedEventsMap, type SocketReservedEventsMap } from "./server/reserved-events";
export type { Event } from "./server/socket/socket-middleware";
