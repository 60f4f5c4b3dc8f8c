// The interfaces between the engine and its hosts: Node's HTTP servers and uWebSockets.js, see hosts/.
import type { IncomingMessage } from "node:http";
import { UsageError } from "../errors";
import type { InputTotal } from "./totals";

/** A request: Node's own, or an object of the host with the same members. */
export interface EngineRequest extends IncomingMessage {
  /** The parsed query; an object without prototype. The last value of a repeated parameter counts (EIO-5). */
  _query: Record<string, string>;
  /** The response, until it is sent; then null (ENG-131). */
  res?: unknown;
  /** The WebSocket, on the request of a WebSocket handshake (ENG-205). */
  websocket?: unknown;
}

export type HeaderValue = string | number | readonly string[];
export type ResponseHeaders = Record<string, HeaderValue>;

/** The outcome of reading a request body; `no length` on a host that needs `Content-Length` (ENG-183). */
export type BodyOutcome = "complete" | "too large" | "too many chunks" | "no length" | "aborted";

/** Limits on one request body, and on all input that is incomplete. */
export interface BodyLimits {
  readonly bytes: number;
  readonly chunks: number;
  readonly inputTotal: InputTotal;
}

/** @param met  for a limit: the declared length, or the bytes or chunks received so far */
export type OnBody = (outcome: BodyOutcome, body: Buffer, met: number) => void;

/**
 * One HTTP request and its response, the same on each host.
 *
 * `respond` or `refuse` is called at most once. Neither throws, also when the peer has left or the application has answered already. When
 * the head can't be sent, the answer is 500 and the creator of the exchange gets the error. `onClose` is called once, when the connection
 * ends before the response was sent.
 */
export interface Exchange {
  readonly request: EngineRequest;
  readonly method: string;
  /** True when the head of the response was sent already, by the application. */
  readonly isHeadSent: boolean;
  /** True when the peer has left. */
  readonly isGone: boolean;
  onClose: (() => void) | null;
  /** Reads the whole body, within `limits`; `onBody` is called at most once, and not after `respond`, `refuse` or `destroy`. */
  readBody(limits: BodyLimits, onBody: OnBody): void;
  /** @returns false when the head couldn't be sent, and 500 was answered in its place */
  respond(status: number, headers: ResponseHeaders | null, body: string | Buffer): boolean;
  /** Responds to a request whose body is not read: the rest of the body is dropped, and must end within a second (ROB-154). */
  refuse(status: number, headers: ResponseHeaders | null, body: string | Buffer): void;
  /** Memory of the body, as far as it was received and not passed on. */
  readonly heldInputBytes: number;
  /** Bytes of the response that the peer hasn't read. */
  readonly untakenBytes: number;
  /** Destroys the connection after `ms` milliseconds, unless the peer has read the whole response by then. */
  cutUnlessTaken(ms: number): void;
  /** Destroys the connection (on HTTP/2: the stream) without an answer, and drops the body. */
  destroy(): void;
}

const kExchange = Symbol("exchange");
type TiedRequest = EngineRequest & { [kExchange]?: Exchange };

/** Stores an exchange on its request, for `exchangeOf`: `transport.onRequest`, which programs replace, takes a request (ROB-526). */
export function tieExchange(exchange: Exchange): void {
  (exchange.request as TiedRequest)[kExchange] = exchange;
}

/** @throws UsageError RC_ERR_ARGUMENT for a request that no engine has taken */
export function exchangeOf(request: EngineRequest): Exchange {
  const exchange = (request as TiedRequest)[kExchange];
  if (exchange === undefined) throw new UsageError("RC_ERR_ARGUMENT", "transport: expected a request that the engine was given");
  return exchange;
}

/** Events of a wire (a WebSocket connection) for its transport. */
export interface WireListener {
  /** Bytes of the peer have arrived; called before what they contain is. */
  onWireBytes(): void;
  /** A Close frame of the peer; `onWireClose` follows. @param code  1005 if the frame has none */
  onWireCloseFrame(code: number, reason: string): void;
  onWireText(text: string): void;
  onWireBinary(data: Buffer): void;
  /** The system has taken everything that was written. */
  onWireReady(): void;
  /** The system has not taken what was written, which is known only now; `onWireReady` follows. */
  onWireHeldUp(): void;
  onWireClose(): void;
  /** @param message  message of the session's error; by default `String(error)` */
  onWireError(error: Error, message?: string): void;
}
