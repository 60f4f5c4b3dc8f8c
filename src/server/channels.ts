// The diagnostics channels of the server: sockets, packets, events, acknowledgements, broadcasts, adapters, errors. docs/observability.md
// describes them.
import { channel, type Spanned } from "../support/channel";
import type { BroadcastFlags, Room } from "./adapter/contract";
import type { SocketPacket } from "./socket/client-port";
import type { DisconnectDescription, DisconnectReason } from "./socket/disconnect-reason";
import type { Client } from "./client/client";
import type { Namespace } from "./namespace";
import type { Socket } from "./socket/socket";

type AnySocket = Socket<any, any, any, any>;
type AnyNamespace = Namespace<any, any, any, any>;

/** The middlewares of a namespace run for a socket that is joining. `error`: what the client is refused with, or the failure. */
export interface MiddlewareMessage extends Spanned {
  readonly socket: AnySocket;
}

/** The listeners of an event run. The end is published when all have returned; promises are not waited for. `error`: what the first of them has thrown. */
export interface EventMessage extends Spanned {
  readonly socket: AnySocket;
  readonly event: string;
  /** With the function that acknowledges, if the client waits for it. */
  readonly args: readonly unknown[];
}

/**
 * An acknowledgement is waited for. There is no end for one that nothing waits for any more: its client has left, and there is no
 * `timeout()`.
 */
export interface AckMessage extends Spanned {
  /** Null for that of a broadcast. */
  readonly socket: AnySocket | null;
  readonly namespace: AnyNamespace;
  readonly event: string;
  /** Undefined at the start and after an error; of a broadcast the first value of each client. */
  values: readonly unknown[] | undefined;
}

/** A broadcast is sent. At the end the sockets of this server have it, unless their adapter waits for a backend first. */
export interface BroadcastMessage extends Spanned {
  readonly namespace: AnyNamespace;
  readonly event: string;
  readonly args: readonly unknown[];
  /** Empty: all sockets. */
  readonly rooms: ReadonlySet<Room>;
  readonly except: ReadonlySet<Room>;
  readonly flags: Readonly<BroadcastFlags>;
  /** Null. A subscriber of the start may set texts that travel with the broadcast, as `flags.trace` of `roomcast:broadcast:deliver`, to all servers. */
  trace: Record<string, string> | null;
}

/** The messages of these channels, by name. */
export interface ServerChannels {
  "roomcast:middleware:start": MiddlewareMessage;
  "roomcast:middleware:end": MiddlewareMessage;
  /** A socket has joined its namespace; before the listeners of `connection`. */
  "roomcast:socket:connect": { socket: AnySocket };
  /** A client may not join a namespace. `message`: what it is told. */
  "roomcast:socket:refuse": { client: Client<any, any, any, any>; namespace: string; message: unknown };
  /** A socket has left its namespace; before the listeners of `disconnect`. */
  "roomcast:socket:disconnect": { socket: AnySocket; reason: DisconnectReason; description: DisconnectDescription | undefined };
  /** A packet of a client reaches its socket. */
  "roomcast:packet:receive": { socket: AnySocket; packet: SocketPacket };
  /** A packet is sent to one socket. Broadcasts are not: see `roomcast:broadcast:deliver`. */
  "roomcast:packet:send": { socket: AnySocket; packet: SocketPacket };
  "roomcast:event:start": EventMessage;
  "roomcast:event:end": EventMessage;
  "roomcast:ack:start": AckMessage;
  "roomcast:ack:end": AckMessage;
  "roomcast:broadcast:start": BroadcastMessage;
  "roomcast:broadcast:end": BroadcastMessage;
  /** A broadcast of any server is written to the sockets of this one. With connection state recovery also an event for one socket. */
  "roomcast:broadcast:deliver": {
    namespace: AnyNamespace;
    event: string;
    rooms: ReadonlySet<Room>;
    except: ReadonlySet<Room> | undefined;
    flags: Readonly<BroadcastFlags> | undefined;
    receivers: number;
  };
  /** A message goes to the other servers. `type`: such as `BROADCAST`. */
  "roomcast:adapter:publish": { namespace: AnyNamespace; type: string };
  /** A message of another server has arrived. `node`: its id. */
  "roomcast:adapter:receive": { namespace: AnyNamespace; type: string; node: string };
  /** Messages to or from other servers may be lost from now on. For each namespace. */
  "roomcast:adapter:degrade": { namespace: AnyNamespace; reason: Error };
  /** The link to the other servers works again. For each namespace. */
  "roomcast:adapter:restore": { namespace: AnyNamespace };
  /** A listener has thrown; with `captureRejections` also: a listener, middleware or callback has thrown or rejected. */
  "roomcast:error": { error: unknown; socket: AnySocket; event: string };
}

const of = <Name extends keyof ServerChannels & `roomcast:${string}`>(name: Name) => channel<ServerChannels[Name]>(name);

export const middlewareStart = of("roomcast:middleware:start");
export const middlewareEnd = of("roomcast:middleware:end");
export const socketConnect = of("roomcast:socket:connect");
export const socketRefuse = of("roomcast:socket:refuse");
export const socketDisconnect = of("roomcast:socket:disconnect");
export const packetReceive = of("roomcast:packet:receive");
export const packetSend = of("roomcast:packet:send");
export const eventStart = of("roomcast:event:start");
export const eventEnd = of("roomcast:event:end");
export const ackStart = of("roomcast:ack:start");
export const ackEnd = of("roomcast:ack:end");
export const broadcastStart = of("roomcast:broadcast:start");
export const broadcastEnd = of("roomcast:broadcast:end");
export const broadcastDeliver = of("roomcast:broadcast:deliver");
export const adapterPublish = of("roomcast:adapter:publish");
export const adapterReceive = of("roomcast:adapter:receive");
export const adapterDegrade = of("roomcast:adapter:degrade");
export const adapterRestore = of("roomcast:adapter:restore");
export const errorCaught = of("roomcast:error");
