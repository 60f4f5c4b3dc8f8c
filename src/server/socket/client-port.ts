// The interface between a socket and the connection of its client, which sockets of several namespaces share.
import type { DisconnectReason } from "../../engine/close-reason";
import type { Prepared } from "../../engine/prepared";
import type { Session } from "../../engine/session";
import type { CloseStatus } from "../../engine/transport";
import type { ListenerErrors } from "../listener-errors";
import type { BroadcastFlags } from "../adapter/contract";
import type { Event } from "./socket-middleware";

/** A Socket.IO packet, received or to be sent. */
export interface SocketPacket {
  type: number;
  nsp?: string;
  data?: any;
  id?: number | undefined;
}

/** How a packet, or an array of encoded messages, is written. */
export interface WriteOptions {
  /** Drops the packet if the transport is not writable. Default `false`. */
  volatile?: boolean | undefined;
  /** Whether it may be compressed, on connections that have negotiated compression. Default `true`. */
  compress?: boolean | undefined;
  /** Whether the packet is an array of encoded messages. Default `false`. */
  preEncoded?: boolean | undefined;
  /** The complete WebSocket frame of the only message, which must be a string (ADP-33). */
  wsPreEncodedFrame?: readonly Buffer[] | undefined;
}

/** What a socket needs of the connection; `Client` implements it. */
export interface ClientPort {
  /** @internal */
  readonly server: { readonly _listenerErrors: ListenerErrors | null };
  /** Whether events that want an answer are not passed on any more (ROB-995). @internal */
  readonly _isEnding: boolean;
  /** Writes a packet. With the flag `volatile` it is dropped if the transport is not writable. @internal */
  _packet(packet: SocketPacket, flags: BroadcastFlags | null): void;
  /** Writes the messages of a broadcast. @internal */
  _writePrepared(messages: readonly Prepared[], isVolatile: boolean): void;
  /** The session that broadcasts may be written to directly; null if there is none. @internal */
  readonly _directSession: Session | null;
  /** Runs the listeners of an event after the packets received with it; false if the event isn't that of the current packet. @internal */
  _deferListeners(socket: object, event: Event): boolean;
  /** Missed packets and the CONNECT after them must leave in one polling response (ROB-461). @internal */
  _sendReplayAtOnce(): void;
  /** A socket was disconnected. @internal */
  _remove(socket: object, reason: DisconnectReason): void;
  /** Disconnects all sockets, then closes the connection. @internal */
  _disconnect(status: CloseStatus | null): void;
}
