// The reasons for which sockets are disconnected (DIS-20 to DIS-28).
import type { DisconnectReason } from "../../engine/close-reason";
import type { CloseStatus } from "../../engine/transport";
import { UsageError } from "../../errors";
import { PacketType } from "../../protocol/packet";
import { expectEventName } from "../reserved-events";
import type { SocketPacket } from "./client-port";
import type { DisconnectDetails } from "../../engine/disconnect-details";

export type { DisconnectDetails, DisconnectReason };

/**
 * The second argument of `disconnecting` and `disconnect` listeners. If an error ended the connection, it is that Error, with the members of
 * `DisconnectDetails`: a transport error (`type`, `description`: an Error of the layer below, or an HTTP status), a `LimitError`, or what a
 * program passed to `conn.onError()`. Otherwise an object with these members. Undefined with an engine of another package.
 */
export interface DisconnectDescription extends DisconnectDetails {
  /** `TransportError` if the reason is `transport error` and no limit was exceeded. */
  type?: string;
  description?: any;
  context?: any;
  /** Of an Error. */
  name?: string;
  stack?: string;
}

/** The reasons after which a client can recover its session: those that neither side asked for. */
export const RECOVERABLE_REASONS: ReadonlySet<DisconnectReason> = new Set<DisconnectReason>([
  "transport error",
  "transport close",
  "forced close",
  "ping timeout",
  "server shutting down",
  "forced server close",
]);

/** The second argument of `socket.disconnect()` and `disconnectSockets()`. */
export interface DisconnectOptions {
  /** A text for the client. A DISCONNECT packet cannot carry it, so it is sent before, as an event. */
  reason: string;
  /**
   * Name of the event. Default `disconnect_reason`.
   * @example
   * event: "kicked"
   */
  event?: string;
}

const DEFAULT_EVENT = "disconnect_reason";
/** Normal Closure (RFC 6455, section 7.4.1). */
const NORMAL = 1000;
/** Bytes of the reason in a Close frame (RFC 6455, section 5.5). */
const CLOSE_REASON_BYTES = 123;

/**
 * The event that tells a client the reason.
 * @throws UsageError RC_ERR_ARGUMENT, RC_ERR_RESERVED_EVENT
 */
export function reasonEvent(options: DisconnectOptions): [event: string, reason: string] {
  const { reason, event = DEFAULT_EVENT } = options ?? {};
  if (typeof reason !== "string") throw new UsageError("RC_ERR_ARGUMENT", `disconnect: expected a text as reason, met ${typeof reason}`);
  expectEventName(event);
  return [event, reason];
}

/** What `sendReason` needs of a socket. */
interface ReasonSocket {
  readonly _state: string;
  notifyOutgoingListeners(packet: SocketPacket): void;
  packet(packet: SocketPacket): void;
}

/**
 * Sends the reason to the client of a connected socket; not through an adapter, which may send it later.
 * @returns the status for the Close frame, if the WebSocket is closed next
 */
export function sendReason(socket: ReasonSocket, options: DisconnectOptions): CloseStatus {
  const data = reasonEvent(options);
  if (socket._state === "connected") {
    const packet: SocketPacket = { type: PacketType.EVENT, data };
    socket.notifyOutgoingListeners(packet);
    socket.packet(packet);
  }
  return closeStatusFor(data[1]);
}

/** The Close frame of a WebSocket that is closed for a reason: official clients don't read it, others do. */
function closeStatusFor(reason: string): CloseStatus {
  let text = reason;
  if (Buffer.byteLength(text) > CLOSE_REASON_BYTES) {
    const { read } = new TextEncoder().encodeInto(text, new Uint8Array(CLOSE_REASON_BYTES)); // cuts between characters
    text = text.slice(0, read);
  }
  return { code: NORMAL, reason: text };
}
