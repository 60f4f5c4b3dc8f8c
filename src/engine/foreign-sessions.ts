// The interface of an engine to the other processes that serve the same clients. Implemented in `cluster/carry/`.
import type { Duplex } from "node:stream";
import { generateId } from "../support/ids";
import { ignore } from "../support/ignore";
import type { BodyLimits, EngineRequest, Exchange } from "./host";
import type { Wire } from "./transports/websocket";

/**
 * The sessions of other processes. Without sticky sessions a request reaches any process; the one that has the session answers it, and the
 * one that has the connection carries request and answer.
 */
export interface ForeignSessions {
  /** Whether requests of foreign sessions are carried at all. */
  readonly carries: boolean;
  /** An id for a new session of this process: other processes recognise the process by it. */
  generateId(): string | PromiseLike<string>;
  /** What the refusal of an unknown id tells about the likely cause; null: nothing. */
  readonly hint: string | null;
  /** Whether an id names another process that is known to be there, or may be while this one starts. Nothing else is carried. */
  isForeign(sid: string): boolean;
  /** A polling request of a foreign session. */
  takeRequest(exchange: Exchange, limits: BodyLimits): void;
  /**
   * The request with which a foreign session upgrades, before anything is answered. True if its connection was given to the other process.
   * @param head  the bytes behind the request
   */
  takeUpgrade(request: EngineRequest, socket: Duplex, head: Buffer): boolean;
  /** The WebSocket with which a foreign session upgrades; its handshake is done. */
  takeWebSocket(query: Readonly<Record<string, string>>, wire: Wire): void;
  /** The WebSockets that are here, of foreign sessions. */
  webSockets(): Iterable<ForeignWebSocket>;
}

/** A WebSocket whose session is at another process. */
export interface ForeignWebSocket {
  readonly isOver: boolean;
  /** Asks the process that has the session to drain its client. @param drain  options, see `DrainOptions` */
  move(drain: object): void;
}

/** With an adapter for several servers that doesn't carry sessions: the commonest mistake of a first deployment gets its name (ROB-894). */
export const NOT_CARRIED: ForeignSessions = {
  carries: false,
  generateId,
  hint: "This server does not have the session. Behind a load balancer: enable sticky sessions there, or carrySessions of the adapter",
  isForeign: () => false,
  takeRequest: ignore,
  takeUpgrade: () => false,
  takeWebSocket: ignore,
  webSockets: () => [],
};
