// The interfaces between the adapter of a backend (`linked-adapter.ts`) and the backend itself, each in a folder of its own.
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { PrivateSessionId, RestorableSession, Room, SessionToPersist } from "../server/adapter/contract";
import type { ClusterMessage, ClusterResponse, Offset, ServerId } from "./messages";

/*
 * A link only moves messages: it knows topics, subscriptions, payload formats and the driver. What a message means stands in
 * `cluster-node.ts`; who is there in `presence.ts`; whether the link works in `health.ts`.
 *
 * A link never throws and never rejects unhandled: every promise of a driver is caught, every `error` event has a listener. What cannot be
 * sent now is not queued for ever: `publish` and `respond` reject, the caller counts the message as lost.
 */

/** What a link tells about itself. Passed to `Link.open`. */
export interface LinkListener {
  /** A text that some node, possibly this one, passed to `sendPulse`. Untrusted. */
  onPulse(text: unknown): void;
  /** The link works again: connected, and subscribed to everything. */
  onUp(): void;
  /** The link is interrupted. @param reason  an error of the driver, or a text */
  onDown(reason: unknown): void;
  /** Bytes that a node passed to `sendDirect` for this one. Untrusted. */
  onDirect(bytes: Buffer): void;
  /** What arrived could not be decoded, and was dropped. */
  onMalformed(reason: unknown): void;
  /** What an operator has to know and can mend: a process warning. */
  onProblem(text: string, cause: unknown): void;
  /** Another node is gone, as the link knows at once: its heartbeats are not waited for. */
  onGone(uid: ServerId): void;
  /** A connection that another node has handed over, whose upgrade request has still to be read. Missing or null if sessions are not carried. */
  readonly onConnection?: ((socket: Socket) => void) | null;
  /** Messages were dropped after `publish` had resolved, as another node reads too slowly. */
  onLost(messages: number): void;
}

/** What a link may know of the server that opens it. */
export interface LinkServer {
  /** How long sessions are kept for recovery, in milliseconds; null without `connectionStateRecovery`. */
  readonly recoveryMs: number | null;
}

/** The connection of this process to a backend, shared by all namespaces of a server. */
export interface Link {
  /** Short name of the backend, for logs and errors: `redis`, `nats` … */
  readonly name: string;
  /**
   * Whether this node gets its own pulses back. A node that doesn't hear itself for some time is deaf: `renew` is called.
   */
  readonly hasEcho: boolean;
  /** Whether all connections are there, where some carry no pulses: otherwise the node doesn't count as hearing itself. */
  readonly isWhole?: boolean;
  /** Whether everything that is wanted is subscribed to, where a subscription may fail alone: until then the node isn't `ok` again. */
  readonly isSubscribed?: boolean;
  /** Options that need the same value on all nodes, by name: a node with other values is told of. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Listens to pulses, and to what is sent to this node alone (`uid`). Called once, before everything else. Resolves when the subscription is there; rejects if it never will be. */
  open(listener: LinkListener, uid: ServerId): Promise<void>;
  /** Opens a namespace. The channel may subscribe later; what is published meanwhile by others is not expected to arrive. */
  channel(receiver: Receiver): Channel;
  /** Sends a short text to all nodes that run this software on this backend: `onPulse` is called there, and here if `hasEcho`. */
  sendPulse(text: string): Promise<unknown>;
  /**
   * Sends bytes to one node, in order: `onDirect` is called there. Rejects if it is known that they didn't arrive, as where nobody listens.
   * For carrying sessions (`carry/`); missing where a backend can't.
   */
  sendDirect?(to: ServerId, bytes: Buffer): Promise<unknown>;
  /**
   * Gives the connection of an upgrade request to another node, where `onConnection` is called. False if the connection stays here: its messages
   * are carried over the link then. For nodes on one machine.
   * @param head  the bytes behind the request
   */
  handOver?(to: ServerId, request: IncomingMessage, socket: Duplex, head: Buffer): boolean;
  /** The ids of the other nodes that are there, where a backend can tell. Called while this node starts. */
  others?(): Promise<readonly ServerId[]>;
  /** Subscribes to everything again: the node has found out that it hears nothing. */
  renew?(): Promise<void>;
  /** Unsubscribes and closes what the link has opened; never the clients that the program passed. Called once, after all channels. */
  close(): Promise<void>;
}

/** The adapter of a namespace, as its channel sees it. */
export interface Receiver {
  readonly uid: ServerId;
  readonly namespace: string;
  /**
   * A message to all nodes has arrived: any value, it is checked there. Messages that this node sent itself are ignored there, by `uid`.
   * @param offset  its position in the log of the backend, if there is one
   */
  onMessage(message: unknown, offset?: Offset): void;
  /** A response to a request of this node has arrived. */
  onResponse(response: unknown): void;
  /** Whether this node has sockets in the room, so that a channel can skip a message without decoding it. */
  hasRoom(room: Room): boolean;
  /** Whether this node waits for responses to the request, for backends that bring it those of other nodes, too. */
  isWaitingFor(requestId: string): boolean;
  /** Whether a node runs this software, as its pulses tell. */
  isOwnNode(uid: ServerId): boolean;
  /** Another node has left this namespace or died. Only for nodes of `Channel.foreignNodes`; `presence.ts` knows the others. */
  onNodeGone(uid: ServerId): void;
}

/** What is known after a message was published. */
export interface Receipt {
  /** Its position in the log of the backend; missing where there is none. */
  offset?: Offset;
  /**
   * How many other nodes have this namespace, whatever software they run; missing where the backend cannot tell (then `presence.ts` knows).
   * Only needed for messages that are answered (those with `requestId`).
   */
  others?: number;
}

/** One namespace on a link. */
export interface Channel {
  /** Sends a message to all nodes. Rejects if it cannot be sent now. */
  publish(message: ClusterMessage): Promise<Receipt>;
  /** Sends a response at least to the node `to`. */
  respond(to: ServerId, response: ClusterResponse): Promise<unknown>;
  /** The number of other nodes with this namespace, where the backend can tell. */
  countOthers?(): Promise<number>;
  /** Ids of nodes with this namespace that run other software, for backends on which these send heartbeats (`heartbeats.ts`). */
  foreignNodes?(): Iterable<ServerId>;
  /**
   * A room got its first socket on this node (`isHere`), or lost its last one. For backends with a subscription per room. Rooms of a
   * socket's own id are left out if the id has the usual form: 20 characters of `[A-Za-z0-9_-]`, unless `needsRoomOfIds`.
   */
  onRoom?(room: Room, isHere: boolean): void;
  /** Whether `onRoom` is called for the rooms of all ids of sockets. */
  readonly needsRoomOfIds?: boolean;
  /** Resolves when the rooms that `onRoom` was told of are subscribed to, or the link is interrupted; null if nothing is under way. */
  settled?(): Promise<void> | null;
  /** Stores the session of a disconnected socket for `lifetimeMs`. For backends with a log. */
  persistSession?(session: SessionToPersist, lifetimeMs: number): Promise<unknown>;
  /** Gives a stored session with the packets that were published after `offset`, once; null if it cannot be recovered. */
  restoreSession?(pid: PrivateSessionId, offset: Offset): Promise<RestorableSession | null>;
  /** Unsubscribes. */
  close(): Promise<unknown>;
}
